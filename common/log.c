/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a line is put together in one buffer on the stack and handed to the kernel
 * by one write(2), so that lines of several processes on one pipe or file do not mix. What a
 * message quotes may come from a guest or an image; control bytes are therefore escaped in both
 * formats and a terminal never sees them. A sink that cannot take a line (full FIFO, dead reader)
 * loses it: logging never blocks on a non-blocking descriptor and never fails.
 */
#include "common/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/utf8.h"

/* Message before escaping; one byte becomes at most six ("\u0000"). */
#define LOG_MESSAGE_MAX 2560

static struct {
	int fd;
	enum log_format format;
	enum log_level max;
	const char *component;
} sink = { .fd = -1, .format = LOG_FORMAT_TEXT, .max = LOG_LEVEL_INFO, .component = "onggi" };

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_DEBUG + 1,
	       "one name per level");

void log_setup(int fd, enum log_format format, enum log_level max, const char *component)
{
	sink.fd = fd;
	sink.format = format;
	sink.max = max;
	if (component)
		sink.component = component;
}

struct line {
	size_t used;
	char text[LOG_LINE_MAX];
};

/* Room for the closing `","time":"2026-01-01T00:00:00.000000000Z"}` and the newline. */
#define LINE_RESERVE 64

static bool line_add(struct line *line, const char *text, size_t len)
{
	if (len > sizeof(line->text) - LINE_RESERVE - line->used)
		return false;
	memcpy(line->text + line->used, text, len);
	line->used += len;
	return true;
}

/* C1 controls (U+0080 to U+009F) drive terminals as well as the ASCII ones do. */
static bool is_c1_control(const char *s, size_t n)
{
	return n == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0;
}

/*
 * The replacement for the sequence of @n bytes at @s (0: a stray byte), empty if it may stand as it
 * is.
 */
static void escape(const char *s, size_t n, enum log_format format, char ret[8])
{
	unsigned int c = (unsigned char)s[0];

	ret[0] = '\0';
	if (n == 0)
		snprintf(ret, 8, format == LOG_FORMAT_JSON ? "\\ufffd" : "\\x%02x", c);
	else if (is_c1_control(s, n))
		snprintf(ret, 8, "\\u%04x", (unsigned int)(unsigned char)s[1]);
	else if (c < 0x20 || c == 0x7f)
		snprintf(ret, 8, format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", c);
	else if (format == LOG_FORMAT_JSON && (c == '"' || c == '\\'))
		snprintf(ret, 8, "\\%c", (char)c);
}

static void line_add_escaped(struct line *line, const char *s, enum log_format format)
{
	size_t len = strlen(s), n;
	char escaped[8];
	bool fits = true;

	for (; len > 0 && fits; s += n, len -= n) {
		n = utf8_sequence(s, len);
		escape(s, n, format, escaped);
		n = n ? n : 1;
		fits = escaped[0] ? line_add(line, escaped, strlen(escaped)) : line_add(line, s, n);
	}
}

/* The end of the line lives in the reserve that line_add keeps free. */
static void line_finish(struct line *line, enum log_format format)
{
	size_t room = sizeof(line->text) - line->used;
	struct timespec now;
	struct tm tm;
	char stamp[32];
	int n;

	if (format == LOG_FORMAT_TEXT) {
		line->text[line->used++] = '\n';
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(line->text + line->used, room, "\",\"time\":\"%s.%09ldZ\"}\n", stamp,
		     now.tv_nsec);
	line->used += n > 0 && (size_t)n < room ? (size_t)n : 0;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char message[LOG_MESSAGE_MAX];
	struct line line;
	int saved = errno;
	va_list ap;
	ssize_t n;

	if (sink.fd < 0 || level > sink.max)
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);

	line.used = 0;
	if (sink.format == LOG_FORMAT_JSON) {
		line_add(&line, "{\"level\":\"", 10);
		line_add(&line, level_names[level], strlen(level_names[level]));
		line_add(&line, "\",\"msg\":\"", 9);
	} else {
		line_add(&line, level_names[level], strlen(level_names[level]));
		line_add(&line, " ", 1);
		line_add(&line, sink.component, strlen(sink.component));
		line_add(&line, ": ", 2);
	}
	line_add_escaped(&line, message, sink.format);
	line_finish(&line, sink.format);
	do
		n = write(sink.fd, line.text, line.used);
	while (n < 0 && errno == EINTR);
	errno = saved;
}
