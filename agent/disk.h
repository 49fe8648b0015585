/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk.h - a container's root on virtio disks of its own
 *
 * Shape:    found by their serial numbers, waited for since the host has only just plugged them in.
 *           One is the root; several are layers of an overlay.
 * Peer:     what is on a disk is the container's own, and hostile: the kernel's file system meets
 *           it as it would meet a mount by the container's root, nothing else looks into it.
 * Process:  disk_root in a container's init child, which may wait, and whose mount namespace holds
 *           the only references: a file system is unmounted, and written, when the container's last
 *           process has ended. disk_retire in the agent, after that.
 */
#ifndef ONGGI_AGENT_DISK_H
#define ONGGI_AGENT_DISK_H

#include <stddef.h>

#include "common/err.h"

#define DISKS_MAX 8u
/* A virtio disk's serial number, without a NUL. */
#define DISK_SERIAL_MAX 20u
/* For all disks to appear, ms. */
#define DISK_WAIT_MS 20000u

struct disk {
	char serial[DISK_SERIAL_MAX + 1]; /* [a-z0-9-] */
	char *type; /* of the file system; "": data of the one before it */
	char *options; /* for the file system; "" for none */
	unsigned long flags; /* MS_* of the mount */
};

struct disk_list {
	size_t n;
	struct disk list[DISKS_MAX]; /* layers: the topmost first */
};
/* Frees what the entries own; the list is empty then. */
void disk_list_finish(struct disk_list *disks);

/* Copies of all. -EINVAL a serial number that none is, data of no file system; -E2BIG, -ENOMEM. */
int disk_list_add(struct disk_list *disks, const char *serial, const char *type, const char *options,
		  unsigned long flags, struct err *err);

/*
 * Mount them, and put the root on top of what @cover_fd refers to (whose descriptor goes on leading
 * to what is below).
 *
 * Returns the root's mount; -ENODEV no such disk in time, or no such file system in this kernel;
 * -EINVAL with the kernel's words; another errno.
 */
int disk_root(const struct disk_list *disks, int cover_fd, struct err *err);

/* Have the host get them back at once, unless they are in use. */
void disk_retire(const struct disk_list *disks);

#endif
