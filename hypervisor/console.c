/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The file grows by appending until a chunk would push it over the limit. Then its last bytes (half
 * of what lies behind the head) move down to the place behind head and marker, the file is cut
 * there, and appending goes on. Each byte moves about once, no matter how much comes, and a reader
 * always finds the text in order. Nothing is kept in memory.
 *
 *   | head: a quarter | marker | end of the text … |
 */
#include "hypervisor/console.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/fd.h"

/* Bytes taken per round of the loop, so that a flood starves nobody. */
#define CHUNK_BYTES 4096

static const char marker[] = "\n[... onggi: output left out here ...]\n";
#define MARKER_LEN (sizeof(marker) - 1)

struct console {
	struct loop_source *source;
	int fd, file_fd;
	size_t max_bytes, head_bytes;
	size_t size; /* of the file */
};

static int write_at(int fd, const char *data, size_t len, size_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		data += n;
		len -= (size_t)n;
		offset += (size_t)n;
	}
	return 0;
}

static ssize_t read_at(int fd, char *data, size_t len, size_t offset)
{
	ssize_t n;

	do {
		n = pread(fd, data, len, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	return n;
}

/*
 * Move the end of the text down to the head. On an error of the disk the text behind the head is
 * lost.
 */
static void compact(struct console *c)
{
	size_t to = c->head_bytes + MARKER_LEN, from = c->size - (c->max_bytes - to) / 2;
	char buf[CHUNK_BYTES];

	if (write_at(c->file_fd, marker, MARKER_LEN, c->head_bytes) < 0) {
		to = c->head_bytes;
		from = c->size;
	}
	while (from < c->size) {
		size_t len = c->size - from < sizeof(buf) ? c->size - from : sizeof(buf);
		ssize_t n = read_at(c->file_fd, buf, len, from);

		if (n <= 0 || write_at(c->file_fd, buf, (size_t)n, to) < 0)
			break;
		from += (size_t)n;
		to += (size_t)n;
	}
	c->size = to;
	if (ftruncate(c->file_fd, (off_t)to) < 0)
		c->size = to; /* the rest is overwritten as text comes */
}

static void append(struct console *c, const char *data, size_t len)
{
	if (c->size + len > c->max_bytes)
		compact(c);
	if (write_at(c->file_fd, data, len, c->size) == 0)
		c->size += len;
}

/* Returns bytes taken; 0: nothing there now; -1: end. */
static ssize_t take(struct console *c)
{
	char buf[CHUNK_BYTES / 2];
	ssize_t n;

	do {
		n = read(c->fd, buf, sizeof(buf));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0)
		return -1;
	append(c, buf, (size_t)n);
	return n;
}

static void on_readable(int fd, unsigned int events, void *userdata)
{
	struct console *c = userdata;

	if (take(c) < 0) {
		loop_source_destroy(c->source);
		c->source = NULL;
	}
}

int console_create(struct loop *loop, int fd, int dirfd, const char *name, size_t max_bytes,
		   struct console **ret)
{
	_cleanup_(console_destroy_p) struct console *c = NULL;
	int r;

	if (max_bytes < CONSOLE_BYTES_MIN || max_bytes > CONSOLE_BYTES_MAX)
		return -EINVAL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->fd = -EBADF;
	c->max_bytes = max_bytes;
	c->head_bytes = max_bytes / 4;
	c->file_fd = openat(dirfd, name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->file_fd < 0)
		return -errno;
	if (fchmod(c->file_fd, 0600) < 0) /* it may have been there, with another mode */
		return -errno;
	r = fd_set_nonblock(fd, true);
	if (r < 0)
		return r;
	r = loop_add_fd(loop, fd, LOOP_READ, on_readable, c, &c->source);
	if (r < 0)
		return r;
	c->fd = fd;
	*ret = TAKE_PTR(c);
	return 0;
}

void console_destroy(struct console *c)
{
	if (!c)
		return;
	loop_source_destroy(c->source);
	if (c->fd >= 0)
		close(c->fd);
	if (c->file_fd >= 0)
		close(c->file_fd);
	free(c);
}

void console_drain(struct console *c)
{
	size_t total = 0;
	ssize_t n;

	while (c->source && total < 2 * c->max_bytes) {
		n = take(c);
		if (n <= 0)
			return;
		total += (size_t)n;
	}
}

size_t console_clean(char *data, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char ch = (unsigned char)data[i];

		if (ch == '\r')
			continue;
		if (ch == '\t')
			ch = ' ';
		else if (ch != '\n' && (ch < 0x20 || ch > 0x7e))
			ch = '?';
		data[out++] = (char)ch;
	}
	return out;
}

size_t console_tail(struct console *c, char *buf, size_t size)
{
	size_t offset, len;
	ssize_t n;

	if (size == 0)
		return 0;
	buf[0] = '\0';
	offset = c->size > size - 1 ? c->size - (size - 1) : 0;
	n = read_at(c->file_fd, buf, c->size - offset, offset);
	if (n <= 0)
		return 0;
	len = console_clean(buf, (size_t)n);
	buf[len] = '\0';
	if (offset > 0) { /* the first line is half of one */
		char *line = memchr(buf, '\n', len);

		if (line && line + 1 < buf + len) {
			len -= (size_t)(line + 1 - buf);
			memmove(buf, line + 1, len + 1);
		}
	}
	return len;
}
