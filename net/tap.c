/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tap.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/scan.h"

#define TUN_PATH "/dev/net/tun"

static int set_up(struct netlink *nl, uint32_t ifindex, uint32_t mtu, struct err *err)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC,
					  .ifi_index = (int)ifindex,
					  .ifi_flags = IFF_UP,
					  .ifi_change = IFF_UP };
	struct netlink_message m;

	netlink_message_init(&m, RTM_NEWLINK, 0, &header, sizeof(header));
	netlink_put_u32(&m, IFLA_MTU, mtu);
	return netlink_request(nl, &m, NULL, NULL, err);
}

/* A kernel without IPv6 knows no such mode, and needs none. */
static void keep_ipv6_away(struct netlink *nl, uint32_t ifindex)
{
	const struct ifinfomsg header = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex };
	struct netlink_message m;
	size_t families, inet6;

	netlink_message_init(&m, RTM_NEWLINK, 0, &header, sizeof(header));
	families = netlink_nest_begin(&m, IFLA_AF_SPEC);
	inet6 = netlink_nest_begin(&m, AF_INET6);
	netlink_put_u8(&m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	netlink_nest_end(&m, inet6);
	netlink_nest_end(&m, families);
	(void)netlink_request(nl, &m, NULL, NULL, NULL);
}

int net_tap_create(struct netlink *nl, uint32_t mtu, int *ret_fd, uint32_t *ret_ifindex,
		   struct err *err)
{
	struct ifreq request = { .ifr_name = NET_TAP_PREFIX "%d",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	_cleanup_close_ int fd = -EBADF;
	unsigned int ifindex;
	int r;

	fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -errno, "open '%s' for a tap: %s; is the tun module loaded?",
			       TUN_PATH, errno == ENOENT ? "it is missing" : strerror(errno));
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return err_set_errno(err, -errno, "make a tap");
	/* The kernel has written the name that it chose. */
	request.ifr_name[IFNAMSIZ - 1] = '\0';
	ifindex = if_nametoindex(request.ifr_name);
	if (!ifindex)
		return err_set_errno(err, -errno, "tap '%s'", request.ifr_name);
	keep_ipv6_away(nl, ifindex);
	r = set_up(nl, ifindex, mtu, err);
	if (r < 0) {
		err_prefix(err, "set up tap '%s' with an MTU of %u", request.ifr_name, mtu);
		return r;
	}
	*ret_fd = TAKE_FD(fd);
	*ret_ifindex = ifindex;
	return 0;
}

int net_tap_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu, struct err *err)
{
	return set_up(nl, ifindex, mtu, err);
}
