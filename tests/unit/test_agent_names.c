/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name servers of the guest's loopback interface, in a network namespace and a cgroup of this test.
 * The test is the workload that asks and the host that answers. Needs root and BPF.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/names.h"
#include "common/dns_stream.h"
#include "common/io.h"
#include "tests/unit/check_leaks.h"
#include "tests/unit/own_clock.h"
#include "tests/unit/settle.h"

/* Longer than this is a hang, in seconds. */
#define GUARD_S 200

static const uint8_t docker[4] = { 127, 0, 0, 11 };
static char top[] = "/tmp/onggi-names-XXXXXX", cgroup[64];
static struct loop *loop;
static struct names *names;

/* ---- the host's side ---- */

/* The last query that was handed out. */
static struct {
	int code; /* 1: none yet */
	uint64_t id;
	uint8_t server[4];
	bool tcp;
	size_t len;
	uint8_t data[DNS_MESSAGE_MAX];
} query;

static void on_query(int code, const struct names_query *q, void *userdata)
{
	(void)userdata;
	query.code = code;
	if (code < 0)
		return;
	query.id = q->id;
	memcpy(query.server, q->server, sizeof(query.server));
	query.tcp = q->tcp;
	query.len = q->len;
	memcpy(query.data, q->data, q->len);
}

static void ask(void)
{
	query.code = 1;
	names_next(names, on_query, NULL);
}

/* The query that was asked for has come: with the clock standing, only that and the alarm end the wait. */
static void await_query(void)
{
	while (query.code == 1)
		turn(loop);
	assert_int_equal(query.code, 0);
}

static void take_query(void)
{
	ask();
	await_query();
}

static bool no_query_comes(void)
{
	ask();
	settle(loop);
	return query.code == 1;
}

/* ---- the workload's side ---- */

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
	return a;
}

static int open_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static int connected(int type)
{
	const struct sockaddr_in a = at("127.0.0.11", 53);
	int fd = open_socket(AF_INET, type);

	assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void fill(uint8_t *data, size_t len, uint8_t seed)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(seed + i * 7 + i / 251);
}

static void wait_readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	while (poll(&pfd, 1, 0) == 0)
		turn(loop);
}

static void send_stream(int fd, const uint8_t *data, size_t len)
{
	const uint8_t head[2] = { (uint8_t)(len >> 8), (uint8_t)len };

	assert_int_equal(write(fd, head, 1), 1);
	assert_int_equal(write(fd, head + 1, 1), 1);
	assert_int_equal(io_write_all(fd, data, len), 0);
}

static void expect_stream(int fd, const uint8_t *want, size_t len)
{
	struct dns_stream s = { 0 };
	const uint8_t *got;
	size_t got_len;
	int rc;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((rc = dns_stream_read(&s, fd)) == 0)
		wait_readable(fd);
	assert_int_equal(rc, 1);
	got = dns_stream_message(&s, &got_len);
	assert_int_equal(got_len, len);
	assert_memory_equal(got, want, len);
	dns_stream_reset(&s);
	fcntl(fd, F_SETFL, 0);
}

/* ---- a world for each claim ---- */

static void lo_up(void)
{
	int fd = open_socket(AF_INET, SOCK_DGRAM);
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static int enter_world(void **state)
{
	char pid[16];

	settle_pin();
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_non_null(mkdtemp(top));
	assert_int_equal(mount("cgroup2", top, "cgroup2", 0, NULL), 0);
	snprintf(cgroup, sizeof(cgroup), "%s/onggi-test-names-%d", top, (int)getpid());
	assert_int_equal(mkdir(cgroup, 0755), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(chdir(cgroup), 0);
	assert_int_equal(io_write_file(AT_FDCWD, "cgroup.procs", pid, strlen(pid)), 0);
	return 0;
}

static int leave_world(void **state)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(chdir(top), 0);
	assert_int_equal(io_write_file(AT_FDCWD, "cgroup.procs", pid, strlen(pid)), 0);
	assert_int_equal(rmdir(cgroup), 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(umount2(top, MNT_DETACH), 0);
	return rmdir(top);
}

static int setup(void **state)
{
	leaks_setup(state);
	alarm(GUARD_S);
	clock_stop();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	lo_up();
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(names_create(loop, cgroup, &names), 0);
	assert_int_equal(names_serve(names, docker, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	names_destroy(names);
	loop_destroy(loop);
	clock_run();
	alarm(0);
	return leaks_teardown(state);
}

/* ---- claims ---- */

static void exchange_datagram(int fd, size_t len, size_t answer_len, bool is_connected)
{
	static uint8_t data[DNS_MESSAGE_MAX], answer[DNS_MESSAGE_MAX], got[DNS_MESSAGE_MAX + 1];
	const struct sockaddr_in to = at("127.0.0.11", 53);
	struct sockaddr_in from = { 0 };
	socklen_t from_len = sizeof(from);

	fill(data, len, 3);
	fill(answer, answer_len, 5);
	assert_int_equal(is_connected ? send(fd, data, len, 0) :
					sendto(fd, data, len, 0, (const struct sockaddr *)&to, sizeof(to)),
			 (ssize_t)len);
	take_query();
	assert_memory_equal(query.server, docker, 4);
	assert_false(query.tcp);
	assert_int_equal(query.len, len);
	assert_memory_equal(query.data, data, len);
	names_answer(names, query.id, answer, answer_len);
	wait_readable(fd);
	assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &from_len), (ssize_t)answer_len);
	assert_memory_equal(got, answer, answer_len);
	/* Resolvers drop answers of others than they asked. */
	assert_int_equal(from.sin_addr.s_addr, to.sin_addr.s_addr);
	assert_int_equal(ntohs(from.sin_port), 53);
}

static void datagrams_go_to_the_host_and_come_back_from_port_53(void **state)
{
	int fd = connected(SOCK_DGRAM), loose = open_socket(AF_INET, SOCK_DGRAM);

	exchange_datagram(fd, 12, 12, true);
	exchange_datagram(fd, NAMES_UDP_QUERY_MAX, 60000, true);
	exchange_datagram(loose, 50, 512, false);
	close(fd);
	close(loose);
}

static void ipv6_sockets_reach_it_by_its_mapped_address(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(53) }, from = { 0 };
	uint8_t data[40] = { 1 }, got[64];
	socklen_t len = sizeof(from);
	int fd;

	assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.11", &to.sin6_addr), 1);
	for (int with_connect = 0; with_connect < 2; with_connect++) {
		fd = open_socket(AF_INET6, SOCK_DGRAM);
		if (with_connect)
			assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		assert_int_equal(sendto(fd, data, sizeof(data), 0, with_connect ? NULL : (struct sockaddr *)&to,
					with_connect ? 0 : sizeof(to)),
				 sizeof(data));
		take_query();
		names_answer(names, query.id, data, sizeof(data));
		wait_readable(fd);
		assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len), sizeof(data));
		assert_int_equal(ntohs(from.sin6_port), 53);
		close(fd);
	}
	fd = open_socket(AF_INET6, SOCK_STREAM);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	send_stream(fd, data, sizeof(data));
	take_query();
	assert_true(query.tcp);
	close(fd);
}

static void streams_carry_messages_of_any_length(void **state)
{
	static const size_t lengths[][2] = { { 12, 12 }, { 65535, 65535 }, { 500, 20000 }, { 12, 65535 } };
	static uint8_t data[DNS_MESSAGE_MAX], answer[DNS_MESSAGE_MAX];
	int fd = connected(SOCK_STREAM);

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		fill(data, lengths[i][0], (uint8_t)i);
		fill(answer, lengths[i][1], (uint8_t)(i + 9));
		send_stream(fd, data, lengths[i][0]);
		take_query();
		assert_true(query.tcp);
		assert_int_equal(query.len, lengths[i][0]);
		assert_memory_equal(query.data, data, query.len);
		names_answer(names, query.id, answer, lengths[i][1]);
		expect_stream(fd, answer, lengths[i][1]);
	}
	close(fd);
}

static void second_message_of_a_stream_waits_for_the_first_answer(void **state)
{
	uint8_t one[20] = { 1 }, two[20] = { 2 };
	int fd = connected(SOCK_STREAM);

	send_stream(fd, one, sizeof(one));
	send_stream(fd, two, sizeof(two));
	take_query();
	assert_int_equal(query.data[0], 1);
	uint64_t first = query.id;

	assert_true(no_query_comes());
	names_answer(names, first, one, sizeof(one));
	expect_stream(fd, one, sizeof(one));
	await_query();
	assert_int_equal(query.data[0], 2);
	names_answer(names, query.id, two, sizeof(two));
	expect_stream(fd, two, sizeof(two));
	close(fd);
}

static void no_answer_closes_a_stream_and_leaves_a_datagram_waiting(void **state)
{
	uint8_t data[20] = { 1 }, got[20];
	int tcp = connected(SOCK_STREAM), udp = connected(SOCK_DGRAM);
	struct pollfd pfd = { .fd = udp, .events = POLLIN };

	send_stream(tcp, data, sizeof(data));
	take_query();
	names_answer(names, query.id, NULL, 0);
	wait_readable(tcp);
	assert_int_equal(read(tcp, got, sizeof(got)), 0);
	assert_int_equal(send(udp, data, sizeof(data), 0), sizeof(data));
	take_query();
	names_answer(names, query.id, NULL, 0);
	settle(loop);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	close(tcp);
	close(udp);
}

static void workload_may_serve_port_53_of_all_addresses(void **state)
{
	const struct sockaddr_in any = at("0.0.0.0", 53), lo = at("127.0.0.1", 53);
	int udp = open_socket(AF_INET, SOCK_DGRAM), tcp = open_socket(AF_INET, SOCK_STREAM);
	int client = open_socket(AF_INET, SOCK_DGRAM), fd = connected(SOCK_DGRAM);
	uint8_t got[20];

	assert_int_equal(bind(udp, (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(bind(tcp, (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(tcp, 1), 0);
	assert_int_equal(sendto(client, "hello", 5, 0, (const struct sockaddr *)&lo, sizeof(lo)), 5);
	assert_int_equal(recv(udp, got, sizeof(got), 0), 5);
	exchange_datagram(fd, 30, 30, true);
	close(udp);
	close(tcp);
	close(client);
	close(fd);
}

/* A nested engine has a name server of its own at that address. */
static void other_network_namespaces_are_left_alone(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		const struct sockaddr_in own = at("127.0.0.11", 53);
		int server, client;
		uint8_t got[20];

		alarm(GUARD_S);
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		lo_up();
		server = open_socket(AF_INET, SOCK_DGRAM);
		if (bind(server, (const struct sockaddr *)&own, sizeof(own)) < 0)
			_exit(2);
		client = connected(SOCK_DGRAM);
		_exit(send(client, "hello", 5, 0) == 5 && recv(server, got, sizeof(got), 0) == 5 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void datagrams_that_are_no_queries_are_dropped(void **state)
{
	static uint8_t data[NAMES_UDP_QUERY_MAX + 1];
	int fd = connected(SOCK_DGRAM);

	assert_int_equal(send(fd, data, 0, 0), 0);
	assert_int_equal(send(fd, data, DNS_MESSAGE_MIN - 1, 0), DNS_MESSAGE_MIN - 1);
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	assert_true(no_query_comes());
	assert_int_equal(send(fd, data, 12, 0), 12);
	await_query();
	assert_int_equal(query.len, 12);
	close(fd);
}

static void stream_that_is_none_is_closed(void **state)
{
	int fd = connected(SOCK_STREAM);
	uint8_t got;

	assert_int_equal(write(fd, "\0\013hello world", 13), 13);
	wait_readable(fd);
	assert_true(read(fd, &got, 1) <= 0);
	close(fd);
}

static void flood_of_queries_is_bounded_and_passes(void **state)
{
	int fd = connected(SOCK_DGRAM);
	uint8_t data[100] = { 0 };
	unsigned int taken = 0;

	for (int i = 0; i < 1000; i++) {
		data[0] = (uint8_t)i;
		if (send(fd, data, sizeof(data), MSG_DONTWAIT) < 0)
			break;
	}
	settle(loop);
	for (ask(); query.code == 0; ask()) {
		/* In order of arrival. */
		assert_int_equal(query.data[0], (uint8_t)taken);
		taken++;
		assert_true(taken <= NAMES_QUERIES_MAX);
	}
	assert_int_equal(taken, NAMES_QUERIES_MAX);
	/* None is answered yet: there is no room for another. */
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	settle(loop);
	assert_int_equal(query.code, 1);
	for (uint64_t id = 1; id <= NAMES_QUERIES_MAX; id++)
		names_answer(names, id, data, 12);
	data[0] = 77;
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	await_query();
	assert_int_equal(query.data[0], 77);
	close(fd);
}

static void connections_beyond_the_limit_wait_for_one_to_end(void **state)
{
	int fds[NAMES_CONNS_MAX + 1];
	uint8_t data[20] = { 1 };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = connected(SOCK_STREAM);
	settle(loop);
	send_stream(fds[NAMES_CONNS_MAX], data, sizeof(data));
	assert_true(no_query_comes());
	close(fds[0]);
	await_query();
	for (size_t i = 1; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void answers_to_nobody_have_no_effect(void **state)
{
	int udp = connected(SOCK_DGRAM), tcp = connected(SOCK_STREAM);
	uint8_t data[20] = { 1 }, got[40];

	names_answer(names, 0, data, sizeof(data));
	names_answer(names, 12345, data, sizeof(data));
	assert_int_equal(send(udp, data, sizeof(data), 0), sizeof(data));
	send_stream(tcp, data, sizeof(data));
	take_query();
	names_answer(names, query.id, data, sizeof(data));
	names_answer(names, query.id, data, sizeof(data));
	take_query();
	close(tcp);
	settle(loop);
	names_answer(names, query.id, data, sizeof(data));
	settle(loop);
	names_answer(names, query.id, data, sizeof(data));
	if (!query.tcp) {
		assert_int_equal(recv(udp, got, sizeof(got), 0), sizeof(data));
		settle(loop);
		assert_true(recv(udp, got, sizeof(got), MSG_DONTWAIT) < 0);
	}
	close(udp);
}

static int canceled;

static void on_canceled(int code, const struct names_query *q, void *userdata)
{
	assert_null(q);
	assert_ptr_equal(userdata, &canceled);
	canceled = code;
}

static void new_request_for_the_next_query_replaces_the_old(void **state)
{
	int fd = connected(SOCK_DGRAM);
	uint8_t data[20] = { 1 };

	names_next(names, on_canceled, &canceled);
	ask();
	assert_int_equal(canceled, -ECANCELED);
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	await_query();
	assert_int_equal(query.code, 0);
	close(fd);
}

static void several_servers_are_told_apart(void **state)
{
	const struct sockaddr_in other = at("127.0.0.53", 53);
	int fd = open_socket(AF_INET, SOCK_DGRAM);
	uint8_t data[20] = { 1 };

	assert_int_equal(names_serve(names, (const uint8_t[]){ 127, 0, 0, 53 }, NULL), 0);
	assert_int_equal(sendto(fd, data, sizeof(data), 0, (const struct sockaddr *)&other, sizeof(other)), 20);
	take_query();
	assert_memory_equal(query.server, &other.sin_addr, 4);
	close(fd);
}

static void impossible_servers_are_refused(void **state)
{
	struct err err = ERR_INIT;
	uint8_t address[4] = { 127, 0, 1, 0 };

	assert_int_equal(names_serve(names, (const uint8_t[]){ 10, 0, 0, 1 }, &err), -EINVAL);
	assert_string_equal(err.text, "name server 10.0.0.1 is not on the loopback interface");
	/* Again is no error; one is there from the beginning. */
	assert_int_equal(names_serve(names, docker, NULL), 0);
	for (unsigned int i = 1; i < NAMES_SERVERS_MAX; i++) {
		address[3] = (uint8_t)i;
		assert_int_equal(names_serve(names, address, NULL), 0);
	}
	address[3] = 200;
	assert_int_equal(names_serve(names, address, &err), -E2BIG);
}

#define claim(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(datagrams_go_to_the_host_and_come_back_from_port_53),
		claim(ipv6_sockets_reach_it_by_its_mapped_address),
		claim(streams_carry_messages_of_any_length),
		claim(second_message_of_a_stream_waits_for_the_first_answer),
		claim(no_answer_closes_a_stream_and_leaves_a_datagram_waiting),
		claim(workload_may_serve_port_53_of_all_addresses),
		claim(other_network_namespaces_are_left_alone),
		claim(datagrams_that_are_no_queries_are_dropped),
		claim(stream_that_is_none_is_closed),
		claim(flood_of_queries_is_bounded_and_passes),
		claim(connections_beyond_the_limit_wait_for_one_to_end),
		claim(answers_to_nobody_have_no_effect),
		claim(new_request_for_the_next_query_replaces_the_old),
		claim(several_servers_are_told_apart),
		claim(impossible_servers_are_refused),
	};

	return cmocka_run_group_tests(tests, enter_world, leave_world);
}
