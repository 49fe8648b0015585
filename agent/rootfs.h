/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rootfs.h - the root folder of a container, from a folder of the share (or a disk) to "/"
 *
 * Order:    rootfs_leave_initramfs (agent, once at start); then in each init child: rootfs_isolate
 *           -> rootfs_attach -> (mounts, devices, masks) -> rootfs_pivot -> rootfs_finish.
 * Errors:   0, or the negative errno of the mount call that was refused, with its reason.
 * Source:   pivot_root(2), which cannot replace an initramfs: hence rootfs_leave_initramfs.
 */
#ifndef ONGGI_AGENT_ROOTFS_H
#define ONGGI_AGENT_ROOTFS_H

#include "agent/mount.h"
#include "common/err.h"
#include "common/oci.h"

/*
 * Move the agent from the initramfs onto a bind mount of it, so that pivot_root works in the
 * children. To be called by PID 1 first of all, before /proc and the like are mounted.
 */
int rootfs_leave_initramfs(struct err *err);

/*
 * Make the agent's root read-only, nodev, nosuid: the agent's binary lies there. To be called when
 * the folders for mount points exist.
 */
int rootfs_seal(struct err *err);

/* Cut the new mount namespace off from the agent's. */
int rootfs_isolate(struct err *err);

/*
 * Make the folder @path below tree->share_fd a mount of its own; sets tree->root_fd.
 * Returns 0; -ENOENT; -ENOTDIR; -ELOOP a link on the way.
 */
int rootfs_attach(struct mount_tree *tree, const char *path, struct err *err);

/* Check linux.rootfsPropagation. Returns MS_* flags (0: not given) in *ret; -EINVAL. */
int rootfs_propagation(const char *text, unsigned long *ret, struct err *err);

/* Make tree->root_fd "/" and drop everything else from this mount namespace. */
int rootfs_pivot(const struct mount_tree *tree, struct err *err);

/* Propagation and read-only flag of the finished root. */
int rootfs_finish(const struct mount_tree *tree, const struct oci_spec *spec, struct err *err);

#endif
