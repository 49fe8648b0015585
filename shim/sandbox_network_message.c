/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_network_message.h"

#include <string.h>

/* The message, and what its lists point to. */
struct block {
	Onggi__Agent__V1__UpdateNetworkRequest request; /* first */
	Onggi__Agent__V1__NetworkInterface *interfaces, **interface_list;
	Onggi__Agent__V1__IpAddress *addresses, **address_list;
	Onggi__Agent__V1__NetworkRoute *routes, **route_list;
	Onggi__Agent__V1__NetworkNeighbour *neighbours, **neighbour_list;
};

static ProtobufCBinaryData bytes(const uint8_t *data, size_t len)
{
	return (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)data, .len = len };
}

static char *name_of(const struct net_state *state, uint32_t ifindex)
{
	const struct net_endpoint *e = net_state_find(state, ifindex);

	return (char *)(uintptr_t)(e ? e->name : "");
}

/* Each interface's addresses are a stretch of one list. */
static void fill_interfaces(struct block *b, const struct net_state *state)
{
	size_t used = 0;

	for (size_t i = 0; i < state->n_endpoints; i++) {
		const struct net_endpoint *e = &state->endpoints[i];
		Onggi__Agent__V1__NetworkInterface *nic = &b->interfaces[i];

		onggi__agent__v1__network_interface__init(nic);
		nic->name = (char *)(uintptr_t)e->name;
		nic->mac = bytes(e->mac, NET_MAC_BYTES);
		nic->mtu = e->mtu;
		nic->addresses = &b->address_list[used];
		for (size_t k = 0; k < state->n_addresses; k++) {
			const struct net_address *a = &state->addresses[k];

			if (a->ifindex != e->ifindex)
				continue;
			onggi__agent__v1__ip_address__init(&b->addresses[used]);
			b->addresses[used].address = bytes(a->bytes, a->len);
			b->addresses[used].prefix = a->prefix;
			b->addresses[used].broadcast = bytes(a->broadcast, a->broadcast_len);
			b->addresses[used].scope = a->scope;
			b->address_list[used] = &b->addresses[used];
			used++;
			nic->n_addresses++;
		}
		b->interface_list[i] = nic;
	}
	b->request.interfaces = b->interface_list;
	b->request.n_interfaces = state->n_endpoints;
}

static void fill_routes(struct block *b, const struct net_state *state)
{
	for (size_t i = 0; i < state->n_routes; i++) {
		const struct net_route *from = &state->routes[i];
		Onggi__Agent__V1__NetworkRoute *to = &b->routes[i];

		onggi__agent__v1__network_route__init(to);
		to->destination = bytes(from->destination, from->destination_len);
		to->prefix = from->prefix;
		to->gateway = bytes(from->gateway, from->gateway_len);
		to->interface = name_of(state, from->ifindex);
		to->source = bytes(from->source, from->source_len);
		to->metric = from->metric;
		to->scope = from->scope;
		to->type = from->type;
		to->flags = from->flags;
		to->mtu = from->mtu;
		to->family = from->family;
		b->route_list[i] = to;
	}
	b->request.routes = b->route_list;
	b->request.n_routes = state->n_routes;
}

static void fill_neighbours(struct block *b, const struct net_state *state)
{
	for (size_t i = 0; i < state->n_neighbours; i++) {
		const struct net_neighbour *from = &state->neighbours[i];
		Onggi__Agent__V1__NetworkNeighbour *to = &b->neighbours[i];

		onggi__agent__v1__network_neighbour__init(to);
		to->address = bytes(from->bytes, from->len);
		to->mac = bytes(from->mac, NET_MAC_BYTES);
		to->interface = name_of(state, from->ifindex);
		b->neighbour_list[i] = to;
	}
	b->request.neighbours = b->neighbour_list;
	b->request.n_neighbours = state->n_neighbours;
}

#define ALLOCATE(b, member, list, n)                             \
	((b)->member = calloc((n) + 1, sizeof(*(b)->member)),    \
	 (b)->list = calloc((n) + 1, sizeof(*(b)->list)), (b)->member && (b)->list)

int network_message_create(const struct net_state *state,
			   Onggi__Agent__V1__UpdateNetworkRequest **ret)
{
	struct block *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	onggi__agent__v1__update_network_request__init(&b->request);
	if (!ALLOCATE(b, interfaces, interface_list, state->n_endpoints) ||
	    !ALLOCATE(b, addresses, address_list, state->n_addresses) ||
	    !ALLOCATE(b, routes, route_list, state->n_routes) ||
	    !ALLOCATE(b, neighbours, neighbour_list, state->n_neighbours)) {
		network_message_free(&b->request);
		return -ENOMEM;
	}
	fill_interfaces(b, state);
	fill_routes(b, state);
	fill_neighbours(b, state);
	*ret = &b->request;
	return 0;
}

void network_message_free(Onggi__Agent__V1__UpdateNetworkRequest *message)
{
	struct block *b = (struct block *)message;

	if (!b)
		return;
	free(b->interfaces);
	free(b->interface_list);
	free(b->addresses);
	free(b->address_list);
	free(b->routes);
	free(b->route_list);
	free(b->neighbours);
	free(b->neighbour_list);
	free(b);
}
