/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_clock.h - the monotonic clock as a test wants it: ahead of the machine's, or standing still
 *
 * Shape:    this file brings a clock_gettime of its own, which the loop and the product's code call too: include it
 *           in one file of each program. Time in which a busy machine does something else does not count while the
 *           clock stands: a timer fires when the test moves the clock, and at no other time.
 */
#ifndef ONGGI_TESTS_OWN_CLOCK_H
#define ONGGI_TESTS_OWN_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t clock_ahead_ms;
static bool clock_stands;
static struct timespec clock_stands_at;

int clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = (int)syscall(SYS_clock_gettime, id, ts);
	int64_t ns;

	if (r != 0 || (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_COARSE))
		return r;
	if (clock_stands)
		*ts = clock_stands_at;
	ns = ts->tv_nsec + clock_ahead_ms % 1000 * 1000000;
	ts->tv_sec += clock_ahead_ms / 1000 + ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

/* From now on time passes only by clock_ahead_ms, until clock_run. */
static inline void clock_stop(void)
{
	clock_stands = false;
	clock_ahead_ms = 0;
	clock_gettime(CLOCK_MONOTONIC, &clock_stands_at);
	clock_stands = true;
}

static inline void clock_run(void)
{
	clock_stands = false;
	clock_ahead_ms = 0;
}

#endif
