/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "shim/runtime/pidfile.h"
#include "shim/state_json.h"
#include "tests/unit/check_leaks.h"

static char *annotations[] = { (char *)"b", (char *)"2", (char *)"a\"\n", (char *)"1", NULL };

static struct container_record record = {
	.id = (char *)"c",
	.bundle = (char *)"/b",
	.rootfs = (char *)"/b/rootfs",
	.oci_version = (char *)"1.0.2-dev",
	.proxy = { .pid = 77 },
	.created = (char *)"2026-01-02T03:04:05.000000006Z",
	.annotations = annotations,
};

static void members_have_runcs_names_and_order(void **state)
{
	_cleanup_json_ struct json *j = state_json(&record, CONTAINER_PAUSED, "root");
	_cleanup_free_ char *text = json_text(j, false);

	assert_string_equal(
		text,
		"{\"ociVersion\":\"1.0.2-dev\",\"id\":\"c\",\"pid\":77,\"status\":\"paused\",\"bundle\":\"/b\","
		"\"rootfs\":\"/b/rootfs\",\"created\":\"2026-01-02T03:04:05.000000006Z\","
		"\"annotations\":{\"b\":\"2\",\"a\\\"\\n\":\"1\"},\"owner\":\"root\"}");
}

static void stopped_container_has_pid_0(void **state)
{
	_cleanup_json_ struct json *j = state_json(&record, CONTAINER_STOPPED, "");

	assert_int_equal(json_int(json_get(j, "pid")), 0);
	assert_string_equal(json_string(json_get(j, "status")), "stopped");
}

static void lost_reason_is_shown_to_callers_and_not_to_hooks(void **state)
{
	struct container_record lost = record;
	_cleanup_json_ struct json *j = NULL, *hooks = NULL;

	lost.lost_reason = (char *)"gone";
	j = state_json(&lost, CONTAINER_STOPPED, "");
	hooks = state_json_for_hooks(&lost, CONTAINER_STOPPED);
	assert_string_equal(json_string(json_get(j, "lostReason")), "gone");
	assert_null(json_get(hooks, "lostReason"));
}

static void annotations_are_left_out_when_there_are_none(void **state)
{
	struct container_record bare = record;
	_cleanup_json_ struct json *j = NULL;

	bare.annotations = NULL;
	j = state_json(&bare, CONTAINER_RUNNING, "");
	assert_null(json_get(j, "annotations"));
}

static void pid_file_is_replaced_whole_and_holds_digits_only(void **state)
{
	char dir[] = "/tmp/onggi-pid-XXXXXX", path[64];
	_cleanup_free_ char *text = NULL;
	struct stat before, after;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/pid", dir);
	assert_int_equal(pidfile_write(path, 4000000, NULL), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &before), 0);
	assert_int_equal(pidfile_write(path, 12, NULL), 0);
	assert_int_equal(stat(path, &after), 0);
	/* Another file: nobody can have read half of it. */
	assert_int_not_equal(before.st_ino, after.st_ino);
	assert_int_equal(io_read_file(AT_FDCWD, path, 64, &text, NULL), 0);
	assert_string_equal(text, "12");
	close(fd);
	unlink(path);
	/* No temporary file is left. */
	assert_int_equal(rmdir(dir), 0);
}

static void pid_file_in_a_missing_folder_is_an_error_with_its_path(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(pidfile_write("/nonexistent/pid", 1, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/pid"));
	assert_int_equal(pidfile_write(NULL, 1, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(members_have_runcs_names_and_order),
		leak_checked(stopped_container_has_pid_0),
		leak_checked(lost_reason_is_shown_to_callers_and_not_to_hooks),
		leak_checked(annotations_are_left_out_when_there_are_none),
		leak_checked(pid_file_is_replaced_whole_and_holds_digits_only),
		leak_checked(pid_file_in_a_missing_folder_is_an_error_with_its_path),
	};

	return cmocka_run_group_tests_name("runtime_state_json", tests, NULL, NULL);
}
