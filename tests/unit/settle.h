/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settle.h - let a loop see everything that has happened, so that what has not happened by then never will
 *
 * Shape:    for tests whose every actor is this process: the loop's sources and peers over the loopback interface.
 *           No time passes by; see own_clock.h for a clock that stands meanwhile.
 * Order:    settle_pin once, in main or the group's setup; then settle, turn.
 */
#ifndef ONGGI_TESTS_SETTLE_H
#define ONGGI_TESTS_SETTLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/loop.h"

/* More rounds than there are things to do one after the other in any of the tests. */
#define SETTLE_ROUNDS 1000
#define SETTLE_ROUNDS_PER_BARRIER 50

/* What one processor sends over loopback arrives in the order in which it was sent; not so with two. */
static inline void settle_pin(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

static inline void settle_over(void *userdata)
{
	*(bool *)userdata = true;
}

/* One round of the loop, whether or not something is ready. */
static inline void turn(struct loop *loop)
{
	struct loop_source *timer;
	bool over = false;

	assert_int_equal(loop_add_timer(loop, 0, settle_over, &over, &timer), 0);
	while (!over)
		assert_int_equal(loop_run_once(loop), 0);
	loop_source_destroy(timer);
}

/* A datagram to ourselves: when it is here, all that was sent over loopback before it is as well. */
static inline void settle_loopback(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);
	char byte = 0;

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(sendto(fd, &byte, 1, 0, (struct sockaddr *)&at, len), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	close(fd);
}

static inline void settle(struct loop *loop)
{
	for (int i = 0; i < SETTLE_ROUNDS; i++) {
		if (i % SETTLE_ROUNDS_PER_BARRIER == 0)
			settle_loopback();
		turn(loop);
	}
}

#endif
