/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

struct copyup {
	unsigned int entries;
	dev_t dev; /* of the source; other mounts are not entered */
	struct err *err;
};

static int copy_directory(struct copyup *c, int from, int to, unsigned int depth);

static int copy_data(int in, int out)
{
	char buffer[32768];

	for (;;) {
		ssize_t n = read(in, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(out, buffer + done, (size_t)(n - done));

			if (w < 0 && errno == EINTR)
				continue;
			if (w < 0)
				return -errno;
			done += w;
		}
	}
}

/* Owner before mode: chown takes the set-id bits away. */
static int copy_attributes(int fd, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0 ||
	    futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int copy_regular(int from, int to, const char *name)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct stat st;
	int r;

	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return -errno;
	/* It was one a moment ago. */
	if (!S_ISREG(st.st_mode))
		return 0;
	out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	r = copy_data(in, out);
	return r < 0 ? r : copy_attributes(out, &st);
}

static int copy_link(int from, int to, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(from, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to, name) < 0 ||
	    fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_fifo(int to, const char *name, const struct stat *st)
{
	if (mkfifoat(to, name, 0600) < 0 ||
	    fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int copy_subdirectory(struct copyup *c, int from, int to, const char *name, unsigned int depth)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct stat st;
	int r;

	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in < 0 || fstat(in, &st) < 0)
		return -errno;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (out < 0)
		return -errno;
	if (st.st_dev == c->dev) {
		r = copy_directory(c, in, out, depth + 1);
		if (r < 0)
			return r;
	}
	return copy_attributes(out, &st);
}

static int copy_entry(struct copyup *c, int from, int to, const char *name, unsigned int depth)
{
	struct stat st;

	if (++c->entries > COPYUP_ENTRIES_MAX)
		return err_set(c->err, -E2BIG, "tmpcopyup: more than %u entries", COPYUP_ENTRIES_MAX);
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		return copy_subdirectory(c, from, to, name, depth);
	case S_IFREG:
		return st.st_dev == c->dev ? copy_regular(from, to, name) : 0;
	case S_IFLNK:
		return copy_link(from, to, name, &st);
	case S_IFIFO:
		return copy_fifo(to, name, &st);
	default:
		return 0;
	}
}

static int copy_directory(struct copyup *c, int from, int to, unsigned int depth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int fd, r;

	if (depth > COPYUP_DEPTH_MAX)
		return err_set(c->err, -ELOOP, "tmpcopyup: more than %u levels", COPYUP_DEPTH_MAX);
	fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = copy_entry(c, from, to, entry->d_name, depth);
		if (r < 0) {
			if (c->err && !c->err->code)
				err_set_errno(c->err, r, "tmpcopyup: '%s'", entry->d_name);
			return r;
		}
	}
}

int copyup_tree(int from, int to, struct err *err)
{
	struct err local = ERR_INIT;
	struct copyup c = { .err = err ? err : &local };
	_cleanup_close_ int out = -EBADF;
	struct stat st;
	int r;

	c.err->code = 0;
	out = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (out < 0 || fstat(from, &st) < 0)
		return err_set_errno(err, -errno, "tmpcopyup");
	c.dev = st.st_dev;
	r = copy_directory(&c, from, out, 0);
	if (r < 0)
		return r;
	r = copy_attributes(out, &st);
	if (r < 0)
		return err_set_errno(err, r, "tmpcopyup: attributes");
	return 0;
}
