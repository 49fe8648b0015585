/* SPDX-License-Identifier: Apache-2.0 */
#include "common/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"

static struct {
	int fd;
	uint64_t start_us, last_us;
	const char *who;
	char *path;
} trace = { .fd = -1 };

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int trace_open(const char *path, uint64_t start_us, const char *who)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	trace_close();
	trace.path = strdup(path);
	trace.fd = fd;
	trace.who = who;
	trace.last_us = now_us();
	trace.start_us = start_us ? start_us : trace.last_us;
	return 0;
}

void trace_close(void)
{
	if (trace.fd >= 0)
		close(trace.fd);
	trace.fd = -1;
	trace.start_us = 0;
	free(trace.path);
	trace.path = NULL;
}

const char *trace_path(void)
{
	return trace.path;
}

uint64_t trace_start_us(void)
{
	return trace.start_us;
}

void trace_mark(const char *fmt, ...)
{
	char line[TRACE_LINE_MAX + 1];
	uint64_t now;
	va_list ap;
	int len;

	if (trace.fd < 0)
		return;
	now = now_us();
	len = snprintf(line, TRACE_LINE_MAX, "%8.1f ms  +%6.1f  %-8s ",
		       (double)(now - trace.start_us) / 1000, (double)(now - trace.last_us) / 1000,
		       trace.who);
	trace.last_us = now;
	va_start(ap, fmt);
	len += vsnprintf(line + len, TRACE_LINE_MAX - (size_t)len, fmt, ap);
	va_end(ap);
	if (len > TRACE_LINE_MAX - 1)
		len = TRACE_LINE_MAX - 1;
	line[len] = '\n';
	/* A trace that cannot be written is no reason to fail a start. */
	(void)io_write_all(trace.fd, line, (size_t)len + 1);
}
