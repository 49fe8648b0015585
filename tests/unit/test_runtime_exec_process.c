/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/json.h"
#include "shim/runtime/exec_process.h"
#include "shim/runtime/spec_template.h"
#include "tests/unit/check_leaks.h"

static struct err error;
static char *const args[] = { (char *)"ls", (char *)"-l", NULL };

/* What the flags make of the template's process. */
static int make(struct exec_flags flags, char **ret_text, struct oci_process **ret)
{
	error = (struct err)ERR_INIT;
	flags.args = args;
	return exec_process_from_flags(spec_template, strlen(spec_template), &flags, ret_text, ret,
				       &error);
}

static struct option_list list_of(const char **items, size_t n)
{
	return (struct option_list){ items, n };
}

static void flags_change_what_they_name_and_nothing_else(void **state)
{
	_cleanup_(oci_process_free_p) struct oci_process *p = NULL;
	_cleanup_free_ char *text = NULL;
	const char *env[] = { "A=1", "B=" }, *gids[] = { "7", "8" };
	struct exec_flags flags = { .cwd = "/tmp",
				    .user = "5:6",
				    .env = list_of(env, 2),
				    .additional_gids = list_of(gids, 2) };

	assert_int_equal(make(flags, &text, &p), 0);
	assert_string_equal(p->args[0], "ls");
	assert_null(p->args[2]);
	assert_string_equal(p->cwd, "/tmp");
	assert_int_equal(p->user.uid, 5);
	assert_int_equal(p->user.gid, 6);
	assert_int_equal(p->user.n_additional_gids, 2);
	assert_string_equal(p->env[0],
			    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	assert_string_equal(p->env[2], "A=1");
	assert_string_equal(p->env[3], "B=");
	assert_true(p->no_new_privileges);
	/* The container has a terminal, the exec did not ask for one. */
	assert_false(p->terminal);
}

static void user_without_group_keeps_the_containers_group(void **state)
{
	_cleanup_(oci_process_free_p) struct oci_process *p = NULL;
	_cleanup_free_ char *text = NULL;

	assert_int_equal(make((struct exec_flags){ .user = "1000" }, &text, &p), 0);
	assert_int_equal(p->user.uid, 1000);
	assert_int_equal(p->user.gid, 0);
}

static void malformed_user_never_becomes_another_one(void **state)
{
	static const char *const users[] = { "",
					     "0x0",
					     "-1",
					     "4294967296",
					     "2147483648",
					     "1:",
					     "1:1:1",
					     "root",
					     ":1",
					     "1:-1",
					     " 1",
					     "1 ",
					     "+1",
					     "1:0x1",
					     "00000000000000000001",
					     "1:2147483648" };

	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		struct oci_process *p = NULL;
		char *text = NULL;

		if (make((struct exec_flags){ .user = users[i] }, &text, &p) != -EINVAL)
			fail_msg("user '%s' was taken", users[i]);
		assert_null(p);
		assert_null(text);
	}
}

static void added_capability_is_not_inheritable(void **state)
{
	_cleanup_(oci_process_free_p) struct oci_process *p = NULL;
	_cleanup_free_ char *text = NULL;
	const char *caps[] = { "CAP_SYS_ADMIN" }, *bad[] = { "CAP_NONSENSE" };
	uint64_t bit = 1ull << oci_capability_number("CAP_SYS_ADMIN");

	assert_int_equal(make((struct exec_flags){ .caps = list_of(caps, 1) }, &text, &p), 0);
	assert_true(p->capabilities.bounding & bit);
	assert_true(p->capabilities.effective & bit);
	assert_true(p->capabilities.permitted & bit);
	assert_int_equal(p->capabilities.inheritable, 0);
	assert_int_equal(p->capabilities.ambient & bit, 0);
	assert_int_equal(make((struct exec_flags){ .caps = list_of(bad, 1) }, NULL, NULL), -EINVAL);
	assert_non_null(strstr(error.text, "CAP_NONSENSE"));
}

static void environment_without_equals_is_refused(void **state)
{
	const char *env[] = { "BAD" }, *empty[] = { "=x" };

	assert_int_equal(make((struct exec_flags){ .env = list_of(env, 1) }, NULL, NULL), -EINVAL);
	assert_non_null(strstr(error.text, "invalid environment variable: 'BAD'"));
	assert_int_equal(make((struct exec_flags){ .env = list_of(empty, 1) }, NULL, NULL),
			 -EINVAL);
}

static void config_without_process_is_refused(void **state)
{
	struct exec_flags flags = { .args = args };

	assert_int_equal(exec_process_from_flags("{}", 2, &flags, NULL, NULL, &error), -EINVAL);
	assert_int_equal(exec_process_from_flags("[]", 2, &flags, NULL, NULL, &error), -EINVAL);
	assert_int_equal(exec_process_from_flags("{", 1, &flags, NULL, NULL, &error), -EBADMSG);
	assert_int_equal(exec_process_from_flags("{\"process\":{\"user\":7}}", 22, &flags, NULL,
						 NULL, &error),
			 -EINVAL);
}

static void unknown_fields_of_the_process_are_passed_on(void **state)
{
	static const char config[] =
		"{\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"user\":{\"uid\":0,\"gid\":0},\"scheduler\":{\"policy\":\"SCHED_OTHER\"}}}";
	_cleanup_(oci_process_free_p) struct oci_process *p = NULL;
	_cleanup_free_ char *text = NULL;
	struct exec_flags flags = { .args = args };

	assert_int_equal(exec_process_from_flags(config, strlen(config), &flags, &text, &p, &error),
			 0);
	assert_non_null(strstr(text, "SCHED_OTHER"));
}

static void process_file_is_checked_and_named(void **state)
{
	struct oci_process *p = NULL;
	char *text = NULL;

	assert_int_equal(exec_process_from_file("/nonexistent/process", &text, &p, &error),
			 -ENOENT);
	assert_int_equal(exec_process_from_file("/dev/zero", &text, &p, &error), -EFBIG);
	assert_int_equal(exec_process_from_file("/dev/null", &text, &p, &error), -EBADMSG);
	assert_non_null(strstr(error.text, "/dev/null"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(flags_change_what_they_name_and_nothing_else),
		leak_checked(user_without_group_keeps_the_containers_group),
		leak_checked(malformed_user_never_becomes_another_one),
		leak_checked(added_capability_is_not_inheritable),
		leak_checked(environment_without_equals_is_refused),
		leak_checked(config_without_process_is_refused),
		leak_checked(unknown_fields_of_the_process_are_passed_on),
		leak_checked(process_file_is_checked_and_named),
	};

	return cmocka_run_group_tests_name("runtime_exec_process", tests, NULL, NULL);
}
