/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * "Applied" is the last request, "wanted" the one under way. What stands in the first and not in
 * the second is removed; then all of the second is set, where what is there already stays as it is.
 * All of it rather than the difference, because the kernel drops routes along with addresses and
 * links that change. So nothing needs to be known of what the workload has done meanwhile, and what
 * it has added is not touched.
 */
#include "agent/network_internal.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>

#include "agent/uevent.h"
#include "common/log.h"

struct network {
	struct loop *loop;
	const char *kind;
	network_plan *applied; /* NULL: nothing was asked for yet */
	bool failed;	       /* applied in part only */
	network_plan *wanted;  /* waiting for cards */
	int uevents;
	struct loop_source *source, *timer;
	network_done_fn done;
	void *userdata;
};

static void free_plan(network_plan *plan)
{
	if (plan)
		onggi__agent__v1__update_network_request__free_unpacked(plan, NULL);
}

static void free_plan_p(network_plan **plan)
{
	free_plan(*plan);
}

/* ---- comparing ---- */

static bool address_equal(const Onggi__Agent__V1__IpAddress *a, const Onggi__Agent__V1__IpAddress *b)
{
	return network_bytes_equal(&a->address, &b->address) && a->prefix == b->prefix && a->scope == b->scope &&
	       network_bytes_equal(&a->broadcast, &b->broadcast);
}

static bool route_equal(const Onggi__Agent__V1__NetworkRoute *a, const Onggi__Agent__V1__NetworkRoute *b)
{
	return network_bytes_equal(&a->destination, &b->destination) && a->prefix == b->prefix &&
	       network_bytes_equal(&a->gateway, &b->gateway) && !strcmp(a->interface, b->interface) &&
	       network_bytes_equal(&a->source, &b->source) && a->metric == b->metric && a->scope == b->scope &&
	       a->type == b->type && a->table == b->table && a->flags == b->flags && a->mtu == b->mtu &&
	       a->family == b->family;
}

static bool neighbour_equal(const Onggi__Agent__V1__NetworkNeighbour *a,
			    const Onggi__Agent__V1__NetworkNeighbour *b)
{
	return network_bytes_equal(&a->address, &b->address) && network_bytes_equal(&a->mac, &b->mac) &&
	       !strcmp(a->interface, b->interface);
}

/* By hardware address; -1: none. */
static ssize_t find_nic(const network_plan *plan, const network_nic *nic)
{
	for (size_t i = 0; i < plan->n_interfaces; i++) {
		if (network_bytes_equal(&plan->interfaces[i]->mac, &nic->mac))
			return (ssize_t)i;
	}
	return -1;
}

#define HAS(list, n, equal, item)                                    \
	({                                                           \
		bool _found = false;                                 \
		for (size_t _i = 0; _i < (n) && !_found; _i++)       \
			_found = equal((list)[_i], (item));          \
		_found;                                              \
	})

static bool plans_equal(const network_plan *a, const network_plan *b)
{
	size_t len = protobuf_c_message_get_packed_size(&a->base);
	_cleanup_free_ uint8_t *first = NULL, *second = NULL;

	if (len != protobuf_c_message_get_packed_size(&b->base))
		return false;
	first = malloc(len + 1);
	second = malloc(len + 1);
	if (!first || !second)
		return false;
	protobuf_c_message_pack(&a->base, first);
	protobuf_c_message_pack(&b->base, second);
	return memcmp(first, second, len) == 0;
}

/* ---- looking up ---- */

/* The card that @plan calls @name; NULL: none of that name. */
static const struct network_link *link_of(const network_plan *plan, const struct network_link *links,
					  const char *name)
{
	for (size_t i = 0; i < plan->n_interfaces; i++) {
		if (!strcmp(plan->interfaces[i]->name, name))
			return &links[i];
	}
	return NULL;
}

/* The kernel's number of the interface @name of @plan, which is checked; 0: none, or gone. */
static int index_of(const network_plan *plan, const struct network_link *links, const char *name)
{
	const struct network_link *link = link_of(plan, links, name);

	return link ? link->index : !strcmp(name, "lo") ? (int)if_nametoindex(name) : 0;
}

/* A card that is to have no IPv6 is left without what the host has of it. */
static bool is_moot(const struct network_link *link, bool ipv6)
{
	return link && ipv6 && link->no_ipv6;
}

static bool same_net(const Onggi__Agent__V1__IpAddress *address, const ProtobufCBinaryData *net, uint32_t prefix)
{
	uint32_t bytes = prefix / 8, rest = prefix % 8;

	if (address->address.len != net->len || address->prefix != prefix ||
	    memcmp(address->address.data, net->data, bytes) != 0)
		return false;
	return rest == 0 || !((address->address.data[bytes] ^ net->data[bytes]) >> (8 - rest));
}

/* Whether @route is the one that the kernel makes for @address by itself. */
static bool is_route_of(const Onggi__Agent__V1__NetworkRoute *route, const network_nic *nic,
			const Onggi__Agent__V1__IpAddress *address)
{
	return !route->gateway.len && route->destination.len && (route->table == 0 || route->table == RT_TABLE_MAIN) &&
	       route->type <= RTN_UNICAST && !strcmp(route->interface, nic->name) &&
	       same_net(address, &route->destination, route->prefix);
}

/* The host's kernel has made a route for it, too: the guest's is not to make a second one. */
static bool has_own_route(const network_plan *plan, const network_nic *nic,
			  const Onggi__Agent__V1__IpAddress *address)
{
	for (size_t i = 0; i < plan->n_routes; i++) {
		if (is_route_of(plan->routes[i], nic, address))
			return true;
	}
	return false;
}

static bool is_kernel_route(const network_plan *plan, const Onggi__Agent__V1__NetworkRoute *route)
{
	for (size_t i = 0; i < plan->n_interfaces; i++) {
		const network_nic *nic = plan->interfaces[i];

		for (size_t j = 0; j < nic->n_addresses; j++) {
			if (is_route_of(route, nic, nic->addresses[j]))
				return true;
		}
	}
	return false;
}

/* ---- removing what is no longer wanted ---- */

/* What cannot be removed is in nobody's way, or the kernel will say so later. */
static void remove_rest(const struct network *n, struct netlink *nl, const struct network_link *links)
{
	const network_plan *old = n->applied, *wanted = n->wanted;

	for (size_t i = 0; i < old->n_routes; i++) {
		const Onggi__Agent__V1__NetworkRoute *r = old->routes[i];
		int index = index_of(old, links, r->interface);

		if (HAS(wanted->routes, wanted->n_routes, route_equal, r) || (r->interface[0] && !index))
			continue;
		network_route(nl, RTM_DELROUTE, index, r, false, NULL);
	}
	for (size_t i = 0; i < old->n_neighbours; i++) {
		const Onggi__Agent__V1__NetworkNeighbour *hop = old->neighbours[i];
		int index = index_of(old, links, hop->interface);

		if (index && !HAS(wanted->neighbours, wanted->n_neighbours, neighbour_equal, hop))
			network_neighbour(nl, RTM_DELNEIGH, index, hop, NULL);
	}
	for (size_t i = 0; i < old->n_interfaces; i++) {
		const network_nic *nic = old->interfaces[i], *now = NULL;
		ssize_t at = find_nic(wanted, nic);

		now = at < 0 ? NULL : wanted->interfaces[at];
		for (size_t j = 0; links[i].index && j < nic->n_addresses; j++) {
			if (!now || !HAS(now->addresses, now->n_addresses, address_equal, nic->addresses[j]))
				network_address(nl, RTM_DELADDR, &links[i], nic->addresses[j], false, NULL);
		}
		if (links[i].index && !now)
			network_retire_link(nl, &links[i], !n->kind);
	}
}

static int remove_old(struct network *n, struct netlink *nl, struct err *err)
{
	_cleanup_free_ struct network_link *links = NULL;
	int rc;

	if (!n->applied)
		return 0;
	links = calloc(n->applied->n_interfaces + 1, sizeof(*links));
	if (!links)
		return err_set_errno(err, -ENOMEM, "network");
	rc = network_find_links(nl, n->kind, n->applied, links, err);
	if (rc >= 0)
		remove_rest(n, nl, links);
	return rc;
}

/* ---- setting what is wanted ---- */

static int set_addresses(struct netlink *nl, const network_plan *plan, const struct network_link *links,
			 struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < plan->n_interfaces; i++) {
		const network_nic *nic = plan->interfaces[i];

		for (size_t j = 0; j < nic->n_addresses && rc >= 0; j++) {
			if (is_moot(&links[i], nic->addresses[j]->address.len == 16))
				continue;
			rc = network_address(nl, RTM_NEWADDR, &links[i], nic->addresses[j],
					     has_own_route(plan, nic, nic->addresses[j]), err);
		}
	}
	return rc;
}

/* Those to neighbours first: a gateway must be within reach when a route names it. */
static int set_routes(struct netlink *nl, const network_plan *plan, const struct network_link *links,
		      struct err *err)
{
	int rc = 0;

	for (int with_gateway = 0; with_gateway < 2; with_gateway++) {
		for (size_t i = 0; i < plan->n_routes && rc >= 0; i++) {
			const Onggi__Agent__V1__NetworkRoute *r = plan->routes[i];

			if ((r->gateway.len != 0) == with_gateway &&
			    !is_moot(link_of(plan, links, r->interface), r->family == AF_INET6))
				rc = network_route(nl, RTM_NEWROUTE, index_of(plan, links, r->interface), r,
						   is_kernel_route(plan, r), err);
		}
	}
	return rc;
}

static int set_neighbours(struct netlink *nl, const network_plan *plan, const struct network_link *links,
			  struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < plan->n_neighbours && rc >= 0; i++) {
		const Onggi__Agent__V1__NetworkNeighbour *hop = plan->neighbours[i];

		if (!is_moot(link_of(plan, links, hop->interface), hop->address.len == 16))
			rc = network_neighbour(nl, RTM_NEWNEIGH, index_of(plan, links, hop->interface), hop, err);
	}
	return rc;
}

static int set_wanted(struct network *n, struct netlink *nl, struct network_link *links, struct err *err)
{
	const network_plan *plan = n->wanted;
	_cleanup_free_ bool *fresh = calloc(plan->n_interfaces + 1, sizeof(*fresh));
	int rc;

	if (!fresh)
		return err_set_errno(err, -ENOMEM, "network");
	for (size_t i = 0; i < plan->n_interfaces; i++)
		fresh[i] = !n->applied || find_nic(n->applied, plan->interfaces[i]) < 0;
	rc = network_setup_links(nl, n->kind, plan, fresh, links, err);
	if (rc >= 0)
		rc = set_addresses(nl, plan, links, err);
	if (rc >= 0)
		rc = set_routes(nl, plan, links, err);
	return rc < 0 ? rc : set_neighbours(nl, plan, links, err);
}

/* Returns -EAGAIN while a card is missing. */
static int apply(struct network *n, struct err *err)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	_cleanup_free_ struct network_link *links = NULL;
	int rc;

	links = calloc(n->wanted->n_interfaces + 1, sizeof(*links));
	if (!links)
		return err_set_errno(err, -ENOMEM, "network");
	rc = netlink_open(&nl, 0, err);
	if (rc >= 0)
		rc = network_find_links(&nl, n->kind, n->wanted, links, err);
	if (rc != 0)
		return rc < 0 ? rc : -EAGAIN;
	rc = remove_old(n, &nl, err);
	if (rc >= 0)
		rc = set_wanted(n, &nl, links, err);
	/* Of what failed half way some is there; the next request removes it. */
	n->failed = rc < 0;
	free_plan(n->applied);
	n->applied = TAKE_PTR(n->wanted);
	return rc < 0 ? rc : 0;
}

/* ---- one request ---- */

static void stop_waiting(struct network *n)
{
	loop_source_destroy(TAKE_PTR(n->source));
	loop_source_destroy(TAKE_PTR(n->timer));
	cleanup_close_p(&n->uevents);
}

static void finish(struct network *n, int code, const struct err *err)
{
	network_done_fn done = n->done;

	stop_waiting(n);
	free_plan(TAKE_PTR(n->wanted));
	n->done = NULL;
	if (done)
		done(code, err, n->userdata);
}

static void attempt(struct network *n)
{
	struct err err = ERR_INIT;
	int rc = apply(n, &err);

	if (rc != -EAGAIN)
		finish(n, rc, &err);
}

static void on_uevent(int fd, unsigned int events, void *userdata)
{
	(void)events;
	uevent_drain(fd);
	attempt(userdata);
}

static void on_timeout(void *userdata)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	struct network *n = userdata;
	_cleanup_free_ struct network_link *links = calloc(n->wanted->n_interfaces + 1, sizeof(*links));
	struct err err = ERR_INIT;

	err_set(&err, -ENODEV, "a network card is missing");
	if (links && netlink_open(&nl, 0, &err) >= 0)
		network_find_links(&nl, n->kind, n->wanted, links, &err);
	for (size_t i = 0; links && i < n->wanted->n_interfaces; i++) {
		if (!links[i].index)
			err_set(&err, -ENODEV, "interface '%s': no such network card within %u s",
				n->wanted->interfaces[i]->name, NETWORK_WAIT_MS / 1000);
	}
	finish(n, -ENODEV, &err);
}

static int copy_plan(const network_plan *plan, network_plan **ret)
{
	size_t len = protobuf_c_message_get_packed_size(&plan->base);
	_cleanup_free_ uint8_t *bytes = malloc(len + 1);

	if (!bytes)
		return -ENOMEM;
	protobuf_c_message_pack(&plan->base, bytes);
	*ret = onggi__agent__v1__update_network_request__unpack(NULL, len, bytes);
	return *ret ? 0 : -ENOMEM;
}

/* Listen first, then look: a card that comes in between is not missed. */
static int start_waiting(struct network *n, struct err *err)
{
	int rc = uevent_open(err);

	if (rc < 0)
		return rc;
	n->uevents = rc;
	rc = loop_add_fd(n->loop, n->uevents, LOOP_READ, on_uevent, n, &n->source);
	if (rc >= 0)
		rc = loop_add_timer(n->loop, NETWORK_WAIT_MS, on_timeout, n, &n->timer);
	return rc < 0 ? err_set_errno(err, rc, "wait for network cards") : 0;
}

int network_update(struct network *n, const network_plan *request, network_done_fn done, void *userdata,
		   struct err *err)
{
	_cleanup_(free_plan_p) network_plan *copy = NULL;
	int rc;

	rc = network_check(request, err);
	if (rc < 0)
		return rc;
	if (n->wanted)
		return err_set(err, -EBUSY, "the network is being updated");
	if (n->applied && !n->failed && plans_equal(n->applied, request)) {
		done(0, NULL, userdata);
		return 0;
	}
	if (copy_plan(request, &copy) < 0)
		return err_set_errno(err, -ENOMEM, "network");
	rc = start_waiting(n, err);
	if (rc < 0) {
		stop_waiting(n);
		return rc;
	}
	n->wanted = TAKE_PTR(copy);
	n->done = done;
	n->userdata = userdata;
	attempt(n);
	return 0;
}

int network_create(struct loop *loop, const char *kind, struct network **ret)
{
	struct network *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->kind = kind;
	n->uevents = -EBADF;
	*ret = n;
	return 0;
}

void network_destroy(struct network *n)
{
	struct err err = ERR_INIT;

	if (!n)
		return;
	err_set(&err, -ECANCELED, "the agent is ending");
	finish(n, -ECANCELED, &err);
	free_plan(n->applied);
	free(n);
}
