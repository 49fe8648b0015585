/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.h - what a network namespace holds that its guest must have too
 *
 * Shape:    one struct net_state: the interfaces that become the guest's network cards
 *           ("endpoints"), and the routes and permanent neighbours that belong to them.
 * Chosen:   Ethernet interfaces that are up or have an address. Not: loopback, our own taps, ports
 *           of a bridge or bond (their master is taken), an interface stacked upon another of the
 *           same namespace (vlan, macvlan): its packets have gone to the guest before it could see
 *           them. What is up or addressed and left out for its type is told in a note.
 * Peer:     the kernel. Whoever configures the namespace (an engine, a CNI plugin) is trusted in
 *           intent; counts are bounded.
 * Source:   Linux include/uapi/linux/{if_link,if_addr,rtnetlink,neighbour}.h.
 * Not here: taps (tap.h), redirects (redirect.h).
 */
#ifndef ONGGI_NET_SCAN_H
#define ONGGI_NET_SCAN_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/netlink.h"

/* As the agent's protocol has it. */
#define NET_ENDPOINTS_MAX 64
#define NET_ADDRESSES_MAX 1024 /* of all endpoints */
#define NET_ROUTES_MAX 1024
#define NET_NEIGHBOURS_MAX 1024

#define NET_MAC_BYTES 6
#define NET_ADDRESS_BYTES 16
#define NET_NOTE_MAX 512
/* Names of our taps begin so; the kernel adds a number. */
#define NET_TAP_PREFIX "onggi"

/* All bytes of these structures are compared: padding is zero. */
struct net_endpoint {
	char name[IFNAMSIZ];
	char kind[IFNAMSIZ]; /* "veth", "macvlan", …; "" for hardware */
	uint32_t ifindex, mtu;
	uint8_t mac[NET_MAC_BYTES];
	bool up;
	bool has_peer; /* an address of another host's network: its routes are not made by itself */
};

struct net_address {
	uint32_t ifindex;
	uint8_t bytes[NET_ADDRESS_BYTES], broadcast[NET_ADDRESS_BYTES];
	uint8_t len, broadcast_len; /* 4 or 16; 0: none */
	uint8_t prefix, scope;
};

struct net_route {
	uint32_t ifindex; /* 0: none (unreachable, …) */
	uint32_t metric, mtu, flags;
	uint8_t destination[NET_ADDRESS_BYTES], gateway[NET_ADDRESS_BYTES],
		source[NET_ADDRESS_BYTES];
	uint8_t destination_len, gateway_len, source_len; /* 0: none */
	uint8_t family, prefix, scope, type;
	uint8_t protocol; /* RTPROT_* */
};

struct net_neighbour {
	uint32_t ifindex;
	uint8_t bytes[NET_ADDRESS_BYTES];
	uint8_t len;
	uint8_t mac[NET_MAC_BYTES];
};

struct net_state {
	struct net_endpoint endpoints[NET_ENDPOINTS_MAX];
	size_t n_endpoints;
	struct net_address *addresses;
	size_t n_addresses;
	struct net_route *routes;
	size_t n_routes;
	struct net_neighbour *neighbours;
	size_t n_neighbours;
	char note[NET_NOTE_MAX]; /* what was left out, for the log; "" if nothing */
};

/*
 * Look at the namespace of @nl.
 *
 * Returns 0 with *ret (freed by net_state_free); -E2BIG more of something than the limits above;
 * -ENOTUNIQ two endpoints with the same hardware address; -EAGAIN it changes all the time; -ENOMEM;
 * errnos of netlink_request.
 */
int net_scan(struct netlink *nl, struct net_state **ret, struct err *err);
void net_state_free(struct net_state *state);
DEFINE_CLEANUP(struct net_state *, net_state_free);

/* Whether a guest that has @a needs nothing to have @b. Notes do not count. */
bool net_state_equal(const struct net_state *a, const struct net_state *b);

/* NULL: none of that index. */
const struct net_endpoint *net_state_find(const struct net_state *state, uint32_t ifindex);

#endif
