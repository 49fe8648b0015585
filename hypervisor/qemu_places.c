/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qemu_places.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

/*
 * The loader's cache only saves time. /etc/alternatives is where Debian's links to libraries lead; the stores are those of
 * NixOS and Guix, where everything that is executed lies.
 */
static const struct jail_place always[] = {
	{ "/usr", JAIL_PLACE_FILE, false },
	{ "/lib", JAIL_PLACE_TOP, true },
	{ "/lib64", JAIL_PLACE_TOP, true },
	{ "/bin", JAIL_PLACE_TOP, true },
	{ "/nix/store", JAIL_PLACE_FILE, true },
	{ "/gnu/store", JAIL_PLACE_FILE, true },
	{ "/etc/ld.so.cache", JAIL_PLACE_FILE, true },
	{ "/etc/alternatives", JAIL_PLACE_FILE, true },
	{ "/dev/null", JAIL_PLACE_DEVICE, false },
	{ "/dev/urandom", JAIL_PLACE_DEVICE, false },
	{ "/proc", JAIL_PLACE_PROC, false }, /* for /proc/self/fd */
};

/* Where a program in "/opt/qemu/bin" has what belongs to it. Never the prefix itself: that may be somebody's home. */
static const char *const beside[] = { "lib", "lib64", "libexec", "share" };
_Static_assert(ARRAY_SIZE(beside) == ARRAY_SIZE(((struct qemu_places *)NULL)->folders), "one folder for each");

static void add(struct qemu_places *p, const char *path, enum jail_place_kind kind, bool optional)
{
	p->places[p->n++] = (struct jail_place){ path, kind, optional };
}

/* The length of the prefix of a program in a "bin"; 0: it is in none. */
static size_t prefix_of(const char *program)
{
	const char *name = strrchr(program, '/');

	if (!name || name - program < 4 || strncmp(name - 4, "/bin", 4) != 0)
		return 0;
	return (size_t)(name - program) - 4;
}

static int add_beside(struct qemu_places *p, const char *program)
{
	size_t prefix = prefix_of(program);

	if (prefix == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(beside); i++) {
		if (asprintf(&p->folders[i], "%.*s/%s", (int)prefix, program, beside[i]) < 0)
			return p->folders[i] = NULL, -ENOMEM;
		add(p, p->folders[i], JAIL_PLACE_FILE, true);
	}
	return 0;
}

int qemu_places_init(struct qemu_places *p, const struct vm_config *config)
{
	_Static_assert(ARRAY_SIZE(always) + ARRAY_SIZE(beside) + 4 <= JAIL_PLACES_MAX, "they fit");

	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		p->places[p->n++] = always[i];
	if (config->accel == VM_ACCEL_KVM)
		add(p, "/dev/kvm", JAIL_PLACE_DEVICE, false);
	add(p, config->vmm_path, JAIL_PLACE_FILE, false);
	if (!config->restore) {
		add(p, config->kernel, JAIL_PLACE_FILE, false);
		add(p, config->initrd, JAIL_PLACE_FILE, false);
	}
	return add_beside(p, config->vmm_path);
}

void qemu_places_free(struct qemu_places *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(p->folders); i++)
		free(p->folders[i]);
}
