/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount.h - the spec's mounts, put into a container's root one after the other
 *
 * Shape:    struct mount_tree is the root under construction: a descriptor of its root mount, and
 *           descriptors of the mounts that later steps must find again without looking at names.
 * Rules:    targets are resolved inside the root by descriptor; nothing is mounted on or below
 *           /proc but procfs and runc's list of files; /proc, /sys and /dev must be real
 *           directories. Nothing on "/".
 * Types:    bind, tmpfs, proc, sysfs, devpts, mqueue, cgroup, cgroup2. Others are refused by name.
 * Process:  a container's init child, in its new mount namespace, before pivot_root.
 * Source:   OCI config.md "Mounts"; mount(8) for the options; move_mount(2).
 */
#ifndef ONGGI_AGENT_MOUNT_H
#define ONGGI_AGENT_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/userns.h"
#include "common/err.h"
#include "common/oci.h"

struct mount_tree {
	int root_fd;   /* root mount of the container, O_PATH */
	int share_fd;  /* SETUP_SHARE_PATH, O_PATH; -1: no bind has a source */
	int shm_fd;    /* SETUP_SHM_PATH, O_PATH; -1: there is none */
	int proc_fd;   /* topmost mount at /proc, -1: none */
	int sys_fd;    /* topmost mount at /sys, -1: none */
	const struct userns *userns; /* NULL: ids are the guest's */
	int devpts_fd; /* detached devpts instance made by the agent, mounted by the first devpts entry; -1 */
};

#define MOUNT_TREE_INIT { .root_fd = -1, .share_fd = -1, .shm_fd = -1, .proc_fd = -1, .sys_fd = -1, .devpts_fd = -1 }
/* Closes all of its descriptors. */
void mount_tree_finish(struct mount_tree *tree);

/* What a type is to us. */
enum mount_kind {
	MOUNT_KIND_BIND,
	MOUNT_KIND_TMPFS,
	MOUNT_KIND_PROC,
	MOUNT_KIND_SYSFS,
	MOUNT_KIND_DEVPTS,
	MOUNT_KIND_MQUEUE,
	MOUNT_KIND_CGROUP,
	MOUNT_KIND_COUNT,
};
/* Returns an enum mount_kind; -EOPNOTSUPP a type that the guest does not mount, named. */
int mount_kind_of(const struct oci_mount *m, struct err *err);

/*
 * Mount one entry.
 *
 * @source      for binds: path below the share, relative to share_fd, or SETUP_SHM_PATH; NULL
 *              otherwise
 * @open_below  a read-only bind whose parts the host tells apart: no such flag here, which would
 *              cover them all
 *
 * Binds get the attributes that the entry asks for and no others, whatever the share is mounted
 * with.
 *
 * Returns 0; -EPERM the target is refused (see Rules); -EOPNOTSUPP; -ENOENT no source; another
 * errno. The text names destination and cause.
 */
int mount_apply(struct mount_tree *tree, const struct oci_mount *m, const char *source, bool open_below,
		struct err *err);

/* The absolute @path without "//", "." and ".."; "/" for the root. Returns 0 or -ENAMETOOLONG. */
int mount_clean_path(const char *path, char *ret, size_t size);

/*
 * Where @fd lies below @root_fd, as an absolute path inside it ("/proc/sys").
 * Returns 0; -EXDEV outside.
 */
int mount_path_of_fd(int root_fd, int fd, char *ret, size_t size);

/* Whether something other than procfs may be mounted on the cleaned @path below /proc. */
bool mount_proc_file_allowed(const char *path);

#endif
