/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_rootfs.h - a rootfs that the engine gives as a list of mounts: of the host's, or disks
 * (task_disk.h)
 *
 * Where:    on <bundle>/rootfs in the monitor's mount namespace, which is its own then (monitor.c):
 *           nobody else sees them, and they vanish with the monitor.
 * Trust:    the list is the engine's own. What is in the file systems is not, and is never looked
 *           into here.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_ROOTFS_H
#define ONGGI_SHIM_TASK_ROOTFS_H

#include "shim/task.h"

/*
 * Mount all, or open the disks. None is no error. What is mounted when one fails is unmounted by
 * task_rootfs_unmount.
 * Returns 0; those of task_disk_plan and task_disks_open; errnos of mount(2), -E2BIG options that
 * exceed a page, with the type and source in the message.
 */
int task_rootfs_mount(struct task *c, const struct task_mount *mounts, size_t n, struct err *err);
/* Harmless without any. */
void task_rootfs_unmount(struct task *c);

#endif
