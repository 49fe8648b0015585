/* SPDX-License-Identifier: Apache-2.0 */
/* What the QMP client does for its callers: commands, their answers, events. */
#include "tests/unit/qmp_rig.h"

/* ---- claims: commands ---- */

static void commands_wait_for_greeting_and_negotiation(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	hear_nothing(&r);
	say(&r, GREETING);
	hear(&r, "qmp_capabilities");
	settle(&r);
	hear_nothing(&r);
	answer(&r);
	hear(&r, "stop");
	answer(&r);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, 0);
	rig_stop(&r);
}

static void one_command_is_in_flight_and_the_order_is_kept(void **state)
{
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "first", LONG_MS), 0);
	assert_int_equal(execute(&r, "second", LONG_MS), 0);
	hear(&r, "first");
	settle(&r);
	hear_nothing(&r);
	answer(&r);
	hear(&r, "second");
	assert_int_equal(r.n_done, 1);
	answer(&r);
	rig_run_until(&r, &r.n_done, 2);
	rig_stop(&r);
}

static void answer_reaches_its_caller(void **state)
{
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "query-status", LONG_MS), 0);
	hear(&r, "query-status");
	say(&r, "{\"return\": {\"running\":true}, \"id\": %llu}\n", (unsigned long long)r.id);
	rig_run_until(&r, &r.n_done, 1);
	assert_string_equal(r.answer, "{\"running\":true}");
	rig_stop(&r);
}

static void arguments_are_sent_as_one_line(void **state)
{
	struct json *arguments = json_new_object();
	struct rig r;
	char *text;

	rig_ready(&r);
	assert_int_equal(json_set(arguments, "tag", json_new_string("a\n\"},b")), 0);
	assert_int_equal(execute_with(&r, "device_add", arguments, -1, LONG_MS), 0);
	text = hear_arguments(&r, "device_add");
	assert_string_equal(text, "{\"tag\":\"a\\n\\\"},b\"}");
	free(text);
	hear_nothing(&r);
	rig_stop(&r);
}

static void error_reply_gives_qemus_words(void **state)
{
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "device_del", LONG_MS), 0);
	assert_int_equal(execute(&r, "device_del", LONG_MS), 0);
	hear(&r, "device_del");
	say(&r, "{\"id\": %llu, \"error\": {\"class\": \"X\", \"desc\": \"no 'd%%s'\"}}\n", (unsigned long long)r.id);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, -EREMOTEIO);
	assert_string_equal(r.message, "no 'd%s'");
	hear(&r, "device_del");
	say(&r, "{\"id\": %llu, \"error\": {\"desc\": 7}}\n", (unsigned long long)r.id);
	rig_run_until(&r, &r.n_done, 2);
	assert_int_equal(r.code, -EREMOTEIO);
	assert_string_equal(r.message, "no reason given");
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

static void descriptor_goes_with_its_command(void **state)
{
	struct stat sent, got;
	struct rig r;
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &sent), 0);
	rig_ready(&r);
	assert_int_equal(execute(&r, "before", LONG_MS), 0);
	assert_int_equal(execute_with(&r, "getfd", NULL, fd, LONG_MS), 0);
	close(fd); /* duplicated at once */
	hear(&r, "before");
	assert_int_equal(r.got_fd, -1);
	answer(&r);
	hear(&r, "getfd");
	assert_true(r.got_fd >= 0);
	assert_int_equal(fstat(r.got_fd, &got), 0);
	assert_true(sent.st_dev == got.st_dev && sent.st_ino == got.st_ino);
	/* One that is never sent: the check for leaks looks for it. */
	assert_int_equal(execute_with(&r, "getfd", NULL, r.got_fd, LONG_MS), 0);
	rig_stop(&r);
}

static void command_larger_than_the_sockets_buffer_arrives_whole(void **state)
{
	struct json *arguments = json_new_object();
	char text[50001], *got;
	struct rig r;

	rig_start_small(&r, 4096, true);
	negotiate(&r);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(json_set(arguments, "t", json_new_string(text)), 0);
	assert_int_equal(execute_with(&r, "big", arguments, -1, LONG_MS), 0);
	got = hear_arguments(&r, "big");
	assert_int_equal(strlen(got), sizeof(text) - 1 + strlen("{\"t\":\"\"}"));
	free(got);
	answer(&r);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, 0);
	rig_stop(&r);
}

static void done_may_execute_and_may_be_absent(void **state)
{
	struct rig r;

	rig_ready(&r);
	r.execute_in_done = true;
	assert_int_equal(qmp_execute(r.qmp, "nobody-asks", NULL, -1, LONG_MS, NULL, NULL), 0);
	assert_int_equal(execute(&r, "first", LONG_MS), 0);
	hear(&r, "nobody-asks");
	answer(&r);
	hear(&r, "first");
	answer(&r);
	hear(&r, "again");
	answer(&r);
	rig_run_until(&r, &r.n_done, 2);
	rig_stop(&r);
}

/* ---- claims: what execute and create refuse ---- */

static void create_refuses_what_is_no_descriptor(void **state)
{
	struct qmp_callbacks callbacks = { 0 };
	struct loop *loop;
	struct qmp *qmp;

	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(qmp_create(loop, -1, &callbacks, &qmp), -EBADF);
	loop_destroy(loop);
}

static void execute_refuses_a_line_over_the_limit(void **state)
{
	size_t len = QMP_LINE_MAX;
	struct json *arguments;
	char *text;
	struct rig r;

	rig_ready(&r);
	text = malloc(len + 1);
	assert_non_null(text);
	memset(text, 'x', len);
	text[len] = '\0';
	arguments = json_new_object();
	assert_int_equal(json_set(arguments, "t", json_new_string(text)), 0);
	assert_int_equal(execute_with(&r, "big", arguments, -1, LONG_MS), -EMSGSIZE);
	free(text);
	assert_int_equal(execute(&r, "small", LONG_MS), 0);
	hear(&r, "small");
	assert_int_equal(r.n_done, 0);
	rig_stop(&r);
}

static void execute_refuses_when_the_queue_is_full(void **state)
{
	struct rig r;

	rig_start(&r);
	for (unsigned int i = 0; i < QMP_QUEUE_MAX; i++)
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	assert_int_equal(execute_with(&r, "stop", json_new_object(), -1, LONG_MS), -ENOBUFS);
	negotiate(&r);
	for (unsigned int i = 0; i < QMP_QUEUE_MAX; i++) {
		hear(&r, "stop");
		answer(&r);
	}
	rig_run_until(&r, &r.n_done, QMP_QUEUE_MAX);
	assert_int_equal(r.code, 0);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	rig_stop(&r);
}

static void execute_says_when_the_descriptor_cannot_be_duplicated(void **state)
{
	struct rlimit before, none;
	struct rig r;
	int code;

	rig_start(&r);
	assert_int_equal(execute_with(&r, "getfd", NULL, 1 << 20, LONG_MS), -EBADF);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 4;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	code = execute_with(&r, "getfd", NULL, 0, LONG_MS);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(code, -EMFILE);
	rig_stop(&r);
	assert_int_equal(r.n_done, 0);
}

/* ---- claims: events ---- */

static void event_reaches_the_callback_with_and_without_data(void **state)
{
	struct rig r;

	rig_ready(&r);
	say(&r, "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"d0\"}, \"timestamp\": {}}\r\n");
	rig_run_until(&r, &r.n_events, 1);
	assert_string_equal(r.event, "DEVICE_DELETED");
	assert_true(r.data_seen);
	say(&r, "{\"event\": \"RESUME\"}\r\n");
	rig_run_until(&r, &r.n_events, 2);
	assert_string_equal(r.event, "RESUME");
	assert_false(r.data_seen);
	rig_stop(&r);
}

static void callbacks_may_be_absent(void **state)
{
	struct rig r;

	rig_start_small(&r, 0, false);
	negotiate(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say(&r, "{\"event\": \"RESUME\"}\r\n");
	hear(&r, "stop");
	say(&r, "garbage\n");
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, -EPROTO);
	rig_stop(&r);
}

static void event_flood_ends_the_connection(void **state)
{
	struct rig r;

	rig_ready(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say_events(&r, QMP_EVENTS_MAX + 1);
	assert_lost(&r, -EPROTO, "too many events");
	assert_int_equal(r.n_events, QMP_EVENTS_MAX);
	assert_int_equal(r.code, -EPROTO);
	rig_stop(&r);
}

static void events_over_several_windows_are_no_flood(void **state)
{
	struct rig r;

	rig_ready(&r);
	for (unsigned int i = 1; i <= 3; i++) {
		say_events(&r, QMP_EVENTS_MAX / 2);
		rig_run_until(&r, &r.n_events, i * QMP_EVENTS_MAX / 2);
		advance(QMP_EVENT_WINDOW_MS);
	}
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(commands_wait_for_greeting_and_negotiation),
		leak_checked(one_command_is_in_flight_and_the_order_is_kept),
		leak_checked(answer_reaches_its_caller),
		leak_checked(arguments_are_sent_as_one_line),
		leak_checked(error_reply_gives_qemus_words),
		leak_checked(descriptor_goes_with_its_command),
		leak_checked(command_larger_than_the_sockets_buffer_arrives_whole),
		leak_checked(done_may_execute_and_may_be_absent),
		leak_checked(create_refuses_what_is_no_descriptor),
		leak_checked(execute_refuses_a_line_over_the_limit),
		leak_checked(execute_refuses_when_the_queue_is_full),
		leak_checked(execute_says_when_the_descriptor_cannot_be_duplicated),
		leak_checked(event_reaches_the_callback_with_and_without_data),
		leak_checked(callbacks_may_be_absent),
		leak_checked(event_flood_ends_the_connection),
		leak_checked(events_over_several_windows_are_no_flood),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
