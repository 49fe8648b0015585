/* SPDX-License-Identifier: Apache-2.0 */
/* What a request for the network may say at all, before the kernel is asked. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "agent/network_internal.h"

#define MTU_MIN 68u
#define MTU_MAX 65535u

/* Those that a routing daemon or an engine sets; the kernel makes the others itself. */
static const bool route_types[RTN_MAX + 1] = {
	[RTN_UNSPEC] = true,	  [RTN_UNICAST] = true,	 [RTN_LOCAL] = true, [RTN_BLACKHOLE] = true,
	[RTN_UNREACHABLE] = true, [RTN_PROHIBIT] = true, [RTN_THROW] = true,
};

static int bad(struct err *err, const char *list, size_t i, const char *what)
{
	return err_set(err, -EINVAL, "field '%s[%zu]%s", list, i, what);
}

/* "all" and "default" are no interfaces, but folders beside them in /proc/sys. */
static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len >= IFNAMSIZ || !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "lo") ||
	    !strcmp(name, "all") || !strcmp(name, "default"))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isgraph((unsigned char)name[i]) || strchr("/:%", name[i]))
			return false;
	}
	return true;
}

static bool mac_valid(const ProtobufCBinaryData *mac)
{
	static const uint8_t zero[NETWORK_MAC_BYTES];

	return mac->len == NETWORK_MAC_BYTES && !(mac->data[0] & 1) && memcmp(mac->data, zero, sizeof(zero)) != 0;
}

/* Bits of an address of @len bytes, 0 when there is none of that length. */
static uint32_t address_bits(size_t len)
{
	return len == 4 || len == 16 ? (uint32_t)len * 8 : 0;
}

static int check_address(const Onggi__Agent__V1__IpAddress *a, size_t i, struct err *err)
{
	if (!address_bits(a->address.len))
		return bad(err, "interfaces", i, ".addresses.address': not 4 or 16 bytes");
	if (a->prefix > address_bits(a->address.len))
		return bad(err, "interfaces", i, ".addresses.prefix': longer than the address");
	if (a->broadcast.len && (a->broadcast.len != 4 || a->address.len != 4))
		return bad(err, "interfaces", i, ".addresses.broadcast': not 4 bytes, or not IPv4");
	if (a->scope > UINT8_MAX)
		return bad(err, "interfaces", i, ".addresses.scope': over 255");
	return 0;
}

static int check_interface(const Onggi__Agent__V1__UpdateNetworkRequest *request, size_t i, struct err *err)
{
	const Onggi__Agent__V1__NetworkInterface *nic = request->interfaces[i];

	if (!name_valid(nic->name))
		return bad(err, "interfaces", i, ".name': not a name of an interface");
	if (!mac_valid(&nic->mac))
		return bad(err, "interfaces", i, ".mac': not a hardware address of one card");
	if (nic->mtu < MTU_MIN || nic->mtu > MTU_MAX)
		return bad(err, "interfaces", i, ".mtu': not 68 to 65535");
	if (nic->n_addresses > NETWORK_ADDRESSES_MAX)
		return err_set(err, -E2BIG, "field 'interfaces[%zu].addresses': %zu entries are over %u", i,
			       nic->n_addresses, NETWORK_ADDRESSES_MAX);
	for (size_t j = 0; j < i; j++) {
		if (!strcmp(request->interfaces[j]->name, nic->name))
			return bad(err, "interfaces", i, ".name': the second of that name");
		if (network_bytes_equal(&request->interfaces[j]->mac, &nic->mac))
			return bad(err, "interfaces", i, ".mac': the second of that address");
	}
	for (size_t j = 0; j < nic->n_addresses; j++) {
		int rc = check_address(nic->addresses[j], i, err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool interface_known(const Onggi__Agent__V1__UpdateNetworkRequest *request, const char *name)
{
	for (size_t i = 0; i < request->n_interfaces; i++) {
		if (!strcmp(request->interfaces[i]->name, name))
			return true;
	}
	return !strcmp(name, "lo");
}

static bool route_needs_interface(uint32_t type)
{
	return type == RTN_UNSPEC || type == RTN_UNICAST || type == RTN_LOCAL;
}

static int check_route(const Onggi__Agent__V1__UpdateNetworkRequest *request, size_t i, struct err *err)
{
	const Onggi__Agent__V1__NetworkRoute *r = request->routes[i];
	size_t len = r->family == AF_INET ? 4 : 16;

	if (r->family != AF_INET && r->family != AF_INET6)
		return bad(err, "routes", i, ".family': neither AF_INET nor AF_INET6");
	if (r->destination.len ? r->destination.len != len : r->prefix != 0)
		return bad(err, "routes", i, ".destination': not as long as the family's addresses");
	if (r->prefix > len * 8)
		return bad(err, "routes", i, ".prefix': longer than the address");
	/* An IPv6 gateway of an IPv4 route is sound, the other way round there is nothing. */
	if (r->gateway.len && r->gateway.len != len && !(len == 4 && r->gateway.len == 16))
		return bad(err, "routes", i, ".gateway': not as long as the family's addresses");
	if (r->source.len && r->source.len != len)
		return bad(err, "routes", i, ".source': not as long as the family's addresses");
	if (r->type > RTN_MAX || !route_types[r->type])
		return bad(err, "routes", i, ".type': not one that can be set");
	if (r->scope > UINT8_MAX)
		return bad(err, "routes", i, ".scope': over 255");
	if (r->flags & ~(uint32_t)RTNH_F_ONLINK)
		return bad(err, "routes", i, ".flags': more than RTNH_F_ONLINK");
	if (route_needs_interface(r->type) || r->interface[0]) {
		if (!interface_known(request, r->interface))
			return bad(err, "routes", i, ".interface': not in 'interfaces'");
	}
	return 0;
}

static int check_neighbour(const Onggi__Agent__V1__UpdateNetworkRequest *request, size_t i, struct err *err)
{
	const Onggi__Agent__V1__NetworkNeighbour *n = request->neighbours[i];

	if (!address_bits(n->address.len))
		return bad(err, "neighbours", i, ".address': not 4 or 16 bytes");
	if (n->mac.len != NETWORK_MAC_BYTES)
		return bad(err, "neighbours", i, ".mac': not 6 bytes");
	if (!interface_known(request, n->interface))
		return bad(err, "neighbours", i, ".interface': not in 'interfaces'");
	return 0;
}

int network_check(const Onggi__Agent__V1__UpdateNetworkRequest *request, struct err *err)
{
	static const struct {
		const char *name;
		size_t max;
		int (*check)(const Onggi__Agent__V1__UpdateNetworkRequest *request, size_t i, struct err *err);
	} lists[] = {
		{ "interfaces", NETWORK_INTERFACES_MAX, check_interface },
		{ "routes", NETWORK_ROUTES_MAX, check_route },
		{ "neighbours", NETWORK_NEIGHBOURS_MAX, check_neighbour },
	};
	const size_t n[] = { request->n_interfaces, request->n_routes, request->n_neighbours };
	int rc;

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		if (n[l] > lists[l].max)
			return err_set(err, -E2BIG, "field '%s': %zu entries are over %zu", lists[l].name, n[l],
				       lists[l].max);
	}
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
		for (size_t i = 0; i < n[l]; i++) {
			rc = lists[l].check(request, i, err);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}
