/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/ttrpc.h"

/* Connections that wait to be accepted. */
#define LISTEN_BACKLOG 64

/*
 * Fill @addr. For a path that is too long, @ret_dirfd is its folder and must stay open until
 * connected.
 */
static int fill_address(const char *path, struct sockaddr_un *addr, int *ret_dirfd)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, n;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (*path == '\0')
		return -ENOENT;
	if (strlen(path) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (!slash || slash == path || (size_t)(slash - path) >= sizeof(folder))
		return -ENAMETOOLONG;
	snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
	fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d%s", fd, slash);
	if (n < 0 || (size_t)n >= sizeof(addr->sun_path)) {
		close(fd);
		return -ENAMETOOLONG;
	}
	*ret_dirfd = fd;
	return 0;
}

int ttrpc_connect_unix(const char *path, int *ret_fd, struct err *err)
{
	const struct timeval limit = { .tv_sec = TTRPC_CONNECT_TIMEOUT_S };
	_cleanup_close_ int dirfd = -EBADF;
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un addr;
	int r;

	r = fill_address(path, &addr, &dirfd);
	if (r < 0)
		return err_set_errno(err, r, "connect to '%s'", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(err, -errno, "connect to '%s'", path);
	/* connect(2) waits for room in the server's queue as long as a send would. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return err_set_errno(err, -errno, "connect to '%s'", path);
	while (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		if (errno == EINTR)
			continue;
		return err_set_errno(err, errno == EAGAIN ? -ETIMEDOUT : -errno, "connect to '%s'",
				     path);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int ttrpc_listen_unix(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_close_ int dirfd = -EBADF;
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un addr;
	int r;

	r = fill_address(path, &addr, &dirfd);
	if (r < 0)
		return err_set_errno(err, r, "listen on '%s'", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* fchmod(2) before bind(2): the mode of the new socket. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
		return err_set_errno(err, -errno, "listen on '%s'", path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}
