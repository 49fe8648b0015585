/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * States: GREETING (waiting for {"QMP": …}) -> NEGOTIATING (qmp_capabilities in flight) -> READY
 * -> LOST.
 * Each command carries an id that counts up. The answer must name the id in flight, or one that
 * timed out lately ("stale": all ids below the one in flight, QMP_STALE_MAX of them unanswered at
 * most).
 *
 * Callbacks may destroy the client. Everything that calls one is bracketed by enter() and leave();
 * a destroy within marks it dead, and leave() of the outermost bracket frees it.
 */
#include "hypervisor/qmp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include "common/fd.h"
#include "common/trace.h"

enum qmp_state { QMP_GREETING, QMP_NEGOTIATING, QMP_READY, QMP_LOST };

/* Bytes read per round of the loop. */
#define READ_BYTES 8192

struct command {
	TAILQ_ENTRY(command) link;
	uint64_t id;
	char *text; /* a line, with its newline */
	size_t len, sent;
	int fd;
	uint64_t timeout_ms;
	qmp_done_fn done;
	void *userdata;
};

TAILQ_HEAD(command_queue, command);

struct qmp {
	struct loop *loop;
	struct loop_source *source, *timer;
	struct qmp_callbacks callbacks;
	int fd;
	enum qmp_state state;
	unsigned int depth; /* of enter() */
	bool dead;
	uint64_t next_id;
	struct command *in_flight;
	struct command_queue queue;
	size_t n_queued, n_stale;
	uint64_t window_start_ms;
	unsigned int n_events; /* in this window */
	char *line;            /* what was read of the line so far */
	size_t line_len, line_size;
};

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void command_free(struct command *c)
{
	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	free(c->text);
	free(c);
}

static void qmp_free(struct qmp *q)
{
	loop_source_destroy(q->source);
	loop_source_destroy(q->timer);
	if (q->fd >= 0)
		close(q->fd);
	free(q->line);
	free(q);
}

static void enter(struct qmp *q)
{
	q->depth++;
}

/* Returns whether the client is still there. */
static bool leave(struct qmp *q)
{
	if (--q->depth > 0)
		return !q->dead;
	if (!q->dead)
		return true;
	qmp_free(q);
	return false;
}

static void finish(struct command *c, int code, const char *message, const struct json *answer)
{
	if (c->done)
		c->done(code, message, answer, c->userdata);
	command_free(c);
}

/* End every command with @code. New ones that a callback adds are refused by state. */
static void fail_all(struct qmp *q, int code, const char *message)
{
	struct command *c = q->in_flight;

	q->in_flight = NULL;
	if (c)
		finish(c, code, message, NULL);
	while ((c = TAILQ_FIRST(&q->queue))) {
		TAILQ_REMOVE(&q->queue, c, link);
		q->n_queued--;
		finish(c, code, message, NULL);
	}
}

/* Returns false: the client may be gone after this. */
static bool lose(struct qmp *q, int code, const char *message)
{
	if (q->state == QMP_LOST)
		return false;
	q->state = QMP_LOST;
	loop_source_destroy(q->source);
	loop_source_destroy(q->timer);
	q->source = q->timer = NULL;
	close(TAKE_FD(q->fd));
	enter(q);
	fail_all(q, code, message);
	if (!q->dead && q->callbacks.on_lost)
		q->callbacks.on_lost(code, message, q->callbacks.userdata);
	leave(q);
	return false;
}

/* ---- sending ---- */

/* One sendmsg; the descriptor goes with the first byte. Returns bytes or a negative errno. */
static ssize_t send_some(int sock, struct command *c)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = c->text + c->sent, .iov_len = c->len - c->sent };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (c->fd >= 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &c->fd, sizeof(int));
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (c->fd >= 0)
		close(TAKE_FD(c->fd));
	return n;
}

static void start_next(struct qmp *q)
{
	struct command *c = TAILQ_FIRST(&q->queue);

	if (q->in_flight || !c || q->state != QMP_READY)
		return;
	TAILQ_REMOVE(&q->queue, c, link);
	q->n_queued--;
	q->in_flight = c;
	loop_timer_set(q->timer, c->timeout_ms);
}

/* Send what can be sent; from loop callbacks only, since it may end the connection. */
static void flush(struct qmp *q)
{
	struct command *c;

	start_next(q);
	c = q->in_flight;
	while (c && c->sent < c->len) {
		ssize_t n = send_some(q->fd, c);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			lose(q, -EPIPE, "the connection to QEMU broke");
			return;
		}
		c->sent += (size_t)n;
	}
	loop_source_set_events(q->source, LOOP_READ | (c && c->sent < c->len ? LOOP_WRITE : 0));
}

/* The line {"execute": command, "arguments": arguments, "id": id}. @arguments is taken over. */
static int command_text(const char *command, struct json *arguments, uint64_t id, char **ret)
{
	_cleanup_json_ struct json *root = json_new_object();
	_cleanup_free_ char *text = NULL;
	int r = root ? 0 : -ENOMEM;

	if (r == 0)
		r = json_set(root, "execute", json_new_string(command));
	if (r == 0)
		r = json_set(root, "id", json_new_uint(id));
	if (r == 0 && arguments)
		r = json_set(root, "arguments", TAKE_PTR(arguments));
	json_unref(arguments);
	if (r < 0)
		return r;
	text = json_text(root, false);
	if (!text)
		return -ENOMEM;
	if (strlen(text) > QMP_LINE_MAX)
		return -EMSGSIZE;
	return asprintf(ret, "%s\n", text) < 0 ? -ENOMEM : 0;
}

static int command_create(struct qmp *q, const char *name, struct json *arguments, int fd,
			  struct command **ret)
{
	struct command *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		json_unref(arguments);
		return -ENOMEM;
	}
	c->fd = -EBADF;
	c->id = q->next_id++;
	r = command_text(name, arguments, c->id, &c->text);
	if (r == 0) {
		c->len = strlen(c->text);
		c->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -EBADF;
		if (fd >= 0 && c->fd < 0)
			r = -errno;
	}
	if (r < 0) {
		command_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int qmp_execute(struct qmp *q, const char *name, struct json *arguments, int fd,
		uint64_t timeout_ms, qmp_done_fn done, void *userdata)
{
	struct command *c;
	int r;

	assert(timeout_ms > 0);
	if (q->state == QMP_LOST || q->dead || q->n_queued >= QMP_QUEUE_MAX) {
		json_unref(arguments);
		return q->n_queued >= QMP_QUEUE_MAX ? -ENOBUFS : -EPIPE;
	}
	r = command_create(q, name, arguments, fd, &c);
	if (r < 0)
		return r;
	c->timeout_ms = timeout_ms;
	c->done = done;
	c->userdata = userdata;
	TAILQ_INSERT_TAIL(&q->queue, c, link);
	q->n_queued++;
	/* Sent by the loop when the socket can be written: no callback runs from here. */
	if (q->state == QMP_READY && !q->in_flight)
		loop_source_set_events(q->source, LOOP_READ | LOOP_WRITE);
	return 0;
}

/* ---- receiving ---- */

static void on_negotiated(int code, const char *message, const struct json *answer, void *userdata)
{
	struct qmp *q = userdata;

	trace_mark("VMM is up");
	if (code == 0)
		q->state = QMP_READY;
	else if (q->state != QMP_LOST)
		lose(q, -EPROTO, "QEMU refuses to negotiate capabilities");
}

static bool on_greeting(struct qmp *q, const struct json *root)
{
	struct command *c;

	if (!json_is_object(json_get(root, "QMP")))
		return lose(q, -EPROTO, "QEMU's first line is no greeting");
	if (command_create(q, "qmp_capabilities", NULL, -1, &c) < 0)
		return lose(q, -ENOMEM, "out of memory");
	c->done = on_negotiated;
	c->userdata = q;
	q->state = QMP_NEGOTIATING; /* the timer of QMP_NEGOTIATE_MS still runs */
	q->in_flight = c;
	return true;
}

static bool on_event(struct qmp *q, const char *name, const struct json *data)
{
	uint64_t now = now_ms();

	if (now - q->window_start_ms >= QMP_EVENT_WINDOW_MS) {
		q->window_start_ms = now;
		q->n_events = 0;
	}
	if (++q->n_events > QMP_EVENTS_MAX)
		return lose(q, -EPROTO, "QEMU sends too many events");
	if (q->callbacks.on_event)
		q->callbacks.on_event(name, data, q->callbacks.userdata);
	return !q->dead && q->state != QMP_LOST;
}

/* The only class that means something to us; the others are "GenericError" and history. */
static int failure_code(const struct json *error)
{
	const char *class = "";

	json_member_string(error, "error", "class", &class, NULL);
	return strcmp(class, "DeviceNotFound") == 0 ? -ENODEV : -EREMOTEIO;
}

static bool on_answer(struct qmp *q, const struct json *root, bool failed)
{
	const struct json *id = json_get(root, "id"), *error = json_get(root, "error");
	struct command *c = q->in_flight;
	const char *words = "no reason given";
	uint64_t number;

	if (!id || !json_is_int(id) || (failed && !json_is_object(error)))
		return lose(q, -EPROTO, "QEMU sent a malformed answer");
	number = json_uint(id);
	if (!c || number != c->id) {
		if (q->n_stale == 0 || number >= (c ? c->id : q->next_id))
			return lose(q, -EPROTO, "QEMU answered what was not asked");
		q->n_stale--;
		return true;
	}
	q->in_flight = NULL;
	loop_timer_disarm(q->timer);
	if (failed)
		json_member_string(error, "error", "desc", &words, NULL);
	finish(c, failed ? failure_code(error) : 0, failed ? words : NULL,
	       failed ? NULL : json_get(root, "return"));
	return !q->dead && q->state != QMP_LOST;
}

/* Returns whether the client lives and reads on. */
static bool on_line(struct qmp *q, const char *text, size_t len)
{
	_cleanup_json_ struct json *root = NULL;
	const char *event = NULL;

	if (json_parse(text, len, &root, NULL) < 0 || !json_is_object(root))
		return lose(q, -EPROTO, "QEMU sent a line that is no JSON object");
	if (q->state == QMP_GREETING)
		return on_greeting(q, root);
	if (json_member_string(root, "", "event", &event, NULL) == 1)
		return on_event(q, event, json_get(root, "data"));
	if (json_get(root, "error"))
		return on_answer(q, root, true);
	if (json_get(root, "return"))
		return on_answer(q, root, false);
	return lose(q, -EPROTO, "QEMU sent a line that is neither answer nor event");
}

static int line_reserve(struct qmp *q, size_t more)
{
	size_t size = q->line_size ? q->line_size : READ_BYTES;
	char *line;

	while (size < q->line_len + more)
		size *= 2;
	if (size == q->line_size)
		return 0;
	line = realloc(q->line, size);
	if (!line)
		return -ENOMEM;
	q->line = line;
	q->line_size = size;
	return 0;
}

/* Hand on the lines in the buffer; keep the rest of it. */
static bool split_lines(struct qmp *q)
{
	size_t start = 0;
	char *end;

	while ((end = memchr(q->line + start, '\n', q->line_len - start))) {
		size_t len = (size_t)(end - q->line) - start, first = start;

		start += len + 1;
		if (len > QMP_LINE_MAX)
			return lose(q, -EPROTO, "QEMU sent a line that is too long");
		if (len > 0 && q->line[first + len - 1] == '\r')
			len--;
		if (len > 0 && !on_line(q, q->line + first, len))
			return false;
	}
	memmove(q->line, q->line + start, q->line_len - start);
	q->line_len -= start;
	if (q->line_len > QMP_LINE_MAX)
		return lose(q, -EPROTO, "QEMU sent a line that is too long");
	if (q->line_len == 0) { /* an idle sandbox should not hold the buffer of its longest line */
		free(TAKE_PTR(q->line));
		q->line_size = 0;
	}
	return true;
}

static bool receive(struct qmp *q)
{
	ssize_t n;

	if (line_reserve(q, READ_BYTES) < 0)
		return lose(q, -ENOMEM, "out of memory");
	do {
		n = recv(q->fd, q->line + q->line_len, READ_BYTES, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return lose(q, -EPIPE, "QEMU closed the connection");
	q->line_len += (size_t)n;
	return split_lines(q);
}

static void on_ready(int fd, unsigned int events, void *userdata)
{
	struct qmp *q = userdata;
	bool alive = true;

	enter(q);
	if (events & LOOP_READ)
		alive = receive(q);
	if (alive && !q->dead && q->state != QMP_LOST)
		flush(q);
	leave(q);
}

static void on_timeout(void *userdata)
{
	struct qmp *q = userdata;
	struct command *c = q->in_flight;

	enter(q);
	if (q->state != QMP_READY) {
		lose(q, -ETIMEDOUT, "QEMU does not negotiate in time");
	} else if (c && (c->sent < c->len || q->n_stale == QMP_STALE_MAX)) {
		/*
		 * It reads nothing any more, or answers nothing: what is sent next would make no
		 * sense.
		 */
		lose(q, -ETIMEDOUT, "QEMU does not respond");
	} else if (c) {
		q->in_flight = NULL;
		q->n_stale++;
		finish(c, -ETIMEDOUT, "QEMU does not answer in time", NULL);
		if (!q->dead && q->state != QMP_LOST)
			flush(q);
	}
	leave(q);
}

int qmp_create(struct loop *loop, int fd, const struct qmp_callbacks *callbacks, struct qmp **ret)
{
	struct qmp *q;
	int r = fd_set_nonblock(fd, true);

	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->loop = loop;
	q->fd = -EBADF;
	q->callbacks = *callbacks;
	q->next_id = 1;
	TAILQ_INIT(&q->queue);
	r = loop_add_timer(loop, QMP_NEGOTIATE_MS, on_timeout, q, &q->timer);
	if (r == 0)
		r = loop_add_fd(loop, fd, LOOP_READ, on_ready, q, &q->source);
	if (r < 0) {
		qmp_free(q);
		return r;
	}
	q->fd = fd;
	*ret = q;
	return 0;
}

void qmp_destroy(struct qmp *q)
{
	if (!q || q->dead)
		return;
	enter(q);
	q->state = QMP_LOST;
	q->dead = true;
	fail_all(q, -ECANCELED, "the client is gone");
	leave(q);
}
