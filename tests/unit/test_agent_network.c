/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network, in a network namespace of this machine whose cards are ends of virtual
 * cables. What came of a request is read back with ip(8). Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/network.h"
#include "common/io.h"
#include "tests/unit/check_leaks.h"
#include "tests/unit/own_clock.h"

#define OUTPUT_MAX (64u << 10)
/* What one request under test may hold. */
#define LIST_MAX 8

static struct loop *loop;
static struct network *network;

/* ---- a shell beside it ---- */

static void sh(const char *command)
{
	if (system(command) != 0)
		fail_msg("'%s' failed", command);
}

static char *output_of(const char *command)
{
	static char buf[OUTPUT_MAX];
	FILE *f = popen(command, "re");
	size_t len;

	assert_non_null(f);
	len = fread(buf, 1, sizeof(buf) - 1, f);
	buf[len] = '\0';
	pclose(f);
	return buf;
}

static void expect(const char *command, const char *part)
{
	const char *text = output_of(command);

	if (!strstr(text, part))
		fail_msg("'%s' lacks '%s':\n%s", command, part, text);
}

static void expect_not(const char *command, const char *part)
{
	const char *text = output_of(command);

	if (strstr(text, part))
		fail_msg("'%s' has '%s':\n%s", command, part, text);
}

/*
 * All that a request could change; whether the cable carries is found out by the kernel later, and so are the routes
 * of its own that it makes for IPv6: those are waited for.
 */
static char *picture(void)
{
	static const char *const own[] = { "multicast ff00::/8 dev eth0", "local fd00::3 dev eth0",
					   "local fe80::ff:fe00:1 dev eth0" };
	char command[256];

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		snprintf(command, sizeof(command), "timeout 200 sh -c \"until ip -6 route show table local | "
			 "grep -q '%s'; do sleep .05; done\"", own[i]);
		sh(command);
	}
	return strdup(output_of("(ip -o addr; ip -o link | grep -o '^.* mtu [0-9]*' | sed 's/<.*>//'; "
				"ip -4 route show table all; ip -6 route show table all; ip neigh show nud permanent; "
				"cat /proc/sys/net/ipv6/conf/*/accept_ra) | sed 's/ linkdown//'"));
}

/* ---- requests ---- */

/* One request with everything that its lists point to. */
struct plan {
	Onggi__Agent__V1__UpdateNetworkRequest request;
	Onggi__Agent__V1__NetworkInterface nics[LIST_MAX], *nic_list[LIST_MAX];
	Onggi__Agent__V1__IpAddress addresses[LIST_MAX][LIST_MAX], *address_list[LIST_MAX][LIST_MAX];
	Onggi__Agent__V1__NetworkRoute routes[LIST_MAX], *route_list[LIST_MAX];
	Onggi__Agent__V1__NetworkNeighbour neighbours[LIST_MAX], *neighbour_list[LIST_MAX];
	uint8_t bytes[64][16];
	size_t n_bytes;
};

static void plan_init(struct plan *p)
{
	memset(p, 0, sizeof(*p));
	onggi__agent__v1__update_network_request__init(&p->request);
	p->request.interfaces = p->nic_list;
	p->request.routes = p->route_list;
	p->request.neighbours = p->neighbour_list;
}

static ProtobufCBinaryData plan_bytes(struct plan *p, const char *address)
{
	uint8_t *at = p->bytes[p->n_bytes++];

	if (!address)
		return (ProtobufCBinaryData){ 0 };
	assert_true(p->n_bytes <= ARRAY_SIZE(p->bytes));
	if (inet_pton(AF_INET, address, at) == 1)
		return (ProtobufCBinaryData){ .len = 4, .data = at };
	assert_int_equal(inet_pton(AF_INET6, address, at), 1);
	return (ProtobufCBinaryData){ .len = 16, .data = at };
}

static ProtobufCBinaryData plan_mac(struct plan *p, unsigned int last)
{
	uint8_t *at = p->bytes[p->n_bytes++];

	memcpy(at, (const uint8_t[]){ 2, 0, 0, 0, 0, (uint8_t)last }, 6);
	return (ProtobufCBinaryData){ .len = 6, .data = at };
}

static void plan_nic(struct plan *p, const char *name, unsigned int mac, uint32_t mtu)
{
	size_t i = p->request.n_interfaces++;
	Onggi__Agent__V1__NetworkInterface *nic = &p->nics[i];

	onggi__agent__v1__network_interface__init(nic);
	nic->name = (char *)name;
	nic->mac = plan_mac(p, mac);
	nic->mtu = mtu;
	nic->addresses = p->address_list[i];
	p->nic_list[i] = nic;
}

/* Of the interface named last. */
static void plan_address(struct plan *p, const char *address, uint32_t prefix)
{
	size_t i = p->request.n_interfaces - 1, j = p->nics[i].n_addresses++;

	onggi__agent__v1__ip_address__init(&p->addresses[i][j]);
	p->addresses[i][j].address = plan_bytes(p, address);
	p->addresses[i][j].prefix = prefix;
	p->address_list[i][j] = &p->addresses[i][j];
}

static Onggi__Agent__V1__NetworkRoute *plan_route(struct plan *p, int family, const char *to, uint32_t prefix,
						  const char *via, const char *dev)
{
	size_t i = p->request.n_routes++;
	Onggi__Agent__V1__NetworkRoute *r = &p->routes[i];

	onggi__agent__v1__network_route__init(r);
	r->family = (uint32_t)family;
	r->destination = plan_bytes(p, to);
	r->prefix = prefix;
	r->gateway = plan_bytes(p, via);
	r->interface = (char *)dev;
	r->scope = via || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	p->route_list[i] = r;
	return r;
}

static void plan_neighbour(struct plan *p, const char *address, unsigned int mac, const char *dev)
{
	size_t i = p->request.n_neighbours++;

	onggi__agent__v1__network_neighbour__init(&p->neighbours[i]);
	p->neighbours[i].address = plan_bytes(p, address);
	p->neighbours[i].mac = plan_mac(p, mac);
	p->neighbours[i].interface = (char *)dev;
	p->neighbour_list[i] = &p->neighbours[i];
}

static int result;
static struct err result_err;

static void on_done(int code, const struct err *err, void *userdata)
{
	result = code;
	if (err)
		result_err = *err;
	(void)userdata;
}

/* The code, from wherever it came; 1 while the request waits. */
static int update(struct plan *p)
{
	int rc;

	result = 1;
	result_err = (struct err)ERR_INIT;
	rc = network_update(network, &p->request, on_done, NULL, &result_err);
	return rc < 0 ? rc : result;
}

static void assert_update(struct plan *p)
{
	int rc = update(p);

	if (rc != 0)
		fail_msg("%d: %s", rc, result_err.text);
}

static int wait_for_result(void)
{
	while (result == 1)
		assert_int_equal(loop_run_once(loop), 0);
	return result;
}

/* ---- a world for each claim ---- */

static void plug(const char *name, unsigned int mac)
{
	char command[256];

	snprintf(command, sizeof(command), "ip link add %s address 02:00:00:00:00:%02x type veth peer name peer%u && "
		 "ip link set peer%u addrgenmode none up", name, mac, mac, mac);
	sh(command);
}

static int setup(void **state)
{
	leaks_setup(state);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	sh("ip link set lo up");
	plug("d1", 1);
	plug("d2", 2);
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(network_create(loop, "veth", &network), 0);
	return 0;
}

static int teardown(void **state)
{
	network_destroy(network);
	loop_destroy(loop);
	return leaks_teardown(state);
}

/* What a container with one bridge network gets. */
static void plan_usual(struct plan *p)
{
	plan_init(p);
	plan_nic(p, "eth0", 1, 1400);
	plan_address(p, "10.1.2.3", 24);
	plan_address(p, "fd00::3", 64);
	plan_address(p, "fe80::ff:fe00:1", 64);
	p->addresses[0][0].broadcast = plan_bytes(p, "10.1.2.255");
	p->addresses[0][2].scope = RT_SCOPE_LINK;
	/* As listed by a kernel: the gateway's route may come first. */
	plan_route(p, AF_INET, NULL, 0, "10.1.2.1", "eth0");
	plan_route(p, AF_INET, "10.1.2.0", 24, NULL, "eth0")->source = plan_bytes(p, "10.1.2.3");
	plan_route(p, AF_INET6, NULL, 0, "fd00::1", "eth0")->metric = 1024;
	plan_route(p, AF_INET6, "fd00::", 64, NULL, "eth0")->metric = 256;
}

static void card_gets_name_mtu_addresses_and_routes(void **state)
{
	struct plan p;

	plan_usual(&p);
	assert_update(&p);
	expect("ip link show eth0", "mtu 1400");
	expect("ip link show eth0", ",UP");
	expect("ip link show eth0", "02:00:00:00:00:01");
	expect("ip addr show eth0", "inet 10.1.2.3/24 brd 10.1.2.255 scope global");
	expect("ip addr show eth0", "inet6 fd00::3/64 scope global nodad");
	expect("ip addr show eth0", "inet6 fe80::ff:fe00:1/64 scope link");
	expect_not("ip addr show eth0", "tentative");
	expect("ip route", "default via 10.1.2.1 dev eth0");
	expect("ip route", "10.1.2.0/24 dev eth0 proto kernel scope link src 10.1.2.3");
	expect("ip -6 route", "default via fd00::1 dev eth0");
	expect("ip route get 8.8.8.8", "src 10.1.2.3");
	expect("ip route | wc -l", "2");
	expect("ip -6 route | grep -c fd00::/64", "1");
	/* The other card is none of this request's business. */
	expect_not("ip link show d2", ",UP");
}

/*
 * What the kernel does after an answer, in its own time (a carrier, IPv6 addresses that become
 * valid), cannot be told from what a second request did. But whoever asks the kernel for anything
 * opens a descriptor, be it a socket or a file of /proc.
 */
static void the_same_request_again_asks_nothing_of_the_kernel(void **state)
{
	struct rlimit usual, none;
	struct plan p;
	int rc;

	plan_usual(&p);
	assert_update(&p);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = usual.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rc = update(&p);
	/* One that differs cannot do without. */
	plan_address(&p, "10.1.2.4", 32);
	assert_int_equal(update(&p), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
	assert_int_equal(rc, 0);
	assert_update(&p);
}

static void request_that_differs_a_little_leaves_the_rest_in_place(void **state)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	struct plan p;

	plan_usual(&p);
	assert_update(&p);
	before = picture();
	plan_address(&p, "10.1.2.4", 32);
	assert_update(&p);
	expect("ip addr show eth0", "inet 10.1.2.4/32");
	plan_usual(&p);
	assert_update(&p);
	after = picture();
	assert_string_equal(before, after);
}

static void what_the_workload_has_added_stays(void **state)
{
	struct plan p;

	plan_usual(&p);
	assert_update(&p);
	sh("ip addr add 10.1.2.77/24 dev eth0 && ip route add 192.0.2.0/24 via 10.1.2.9 dev eth0 && "
	   "ip link add mine type bridge");
	plan_address(&p, "10.9.9.9", 24);
	assert_update(&p);
	expect("ip addr show eth0", "10.1.2.77/24");
	expect("ip addr show eth0", "10.9.9.9/24");
	expect("ip route", "192.0.2.0/24 via 10.1.2.9");
	/* Without a route of the host's to it, the kernel's own is made. */
	expect("ip route", "10.9.9.0/24 dev eth0 proto kernel");
	expect("ip link", "mine");
}

static void what_is_no_longer_wanted_goes(void **state)
{
	struct plan p;

	plan_usual(&p);
	plan_nic(&p, "eth1", 2, 1500);
	plan_address(&p, "10.2.0.1", 16);
	plan_neighbour(&p, "10.1.2.50", 9, "eth0");
	plan_neighbour(&p, "fd00::50", 9, "eth0");
	assert_update(&p);
	expect("ip neigh show nud permanent dev eth0", "10.1.2.50 lladdr 02:00:00:00:00:09");
	expect("ip -6 neigh show nud permanent dev eth0", "fd00::50 lladdr 02:00:00:00:00:09");
	expect("ip addr show eth1", "10.2.0.1/16");

	plan_init(&p);
	plan_nic(&p, "eth0", 1, 1500);
	plan_address(&p, "10.1.2.3", 16);
	plan_route(&p, AF_INET, NULL, 0, "10.1.99.1", "eth0");
	assert_update(&p);
	expect("ip link show eth0", "mtu 1500");
	expect("ip addr show eth0", "10.1.2.3/16");
	expect_not("ip addr show eth0", "10.1.2.3/24");
	expect_not("ip addr show eth0", "inet6");
	expect("ip route", "default via 10.1.99.1 dev eth0");
	expect_not("ip route", "10.1.2.1 ");
	expect("ip neigh show nud permanent | wc -l", "0");
	expect_not("ip link show eth1", ",UP");
	expect_not("ip addr show eth1", "inet");

	plan_init(&p);
	assert_update(&p);
	expect_not("ip link show eth0", ",UP");
	expect("ip route | wc -l", "0");
}

static void cards_exchange_their_names(void **state)
{
	struct plan p;

	plan_init(&p);
	plan_nic(&p, "d2", 1, 1500);
	plan_address(&p, "10.1.0.1", 24);
	plan_nic(&p, "d1", 2, 1500);
	plan_address(&p, "10.2.0.1", 24);
	assert_update(&p);
	expect("ip link show d2", "02:00:00:00:00:01");
	expect("ip link show d1", "02:00:00:00:00:02");
	p.nics[0].name = (char *)"eth0";
	p.nics[1].name = (char *)"d2";
	assert_update(&p);
	expect("ip addr show eth0", "10.1.0.1/24");
	expect("ip addr show d2", "10.2.0.1/24");
	expect("ip route", "10.2.0.0/24 dev d2");
}

static void card_that_goes_leaves_its_name_to_the_next(void **state)
{
	struct plan p;

	plug("eth0", 3);
	sh("ip link set eth0 up");
	plan_usual(&p);
	assert_update(&p);
	expect("ip link show eth0", "02:00:00:00:00:01");
	expect("ip link", "02:00:00:00:00:03");
}

static void name_that_is_taken_is_an_error_that_names_it(void **state)
{
	struct plan p;

	sh("ip link add eth0 type bridge");
	plan_usual(&p);
	assert_int_equal(update(&p), -EEXIST);
	assert_non_null(strstr(result_err.text, "interface 'eth0': rename from 'd1'"));
	sh("ip link del eth0");
	assert_update(&p);
	expect("ip route", "default via 10.1.2.1 dev eth0");
}

static void card_that_comes_late_is_waited_for(void **state)
{
	struct plan p, other;

	clock_stop();
	plan_init(&p);
	plan_nic(&p, "eth7", 7, 1500);
	plan_address(&p, "10.7.0.1", 24);
	assert_int_equal(update(&p), 1);
	/* One at a time; this one does not touch what the first is told. */
	plan_usual(&other);
	assert_int_equal(network_update(network, &other.request, on_done, NULL, NULL), -EBUSY);
	sh("ip link add unrelated type bridge");
	plug("late", 7);
	assert_int_equal(wait_for_result(), 0);
	clock_run();
	expect("ip addr show eth7", "10.7.0.1/24");
}

static void card_that_never_comes_is_an_error_in_time(void **state)
{
	struct plan p;

	plan_usual(&p);
	plan_nic(&p, "eth9", 9, 1500);
	clock_stop();
	assert_int_equal(update(&p), 1);
	clock_ahead_ms += 10000;
	assert_int_equal(wait_for_result(), -ENODEV);
	clock_run();
	assert_string_equal(result_err.text, "interface 'eth9': no such network card within 10 s");
	/* Nothing was begun, and the next request is taken. */
	expect_not("ip link", "eth0");
	plan_usual(&p);
	assert_update(&p);
}

static void device_on_top_of_a_card_is_not_taken_for_it(void **state)
{
	struct plan p;

	sh("ip link add aa0 link d1 type macvlan && ip link add br0 address 02:00:00:00:00:01 type bridge");
	plan_usual(&p);
	assert_update(&p);
	expect("ip -d link show eth0", "veth");
}

static void card_takes_no_advertisements_and_makes_no_addresses(void **state)
{
	struct plan p;

	plan_init(&p);
	plan_nic(&p, "eth0", 1, 1500);
	plan_address(&p, "10.1.2.3", 24);
	assert_update(&p);
	expect("cat /proc/sys/net/ipv6/conf/eth0/accept_ra", "0");
	expect("cat /proc/sys/net/ipv6/conf/eth0/autoconf", "0");
	expect_not("ip addr show eth0", "inet6");
	/* A workload that wants it otherwise is not overruled later. */
	sh("echo 2 > /proc/sys/net/ipv6/conf/eth0/accept_ra");
	plan_address(&p, "10.1.2.4", 24);
	assert_update(&p);
	expect("cat /proc/sys/net/ipv6/conf/eth0/accept_ra", "2");
}

static void ipv6_that_is_switched_off_stays_off(void **state)
{
	struct plan p;

	sh("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6");
	plan_usual(&p);
	assert_update(&p);
	expect_not("ip addr show eth0", "inet6");
	expect("ip route", "default via 10.1.2.1 dev eth0");
	/* Switched on again, the next request brings it. */
	sh("echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6");
	plan_address(&p, "10.1.2.4", 24);
	assert_update(&p);
	expect("ip -6 route", "default via fd00::1 dev eth0");
}

static void card_whose_mtu_is_too_small_has_no_ipv6(void **state)
{
	struct plan p;

	plan_usual(&p);
	p.nics[0].mtu = 1000;
	assert_update(&p);
	expect_not("ip addr show eth0", "inet6");
	expect("ip addr show eth0", "mtu 1000");
}

static void routes_of_all_kinds_are_set(void **state)
{
	struct plan p;
	Onggi__Agent__V1__NetworkRoute *r;

	plan_usual(&p);
	r = plan_route(&p, AF_INET, "198.51.100.0", 24, "169.254.1.1", "eth0");
	r->flags = RTNH_F_ONLINK;
	r->metric = 77;
	r->mtu = 1300;
	r = plan_route(&p, AF_INET, "203.0.113.0", 24, NULL, "");
	r->type = RTN_BLACKHOLE;
	r->scope = RT_SCOPE_UNIVERSE;
	r = plan_route(&p, AF_INET, "192.0.2.0", 24, NULL, "eth0");
	r->table = 1000;
	r = plan_route(&p, AF_INET, "192.0.3.0", 24, "fe80::1", "eth0");
	assert_update(&p);
	expect("ip route", "198.51.100.0/24 via 169.254.1.1 dev eth0 metric 77 onlink mtu 1300");
	expect("ip route", "blackhole 203.0.113.0/24");
	expect("ip route", "192.0.3.0/24 via inet6 fe80::1 dev eth0");
	expect("ip route show table 1000", "192.0.2.0/24 dev eth0 scope link");
	plan_usual(&p);
	assert_update(&p);
	expect("ip route | wc -l", "2");
	expect("ip route show table 1000 | wc -l", "0");
}

static void several_ways_to_one_place_are_kept(void **state)
{
	struct plan p;

	plan_usual(&p);
	plan_route(&p, AF_INET6, "fd77::", 64, "fd00::8", "eth0")->metric = 5;
	plan_route(&p, AF_INET6, "fd77::", 64, "fd00::9", "eth0")->metric = 5;
	assert_update(&p);
	expect("ip -6 route show fd77::/64", "fd00::8");
	expect("ip -6 route show fd77::/64", "fd00::9");
}

static void route_that_the_kernel_refuses_is_named(void **state)
{
	struct plan p;

	plan_usual(&p);
	plan_route(&p, AF_INET, "198.51.100.0", 24, "172.31.0.1", "eth0");
	assert_int_equal(update(&p), -ENETUNREACH);
	assert_non_null(strstr(result_err.text, "route 198.51.100.0/24 via 172.31.0.1 dev eth0"));
	/* Half of it is there; asked again rightly, all is, and nothing more. */
	plan_usual(&p);
	assert_update(&p);
	expect("ip route | wc -l", "2");
}

static void routes_come_back_with_the_address_they_hang_on(void **state)
{
	struct plan p;

	plan_usual(&p);
	assert_update(&p);
	p.addresses[0][0].broadcast.len = 0;
	assert_update(&p);
	expect("ip route", "default via 10.1.2.1 dev eth0");
	expect("ip route", "10.1.2.0/24 dev eth0");
	/* Another name needs the card down for a moment, which drops its routes. */
	p.nics[0].name = (char *)"net0";
	for (size_t i = 0; i < p.request.n_routes; i++)
		p.routes[i].interface = (char *)"net0";
	assert_update(&p);
	expect("ip route", "default via 10.1.2.1 dev net0");
	expect("ip -6 route", "default via fd00::1 dev net0");
	expect("ip addr show net0", "fd00::3/64");
}

static void destroyed_while_waiting_says_so(void **state)
{
	struct plan p;

	plan_init(&p);
	plan_nic(&p, "eth9", 9, 1500);
	assert_int_equal(update(&p), 1);
	network_destroy(network);
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(network_create(loop, "veth", &network), 0);
}

/* ---- what is refused before the kernel is asked ---- */

static void refused(struct plan *p, int code, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(network_check(&p->request, &err), code);
	if (!strstr(err.text, text))
		fail_msg("'%s' is not in '%s'", text, err.text);
}

static void bad_interfaces_are_refused_by_field(void **state)
{
	static const char *const names[] = { "", ".", "..", "lo", "all", "default", "a/b", "a b", "a:1", "a%d",
					     "sixteen-letters-", "\x7f" };
	struct plan p;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		plan_usual(&p);
		p.nics[0].name = (char *)names[i];
		refused(&p, -EINVAL, "field 'interfaces[0].name'");
	}
	plan_usual(&p);
	plan_nic(&p, "eth0", 2, 1500);
	refused(&p, -EINVAL, "field 'interfaces[1].name'");
	p.nics[1] = p.nics[0];
	p.nics[1].name = (char *)"eth1";
	refused(&p, -EINVAL, "field 'interfaces[1].mac'");
	for (int i = 0; i < 3; i++) {
		plan_usual(&p);
		if (i == 0)
			p.nics[0].mac.len = 5;
		else if (i == 1)
			p.nics[0].mac.data[0] = 1;
		else
			memset(p.nics[0].mac.data, 0, 6);
		refused(&p, -EINVAL, "field 'interfaces[0].mac'");
	}
	plan_usual(&p);
	p.nics[0].mtu = 67;
	refused(&p, -EINVAL, "field 'interfaces[0].mtu'");
	p.nics[0].mtu = 65536;
	refused(&p, -EINVAL, "field 'interfaces[0].mtu'");
	plan_usual(&p);
	p.addresses[0][0].prefix = 33;
	refused(&p, -EINVAL, "field 'interfaces[0].addresses.prefix'");
	p.addresses[0][0].address.len = 5;
	refused(&p, -EINVAL, "field 'interfaces[0].addresses.address'");
	plan_usual(&p);
	p.addresses[0][1].broadcast = p.addresses[0][0].broadcast;
	refused(&p, -EINVAL, "field 'interfaces[0].addresses.broadcast'");
	p.request.n_interfaces = NETWORK_INTERFACES_MAX + 1;
	refused(&p, -E2BIG, "field 'interfaces'");
}

static void bad_routes_and_neighbours_are_refused_by_field(void **state)
{
	struct plan p;

#define BAD_ROUTE(change, field)                             \
	do {                                                 \
		plan_usual(&p);                              \
		p.routes[1].change;                          \
		refused(&p, -EINVAL, "field 'routes[1]." field "'"); \
	} while (0)
	BAD_ROUTE(family = 7, "family");
	BAD_ROUTE(destination.len = 3, "destination");
	BAD_ROUTE(destination.len = 0, "destination");
	BAD_ROUTE(prefix = 33, "prefix");
	BAD_ROUTE(gateway = p.routes[0].destination; p.routes[1].gateway.len = 3, "gateway");
	BAD_ROUTE(source.len = 16, "source");
	BAD_ROUTE(type = RTN_MULTICAST, "type");
	BAD_ROUTE(type = 4000000000u, "type");
	BAD_ROUTE(scope = 256, "scope");
	BAD_ROUTE(flags = RTNH_F_DEAD, "flags");
	BAD_ROUTE(interface = (char *)"eth9", "interface");
	BAD_ROUTE(interface = (char *)"", "interface");
	plan_usual(&p);
	plan_neighbour(&p, "10.1.2.50", 9, "eth9");
	refused(&p, -EINVAL, "field 'neighbours[0].interface'");
	p.neighbours[0].mac.len = 7;
	refused(&p, -EINVAL, "field 'neighbours[0].mac'");
	p.neighbours[0].address.len = 0;
	refused(&p, -EINVAL, "field 'neighbours[0].address'");
	p.request.n_neighbours = NETWORK_NEIGHBOURS_MAX + 1;
	refused(&p, -E2BIG, "field 'neighbours'");
	plan_usual(&p);
	p.request.n_routes = NETWORK_ROUTES_MAX + 1;
	refused(&p, -E2BIG, "field 'routes'");
}

#define claim(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(card_gets_name_mtu_addresses_and_routes),
		claim(the_same_request_again_asks_nothing_of_the_kernel),
		claim(request_that_differs_a_little_leaves_the_rest_in_place),
		claim(what_the_workload_has_added_stays),
		claim(what_is_no_longer_wanted_goes),
		claim(cards_exchange_their_names),
		claim(card_that_goes_leaves_its_name_to_the_next),
		claim(name_that_is_taken_is_an_error_that_names_it),
		claim(card_that_comes_late_is_waited_for),
		claim(card_that_never_comes_is_an_error_in_time),
		claim(device_on_top_of_a_card_is_not_taken_for_it),
		claim(card_takes_no_advertisements_and_makes_no_addresses),
		claim(ipv6_that_is_switched_off_stays_off),
		claim(card_whose_mtu_is_too_small_has_no_ipv6),
		claim(routes_of_all_kinds_are_set),
		claim(several_ways_to_one_place_are_kept),
		claim(route_that_the_kernel_refuses_is_named),
		claim(routes_come_back_with_the_address_they_hang_on),
		claim(destroyed_while_waiting_says_so),
		cmocka_unit_test(bad_interfaces_are_refused_by_field),
		cmocka_unit_test(bad_routes_and_neighbours_are_refused_by_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
