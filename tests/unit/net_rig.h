/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_rig.h - network namespaces for tests of net/: "here" (the sandbox's) and "there" (the engine's bridge)
 *
 * Shape:    net_rig_setup makes a veth pair: eth0 here with 10.9.0.2/24 and fd09::2/64, MAC
 *           02:00:00:00:09:02; peer0 there with 10.9.0.1 and fd09::1. The process stays here.
 * Order:    include after cmocka.h; net_rig_main once, then setup and teardown for each test.
 */
#ifndef ONGGI_TESTS_NET_RIG_H
#define ONGGI_TESTS_NET_RIG_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/netlink.h"
#include "tests/unit/check_leaks.h"

/* Longer than this is a hang. */
#define RIG_WAIT_MS 200000

#define RIG_MAC "\x02\x00\x00\x00\x09\x02"
#define RIG_PEER_MAC "\x02\x00\x00\x00\x09\x01"

static int rig_here = -1, rig_there = -1;
static struct netlink rig_nl;

static inline void rig_enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

/* A shell command in one of the namespaces; it must succeed. */
static inline void rig_run(int ns, const char *command)
{
	rig_enter(ns);
	if (system(command) != 0)
		fail_msg("'%s' failed", command);
	rig_enter(rig_here);
}

static inline bool rig_tells(int ns, const char *command)
{
	int status;

	rig_enter(ns);
	status = system(command);
	rig_enter(rig_here);
	return status == 0;
}

static inline int net_rig_setup(void **state)
{
	char command[128];

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	rig_there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (system("ip link set lo up") != 0 || unshare(CLONE_NEWNET) < 0)
		return -1;
	rig_here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	snprintf(command, sizeof(command), "ip link set peer0 netns /proc/%d/fd/%d", getpid(),
		 rig_there);
	rig_run(rig_here, "ip link set lo up && ip link add eth0 type veth peer name peer0");
	rig_run(rig_here, command);
	rig_run(rig_here, "ip link set eth0 address 02:00:00:00:09:02 &&"
			  "ip addr add 10.9.0.2/24 brd + dev eth0 && ip addr add fd09::2/64 dev eth0 nodad &&"
			  "ip link set eth0 up");
	rig_run(rig_there, "ip link set peer0 address 02:00:00:00:09:01 &&"
			   "ip addr add 10.9.0.1/24 dev peer0 && ip addr add fd09::1/64 dev peer0 nodad &&"
			   "ip link set peer0 up");
	/* The kernel adds the link-local address on its own, a little later. */
	rig_run(rig_here, "timeout 200 sh -c 'until ip -6 addr show eth0 | grep -q fe80; do sleep .01; done'");
	if (netlink_open(&rig_nl, 0, NULL) < 0)
		return -1;
	return leaks_setup(state);
}

static inline int net_rig_teardown(void **state)
{
	int r = leaks_teardown(state);

	netlink_close(&rig_nl);
	close(rig_here);
	close(rig_there);
	return r;
}

#define rig_test(f) cmocka_unit_test_setup_teardown(f, net_rig_setup, net_rig_teardown)

/* A packet socket on an interface of a namespace, for one protocol. */
static inline int rig_packet_socket(int ns, const char *interface, uint16_t protocol)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	int fd;

	rig_enter(ns);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));
	assert_true(fd >= 0);
	address.sll_ifindex = (int)if_nametoindex(interface);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	rig_enter(rig_here);
	return fd;
}

/*
 * The next frame of EtherType @type; 0: none came (a hang). @header bytes stand before the frame (a
 * tap's).
 */
static inline size_t rig_receive(int fd, unsigned char *frame, size_t size, size_t header,
				 uint16_t type)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	while (poll(&p, 1, RIG_WAIT_MS) == 1) {
		n = read(fd, frame, size);
		assert_true(n >= 0);
		if ((size_t)n >= header + ETH_HLEN && frame[header + 12] == type >> 8 &&
		    frame[header + 13] == (type & 0xff))
			return (size_t)n;
	}
	return 0;
}

#endif
