/* SPDX-License-Identifier: Apache-2.0 */
/* The argument vector of QEMU: what is in it, what never is, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "hypervisor/qemu_cmdline.h"
#include "tests/unit/check_leaks.h"

static const struct vm_config plain = {
	.name = "c1",
	.vmm_path = "/usr/bin/qemu-system-x86_64",
	.kernel = "/boot/vmlinux",
	.initrd = "/boot/initramfs",
	.accel = VM_ACCEL_KVM,
	.vcpus = 2,
	.memory_mib = 512,
	.share_fd = -1,
	.share_tag = "share",
};

static const struct qemu_cmdline_fds fds = { .qmp = 3, .console = 4, .agent = 5, .share = -1 };
static const struct qemu_cmdline_fds shared = { .qmp = 3, .console = 4, .agent = 5, .share = 6 };

static char **build(const struct vm_config *config, const struct qemu_cmdline_fds *numbers, unsigned int tsc_khz)
{
	struct err err = ERR_INIT;
	char **argv = NULL;

	if (qemu_cmdline_build(config, numbers, tsc_khz, &argv, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(err.code, 0);
	return argv;
}

/* How often @option stands there, with @value behind it (NULL: whatever is). */
static unsigned int count(char *const *argv, const char *option, const char *value)
{
	unsigned int n = 0;

	for (size_t i = 1; argv[i]; i++)
		if (strcmp(argv[i], option) == 0 && (!value || (argv[i + 1] && strcmp(argv[i + 1], value) == 0)))
			n++;
	return n;
}

/* What stands behind the only @option. */
static const char *value_of(char *const *argv, const char *option)
{
	assert_int_equal(count(argv, option, NULL), 1);
	for (size_t i = 1; argv[i]; i++)
		if (strcmp(argv[i], option) == 0)
			return argv[i + 1];
	return NULL;
}

static bool mentions(char *const *argv, const char *words)
{
	for (size_t i = 0; argv[i]; i++)
		if (strstr(argv[i], words))
			return true;
	return false;
}

static void assert_refused(const struct vm_config *config, const struct qemu_cmdline_fds *numbers, int code,
			   const char *words)
{
	struct err err = ERR_INIT;
	char **argv = NULL;

	assert_int_equal(qemu_cmdline_build(config, numbers, 0, &argv, &err), code);
	assert_null(argv);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

/* A text of @len times @c; the next call overwrites it. */
static const char *long_text(size_t len, char c)
{
	static char text[8192];

	assert_true(len < sizeof(text));
	memset(text, c, len);
	text[len] = '\0';
	return text;
}

/* ---- claims: confinement ---- */

static void vector_begins_with_the_program_and_disables_the_defaults(void **state)
{
	char **argv = build(&plain, &fds, 0);

	assert_string_equal(argv[0], "/usr/bin/qemu-system-x86_64");
	assert_int_equal(count(argv, "-nodefaults", NULL), 1);
	assert_int_equal(count(argv, "-no-user-config", NULL), 1);
	assert_int_equal(count(argv, "-no-reboot", NULL), 1);
	assert_int_equal(count(argv, "-display", "none"), 1);
	qemu_cmdline_free(argv);
}

static void sandbox_denies_every_group(void **state)
{
	static const char *const groups[] = { "obsolete", "elevateprivileges", "spawn", "resourcecontrol" };
	char **argv = build(&plain, &fds, 0), text[64];
	const char *sandbox = value_of(argv, "-sandbox");

	assert_int_equal(strncmp(sandbox, "on,", 3), 0);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		snprintf(text, sizeof(text), "%s=deny", groups[i]);
		assert_non_null(strstr(sandbox, text));
	}
	assert_null(strstr(sandbox, "allow"));
	qemu_cmdline_free(argv);
}

static void nothing_listens_and_nothing_is_a_network(void **state)
{
	static const char *const never[] = {
		"-netdev", "-nic", "-net", "-vnc", "-spice", "-monitor", "-qmp", "-gdb", "-s", "-incoming",
		"-daemonize", "-readconfig", "-plugin", "-virtfs", "-fsdev", "-drive", "-hda", "-usb",
	};
	static const char *const words[] = { "server", "listen", "tcp", "udp", "telnet", "host=", "path=", "://" };
	char **argv = build(&plain, &shared, 2400000);

	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (count(argv, never[i], NULL))
			fail_msg("option %s", never[i]);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (mentions(argv, words[i]))
			fail_msg("'%s' is mentioned", words[i]);
	qemu_cmdline_free(argv);
}

static void sockets_are_the_descriptors_given(void **state)
{
	const struct qemu_cmdline_fds odd = { .qmp = 17, .console = 21, .agent = 33, .share = 42 };
	char **argv = build(&plain, &odd, 0);

	assert_int_equal(count(argv, "-chardev", "socket,id=qmp,fd=17"), 1);
	assert_int_equal(count(argv, "-chardev", "socket,id=console,fd=21"), 1);
	assert_int_equal(count(argv, "-chardev", "socket,id=agent,fd=33"), 1);
	assert_int_equal(count(argv, "-chardev", "socket,id=share,fd=42"), 1);
	assert_int_equal(count(argv, "-chardev", NULL), 4);
	assert_string_equal(value_of(argv, "-mon"), "chardev=qmp,mode=control");
	assert_string_equal(value_of(argv, "-serial"), "chardev:console");
	qemu_cmdline_free(argv);
}

static void memory_is_shareable_unmerged_and_not_dumped(void **state)
{
	char **argv = build(&plain, &fds, 0);

	assert_string_equal(value_of(argv, "-m"), "512M");
	assert_string_equal(value_of(argv, "-smp"), "2");
	assert_int_equal(count(argv, "-object", "memory-backend-memfd,id=mem,size=512M,share=on"), 1);
	assert_non_null(strstr(value_of(argv, "-M"), "memory-backend=mem"));
	assert_non_null(strstr(value_of(argv, "-M"), "mem-merge=off"));
	assert_non_null(strstr(value_of(argv, "-M"), "dump-guest-core=off"));
	qemu_cmdline_free(argv);
}

static void each_hotplug_slot_is_a_port_of_its_own(void **state)
{
	char **argv = build(&plain, &fds, 0), text[64];

	for (unsigned int slot = 0; slot < VM_HOTPLUG_SLOTS; slot++) {
		unsigned int n = 0;

		snprintf(text, sizeof(text), "pcie-root-port,id=" QEMU_CMDLINE_BUS_FORMAT ",", slot);
		for (size_t i = 0; argv[i]; i++)
			n += strncmp(argv[i], text, strlen(text)) == 0;
		assert_int_equal(n, 1);
	}
	qemu_cmdline_free(argv);
}

/* ---- claims: accelerators ---- */

static void kvm_has_the_hosts_cpu_and_no_old_timers(void **state)
{
	char **argv = build(&plain, &fds, 2400000);

	assert_non_null(strstr(value_of(argv, "-M"), "accel=kvm,"));
	assert_non_null(strstr(value_of(argv, "-M"), "pic=off,pit=off"));
	assert_string_equal(value_of(argv, "-cpu"), "host");
	assert_false(mentions(argv, "tsc_early_khz"));
	assert_false(mentions(argv, "accel=tcg"));
	qemu_cmdline_free(argv);
}

static void tcg_has_old_timers_and_is_told_the_tsc(void **state)
{
	struct vm_config config = plain;
	char **argv;

	config.accel = VM_ACCEL_TCG;
	argv = build(&config, &fds, 2400000);
	assert_non_null(strstr(value_of(argv, "-M"), "accel=tcg,"));
	assert_non_null(strstr(value_of(argv, "-M"), "pic=on,pit=on"));
	assert_int_equal(strncmp(value_of(argv, "-cpu"), "max,", 4), 0);
	assert_non_null(strstr(value_of(argv, "-append"), " tsc_early_khz=2400000"));
	qemu_cmdline_free(argv);
	argv = build(&config, &fds, 0);
	assert_false(mentions(argv, "tsc_early_khz"));
	qemu_cmdline_free(argv);
}

/* ---- claims: strings of somebody else ---- */

static void escape_doubles_commas_and_keeps_the_rest(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "", "" }, { "a", "a" }, { ",", ",," }, { "a,b,,c", "a,,b,,,,c" },
		{ "a=b c:d'\"%s", "a=b c:d'\"%s" }, { "\xc3\xa4", "\xc3\xa4" },
	};
	char *out;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(qemu_cmdline_escape(cases[i].in, &out), 0);
		assert_string_equal(out, cases[i].out);
		free(out);
	}
}

static void escape_refuses_control_characters(void **state)
{
	char text[] = "a?b", *out = NULL;

	for (int c = 1; c < 0x20; c++) {
		text[1] = (char)c;
		assert_int_equal(qemu_cmdline_escape(text, &out), -EINVAL);
	}
	assert_int_equal(qemu_cmdline_escape("\x7f", &out), -EINVAL);
	assert_null(out);
}

static void name_and_tag_cannot_add_options(void **state)
{
	struct vm_config config = plain;
	char **argv;

	config.name = "x,process=init";
	config.share_tag = "t,chardev=qmp";
	argv = build(&config, &shared, 0);
	assert_string_equal(value_of(argv, "-name"), "onggi-x,,process=init,process=onggi-vm,debug-threads=on");
	assert_int_equal(count(argv, "-device", "vhost-user-fs-pci,chardev=share,tag=t,,chardev=qmp"), 1);
	qemu_cmdline_free(argv);
}

static void paths_and_kernel_parameters_are_passed_as_they_are(void **state)
{
	struct vm_config config = plain;
	char **argv;

	config.kernel = "/a,b/-x %s";
	config.initrd = "/c,d";
	config.extra_cmdline = "a,b -sandbox off %n";
	argv = build(&config, &fds, 0);
	assert_string_equal(value_of(argv, "-kernel"), "/a,b/-x %s");
	assert_string_equal(value_of(argv, "-initrd"), "/c,d");
	assert_non_null(strstr(value_of(argv, "-append"), " a,b -sandbox off %n"));
	assert_int_equal(count(argv, "-sandbox", NULL), 1);
	qemu_cmdline_free(argv);
}

static void debug_makes_the_guest_talk(void **state)
{
	struct vm_config config = plain;
	char **argv = build(&config, &fds, 0);

	assert_non_null(strstr(value_of(argv, "-append"), " quiet "));
	qemu_cmdline_free(argv);
	config.debug = true;
	argv = build(&config, &fds, 0);
	assert_null(strstr(value_of(argv, "-append"), "quiet"));
	assert_non_null(strstr(value_of(argv, "-append"), " ignore_loglevel "));
	qemu_cmdline_free(argv);
}

static void share_is_there_only_with_its_socket(void **state)
{
	struct vm_config config = plain;
	char **argv = build(&plain, &shared, 0);

	assert_int_equal(count(argv, "-device", "vhost-user-fs-pci,chardev=share,tag=share"), 1);
	qemu_cmdline_free(argv);
	config.share_tag = NULL; /* not looked at */
	argv = build(&config, &fds, 0);
	assert_false(mentions(argv, "vhost-user"));
	assert_false(mentions(argv, "id=share"));
	qemu_cmdline_free(argv);
}

/* ---- claims: refusals ---- */

static void empty_and_missing_fields_are_refused_by_name(void **state)
{
	static const struct {
		const char *field;
		size_t offset;
	} fields[] = {
		{ "'name'", offsetof(struct vm_config, name) },
		{ "'vmm_path'", offsetof(struct vm_config, vmm_path) },
		{ "'kernel'", offsetof(struct vm_config, kernel) },
		{ "'initrd'", offsetof(struct vm_config, initrd) },
		{ "'share_tag'", offsetof(struct vm_config, share_tag) },
	};
	static const char *const values[] = { NULL, "", "a\nb", "a\x7f", "\x1b[2J" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			struct vm_config config = plain;

			memcpy((char *)&config + fields[i].offset, &values[k], sizeof(values[k]));
			assert_refused(&config, &shared, -EINVAL, fields[i].field);
		}
	}
}

static void control_characters_in_kernel_parameters_are_refused(void **state)
{
	struct vm_config config = plain;

	config.extra_cmdline = "a\nb";
	assert_refused(&config, &fds, -EINVAL, "kernel parameters");
}

static void lengths_are_taken_up_to_the_limit(void **state)
{
	struct vm_config config = plain;

	config.name = long_text(QEMU_CMDLINE_NAME_MAX, 'n');
	qemu_cmdline_free(build(&config, &fds, 0));
	config.name = long_text(QEMU_CMDLINE_NAME_MAX + 1, 'n');
	assert_refused(&config, &fds, -EINVAL, "'name'");
	config = plain;
	config.share_tag = long_text(QEMU_CMDLINE_TAG_MAX, 't');
	qemu_cmdline_free(build(&config, &shared, 0));
	config.share_tag = long_text(QEMU_CMDLINE_TAG_MAX + 1, 't');
	assert_refused(&config, &shared, -EINVAL, "'share_tag'");
	config = plain;
	config.kernel = long_text(4096, 'k');
	assert_refused(&config, &fds, -EINVAL, "'kernel'");
}

static void kernel_command_line_is_taken_up_to_its_limit(void **state)
{
	struct vm_config config = plain;
	char **argv = build(&config, &fds, 0);
	size_t room = QEMU_CMDLINE_APPEND_MAX - strlen(value_of(argv, "-append")) - 1;

	qemu_cmdline_free(argv);
	config.extra_cmdline = long_text(room, 'x');
	argv = build(&config, &fds, 0);
	assert_int_equal(strlen(value_of(argv, "-append")), QEMU_CMDLINE_APPEND_MAX);
	qemu_cmdline_free(argv);
	config.extra_cmdline = long_text(room + 1, 'x');
	assert_refused(&config, &fds, -E2BIG, "2047 bytes");
}

static void vcpus_and_memory_outside_their_range_are_refused(void **state)
{
	static const struct {
		unsigned int vcpus;
		uint64_t memory_mib;
		const char *words; /* NULL: taken */
	} cases[] = {
		{ 1, 64, NULL }, { 64, 1u << 20, NULL },
		{ 0, 512, "0 vCPUs" }, { 65, 512, "65 vCPUs" }, { UINT32_MAX, 512, "vCPUs" },
		{ 1, 63, "63 MiB" }, { 1, 0, "0 MiB" }, { 1, (1u << 20) + 1, "1048577 MiB" },
		{ 1, UINT64_MAX, "18446744073709551615 MiB" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vm_config config = plain;

		config.vcpus = cases[i].vcpus;
		config.memory_mib = cases[i].memory_mib;
		if (cases[i].words)
			assert_refused(&config, &fds, -EINVAL, cases[i].words);
		else
			qemu_cmdline_free(build(&config, &fds, 0));
	}
	qemu_cmdline_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(vector_begins_with_the_program_and_disables_the_defaults),
		leak_checked(sandbox_denies_every_group),
		leak_checked(nothing_listens_and_nothing_is_a_network),
		leak_checked(sockets_are_the_descriptors_given),
		leak_checked(memory_is_shareable_unmerged_and_not_dumped),
		leak_checked(each_hotplug_slot_is_a_port_of_its_own),
		leak_checked(kvm_has_the_hosts_cpu_and_no_old_timers),
		leak_checked(tcg_has_old_timers_and_is_told_the_tsc),
		leak_checked(escape_doubles_commas_and_keeps_the_rest),
		leak_checked(escape_refuses_control_characters),
		leak_checked(name_and_tag_cannot_add_options),
		leak_checked(paths_and_kernel_parameters_are_passed_as_they_are),
		leak_checked(debug_makes_the_guest_talk),
		leak_checked(share_is_there_only_with_its_socket),
		leak_checked(empty_and_missing_fields_are_refused_by_name),
		leak_checked(control_characters_in_kernel_parameters_are_refused),
		leak_checked(lengths_are_taken_up_to_the_limit),
		leak_checked(kernel_command_line_is_taken_up_to_its_limit),
		leak_checked(vcpus_and_memory_outside_their_range_are_refused),
	};

	return cmocka_run_group_tests_name("qemu_cmdline", tests, NULL, NULL);
}
