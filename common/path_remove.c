/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: folders are entered with openat2 RESOLVE_BENEATH|NO_SYMLINKS|NO_XDEV, one
 * component at a time. A tree may be deeper than descriptors or the stack allow (whoever wrote it
 * chose the depth), so recursion ends at REMOVE_DEPTH_MAX: a folder found there is renamed into the
 * top folder, which is gone through again until it is empty.
 */
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

#define REMOVE_DEPTH_MAX 32
/* Passes over one folder while somebody else keeps adding to it. */
#define REMOVE_PASSES_MAX 16

struct remover {
	int topfd;
	uint64_t renamed; /* folders moved up into the top one */
};

static int open_child(int dirfd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

static int remove_entry(struct remover *r, int dirfd, const char *name, unsigned int depth);

/* One pass over a folder. @ret_seen: entries met. */
static int remove_pass(struct remover *r, DIR *dir, unsigned int depth, size_t *ret_seen)
{
	struct dirent *entry;
	int result;

	*ret_seen = 0;
	rewinddir(dir);
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		++*ret_seen;
		result = remove_entry(r, dirfd(dir), entry->d_name, depth);
		if (result < 0)
			return result;
	}
}

/* Empty the folder @fd, which is taken over. */
static int remove_children(struct remover *r, int fd, unsigned int depth)
{
	_cleanup_closedir_ DIR *dir = fdopendir(fd);
	uint64_t passes = 0;
	size_t seen = 1;
	int result;

	if (!dir) {
		result = -errno;
		close(fd);
		return result;
	}
	if (depth == 0)
		r->topfd = dirfd(dir);
	while (seen > 0) {
		if (passes++ > REMOVE_PASSES_MAX + (depth == 0 ? r->renamed : 0))
			return -ENOTEMPTY;
		result = remove_pass(r, dir, depth, &seen);
		if (result < 0)
			return result;
	}
	return 0;
}

/* Move a folder that lies too deep up into the top folder. */
static int move_up(struct remover *r, int dirfd, const char *name)
{
	char temp[64];

	snprintf(temp, sizeof(temp), ".onggi-remove.%d.%llu", (int)getpid(),
		 (unsigned long long)r->renamed);
	r->renamed++;
	if (syscall(SYS_renameat2, dirfd, name, r->topfd, temp, 1u /* RENAME_NOREPLACE */) == 0)
		return 0;
	/* A name that is taken is passed over: the next number is tried in the next pass. */
	return errno == EEXIST || errno == ENOENT ? 0 : -errno;
}

static int remove_entry(struct remover *r, int dirfd, const char *name, unsigned int depth)
{
	int fd, result;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	/* An empty folder, the common case of the last visit. */
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (depth >= REMOVE_DEPTH_MAX)
		return move_up(r, dirfd, name);
	fd = open_child(dirfd, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	result = remove_children(r, fd, depth + 1);
	if (result < 0)
		return result;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	/* Something was added (or moved up) meanwhile: the parent's next pass sees it again. */
	return errno == ENOTEMPTY || errno == EEXIST ? 0 : -errno;
}

/* Split @path into the descriptor of its folder and its last component. */
static int open_parent(int dirfd, const char *path, char name[NAME_MAX + 1])
{
	char parent[PATH_MAX];
	size_t len = strlen(path);
	const char *slash, *last;
	int fd;

	if (len == 0 || len >= sizeof(parent))
		return len ? -ENAMETOOLONG : -ENOENT;
	memcpy(parent, path, len + 1);
	while (len > 1 && parent[len - 1] == '/')
		parent[--len] = '\0';
	slash = strrchr(parent, '/');
	last = slash ? slash + 1 : parent;
	if (strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, last, strlen(last) + 1);
	if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (!slash)
		fd = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	else {
		parent[slash == parent ? 1 : slash - parent] = '\0';
		fd = openat(dirfd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

int path_remove_tree(int dirfd, const char *path)
{
	_cleanup_close_ int parent = -EBADF;
	struct remover r = { .topfd = -EBADF };
	char name[NAME_MAX + 1];
	int fd, result;

	parent = open_parent(dirfd, path, name);
	if (parent < 0)
		return parent == -ENOENT ? 0 : parent;
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = open_child(parent, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	result = remove_children(&r, fd, 0);
	if (result < 0)
		return result;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}
