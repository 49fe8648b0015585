/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_fs.h - the kernel's descriptor-based mount calls, with their reasons in struct err
 *
 * Shape:    a mount is a descriptor (detached) until mount_attach puts it on another descriptor.
 *           Nothing here takes a path below a container's root.
 * Errors:   0 or a descriptor, which is the caller's; else the negative errno of the call, with
 *           its name in @err.
 * Source:   fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).
 */
#ifndef ONGGI_AGENT_MOUNT_FS_H
#define ONGGI_AGENT_MOUNT_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define MOUNT_OPTIONS_MAX 4096u

/*
 * A new detached mount of the file system @type.
 *
 * @prefix   options before @data, e.g. "mode=0755"; NULL: none
 * @data     comma separated options as in mount(8); NULL: none
 * @attr     MOUNT_ATTR_* of the mount
 *
 * Returns a descriptor; -EINVAL with the kernel's words when it refuses an option; -ENODEV no such
 * type.
 */
int mount_new(const char *type, const char *prefix, const char *data, uint64_t attr, struct err *err);

/* The same with a device, or whatever the type wants. @source: a path of the guest's */
int mount_new_from(const char *type, const char *source, const char *prefix, const char *data, uint64_t attr,
		   struct err *err);

/* A detached copy of the mount (or subtree) at @fd. Returns a descriptor. */
int mount_clone(int fd, bool recursive, struct err *err);

/* Put the detached @mount_fd onto what @target_fd refers to. */
int mount_attach(int mount_fd, int target_fd, struct err *err);

/* MOUNT_ATTR_* of a mount. @set wins over @clear; atime bits are handled as one field. */
int mount_change(int mount_fd, uint64_t set, uint64_t clear, bool recursive, struct err *err);

/* MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, with MS_REC or without. */
int mount_propagate(int mount_fd, unsigned long propagation, struct err *err);

/*
 * MS_* flags of a spec to MOUNT_ATTR_*; flags of the file system (MS_SYNCHRONOUS, …) are not
 * covered.
 */
uint64_t mount_attr_from_flags(unsigned long flags);

#endif
