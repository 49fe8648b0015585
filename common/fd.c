/* SPDX-License-Identifier: Apache-2.0 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!!(flags & O_NONBLOCK) == on)
		return 0;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -errno;
	flags = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	return fcntl(fd, F_SETFD, flags) < 0 ? -errno : 0;
}

int fd_close_from(int from, const int *keep, size_t n_keep)
{
	unsigned int start = from < 0 ? 0 : (unsigned int)from;
	size_t i;

	for (;;) {
		int next = -1;

		/*
		 * No sorted copy: this runs between fork and exec, where memory must not be
		 * allocated.
		 */
		for (i = 0; i < n_keep; i++)
			if (keep[i] >= 0 && (unsigned int)keep[i] >= start &&
			    (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			return close_range(start, UINT_MAX, 0) < 0 ? -errno : 0;
		if ((unsigned int)next > start && close_range(start, (unsigned int)next - 1, 0) < 0)
			return -errno;
		start = (unsigned int)next + 1;
	}
}

int fd_move_to(const int *fds, size_t n, int first)
{
	int lifted[FD_MOVE_MAX];
	size_t i, done = 0;
	int r = 0;

	if (n > FD_MOVE_MAX || first < 0)
		return -EINVAL;
	/*
	 * Copies above the target range first, so that no source is overwritten before it is used.
	 */
	for (i = 0; i < n; i++, done++) {
		lifted[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, first + (int)n);
		if (lifted[i] < 0) {
			r = -errno;
			break;
		}
	}
	for (i = 0; r == 0 && i < n; i++)
		if (dup2(lifted[i], first + (int)i) < 0)
			r = -errno;
	for (i = 0; i < done; i++)
		close(lifted[i]);
	return r;
}

union fd_control {
	struct cmsghdr header; /* alignment */
	char bytes[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
};

int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union fd_control control;
	struct cmsghdr *cmsg;
	ssize_t n;

	if (len == 0 || n_fds > FD_PASS_MAX)
		return -EINVAL;
	if (n_fds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * n_fds);
	}
	/* The descriptors go with the first byte; a short write is continued without them. */
	while (iov.iov_len > 0) {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= (size_t)n;
		msg.msg_control = NULL;
		msg.msg_controllen = 0;
	}
	return 0;
}

/* Collect the descriptors of @msg; all of them are open here afterwards, whatever the peer sent. */
static size_t collect_fds(struct msghdr *msg, int *fds, size_t max)
{
	struct cmsghdr *cmsg;
	size_t n = 0, i, count;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count && n < max; i++)
			memcpy(&fds[n++], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
	}
	return n;
}

ssize_t fd_receive(int sock, void *data, size_t len, int *fds, size_t max_fds, size_t *ret_n_fds)
{
	struct iovec iov = { .iov_base = data, .iov_len = len };
	union fd_control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int received[FD_PASS_MAX];
	size_t n_received, i;
	ssize_t n;

	if (max_fds > FD_PASS_MAX)
		return -EINVAL;
	do
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	n_received = collect_fds(&msg, received, FD_PASS_MAX);
	/* With MSG_CTRUNC the kernel has closed what did not fit. */
	if (n_received > max_fds || (msg.msg_flags & MSG_CTRUNC)) {
		for (i = 0; i < n_received; i++)
			close(received[i]);
		return -E2BIG;
	}
	for (i = 0; i < n_received; i++)
		fds[i] = received[i];
	*ret_n_fds = n_received;
	return n;
}

int fd_null_stdio(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r = 0, i;

	if (fd < 0)
		return -errno;
	for (i = 0; i <= 2 && r == 0; i++)
		if (dup3(fd, i, 0) < 0 && errno != EINVAL)
			r = -errno;
	/*
	 * open may have returned one of 0, 1, 2 if they were closed: then it stays, without
	 * CLOEXEC.
	 */
	if (fd > 2)
		close(fd);
	else if (r == 0)
		r = fd_set_cloexec(fd, false);
	return r;
}
