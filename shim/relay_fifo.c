/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/relay_fifo.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

static int fifo_path(const char *uri, const char **ret, struct err *err)
{
	const char *scheme = strstr(uri, "://");

	if (!strncmp(uri, "fifo://", 7))
		uri += 7;
	else if (scheme)
		return err_set(err, -EOPNOTSUPP,
			       "'%s': stdio of scheme '%.*s' is not supported, only FIFOs are", uri,
			       (int)(scheme - uri), uri);
	if (uri[0] != '/')
		return err_set(err, -EINVAL, "'%s': path of a FIFO must be absolute", uri);
	*ret = uri;
	return 0;
}

static int open_fifo(const char *path, int flags, int *ret, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_set_errno(err, -errno, "FIFO '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "FIFO '%s'", path);
	if (!S_ISFIFO(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is no FIFO", path);
	*ret = TAKE_FD(fd);
	return 0;
}

int relay_fifo_open(const char *uri, int *ret_read, int *ret_write, struct err *err)
{
	_cleanup_close_ int read_fd = -EBADF, write_fd = -EBADF;
	char self[64];
	const char *path;
	int r;

	r = fifo_path(uri, &path, err);
	if (r < 0)
		return r;
	r = open_fifo(path, O_RDONLY, &read_fd, err);
	if (r < 0)
		return r;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", read_fd);
	write_fd = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (write_fd < 0)
		return err_set_errno(err, -errno, "FIFO '%s'", path);
	*ret_read = TAKE_FD(read_fd);
	*ret_write = TAKE_FD(write_fd);
	return 0;
}
