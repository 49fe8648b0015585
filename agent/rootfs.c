/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The agent's root is an initramfs. pivot_root(2) cannot move that, and a chroot alone would leave
 * the agent's mounts within reach of whoever unmounts the container's root. So the agent first
 * moves itself onto a bind mount of the initramfs and makes all its mounts below that one. A
 * container's pivot_root then replaces the bind mount, and one detaching unmount takes the whole of
 * the agent's world out of the container's mount namespace.
 *
 * pivot_root(".", ".") stacks the old root on top of the new one; unmounting "." takes it off
 * again. No folder is needed inside the container for it, which may be read-only and is not ours to
 * write to.
 */
#include "agent/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mount_fs.h"
#include "common/cleanup.h"

int rootfs_leave_initramfs(struct err *err)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int clone = -EBADF;
	int r;

	if (root < 0)
		return err_set_errno(err, -errno, "open '/'");
	clone = mount_clone(root, false, err);
	if (clone < 0)
		return clone;
	r = mount_attach(clone, root, err);
	if (r < 0)
		return r;
	if (fchdir(clone) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_set_errno(err, -errno, "move to the new root");
	return 0;
}

int rootfs_seal(struct err *err)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (root < 0)
		return err_set_errno(err, -errno, "open '/'");
	r = mount_change(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, 0, false, err);
	if (r < 0)
		err_prefix(err, "seal the guest's root");
	return r;
}

int rootfs_isolate(struct err *err)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return err_set_errno(err, -errno, "open '/'");
	return mount_propagate(root, MS_PRIVATE | MS_REC, err);
}

int rootfs_attach(struct mount_tree *tree, const char *path, struct err *err)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, tree->share_fd, path, &how, sizeof(how));
	_cleanup_close_ int clone = -EBADF;
	int r;

	if (fd < 0)
		return err_set_errno(err, -errno, "root folder '%s'", path);
	clone = mount_clone(fd, true, err);
	if (clone < 0)
		return clone;
	/* The share is mounted for the agent's taste; a root needs setuid programs and the like. */
	r = mount_change(clone, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV, false, err);
	if (r < 0)
		return r;
	r = mount_attach(clone, fd, err);
	if (r < 0)
		return r;
	tree->root_fd = TAKE_FD(clone);
	return 0;
}

int rootfs_propagation(const char *text, unsigned long *ret, struct err *err)
{
	static const struct {
		const char *name;
		unsigned long flags;
	} names[] = {
		{ "private", MS_PRIVATE },       { "rprivate", MS_PRIVATE | MS_REC },
		{ "slave", MS_SLAVE },           { "rslave", MS_SLAVE | MS_REC },
		{ "shared", MS_SHARED },         { "rshared", MS_SHARED | MS_REC },
		{ "unbindable", MS_UNBINDABLE }, { "runbindable", MS_UNBINDABLE | MS_REC },
	};

	if (!text || !*text) {
		*ret = 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i].name) == 0) {
			*ret = names[i].flags;
			return 0;
		}
	}
	return err_set(err, -EINVAL, "linux.rootfsPropagation: '%s' is not known", text);
}

int rootfs_pivot(const struct mount_tree *tree, struct err *err)
{
	_cleanup_close_ int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return err_set_errno(err, -errno, "open '/'");
	if (fchdir(tree->root_fd) < 0)
		return err_set_errno(err, -errno, "enter the container's root");
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_set_errno(err, -errno, "pivot_root");
	if (fchdir(old) < 0)
		return err_set_errno(err, -errno, "enter the old root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_set_errno(err, -errno, "unmount the old root");
	if (chdir("/") < 0)
		return err_set_errno(err, -errno, "enter the new root");
	return 0;
}

int rootfs_finish(const struct mount_tree *tree, const struct oci_spec *spec, struct err *err)
{
	unsigned long propagation;
	int r;

	if (spec->root_readonly) {
		r = mount_change(tree->root_fd, MOUNT_ATTR_RDONLY, 0, false, err);
		if (r < 0) {
			err_prefix(err, "root.readonly");
			return r;
		}
	}
	r = rootfs_propagation(spec->rootfs_propagation, &propagation, err);
	if (r < 0 || !propagation)
		return r;
	r = mount_propagate(tree->root_fd, propagation, err);
	if (r < 0)
		err_prefix(err, "linux.rootfsPropagation '%s'", spec->rootfs_propagation);
	return r;
}
