/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network_internal.h - what the parts of network.h share: links as the kernel has them, and single
 * changes to them
 *
 * Errors:   each change names the interface, address or route that it is about. "Already there" and
 *           "already gone" are no errors.
 * Process:  the agent, loop thread only.
 */
#ifndef ONGGI_AGENT_NETWORK_INTERNAL_H
#define ONGGI_AGENT_NETWORK_INTERNAL_H

#include <net/if.h>
#include <stdbool.h>
#include <string.h>

#include "agent/network.h"
#include "common/netlink.h"

#define NETWORK_MAC_BYTES 6u

typedef Onggi__Agent__V1__UpdateNetworkRequest network_plan;
typedef Onggi__Agent__V1__NetworkInterface network_nic;

static inline bool network_bytes_equal(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* ---- links (network_link.c) ---- */

/* A card as the kernel has it. Index 0: there is none. */
struct network_link {
	int index;
	uint32_t mtu;
	bool up;
	/* It has none (MTU under 1280), or it is switched off; known once it is set up. */
	bool no_ipv6;
	char name[IFNAMSIZ];
};

/*
 * Find the card of each interface of @plan.
 *
 * @links  plan->n_interfaces entries
 *
 * Returns how many are missing, or a negative errno.
 */
int network_find_links(struct netlink *nl, const char *kind, const network_plan *plan,
		       struct network_link *links, struct err *err);

/* Rename, set the MTU, settings of a @fresh one, and bring up. @kind as above, @links as found. */
int network_setup_links(struct netlink *nl, const char *kind, const network_plan *plan, const bool *fresh,
			struct network_link *links, struct err *err);

/*
 * Bring it down and, if it is @hardware, switch its slot off, so that the host has it back at once.
 */
void network_retire_link(struct netlink *nl, const struct network_link *link, bool hardware);

/* ---- what is on them (network_route.c) ---- */

/* RTM_NEWADDR or RTM_DELADDR. @plain: make no route to the address's net. */
int network_address(struct netlink *nl, uint16_t type, const struct network_link *link,
		    const Onggi__Agent__V1__IpAddress *address, bool plain, struct err *err);
/* RTM_NEWROUTE or RTM_DELROUTE; @index 0: none. @kernel: mark it as the kernel's own. */
int network_route(struct netlink *nl, uint16_t type, int index, const Onggi__Agent__V1__NetworkRoute *route,
		  bool kernel, struct err *err);
/* RTM_NEWNEIGH or RTM_DELNEIGH. */
int network_neighbour(struct netlink *nl, uint16_t type, int index,
		      const Onggi__Agent__V1__NetworkNeighbour *neighbour, struct err *err);

#endif
