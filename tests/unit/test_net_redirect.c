/* SPDX-License-Identifier: Apache-2.0 */
/* Taps and redirects against the real kernel: what leaves one side must arrive at the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sys/ioctl.h>

#include "net/redirect.h"
#include "net/scan.h"
#include "net/tap.h"
#include "tests/unit/net_rig.h"
#include "tests/unit/settle.h"

/* A frame header of a tap with IFF_VNET_HDR as it is born. */
#define VNET_BYTES sizeof(struct virtio_net_hdr)
/*
 * Silence is told by one unanswered echo. Whoever must answer is asked every second, up to a
 * deadline, and by a kernel that has forgotten the silence: else it asks for the neighbour again
 * only as its timer says, or gives up, and an echo doesn't wait that long.
 */
#define SILENT "! ping -c 1 -W 1 -n 10.9.0.2 >/dev/null 2>&1"
#define SILENT6 "! ping -6 -c 1 -W 1 -n fd09::2 >/dev/null 2>&1"
#define ANSWERS "ip neigh flush dev peer0; ping -c 1 -w 200 -n 10.9.0.2 >/dev/null 2>&1"
#define ANSWERS6 "ip neigh flush dev peer0; ping -6 -c 1 -w 200 -n fd09::2 >/dev/null 2>&1"
#define FRAME_MAX 65600

static void make_tap(int *ret_fd, uint32_t *ret_ifindex)
{
	struct err err = ERR_INIT;

	if (net_tap_create(&rig_nl, 1500, ret_fd, ret_ifindex, &err) < 0)
		fail_msg("%s", err.text);
}

static void join(int *ret_fd, uint32_t *ret_ifindex)
{
	uint32_t eth0 = if_nametoindex("eth0");
	struct err err = ERR_INIT;

	make_tap(ret_fd, ret_ifindex);
	if (net_redirect_add(&rig_nl, eth0, *ret_ifindex, &err) < 0 ||
	    net_redirect_add(&rig_nl, *ret_ifindex, eth0, &err) < 0)
		fail_msg("%s", err.text);
}

static size_t make_frame(unsigned char *frame, const char *to, const char *from, uint16_t type,
			 size_t payload)
{
	memset(frame, 0x5a, ETH_HLEN + payload);
	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = (unsigned char)(type >> 8);
	frame[13] = (unsigned char)type;
	return ETH_HLEN + payload;
}

/* Experimental EtherTypes: nobody else sends those. */
#define TYPE_IN 0x88b5
#define TYPE_OUT 0x88b6

static void a_tap_dies_with_its_descriptor(void **state)
{
	uint32_t ifindex;
	char name[IFNAMSIZ];
	int fd;

	make_tap(&fd, &ifindex);
	assert_non_null(if_indextoname(ifindex, name));
	assert_memory_equal(name, NET_TAP_PREFIX, strlen(NET_TAP_PREFIX));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	close(fd);
	assert_null(if_indextoname(ifindex, name));
}

static void taps_have_names_of_their_own_and_no_addresses(void **state)
{
	uint32_t first, second;
	int fds[2];

	make_tap(&fds[0], &first);
	make_tap(&fds[1], &second);
	assert_int_not_equal(first, second);
	assert_true(rig_tells(rig_here, "test -z \"$(ip -o addr show | grep onggi)\""));
	assert_true(rig_tells(rig_here, "test $(ip -o link show up | grep -c onggi) = 2"));
	close(fds[0]);
	close(fds[1]);
}

static void a_tap_takes_its_mtu_and_another_one_later(void **state)
{
	struct err err = ERR_INIT;
	uint32_t ifindex;
	int fd;

	assert_int_equal(net_tap_create(&rig_nl, 9000, &fd, &ifindex, &err), 0);
	assert_true(rig_tells(rig_here, "ip -o link show | grep onggi | grep -q 'mtu 9000'"));
	assert_int_equal(net_tap_set_mtu(&rig_nl, ifindex, 1280, NULL), 0);
	assert_true(rig_tells(rig_here, "ip -o link show | grep onggi | grep -q 'mtu 1280'"));
	close(fd);
	assert_true(net_tap_create(&rig_nl, 7, &fd, &ifindex, &err) < 0);
	assert_non_null(strstr(err.text, "with an MTU of 7"));
	assert_true(rig_tells(rig_here, "! ip -o link show | grep -q onggi"));
	assert_int_equal(net_tap_set_mtu(&rig_nl, ifindex, 1280, NULL), -ENODEV);
}

static void frames_pass_both_ways_unchanged(void **state)
{
	unsigned char sent[2048], got[2048] = { 0 };
	uint32_t tap_index;
	int tap, peer;
	size_t n;

	join(&tap, &tap_index);
	peer = rig_packet_socket(rig_there, "peer0", ETH_P_ALL);
	n = make_frame(sent, RIG_MAC, RIG_PEER_MAC, TYPE_IN, 1500);
	assert_int_equal(write(peer, sent, n), n);
	assert_int_equal(rig_receive(tap, got, sizeof(got), VNET_BYTES, TYPE_IN),
			 VNET_BYTES + n);
	assert_memory_equal(got + VNET_BYTES, sent, n);
	memset(got, 0, VNET_BYTES);
	n = make_frame(got + VNET_BYTES, RIG_PEER_MAC, RIG_MAC, TYPE_OUT, 1500);
	memcpy(sent, got + VNET_BYTES, n);
	assert_int_equal(write(tap, got, VNET_BYTES + n), VNET_BYTES + n);
	memset(got, 0, sizeof(got));
	assert_int_equal(rig_receive(peer, got, sizeof(got), 0, TYPE_OUT), n);
	assert_memory_equal(got, sent, n);
	close(peer);
	close(tap);
}

static void the_host_answers_to_nothing_while_redirected(void **state)
{
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	int tap;

	assert_true(rig_tells(rig_there, ANSWERS));
	assert_true(rig_tells(rig_there, ANSWERS6));
	join(&tap, &tap_index);
	/* What the host asks itself goes out still, and would tell its address. */
	rig_run(rig_here, "ip neigh replace 10.9.0.1 lladdr 02:00:00:00:09:01 dev eth0");
	rig_run(rig_there, "ip neigh flush dev peer0");
	assert_true(rig_tells(rig_there, SILENT));
	assert_true(rig_tells(rig_there, SILENT6));
	/* Not even to the question who has the address. */
	assert_false(rig_tells(rig_there, "ip neigh show 10.9.0.2 | grep -q lladdr"));
	/* Its own addresses are still there, for engines to see. */
	assert_true(rig_tells(rig_here, "ip addr show eth0 | grep -q 10.9.0.2/24"));
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	assert_true(rig_tells(rig_there, ANSWERS));
	assert_true(rig_tells(rig_there, ANSWERS6));
	close(tap);
}

static int bound_to(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* The port that the next datagram comes from. */
static uint16_t next_comes_from(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct sockaddr_in from = { 0 };
	socklen_t len = sizeof(from);
	char byte;

	assert_int_equal(poll(&pfd, 1, RIG_WAIT_MS), 1);
	assert_int_equal(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len), 1);
	return ntohs(from.sin_port);
}

/* For after the arrival of a later one: all of them leave from one processor, and keep their order. */
static bool has_none(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0;
}

/* A datagram from @from at the other side to @to here. */
static void datagram(int from, int to)
{
	char command[256];

	snprintf(command, sizeof(command), "/usr/bin/python3 -c \"import socket; s = socket.socket(2, 2); "
		 "s.bind(('', %d)); s.sendto(b'x', ('10.9.0.2', %d))\"", from, to);
	rig_run(rig_there, command);
}

static void answers_of_name_servers_to_spared_ports_stay_here(void **state)
{
	int tap, first = bound_to(NET_SPARED_PORT_FIRST), last = bound_to(NET_SPARED_PORT_LAST);
	int before = bound_to(NET_SPARED_PORT_FIRST - 1), after = bound_to(NET_SPARED_PORT_LAST + 1);
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	char command[128], mac[32] = "";
	FILE *f;

	join(&tap, &tap_index);
	assert_int_equal(net_redirect_spare_names(&rig_nl, eth0, tap_index, NULL), 0);
	f = popen("ip -o link show dev eth0 | sed 's/.*ether //; s/ .*//'", "re");
	assert_non_null(fgets(mac, sizeof(mac), f));
	pclose(f);
	mac[strcspn(mac, "\n")] = '\0';
	snprintf(command, sizeof(command), "ip neigh replace 10.9.0.2 lladdr %s dev peer0", mac);
	rig_run(rig_there, command);
	datagram(54, NET_SPARED_PORT_FIRST);
	datagram(53, NET_SPARED_PORT_FIRST);
	assert_int_equal(next_comes_from(first), 53);
	assert_true(has_none(first));
	datagram(53, NET_SPARED_PORT_FIRST - 1);
	datagram(53, NET_SPARED_PORT_LAST + 1);
	datagram(53, NET_SPARED_PORT_LAST);
	assert_int_equal(next_comes_from(last), 53);
	assert_true(has_none(before));
	assert_true(has_none(after));
	/* All of it goes with the redirect. */
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	assert_false(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q ingress"));
	for (size_t i = 0; i < 5; i++)
		close((const int[]){ tap, first, last, before, after }[i]);
}

static void a_removed_redirect_leaves_nothing_behind(void **state)
{
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	int tap;

	join(&tap, &tap_index);
	assert_true(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q ingress"));
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	assert_false(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q ingress"));
	assert_true(rig_tells(rig_here, "test -z \"$(tc filter show dev eth0 ingress)\""));
	/* Again is no error, nor is an interface that has gone. */
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	rig_run(rig_here, "ip link del eth0");
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	close(tap);
	assert_true(rig_tells(rig_here, "test $(ip -o link | wc -l) = 1"));
}

static void queues_and_filters_of_others_stay(void **state)
{
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	int tap;

	rig_run(rig_here, "tc qdisc add dev eth0 clsact &&"
			  "tc filter add dev eth0 ingress pref 5 protocol ip u32 match u32 0 0 flowid 1:1");
	join(&tap, &tap_index);
	/* The other's filter comes first: IP is his, though ARP is not. */
	rig_run(rig_here, "ip neigh replace 10.9.0.1 lladdr 02:00:00:00:09:01 dev eth0");
	rig_run(rig_there, "ip neigh replace 10.9.0.2 lladdr 02:00:00:00:09:02 dev peer0");
	assert_true(rig_tells(rig_there, ANSWERS));
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	assert_true(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q clsact"));
	assert_true(rig_tells(rig_here, "tc filter show dev eth0 ingress | grep -q 'pref 5 '"));
	assert_false(rig_tells(rig_here, "tc filter show dev eth0 ingress | grep -q mirred"));
	rig_run(rig_here, "tc qdisc del dev eth0 clsact");
	/* A queue of ours that somebody else has come to use stays as well. */
	assert_int_equal(net_redirect_add(&rig_nl, eth0, tap_index, NULL), 0);
	rig_run(rig_here, "tc filter add dev eth0 ingress pref 5 protocol ip u32 match u32 0 0 flowid 1:1");
	assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
	assert_true(rig_tells(rig_here, "tc filter show dev eth0 ingress | grep -q 'pref 5 '"));
	close(tap);
}

static void what_a_killed_holder_left_is_removed(void **state)
{
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	unsigned char frame[256];
	int tap, peer;
	size_t n;

	join(&tap, &tap_index);
	close(tap);
	/* The filter outlives the tap, and swallows everything. */
	assert_true(rig_tells(rig_here, "tc filter show dev eth0 ingress | grep -q mirred"));
	assert_true(rig_tells(rig_there, SILENT));
	/* A new one takes its place. */
	join(&tap, &tap_index);
	peer = rig_packet_socket(rig_there, "peer0", TYPE_OUT);
	n = make_frame(frame, RIG_MAC, RIG_PEER_MAC, TYPE_IN, 100);
	assert_int_equal(write(peer, frame, n), n);
	assert_int_not_equal(rig_receive(tap, frame, sizeof(frame), VNET_BYTES, TYPE_IN), 0);
	close(peer);
	close(tap);
	assert_int_equal(net_redirect_remove_all(&rig_nl, NULL), 0);
	assert_false(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q ingress"));
	assert_true(rig_tells(rig_there, ANSWERS));
	assert_int_equal(net_redirect_remove_all(&rig_nl, NULL), 0);
	assert_int_equal(net_redirect_add(&rig_nl, 9999, eth0, NULL), -ENODEV);
	assert_true(net_redirect_add(&rig_nl, eth0, 9999, NULL) < 0);
	assert_false(rig_tells(rig_here, "tc qdisc show dev eth0 | grep -q ingress"));
}

/*
 * A large TCP segment of the guest, with its checksum not computed, must arrive as such, not be
 * dropped nor cut.
 */
static void segments_pass_with_checksum_and_cutting_undone(void **state)
{
	static unsigned char frame[FRAME_MAX], got[FRAME_MAX];
	struct virtio_net_hdr *h = (struct virtio_net_hdr *)frame;
	const unsigned int offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	unsigned char *ip = frame + VNET_BYTES + ETH_HLEN;
	static const size_t payload = 8000, ip_len = 20 + 20 + 8000;
	int tap, peer, on = 1;
	uint32_t tap_index, sum = 0;
	ssize_t n;

	join(&tap, &tap_index);
	assert_int_equal(ioctl(tap, TUNSETOFFLOAD, offload), 0);
	peer = rig_packet_socket(rig_there, "peer0", ETH_P_IP);
	assert_int_equal(setsockopt(peer, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	make_frame(frame + VNET_BYTES, RIG_PEER_MAC, RIG_MAC, ETH_P_IP, ip_len);
	*h = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				      .hdr_len = ETH_HLEN + 40,
				      .gso_size = 1448,
				      .csum_start = ETH_HLEN + 20,
				      .csum_offset = 16 };
	memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\x06\0\0\x0a\x09\0\x02\x0a\x09\0\x01", 20);
	ip[2] = (unsigned char)(ip_len >> 8);
	ip[3] = (unsigned char)ip_len;
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = ~((sum & 0xffff) + (sum >> 16));
	ip[10] = (unsigned char)(sum >> 8);
	ip[11] = (unsigned char)sum;
	memcpy(ip + 20, "\x30\x39\x00\x50\0\0\0\1\0\0\0\1\x50\x10\xff\xff\0\0\0\0", 20);
	n = (ssize_t)(VNET_BYTES + ETH_HLEN + ip_len);
	assert_int_equal(write(tap, frame, (size_t)n), n);
	assert_int_equal(rig_receive(peer, got, sizeof(got), VNET_BYTES, ETH_P_IP), n);
	assert_int_equal(((struct virtio_net_hdr *)got)->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	assert_int_equal(((struct virtio_net_hdr *)got)->gso_size, 1448);
	assert_memory_equal(got + n - payload, frame + n - payload, payload);
	close(peer);
	close(tap);
}

static void a_scan_does_not_see_taps_of_ours(void **state)
{
	_cleanup_(net_state_free_p) struct net_state *before = NULL, *after = NULL;
	uint32_t tap_index;
	int tap;

	assert_int_equal(net_scan(&rig_nl, &before, NULL), 0);
	join(&tap, &tap_index);
	assert_int_equal(net_scan(&rig_nl, &after, NULL), 0);
	assert_true(net_state_equal(before, after));
	close(tap);
}

static void fifty_rounds_leave_nothing(void **state)
{
	uint32_t tap_index, eth0 = if_nametoindex("eth0");
	int tap;

	for (int i = 0; i < 50; i++) {
		join(&tap, &tap_index);
		assert_int_equal(net_redirect_remove(&rig_nl, eth0, NULL), 0);
		close(tap);
	}
	assert_true(rig_tells(rig_here, "test $(ip -o link | wc -l) = 2"));
	assert_true(rig_tells(rig_here, "! tc qdisc show dev eth0 | grep -q ingress"));
	/* The kernel takes filters apart when nobody can be looking at them any more. */
	assert_true(rig_tells(rig_here, "timeout 200 sh -c 'while tc actions ls action mirred | grep -q index; do "
					"sleep .05; done'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(a_tap_dies_with_its_descriptor),
		rig_test(taps_have_names_of_their_own_and_no_addresses),
		rig_test(a_tap_takes_its_mtu_and_another_one_later),
		rig_test(frames_pass_both_ways_unchanged),
		rig_test(the_host_answers_to_nothing_while_redirected),
		rig_test(answers_of_name_servers_to_spared_ports_stay_here),
		rig_test(a_removed_redirect_leaves_nothing_behind),
		rig_test(queues_and_filters_of_others_stay),
		rig_test(what_a_killed_holder_left_is_removed),
		rig_test(segments_pass_with_checksum_and_cutting_undone),
		rig_test(a_scan_does_not_see_taps_of_ours),
		rig_test(fifty_rounds_leave_nothing),
	};

	settle_pin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
