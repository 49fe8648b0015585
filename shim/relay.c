/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Output. A FIFO is opened twice: the writing end is what we fill; a reading end of our own keeps
 * it alive while the engine's reader comes and goes. Bytes wait in one buffer; the guest is asked
 * for more when less than the low-water mark is left in it. At the end of the process our reading
 * end is closed: from then on the kernel tells whether there is a reader (POLLERR, EPIPE). If there
 * is one, however slow, we wait for it; if not, it has RELAY_READER_RETURN_MS to come back. A
 * stream is done when it has ended in the guest and the FIFO holds (and its reader can get) the
 * last byte. A reader that is the only one there will ever be (relay_set_owned) makes that simpler:
 * we hold no reading end, and EPIPE means that nobody wants the rest.
 *
 * Input. Our own writing end keeps the FIFO from ending between two writers; relay_close_input
 * closes it, so that the end of file comes after the last byte in the FIFO.
 */
#include "shim/relay.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

#include "shim/relay_fifo.h"
#include "shim/relay_logger.h"

#define OUTPUTS 2

_Static_assert(RELAY_NOTE_BYTES <= PIPE_BUF, "a note is written whole or not at all");

struct output {
	struct relay *io;
	enum relay_stream stream;
	int fd;	     /* writing end, -EBADF: none or done */
	int keep_fd; /* reading end of our own */
	struct loop_source *source, *timer;
	char *data; /* bytes at offset … offset + len are still to be written */
	size_t offset, len;
	uint32_t asked; /* size of the request in flight, 0: none */
	bool eof, done, vanished;
	bool is_file; /* which never makes us wait, and is no source of events */
	bool sole;    /* its reader is a logger: the only one there will ever be */
};

struct relay {
	struct loop *loop;
	const struct relay_ops *ops;
	void *userdata;
	bool terminal, started, ended, drained;
	bool owned; /* who reads now is the only one who ever will */
	struct output outputs[OUTPUTS];
	/* input */
	char *late_path;   /* still to be opened; NULL: none is */
	bool close_wanted; /* before it was opened */
	int in_fd, in_keep_fd;
	struct loop_source *in_source;
	char *in_data;
	size_t in_offset, in_len; /* in flight */
	bool in_done;
};

static void output_pump(struct output *out);

/* ---- opening ---- */

static void close_fd(int *fd)
{
	cleanup_close_p(fd);
}

static bool given(const char *path)
{
	return path && path[0];
}

static void output_ready(int fd, unsigned int events, void *userdata)
{
	output_pump(userdata);
}

static void input_ready(int fd, unsigned int events, void *userdata);

static int open_input(struct relay *io, const char *path, struct err *err)
{
	int r = relay_fifo_open(path, &io->in_fd, &io->in_keep_fd, err);

	return r < 0 ? r : loop_add_fd(io->loop, io->in_fd, 0, input_ready, io, &io->in_source);
}

/* A logger reads both outputs; only when they name the same one is it started for both. */
static int open_logger(struct relay *io, const struct relay_config *config, struct err *err)
{
	struct output *out = &io->outputs[0], *err_out = &io->outputs[1];
	const char *uri = config->paths[RELAY_STDOUT], *other = config->paths[RELAY_STDERR];
	int r;

	if (given(other) && !config->terminal && strcmp(uri, other) != 0)
		return err_set(err, -EOPNOTSUPP, "'%s' and '%s': one logger for both outputs is wanted", uri, other);
	r = relay_start_logger(uri, config->logger, &out->fd, &err_out->fd, err);
	if (r < 0)
		return r;
	out->sole = err_out->sole = true;
	if (config->terminal || !given(other))
		close_fd(&err_out->fd);
	r = loop_add_fd(io->loop, out->fd, 0, output_ready, out, &out->source);
	if (r >= 0 && err_out->fd >= 0)
		r = loop_add_fd(io->loop, err_out->fd, 0, output_ready, err_out, &err_out->source);
	return r;
}

static int open_output(struct relay *io, struct output *out, const struct relay_config *config, const char *path,
		       struct err *err)
{
	int r;

	if (config->logger && !strncmp(path, "file://", 7)) {
		out->fd = relay_open_file(path, err);
		out->is_file = true;
		return out->fd < 0 ? out->fd : 0;
	}
	r = relay_fifo_open(path, &out->keep_fd, &out->fd, err);
	return r < 0 ? r : loop_add_fd(io->loop, out->fd, 0, output_ready, out, &out->source);
}

static bool is_logger(const struct relay_config *config)
{
	const char *path = config->paths[RELAY_STDOUT];

	return config->logger && given(path) && !strncmp(path, "binary://", 9);
}

static int open_outputs(struct relay *io, const struct relay_config *config, struct err *err)
{
	if (is_logger(config))
		return open_logger(io, config, err);
	for (int i = 0; i < OUTPUTS; i++) {
		struct output *out = &io->outputs[i];
		const char *path = config->paths[out->stream];
		int r;

		if (!given(path) || (config->terminal && out->stream == RELAY_STDERR))
			continue;
		r = open_output(io, out, config, path, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int open_streams(struct relay *io, const struct relay_config *config, struct err *err)
{
	int r = open_outputs(io, config, err);

	if (r < 0)
		return r;
	if (!given(config->paths[RELAY_STDIN]))
		return 0;
	if (!config->late_input)
		return open_input(io, config->paths[RELAY_STDIN], err);
	io->late_path = strdup(config->paths[RELAY_STDIN]);
	return io->late_path ? 0 : -ENOMEM;
}

int relay_create(struct loop *loop, const struct relay_config *config, const struct relay_ops *ops,
		 void *userdata, struct relay **ret, struct err *err)
{
	_cleanup_(relay_destroy_p) struct relay *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return -ENOMEM;
	io->loop = loop;
	io->ops = ops;
	io->userdata = userdata;
	io->terminal = config->terminal;
	io->in_fd = io->in_keep_fd = -EBADF;
	for (int i = 0; i < OUTPUTS; i++) {
		struct output *out = &io->outputs[i];

		out->io = io;
		out->stream = i == 0 ? RELAY_STDOUT : RELAY_STDERR;
		out->fd = out->keep_fd = -EBADF;
	}
	r = open_streams(io, config, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(io);
	return 0;
}

/* ---- output ---- */

static void destroy_source(struct loop_source **source)
{
	loop_source_destroy(TAKE_PTR(*source));
}

static void output_release(struct output *out)
{
	destroy_source(&out->source);
	destroy_source(&out->timer);
	close_fd(&out->fd);
	close_fd(&out->keep_fd);
	free(TAKE_PTR(out->data));
	out->offset = out->len = 0;
}

/* The last of the outputs that is done after the process's end makes the whole drained. */
static void check_drained(struct relay *io)
{
	if (!io->ended || io->drained)
		return;
	for (int i = 0; i < OUTPUTS; i++) {
		if (!io->outputs[i].done)
			return;
	}
	io->drained = true;
	io->ops->drained(io->userdata);
}

static void output_done(struct output *out)
{
	output_release(out);
	out->done = true;
	check_drained(out->io);
}

static void reader_stayed_away(void *userdata)
{
	output_done(userdata);
}

static bool has_reader(const struct output *out)
{
	struct pollfd p = { .fd = out->fd, .events = POLLOUT };

	return poll(&p, 1, 0) >= 0 && !(p.revents & POLLERR);
}

/*
 * Nobody reads and bytes are left: keep them for a while in case a reader returns (an engine that
 * restarts). Our own reading end is what preserves them.
 */
static void reader_vanished(struct output *out)
{
	char self[64];

	if (out->vanished || out->io->owned) {
		output_done(out);
		return;
	}
	out->vanished = true;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", out->fd);
	out->keep_fd = open(self, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (out->keep_fd < 0) {
		output_done(out);
		return;
	}
	destroy_source(&out->timer);
	if (loop_add_timer(out->io->loop, RELAY_READER_RETURN_MS, reader_stayed_away, out,
			   &out->timer) < 0) {
		output_done(out);
		return;
	}
	loop_source_set_events(out->source, out->len > 0 ? LOOP_WRITE : 0);
}

/* Everything is in the FIFO: it may be closed if somebody can still get what it holds. */
static void output_close(struct output *out)
{
	int unread = 0;

	if (out->is_file || out->sole) {
		output_done(out);
		return;
	}
	loop_source_set_events(out->source, 0);
	if (out->vanished && out->keep_fd >= 0)
		return; /* the timer decides */
	close_fd(&out->keep_fd);
	if (!has_reader(out) && ioctl(out->fd, FIONREAD, &unread) == 0 && unread > 0)
		reader_vanished(out);
	else
		output_done(out);
}

/*
 * Its only reader is gone. What the guest still sends, until it has heard of that (a terminal's
 * end it cannot close), is dropped.
 */
static void output_unread(struct output *out)
{
	struct relay *io = out->io;

	output_release(out);
	if (!out->eof && !io->ended)
		io->ops->close_output(out->stream, io->userdata);
}

/* Write what is there. Returns false when the stream is done or its reader has vanished. */
static bool output_flush(struct output *out)
{
	while (out->len > 0) {
		ssize_t n = write(out->fd, out->data + out->offset, out->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		/* A disk that is full costs output, as with any logger. */
		if (n < 0 && out->is_file) {
			out->len = 0;
			break;
		}
		if (n < 0 && (out->io->owned || out->sole)) {
			output_unread(out);
			return true;
		}
		if (n < 0) {
			reader_vanished(out);
			return false;
		}
		out->offset += (size_t)n;
		out->len -= (size_t)n;
	}
	if (out->len == 0) {
		free(TAKE_PTR(out->data));
		out->offset = 0;
	}
	return true;
}

static void output_silent(void *userdata)
{
	struct output *out = userdata;

	out->eof = true;
	output_pump(out);
}

/*
 * The process has ended but something else in the guest may hold its output open. Silence, while
 * the reader is ready for more, is taken for the end.
 */
static void watch_silence(struct output *out)
{
	if (!out->io->ended || out->vanished || out->eof)
		return;
	if (out->len > 0) {
		/* It is the reader who is slow. */
		if (out->timer)
			loop_timer_disarm(out->timer);
	} else if (out->timer) {
		loop_timer_set(out->timer, RELAY_SILENCE_MS);
	} else if (loop_add_timer(out->io->loop, RELAY_SILENCE_MS, output_silent, out,
				  &out->timer) < 0) {
		out->eof = true;
	}
}

static void output_pump(struct output *out)
{
	if (out->done)
		return;
	if (out->fd >= 0 && !output_flush(out))
		return;
	if (!out->eof && out->len <= RELAY_LOW_WATER_BYTES && !out->asked && out->io->started) {
		out->asked = RELAY_CHUNK_BYTES;
		out->io->ops->read(out->stream, RELAY_CHUNK_BYTES, out->io->userdata);
		if (out->done || out->asked == 0)
			return; /* answered meanwhile, which has pumped */
	}
	watch_silence(out);
	if (out->eof && out->len == 0) {
		if (out->fd >= 0)
			output_close(out);
		else
			output_done(out);
		return;
	}
	if (out->source)
		loop_source_set_events(out->source, out->len > 0 ? LOOP_WRITE : 0);
}

static int output_append(struct output *out, const void *data, size_t len)
{
	char *grown;

	/* Without a FIFO output is drained and dropped: a process must not block on it. */
	if (len == 0 || out->fd < 0)
		return 0;
	grown = malloc(out->len + len);
	if (!grown)
		return -ENOMEM;
	if (out->len > 0)
		memcpy(grown, out->data + out->offset, out->len);
	memcpy(grown + out->len, data, len);
	free(out->data);
	out->data = grown;
	out->offset = 0;
	out->len += len;
	return 0;
}

int relay_output(struct relay *io, enum relay_stream stream, const void *data, size_t len, bool eof)
{
	struct output *out = &io->outputs[stream == RELAY_STDOUT ? 0 : 1];
	uint32_t asked = out->asked;
	int r;

	out->asked = 0;
	if (out->done || out->eof)
		return 0;
	r = len > asked || (asked && !len && !eof) ? -EPROTO : output_append(out, data, len);
	if (eof || r < 0)
		out->eof = true;
	output_pump(out);
	return r;
}

/* ---- input ---- */

static void input_finish(struct relay *io)
{
	io->in_done = true;
	destroy_source(&io->in_source);
	close_fd(&io->in_fd);
	close_fd(&io->in_keep_fd);
	free(TAKE_PTR(io->in_data));
	io->in_len = io->in_offset = 0;
}

static void input_ready(int fd, unsigned int events, void *userdata)
{
	struct relay *io = userdata;
	ssize_t n;

	if (io->in_done || io->in_len > 0)
		return;
	if (!io->in_data)
		io->in_data = malloc(RELAY_INPUT_BYTES);
	if (!io->in_data) {
		input_finish(io);
		io->ops->close_input(io->userdata);
		return;
	}
	n = read(io->in_fd, io->in_data, RELAY_INPUT_BYTES);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		input_finish(io);
		io->ops->close_input(io->userdata);
		return;
	}
	io->in_offset = 0;
	io->in_len = (size_t)n;
	loop_source_set_events(io->in_source, 0);
	io->ops->write(io->in_data, io->in_len, io->userdata);
}

int relay_input_taken(struct relay *io, size_t taken, bool closed)
{
	if (io->in_done || io->in_len == 0)
		return 0;
	if (closed) {
		input_finish(io);
		return 0;
	}
	if (taken == 0 || taken > io->in_len) {
		input_finish(io);
		return -EPROTO;
	}
	io->in_offset += taken;
	io->in_len -= taken;
	if (io->in_len > 0) {
		io->ops->write(io->in_data + io->in_offset, io->in_len, io->userdata);
		return 0;
	}
	/* Idle processes are many, and each would keep its buffer. */
	free(TAKE_PTR(io->in_data));
	loop_source_set_events(io->in_source, LOOP_READ);
	return 0;
}

void relay_close_input(struct relay *io)
{
	io->close_wanted = true;
	close_fd(&io->in_keep_fd);
}

/* ---- life ---- */

void relay_set_owned(struct relay *io)
{
	io->owned = true;
	for (int i = 0; i < OUTPUTS; i++)
		close_fd(&io->outputs[i].keep_fd);
}

void relay_start(struct relay *io)
{
	if (io->started)
		return;
	io->started = true;
	/* A FIFO that has vanished meanwhile holds nothing to read. */
	if (io->late_path && !io->in_done)
		open_input(io, io->late_path, NULL);
	if (io->close_wanted)
		close_fd(&io->in_keep_fd);
	if (io->in_source)
		loop_source_set_events(io->in_source, LOOP_READ);
	else if (!io->terminal && !io->in_done)
		io->ops->close_input(io->userdata);
	for (int i = 0; i < OUTPUTS; i++) {
		/* A terminal has one output. */
		if (io->terminal && io->outputs[i].stream == RELAY_STDERR)
			output_done(&io->outputs[i]);
		else
			output_pump(&io->outputs[i]);
	}
}

void relay_process_ended(struct relay *io)
{
	if (io->ended)
		return;
	io->ended = true;
	input_finish(io);
	for (int i = 0; i < OUTPUTS; i++) {
		struct output *out = &io->outputs[i];

		if (out->done)
			continue;
		if (!io->started) {
			output_done(out);
			continue;
		}
		/* From here on a reader that is gone must be noticed. */
		if (!out->vanished)
			close_fd(&out->keep_fd);
		output_pump(out);
	}
	check_drained(io);
}

void relay_note(struct relay *io, const char *line)
{
	const struct output *out = &io->outputs[io->terminal ? 0 : 1];
	char text[RELAY_NOTE_BYTES];
	int n;

	if (out->fd < 0 || out->len > 0)
		return;
	n = snprintf(text, sizeof(text), "%s%s", line, io->terminal ? "\r\n" : "\n");
	/* Up to PIPE_BUF bytes are taken whole or not at all; a reader that has gone misses nothing. */
	if (n > 0 && (size_t)n < sizeof(text) && write(out->fd, text, (size_t)n) < 0)
		return;
}

void relay_abandon(struct relay *io)
{
	io->ended = true;
	input_finish(io);
	for (int i = 0; i < OUTPUTS; i++) {
		output_release(&io->outputs[i]);
		io->outputs[i].done = true;
	}
	check_drained(io);
}

bool relay_drained(const struct relay *io)
{
	return io->drained;
}

void relay_destroy(struct relay *io)
{
	if (!io)
		return;
	input_finish(io);
	for (int i = 0; i < OUTPUTS; i++)
		output_release(&io->outputs[i]);
	free(io->late_path);
	free(io);
}
