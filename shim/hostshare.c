/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Three views of one folder <sandbox>/shared:
 *  - the monitor's own mount namespace (the launcher's): the plain folder. Mount points are made
 *    and removed here.
 *  - the share's namespace: a read-only bind mount of it on itself, a shared mount, on which the
 *    trees are attached.
 *  - the file server's namespace, a copy of the second that receives its mounts: what the guest
 *    sees.
 * Trees are cloned (open_tree) in the launcher's namespace, so that what an engine has mounted
 * since the sandbox began is there, made read-only while still detached, and attached (move_mount)
 * in the second: there is no moment in which the guest could write to a read-only one.
 */
#include "shim/hostshare.h"

#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/path.h"

struct hostshare {
	char *path;
	int dirfd;    /* the sandbox's folder */
	int plain_fd; /* <shared> in the launcher's namespace */
	int top_fd;   /* <shared> in the share's */
	int launcher_ns, share_ns;
	int visited_ns; /* where paths are looked up at present in the launcher's place; -1 */
};

static int open_own_namespace(void)
{
	int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* In the new namespace. */
static int mount_top(struct hostshare *share)
{
	struct mount_attr readonly = { .attr_set = MOUNT_ATTR_RDONLY };

	/* What the host unmounts goes here too; nothing of ours goes there. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount(share->path, share->path, NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, share->path, NULL, MS_PRIVATE, NULL) < 0 ||
	    mount(NULL, share->path, NULL, MS_SHARED, NULL) < 0 ||
	    mount_setattr(AT_FDCWD, share->path, 0, &readonly, sizeof(readonly)) < 0)
		return -errno;
	share->top_fd = open(share->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return share->top_fd < 0 ? -errno : 0;
}

static int make_namespace(struct hostshare *share)
{
	int r;

	share->launcher_ns = open_own_namespace();
	if (share->launcher_ns < 0)
		return share->launcher_ns;
	if (unshare(CLONE_NEWNS) < 0)
		return -errno;
	r = mount_top(share);
	if (r >= 0) {
		share->share_ns = open_own_namespace();
		r = share->share_ns < 0 ? share->share_ns : 0;
	}
	if (setns(share->launcher_ns, CLONE_NEWNS) < 0)
		abort(); /* every path would mean something else */
	return r;
}

int hostshare_create(int dirfd, const char *path, struct hostshare **ret, struct err *err)
{
	_cleanup_(hostshare_destroy_p) struct hostshare *share = calloc(1, sizeof(*share));
	int r;

	if (!share)
		return -ENOMEM;
	share->visited_ns = -EBADF;
	share->dirfd = share->plain_fd = share->top_fd = share->launcher_ns = share->share_ns =
		-EBADF;
	if (asprintf(&share->path, "%s/shared", path) < 0)
		return share->path = NULL, -ENOMEM;
	if (mkdirat(dirfd, "shared", 0700) < 0)
		return err_set_errno(err, -errno, "shared folder '%s'", share->path);
	share->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	share->plain_fd = openat(dirfd, "shared", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (share->dirfd < 0 || share->plain_fd < 0)
		return err_set_errno(err, -errno, "shared folder '%s'", share->path);
	r = make_namespace(share);
	if (r < 0)
		return err_set_errno(err, r, "mount namespace for '%s'", share->path);
	*ret = TAKE_PTR(share);
	return 0;
}

const char *hostshare_path(const struct hostshare *share)
{
	return share->path;
}

static void go_home(struct hostshare *share)
{
	if (setns(share->visited_ns >= 0 ? share->visited_ns : share->launcher_ns, CLONE_NEWNS) < 0)
		abort(); /* every path would mean something else */
}

int hostshare_run(struct hostshare *share, int (*fn)(void *arg), void *arg)
{
	int r;

	if (setns(share->share_ns, CLONE_NEWNS) < 0)
		return -errno;
	r = fn(arg);
	go_home(share);
	return r;
}

int hostshare_visit(struct hostshare *share, int ns_fd)
{
	struct stat there, home;

	if (fstat(ns_fd, &there) < 0 || fstat(share->launcher_ns, &home) < 0)
		return -errno;
	if (there.st_dev == home.st_dev && there.st_ino == home.st_ino)
		return 0;
	if (setns(ns_fd, CLONE_NEWNS) < 0)
		return -errno;
	share->visited_ns = ns_fd;
	return 0;
}

void hostshare_return(struct hostshare *share)
{
	if (share->visited_ns < 0)
		return;
	share->visited_ns = -EBADF;
	go_home(share);
}

int hostshare_run_home(struct hostshare *share, int (*fn)(void *arg), void *arg)
{
	int visited = share->visited_ns, r;

	hostshare_return(share);
	r = fn(arg);
	if (visited >= 0) {
		share->visited_ns = visited;
		go_home(share);
	}
	return r;
}

int hostshare_enter_view(struct hostshare *share, const char *container_id, const char *path)
{
	_cleanup_close_ int dir = -EBADF, tree = -EBADF;

	if (setns(share->share_ns, CLONE_NEWNS) < 0)
		return -errno;
	dir = path_open_beneath(share->top_fd, container_id, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return dir;
	/* A copy of a shared mount hears of what happens to it, and the other way round. */
	tree = open_tree(dir, "rootfs",
			 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
	if (tree < 0 || unshare(CLONE_NEWNS) < 0 ||
	    move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* ---- attaching ---- */

int hostshare_add_container(struct hostshare *share, const char *container_id, struct err *err)
{
	if (!path_id_valid(container_id))
		return err_set(err, -EINVAL, "'%s' is no valid container id", container_id);
	if (mkdirat(share->plain_fd, container_id, 0700) < 0)
		return err_set_errno(err, -errno, "folder of container '%s'", container_id);
	return 0;
}

/*
 * The guest may make device nodes and setuid files there, with whatever numbers and owners: on the host they are nothing to
 * open or to execute, not even for a file server that was taken over. In the guest they are what the guest's own mounts say.
 */
static int clone_tree(const struct hostshare_source *source, int *ret_fd, bool *ret_directory,
		      struct err *err)
{
	unsigned int recursive = source->recursive ? AT_RECURSIVE : 0;
	struct mount_attr all = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
			    (source->readonly_below ? MOUNT_ATTR_RDONLY : 0),
		.propagation = source->slave ? MS_SLAVE : MS_PRIVATE,
	};
	struct mount_attr top = { .attr_set = source->readonly ? MOUNT_ATTR_RDONLY : 0 };
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	fd = open_tree(AT_FDCWD, source->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "'%s'", source->path);
	if (source->is_directory && !S_ISDIR(st.st_mode))
		return err_set_errno(err, -ENOTDIR, "'%s'", source->path);
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &all, sizeof(all)) < 0 ||
	    (top.attr_set && mount_setattr(fd, "", AT_EMPTY_PATH, &top, sizeof(top)) < 0))
		return err_set_errno(err, -errno, "'%s': attributes of the mount", source->path);
	*ret_directory = S_ISDIR(st.st_mode);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int make_mount_point(struct hostshare *share, const char *container_id, const char *name,
			    bool directory)
{
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;

	dir = openat(share->plain_fd, container_id, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (directory)
		return mkdirat(dir, name, 0700) < 0 ? -errno : 0;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : 0;
}

struct attach_args {
	struct hostshare *share;
	const char *container_id, *name;
	int tree_fd;
};

static int attach_in_namespace(void *userdata)
{
	const struct attach_args *args = userdata;
	_cleanup_close_ int dir = -EBADF, target = -EBADF;

	dir = path_open_beneath(args->share->top_fd, args->container_id,
				O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return dir;
	target = path_open_beneath(dir, args->name, O_PATH | O_NOFOLLOW, 0);
	if (target < 0)
		return target;
	if (move_mount(args->tree_fd, "", target, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int hostshare_attach(struct hostshare *share, const char *container_id, const char *name,
		     const struct hostshare_source *source, struct err *err)
{
	_cleanup_close_ int tree_fd = -EBADF;
	bool directory;
	int r;

	r = clone_tree(source, &tree_fd, &directory, err);
	if (r < 0)
		return r;
	r = make_mount_point(share, container_id, name, directory);
	if (r >= 0)
		r = hostshare_run(share, attach_in_namespace,
				  &(struct attach_args){ share, container_id, name, tree_fd });
	if (r < 0)
		return err_set_errno(err, r, "'%s': attach to the sandbox's shared folder",
				     source->path);
	return 0;
}

/* As the kernel writes a path into mountinfo. */
static void escape(const char *path, char *out, size_t size)
{
	size_t n = 0;

	for (; *path && n + sizeof("\\040") <= size; path++) {
		if (strchr(" \t\n\\", *path))
			n += (size_t)snprintf(out + n, size - n, "\\%03o", (unsigned char)*path);
		else
			out[n++] = *path;
	}
	out[n] = '\0';
}

/* 1: a line of the namespace's mounts has a mount point that begins with @userdata. */
static int find_mount_point(void *userdata)
{
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	const char *prefix = userdata;
	size_t len = strlen(prefix), size = 0;
	int found = 0;

	if (!mounts)
		return -errno;
	while (!found && getline(&line, &size, mounts) >= 0) {
		const char *field = line;

		/* Id, parent's, device, root; then the mount point. */
		for (int i = 0; i < 4 && field; i++)
			field = strchr(field, ' ') ? strchr(field, ' ') + 1 : NULL;
		found = field && strncmp(field, prefix, len) == 0;
	}
	fclose(mounts);
	return found;
}

int hostshare_has_mounts_below(struct hostshare *share, const char *container_id, const char *name)
{
	_cleanup_free_ char *path = NULL;
	char prefix[4 * PATH_MAX];

	if (asprintf(&path, "%s/%s/%s/", share->path, container_id, name) < 0)
		return path = NULL, -ENOMEM;
	escape(path, prefix, sizeof(prefix));
	return hostshare_run(share, find_mount_point, prefix);
}

/* ---- removing ---- */

struct detach_args {
	struct hostshare *share;
	const char *container_id, *name;
};

static int detach_in_namespace(void *userdata)
{
	const struct detach_args *args = userdata;
	_cleanup_close_ int dir = -EBADF;

	dir = path_open_beneath(args->share->top_fd, args->container_id,
				O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (dir < 0)
		return dir;
	if (fchdir(dir) < 0)
		return -errno;
	/* A lazy one: the guest may hold files open. setns(2) takes us out of the folder again. */
	return umount2(args->name, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

/* Unmount all that is mounted in the folder of @container_id, whose names are ours. */
static void detach_all(struct hostshare *share, const char *container_id)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int fd;

	fd = openat(share->plain_fd, container_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		hostshare_run(share, detach_in_namespace,
			      &(struct detach_args){ share, container_id, entry->d_name });
	}
}

void hostshare_remove_container(struct hostshare *share, const char *container_id)
{
	if (!path_id_valid(container_id))
		return;
	detach_all(share, container_id);
	path_remove_tree(share->plain_fd, container_id);
}

void hostshare_destroy(struct hostshare *share)
{
	if (!share)
		return;
	cleanup_close_p(&share->top_fd);
	/* The last holder of the namespace takes its mounts along. */
	cleanup_close_p(&share->share_ns);
	cleanup_close_p(&share->launcher_ns);
	cleanup_close_p(&share->plain_fd);
	if (share->dirfd >= 0)
		path_remove_tree(share->dirfd, "shared");
	cleanup_close_p(&share->dirfd);
	free(share->path);
	free(share);
}
