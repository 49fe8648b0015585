/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/cgroup_device.h"
#include "common/cleanup.h"

#define CHAR BPF_DEVCG_DEV_CHAR
#define BLOCK BPF_DEVCG_DEV_BLOCK
#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

static struct cgroup_device_program program;

static void generate(const struct oci_device_rule *rules, size_t n)
{
	struct err err = ERR_INIT;

	if (cgroup_device_generate(rules, n, &program, &err) < 0)
		fail_msg("%s", err.text);
}

static int ask(uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
	return cgroup_device_run(&program, access << 16 | type, major, minor);
}

static void without_rules_only_the_standard_devices_are_allowed(void **state)
{
	static const uint32_t standard[][2] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 },   { 1, 9 },
						{ 5, 0 }, { 5, 1 }, { 5, 2 }, { 136, 17 } };

	generate(NULL, 0);
	for (size_t i = 0; i < ARRAY_SIZE(standard); i++) {
		assert_int_equal(ask(CHAR, R | W, standard[i][0], standard[i][1]), 1);
		assert_int_equal(ask(BLOCK, R, standard[i][0], standard[i][1]), 0);
	}
	assert_int_equal(ask(CHAR, R, 1, 11), 0);
	assert_int_equal(ask(CHAR, W, 10, 200), 0);
	assert_int_equal(ask(BLOCK, R, 254, 0), 0);
}

static void any_node_can_be_made_and_not_opened(void **state)
{
	generate(NULL, 0);
	assert_int_equal(ask(BLOCK, M, 8, 0), 1);
	assert_int_equal(ask(CHAR, M, 1, 1), 1);
	assert_int_equal(ask(BLOCK, M | R, 8, 0), 0);
}

static void later_rule_wins(void **state)
{
	const struct oci_device_rule rules[] = {
		{ true, 'a', -1, -1, true, true, true },
		{ false, 'b', 8, -1, true, true, true },
		{ true, 'b', 8, 1, true, false, false },
	};

	generate(rules, ARRAY_SIZE(rules));
	assert_int_equal(ask(BLOCK, R | W, 7, 0), 1);
	assert_int_equal(ask(CHAR, R | W, 10, 200), 1);
	assert_int_equal(ask(BLOCK, R, 8, 0), 0);
	assert_int_equal(ask(BLOCK, R, 8, 1), 1);
	assert_int_equal(ask(BLOCK, R | W, 8, 1), 0);
}

static void rights_add_up_over_rules(void **state)
{
	const struct oci_device_rule rules[] = {
		{ false, 'a', -1, -1, true, true, true },
		{ true, 'c', 10, 200, true, false, false },
		{ true, 'c', 10, 200, false, true, false },
		{ true, 'c', 10, 229, true, true, false },
		{ false, 'c', 10, 229, false, true, false },
	};

	generate(rules, ARRAY_SIZE(rules));
	assert_int_equal(ask(CHAR, R | W, 10, 200), 1);
	assert_int_equal(ask(CHAR, R, 10, 229), 1);
	assert_int_equal(ask(CHAR, W, 10, 229), 0);
	assert_int_equal(ask(CHAR, R | W, 10, 229), 0);
}

static void numbers_that_no_device_has_match_nothing(void **state)
{
	const struct oci_device_rule rules[] = { { true, 'c', INT64_C(1) << 32 | 10, 200, true, true, true } };

	generate(rules, 1);
	assert_int_equal(ask(CHAR, R, 10, 200), 0);
}

static void unknown_type_is_refused(void **state)
{
	const struct oci_device_rule rule = { true, 'x', 1, 1, true, true, true };

	assert_int_equal(cgroup_device_generate(&rule, 1, &program, NULL), -EINVAL);
}

static void more_rules_than_fit_are_refused(void **state)
{
	static struct oci_device_rule rules[CGROUP_DEVICE_RULES_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		rules[i] = (struct oci_device_rule){ i % 2, 'c', (int64_t)i, 1, true, true, true };
	assert_int_equal(cgroup_device_generate(rules, ARRAY_SIZE(rules), &program, NULL), -E2BIG);
	generate(rules, ARRAY_SIZE(rules) - 1);
	assert_true(program.n <= CGROUP_DEVICE_INSNS_MAX);
	assert_int_equal(ask(CHAR, R, 11, 1), 1);
	assert_int_equal(ask(CHAR, R, 12, 1), 0);
}

static void interpreter_refuses_what_is_not_generated(void **state)
{
	program = (struct cgroup_device_program){ .insns = { { .code = 0x85 } }, .n = 1 };
	assert_int_equal(ask(CHAR, R, 1, 3), -EPROTO);
	program.n = 0;
	assert_int_equal(ask(CHAR, R, 1, 3), -EPROTO);
}

/* Where the build machine has a version 2 hierarchy. */
static int find_cgroup2(char path[64])
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
			snprintf(path, 64, "%s/onggi-device-%d", places[i], (int)getpid());
			return mkdir(path, 0755);
		}
	}
	return -1;
}

static void kernel_takes_every_kind_of_program(void **state)
{
	static const struct oci_device_rule sets[][3] = {
		{ { false, 'a', -1, -1, true, true, true } },
		{ { true, 'a', -1, -1, true, true, true } },
		{ { false, 'c', 1, -1, true, false, false }, { true, 'b', -1, 3, false, true, true },
		  { true, 'a', -1, -1, true, false, false } },
		{ { true, 'a', -1, -1, true, true, true }, { false, 'b', 8, 0, true, true, true },
		  { false, 'a', -1, -1, false, false, true } },
	};
	static const size_t n[] = { 1, 1, 3, 3 };
	_cleanup_close_ int cgroup = -EBADF, prog = -EBADF;
	struct err err = ERR_INIT;
	char path[64];

	assert_int_equal(find_cgroup2(path), 0);
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(cgroup >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		generate(sets[i], n[i]);
		/* From the second on the one before is replaced. */
		if (cgroup_device_attach(cgroup, &program, &prog, &err) < 0)
			fail_msg("set %zu: %s", i, err.text);
	}
	assert_int_equal(rmdir(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_rules_only_the_standard_devices_are_allowed),
		cmocka_unit_test(any_node_can_be_made_and_not_opened),
		cmocka_unit_test(later_rule_wins),
		cmocka_unit_test(rights_add_up_over_rules),
		cmocka_unit_test(numbers_that_no_device_has_match_nothing),
		cmocka_unit_test(unknown_type_is_refused),
		cmocka_unit_test(more_rules_than_fit_are_refused),
		cmocka_unit_test(interpreter_refuses_what_is_not_generated),
		cmocka_unit_test(kernel_takes_every_kind_of_program),
	};

	return cmocka_run_group_tests_name("agent device rules", tests, NULL, NULL);
}
