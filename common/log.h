/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - one line per event, to one sink per process
 *
 * Shape:    text "<level> <component>: <message>" or, in JSON format, the line that engines parse:
 *           {"level":"error","msg":"…","time":"RFC3339"}.
 * Process:  any; the sink is process-wide (the one mutable global besides main's).
 * Limits:   a line is cut at LOG_LINE_MAX bytes.
 * Rule:     a function either returns an error or logs, never both (see docs/architecture.md).
 */
#ifndef ONGGI_COMMON_LOG_H
#define ONGGI_COMMON_LOG_H

#include "common/err.h"

#define LOG_LINE_MAX 4096

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/*
 * Choose sink, format and threshold; may be called again.
 *
 * @fd         where lines go; not closed by the logger; -1 for nowhere
 * @component  static string that names the program or role, e.g. "monitor"
 */
void log_setup(int fd, enum log_format format, enum log_level max, const char *component);

/* One line, unless @level is over the threshold. Control characters are escaped; errno is kept. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
