/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/hook.h"
#include "common/io.h"
#include "tests/unit/check_leaks.h"

#define SH(script, ...)                                                                             \
	{                                                                                          \
		.path = (char *)"/bin/sh",                                                         \
		.args = (char *[]){ (char *)"sh", (char *)"-c", (char *)(script), NULL },          \
		.env = (char *[]){ (char *)"PATH=/usr/bin:/bin", NULL }, ##__VA_ARGS__             \
	}

static char folder[] = "/tmp/onggi-test-hook-XXXXXX";

static const struct hook_context plain = { .state = "{\"id\":\"c\"}", .cwd = folder };

static void assert_file(const char *name, const char *wanted)
{
	char path[64], *text = NULL;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, NULL), 0);
	assert_string_equal(text, wanted);
	free(text);
	unlink(path);
}

static void hooks_run_in_order_with_the_state_on_stdin_in_their_folder(void **state)
{
	const struct oci_hook hooks[] = { SH("cat > state; echo 1 >> order"), SH("echo 2 >> order") };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 2, "prestart", &plain, &err), 0);
	assert_file("state", "{\"id\":\"c\"}");
	assert_file("order", "1\n2\n");
}

static void hook_that_fails_keeps_later_ones_from_running(void **state)
{
	const struct oci_hook hooks[] = { SH("true"), SH("echo words; echo more >&2; exit 7"),
					  SH("echo 3 > order") };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 3, "createRuntime", &plain, &err), -EIO);
	assert_string_equal(err.text, "error running createRuntime hook #1: hook '/bin/sh' failed with exit "
				      "status 7: words\nmore\n");
	assert_int_equal(access("order", F_OK), -1);
}

static void hook_that_fails_lets_the_rest_run_when_asked_to(void **state)
{
	const struct oci_hook hooks[] = { SH("exit 1"), SH("exit 2"), SH("echo 3 > order") };
	struct hook_context context = plain;
	struct err err = ERR_INIT;

	context.go_on = true;
	assert_int_equal(hook_run_all(hooks, 3, "poststop", &context, &err), -EIO);
	assert_non_null(strstr(err.text, "hook #0"));
	assert_non_null(strstr(err.text, "status 1"));
	assert_file("order", "3\n");
}

static void hook_over_its_time_is_killed(void **state)
{
	const struct oci_hook hooks[] = { SH("exec sleep 1000", .timeout_s = 1) };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 1, "prestart", &plain, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "did not end in 1 s"));
}

static void hook_that_cannot_be_run_says_why(void **state)
{
	const struct oci_hook hooks[] = { { .path = (char *)"/nowhere/at-all" } };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 1, "prestart", &plain, &err), -EIO);
	assert_non_null(strstr(err.text, "'/nowhere/at-all' failed with exit status 127: No such file"));
}

static void hook_killed_by_a_signal_has_failed(void **state)
{
	const struct oci_hook hooks[] = { SH("kill -TERM $$") };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 1, "prestart", &plain, &err), -EIO);
	assert_non_null(strstr(err.text, "killed by signal 15"));
}

static void hook_without_env_has_an_empty_one_and_three_descriptors(void **state)
{
	struct oci_hook hooks[] = { SH("/usr/bin/env | /bin/grep -v '^PWD=\\|^_=\\|^SHLVL=' > env; for f in 0 1 2 3 4 5 6 7 8 9; "
				       "do [ -e /proc/$$/fd/$f ] && echo $f; done > fds; true") };
	int noise = open("/dev/null", O_RDONLY);
	struct err err = ERR_INIT;

	hooks[0].env = NULL;
	setenv("ONGGI_TEST_NOISE", "1", 1);
	assert_int_equal(hook_run_all(hooks, 1, "prestart", &plain, &err), 0);
	unsetenv("ONGGI_TEST_NOISE");
	close(noise);
	assert_file("env", "");
	assert_file("fds", "0\n1\n2\n");
}

static int refuse_to_enter(void *userdata)
{
	return *(int *)userdata;
}

static void hook_is_not_run_where_it_cannot_be(void **state)
{
	const struct oci_hook hooks[] = { SH("echo ran > order") };
	int code = -EPERM;
	struct hook_context context = { .state = "{}", .cwd = folder, .enter = refuse_to_enter, .userdata = &code };
	struct err err = ERR_INIT;

	assert_int_equal(hook_run_all(hooks, 1, "prestart", &context, &err), -EIO);
	assert_non_null(strstr(err.text, "Operation not permitted"));
	assert_int_equal(access("order", F_OK), -1);
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(hooks_run_in_order_with_the_state_on_stdin_in_their_folder),
		leak_checked(hook_that_fails_keeps_later_ones_from_running),
		leak_checked(hook_that_fails_lets_the_rest_run_when_asked_to),
		leak_checked(hook_over_its_time_is_killed),
		leak_checked(hook_that_cannot_be_run_says_why),
		leak_checked(hook_killed_by_a_signal_has_failed),
		leak_checked(hook_without_env_has_an_empty_one_and_three_descriptors),
		leak_checked(hook_is_not_run_where_it_cannot_be),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
