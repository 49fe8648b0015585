/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_disk_plan.h - which of an engine's mounts are disks for the guest, and how they make a root
 *
 * Shape:    a function of the list alone: nothing is opened. One mount of a known type: that disk
 *           is the root. Several, and at last one of type "format/overlay" or
 *           "format/mkdir/overlay": the layers of an overlay, of which one may be writable, whose
 *           folders "upper" and "work" are the overlay's. An erofs whose data lies in other files
 *           ("device=") has these as disks behind it.
 * Source:   containerd's docs on mounts ("format/": {{ mount N }}, {{ overlay A B }}) and its EROFS
 *           snapshotter.
 */
#ifndef ONGGI_SHIM_TASK_DISK_PLAN_H
#define ONGGI_SHIM_TASK_DISK_PLAN_H

#include "common/err.h"
#include "shim/task.h"

/* No machine has slots for more. */
#define TASK_DISKS_MAX 8u

/* Of the types that are taken those that containerd's mount manager would mount if it were not told of this list. */
#define TASK_DISK_MANAGED_TYPES "erofs,format/overlay,format/mkdir/overlay"

struct task_disk_source {
	const char *type; /* "": none of its own, it holds data of the one before it; borrowed from the list */
	const char *source; /* borrowed from the list */
	char *options;	     /* for the file system; NULL or "" for none */
	unsigned long flags; /* MS_*; MS_RDONLY with every layer but the first */
};

struct task_disk_plan {
	size_t n; /* with one type: the root. More: layers, the topmost first */
	struct task_disk_source list[TASK_DISKS_MAX];
};
/* Frees the options. */
void task_disk_plan_finish(struct task_disk_plan *plan);

/*
 * Returns 1 with *ret; 0 there is no disk among @mounts, they are for the host; -EOPNOTSUPP a file
 * system of disks that the guest's kernel has not, an option that means nothing there, disks in any
 * other arrangement; -E2BIG too many; -EINVAL no absolute path; -ENOMEM.
 */
int task_disk_plan(const struct task_mount *mounts, size_t n, struct task_disk_plan *ret, struct err *err);

#endif
