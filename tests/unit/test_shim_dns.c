/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for a guest, from the monitor's side: an agent that may lie asks through the monitor, a
 * server of this test listens in the network namespace that both are in. Needs root.
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
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/dns_stream.h"
#include "common/io.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"
#include "shim/resolv.h"
#include "shim/sandbox.h"
#include "shim/sandbox_dns.h"
#include "tests/unit/check_leaks.h"
#include "tests/unit/own_clock.h"
#include "tests/unit/settle.h"

/* Longer than this is a hang, in seconds. */
#define GUARD_S 200
#define ID_FIRST 1000

static const uint8_t docker[4] = { 127, 0, 0, 11 };

static struct loop *loop;
static struct ttrpc_server *server;
static struct sandbox sandbox;
static int udp = -EBADF, tcp = -EBADF;

/* What the agent does, and was told. */
static struct {
	unsigned int served, fetches, answers;
	uint8_t servers[8][4];
	struct ttrpc_call *waiting; /* NextQuery */
	bool flood, deaf;
	struct ttrpc_call *held[DNS_QUERIES_MAX]; /* AnswerQuery that is not answered */
	size_t n_held;
	uint64_t next_id;
	uint64_t answer_id;
	size_t answer_len;
	uint8_t answer[DNS_MESSAGE_MAX];
} agent;

/* ---- the agent ---- */

static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

static void on_serve(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ServeNamesRequest *request = message;

	(void)userdata;
	assert_int_equal(request->n_servers, 1);
	memcpy(agent.servers[agent.served++], request->servers[0].data, 4);
	ttrpc_call_reply(call, &empty.base);
}

static void give_query(const uint8_t address[4], bool by_tcp, const void *query, size_t len)
{
	Onggi__Agent__V1__NextQueryResponse response = ONGGI__AGENT__V1__NEXT_QUERY_RESPONSE__INIT;

	assert_non_null(agent.waiting);
	response.id = agent.next_id++;
	response.server = (ProtobufCBinaryData){ .len = 4, .data = (uint8_t *)(uintptr_t)address };
	response.tcp = by_tcp;
	response.query = (ProtobufCBinaryData){ .len = len, .data = (uint8_t *)(uintptr_t)query };
	ttrpc_call_reply(TAKE_PTR(agent.waiting), &response.base);
}

static void on_fetch(struct ttrpc_call *call, const void *message, void *userdata)
{
	static const uint8_t query[12] = { 7, 7 };

	(void)message;
	(void)userdata;
	assert_null(agent.waiting);
	agent.fetches++;
	agent.waiting = call;
	if (agent.flood)
		give_query(docker, false, query, sizeof(query));
}

static void on_answer(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__AnswerQueryRequest *request = message;

	(void)userdata;
	agent.answers++;
	agent.answer_id = request->id;
	agent.answer_len = request->answer.len;
	if (request->answer.len)
		memcpy(agent.answer, request->answer.data, request->answer.len);
	if (agent.deaf) {
		assert_true(agent.n_held < DNS_QUERIES_MAX);
		agent.held[agent.n_held++] = call;
	} else {
		ttrpc_call_reply(call, &empty.base);
	}
}

static const struct ttrpc_method methods[] = {
	{ "ServeNames", &onggi__agent__v1__serve_names_request__descriptor, &onggi__agent__v1__empty__descriptor,
	  on_serve },
	{ "NextQuery", &onggi__agent__v1__empty__descriptor, &onggi__agent__v1__next_query_response__descriptor,
	  on_fetch },
	{ "AnswerQuery", &onggi__agent__v1__answer_query_request__descriptor, &onggi__agent__v1__empty__descriptor,
	  on_answer },
};
static const struct ttrpc_service service = { .name = "onggi.agent.v1.Agent",
					      .methods = methods,
					      .n_methods = ARRAY_SIZE(methods) };

/* ---- a world for each claim ---- */

/* Run the loop until @condition holds: with the clock standing, only the test and the alarm end it. */
#define RUN_UNTIL(condition)     \
	do {                     \
		while (!(condition)) \
			turn(loop);  \
	} while (0)

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

static int bind_at(int type, const char *address)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(DNS_PORT) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int setup(void **state)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int pair[2];

	leaks_setup(state);
	alarm(GUARD_S);
	clock_stop();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(ioctl(udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), SIOCSIFFLAGS, &ifr), 0);
	close(udp);
	udp = bind_at(SOCK_DGRAM, "127.0.0.11");
	tcp = bind_at(SOCK_STREAM, "127.0.0.11");
	assert_int_equal(listen(tcp, 64), 0);
	memset(&agent, 0, sizeof(agent));
	agent.next_id = ID_FIRST;
	memset(&sandbox, 0, sizeof(sandbox));
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(ttrpc_server_create(loop, &service, 1, &server), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(ttrpc_server_add(server, pair[0], NULL, NULL), 0);
	assert_int_equal(ttrpc_client_create(loop, pair[1], NULL, NULL, &sandbox.agent), 0);
	sandbox.loop = loop;
	return 0;
}

static int teardown(void **state)
{
	ttrpc_client_destroy(TAKE_PTR(sandbox.agent));
	sandbox_dns_destroy(TAKE_PTR(sandbox.dns));
	ttrpc_server_destroy(server);
	if (agent.waiting)
		ttrpc_call_fail(TAKE_PTR(agent.waiting), TTRPC_CANCELED, "end of the test");
	loop_destroy(loop);
	clock_run();
	alarm(0);
	cleanup_close_p(&udp);
	cleanup_close_p(&tcp);
	return leaks_teardown(state);
}

static void look_at(const char *resolv)
{
	int fd = memfd_create("resolv.conf", MFD_CLOEXEC);

	assert_int_equal(io_write_all(fd, resolv, strlen(resolv)), 0);
	sandbox_dns_look(&sandbox, fd);
	close(fd);
}

/* The agent serves 127.0.0.11 and waits to be asked for a query. */
static void be_ready(void)
{
	look_at("nameserver 127.0.0.11\n");
	RUN_UNTIL(agent.waiting && agent.served == 1);
	assert_memory_equal(agent.servers[0], docker, 4);
}

/* ---- claims: queries ---- */

static void datagram_goes_to_the_server_and_its_answer_back(void **state)
{
	uint8_t query[100] = { 0xab, 0xcd, 1 }, got[200], answer[500] = { 0xab, 0xcd, 2 };
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	be_ready();
	give_query(docker, false, query, sizeof(query));
	RUN_UNTIL(readable(udp));
	assert_int_equal(recvfrom(udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len), sizeof(query));
	assert_memory_equal(got, query, sizeof(query));
	assert_int_equal(sendto(udp, answer, sizeof(answer), 0, (struct sockaddr *)&from, len), sizeof(answer));
	RUN_UNTIL(agent.answers == 1);
	assert_int_equal(agent.answer_id, ID_FIRST);
	assert_int_equal(agent.answer_len, sizeof(answer));
	assert_memory_equal(agent.answer, answer, sizeof(answer));
	/* The next one was asked for meanwhile. */
	assert_int_equal(agent.fetches, 2);
}

static void stream_goes_to_the_server_and_its_answer_back(void **state)
{
	static uint8_t query[DNS_MESSAGE_MAX], answer[DNS_MESSAGE_MAX], got[DNS_MESSAGE_MAX + 2];
	struct dns_stream out = { 0 };
	size_t done = 0;
	int conn;

	for (size_t i = 0; i < sizeof(query); i++) {
		query[i] = (uint8_t)(i * 3);
		answer[i] = (uint8_t)(i < 2 ? query[i] : i * 5);
	}
	be_ready();
	give_query(docker, true, query, sizeof(query));
	RUN_UNTIL(readable(tcp));
	conn = accept4(tcp, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	while (done < sizeof(got)) {
		ssize_t n = read(conn, got + done, sizeof(got) - done);

		if (n < 0)
			turn(loop);
		else
			done += (size_t)n;
	}
	assert_int_equal(got[0] << 8 | got[1], DNS_MESSAGE_MAX);
	assert_memory_equal(got + 2, query, sizeof(query));
	assert_int_equal(dns_stream_put(&out, answer, sizeof(answer)), 0);
	while (dns_stream_write(&out, conn) == 0)
		turn(loop);
	dns_stream_reset(&out);
	RUN_UNTIL(agent.answers == 1);
	assert_int_equal(agent.answer_len, sizeof(answer));
	assert_memory_equal(agent.answer, answer, sizeof(answer));
	close(conn);
}

static void answer_to_another_question_is_passed_over(void **state)
{
	uint8_t query[20] = { 1, 2 }, wrong[20] = { 2, 1 }, right[30] = { 1, 2, 9 }, got[200];
	int stranger = bind_at(SOCK_DGRAM, "127.0.0.12");
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	be_ready();
	give_query(docker, false, query, sizeof(query));
	RUN_UNTIL(readable(udp));
	recvfrom(udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len);
	sendto(udp, wrong, sizeof(wrong), 0, (struct sockaddr *)&from, len);
	sendto(udp, right, 5, 0, (struct sockaddr *)&from, len);
	right[2] = 8;
	sendto(stranger, right, sizeof(right), 0, (struct sockaddr *)&from, len);
	settle(loop);
	assert_false(agent.answers > 0);
	right[2] = 9;
	sendto(udp, right, sizeof(right), 0, (struct sockaddr *)&from, len);
	RUN_UNTIL(agent.answers == 1);
	assert_int_equal(agent.answer_len, sizeof(right));
	assert_int_equal(agent.answer[2], 9);
	close(stranger);
}

static void where_nobody_listens_there_is_no_answer_at_once(void **state)
{
	uint8_t query[20] = { 1, 2 };

	cleanup_close_p(&udp);
	cleanup_close_p(&tcp);
	be_ready();
	give_query(docker, false, query, sizeof(query));
	RUN_UNTIL(agent.answers == 1 && agent.waiting);
	assert_int_equal(agent.answer_len, 0);
	give_query(docker, true, query, sizeof(query));
	RUN_UNTIL(agent.answers == 2);
	assert_int_equal(agent.answer_len, 0);
	assert_int_equal(agent.answer_id, ID_FIRST + 1);
}

static void stream_that_makes_no_sense_is_no_answer(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} streams[] = { { "", 0 }, { "\0", 1 }, { "\0\5hello", 7 }, { "\0\14wrong-id-and-", 15 }, { "\1\0cut", 5 } };
	uint8_t query[20] = { 1, 2 };

	be_ready();
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		int conn;

		RUN_UNTIL(agent.waiting);
		give_query(docker, true, query, sizeof(query));
		RUN_UNTIL(readable(tcp));
		conn = accept4(tcp, NULL, NULL, SOCK_CLOEXEC);
		assert_int_equal(send(conn, streams[i].bytes, streams[i].len, MSG_NOSIGNAL), (ssize_t)streams[i].len);
		shutdown(conn, SHUT_WR);
		RUN_UNTIL(agent.answers == i + 1);
		assert_int_equal(agent.answer_len, 0);
		close(conn);
	}
}

static void silent_server_is_given_up_in_time(void **state)
{
	uint8_t query[20] = { 1, 2 };

	be_ready();
	give_query(docker, false, query, sizeof(query));
	RUN_UNTIL(agent.waiting);
	give_query(docker, true, query, sizeof(query));
	settle(loop);
	clock_ahead_ms += DNS_TIMEOUT_MS - 1;
	settle(loop);
	assert_int_equal(agent.answers, 0);
	clock_ahead_ms += 1;
	RUN_UNTIL(agent.answers == 2);
	assert_int_equal(agent.answer_len, 0);
}

/* ---- claims: an agent that lies ---- */

static void query_for_another_server_is_the_last_one(void **state)
{
	static const uint8_t elsewhere[][4] = { { 127, 0, 0, 12 }, { 127, 0, 0, 1 }, { 8, 8, 8, 8 } };
	uint8_t query[20] = { 1, 2 };
	int other = bind_at(SOCK_DGRAM, "127.0.0.12");

	be_ready();
	give_query(elsewhere[0], false, query, sizeof(query));
	settle(loop);
	assert_false(agent.waiting || agent.answers);
	assert_false(readable(other));
	assert_false(readable(udp));
	close(other);
}

static void queries_of_impossible_length_are_the_last_ones(void **state)
{
	uint8_t query[20] = { 1, 2 };

	be_ready();
	give_query(docker, false, query, DNS_MESSAGE_MIN - 1);
	settle(loop);
	assert_false(agent.waiting || agent.answers);
	assert_false(readable(udp));
	/* Not even when another container needs it. */
	look_at("nameserver 127.0.0.11\n");
	settle(loop);
	assert_false(agent.waiting);
}

static void flood_of_queries_waits_until_one_ends(void **state)
{
	uint8_t got[100], answer[12] = { 7, 7 };
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	agent.flood = true;
	look_at("nameserver 127.0.0.11\n");
	RUN_UNTIL(agent.fetches == DNS_QUERIES_MAX);
	settle(loop);
	assert_false(agent.fetches > DNS_QUERIES_MAX);
	recvfrom(udp, got, sizeof(got), 0, (struct sockaddr *)&from, &len);
	sendto(udp, answer, sizeof(answer), 0, (struct sockaddr *)&from, len);
	RUN_UNTIL(agent.fetches == DNS_QUERIES_MAX + 1);
	settle(loop);
	assert_false(agent.fetches > DNS_QUERIES_MAX + 1);
	/* The end of the VM meanwhile leaves nothing: see the teardown. */
}

/* ---- claims: which servers ---- */

/* Nobody listens, so each query has its answer at once, which the agent does not take. */
static void answers_that_the_agent_does_not_take_hold_queries_back(void **state)
{
	close(udp);
	udp = -EBADF;
	agent.flood = agent.deaf = true;
	look_at("nameserver 127.0.0.11\n");
	RUN_UNTIL(agent.answers == DNS_QUERIES_MAX);
	settle(loop);
	assert_int_equal(agent.fetches, DNS_QUERIES_MAX);
	/* One is taken, one more is fetched. */
	agent.n_held--;
	ttrpc_call_reply(agent.held[agent.n_held], &empty.base);
	RUN_UNTIL(agent.answers == DNS_QUERIES_MAX + 1);
	settle(loop);
	assert_int_equal(agent.fetches, DNS_QUERIES_MAX + 1);
	while (agent.n_held > 0)
		ttrpc_call_fail(agent.held[--agent.n_held], TTRPC_UNAVAILABLE, "over");
	agent.flood = agent.deaf = false;
}

static void streams_beyond_their_limit_are_not_answered(void **state)
{
	uint8_t query[20] = { 1, 2 };

	be_ready();
	for (unsigned int i = 0; i <= DNS_STREAMS_MAX; i++) {
		assert_int_equal(agent.answers, 0);
		give_query(docker, true, query, sizeof(query));
		RUN_UNTIL(agent.waiting);
	}
	RUN_UNTIL(agent.answers == 1);
	assert_int_equal(agent.answer_len, 0);
	assert_int_equal(agent.answer_id, ID_FIRST + DNS_STREAMS_MAX);
}

static void ports_of_the_host_are_spared_while_names_are_served(void **state)
{
	_cleanup_free_ char *before = NULL, *during = NULL, *after = NULL;
	static const char file[] = "/proc/sys/net/ipv4/ip_local_port_range";

	assert_int_equal(io_read_file(AT_FDCWD, file, 64, &before, NULL), 0);
	be_ready();
	assert_int_equal(io_read_file(AT_FDCWD, file, 64, &during, NULL), 0);
	assert_string_equal(during, "64512\t65023\n");
	ttrpc_client_destroy(TAKE_PTR(sandbox.agent));
	sandbox_dns_destroy(TAKE_PTR(sandbox.dns));
	assert_int_equal(io_read_file(AT_FDCWD, file, 64, &after, NULL), 0);
	assert_string_equal(after, before);
}

static void each_server_is_served_once(void **state)
{
	be_ready();
	look_at("nameserver 127.0.0.11\n");
	look_at("nameserver 8.8.8.8\n");
	look_at("");
	sandbox_dns_look(&sandbox, -1);
	settle(loop);
	assert_false(agent.served > 1);
	look_at("nameserver 127.0.0.53\nnameserver 127.0.0.11\n");
	RUN_UNTIL(agent.served == 2);
	assert_int_equal(agent.servers[1][3], 53);
	for (int i = 100; i < 120; i++) {
		char text[64];

		snprintf(text, sizeof(text), "nameserver 127.0.0.%d\n", i);
		look_at(text);
	}
	RUN_UNTIL(agent.served == DNS_SERVERS_MAX);
	settle(loop);
	assert_false(agent.served > DNS_SERVERS_MAX);
	assert_int_equal(agent.fetches, 1);
}

static void without_such_a_server_the_agent_is_not_asked(void **state)
{
	look_at("nameserver 10.0.0.1\n");
	settle(loop);
	assert_false(agent.served || agent.fetches);
	assert_null(sandbox.dns);
}

static void loopback_servers_are_read_as_resolvers_read(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "nameserver 127.0.0.11\n", "127.0.0.11 " },
		{ "nameserver\t127.0.0.11", "127.0.0.11 " },
		{ "search x\n\nnameserver 127.0.0.53 # here\r\noptions ndots:0\n", "127.0.0.53 " },
		{ "nameserver 8.8.8.8\nnameserver 127.1.2.3\nnameserver ::1\n", "127.1.2.3 " },
		{ "nameserver 127.0.0.1\nnameserver 127.0.0.1\nnameserver 127.0.0.2\n", "127.0.0.1 127.0.0.2 " },
		{ "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.4\n",
		  "127.0.0.1 127.0.0.2 127.0.0.3 " },
		{ "#nameserver 127.0.0.1\n;nameserver 127.0.0.1\nnameserver127.0.0.1\nnameserver\n", "" },
		{ "nameserver 127.1\nnameserver 127.0.0.1.1\nnameserver 127.0.0.256\nnameserver 0x7f000001\n", "" },
		{ "nameserver 1270000000000000000000000.0.0.1\n", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t servers[RESOLV_SERVERS_MAX];
		char got[128] = "", text[INET_ADDRSTRLEN];
		size_t n = resolv_loopback(cases[i].text, servers);

		for (size_t j = 0; j < n; j++)
			snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s ",
				 inet_ntop(AF_INET, &servers[j], text, sizeof(text)));
		assert_string_equal(got, cases[i].want);
	}
}

static void file_that_is_too_long_is_not_read(void **state)
{
	_cleanup_free_ char *text = malloc(RESOLV_BYTES_MAX + 1);
	int fd = memfd_create("resolv.conf", MFD_CLOEXEC);
	uint32_t servers[RESOLV_SERVERS_MAX];

	memset(text, '\n', RESOLV_BYTES_MAX);
	memcpy(text, "nameserver 127.0.0.11", 21);
	assert_int_equal(io_write_all(fd, text, RESOLV_BYTES_MAX), 0);
	assert_int_equal(resolv_loopback_of(fd, servers), 0);
	assert_int_equal(ftruncate(fd, RESOLV_BYTES_MAX - 1), 0);
	assert_int_equal(resolv_loopback_of(fd, servers), 1);
	close(fd);
	assert_int_equal(resolv_loopback_of(fd, servers), 0);
}

static void source_of_the_mount_is_opened_if_it_is_a_file(void **state)
{
	char dir[] = "/tmp/onggi-resolv-XXXXXX", path[64], fifo[64];
	struct oci_mount mounts[2] = { { .destination = (char *)"/etc/resolv.conf", .is_bind = true, .source = path },
				       { .destination = (char *)"/etc/hosts", .is_bind = true, .source = fifo } };
	struct oci_spec spec = { .mounts = mounts, .n_mounts = 2 };
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/resolv.conf", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(resolv_open(&spec, dir), -ENOENT);
	close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	fd = resolv_open(&spec, "/nonexistent");
	assert_true(fd >= 0);
	close(fd);
	/* Relative to the bundle. */
	mounts[0].source = (char *)"resolv.conf";
	fd = resolv_open(&spec, dir);
	assert_true(fd >= 0);
	close(fd);
	/* A pipe does not block, and is none. */
	mounts[0].source = fifo;
	assert_int_equal(resolv_open(&spec, dir), -EINVAL);
	mounts[0].source = dir;
	assert_int_equal(resolv_open(&spec, dir), -EINVAL);
	mounts[0].is_bind = false;
	assert_int_equal(resolv_open(&spec, dir), -ENOENT);
	mounts[0].destination = (char *)"/etc/other";
	assert_int_equal(resolv_open(&spec, dir), -ENOENT);
	path_remove_tree(AT_FDCWD, dir);
}

#define claim(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(datagram_goes_to_the_server_and_its_answer_back),
		claim(stream_goes_to_the_server_and_its_answer_back),
		claim(answer_to_another_question_is_passed_over),
		claim(where_nobody_listens_there_is_no_answer_at_once),
		claim(stream_that_makes_no_sense_is_no_answer),
		claim(silent_server_is_given_up_in_time),
		claim(query_for_another_server_is_the_last_one),
		claim(queries_of_impossible_length_are_the_last_ones),
		claim(flood_of_queries_waits_until_one_ends),
		claim(answers_that_the_agent_does_not_take_hold_queries_back),
		claim(streams_beyond_their_limit_are_not_answered),
		claim(ports_of_the_host_are_spared_while_names_are_served),
		claim(each_server_is_served_once),
		claim(without_such_a_server_the_agent_is_not_asked),
		leak_checked(loopback_servers_are_read_as_resolvers_read),
		leak_checked(file_that_is_too_long_is_not_read),
		leak_checked(source_of_the_mount_is_opened_if_it_is_a_file),
	};

	settle_pin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
