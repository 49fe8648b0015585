/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a line is put together in one buffer on the stack and handed to the kernel by one
 * write(2), so that lines of several processes on one pipe or file do not mix. What a message quotes may come from a
 * guest or an image; control bytes are therefore escaped in both formats and a terminal never sees
 * them. A sink that cannot take a line (full FIFO, dead reader) loses it: logging never blocks on a
 * non-blocking descriptor and never fails.
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
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_DEBUG + 1, "one name per level");

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

/* Length of the well-formed UTF-8 sequence at @s (at most @len bytes), 0 if it is none. */
static size_t utf8_sequence(const unsigned char *s, size_t len)
{
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	/* C1 controls (U+0080 to U+009F) drive terminals too. */
	if (s[0] == 0xc2 && s[1] < 0xa0)
		return 0;
	return n;
}

static bool line_add_escaped(struct line *line, const char *text, enum log_format format)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len = strlen(text), n;
	char escaped[8];

	while (len > 0) {
		n = utf8_sequence(s, len);
		if (n == 0)
			snprintf(escaped, sizeof(escaped), format == LOG_FORMAT_JSON ? "\\ufffd" : "\\x%02x", s[0]);
		else if (s[0] < 0x20 || s[0] == 0x7f)
			snprintf(escaped, sizeof(escaped), format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", s[0]);
		else if (format == LOG_FORMAT_JSON && (s[0] == '"' || s[0] == '\\'))
			snprintf(escaped, sizeof(escaped), "\\%c", s[0]);
		else
			escaped[0] = '\0';
		if (escaped[0] ? !line_add(line, escaped, strlen(escaped)) : !line_add(line, (const char *)s, n))
			return false;
		n = n ? n : 1;
		s += n;
		len -= n;
	}
	return true;
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
	n = snprintf(line->text + line->used, room, "\",\"time\":\"%s.%09ldZ\"}\n", stamp, now.tv_nsec);
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
