/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_update.h - changing the limits of a container that lives
 *
 * Order:    a guest that has to grow grows before the limit does, one that may shrink shrinks after
 *           it. A limit that no guest of this sandbox can keep is refused and nothing is changed.
 *           The host's limits are raised before, and lowered when the guest has given up the
 *           memory.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_UPDATE_H
#define ONGGI_SHIM_TASK_UPDATE_H

#include <stddef.h>

#include "shim/task.h"

/*
 * @resources  OCI "linux.resources" as JSON; what it does not name stays
 * @done       INVALID_ARGUMENT, FAILED_PRECONDITION, RESOURCE_EXHAUSTED, the agent's codes
 */
void task_update(struct task *c, const void *resources, size_t len, proc_done_fn done,
		 void *userdata);

#endif
