/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask.h - linux.maskedPaths and linux.readonlyPaths
 *
 * Rules:    paths below /proc and /sys are found from the mounts that were made there, not by name;
 *           a file is covered with the guest's /dev/null after a look at its device number, a
 *           folder with an empty read-only tmpfs. What does not exist needs no covering.
 * Process:  a container's init child, before pivot_root.
 * Source:   OCI config-linux.md "Masked Paths", "Readonly Paths".
 */
#ifndef ONGGI_AGENT_MASK_H
#define ONGGI_AGENT_MASK_H

#include "agent/mount.h"
#include "common/err.h"

/* All paths must be absolute and free of "..". Returns 0 or -EINVAL naming the entry. */
int mask_check(char *const *paths, const char *field, struct err *err);

/*
 * Cover what is at @paths, or make it read-only. Both return 0, or a negative errno that names the
 * path.
 */
int mask_paths(const struct mount_tree *tree, char *const *paths, struct err *err);
int mask_make_readonly(const struct mount_tree *tree, char *const *paths, struct err *err);

/* Open the guest's null device. Returns an O_PATH descriptor; -EPERM it is something else. */
int mask_open_null(struct err *err);

#endif
