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
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "agent/cgroup_device.h"
#include "common/cleanup.h"

#define CHAR BPF_DEVCG_DEV_CHAR
#define BLOCK BPF_DEVCG_DEV_BLOCK
#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD

static struct cgroup_device_program *program;

static void forget(void)
{
	free(program);
	program = NULL;
}

static void generate(const struct oci_device_rule *rules, size_t n)
{
	struct err err = ERR_INIT;

	forget();
	if (cgroup_device_generate(rules, n, &program, &err) < 0)
		fail_msg("%s", err.text);
}

static int ask(uint32_t type, uint32_t access, uint32_t major, uint32_t minor)
{
	return cgroup_device_run(program, access << 16 | type, major, minor);
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

/* What the specification says, read literally: each rule in order adds rights or takes them away. */
static bool answer_of(const struct oci_device_rule *rules, size_t n, char type, uint32_t major, uint32_t minor,
		      uint32_t access)
{
	uint32_t rights = 0;

	for (size_t i = 0; i < n; i++) {
		const struct oci_device_rule *r = &rules[i];
		uint32_t these = (r->read ? R : 0) | (r->write ? W : 0) | (r->mknod ? M : 0);

		if ((r->type != 'a' && r->type != type) || (r->major >= 0 && r->major != major) ||
		    (r->minor >= 0 && r->minor != minor))
			continue;
		rights = r->allow ? rights | these : rights & ~these;
	}
	return (access & ~(rights | M)) == 0;
}

static int64_t some_number(void)
{
	return rand() % 3 - 1;
}

/* Numbers that the standard rules do not speak of, but for the right to make nodes. */
static void leaving_rules_out_changes_no_answer(void **state)
{
	for (int round = 0; round < 3000; round++) {
		struct oci_device_rule rules[6];
		size_t n = (size_t)rand() % (ARRAY_SIZE(rules) + 1);

		for (size_t i = 0; i < n; i++)
			rules[i] = (struct oci_device_rule){ rand() % 2,    "abc"[rand() % 3], some_number(), some_number(),
							     rand() % 2, rand() % 2,	   rand() % 2 };
		generate(rules, n);
		for (uint32_t i = 0; i < 2 * 2 * 2 * 8; i++) {
			uint32_t major = i & 1, minor = i >> 1 & 1, access = i >> 3 & 7;
			bool block = i >> 2 & 1;

			assert_int_equal(ask(block ? BLOCK : CHAR, access, major, minor),
					 answer_of(rules, n, block ? 'b' : 'c', major, minor, access));
		}
	}
}

static void what_engines_give_by_default_is_the_standard_program(void **state)
{
	static const struct oci_device_rule docker[] = {
		{ false, 'a', -1, -1, true, true, true },  { true, 'c', 1, 5, true, true, true },
		{ true, 'c', 1, 3, true, true, true },     { true, 'c', 1, 9, true, true, true },
		{ true, 'c', 1, 8, true, true, true },     { true, 'c', 5, 0, true, true, true },
		{ true, 'c', 5, 1, true, true, true },     { false, 'c', 10, 229, true, true, true },
	};
	static const struct oci_device_rule one_more = { true, 'c', 10, 200, true, true, false };

	generate(NULL, 0);
	assert_true(program->is_standard);
	/* podman's and containerd's. */
	generate(docker, 1);
	assert_true(program->is_standard);
	generate(docker, ARRAY_SIZE(docker));
	assert_true(program->is_standard);
	generate(&one_more, 1);
	assert_false(program->is_standard);
}

static void more_rules_than_fit_are_refused(void **state)
{
	static struct oci_device_rule rules[CGROUP_DEVICE_RULES_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		rules[i] = (struct oci_device_rule){ i % 2, 'c', (int64_t)i, 1, true, true, true };
	assert_int_equal(cgroup_device_generate(rules, ARRAY_SIZE(rules), &program, NULL), -E2BIG);
	generate(rules, ARRAY_SIZE(rules) - 1);
	assert_int_equal(ask(CHAR, R, 11, 1), 1);
	assert_int_equal(ask(CHAR, R, 12, 1), 0);
}

static void interpreter_refuses_what_is_not_generated(void **state)
{
	generate(NULL, 0);
	program->insns[0].code = 0x85;
	assert_int_equal(ask(CHAR, R, 1, 3), -EPROTO);
	program->n = 0;
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
		if (cgroup_device_attach(cgroup, program, &prog, &err) < 0)
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
		cmocka_unit_test(leaving_rules_out_changes_no_answer),
		cmocka_unit_test(what_engines_give_by_default_is_the_standard_program),
		cmocka_unit_test(more_rules_than_fit_are_refused),
		cmocka_unit_test(interpreter_refuses_what_is_not_generated),
		cmocka_unit_test(kernel_takes_every_kind_of_program),
	};

	int failed = cmocka_run_group_tests_name("agent device rules", tests, NULL, NULL);

	forget();
	return failed;
}
