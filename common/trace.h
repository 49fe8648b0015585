/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace.h - where the milliseconds of a start go: one line for each phase that has ended
 *
 * Shape:    every process that has a part in it appends to the same file: milliseconds since the
 *           command began, since this process' previous line, its name, the phase. In order,
 *           because each line is one write(2) to a file opened for appending.
 * Cost:     nothing but a branch unless trace_open was called.
 * Process:  any, single-threaded.
 */
#ifndef ONGGI_COMMON_TRACE_H
#define ONGGI_COMMON_TRACE_H

#include <stdint.h>

/* Longest line, bytes; longer ones are cut. */
#define TRACE_LINE_MAX 256

/*
 * Begin. @start_us 0: now, which the other processes are to be told by trace_start_us.
 *
 * @path  absolute; made if need be (0600)
 * @who   name of this process, borrowed for good
 *
 * Returns 0 or errnos of open(2).
 */
int trace_open(const char *path, uint64_t start_us, const char *who);
void trace_close(void);
/* The path that trace_open was given; NULL: nothing is traced. Good until trace_close. */
const char *trace_path(void);
/* Microseconds of CLOCK_MONOTONIC at which the command began; 0: nothing is traced. */
uint64_t trace_start_us(void);

/* A phase has ended. */
void trace_mark(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
