/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: opening is left to the kernel (openat2). Creating cannot be, since a
 * symbolic link whose target is missing must lead to the target being made *inside* the root
 * ("/var/run -> /run" in an image without /run). So path_walk keeps a queue of components to do,
 * the text of what was resolved so far (free of links), and a descriptor of it. Each step opens
 * exactly one component with O_NOFOLLOW below that descriptor; the text of a link is put before the
 * rest of the queue. ".." and absolute links re-open the resolved text from the root with
 * RESOLVE_IN_ROOT|RESOLVE_NO_SYMLINKS: whoever swaps folders meanwhile gets an error or another
 * place inside the root, never one outside.
 */
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"

/* Symbolic links followed in one walk, as in the kernel. */
#define LINKS_MAX 40
/*
 * openat2 gives EAGAIN when a rename elsewhere races with ".."; somebody who renames all the time
 * loses.
 */
#define OPEN_TRIES_MAX 128
/* Attempts to have a component both created and opened while somebody removes it. */
#define CREATE_TRIES_MAX 16
#define PARENT_MODE 0755

static int open_how(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.resolve = resolve,
	};
	long fd;
	int i;

	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		how.mode = mode & 07777;
	for (i = 0; i < OPEN_TRIES_MAX; i++) {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN && errno != EINTR)
			break;
	}
	return -errno;
}

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	return open_how(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int path_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_how(dirfd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

/* ---- making paths ---- */

struct path_walk {
	int rootfd;
	int fd;              /* O_PATH of the resolved part, ours */
	size_t resolved_len; /* without the NUL; 0 is the root itself */
	unsigned int links;
	mode_t mode;
	bool file; /* the last component is to be a file */
	char resolved[PATH_MAX];
	char pending[2 * PATH_MAX]; /* components still to do */
};

static void path_walk_finish(struct path_walk *w)
{
	cleanup_close_p(&w->fd);
}

/* Open the resolved text anew, after it was shortened. */
static int path_walk_reopen(struct path_walk *w)
{
	int fd = open_how(w->rootfd, w->resolved_len ? w->resolved : ".", O_PATH | O_DIRECTORY, 0,
			  RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS);

	if (fd < 0)
		return fd;
	cleanup_close_p(&w->fd);
	w->fd = fd;
	return 0;
}

static int path_walk_up(struct path_walk *w)
{
	char *slash;

	if (w->resolved_len == 0)
		return 0; /* ".." of the root is the root */
	slash = strrchr(w->resolved, '/');
	w->resolved_len = slash ? (size_t)(slash - w->resolved) : 0;
	w->resolved[w->resolved_len] = '\0';
	return path_walk_reopen(w);
}

/* Step into the directory @fd, which is taken over. */
static int path_walk_down(struct path_walk *w, const char *name, int fd)
{
	int n = snprintf(w->resolved + w->resolved_len, sizeof(w->resolved) - w->resolved_len,
			 "%s%s", w->resolved_len ? "/" : "", name);

	if (n < 0 || (size_t)n >= sizeof(w->resolved) - w->resolved_len) {
		close(fd);
		return -ENAMETOOLONG;
	}
	w->resolved_len += (size_t)n;
	cleanup_close_p(&w->fd);
	w->fd = fd;
	return 0;
}

/* Put the target of the link @fd before what is pending. */
static int path_walk_link(struct path_walk *w, int fd)
{
	char target[PATH_MAX];
	size_t rest = strlen(w->pending);
	ssize_t n;

	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = readlinkat(fd, "", target, sizeof(target));
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ENOENT;
	if ((size_t)n + 1 + rest >= sizeof(w->pending) || (size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	memmove(w->pending + n + 1, w->pending, rest + 1);
	memcpy(w->pending, target, (size_t)n);
	w->pending[n] = '/';
	if (target[0] != '/')
		return 0;
	w->resolved_len = 0;
	w->resolved[0] = '\0';
	return path_walk_reopen(w);
}

/* Take the first component off the queue. Returns false when there is none. */
static bool path_walk_next(struct path_walk *w, char name[NAME_MAX + 1], int *ret_error)
{
	const char *p = w->pending + strspn(w->pending, "/");
	size_t n = strcspn(p, "/");

	*ret_error = n > NAME_MAX ? -ENAMETOOLONG : 0;
	if (n == 0 || n > NAME_MAX)
		return false;
	memcpy(name, p, n);
	name[n] = '\0';
	p += n;
	p += strspn(p, "/");
	memmove(w->pending, p, strlen(p) + 1);
	return true;
}

/* Open one component without following it; create it first if it is missing. */
static int path_walk_open(struct path_walk *w, const char *name, bool file)
{
	int i, fd, r;

	for (i = 0; i < CREATE_TRIES_MAX; i++) {
		fd = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != ENOENT)
			return -errno;
		if (file) {
			r = openat(w->fd, name,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, w->mode);
			if (r >= 0)
				close(r);
		} else {
			r = mkdirat(w->fd, name, w->file ? PARENT_MODE : w->mode);
		}
		if (r < 0 && errno != EEXIST)
			return -errno;
	}
	return -EAGAIN;
}

/* One component. Returns 0 to go on, 1 when @ret_fd is the file that was wanted. */
static int path_walk_step(struct path_walk *w, const char *name, int *ret_fd)
{
	_cleanup_close_ int fd = -EBADF;
	bool last = w->pending[0] == '\0';
	struct stat st;

	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0)
		return path_walk_up(w);
	fd = path_walk_open(w, name, w->file && last);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return path_walk_link(w, fd);
	if (S_ISDIR(st.st_mode))
		return path_walk_down(w, name, TAKE_FD(fd));
	if (!w->file || !last)
		return -ENOTDIR;
	*ret_fd = TAKE_FD(fd);
	return 1;
}

static int path_walk_run(struct path_walk *w, const char *path)
{
	char name[NAME_MAX + 1];
	unsigned int steps = 0;
	int r, fd = -EBADF;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(w->pending, path, strlen(path) + 1);
	r = path_walk_reopen(w);
	if (r < 0)
		return r;
	while (path_walk_next(w, name, &r)) {
		if (++steps > PATH_DEPTH_MAX + LINKS_MAX * PATH_DEPTH_MAX)
			return -ENAMETOOLONG;
		r = path_walk_step(w, name, &fd);
		if (r < 0)
			return r;
		if (r == 1)
			return fd;
	}
	if (r < 0)
		return r;
	return w->file ? -EISDIR : TAKE_FD(w->fd);
}

static size_t count_components(const char *path)
{
	size_t n = 0;

	while (*(path += strspn(path, "/"))) {
		n++;
		path += strcspn(path, "/");
	}
	return n;
}

static int path_make(int rootfd, const char *path, mode_t mode, bool file)
{
	_cleanup_(path_walk_finish) struct path_walk w = {
		.rootfd = rootfd, .fd = -EBADF, .mode = mode, .file = file,
	};

	if (count_components(path) > PATH_DEPTH_MAX)
		return -ENAMETOOLONG;
	return path_walk_run(&w, path);
}

int path_mkdir_in_root(int rootfd, const char *path, mode_t mode)
{
	return path_make(rootfd, path, mode, false);
}

int path_touch_in_root(int rootfd, const char *path, mode_t mode)
{
	return path_make(rootfd, path, mode, true);
}

int path_mkdir_p(const char *path, mode_t mode)
{
	char partial[PATH_MAX];
	size_t len = strlen(path), end;
	struct stat st;
	int r;

	if (len == 0)
		return -ENOENT;
	if (len >= sizeof(partial))
		return -ENAMETOOLONG;
	memcpy(partial, path, len + 1);
	for (end = 1; end <= len; end++) {
		if (path[end] != '/' && path[end] != '\0')
			continue;
		partial[end] = '\0';
		r = mkdir(partial, mode);
		if (r == 0 && chmod(partial, mode) < 0) /* whatever the umask says */
			return -errno;
		if (r < 0 && errno != EEXIST)
			return -errno;
		partial[end] = path[end];
	}
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

bool path_id_valid(const char *id)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-";
	size_t len = id ? strlen(id) : 0;

	if (len < 1 || len > 255 || strspn(id, allowed) != len)
		return false;
	return strcmp(id, ".") != 0 && strcmp(id, "..") != 0;
}
