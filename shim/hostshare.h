/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostshare.h - the folder of bind mounts through which a sandbox's guest sees rootfs and volumes
 *
 * Shape:    <shared>/<container>/rootfs and <shared>/<container>/m<index>, mounted in a mount
 *           namespace of its own that the monitor and its file server hold: the mounts vanish with
 *           them, by SIGKILL too.
 * Rule:     the guest must not be able to write where the host resolves a path. The top of the
 *           folder is a read-only mount; mount points are made through the host's own view of it,
 *           which is not served.
 * Process:  the sandbox monitor, which lives in the launcher's mount namespace and visits the other
 *           one.
 * Errors:   negative errno; the message names the source's path.
 * Source:   open_tree(2), move_mount(2); the kernel's Documentation/filesystems/sharedsubtree.rst.
 */
#ifndef ONGGI_SHIM_HOSTSHARE_H
#define ONGGI_SHIM_HOSTSHARE_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/err.h"

struct hostshare;

/*
 * @dirfd  the sandbox's folder
 * @path   the same as an absolute path
 * Makes "shared" in it. -EPERM without CAP_SYS_ADMIN, -EEXIST "shared" is there already.
 */
int hostshare_create(int dirfd, const char *path, struct hostshare **ret, struct err *err);
/* Unmounts and removes everything. NULL allowed. */
void hostshare_destroy(struct hostshare *share);
DEFINE_CLEANUP(struct hostshare *, hostshare_destroy);

/* Path of the folder to be served; the mounts are there for who runs inside of hostshare_run. */
const char *hostshare_path(const struct hostshare *share);

/*
 * Run @fn in the mount namespace of the share, e.g. to fork the file server there. Returns its
 * value.
 */
int hostshare_run(struct hostshare *share, int (*fn)(void *arg), void *arg);

/*
 * In a child of the monitor: go to a mount namespace of its own, like the launcher's but that the
 * container's attached "rootfs" is at @path too. What is mounted below it there appears in the
 * guest, and nowhere else.
 * Returns 0 or a negative errno, of the container's folder or of @path.
 */
int hostshare_enter_view(struct hostshare *share, const char *container_id, const char *path);

/*
 * Look paths up in another mount namespace from here on, until hostshare_return: that of who
 * creates a container, who may have mounted its root where the launcher's namespace does not see
 * it.
 * @ns_fd  borrowed until then
 * Returns 0 or a negative errno; nothing has changed then.
 */
int hostshare_visit(struct hostshare *share, int ns_fd);
void hostshare_return(struct hostshare *share);

/* Run @fn in the launcher's mount namespace, whatever is visited at present. Returns its value. */
int hostshare_run_home(struct hostshare *share, int (*fn)(void *arg), void *arg);

struct hostshare_source {
	const char *path;  /* in the launcher's mount namespace, links are followed */
	bool recursive;	   /* with what is mounted below */
	bool readonly;	   /* whatever the guest does; not what is mounted below */
	bool readonly_below; /* that too; implies readonly */
	bool slave;	   /* mounts that appear below later are to appear in the guest */
	bool is_directory; /* must be one: -ENOTDIR */
};

/* Folder of a container. -EEXIST. */
int hostshare_add_container(struct hostshare *share, const char *container_id, struct err *err);
/*
 * Make @source appear as <container>/<name>. Errnos of open_tree(2), mkdirat(2), move_mount(2).
 */
int hostshare_attach(struct hostshare *share, const char *container_id, const char *name,
		     const struct hostshare_source *source, struct err *err);
/*
 * Whether other file systems are mounted below what was attached as <container>/<name>.
 * Returns 1, 0, or a negative errno.
 */
int hostshare_has_mounts_below(struct hostshare *share, const char *container_id, const char *name);
/* Unmount and remove all of a container. Unknown ones: no effect. */
void hostshare_remove_container(struct hostshare *share, const char *container_id);

#endif
