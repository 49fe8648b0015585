/* SPDX-License-Identifier: Apache-2.0 */
/* What the QMP client tells its callers, whatever the VMM at the other end says. The VMM is the test itself. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "hypervisor/qmp.h"
#include "tests/unit/check_leaks.h"

/* Longer than this is a hang. */
#define GUARD_MS 20000
/* For commands that are not meant to time out. */
#define LONG_MS 100000
#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

/* Added to the clock of the loop and of the client, so that half a minute needs no half minute. */
static int64_t clock_ahead_ms;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);

	if (r == 0 && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE))
		ts->tv_sec += clock_ahead_ms / 1000;
	return r;
}

struct rig {
	struct loop *loop;
	struct loop_source *guard;
	struct qmp *qmp;
	int peer;
	bool executing; /* qmp_execute runs */
	enum { IN_NOTHING, IN_DONE, IN_EVENT, IN_LOST } destroy_in;
	bool execute_in_done;
	unsigned int n_done, n_events, n_lost, done_when_lost;
	int code, lost_code; /* the last ones */
	bool data_seen;
	char message[256], lost_message[256], answer[256], event[64];
	char heard[QMP_LINE_MAX + 2]; /* of the client, not yet looked at */
	size_t n_heard;
	int got_fd; /* that came with the last line, or -1 */
	uint64_t id; /* of the last line */
};

static void on_guard(void *userdata)
{
	fail_msg("nothing happens");
}

static void rig_destroy_client(struct rig *r)
{
	struct qmp *qmp = r->qmp;

	r->qmp = NULL;
	qmp_destroy(qmp);
}

static int execute(struct rig *r, const char *command, uint64_t timeout_ms);

static void on_done(int code, const char *message, const struct json *answer, void *userdata)
{
	struct rig *r = userdata;
	char *text = answer ? json_text(answer, false) : NULL;

	assert_false(r->executing);
	assert_int_equal(code == 0, answer != NULL);
	assert_int_equal(code == 0, message == NULL);
	r->n_done++;
	r->code = code;
	snprintf(r->message, sizeof(r->message), "%s", message ? message : "");
	snprintf(r->answer, sizeof(r->answer), "%s", text ? text : "");
	free(text);
	if (r->destroy_in == IN_DONE && r->qmp)
		rig_destroy_client(r);
	if (r->execute_in_done && code == 0) {
		r->execute_in_done = false;
		assert_int_equal(execute(r, "again", LONG_MS), 0);
	}
}

static void on_event(const char *event, const struct json *data, void *userdata)
{
	struct rig *r = userdata;

	r->n_events++;
	r->data_seen = data != NULL;
	snprintf(r->event, sizeof(r->event), "%s", event);
	if (r->destroy_in == IN_EVENT)
		rig_destroy_client(r);
}

static void on_lost(int code, const char *message, void *userdata)
{
	struct rig *r = userdata;

	r->n_lost++;
	r->lost_code = code;
	r->done_when_lost = r->n_done;
	snprintf(r->lost_message, sizeof(r->lost_message), "%s", message);
	if (r->destroy_in == IN_LOST)
		rig_destroy_client(r);
}

/* @sndbuf: bytes that the client's socket buffers, 0: as the system has it */
static void rig_start_small(struct rig *r, int sndbuf, bool callbacks)
{
	struct qmp_callbacks cb = { .userdata = r };
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->got_fd = -1;
	clock_ahead_ms = 0;
	if (callbacks) {
		cb.on_event = on_event;
		cb.on_lost = on_lost;
	}
	assert_int_equal(loop_create(&r->loop), 0);
	assert_int_equal(loop_add_timer(r->loop, GUARD_MS, on_guard, r, &r->guard), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	if (sndbuf)
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
	assert_int_equal(qmp_create(r->loop, fds[0], &cb, &r->qmp), 0);
	r->peer = fds[1];
}

static void rig_start(struct rig *r)
{
	rig_start_small(r, 0, true);
}

static void rig_stop(struct rig *r)
{
	rig_destroy_client(r);
	loop_source_destroy(r->guard);
	loop_destroy(r->loop);
	if (r->peer >= 0)
		close(r->peer);
	if (r->got_fd >= 0)
		close(r->got_fd);
	clock_ahead_ms = 0;
}

static void rig_run_until(struct rig *r, const unsigned int *counter, unsigned int n)
{
	while (*counter < n)
		loop_run_once(r->loop);
	assert_int_equal(*counter, n);
}

/* The guard goes with the clock, or it would bark. */
static void advance(struct rig *r, int64_t ms)
{
	clock_ahead_ms += ms;
	loop_timer_set(r->guard, (uint64_t)ms + GUARD_MS);
}

static int execute_with(struct rig *r, const char *command, struct json *arguments, int fd, uint64_t timeout_ms)
{
	int code;

	r->executing = true;
	code = qmp_execute(r->qmp, command, arguments, fd, timeout_ms, on_done, r);
	r->executing = false;
	return code;
}

static int execute(struct rig *r, const char *command, uint64_t timeout_ms)
{
	return execute_with(r, command, NULL, -1, timeout_ms);
}

static void say_bytes(struct rig *r, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(r->peer, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EPIPE)
			return; /* the client has hung up: it tells why */
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			loop_run_once(r->loop);
			continue;
		}
		data += n;
		len -= (size_t)n;
	}
}

static void say(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct rig *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say_bytes(r, text, strlen(text));
}

/* Take in what the client has sent; false: nothing. */
static bool take(struct rig *r)
{
	size_t room = sizeof(r->heard) - 1 - r->n_heard, n_fds = 0;
	int fds[1];
	ssize_t n;

	assert_true(room > 0);
	n = fd_receive(r->peer, r->heard + r->n_heard, room, fds, 1, &n_fds);
	if (n == -EAGAIN)
		return false;
	assert_true(n > 0);
	r->n_heard += (size_t)n;
	r->heard[r->n_heard] = '\0';
	if (n_fds > 0) {
		assert_int_equal(r->got_fd, -1);
		r->got_fd = fds[0];
	}
	return true;
}

/* The next line of the client, which must be @command. Returns its arguments' text, the caller frees it. */
static char *hear_arguments(struct rig *r, const char *command)
{
	struct json *root = NULL;
	const char *name = NULL;
	char *end, *text;

	assert_int_equal(fd_set_nonblock(r->peer, true), 0);
	while (!(end = memchr(r->heard, '\n', r->n_heard)))
		if (!take(r))
			loop_run_once(r->loop);
	assert_int_equal(json_parse(r->heard, (size_t)(end - r->heard), &root, NULL), 0);
	r->n_heard -= (size_t)(end + 1 - r->heard);
	memmove(r->heard, end + 1, r->n_heard);
	assert_int_equal(json_member_string(root, "", "execute", &name, NULL), 1);
	assert_string_equal(name, command);
	assert_int_equal(json_member_uint(root, "", "id", UINT64_MAX, &r->id, NULL), 1);
	text = json_get(root, "arguments") ? json_text(json_get(root, "arguments"), false) : NULL;
	json_unref(root);
	return text;
}

static void hear(struct rig *r, const char *command)
{
	free(hear_arguments(r, command));
}

static void hear_nothing(struct rig *r)
{
	assert_int_equal(fd_set_nonblock(r->peer, true), 0);
	assert_false(take(r));
	assert_int_equal(r->n_heard, 0);
}

static void answer(struct rig *r)
{
	say(r, "{\"return\": {}, \"id\": %llu}\r\n", (unsigned long long)r->id);
}

static void negotiate(struct rig *r)
{
	say(r, GREETING);
	hear(r, "qmp_capabilities");
	answer(r);
}

/* An event and its arrival: what was said before has been taken in. */
static void settle(struct rig *r)
{
	unsigned int before = r->n_events;

	say(r, "{\"event\": \"E\"}\n");
	rig_run_until(r, &r->n_events, before + 1);
}

static void assert_lost(struct rig *r, int code, const char *words)
{
	rig_run_until(r, &r->n_lost, 1);
	assert_int_equal(r->lost_code, code);
	if (!strstr(r->lost_message, words))
		fail_msg("'%s' is not about '%s'", r->lost_message, words);
	assert_int_equal(execute(r, "stop", LONG_MS), -EPIPE);
}

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

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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
	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
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

static void say_events(struct rig *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		say(r, "{\"event\": \"E\"}\n");
}

static void event_flood_ends_the_connection(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
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

	rig_start(&r);
	negotiate(&r);
	for (unsigned int i = 1; i <= 3; i++) {
		say_events(&r, QMP_EVENTS_MAX / 2);
		rig_run_until(&r, &r.n_events, i * QMP_EVENTS_MAX / 2);
		advance(&r, QMP_EVENT_WINDOW_MS);
	}
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

/* ---- claims: a VMM that breaks the protocol ---- */

static void malformed_greeting_ends_the_connection(void **state)
{
	static const char *const greetings[] = {
		"{\"return\": {}, \"id\": 1}\n", "{\"event\": \"E\"}\n", "{\"QMP\": 1}\n", "{}\n",
		"[]\n", "QMP\n", "{\"QMP\": {}} {}\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(greetings); i++) {
		struct rig r;

		rig_start(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		say(&r, "%s", greetings[i]);
		assert_lost(&r, -EPROTO, "line");
		assert_int_equal(r.done_when_lost, 1);
		assert_int_equal(r.code, -EPROTO);
		assert_int_equal(r.n_events, 0);
		rig_stop(&r);
	}
}

static void refused_negotiation_ends_the_connection(void **state)
{
	struct rig r;

	rig_start(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say(&r, GREETING);
	hear(&r, "qmp_capabilities");
	say(&r, "{\"id\": %llu, \"error\": {\"desc\": \"no\"}}\n", (unsigned long long)r.id);
	assert_lost(&r, -EPROTO, "negotiate");
	assert_int_equal(r.code, -EPROTO);
	rig_stop(&r);
}

static void broken_lines_end_the_connection(void **state)
{
	static const struct {
		const char *line, *words;
	} cases[] = {
		{ "nonsense\n", "no JSON object" },
		{ "[1]\n", "no JSON object" },
		{ "{\"a\": 1}\n", "neither answer nor event" },
		{ "{\"event\": 7}\n", "neither answer nor event" },
		{ "{\"return\": {}}\n", "malformed answer" },
		{ "{\"return\": {}, \"id\": \"2\"}\n", "malformed answer" },
		{ "{\"error\": \"x\", \"id\": 2}\n", "malformed answer" },
		{ "{\"return\": {}, \"id\": 77}\n", "not asked" },
		{ "{\"return\": {}, \"id\": 0}\n", "not asked" },
		{ "{\"return\": {}, \"id\": -1}\n", "not asked" },
		{ "{\"return\": {}, \"id\": 18446744073709551616}\n", "no JSON object" },
		{ GREETING, "neither answer nor event" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rig r;

		rig_start(&r);
		negotiate(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		assert_int_equal(execute(&r, "cont", LONG_MS), 0);
		hear(&r, "stop");
		say(&r, "%s", cases[i].line);
		assert_lost(&r, -EPROTO, cases[i].words);
		assert_int_equal(r.done_when_lost, 2);
		assert_int_equal(r.code, -EPROTO);
		assert_string_equal(r.message, r.lost_message);
		rig_stop(&r);
	}
}

static void answer_to_nothing_ends_the_connection(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	answer(&r);
	assert_lost(&r, -EPROTO, "not asked");
	rig_stop(&r);
}

/* An event whose line has @len bytes without the newline, or is never ended. */
static void say_long_event(struct rig *r, size_t len, bool end)
{
	static const char start[] = "{\"event\": \"E\", \"data\": \"", finish[] = "\"}";
	char *line = malloc(len + 1);

	assert_non_null(line);
	memset(line, 'x', len);
	memcpy(line, start, sizeof(start) - 1);
	memcpy(line + len - (sizeof(finish) - 1), finish, sizeof(finish) - 1);
	line[len] = '\n';
	say_bytes(r, line, end ? len + 1 : len);
	free(line);
}

static void line_at_the_limit_is_taken(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	say_long_event(&r, QMP_LINE_MAX, true);
	rig_run_until(&r, &r.n_events, 1);
	settle(&r);
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

static void line_over_the_limit_ends_the_connection(void **state)
{
	for (int end = 0; end < 2; end++) {
		struct rig r;

		rig_start(&r);
		negotiate(&r);
		say_long_event(&r, QMP_LINE_MAX + 1, end);
		assert_lost(&r, -EPROTO, "too long");
		assert_int_equal(r.n_events, 0);
		rig_stop(&r);
	}
}

static void lines_may_come_byte_by_byte_and_blank(void **state)
{
	static const char text[] = "\n\r\n" GREETING "\n";
	struct rig r;

	rig_start(&r);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		say_bytes(&r, &text[i], 1);
		loop_run_once(r.loop);
	}
	hear(&r, "qmp_capabilities");
	answer(&r);
	settle(&r);
	assert_int_equal(r.n_lost, 0);
	rig_stop(&r);
}

/* ---- claims: the end of the connection, and time ---- */

static void peer_that_closes_fails_all_commands_then_says_lost(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	hear(&r, "stop");
	say(&r, "{\"return\": {}, \"id\": "); /* half a line is none */
	close(TAKE_FD(r.peer));
	assert_lost(&r, -EPIPE, "closed");
	assert_int_equal(r.done_when_lost, 3);
	assert_int_equal(r.n_done, 3);
	assert_int_equal(r.code, -EPIPE);
	rig_stop(&r);
	assert_int_equal(r.n_done, 3);
	assert_int_equal(r.n_lost, 1);
}

static void silent_vmm_times_out_before_and_within_negotiation(void **state)
{
	for (int greets = 0; greets < 2; greets++) {
		struct rig r;

		rig_start(&r);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		if (greets) {
			say(&r, GREETING);
			hear(&r, "qmp_capabilities");
			settle(&r);
		}
		advance(&r, QMP_NEGOTIATE_MS);
		assert_lost(&r, -ETIMEDOUT, "negotiate");
		assert_int_equal(r.done_when_lost, 1);
		assert_int_equal(r.code, -ETIMEDOUT);
		rig_stop(&r);
	}
}

static void late_answer_is_ignored_and_the_next_command_works(void **state)
{
	uint64_t late;
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	assert_int_equal(execute(&r, "slow", 20), 0);
	hear(&r, "slow");
	late = r.id;
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.code, -ETIMEDOUT);
	assert_int_equal(execute(&r, "next", LONG_MS), 0);
	hear(&r, "next");
	say(&r, "{\"return\": {}, \"id\": %llu}\n", (unsigned long long)late);
	settle(&r);
	assert_int_equal(r.n_done, 1);
	answer(&r);
	rig_run_until(&r, &r.n_done, 2);
	assert_int_equal(r.code, 0);
	/* But once only. */
	say(&r, "{\"return\": {}, \"id\": %llu}\n", (unsigned long long)late);
	assert_lost(&r, -EPROTO, "not asked");
	rig_stop(&r);
}

static void vmm_that_answers_nothing_is_given_up(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	for (unsigned int i = 0; i < QMP_STALE_MAX + 2; i++)
		assert_int_equal(execute(&r, "stop", 5), 0);
	assert_lost(&r, -ETIMEDOUT, "does not respond");
	assert_int_equal(r.done_when_lost, QMP_STALE_MAX + 2);
	assert_int_equal(r.code, -ETIMEDOUT);
	rig_stop(&r);
}

static void vmm_that_reads_nothing_is_given_up(void **state)
{
	struct json *arguments = json_new_object();
	char text[60001];
	struct rig r;

	rig_start_small(&r, 4096, true);
	negotiate(&r);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(json_set(arguments, "t", json_new_string(text)), 0);
	assert_int_equal(execute_with(&r, "big", arguments, -1, 20), 0);
	assert_lost(&r, -ETIMEDOUT, "does not respond");
	assert_int_equal(r.code, -ETIMEDOUT);
	rig_stop(&r);
}

static void destroy_cancels_what_waits(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	hear(&r, "stop");
	rig_stop(&r);
	assert_int_equal(r.n_done, 2);
	assert_int_equal(r.code, -ECANCELED);
	assert_int_equal(r.n_lost, 0);
	qmp_destroy(NULL);
}

static void destroy_is_allowed_inside_done(void **state)
{
	for (int closes = 0; closes < 2; closes++) {
		struct rig r;

		rig_start(&r);
		negotiate(&r);
		r.destroy_in = IN_DONE;
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		assert_int_equal(execute(&r, "stop", LONG_MS), 0);
		hear(&r, "stop");
		if (closes)
			close(TAKE_FD(r.peer));
		else
			answer(&r);
		rig_run_until(&r, &r.n_done, 2);
		assert_int_equal(r.code, -ECANCELED);
		assert_int_equal(r.n_lost, 0);
		rig_stop(&r);
	}
}

static void destroy_is_allowed_inside_an_event_and_inside_lost(void **state)
{
	struct rig r;

	rig_start(&r);
	negotiate(&r);
	r.destroy_in = IN_EVENT;
	assert_int_equal(execute(&r, "stop", LONG_MS), 0);
	say_events(&r, 3);
	rig_run_until(&r, &r.n_done, 1);
	assert_int_equal(r.n_events, 1);
	assert_int_equal(r.code, -ECANCELED);
	rig_stop(&r);

	rig_start(&r);
	r.destroy_in = IN_LOST;
	say(&r, "x\nx\n");
	rig_run_until(&r, &r.n_lost, 1);
	assert_null(r.qmp);
	rig_stop(&r);
	assert_int_equal(r.n_lost, 1);
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
		leak_checked(malformed_greeting_ends_the_connection),
		leak_checked(refused_negotiation_ends_the_connection),
		leak_checked(broken_lines_end_the_connection),
		leak_checked(answer_to_nothing_ends_the_connection),
		leak_checked(line_at_the_limit_is_taken),
		leak_checked(line_over_the_limit_ends_the_connection),
		leak_checked(lines_may_come_byte_by_byte_and_blank),
		leak_checked(peer_that_closes_fails_all_commands_then_says_lost),
		leak_checked(silent_vmm_times_out_before_and_within_negotiation),
		leak_checked(late_answer_is_ignored_and_the_next_command_works),
		leak_checked(vmm_that_answers_nothing_is_given_up),
		leak_checked(vmm_that_reads_nothing_is_given_up),
		leak_checked(destroy_cancels_what_waits),
		leak_checked(destroy_is_allowed_inside_done),
		leak_checked(destroy_is_allowed_inside_an_event_and_inside_lost),
	};

	return cmocka_run_group_tests_name("qmp", tests, NULL, NULL);
}
