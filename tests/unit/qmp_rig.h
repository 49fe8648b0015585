/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp_rig.h - a QMP client whose VMM is the test itself
 *
 * Shape:    rig_start makes client and socket; say… is the VMM's voice, hear… what the client has sent. An
 *           alarm ends a test in which nothing happens any more.
 * Time:     passes by advance() only, so that a command times out when the test means it to, and half a minute
 *           needs no half minute.
 */
#ifndef ONGGI_TESTS_QMP_RIG_H
#define ONGGI_TESTS_QMP_RIG_H

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
#include <unistd.h>

#include "common/fd.h"
#include "hypervisor/qmp.h"
#include "tests/unit/check_leaks.h"
#include "tests/unit/own_clock.h"

/* Longer than this is a hang, in seconds. */
#define GUARD_S 200
/* For commands that are not meant to time out. */
#define LONG_MS 100000
#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

struct rig {
	struct loop *loop;
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

static inline void rig_destroy_client(struct rig *r)
{
	struct qmp *qmp = r->qmp;

	r->qmp = NULL;
	qmp_destroy(qmp);
}

static inline int execute(struct rig *r, const char *command, uint64_t timeout_ms);

static inline void on_done(int code, const char *message, const struct json *answer, void *userdata)
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

static inline void on_event(const char *event, const struct json *data, void *userdata)
{
	struct rig *r = userdata;

	r->n_events++;
	r->data_seen = data != NULL;
	snprintf(r->event, sizeof(r->event), "%s", event);
	if (r->destroy_in == IN_EVENT)
		rig_destroy_client(r);
}

static inline void on_lost(int code, const char *message, void *userdata)
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
static inline void rig_start_small(struct rig *r, int sndbuf, bool callbacks)
{
	struct qmp_callbacks cb = { .userdata = r };
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->got_fd = -1;
	alarm(GUARD_S);
	clock_stop();
	if (callbacks) {
		cb.on_event = on_event;
		cb.on_lost = on_lost;
	}
	assert_int_equal(loop_create(&r->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	if (sndbuf)
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
	assert_int_equal(qmp_create(r->loop, fds[0], &cb, &r->qmp), 0);
	r->peer = fds[1];
}

static inline void rig_start(struct rig *r)
{
	rig_start_small(r, 0, true);
}

static inline void rig_stop(struct rig *r)
{
	rig_destroy_client(r);
	loop_destroy(r->loop);
	if (r->peer >= 0)
		close(r->peer);
	if (r->got_fd >= 0)
		close(r->got_fd);
	clock_run();
	alarm(0);
}

static inline void rig_run_until(struct rig *r, const unsigned int *counter, unsigned int n)
{
	while (*counter < n)
		loop_run_once(r->loop);
	assert_int_equal(*counter, n);
}

static inline void advance(int64_t ms)
{
	clock_ahead_ms += ms;
}

static inline int execute_with(struct rig *r, const char *command, struct json *arguments, int fd, uint64_t timeout_ms)
{
	int code;

	r->executing = true;
	code = qmp_execute(r->qmp, command, arguments, fd, timeout_ms, on_done, r);
	r->executing = false;
	return code;
}

static inline int execute(struct rig *r, const char *command, uint64_t timeout_ms)
{
	return execute_with(r, command, NULL, -1, timeout_ms);
}

static inline void say_bytes(struct rig *r, const char *data, size_t len)
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

static inline void say(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void say(struct rig *r, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say_bytes(r, text, strlen(text));
}

/* Take in what the client has sent; false: nothing. */
static inline bool take(struct rig *r)
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
static inline char *hear_arguments(struct rig *r, const char *command)
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

static inline void hear(struct rig *r, const char *command)
{
	free(hear_arguments(r, command));
}

static inline void hear_nothing(struct rig *r)
{
	assert_int_equal(fd_set_nonblock(r->peer, true), 0);
	assert_false(take(r));
	assert_int_equal(r->n_heard, 0);
}

static inline void answer(struct rig *r)
{
	say(r, "{\"return\": {}, \"id\": %llu}\r\n", (unsigned long long)r->id);
}

static inline void negotiate(struct rig *r)
{
	say(r, GREETING);
	hear(r, "qmp_capabilities");
	answer(r);
}

/* A rig whose QMP is negotiated: commands go out at once. */
static inline void rig_ready(struct rig *r)
{
	rig_start(r);
	negotiate(r);
}

/* An event and its arrival: what was said before has been taken in. */
static inline void settle(struct rig *r)
{
	unsigned int before = r->n_events;

	say(r, "{\"event\": \"E\"}\n");
	rig_run_until(r, &r->n_events, before + 1);
}

static inline void assert_lost(struct rig *r, int code, const char *words)
{
	rig_run_until(r, &r->n_lost, 1);
	assert_int_equal(r->lost_code, code);
	if (!strstr(r->lost_message, words))
		fail_msg("'%s' is not about '%s'", r->lost_message, words);
	assert_int_equal(execute(r, "stop", LONG_MS), -EPIPE);
}

static inline void say_events(struct rig *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		say(r, "{\"event\": \"E\"}\n");
}

#endif
