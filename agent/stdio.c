/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A stream has a descriptor and at most one waiting read. A read first tries at once; if there is
 * nothing, the loop source is switched on until the descriptor is readable or stdio_ended() decides
 * that nothing will come. With no read waiting the source sleeps, so that a closed pipe does not
 * spin the loop.
 *
 * "Drained" is decided by the kernel alone: EAGAIN after the process has ended. Both pipes and
 * terminals answer EAGAIN only when everything that was written before is readable (a terminal's
 * read flushes its line first).
 */
#include "agent/stdio.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "common/fd.h"

/* Smallest buffer of a read: the kernel may know of fewer bytes than it hands out. */
#define STDIO_READ_MIN 4096u

struct stream {
	struct stdio *stdio;
	int fd;
	struct loop_source *source;
	stdio_read_fn fn; /* NULL: no read is waiting */
	void *userdata;
	size_t max;
};

struct stdio {
	struct loop *loop;
	bool terminal, ended;
	struct stream out, err;
	int child[3]; /* the process's ends; for a terminal the slave is [0] */
	/* input */
	int in;
	struct loop_source *in_source;
	stdio_write_fn fn; /* NULL: no write is waiting */
	void *userdata;
	char *copy;
	size_t copy_len, copy_done;
	bool close_wanted;
};

int stdio_create(struct loop *loop, struct stdio **ret)
{
	struct stdio *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->out.stdio = s->err.stdio = s;
	s->out.fd = s->err.fd = s->in = -EBADF;
	for (size_t i = 0; i < ARRAY_SIZE(s->child); i++)
		s->child[i] = -EBADF;
	*ret = s;
	return 0;
}

/* ---- output ---- */

static void stream_close(struct stream *st)
{
	loop_source_destroy(st->source);
	st->source = NULL;
	cleanup_close_p(&st->fd);
}

static void stream_answer(struct stream *st, const void *data, size_t len, bool eof)
{
	stdio_read_fn fn = st->fn;

	/* Cleared first: the callback may ask again. */
	st->fn = NULL;
	if (st->source)
		loop_source_set_events(st->source, 0);
	fn(data, len, eof, st->userdata);
}

/* Bytes that can be read now, as far as the kernel says. */
static size_t stream_available(const struct stream *st)
{
	int n = 0;

	if (ioctl(st->fd, FIONREAD, &n) < 0 || n < 0)
		return 0;
	return (size_t)n;
}

/* Serve the waiting read if that is possible. Returns -EAGAIN: not yet. */
static int stream_try(struct stream *st)
{
	_cleanup_free_ char *buf = NULL;
	size_t size;
	ssize_t n;

	if (st->fd < 0) {
		stream_answer(st, NULL, 0, true);
		return 0;
	}
	size = stream_available(st);
	if (size < STDIO_READ_MIN)
		size = STDIO_READ_MIN;
	if (size > st->max)
		size = st->max;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	do {
		n = read(st->fd, buf, size);
	} while (n < 0 && errno == EINTR);

	if (n > 0) {
		/*
		 * Say the end together with the last bytes when it is known: one call less. Not for
		 * a terminal, whose line may hold more than it counts.
		 */
		bool eof = st->stdio->ended && !st->stdio->terminal && (size_t)n < size &&
			   !stream_available(st);

		if (eof)
			stream_close(st);
		stream_answer(st, buf, (size_t)n, eof);
		return 0;
	}
	if (n < 0 && errno == EAGAIN && !st->stdio->ended)
		return -EAGAIN;
	/*
	 * End of file; EIO of a terminal that nobody holds; anything else cannot be read past
	 * either.
	 */
	stream_close(st);
	stream_answer(st, NULL, 0, true);
	return 0;
}

static void stream_ready(int fd, unsigned int events, void *userdata)
{
	struct stream *st = userdata;

	(void)fd;
	(void)events;
	/* Not readable after all, or no memory this time: the source stays on. */
	if (st->fn)
		(void)stream_try(st);
}

static struct stream *stdio_stream(struct stdio *s, enum stdio_stream stream)
{
	return stream == STDIO_ERR ? &s->err : &s->out;
}

int stdio_read(struct stdio *s, enum stdio_stream stream, size_t max, stdio_read_fn fn, void *userdata)
{
	struct stream *st = stdio_stream(s, stream);
	int rc;

	if (!max || max > STDIO_CHUNK_MAX)
		return -EINVAL;
	if (st->fn)
		return -EBUSY;
	st->fn = fn;
	st->userdata = userdata;
	st->max = max;
	rc = stream_try(st);
	if (rc == 0)
		return 0;
	if (rc == -EAGAIN)
		rc = st->source ? loop_source_set_events(st->source, LOOP_READ) :
				  loop_add_fd(s->loop, st->fd, LOOP_READ, stream_ready, st, &st->source);
	if (rc < 0)
		st->fn = NULL;
	return rc < 0 ? rc : 0;
}

void stdio_close_output(struct stdio *s, enum stdio_stream stream)
{
	struct stream *st = stdio_stream(s, stream);

	if (s->terminal)
		return;
	stream_close(st);
	if (st->fn)
		stream_answer(st, NULL, 0, true);
}

/* ---- input ---- */

static void input_close(struct stdio *s)
{
	loop_source_destroy(s->in_source);
	s->in_source = NULL;
	/* What is no socket does not mind. */
	if (s->in >= 0)
		shutdown(s->in, SHUT_WR);
	cleanup_close_p(&s->in);
}

static void input_answer(struct stdio *s, int code, size_t written)
{
	stdio_write_fn fn = s->fn;

	s->fn = NULL;
	free(s->copy);
	s->copy = NULL;
	if (s->in_source)
		loop_source_set_events(s->in_source, 0);
	if (s->close_wanted || code < 0)
		input_close(s);
	fn(code, written, s->userdata);
}

static ssize_t input_write(const struct stdio *s, const void *data, size_t len)
{
	ssize_t n;

	do {
		n = write(s->in, data, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void input_ready(int fd, unsigned int events, void *userdata)
{
	struct stdio *s = userdata;
	ssize_t n;

	(void)fd;
	(void)events;
	if (!s->fn)
		return;
	n = input_write(s, s->copy + s->copy_done, s->copy_len - s->copy_done);
	if (n == -EAGAIN)
		return;
	if (n < 0) {
		input_answer(s, (int)n, 0);
		return;
	}
	s->copy_done += (size_t)n;
	/* After close_input the rest could not be offered again: all of it has to go now. */
	if (s->close_wanted && s->copy_done < s->copy_len)
		return;
	input_answer(s, 0, s->copy_done);
}

static int input_wait(struct stdio *s, const void *data, size_t len, stdio_write_fn fn, void *userdata)
{
	int rc;

	if (len > STDIO_WRITE_COPY_MAX)
		len = STDIO_WRITE_COPY_MAX;
	s->copy = malloc(len);
	if (!s->copy)
		return -ENOMEM;
	memcpy(s->copy, data, len);
	s->copy_len = len;
	s->copy_done = 0;
	rc = s->in_source ? loop_source_set_events(s->in_source, LOOP_WRITE) :
			    loop_add_fd(s->loop, s->in, LOOP_WRITE, input_ready, s, &s->in_source);
	if (rc < 0) {
		free(s->copy);
		s->copy = NULL;
		return rc;
	}
	s->fn = fn;
	s->userdata = userdata;
	return 0;
}

int stdio_write(struct stdio *s, const void *data, size_t len, stdio_write_fn fn, void *userdata)
{
	ssize_t n;

	if (!len || len > STDIO_CHUNK_MAX)
		return -EINVAL;
	if (s->fn)
		return -EBUSY;
	if (s->in < 0)
		return -EPIPE;
	n = input_write(s, data, len);
	if (n == -EAGAIN)
		return input_wait(s, data, len, fn, userdata);
	if (n < 0) {
		input_close(s);
		fn((int)n, 0, userdata);
		return 0;
	}
	fn(0, (size_t)n, userdata);
	return 0;
}

void stdio_close_input(struct stdio *s)
{
	if (s->terminal)
		return;
	if (s->fn)
		s->close_wanted = true;
	else
		input_close(s);
}

/* ---- life ---- */

/* One pipe: our end non-blocking, the process's end as programs expect it. */
static int stdio_pipe(bool output, int *ret_ours, int *ret_theirs)
{
	_cleanup_close_ int ours = -EBADF, theirs = -EBADF;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	ours = fds[output ? 0 : 1];
	theirs = fds[output ? 1 : 0];
	rc = fd_set_nonblock(ours, true);
	if (rc < 0)
		return rc;
	/* A smaller pipe is slower, not wrong. */
	if (output)
		(void)fcntl(ours, F_SETPIPE_SZ, STDIO_PIPE_BYTES);
	*ret_ours = TAKE_FD(ours);
	*ret_theirs = TAKE_FD(theirs);
	return 0;
}

int stdio_open_pipes(struct stdio *s, struct err *err)
{
	int rc;

	rc = stdio_pipe(false, &s->in, &s->child[0]);
	if (rc >= 0)
		rc = stdio_pipe(true, &s->out.fd, &s->child[1]);
	if (rc >= 0)
		rc = stdio_pipe(true, &s->err.fd, &s->child[2]);
	return rc < 0 ? err_set_errno(err, rc, "make a pipe") : 0;
}

int stdio_open_terminal(struct stdio *s, int master, int slave, struct err *err)
{
	int rc;

	s->terminal = true;
	s->out.fd = master;
	s->child[0] = slave;
	rc = fd_set_nonblock(master, true);
	if (rc < 0)
		return err_set_errno(err, rc, "prepare the terminal");
	/* A descriptor of its own, since reading and writing end apart. */
	s->in = fcntl(master, F_DUPFD_CLOEXEC, 0);
	if (s->in < 0)
		return err_set_errno(err, -errno, "duplicate the terminal");
	return 0;
}

int stdio_open_socket(struct stdio *s, int fd, struct err *err)
{
	int rc;

	s->out.fd = fd;
	rc = fd_set_nonblock(fd, true);
	if (rc < 0)
		return err_set_errno(err, rc, "prepare the socket");
	s->in = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (s->in < 0)
		return err_set_errno(err, -errno, "duplicate the socket");
	return 0;
}

void stdio_child_ends(const struct stdio *s, struct setup_stdio *ret)
{
	ret->terminal = s->terminal ? s->child[0] : -1;
	ret->in = s->terminal ? -1 : s->child[0];
	ret->out = s->child[1];
	ret->err = s->child[2];
}

static void stdio_close_child_ends(struct stdio *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->child); i++)
		cleanup_close_p(&s->child[i]);
}

void stdio_spawned(struct stdio *s)
{
	if (!s->terminal)
		stdio_close_child_ends(s);
}

void stdio_ended(struct stdio *s)
{
	struct stream *streams[] = { &s->out, &s->err };

	s->ended = true;
	stdio_close_child_ends(s);
	if (s->fn)
		input_answer(s, -EPIPE, 0);
	input_close(s);
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		/* Without memory for the last bytes the reader is let go all the same. */
		if (streams[i]->fn && stream_try(streams[i]) < 0)
			stream_answer(streams[i], NULL, 0, true);
	}
}

void stdio_destroy(struct stdio *s)
{
	struct stream *streams[2];

	if (!s)
		return;
	streams[0] = &s->out;
	streams[1] = &s->err;
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		stream_close(streams[i]);
		if (streams[i]->fn)
			stream_answer(streams[i], NULL, 0, true);
	}
	if (s->fn)
		input_answer(s, -ECANCELED, 0);
	input_close(s);
	stdio_close_child_ends(s);
	free(s);
}

int stdio_resize(struct stdio *s, uint16_t columns, uint16_t rows)
{
	struct winsize size = { .ws_col = columns, .ws_row = rows };

	if (!s->terminal)
		return -ENOTTY;
	/* After the process's end the line may be closed: nobody is left to tell. */
	if (s->out.fd < 0)
		return 0;
	return ioctl(s->out.fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}
