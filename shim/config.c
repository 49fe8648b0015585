/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: one table row per key says its type, bounds and member. The file is walked
 * member by member, so that a key without a row is an error. What the file leaves out gets its
 * default afterwards.
 */
#include "shim/config.h"

#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/json.h"

#define CONFIG_ENVIRONMENT "ONGGI_CONFIG"
#define MEMORY_MIB_DEFAULT 256u
#define HOST_OVERHEAD_MIB_DEFAULT 512u
#define BOOT_TIMEOUT_S_DEFAULT 30u
#define TEMPLATE_CLONES_DEFAULT 1000u
#define TEMPLATE_HOURS_DEFAULT 24u
#define MS_PER_S 1000u

enum key_type { KEY_PATH, KEY_WORD, KEY_NUMBER, KEY_BOOL, KEY_NAMES };

struct key {
	const char *name;
	enum key_type type;
	size_t offset;
	uint32_t min, max;        /* of a number */
	uint32_t scale;           /* what is stored is the number times this */
	const char *const *words; /* of KEY_WORD, NULL-terminated */
	bool by_annotation;       /* an administrator may let annotations change it: a number or a word only */
};

static const char *const accel_words[] = { "kvm", "auto", "tcg", NULL };
static const char *const template_words[] = { "on", "off", NULL };
static const char *const driver_words[] = { "qemu", NULL };

#define MEMBER(name) offsetof(struct config, name)

static const struct key keys[] = {
	{ "accel", KEY_WORD, MEMBER(accel), .words = accel_words },
	{ "driver", KEY_WORD, MEMBER(driver), .words = driver_words },
	{ "vmm", KEY_PATH, MEMBER(vmm) },
	{ "kernel", KEY_PATH, MEMBER(kernel) },
	{ "initrd", KEY_PATH, MEMBER(initrd) },
	{ "file_server", KEY_PATH, MEMBER(file_server) },
	{ "memory_mib", KEY_NUMBER, MEMBER(memory_mib), 64, 1u << 20, 1, .by_annotation = true },
	{ "host_overhead_mib", KEY_NUMBER, MEMBER(host_overhead_mib), 64, 1u << 16, 1 },
	{ "memory_max_mib", KEY_NUMBER, MEMBER(memory_max_mib), 64, 1u << 20, 1 },
	{ "vcpus", KEY_NUMBER, MEMBER(vcpus), 1, 64, 1, .by_annotation = true },
	{ "vcpus_max", KEY_NUMBER, MEMBER(vcpus_max), 1, 64, 1 },
	{ "boot_timeout_s", KEY_NUMBER, MEMBER(boot_timeout_ms), 1, 600, MS_PER_S },
	{ "template", KEY_WORD, MEMBER(template), .words = template_words, .by_annotation = true },
	{ "template_dir", KEY_PATH, MEMBER(template_dir) },
	{ "template_clones", KEY_NUMBER, MEMBER(template_clones), 0, 1000000, 1 },
	{ "template_hours", KEY_NUMBER, MEMBER(template_hours), 0, 24 * 365, 1 },
	{ "vhost_net", KEY_BOOL, MEMBER(vhost_net) },
	{ "rootfs_disks", KEY_BOOL, MEMBER(rootfs_disks) },
	{ "debug", KEY_BOOL, MEMBER(debug) },
	{ "annotations", KEY_NAMES, MEMBER(annotations) },
};

struct reader {
	const struct json *top;
	struct config *config;
	struct err *err;
};

static int set_string(char **member, const char *value, struct err *err)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set_errno(err, -ENOMEM, "configuration");
	free(*member);
	*member = copy;
	return 0;
}

static int read_word(const struct key *key, const char *value, char **member, struct err *err)
{
	char choices[64] = "";
	size_t used = 0;

	for (size_t i = 0; key->words[i]; i++) {
		if (strcmp(value, key->words[i]) == 0)
			return set_string(member, value, err);
		used += (size_t)snprintf(choices + used, sizeof(choices) - used, "%s\"%s\"",
					 i ? ", " : "", key->words[i]);
	}
	return err_set(err, -EINVAL, "field '%s': want one of %s, got \"%s\"", key->name, choices,
		       value);
}

static int read_string(const struct reader *r, const struct key *key)
{
	char **member = (char **)((char *)r->config + key->offset);
	const char *value = NULL;
	int ret = json_member_string(r->top, "", key->name, &value, r->err);

	if (ret <= 0)
		return ret < 0 ? ret
			       : err_set(r->err, -EINVAL, "field '%s': want a string, got null",
					 key->name);
	if (key->type == KEY_WORD)
		return read_word(key, value, member, r->err);
	if (value[0] != '/')
		return err_set(r->err, -EINVAL, "field '%s': want an absolute path, got \"%s\"",
			       key->name, value);
	return set_string(member, value, r->err);
}

static int read_number(const struct reader *r, const struct key *key)
{
	uint32_t *member = (uint32_t *)((char *)r->config + key->offset);
	int64_t value;
	int ret = json_member_int(r->top, "", key->name, key->min, key->max, &value, r->err);

	if (ret < 0)
		return err_prefix(r->err, "want a number from %u to %u", key->min, key->max), ret;
	if (ret > 0)
		*member = (uint32_t)value * key->scale;
	return 0;
}

/* ---- annotations ---- */

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static uint64_t bit_of(const struct key *key)
{
	_Static_assert(ARRAY_SIZE(keys) <= 64, "a set of keys is 64 bits");
	return UINT64_C(1) << (key - keys);
}

/* As "memory_mib, vcpus". */
static void list_annotatable(char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].by_annotation && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", keys[i].name);
	}
}

static int read_names(const struct reader *r, const struct key *list)
{
	char **names = NULL, choices[256];
	int ret = json_member_strv(r->top, "", list->name, ARRAY_SIZE(keys), &names, r->err);

	if (ret < 0)
		return ret;
	for (char **name = names; name && *name; name++) {
		const struct key *key = find_key(*name);

		if (key && key->by_annotation) {
			r->config->annotations |= bit_of(key);
			continue;
		}
		list_annotatable(choices, sizeof(choices));
		ret = err_set(r->err, -EINVAL, "field '%s': no annotation can set '%s': want some of %s", list->name,
			      *name, choices);
		break;
	}
	json_free_strv(names);
	return ret < 0 ? ret : 0;
}

static int annotate_word(struct config *config, const struct key *key, const char *value, struct err *err)
{
	return read_word(key, value, (char **)((char *)config + key->offset), err);
}

static int annotate_number(struct config *config, const struct key *key, const char *value, struct err *err)
{
	uint32_t *member = (uint32_t *)((char *)config + key->offset), max = key->max;
	uint64_t number;

	if (key->offset == MEMBER(memory_mib))
		max = config->memory_max_mib ? config->memory_max_mib : CONFIG_ANNOTATION_MEMORY_MIB_MAX;
	if (key->offset == MEMBER(vcpus) && config->vcpus_max)
		max = config->vcpus_max;
	if (io_parse_u64(value, max, &number) < 0 || number < key->min)
		return err_set(err, -EINVAL, "field '%s': want a number from %u to %u", key->name, key->min, max);
	*member = (uint32_t)number * key->scale;
	return 0;
}

static int annotate(struct config *config, const char *name, const char *value, struct err *err)
{
	const struct key *key = find_key(name);
	int r;

	if (!key || !key->by_annotation || !(config->annotations & bit_of(key)))
		return err_set(err, -EPERM,
			       "annotation '" CONFIG_ANNOTATION_PREFIX "%.64s' is not allowed: only keys that "
			       "\"annotations\" of the configuration lists can be set",
			       name);
	r = key->type == KEY_WORD ? annotate_word(config, key, value, err) : annotate_number(config, key, value, err);
	if (r < 0)
		err_prefix(err, "annotation '" CONFIG_ANNOTATION_PREFIX "%s'", name);
	return r;
}

int config_annotate(struct config *config, const struct oci_spec *spec, struct err *err)
{
	const size_t len = strlen(CONFIG_ANNOTATION_PREFIX);

	for (size_t i = 0; i < spec->n_annotations; i++) {
		const struct oci_string_pair *a = &spec->annotations[i];
		int r = strncmp(a->key, CONFIG_ANNOTATION_PREFIX, len) != 0 ? 0
			: annotate(config, a->key + len, a->value, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the file ---- */

static int read_member(const char *name, struct json *value, void *userdata)
{
	struct reader *r = userdata;
	const struct key *key = find_key(name);

	if (!key)
		return err_set(r->err, -EINVAL, "unknown key '%s' (see docs/configuration.md)",
			       name);
	switch (key->type) {
	case KEY_PATH:
	case KEY_WORD:
		return read_string(r, key);
	case KEY_NUMBER:
		return read_number(r, key);
	case KEY_NAMES:
		return read_names(r, key);
	case KEY_BOOL:
		break;
	}
	return json_member_bool(r->top, "", name, (bool *)((char *)r->config + key->offset),
				r->err) < 0
		       ? -EINVAL
		       : 0;
}

static int parse_file(const char *text, size_t len, struct config *config, struct err *err)
{
	_cleanup_json_ struct json *top = NULL;
	struct reader reader = { .config = config, .err = err };
	int r = json_parse(text, len, &top, err);

	if (r < 0)
		return r;
	if (!json_is_object(top))
		return err_set(err, -EINVAL, "want an object, got %s", json_type_name(top));
	reader.top = top;
	return json_foreach(top, read_member, &reader);
}

/* Read the file that is meant, if there is one. */
static int read_file(const char *explicit_path, struct config *config, struct err *err)
{
	const char *path = explicit_path ? explicit_path : getenv(CONFIG_ENVIRONMENT);
	bool required = path != NULL;
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	path = path ? path : CONFIG_PATH_DEFAULT;
	r = io_read_file(AT_FDCWD, path, CONFIG_BYTES_MAX, &text, &len);
	if (r == -ENOENT && !required)
		return 0;
	if (r == -EFBIG)
		return err_set(err, r, "configuration file '%s' is longer than %u bytes", path,
			       CONFIG_BYTES_MAX);
	if (r < 0)
		return err_set_errno(err, r, "configuration file '%s'", path);
	r = parse_file(text, len, config, err);
	if (r < 0)
		return err_prefix(err, "configuration file '%s'", path), r;
	return set_string(&config->path, path, err);
}

/* ---- where kernel and initramfs are ---- */

/* Folder of the running program, without a slash at its end. */
static int program_folder(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	return 0;
}

/*
 * Kernel and initramfs belong together: the distribution's kernel needs the modules of its own
 * initramfs. The first folder with both wins: a checkout's build folder, then what "make install" puts
 * beside the program's own bin/, whatever the prefix.
 */
static const struct {
	const char *kernel, *initrd; /* from the folder of the program */
} guests[] = {
	{ "guest/vmlinux", "guest/initramfs.cpio" },
	{ "../lib/onggi/vmlinux", "../lib/onggi/initramfs.cpio" },
	{ "guest/distro/vmlinux", "guest/distro/initramfs.cpio" },
	{ "guest/distro/vmlinuz", "guest/distro/initramfs.cpio" },
	{ "../lib/onggi/distro/vmlinux", "../lib/onggi/distro/initramfs.cpio" },
	{ "../lib/onggi/distro/vmlinuz", "../lib/onggi/distro/initramfs.cpio" },
};

static int find_guest(struct config *config, struct err *err)
{
	char here[PATH_MAX] = "", kernel[PATH_MAX + 64], initrd[PATH_MAX + 64];
	char first_kernel[PATH_MAX + 64] = "", first_initrd[PATH_MAX + 64] = "";
	bool found = false;
	int r;

	if (program_folder(here, sizeof(here)) < 0)
		here[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(guests) && !found; i++) {
		snprintf(kernel, sizeof(kernel), "%s/%s", here, guests[i].kernel);
		snprintf(initrd, sizeof(initrd), "%s/%s", here, guests[i].initrd);
		if (i == 0) {
			memcpy(first_kernel, kernel, sizeof(kernel));
			memcpy(first_initrd, initrd, sizeof(initrd));
		}
		found = access(kernel, R_OK) == 0 && access(initrd, R_OK) == 0;
	}
	if (!config->kernel) {
		r = set_string(&config->kernel, found ? kernel : first_kernel, err);
		if (r < 0)
			return r;
	}
	return config->initrd ? 0 : set_string(&config->initrd, found ? initrd : first_initrd, err);
}

static int fill_defaults(struct config *config, struct err *err)
{
	static const struct {
		size_t offset;
		const char *value;
	} strings[] = {
		{ MEMBER(accel), "kvm" },
		{ MEMBER(driver), "qemu" },
		{ MEMBER(vmm), "/usr/bin/qemu-system-x86_64" },
		{ MEMBER(template), "on" },
		{ MEMBER(template_dir), CONFIG_TEMPLATE_DIR },
	};

	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		char **member = (char **)((char *)config + strings[i].offset);
		int r = *member ? 0 : set_string(member, strings[i].value, err);

		if (r < 0)
			return r;
	}
	return config->kernel && config->initrd ? 0 : find_guest(config, err);
}

int config_load(const char *explicit_path, struct config **ret, struct err *err)
{
	_cleanup_(config_free_p) struct config *config = calloc(1, sizeof(*config));
	int r;

	if (!config)
		return err_set_errno(err, -ENOMEM, "configuration");
	config->memory_mib = MEMORY_MIB_DEFAULT;
	config->host_overhead_mib = HOST_OVERHEAD_MIB_DEFAULT;
	config->vcpus = 1;
	config->template_clones = TEMPLATE_CLONES_DEFAULT;
	config->template_hours = TEMPLATE_HOURS_DEFAULT;
	config->boot_timeout_ms = BOOT_TIMEOUT_S_DEFAULT * MS_PER_S;
	r = read_file(explicit_path, config, err);
	if (r < 0)
		return r;
	r = fill_defaults(config, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
}

/*
 * Not the words of strerror: engines take "no such file or directory" for a missing command of the
 * container.
 */
int config_check_guest(const struct config *config, struct err *err)
{
	if (access(config->kernel, R_OK) < 0)
		return err_set(
			err, -errno,
			"guest kernel '%s' is missing or unreadable: run 'make guest-kernel' (or 'make guest-distro'), "
			"or set \"kernel\" in the configuration",
			config->kernel);
	if (access(config->initrd, R_OK) < 0)
		return err_set(
			err, -errno,
			"guest initramfs '%s' is missing or unreadable: run 'make guest', or set \"initrd\" in the "
			"configuration",
			config->initrd);
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->path);
	free(config->accel);
	free(config->driver);
	free(config->vmm);
	free(config->template);
	free(config->template_dir);
	free(config->kernel);
	free(config->initrd);
	free(config->file_server);
	free(config);
}
