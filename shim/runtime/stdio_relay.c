/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: descriptors 0, 1 and 2 are shared with the engine, so O_NONBLOCK on them
 * would hit others. A pipe or terminal is opened anew through /proc/self/fd, which gives a
 * description of our own that may be non-blocking; sockets have MSG_DONTWAIT; regular files never
 * block. What cannot be opened anew (a pipe of another user) is written in pieces of PIPE_BUF after
 * poll has said that there is room.
 *
 * A pump is a small state machine: either it holds bytes and waits for its sink, or it waits for
 * its source. Sources that epoll refuses (regular files, /dev/null) are always ready; then the
 * sink, always a FIFO, paces the pump.
 *
 * A reader that has gone ends its stream, and the program writing it gets SIGPIPE, as everywhere. A
 * sink that refuses bytes for another reason (a full disk) does not: with another runtime the program
 * would get that errno itself, and most go on, as a server does whose log has no room. An errno
 * cannot be handed through a pipe into a guest, and SIGPIPE would kill that server; so the bytes are
 * dropped and counted, and the next ones are tried again: there may be room by then.
 */
#include "shim/runtime/stdio_relay.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Rounds before other sources of the loop get their turn. */
#define PUMP_ROUNDS 16

enum end_kind { END_NONBLOCK, END_SOCKET, END_FILE, END_CAREFUL };

/* One side of a pump. */
struct end {
	int fd;
	enum end_kind kind;
	bool pollable;
	struct loop_source *source; /* NULL while not pollable or not started */
};

struct pump {
	struct stdio_relay *relay;
	enum stdio_relay_stream stream;
	struct end from, to;
	char *buffer;
	size_t start, used; /* bytes [start, used) are held */
	bool ended, writer_gone;
	int refusal;   /* the first errno, negative, with which the sink refused bytes; 0: none */
	uint64_t lost; /* bytes it refused */
};

struct stdio_relay {
	struct loop *loop;
	const struct stdio_relay_ops *ops;
	void *userdata;
	struct pump pumps[STDIO_RELAY_STREAMS];
	struct loop_source *report; /* deferred callbacks */
	struct end words; /* the engine's stderr, kept for stdio_relay_say */
	bool input_reported, outputs_reported;
};

/* ---- ends ---- */

static void end_close(struct end *e)
{
	loop_source_destroy(e->source);
	e->source = NULL;
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -EBADF;
}

/* A description of our own for what @fd refers to. */
static int reopen_nonblock(int fd, int mode)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Find out how @e->fd may be used without blocking; the descriptor may be replaced. */
static void end_prepare(struct end *e, int mode)
{
	struct stat st;
	int own;

	e->pollable = true;
	if (fstat(e->fd, &st) < 0)
		st.st_mode = 0;
	if (S_ISSOCK(st.st_mode)) {
		e->kind = END_SOCKET;
	} else if (S_ISREG(st.st_mode)) {
		e->kind = END_FILE;
		e->pollable = false;
	} else {
		own = reopen_nonblock(e->fd, mode);
		e->kind = own >= 0 ? END_NONBLOCK : END_CAREFUL;
		if (own >= 0) {
			close(e->fd);
			e->fd = own;
		}
	}
}

static ssize_t end_read(const struct end *e, void *data, size_t len)
{
	ssize_t n;

	do
		n = e->kind == END_SOCKET ? recv(e->fd, data, len, MSG_DONTWAIT)
					  : read(e->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t end_write(const struct end *e, const void *data, size_t len)
{
	ssize_t n;

	if (e->kind == END_CAREFUL && len > PIPE_BUF)
		len = PIPE_BUF;
	do
		n = e->kind == END_SOCKET ? send(e->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
					  : write(e->fd, data, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* ---- pumps ---- */

static void on_ready(int fd, unsigned int events, void *userdata);

static bool active(const struct pump *p)
{
	return p->buffer && !p->ended;
}

static void on_report(void *userdata)
{
	struct stdio_relay *r = userdata;

	if (!r->input_reported && !active(&r->pumps[STDIO_RELAY_IN]) &&
	    r->pumps[STDIO_RELAY_IN].buffer) {
		r->input_reported = true;
		r->ops->input_ended(r->userdata);
	}
	if (!r->outputs_reported && !active(&r->pumps[STDIO_RELAY_OUT]) &&
	    !active(&r->pumps[STDIO_RELAY_ERR])) {
		r->outputs_reported = true;
		r->ops->outputs_ended(r->userdata);
	}
}

static void pump_end(struct pump *p)
{
	p->ended = true;
	end_close(&p->from);
	end_close(&p->to);
	loop_timer_set(p->relay->report, 0);
}

/* Whether a sink's errno means that nobody is there any more to read it; EIO: a terminal was hung up. */
static bool reader_is_gone(const struct end *e, int r)
{
	return r == -EPIPE || r == -ECONNRESET || r == -ENOTCONN || (r == -EIO && isatty(e->fd));
}

/* The sink does not take what is held. Returns whether the pump goes on without that. */
static bool pump_refused(struct pump *p, int r)
{
	if (p->stream == STDIO_RELAY_IN || reader_is_gone(&p->to, r)) {
		/* Closing the FIFO tells whoever fills it. */
		pump_end(p);
		return false;
	}
	if (p->refusal == 0)
		p->refusal = r;
	p->lost += p->used - p->start;
	p->start = p->used;
	return true;
}

/*
 * Wait for @e; an end that epoll does not know is ready at once, and the other end wakes the pump.
 */
static int end_watch(struct pump *p, struct end *e, unsigned int events)
{
	int r;

	if (!e->pollable)
		return events == 0 ? 0 : -EPERM;
	if (e->source)
		return loop_source_set_events(e->source, events);
	if (events == 0)
		return 0;
	r = loop_add_fd(p->relay->loop, e->fd, events, on_ready, p, &e->source);
	if (r == -EPERM)
		e->pollable = false;
	return r;
}

/* Sleep until the source has something, or until the sink takes something. */
static void pump_watch(struct pump *p, bool for_sink)
{
	int r;

	if (for_sink) {
		r = end_watch(p, &p->from, 0);
		if (r == 0)
			r = end_watch(p, &p->to, LOOP_WRITE);
	} else {
		r = end_watch(p, &p->to, 0);
		if (r == 0)
			r = end_watch(p, &p->from, LOOP_READ);
		if (r == -EPERM)
			r = end_watch(p, &p->to, LOOP_WRITE);
	}
	if (r == 0)
		return;
	if (for_sink && pump_refused(p, r))
		pump_watch(p, false);
	else
		pump_end(p);
}

/* Returns whether the pump can go on at once. */
static bool pump_write(struct pump *p)
{
	ssize_t n = end_write(&p->to, p->buffer + p->start, p->used - p->start);

	if (n == -EAGAIN) {
		pump_watch(p, true);
		return false;
	}
	if (n < 0)
		return pump_refused(p, (int)n);
	p->start += (size_t)n;
	/* Whether more fits is not known without asking again. */
	if (p->to.kind == END_CAREFUL && p->start < p->used) {
		pump_watch(p, true);
		return false;
	}
	return true;
}

static bool pump_read(struct pump *p)
{
	ssize_t n = end_read(&p->from, p->buffer, STDIO_RELAY_BUFFER_BYTES);

	if (n == -EAGAIN && !p->writer_gone) {
		pump_watch(p, false);
		return false;
	}
	if (n <= 0) {
		pump_end(p);
		return false;
	}
	p->start = 0;
	p->used = (size_t)n;
	return true;
}

static void pump_run(struct pump *p)
{
	/* What is held for a regular file goes out now: no event would bring us back. */
	for (int i = 0; i < PUMP_ROUNDS || (p->start < p->used && !p->to.pollable); i++) {
		bool go_on;

		if (p->start < p->used) {
			/* Careful sinks are only written to after poll. */
			go_on = pump_write(p);
		} else {
			go_on = pump_read(p);
			if (go_on && p->to.kind == END_CAREFUL) {
				pump_watch(p, true);
				return;
			}
		}
		if (!go_on)
			return;
	}
	pump_watch(p, p->start < p->used);
}

static void on_ready(int fd, unsigned int events, void *userdata)
{
	pump_run(userdata);
}

/* ---- the relay ---- */

int stdio_relay_create(struct loop *loop, const struct stdio_relay_ops *ops, void *userdata,
		       struct stdio_relay **ret)
{
	struct stdio_relay *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->ops = ops;
	r->userdata = userdata;
	r->words.fd = -EBADF;
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++)
		r->pumps[i] = (struct pump){
			.relay = r, .stream = i, .from.fd = -EBADF, .to.fd = -EBADF
		};
	code = loop_add_timer(loop, 0, on_report, r, &r->report);
	if (code < 0) {
		free(r);
		return code;
	}
	loop_timer_disarm(r->report);
	*ret = r;
	return 0;
}

void stdio_relay_destroy(struct stdio_relay *r)
{
	if (!r)
		return;
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++) {
		end_close(&r->pumps[i].from);
		end_close(&r->pumps[i].to);
		free(r->pumps[i].buffer);
	}
	end_close(&r->words);
	loop_source_destroy(r->report);
	free(r);
}

int stdio_relay_add(struct stdio_relay *r, enum stdio_relay_stream stream, int engine_fd,
		    int fifo_fd)
{
	struct pump *p = &r->pumps[stream];
	bool input = stream == STDIO_RELAY_IN;

	p->from.fd = input ? engine_fd : fifo_fd;
	p->to.fd = input ? fifo_fd : engine_fd;
	p->from.kind = p->to.kind = END_NONBLOCK;
	p->from.pollable = p->to.pollable = true;
	p->buffer = malloc(STDIO_RELAY_BUFFER_BYTES);
	if (!p->buffer) {
		end_close(&p->from);
		end_close(&p->to);
		return -ENOMEM;
	}
	end_prepare(input ? &p->from : &p->to, input ? O_RDONLY : O_WRONLY);
	return 0;
}

/*
 * Keep stderr for stdio_relay_say where stdout is something that can refuse bytes. Not beside a pipe, a
 * socket or a terminal, which engines give: they wait for the end of stderr.
 */
static void keep_words(struct stdio_relay *r)
{
	const struct end *out = &r->pumps[STDIO_RELAY_OUT].to, *err = &r->pumps[STDIO_RELAY_ERR].to;
	struct stat st;

	if (out->fd < 0 || err->fd < 0 || fstat(out->fd, &st) < 0)
		return;
	if (S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && !isatty(out->fd)))
		r->words = (struct end){ .fd = fcntl(err->fd, F_DUPFD_CLOEXEC, 0), .kind = err->kind };
}

int stdio_relay_start(struct stdio_relay *r)
{
	keep_words(r);
	for (int i = 0; i < STDIO_RELAY_STREAMS; i++) {
		struct pump *p = &r->pumps[i];

		if (!p->buffer)
			continue;
		/*
		 * The engine's end is tried at once: a pipe whose writers left before we opened it
		 * anew never reports their leaving. A FIFO is only read when something was seen in
		 * it: before its writer comes it looks ended.
		 */
		if (i == STDIO_RELAY_IN && p->from.kind != END_CAREFUL)
			pump_run(p);
		else
			pump_watch(p, false);
	}
	/* Nothing to wait for may be the case already. */
	return loop_timer_set(r->report, 0);
}

void stdio_relay_writer_gone(struct stdio_relay *r)
{
	for (int i = STDIO_RELAY_OUT; i < STDIO_RELAY_STREAMS; i++) {
		struct pump *p = &r->pumps[i];

		p->writer_gone = true;
		if (active(p) && p->start == p->used)
			pump_run(p);
	}
}

int stdio_relay_unwritten(const struct stdio_relay *r, enum stdio_relay_stream stream, uint64_t *ret_bytes)
{
	*ret_bytes = r->pumps[stream].lost;
	return r->pumps[stream].refusal;
}

void stdio_relay_say(struct stdio_relay *r, const char *text)
{
	struct pollfd p = { .fd = r->words.fd, .events = POLLOUT };
	size_t len = strlen(text);

	/* One piece of at most PIPE_BUF: goes whole or not at all, and does not block. */
	if (r->words.fd >= 0 && len <= PIPE_BUF && poll(&p, 1, 0) == 1)
		end_write(&r->words, text, len);
	end_close(&r->words);
}
