/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup_limits.h - limits of a container's cgroup on the host
 *
 * What they are for: the guest's own cgroups hold a container to what was asked for. On the host a
 *                    second
 *           wall bounds what the sandbox as a whole costs, the VMM's own needs included.
 * Missing:  a controller that the machine does not have is passed over.
 * Source:   the kernel's admin-guide/cgroup-v1 and cgroup-v2.
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_LIMITS_H
#define ONGGI_SHIM_HOSTCGROUP_LIMITS_H

#include <stdint.h>

#include "common/err.h"
#include "shim/hostcgroup.h"

/* Bounds of the kernel's. */
#define HOSTCGROUP_SHARES_MAX 262144u
#define HOSTCGROUP_PERIOD_DEFAULT_US 100000u

/* 0 and NULL: no limit of our own, the parent's counts. */
struct hostcgroup_limits {
	uint64_t memory_bytes;
	uint64_t cpu_quota_us, cpu_period_us;
	uint64_t cpu_shares;   /* in version 1's terms, 2 to 262144; 0: 1024 */
	uint64_t pids;
	uint16_t blkio_weight; /* 10 to 1000; 0: the kernel's default */
	char *cpuset_cpus, *cpuset_mems;
};
void hostcgroup_limits_finish(struct hostcgroup_limits *l);

/*
 * Write what differs from @applied, which becomes the same: what was refused is not tried again.
 *
 * A memory limit below what is in use is not forced on a VM: it would be killed. It becomes what is
 * in use and a margin; the next change of it tries again.
 *
 * Returns 0; the errno of the first file that refused its value, which @err names; the rest is
 * written.
 */
int hostcgroup_limits_apply(const struct hostcgroup *h, const struct hostcgroup_limits *wanted,
			    struct hostcgroup_limits *applied, struct err *err);

/* Files of the memory controller of either version, for hostcgroup_oom.c too. */
struct hostcgroup_memory_files {
	const char *limit, *usage;
	const char *unlimited; /* text for the limit's file */
};
const struct hostcgroup_memory_files *hostcgroup_memory_files(const struct hostcgroup *h);

/* Shares of version 1 to a weight of version 2, as all runtimes do: 2..262144 to 1..10000. */
uint64_t hostcgroup_weight_of_shares(uint64_t shares);

#endif
