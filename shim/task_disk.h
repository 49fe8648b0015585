/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_disk.h - a rootfs that lies in files or on block devices: given to the guest as disks
 *
 * Rule:     the host never mounts it, and never looks into it: what a container has written there
 *           is for the guest's kernel alone. Read-only means that the VMM's descriptor cannot
 *           write.
 * Life:     plugged into the VM before the agent is asked for the container; taken out before
 *           Delete is answered, so that the engine finds the device unused. It ends with the VM in
 *           any case.
 * Trust:    path, type and options come from the engine, as the mounts of task_rootfs.h do. Links
 *           are followed: /dev/mapper is full of them.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_DISK_H
#define ONGGI_SHIM_TASK_DISK_H

#include "common/proto/agent.pb-c.h"
#include "shim/task.h"
#include "shim/task_disk_plan.h"

/*
 * Open all of @plan for @c. Returns 0; -EBUSY @c has disks; -ENOTBLK neither a file nor a block
 * device; errnos of open(2), with the path; -ENOMEM.
 */
int task_disks_open(struct task *c, const struct task_disk_plan *plan, struct err *err);

/*
 * Plug them in, if there are any. @done: also at once. UNAVAILABLE when the VM has ended meanwhile.
 */
void task_disks_plug(struct task *c, proc_done_fn done, void *userdata);
/* Take out those that are in. @done: OK, also at once; what the guest keeps is told in the log. */
void task_disks_unplug(struct task *c, proc_done_fn done, void *userdata);
/* @c is no longer in the sandbox: what is in still, or is on its way, goes too. */
void task_disks_abandon(struct task *c);
/* NULL allowed. */
void task_disks_free(struct task_disks *disks);
DEFINE_CLEANUP(struct task_disks *, task_disks_free);

/* For the agent; borrows from @c. Returns how many there are; 0: none. */
size_t task_disks_describe(const struct task *c, Onggi__Agent__V1__RootDisk messages[TASK_DISKS_MAX],
			   Onggi__Agent__V1__RootDisk *list[TASK_DISKS_MAX]);

#endif
