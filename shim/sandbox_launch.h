/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_launch.h - making a monitor, and removing what a dead one left; both under the root's
 * lock
 *
 * Process:  the command line.
 */
#ifndef ONGGI_SHIM_SANDBOX_LAUNCH_H
#define ONGGI_SHIM_SANDBOX_LAUNCH_H

#include "common/err.h"
#include "shim/monitor_role.h"

/*
 * Make the folder of the sandbox with its listening socket, fork and exec the monitor, and wait
 * until it has registered the sandbox; monitor_ready_wait(*ret_life_fd) then waits for its VMM. The
 * monitor is no child of the caller, has a session of its own and none of its descriptors.
 *
 * @netns_fd  network namespace that the monitor is to live in; borrowed
 *
 * @ret_life_fd  as long as it is open, the monitor waits for its first container
 *
 * Returns 0; -EEXIST there is a folder of that name; other errnos with the reason, the folder is
 * gone then.
 */
int sandbox_launch(int rootfd, const struct monitor_args *args, int netns_fd, int *ret_life_fd,
		   struct err *err);

/* As sandbox_clean_up, by one who holds the lock. -EBUSY: its monitor lives, nothing was done. */
int sandbox_clean_up_locked(int rootfd, const char *sandbox_id, struct err *err);

#endif
