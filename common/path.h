/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path.h - resolving and creating paths below a directory that somebody else can write
 *
 * Rule:     a tree that a guest, an image or a tenant can write is only ever entered with these
 *           functions: every component is resolved by openat2(2) with RESOLVE_IN_ROOT or
 *           RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS, never by string operations.
 * Errors:   negative errno as of openat2(2), mkdirat(2); -ENAMETOOLONG over PATH_DEPTH_MAX
 *           components.
 */
#ifndef ONGGI_COMMON_PATH_H
#define ONGGI_COMMON_PATH_H

#include <stdbool.h>
#include <sys/types.h>

/* Most components in a path that path_mkdir_in_root creates. */
#define PATH_DEPTH_MAX 256

/*
 * Open @path as if @rootfd were "/": absolute links and ".." stay inside.
 * @flags as for open(2); O_CLOEXEC is added. @mode matters with O_CREAT only.
 * Returns the descriptor.
 */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode);

/* The same, but any step outside of @dirfd (absolute link, "..") fails with -EXDEV. */
int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode);

/*
 * Make the directory @path and its missing parents inside @rootfd, and open it
 * (O_PATH|O_DIRECTORY). Existing symbolic links are followed inside the root; a component that is
 * no directory gives -ENOTDIR. Returns the descriptor.
 */
int path_mkdir_in_root(int rootfd, const char *path, mode_t mode);

/*
 * Make @path inside @rootfd an (empty) regular file unless something is there already; parents too.
 * Returns an O_PATH descriptor of what is there; a directory gives -EISDIR.
 */
int path_touch_in_root(int rootfd, const char *path, mode_t mode);

/*
 * Remove a tree without following links or crossing mounts: -EBUSY, -EXDEV at one. -ENOTEMPTY:
 * somebody keeps adding to it. Missing tree: 0.
 */
int path_remove_tree(int dirfd, const char *path);

/*
 * mkdir -p for the host's own trusted folders, every new one with @mode, whatever the umask.
 * -ENOTDIR something else is there.
 */
int path_mkdir_p(const char *path, mode_t mode);

/*
 * Whether @id may name a folder: 1 to 255 bytes of [A-Za-z0-9_+.-], not "." or "..", as runc has
 * it.
 */
bool path_id_valid(const char *id);

#endif
