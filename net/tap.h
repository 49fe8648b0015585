/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tap.h - the tap that stands beside an endpoint
 *
 * Shape:    a tap that lives as long as a descriptor of it: nothing is left when its holders are
 *           killed. Frames carry a struct virtio_net_hdr, so that checksums and segmentation pass
 *           between guest and host undone.
 * Process:  in the network namespace that the tap is to be in, with CAP_NET_ADMIN there.
 * Source:   Linux Documentation/networking/tuntap.rst.
 */
#ifndef ONGGI_NET_TAP_H
#define ONGGI_NET_TAP_H

#include <stdint.h>

#include "common/err.h"
#include "common/netlink.h"

/*
 * Make a tap of a name of ours in the calling thread's network namespace, which @nl must be of, and
 * set it up. The host's own IPv6 stays away from it (no link-local address, no solicitations).
 *
 * @mtu          bytes, as its endpoint's
 * @ret_fd       non-blocking, CLOEXEC
 * @ret_ifindex  of the tap
 *
 * Returns 0; -ENOENT no /dev/net/tun; -EPERM; -EINVAL an impossible MTU; other errnos.
 */
int net_tap_create(struct netlink *nl, uint32_t mtu, int *ret_fd, uint32_t *ret_ifindex,
		   struct err *err);

/* Give it another MTU. Errnos of netlink_request. */
int net_tap_set_mtu(struct netlink *nl, uint32_t ifindex, uint32_t mtu, struct err *err);

#endif
