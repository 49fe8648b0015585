/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Links, addresses, routes and neighbours are dumped one after the other. Addresses come before the
 * choice of endpoints is made, because an address makes an interface worth taking; entries of
 * interfaces that are not chosen are thrown out at the end. A dump during which something changed is
 * begun anew.
 *
 * Routes that the kernel made itself for an address (protocol "kernel") are left out: the guest's
 * kernel makes them again. So are tables other than main: nothing leads to them without policy
 * rules, which are not transferred (a note says so where tables of that kind are in use).
 */
#include "net/scan.h"

#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

/* Times that all is read again because it changed meanwhile. */
#define SCAN_ATTEMPTS_MAX 10
/* Links that are looked at at all. */
#define SCAN_LINKS_MAX 1024
/* More entries of a kind than this are an error even before they are sorted out. */
#define SCAN_ENTRIES_MAX 65536

struct link {
	struct net_endpoint endpoint;
	uint16_t type;
	bool loopback, slave, stacked, ours, addressed;
};

struct scan {
	struct net_state *state;
	struct link *links;
	size_t n_links;
	size_t entries;
	struct err *err;
};

static void note(struct net_state *state, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void note(struct net_state *state, const char *fmt, ...)
{
	size_t used = strlen(state->note);
	va_list ap;

	if (used + 2 >= sizeof(state->note))
		return;
	if (used) {
		memcpy(state->note + used, "; ", 3);
		used += 2;
	}
	va_start(ap, fmt);
	vsnprintf(state->note + used, sizeof(state->note) - used, fmt, ap);
	va_end(ap);
}

/* One more zeroed entry at the end of an array, at most @max; NULL with the reason in *ret_code. */
static void *grow(struct scan *s, void **array, size_t *n, size_t size, size_t max,
		  const char *what, int *ret_code)
{
	unsigned char *entry;

	if (*n >= max) {
		*ret_code = err_set(s->err, -E2BIG, "more than %zu %s", max, what);
		return NULL;
	}
	/* By steps of 16: most namespaces hold a handful. */
	if (*n % 16 == 0) {
		entry = reallocarray(*array, *n + 16, size);
		if (!entry) {
			*ret_code = err_set_errno(s->err, -ENOMEM, "%s", what);
			return NULL;
		}
		*array = entry;
	}
	entry = (unsigned char *)*array + (*n)++ * size;
	memset(entry, 0, size);
	return entry;
}

#define GROW(s, member, count, max, what, code) \
	grow(s, (void **)&(member), &(count), sizeof(*(member)), max, what, code)

/* An address of the family's length; anything else counts as none. Returns its length. */
static uint8_t copy_address(uint8_t out[static NET_ADDRESS_BYTES], const struct nlattr *attr,
			    uint8_t family)
{
	size_t len = family == AF_INET ? 4 : 16;

	if (netlink_len(attr) != len)
		return 0;
	memcpy(out, netlink_data(attr), len);
	return (uint8_t)len;
}

static struct link *find_link(struct scan *s, uint32_t ifindex)
{
	for (size_t i = 0; i < s->n_links; i++) {
		if (s->links[i].endpoint.ifindex == ifindex)
			return &s->links[i];
	}
	return NULL;
}

/* ---- links ---- */

static int take_link(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[IFLA_LINK_NETNSID + 1], *info[IFLA_INFO_KIND + 1];
	const struct ifinfomsg *header = netlink_header(message, sizeof(*header));
	struct scan *s = userdata;
	const char *name, *kind;
	struct link *l;
	int r = -EBADMSG;

	if (message->nlmsg_type != RTM_NEWLINK)
		return 0;
	if (!header || netlink_parse(message, sizeof(*header), attrs, IFLA_LINK_NETNSID) < 0 ||
	    netlink_parse_nested(attrs[IFLA_LINKINFO], info, IFLA_INFO_KIND) < 0)
		return err_set(s->err, -EBADMSG, "malformed link");
	l = GROW(s, s->links, s->n_links, SCAN_LINKS_MAX, "interfaces", &r);
	if (!l)
		return r;
	name = netlink_string(attrs[IFLA_IFNAME]);
	kind = netlink_string(info[IFLA_INFO_KIND]);
	snprintf(l->endpoint.name, IFNAMSIZ, "%s", name ? name : "");
	snprintf(l->endpoint.kind, IFNAMSIZ, "%s", kind ? kind : "");
	l->endpoint.ifindex = (uint32_t)header->ifi_index;
	l->endpoint.mtu = netlink_u32(attrs[IFLA_MTU], 0);
	l->endpoint.up = header->ifi_flags & IFF_UP;
	if (netlink_len(attrs[IFLA_ADDRESS]) == NET_MAC_BYTES)
		memcpy(l->endpoint.mac, netlink_data(attrs[IFLA_ADDRESS]), NET_MAC_BYTES);
	l->type = header->ifi_type;
	l->loopback = header->ifi_flags & IFF_LOOPBACK;
	l->slave = netlink_u32(attrs[IFLA_MASTER], 0) != 0;
	/* The other end of a veth is a "link" as well, and may be in the same namespace. */
	l->stacked = attrs[IFLA_LINK] && !attrs[IFLA_LINK_NETNSID] &&
		     netlink_u32(attrs[IFLA_LINK], 0) != 0 &&
		     netlink_u32(attrs[IFLA_LINK], 0) != l->endpoint.ifindex &&
		     strcmp(l->endpoint.kind, "veth") != 0;
	l->ours = !strcmp(l->endpoint.kind, "tun") &&
		  !strncmp(l->endpoint.name, NET_TAP_PREFIX, strlen(NET_TAP_PREFIX));
	return 0;
}

/* Whether it becomes a network card of the guest. */
static bool choose(struct net_state *state, const struct link *l)
{
	const struct net_endpoint *e = &l->endpoint;

	if (l->loopback || l->ours || l->slave || !(e->up || l->addressed))
		return false;
	if (l->type != ARPHRD_ETHER) {
		note(state, "interface '%s' is no Ethernet device", e->name);
		return false;
	}
	if (l->stacked) {
		note(state, "interface '%s' is stacked upon another of the same namespace",
		     e->name);
		return false;
	}
	return true;
}

static int choose_endpoints(struct scan *s)
{
	struct net_state *state = s->state;

	for (size_t i = 0; i < s->n_links; i++) {
		if (!choose(state, &s->links[i]))
			continue;
		if (state->n_endpoints == NET_ENDPOINTS_MAX)
			return err_set(s->err, -E2BIG, "more than %d interfaces",
				       NET_ENDPOINTS_MAX);
		for (size_t k = 0; k < state->n_endpoints; k++) {
			if (!memcmp(state->endpoints[k].mac, s->links[i].endpoint.mac,
				    NET_MAC_BYTES))
				return err_set(s->err, -ENOTUNIQ,
					       "interfaces '%s' and '%s' have the same hardware "
					       "address: the guest could not tell them apart",
					       state->endpoints[k].name,
					       s->links[i].endpoint.name);
		}
		state->endpoints[state->n_endpoints++] = s->links[i].endpoint;
	}
	return 0;
}

/* ---- addresses ---- */

static int take_address(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[IFA_FLAGS + 1], *own;
	const struct ifaddrmsg *header = netlink_header(message, sizeof(*header));
	struct scan *s = userdata;
	struct net_address *a;
	struct link *l;
	uint32_t flags;
	int r = -EBADMSG;

	if (message->nlmsg_type != RTM_NEWADDR)
		return 0;
	if (!header || netlink_parse(message, sizeof(*header), attrs, IFA_FLAGS) < 0)
		return err_set(s->err, -EBADMSG, "malformed address");
	flags = netlink_u32(attrs[IFA_FLAGS], header->ifa_flags);
	l = find_link(s, header->ifa_index);
	if (!l || l->loopback || (header->ifa_family != AF_INET && header->ifa_family != AF_INET6))
		return 0;
	/* One that expires is of no use in a guest that is told nothing of its renewal. */
	if (flags & IFA_F_DADFAILED ||
	    (header->ifa_family == AF_INET6 && flags & IFA_F_TEMPORARY))
		return 0;
	a = GROW(s, s->state->addresses, s->state->n_addresses, NET_ADDRESSES_MAX, "addresses", &r);
	if (!a)
		return r;
	own = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	a->ifindex = header->ifa_index;
	a->len = copy_address(a->bytes, own, header->ifa_family);
	a->prefix = header->ifa_prefixlen;
	a->scope = header->ifa_scope;
	if (header->ifa_family == AF_INET)
		a->broadcast_len = copy_address(a->broadcast, attrs[IFA_BROADCAST], AF_INET);
	if (attrs[IFA_LOCAL] && attrs[IFA_ADDRESS] &&
	    netlink_len(attrs[IFA_ADDRESS]) == a->len &&
	    memcmp(netlink_data(attrs[IFA_ADDRESS]), a->bytes, a->len) != 0) {
		/* The prefix is the peer's network; the route there is sent along. */
		a->prefix = (uint8_t)(a->len * 8);
		l->endpoint.has_peer = true;
	}
	l->addressed = true;
	if (a->len == 0)
		s->state->n_addresses--;
	return 0;
}

/* ---- routes ---- */

static const uint8_t route_types[] = { RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT };

static int route_name(char *out, size_t size, const struct rtmsg *header)
{
	return snprintf(out, size, "a route of family %u to a network of /%u", header->rtm_family,
			header->rtm_dst_len);
}

static bool route_wanted(struct scan *s, const struct rtmsg *header, const struct nlattr **attrs)
{
	uint32_t table = netlink_u32(attrs[RTA_TABLE], header->rtm_table);

	if ((header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
	    header->rtm_flags & RTM_F_CLONED || table == RT_TABLE_LOCAL ||
	    !memchr(route_types, header->rtm_type, sizeof(route_types)))
		return false;
	if (table != RT_TABLE_MAIN) {
		if (header->rtm_protocol != RTPROT_KERNEL)
			note(s->state, "a route in table %u, which only policy rules lead to",
			     table);
		return false;
	}
	return true;
}

/* The first way of a multipath route. */
static void first_hop(struct scan *s, struct net_route *route, const struct rtmsg *header,
		      const struct nlattr *multipath)
{
	const struct rtnexthop *hop = netlink_data(multipath);
	size_t len = netlink_len(multipath), at = RTNH_ALIGN(sizeof(*hop));
	char name[64];

	route_name(name, sizeof(name), header);
	note(s->state, "%s has several ways, the first is taken", name);
	if (len < sizeof(*hop) || hop->rtnh_len > len)
		return;
	route->ifindex = (uint32_t)hop->rtnh_ifindex;
	route->flags = hop->rtnh_flags & RTNH_F_ONLINK;
	while (at + NLA_HDRLEN <= hop->rtnh_len) {
		const struct nlattr *a = (const struct nlattr *)((const char *)hop + at);

		if (a->nla_len < NLA_HDRLEN || a->nla_len > hop->rtnh_len - at)
			return;
		if ((a->nla_type & NLA_TYPE_MASK) == RTA_GATEWAY)
			route->gateway_len = copy_address(route->gateway, a, header->rtm_family);
		at += NLA_ALIGN(a->nla_len);
	}
}

/* The gateway of an IPv4 route that is reached by IPv6. */
static uint8_t copy_via(uint8_t out[static NET_ADDRESS_BYTES], const struct nlattr *attr)
{
	struct {
		uint16_t family;
		uint8_t bytes[NET_ADDRESS_BYTES];
	} via;

	if (netlink_len(attr) != sizeof(via))
		return 0;
	memcpy(&via, netlink_data(attr), sizeof(via));
	if (via.family != AF_INET6)
		return 0;
	memcpy(out, via.bytes, sizeof(via.bytes));
	return sizeof(via.bytes);
}

static int take_route(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[RTA_ENCAP + 1], *metrics[RTAX_MTU + 1];
	const struct rtmsg *header = netlink_header(message, sizeof(*header));
	struct scan *s = userdata;
	struct net_route *route;
	char name[64];
	int r = -EBADMSG;

	if (message->nlmsg_type != RTM_NEWROUTE)
		return 0;
	if (!header || netlink_parse(message, sizeof(*header), attrs, RTA_ENCAP) < 0 ||
	    netlink_parse_nested(attrs[RTA_METRICS], metrics, RTAX_MTU) < 0)
		return err_set(s->err, -EBADMSG, "malformed route");
	if (++s->entries > SCAN_ENTRIES_MAX)
		return err_set(s->err, -E2BIG, "more than %d routes", SCAN_ENTRIES_MAX);
	if (!route_wanted(s, header, attrs))
		return 0;
	if (attrs[RTA_ENCAP]) {
		route_name(name, sizeof(name), header);
		note(s->state, "%s leads through a tunnel", name);
		return 0;
	}
	route = GROW(s, s->state->routes, s->state->n_routes, NET_ROUTES_MAX, "routes", &r);
	if (!route)
		return r;
	route->family = header->rtm_family;
	route->prefix = header->rtm_dst_len;
	route->scope = header->rtm_scope;
	route->type = header->rtm_type;
	route->protocol = header->rtm_protocol;
	route->flags = header->rtm_flags & RTNH_F_ONLINK;
	/* An unreachable IPv6 route names lo; it means none. */
	route->ifindex = route->type == RTN_UNICAST ? netlink_u32(attrs[RTA_OIF], 0) : 0;
	route->metric = netlink_u32(attrs[RTA_PRIORITY], 0);
	route->mtu = netlink_u32(metrics[RTAX_MTU], 0);
	route->destination_len = copy_address(route->destination, attrs[RTA_DST], route->family);
	route->gateway_len = copy_address(route->gateway, attrs[RTA_GATEWAY], route->family);
	route->source_len = copy_address(route->source, attrs[RTA_PREFSRC], route->family);
	if (attrs[RTA_VIA])
		route->gateway_len = copy_via(route->gateway, attrs[RTA_VIA]);
	if (attrs[RTA_MULTIPATH])
		first_hop(s, route, header, attrs[RTA_MULTIPATH]);
	return 0;
}

/* ---- neighbours ---- */

static int take_neighbour(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *attrs[NDA_LLADDR + 1];
	const struct ndmsg *header = netlink_header(message, sizeof(*header));
	struct net_neighbour *n;
	struct scan *s = userdata;
	int r = -EBADMSG;

	if (message->nlmsg_type != RTM_NEWNEIGH)
		return 0;
	if (!header || netlink_parse(message, sizeof(*header), attrs, NDA_LLADDR) < 0)
		return err_set(s->err, -EBADMSG, "malformed neighbour");
	if (++s->entries > SCAN_ENTRIES_MAX)
		return err_set(s->err, -E2BIG, "more than %d neighbours", SCAN_ENTRIES_MAX);
	if ((header->ndm_family != AF_INET && header->ndm_family != AF_INET6) ||
	    !(header->ndm_state & NUD_PERMANENT) || header->ndm_flags & NTF_PROXY ||
	    netlink_len(attrs[NDA_LLADDR]) != NET_MAC_BYTES)
		return 0;
	n = GROW(s, s->state->neighbours, s->state->n_neighbours, NET_NEIGHBOURS_MAX, "neighbours",
		 &r);
	if (!n)
		return r;
	n->ifindex = (uint32_t)header->ndm_ifindex;
	n->len = copy_address(n->bytes, attrs[NDA_DST], header->ndm_family);
	memcpy(n->mac, netlink_data(attrs[NDA_LLADDR]), NET_MAC_BYTES);
	return 0;
}

/* ---- all of it ---- */

static int dump(struct netlink *nl, uint16_t type, const void *header, size_t len, netlink_fn fn,
		struct scan *s)
{
	struct netlink_message m;

	netlink_message_init(&m, type, NLM_F_DUMP, header, len);
	return netlink_request(nl, &m, fn, s, s->err);
}

static int read_all(struct netlink *nl, struct scan *s)
{
	const struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
	const struct ifaddrmsg address = { .ifa_family = AF_UNSPEC };
	const struct rtmsg route = { .rtm_family = AF_UNSPEC };
	const struct ndmsg neighbour = { .ndm_family = AF_UNSPEC };
	int r;

	if ((r = dump(nl, RTM_GETLINK, &link, sizeof(link), take_link, s)) < 0 ||
	    (r = dump(nl, RTM_GETADDR, &address, sizeof(address), take_address, s)) < 0 ||
	    (r = choose_endpoints(s)) < 0 || s->state->n_endpoints == 0)
		return r;
	r = dump(nl, RTM_GETROUTE, &route, sizeof(route), take_route, s);
	s->entries = 0;
	if (r >= 0)
		r = dump(nl, RTM_GETNEIGH, &neighbour, sizeof(neighbour), take_neighbour, s);
	return r;
}

static bool keep_address(const struct net_state *state, const void *entry)
{
	return net_state_find(state, ((const struct net_address *)entry)->ifindex);
}

static bool keep_route(const struct net_state *state, const void *entry)
{
	const struct net_route *route = entry;
	const struct net_endpoint *e = net_state_find(state, route->ifindex);

	if (route->ifindex == 0)
		return route->type != RTN_UNICAST && route->protocol != RTPROT_KERNEL;
	return e && (route->protocol != RTPROT_KERNEL || e->has_peer);
}

static bool keep_neighbour(const struct net_state *state, const void *entry)
{
	const struct net_neighbour *n = entry;

	return n->len && net_state_find(state, n->ifindex);
}

static size_t sift(const struct net_state *state, void *array, size_t n, size_t size,
		   bool (*keep)(const struct net_state *state, const void *entry))
{
	unsigned char *in = array, *out = array;

	for (size_t i = 0; i < n; i++, in += size) {
		if (!keep(state, in))
			continue;
		if (out != in)
			memcpy(out, in, size);
		out += size;
	}
	return (size_t)(out - (unsigned char *)array) / size;
}

static int scan_once(struct netlink *nl, struct net_state **ret, struct err *err)
{
	_cleanup_(net_state_free_p) struct net_state *state = calloc(1, sizeof(*state));
	struct scan s = { .state = state, .err = err };
	int r;

	if (!state)
		return -ENOMEM;
	r = read_all(nl, &s);
	free(s.links);
	if (r < 0)
		return r;
	state->n_addresses = sift(state, state->addresses, state->n_addresses,
				  sizeof(*state->addresses), keep_address);
	state->n_routes = sift(state, state->routes, state->n_routes, sizeof(*state->routes),
			       keep_route);
	state->n_neighbours = sift(state, state->neighbours, state->n_neighbours,
				   sizeof(*state->neighbours), keep_neighbour);
	*ret = TAKE_PTR(state);
	return 0;
}

int net_scan(struct netlink *nl, struct net_state **ret, struct err *err)
{
	int r = -EAGAIN;

	for (int i = 0; i < SCAN_ATTEMPTS_MAX && r == -EAGAIN; i++)
		r = scan_once(nl, ret, err);
	if (r < 0)
		err_prefix(err, "look at the network namespace");
	return r;
}

void net_state_free(struct net_state *state)
{
	if (!state)
		return;
	free(state->addresses);
	free(state->routes);
	free(state->neighbours);
	free(state);
}

static bool same(const void *a, size_t n_a, const void *b, size_t n_b, size_t size)
{
	return n_a == n_b && (n_a == 0 || memcmp(a, b, n_a * size) == 0);
}

bool net_state_equal(const struct net_state *a, const struct net_state *b)
{
	return same(a->endpoints, a->n_endpoints, b->endpoints, b->n_endpoints,
		    sizeof(a->endpoints[0])) &&
	       same(a->addresses, a->n_addresses, b->addresses, b->n_addresses,
		    sizeof(*a->addresses)) &&
	       same(a->routes, a->n_routes, b->routes, b->n_routes, sizeof(*a->routes)) &&
	       same(a->neighbours, a->n_neighbours, b->neighbours, b->n_neighbours,
		    sizeof(*a->neighbours));
}

const struct net_endpoint *net_state_find(const struct net_state *state, uint32_t ifindex)
{
	for (size_t i = 0; i < state->n_endpoints; i++) {
		if (state->endpoints[i].ifindex == ifindex)
			return &state->endpoints[i];
	}
	return NULL;
}
