/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The new root is attached where nothing is lost by hiding what was there, the host's /proc; sources are looked up by the
 * old root all the while, and targets by the descriptor of the new one, with RESOLVE_IN_ROOT. Then the new one becomes the
 * root. The old root lands on top of it, and is taken away from there.
 */
#include "hypervisor/jail_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/path.h"

/* The new root itself holds folders, links and mount points. */
#define ROOT_OPTIONS_SIZE "64k"

/* A new file system of type @type, @options with it; detached. */
static int new_mount(const char *type, const char *const (*options)[2], unsigned int attributes)
{
	_cleanup_close_ int context = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (context < 0)
		return -errno;
	for (; (*options)[0]; options++)
		if (fsconfig(context, FSCONFIG_SET_STRING, (*options)[0], (*options)[1], 0) < 0)
			return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
	return fd < 0 ? -errno : fd;
}

static int new_proc(void)
{
	static const char *const options[][2] = { { "subset", "pid" }, { NULL, NULL } };

	return new_mount("proc", options,
			 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* A copy of what @place is in the old root, with what is mounted below it; detached. */
static int copy_mount(const struct jail_place *place)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID,
				   .propagation = MS_PRIVATE };
	_cleanup_close_ int fd = -EBADF;

	if (place->kind == JAIL_PLACE_PROC)
		return new_proc();
	attr.attr_set |= place->kind == JAIL_PLACE_DEVICE ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_NODEV;
	fd = open_tree(AT_FDCWD, place->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* An empty folder or file as the mount point for @tree; returns its descriptor. */
static int make_target(int root, const char *path, int tree)
{
	struct stat st;

	if (fstat(tree, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? path_mkdir_in_root(root, path, 0755) : path_touch_in_root(root, path, 0600);
}

/* Returns 1 if @path, an entry of the root itself, was a link, and is there now. */
static int copy_link(int root, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n < 0)
		return errno == EINVAL ? 0 : -errno;
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	target[n] = '\0';
	return symlinkat(target, root, path + 1) < 0 ? -errno : 1;
}

static int show(int root, const struct jail_place *place)
{
	_cleanup_close_ int there = path_open_in_root(root, place->path, O_PATH, 0), tree = -EBADF;
	_cleanup_close_ int target = -EBADF;
	int r;

	if (there >= 0)
		return 0;
	r = place->kind == JAIL_PLACE_TOP ? copy_link(root, place->path) : 0;
	if (r != 0)
		return r < 0 ? r : 0;
	tree = copy_mount(place);
	if (tree < 0)
		return tree;
	target = make_target(root, place->path, tree);
	if (target < 0)
		return target;
	return move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

static int begin(int *ret_root)
{
	static const char *const options[][2] = { { "size", ROOT_OPTIONS_SIZE }, { "mode", "0755" }, { NULL, NULL } };
	_cleanup_close_ int root = -EBADF;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	root = new_mount("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (root < 0)
		return root;
	if (move_mount(root, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	*ret_root = TAKE_FD(root);
	return 0;
}

static int enter(int root)
{
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };

	if (mount_setattr(root, "", AT_EMPTY_PATH, &readonly, sizeof(readonly)) < 0 || fchdir(root) < 0 ||
	    syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

int jail_root_enter(const struct jail_place *places, size_t n, size_t *ret_place)
{
	_cleanup_close_ int root = -EBADF;
	int r;

	*ret_place = n;
	umask(0022); /* its folders are for the program, whoever that is */
	r = begin(&root);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		if (!places[i].path)
			continue;
		r = show(root, &places[i]);
		if (r < 0 && !(r == -ENOENT && places[i].optional)) {
			*ret_place = i;
			return r;
		}
	}
	return enter(root);
}
