/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procfs.h - writing to the real /proc, and nothing that looks like it
 *
 * Rule:     the descriptor comes from the guest's own root before any container's tree is entered,
 *           is checked to be procfs, and every path below it is resolved without links or mounts.
 * Source:   openat2(2), statfs(2).
 */
#ifndef ONGGI_AGENT_PROCFS_H
#define ONGGI_AGENT_PROCFS_H

#include <stddef.h>

#include "common/err.h"

/* Open "/proc" (O_PATH). Returns the descriptor; -ENOTSUP it is no procfs; another errno. */
int procfs_open(struct err *err);
/* Whether @fd lies on a procfs: 1, 0, or a negative errno. */
int procfs_is(int fd);
/*
 * Write @len bytes to the existing file @path below @proc_fd. "self/…" follows that one link.
 *
 * Returns 0; -EPERM @proc_fd is no procfs; -EIO a part was written; errnos of openat2(2),
 * write(2).
 */
int procfs_write(int proc_fd, const char *path, const void *data, size_t len);

#endif
