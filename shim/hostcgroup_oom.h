/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup_oom.h - making the guest's OOM visible on the host
 *
 * Why:      engines watch the cgroup of the container's process: an eventfd on memory.oom_control
 *           (version 1), or the counters "oom" and "oom_kill" of memory.events (version 2). The
 *           kernel that ran out of memory is the guest's, and neither can be written. So one
 *           process is really killed for memory there: a helper's child with the highest score, at
 *           a limit that is lowered to what is in use while it allocates.
 * Cost:     pages of the page cache that are charged to the cgroup are reclaimed first; nobody else
 *           in it is killed, because the child has more memory to give than anybody can want in
 *           that time.
 * Process:  the sandbox monitor; the helper is its child.
 * Source:   the kernel's mm/memcontrol.c: events of version 1 reach the cgroup over its limit and
 *           those below, never those above; conmon's cgroup.c; containerd's oom watchers.
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_OOM_H
#define ONGGI_SHIM_HOSTCGROUP_OOM_H

#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "shim/hostcgroup.h"

/* A helper that is not done by then is to be killed. */
#define HOSTCGROUP_OOM_TIMEOUT_MS 15000

struct hostcgroup_oom {
	pid_t pid;     /* of the helper: reap it. Exit code 0: the kernel has killed its child */
	char swap[32]; /* what the file about swapping held */
};

/*
 * Fork the helper.
 * Returns 0; -ENOTSUP the machine has no memory controller; errnos of open, read and fork.
 * hostcgroup_oom_finish must follow when the helper has ended, whatever way.
 */
int hostcgroup_oom_start(const struct hostcgroup *h, struct hostcgroup_oom *ret, struct err *err);
/* Put limit (bytes; 0: none) and swapping back. */
void hostcgroup_oom_finish(const struct hostcgroup *h, const struct hostcgroup_oom *oom,
			   uint64_t limit_bytes);

#endif
