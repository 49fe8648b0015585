/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "common/cleanup.h"

/* The kernel's own events; group 2 is what udev would send on. */
#define UEVENT_GROUP_KERNEL 1u

int uevent_open(struct err *err)
{
	_cleanup_close_ int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
					NETLINK_KOBJECT_UEVENT);
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_KERNEL };

	if (fd < 0)
		return err_set_errno(err, -errno, "open device event socket");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set_errno(err, -errno, "bind device event socket");
	return TAKE_FD(fd);
}

void uevent_drain(int fd)
{
	char byte;

	/* ENOBUFS means that some were lost, which is one more reason to look again. */
	while (recv(fd, &byte, sizeof(byte), MSG_TRUNC) >= 0 || errno == EINTR || errno == ENOBUFS)
		;
}
