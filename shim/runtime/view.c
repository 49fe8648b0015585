/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * In a new mount namespace, private so that nothing of it is seen elsewhere, a copy of the root file
 * system's mounts is laid over its own path. Mount points below are found by openat2 with
 * RESOLVE_IN_ROOT, because an earlier run of the container may have left any links there, and used as
 * descriptors. Then the copy becomes the root, and everything else is let go.
 */
#include "shim/runtime/view.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/path.h"

/* @path itself, or below @bundle. NULL: out of memory. */
static char *from_bundle(const char *bundle, const char *path)
{
	char *joined;

	if (path[0] == '/')
		return strdup(path);
	return asprintf(&joined, "%s/%s", bundle, path) < 0 ? NULL : joined;
}

/* A copy of the mount at @path, without the guest's devices and setuid files; @readonly as for a bind mount: itself, and those below with @readonly_below. */
static int clone_private(const char *path, bool recursive, bool readonly, bool readonly_below)
{
	struct mount_attr all = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | (readonly_below ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	struct mount_attr top = { .attr_set = readonly ? MOUNT_ATTR_RDONLY : 0 };
	_cleanup_close_ int fd = -EBADF;

	fd = open_tree(AT_FDCWD, path,
		       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0));
	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &all, sizeof(all)) < 0 ||
	    mount_setattr(fd, "", AT_EMPTY_PATH, &top, sizeof(top)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Lay @tree over what @destination is inside of @root. */
static int attach(int root, const char *destination, int tree)
{
	_cleanup_close_ int target = path_open_in_root(root, destination, O_PATH, 0);

	if (target < 0)
		return target;
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

/* A mount that cannot be seen here can be seen in the guest all the same: no reason to fail. */
static void attach_bind(int root, const struct oci_mount *m, const char *bundle)
{
	_cleanup_free_ char *source = m->source ? from_bundle(bundle, m->source) : NULL;
	_cleanup_close_ int tree = -EBADF;

	if (!source)
		return;
	tree = clone_private(source, m->is_recursive_bind, m->flags & MS_RDONLY,
			     m->rec_attr_set & MOUNT_ATTR_RDONLY);
	if (tree >= 0)
		attach(root, m->destination, tree);
}

static void attach_proc(int root)
{
	_cleanup_close_ int context = fsopen("proc", FSOPEN_CLOEXEC), tree = -EBADF;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return;
	tree = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (tree >= 0)
		attach(root, "/proc", tree);
}

/* The root file system's copy as a mount of this namespace; returns its descriptor. */
static int mount_root(const struct oci_spec *spec, const char *bundle, struct err *err)
{
	_cleanup_free_ char *path = from_bundle(bundle, spec->root_path);
	_cleanup_close_ int tree = -EBADF;

	if (!path)
		return err_set_errno(err, -ENOMEM, "view");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_set_errno(err, -errno, "mount namespace of the proxy");
	tree = clone_private(path, true, false, false);
	if (tree < 0)
		return err_set_errno(err, tree, "rootfs '%s'", path);
	if (move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_set_errno(err, -errno, "mount rootfs '%s'", path);
	return TAKE_FD(tree);
}

int view_enter(const struct oci_spec *spec, const char *bundle, struct err *err)
{
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int root = mount_root(spec, bundle, err);

	if (root < 0)
		return root;
	for (size_t i = 0; i < spec->n_mounts; i++) {
		if (spec->mounts[i].is_bind)
			attach_bind(root, &spec->mounts[i], bundle);
	}
	attach_proc(root);
	if (spec->root_readonly && mount_setattr(root, "", AT_EMPTY_PATH, &readonly, sizeof(readonly)) < 0)
		return err_set_errno(err, -errno, "read-only rootfs");
	/* The old root lands on top of the new one, and is taken away from there. */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return err_set_errno(err, -errno, "enter the container's file system");
	return 0;
}
