/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/cleanup.h"

int procfs_is(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == PROC_SUPER_MAGIC;
}

int procfs_open(struct err *err)
{
	_cleanup_close_ int fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_set_errno(err, -errno, "open the guest's /proc");
	r = procfs_is(fd);
	if (r < 0)
		return err_set_errno(err, r, "look at the guest's /proc");
	if (!r)
		return err_set(err, -ENOTSUP, "the guest's /proc is no procfs");
	return TAKE_FD(fd);
}

int procfs_write(int proc_fd, const char *path, const void *data, size_t len)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_SYMLINKS,
	};
	_cleanup_close_ int fd = -EBADF;
	char own[64 + sizeof("self/")];
	ssize_t n;

	/* "self" is a link; our pid in procfs' own namespace is what it points to. */
	if (strncmp(path, "self/", 5) == 0) {
		char pid[16];

		n = readlinkat(proc_fd, "self", pid, sizeof(pid) - 1);
		if (n <= 0)
			return n < 0 ? -errno : -ENOENT;
		pid[n] = '\0';
		if (snprintf(own, sizeof(own), "%s/%s", pid, path + 5) >= (int)sizeof(own))
			return -ENAMETOOLONG;
		path = own;
	}
	fd = (int)syscall(SYS_openat2, proc_fd, path, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	/* The descriptor may be a look-alike if somebody mounted over /proc: look again at the file. */
	if (procfs_is(fd) != 1)
		return -EPERM;
	n = write(fd, data, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}
