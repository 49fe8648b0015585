/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mask.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/mount_fs.h"
#include "common/cleanup.h"
#include "common/path.h"

#define NULL_MAJOR 1
#define NULL_MINOR 3

int mask_check(char *const *paths, const char *field, struct err *err)
{
	for (size_t i = 0; paths && paths[i]; i++) {
		const char *p = paths[i];

		if (p[0] != '/')
			return err_set(err, -EINVAL, "%s[%zu]: '%s' is not absolute", field, i, p);
		while ((p = strstr(p, "/.."))) {
			if (p[3] == '/' || p[3] == '\0')
				return err_set(err, -EINVAL, "%s[%zu]: '%s' contains '..'", field, i,
					       paths[i]);
			p += 3;
		}
	}
	return 0;
}

int mask_open_null(struct err *err)
{
	_cleanup_close_ int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_set_errno(err, -errno, "open the guest's /dev/null");
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "look at the guest's /dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(NULL_MAJOR, NULL_MINOR))
		return err_set(err, -EPERM, "the guest's /dev/null is not the null device");
	return TAKE_FD(fd);
}

/* What is left of @path after the folder @dir; NULL when it is not below it. */
static const char *below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (strncmp(path, dir, len) != 0 || path[len] != '/')
		return NULL;
	return path + len + 1;
}

static int open_in_mount(int mount_fd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, mount_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/*
 * The file that @path names. procfs and sysfs are entered by the mount made there: whoever can
 * rename folders of the root meanwhile gets no other file covered in their place.
 */
static int open_path(const struct mount_tree *tree, const char *path)
{
	char clean[PATH_MAX];
	const char *rest;
	int r;

	r = mount_clean_path(path, clean, sizeof(clean));
	if (r < 0)
		return r;
	if (tree->proc_fd >= 0 && (rest = below(clean, "/proc")))
		return open_in_mount(tree->proc_fd, rest);
	if (tree->sys_fd >= 0 && (rest = below(clean, "/sys")))
		return open_in_mount(tree->sys_fd, rest);
	return path_open_in_root(tree->root_fd, clean, O_PATH, 0);
}

static bool is_missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR;
}

static int mask_one(int fd, int null_fd, struct err *err)
{
	const uint64_t attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	_cleanup_close_ int mount_fd = -EBADF;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "look at it");
	if (S_ISDIR(st.st_mode))
		mount_fd = mount_new("tmpfs", "size=4k,nr_inodes=2", NULL, attr | MOUNT_ATTR_NODEV, err);
	else
		mount_fd = mount_clone(null_fd, false, err);
	if (mount_fd < 0)
		return mount_fd;
	/* The node is the guest's: nobody in here may change its mode or owner. */
	r = mount_change(mount_fd, attr, 0, false, err);
	if (r < 0)
		return r;
	return mount_attach(mount_fd, fd, err);
}

int mask_paths(const struct mount_tree *tree, char *const *paths, struct err *err)
{
	_cleanup_close_ int null_fd = -EBADF;

	if (!paths || !paths[0])
		return 0;
	null_fd = mask_open_null(err);
	if (null_fd < 0)
		return null_fd;
	for (; *paths; paths++) {
		_cleanup_close_ int fd = open_path(tree, *paths);
		int r = fd;

		if (is_missing(fd))
			continue;
		if (fd < 0)
			return err_set_errno(err, fd, "linux.maskedPaths: '%s'", *paths);
		r = mask_one(fd, null_fd, err);
		if (r < 0) {
			err_prefix(err, "linux.maskedPaths: '%s'", *paths);
			return r;
		}
	}
	return 0;
}

static int make_readonly(int fd, struct err *err)
{
	_cleanup_close_ int mount_fd = mount_clone(fd, true, err);
	int r;

	if (mount_fd < 0)
		return mount_fd;
	r = mount_change(mount_fd, MOUNT_ATTR_RDONLY, 0, true, err);
	if (r < 0)
		return r;
	return mount_attach(mount_fd, fd, err);
}

int mask_make_readonly(const struct mount_tree *tree, char *const *paths, struct err *err)
{
	for (; paths && *paths; paths++) {
		_cleanup_close_ int fd = open_path(tree, *paths);
		int r;

		if (is_missing(fd))
			continue;
		r = fd < 0 ? err_set_errno(err, fd, "open") : make_readonly(fd, err);
		if (r < 0) {
			err_prefix(err, "linux.readonlyPaths: '%s'", *paths);
			return r;
		}
	}
	return 0;
}
