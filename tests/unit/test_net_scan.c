/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/rtnetlink.h>

#include "net/scan.h"
#include "tests/unit/net_rig.h"

static struct net_state *scan(void)
{
	struct err err = ERR_INIT;
	struct net_state *state = NULL;

	if (net_scan(&rig_nl, &state, &err) < 0)
		fail_msg("%s", err.text);
	return state;
}

static bool is(const uint8_t *bytes, uint8_t len, const char *text)
{
	unsigned char want[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, want), 1);
	return len == (family == AF_INET ? 4 : 16) && memcmp(bytes, want, len) == 0;
}

static const struct net_address *address(const struct net_state *state, const char *text)
{
	for (size_t i = 0; i < state->n_addresses; i++) {
		if (is(state->addresses[i].bytes, state->addresses[i].len, text))
			return &state->addresses[i];
	}
	return NULL;
}

/* By destination ("" for the default route of @family). */
static const struct net_route *route(const struct net_state *state, const char *text,
				     uint8_t family)
{
	for (size_t i = 0; i < state->n_routes; i++) {
		const struct net_route *r = &state->routes[i];

		if (r->family == family && (text[0] ? is(r->destination, r->destination_len, text)
						    : r->destination_len == 0))
			return r;
	}
	return NULL;
}

static void an_interface_is_found_with_all_that_makes_it(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = scan();
	const struct net_endpoint *e = &s->endpoints[0];
	const struct net_address *v4, *v6;

	assert_int_equal(s->n_endpoints, 1);
	assert_string_equal(e->name, "eth0");
	assert_string_equal(e->kind, "veth");
	assert_memory_equal(e->mac, RIG_MAC, 6);
	assert_int_equal(e->mtu, 1500);
	assert_true(e->up && !e->has_peer);
	assert_int_equal(e->ifindex, if_nametoindex("eth0"));
	assert_ptr_equal(net_state_find(s, e->ifindex), e);
	assert_null(net_state_find(s, 0));
	v4 = address(s, "10.9.0.2");
	assert_non_null(v4);
	assert_int_equal(v4->prefix, 24);
	assert_int_equal(v4->scope, RT_SCOPE_UNIVERSE);
	assert_true(is(v4->broadcast, v4->broadcast_len, "10.9.0.255"));
	v6 = address(s, "fd09::2");
	assert_non_null(v6);
	assert_int_equal(v6->prefix, 64);
	assert_int_equal(v6->broadcast_len, 0);
	assert_int_equal(address(s, "fe80::ff:fe00:902")->scope, RT_SCOPE_LINK);
	/* What the kernel adds for an address by itself is left to the guest's kernel. */
	assert_int_equal(s->n_routes, 0);
	assert_string_equal(s->note, "");
}

static void an_empty_namespace_has_nothing(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;

	rig_run(rig_here, "ip link del eth0");
	s = scan();
	assert_int_equal(s->n_endpoints, 0);
	assert_int_equal(s->n_addresses, 0);
	assert_int_equal(s->n_routes, 0);
}

static void routes_are_read_with_all_their_fields(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;
	const struct net_route *r;

	rig_run(rig_here, "ip route add default via 10.9.0.1 metric 7 mtu 1400 &&"
			  "ip route add 169.254.1.1 dev eth0 scope link &&"
			  "ip route add 10.77.0.0/16 via 192.0.2.1 dev eth0 onlink src 10.9.0.2 &&"
			  "ip route add unreachable 10.78.0.0/16 && ip route add blackhole fd78::/32 &&"
			  "ip -6 route add default via fd09::1 dev eth0 &&"
			  "ip route add 10.79.0.0/16 via 10.9.0.1 table 100");
	s = scan();
	r = route(s, "", AF_INET);
	assert_true(is(r->gateway, r->gateway_len, "10.9.0.1"));
	assert_int_equal(r->metric, 7);
	assert_int_equal(r->mtu, 1400);
	assert_int_equal(r->type, RTN_UNICAST);
	assert_int_equal(r->ifindex, s->endpoints[0].ifindex);
	r = route(s, "169.254.1.1", AF_INET);
	assert_int_equal(r->prefix, 32);
	assert_int_equal(r->scope, RT_SCOPE_LINK);
	assert_int_equal(r->gateway_len, 0);
	r = route(s, "10.77.0.0", AF_INET);
	assert_int_equal(r->flags, RTNH_F_ONLINK);
	assert_true(is(r->source, r->source_len, "10.9.0.2"));
	assert_int_equal(r->prefix, 16);
	r = route(s, "10.78.0.0", AF_INET);
	assert_int_equal(r->type, RTN_UNREACHABLE);
	assert_int_equal(r->ifindex, 0);
	r = route(s, "fd78::", AF_INET6);
	assert_int_equal(r->type, RTN_BLACKHOLE);
	assert_int_equal(r->ifindex, 0);
	r = route(s, "", AF_INET6);
	assert_true(is(r->gateway, r->gateway_len, "fd09::1"));
	assert_null(route(s, "10.79.0.0", AF_INET));
	assert_int_equal(s->n_routes, 6);
	assert_string_equal(s->note, "a route in table 100, which only policy rules lead to");
}

static void of_several_ways_the_first_is_taken_and_told(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;
	const struct net_route *r;

	rig_run(rig_here, "ip route add 10.80.0.0/16 nexthop via 10.9.0.7 nexthop via 10.9.0.8");
	s = scan();
	r = route(s, "10.80.0.0", AF_INET);
	assert_true(is(r->gateway, r->gateway_len, "10.9.0.7"));
	assert_int_equal(r->ifindex, s->endpoints[0].ifindex);
	assert_non_null(strstr(s->note, "several ways"));
}

static void a_gateway_of_the_other_family_is_read(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;
	const struct net_route *r;

	rig_run(rig_here, "ip route add 10.81.0.0/16 via inet6 fe80::1 dev eth0");
	s = scan();
	r = route(s, "10.81.0.0", AF_INET);
	assert_true(is(r->gateway, r->gateway_len, "fe80::1"));
}

static void a_peer_address_keeps_the_route_to_its_peer(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;

	rig_run(rig_here, "ip addr flush dev eth0 && ip addr add 10.1.1.1 peer 10.2.0.0/16 dev eth0");
	s = scan();
	assert_int_equal(address(s, "10.1.1.1")->prefix, 32);
	assert_true(s->endpoints[0].has_peer);
	assert_int_equal(route(s, "10.2.0.0", AF_INET)->prefix, 16);
}

static void only_permanent_neighbours_count(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;

	rig_run(rig_here, "ip neigh add 10.9.0.5 lladdr 02:aa:00:00:00:05 dev eth0 nud permanent &&"
			  "ip neigh add 10.9.0.6 lladdr 02:aa:00:00:00:06 dev eth0 nud stale &&"
			  "ip neigh add proxy 10.9.0.7 dev eth0 &&"
			  "ip neigh add fd09::5 lladdr 02:aa:00:00:00:05 dev eth0 nud permanent");
	s = scan();
	assert_int_equal(s->n_neighbours, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_memory_equal(s->neighbours[i].mac, "\x02\xaa\x00\x00\x00\x05", 6);
		assert_true(is(s->neighbours[i].bytes, s->neighbours[i].len,
			       s->neighbours[i].len == 4 ? "10.9.0.5" : "fd09::5"));
	}
}

static void interfaces_that_make_no_card_are_left_out(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;

	rig_run(rig_here, "ip link add idle0 type veth peer name idle1 &&"
			  "ip link add br0 type bridge && ip link set br0 up &&"
			  "ip link add port0 type veth peer name port1 &&"
			  "ip link set port0 master br0 && ip link set port0 up &&"
			  "ip link add stacked0 link eth0 type macvlan && ip link set stacked0 up &&"
			  "ip tuntap add onggi7 mode tap && ip link set onggi7 up &&"
			  "ip tuntap add tun0 mode tun && ip link set tun0 up");
	s = scan();
	assert_int_equal(s->n_endpoints, 2);
	for (size_t i = 0; i < 2; i++)
		assert_true(!strcmp(s->endpoints[i].name, "eth0") ||
			    !strcmp(s->endpoints[i].name, "br0"));
	assert_non_null(strstr(s->note, "'stacked0' is stacked"));
	assert_non_null(strstr(s->note, "'tun0' is no Ethernet"));
}

static void an_address_makes_an_interface_count_that_is_down(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *s = NULL;

	rig_run(rig_here, "ip link set eth0 down");
	s = scan();
	assert_int_equal(s->n_endpoints, 1);
	assert_false(s->endpoints[0].up);
	assert_non_null(address(s, "10.9.0.2"));
}

static void the_same_hardware_address_twice_is_an_error(void **state)
{
	struct err err = ERR_INIT;
	struct net_state *s;

	rig_run(rig_here, "ip link add two0 type veth peer name two1 &&"
			  "ip link set two0 address 02:00:00:00:09:02 && ip link set two0 up");
	assert_int_equal(net_scan(&rig_nl, &s, &err), -ENOTUNIQ);
	assert_non_null(strstr(err.text, "'eth0' and 'two0'"));
}

static void too_many_routes_are_an_error(void **state)
{
	struct err err = ERR_INIT;
	struct net_state *s;

	rig_run(rig_here, "for i in $(seq 0 4); do for j in $(seq 0 250); do"
			  " echo route add 10.$((100 + i)).$j.0/24 via 10.9.0.1; done; done | ip -batch -");
	assert_int_equal(net_scan(&rig_nl, &s, &err), -E2BIG);
	assert_non_null(strstr(err.text, "more than 1024 routes"));
}

static void states_are_equal_until_something_changes(void **state)
{
	static const char *const changes[] = {
		"ip addr add 10.9.0.3/24 dev eth0",
		"ip route add 10.77.0.0/16 via 10.9.0.1",
		"ip neigh add 10.9.0.5 lladdr 02:aa:00:00:00:05 dev eth0 nud permanent",
		"ip link set eth0 mtu 1400",
		"ip link set eth0 name net1",
		"ip link set net1 address 02:00:00:00:09:99",
		"ip link add idle0 type veth peer name idle1 && ip link set idle0 up",
	};
	struct net_state *before = scan(), *after;

	after = scan();
	assert_true(net_state_equal(before, after));
	net_state_free(after);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		rig_run(rig_here, changes[i]);
		after = scan();
		if (net_state_equal(before, after))
			fail_msg("'%s' goes unnoticed", changes[i]);
		net_state_free(before);
		before = after;
	}
	/* What is none of the guest's business does not count. */
	rig_run(rig_here, "ip link add br0 type bridge && ip route add 10.79.0.0/16 via 10.9.0.1 table 9");
	after = scan();
	assert_true(net_state_equal(before, after));
	net_state_free(before);
	net_state_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(an_interface_is_found_with_all_that_makes_it),
		rig_test(an_empty_namespace_has_nothing),
		rig_test(routes_are_read_with_all_their_fields),
		rig_test(of_several_ways_the_first_is_taken_and_told),
		rig_test(a_gateway_of_the_other_family_is_read),
		rig_test(a_peer_address_keeps_the_route_to_its_peer),
		rig_test(only_permanent_neighbours_count),
		rig_test(interfaces_that_make_no_card_are_left_out),
		rig_test(an_address_makes_an_interface_count_that_is_down),
		rig_test(the_same_hardware_address_twice_is_an_error),
		rig_test(too_many_routes_are_an_error),
		rig_test(states_are_equal_until_something_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
