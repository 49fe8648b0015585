/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduling.h - processor and disk scheduling of a process on its way to execve
 *
 * Reach:    the guest's own scheduler, among the processes of this guest. What the guest gets of
 *           the host is the host's matter.
 * Order:    before capabilities are given up: real time classes take CAP_SYS_NICE.
 * Source:   OCI config.md "scheduler" and "ioPriority"; sched_setattr(2), ioprio_set(2).
 */
#ifndef ONGGI_AGENT_SCHEDULING_H
#define ONGGI_AGENT_SCHEDULING_H

#include "common/err.h"
#include "common/oci.h"

/* Returns 0; -EINVAL values that the kernel refuses; -EPERM; -EBUSY no time left for a deadline. */
int scheduling_apply(const struct oci_process *process, struct err *err);

#endif
