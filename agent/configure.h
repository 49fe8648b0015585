/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configure.h - what only the host knows about a guest that was just booted or restored: time,
 * chance, name
 *
 * Boot id:  the kernel makes it up when it is first read. The agent never reads it, so that a guest
 *           restored from a template gets one of its own from the entropy that came with
 *           configure_entropy.
 * Process:  the agent; PID 1 of a guest.
 * Source:   random(4), clock_settime(2), sethostname(2).
 */
#ifndef ONGGI_AGENT_CONFIGURE_H
#define ONGGI_AGENT_CONFIGURE_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define CONFIGURE_ENTROPY_MIN 32u
#define CONFIGURE_ENTROPY_MAX 512u
#define CONFIGURE_HOSTNAME_MAX 64u

/* Set the wall clock. @realtime_ns since the epoch, > 0. Returns 0, -EINVAL, another errno. */
int configure_clock(int64_t realtime_ns, struct err *err);

/*
 * Mix @len bytes in, credit them, and have the generator use them at once. -EINVAL: length out of
 * bounds.
 */
int configure_entropy(const void *data, size_t len, struct err *err);

/* 1 to 64 bytes of [A-Za-z0-9.-]. Returns 0, -EINVAL, another errno. */
int configure_hostname(const char *name, struct err *err);

struct configure_info {
	uint64_t memory_total_bytes, memory_free_bytes;
	uint32_t cpus;
	char kernel_release[65];
};
/*
 * What the host wants to know of the guest. Errnos of sysinfo(2), uname(2), sched_getaffinity(2).
 */
int configure_info(struct configure_info *ret, struct err *err);

#endif
