/* SPDX-License-Identifier: Apache-2.0 */
/* Single addresses, routes and neighbours, as rtnetlink messages. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "agent/network_internal.h"

/* "2001:db8::/32", "default", "" */
#define TEXT_MAX (INET6_ADDRSTRLEN + 4)

static int family_of(const ProtobufCBinaryData *address)
{
	return address->len == 4 ? AF_INET : AF_INET6;
}

static const char *address_text(const ProtobufCBinaryData *address, char buf[TEXT_MAX])
{
	buf[0] = '\0';
	if (address->len)
		inet_ntop(family_of(address), address->data, buf, TEXT_MAX);
	return buf;
}

/* What is there already, or gone already, is as wanted. */
static int settle(int rc, uint16_t type, uint16_t type_new)
{
	if (type == type_new)
		return rc == -EEXIST ? 0 : rc;
	return rc == -ESRCH || rc == -ENOENT || rc == -EADDRNOTAVAIL || rc == -ENODEV ? 0 : rc;
}

int network_address(struct netlink *nl, uint16_t type, const struct network_link *link,
		    const Onggi__Agent__V1__IpAddress *address, bool plain, struct err *err)
{
	const struct ifaddrmsg header = {
		.ifa_family = (uint8_t)family_of(&address->address),
		.ifa_prefixlen = (uint8_t)address->prefix,
		.ifa_scope = (uint8_t)address->scope,
		.ifa_index = (uint32_t)link->index,
	};
	struct netlink_message m;
	char text[TEXT_MAX];
	int rc;

	netlink_message_init(&m, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0, &header,
			     sizeof(header));
	netlink_put(&m, IFA_LOCAL, address->address.data, address->address.len);
	netlink_put(&m, IFA_ADDRESS, address->address.data, address->address.len);
	if (type == RTM_NEWADDR) {
		if (address->broadcast.len)
			netlink_put(&m, IFA_BROADCAST, address->broadcast.data, address->broadcast.len);
		netlink_put_u32(&m, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NODAD | (plain ? IFA_F_NOPREFIXROUTE : 0));
	}
	rc = settle(netlink_request(nl, &m, NULL, NULL, err), type, RTM_NEWADDR);
	if (rc < 0)
		err_prefix(err, "interface '%s': address %s/%u", link->name, address_text(&address->address, text),
			   address->prefix);
	return rc;
}

static void put_gateway(struct netlink_message *m, const Onggi__Agent__V1__NetworkRoute *route)
{
	struct {
		uint16_t family;
		uint8_t address[16];
	} via = { .family = AF_INET6 };

	if (route->family == AF_INET && route->gateway.len == 16) {
		memcpy(via.address, route->gateway.data, sizeof(via.address));
		netlink_put(m, RTA_VIA, &via, sizeof(via));
	} else if (route->gateway.len) {
		netlink_put(m, RTA_GATEWAY, route->gateway.data, route->gateway.len);
	}
}

static int name_route(int rc, const Onggi__Agent__V1__NetworkRoute *r, struct err *err)
{
	char destination[TEXT_MAX], gateway[TEXT_MAX], prefix[16] = "";

	if (rc >= 0)
		return rc;
	if (r->destination.len)
		snprintf(prefix, sizeof(prefix), "/%u", r->prefix);
	err_prefix(err, "route %s%s%s%s%s%s", r->destination.len ? address_text(&r->destination, destination) : "default",
		   prefix, r->gateway.len ? " via " : "", address_text(&r->gateway, gateway),
		   r->interface[0] ? " dev " : "", r->interface);
	return rc;
}

int network_route(struct netlink *nl, uint16_t type, int index, const Onggi__Agent__V1__NetworkRoute *r,
		  bool kernel, struct err *err)
{
	const struct rtmsg header = {
		.rtm_family = (uint8_t)r->family,
		.rtm_dst_len = (uint8_t)r->prefix,
		.rtm_table = r->table > UINT8_MAX ? RT_TABLE_UNSPEC : r->table ? (uint8_t)r->table : RT_TABLE_MAIN,
		.rtm_protocol = type != RTM_NEWROUTE ? RTPROT_UNSPEC : kernel ? RTPROT_KERNEL : RTPROT_BOOT,
		.rtm_scope = (uint8_t)r->scope,
		.rtm_type = r->type ? (uint8_t)r->type : RTN_UNICAST,
		.rtm_flags = r->flags,
	};
	struct netlink_message m;
	size_t nest;

	/*
	 * Appended, because several routes to one destination with one metric are several ways
	 * (IPv6), and what is the same in everything is refused as existing.
	 */
	netlink_message_init(&m, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_APPEND : 0, &header,
			     sizeof(header));
	if (r->destination.len)
		netlink_put(&m, RTA_DST, r->destination.data, r->destination.len);
	put_gateway(&m, r);
	if (index)
		netlink_put_u32(&m, RTA_OIF, (uint32_t)index);
	if (r->source.len)
		netlink_put(&m, RTA_PREFSRC, r->source.data, r->source.len);
	if (r->metric)
		netlink_put_u32(&m, RTA_PRIORITY, r->metric);
	if (r->table > UINT8_MAX)
		netlink_put_u32(&m, RTA_TABLE, r->table);
	if (r->mtu && type == RTM_NEWROUTE) {
		nest = netlink_nest_begin(&m, RTA_METRICS);
		netlink_put_u32(&m, RTAX_MTU, r->mtu);
		netlink_nest_end(&m, nest);
	}
	return name_route(settle(netlink_request(nl, &m, NULL, NULL, err), type, RTM_NEWROUTE), r, err);
}

int network_neighbour(struct netlink *nl, uint16_t type, int index,
		      const Onggi__Agent__V1__NetworkNeighbour *neighbour, struct err *err)
{
	const struct ndmsg header = {
		.ndm_family = (uint8_t)family_of(&neighbour->address),
		.ndm_ifindex = index,
		.ndm_state = NUD_PERMANENT,
	};
	struct netlink_message m;
	char text[TEXT_MAX];
	int rc;

	netlink_message_init(&m, type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0, &header,
			     sizeof(header));
	netlink_put(&m, NDA_DST, neighbour->address.data, neighbour->address.len);
	if (type == RTM_NEWNEIGH)
		netlink_put(&m, NDA_LLADDR, neighbour->mac.data, neighbour->mac.len);
	rc = settle(netlink_request(nl, &m, NULL, NULL, err), type, RTM_NEWNEIGH);
	if (rc < 0)
		err_prefix(err, "interface '%s': neighbour %s", neighbour->interface,
			   address_text(&neighbour->address, text));
	return rc;
}
