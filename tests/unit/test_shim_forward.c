/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the loopback addresses of a pod's network namespace ("here", where the monitor is)
 * reach services in the guest ("there", another namespace): the monitor's side over the agent's own
 * table of connections, or over an agent that lies. Needs root.
 */
#include "tests/unit/net_rig.h"

#include <netinet/in.h>

#include "agent/connection.h"
#include "common/loop.h"
#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"
#include "shim/sandbox.h"
#include "shim/sandbox_forward.h"

#define PORT 8080
#define LIMIT_MS 200000
#define MEGABYTES (3u << 20)

static struct loop *loop;
static struct loop_source *limit;
static struct ttrpc_server *server;
static struct connections *connections;
static struct sandbox sandbox;
static int listener = -EBADF;

/* What the agent does wrong, and was asked for. */
static struct {
	bool too_much, nothing, too_many;
	unsigned int opened, closed;
} agent;

/* ---- the agent ---- */

static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

static void on_open(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__OpenConnectionRequest *request = message;
	struct err err = ERR_INIT;
	int r;

	rig_enter(rig_there);
	r = connections_open(connections, request->id, (uint16_t)request->port, &err);
	rig_enter(rig_here);
	agent.opened++;
	if (r < 0)
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "%s", err.text);
	else
		ttrpc_call_reply(call, &empty.base);
}

static void on_close(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ConnectionRef *request = message;

	connections_close(connections, request->id);
	agent.closed++;
	ttrpc_call_reply(call, &empty.base);
}

static void on_bytes(const void *data, size_t len, bool eof, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse response = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;

	response.data = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)data, .len = len };
	response.eof = eof;
	ttrpc_call_reply(userdata, &response.base);
}

static void on_read(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ReadOutputRequest *request = message;
	static const char lie[FORWARD_CHUNK_BYTES + 1];

	assert_string_equal(request->container_id, "");
	assert_int_equal(request->stream, STDIO_OUT);
	if (agent.too_much || agent.nothing)
		on_bytes(lie, agent.nothing ? 0 : request->max_bytes + 1, false, call);
	else if (stdio_read(connections_find(connections, request->exec_id), STDIO_OUT, request->max_bytes, on_bytes,
			    call) < 0)
		ttrpc_call_fail(call, TTRPC_INTERNAL, "read");
}

static void on_written(int code, size_t written, void *userdata)
{
	Onggi__Agent__V1__WriteInputResponse response = ONGGI__AGENT__V1__WRITE_INPUT_RESPONSE__INIT;

	response.written = (uint32_t)written;
	if (code < 0)
		ttrpc_call_fail(userdata, TTRPC_FAILED_PRECONDITION, "gone");
	else
		ttrpc_call_reply(userdata, &response.base);
}

static void on_write(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__WriteInputRequest *request = message;
	struct stdio *s = connections_find(connections, request->exec_id);
	int r;

	if (agent.too_many) {
		on_written(0, request->data.len + 1, call);
		return;
	}
	r = stdio_write(s, request->data.data, request->data.len, on_written, call);
	if (r < 0)
		on_written(r, 0, call);
}

static void on_close_input(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;

	stdio_close_input(connections_find(connections, request->exec_id));
	ttrpc_call_reply(call, &empty.base);
}

#define METHOD(name, request, response, fn) \
	{ name, &onggi__agent__v1__##request##__descriptor, &onggi__agent__v1__##response##__descriptor, fn }
static const struct ttrpc_method methods[] = {
	METHOD("OpenConnection", open_connection_request, empty, on_open),
	METHOD("CloseConnection", connection_ref, empty, on_close),
	METHOD("ReadOutput", read_output_request, read_output_response, on_read),
	METHOD("WriteInput", write_input_request, write_input_response, on_write),
	METHOD("CloseInput", process_ref, empty, on_close_input),
};
static const struct ttrpc_service service = { .name = "onggi.agent.v1.Agent",
					      .methods = methods,
					      .n_methods = ARRAY_SIZE(methods) };

/* ---- a world for each claim ---- */

static bool time_over;

static void on_limit(void *userdata)
{
	time_over = true;
}

static void run_for(unsigned int ms)
{
	time_over = false;
	loop_timer_set(limit, ms);
	while (!time_over)
		assert_int_equal(loop_run_once(loop), 0);
}

/* Run the loop until @condition holds; a hang is a failure. */
#define RUN_UNTIL(condition)                                                \
	({                                                                  \
		bool _holds = false;                                        \
		for (int _i = 0; _i < LIMIT_MS && !(_holds = (condition)); _i++) \
			run_for(1);                                         \
		assert_true(_holds);                                        \
	})

static int setup(void **state)
{
	struct err err = ERR_INIT;
	int pair[2];

	if (net_rig_setup(state) < 0)
		return -1;
	memset(&agent, 0, sizeof(agent));
	memset(&sandbox, 0, sizeof(sandbox));
	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(loop_add_timer(loop, 0, on_limit, NULL, &limit), 0);
	assert_int_equal(connections_create(loop, &connections), 0);
	assert_int_equal(ttrpc_server_create(loop, &service, 1, &server), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(ttrpc_server_add(server, pair[0], NULL, NULL), 0);
	assert_int_equal(ttrpc_client_create(loop, pair[1], NULL, NULL, &sandbox.agent), 0);
	sandbox.loop = loop;
	if (sandbox_forward_create(&sandbox, &sandbox.forward, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static void end_agent(void)
{
	ttrpc_client_destroy(TAKE_PTR(sandbox.agent));
	sandbox_forward_vm_stopped(sandbox.forward);
}

static int teardown(void **state)
{
	end_agent();
	sandbox_forward_destroy(TAKE_PTR(sandbox.forward));
	connections_destroy(TAKE_PTR(connections));
	ttrpc_server_destroy(server);
	loop_source_destroy(limit);
	loop_destroy(loop);
	cleanup_close_p(&listener);
	return net_rig_teardown(state);
}

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static socklen_t loopback_of(int family, uint16_t port, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->any.sa_family = (sa_family_t)family;
	if (family == AF_INET6) {
		ret->ipv6.sin6_addr = in6addr_loopback;
		ret->ipv6.sin6_port = htons(port);
		return sizeof(ret->ipv6);
	}
	ret->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ret->ipv4.sin_port = htons(port);
	return sizeof(ret->ipv4);
}

/* In the guest, at its loopback address. */
static void serve(int family)
{
	union address address;
	socklen_t len = loopback_of(family, PORT, &address);

	rig_enter(rig_there);
	listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, &address.any, len), 0);
	assert_int_equal(listen(listener, 256), 0);
	rig_enter(rig_here);
}

/* On the host, as the engine does. -1: refused. */
static int dial(int family, uint16_t port)
{
	union address address;
	socklen_t len = loopback_of(family, port, &address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, &address.any, len) < 0) {
		assert_int_equal(errno, ECONNREFUSED);
		close(fd);
		return -1;
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static int accepted(void)
{
	int fd = -1;

	RUN_UNTIL((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0);
	return fd;
}

/* The two ends of one connection. */
struct ends {
	int client, peer;
};

static struct ends connected(int family)
{
	struct ends e = { .client = dial(family, PORT) };

	e.peer = accepted();
	return e;
}

static void close_ends(const struct ends *e)
{
	close(e->client);
	close(e->peer);
}

static void put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[64];
	ssize_t n = -1;

	RUN_UNTIL((n = recv(fd, got, sizeof(got), 0)) >= 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

/* The other side has ended: orderly, or not. */
static void expect_end(int fd, bool reset)
{
	char byte;
	ssize_t n = -1;

	RUN_UNTIL((n = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
	assert_int_equal(n, reset ? -1 : 0);
	if (reset)
		assert_int_equal(errno, ECONNRESET);
}

/* ---- claims ---- */

static void bytes_go_both_ways_and_each_way_ends_apart(void **state)
{
	struct ends e;

	serve(AF_INET);
	e = connected(AF_INET);
	put(e.client, "question");
	expect(e.peer, "question");
	put(e.peer, "answer");
	expect(e.client, "answer");
	shutdown(e.client, SHUT_WR);
	expect_end(e.peer, false);
	put(e.peer, "more");
	expect(e.client, "more");
	close(e.peer);
	expect_end(e.client, false);
	RUN_UNTIL(agent.closed == 1);
	close(e.client);
}

static void service_of_the_other_protocol_is_found(void **state)
{
	struct ends e;

	serve(AF_INET6);
	e = connected(AF_INET);
	put(e.client, "four to six");
	expect(e.peer, "four to six");
	close(e.client);
	expect_end(e.peer, false);
	close(e.peer);
	e = connected(AF_INET6);
	put(e.peer, "six to six");
	expect(e.client, "six to six");
	close_ends(&e);
}

static void where_nobody_listens_the_connection_is_reset(void **state)
{
	int client = dial(AF_INET, 9999);

	expect_end(client, true);
	assert_int_equal(agent.opened, 1);
	assert_int_equal(agent.closed, 0);
	close(client);
}

static void other_addresses_are_not_taken(void **state)
{
	union address address;
	socklen_t len = loopback_of(AF_INET, PORT, &address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	assert_int_equal(connect(fd, &address.any, len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

/* As much as both sides take, until @sent and @got are all; what comes is what went. */
static void move(int from, int to, size_t *sent, size_t *got)
{
	static char out[50000], in[70000];
	ssize_t n;

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)((*sent + i) * 7 / 3);
	n = *sent < MEGABYTES ? send(from, out, MEGABYTES - *sent < sizeof(out) ? MEGABYTES - *sent : sizeof(out),
				     MSG_NOSIGNAL)
			      : 0;
	*sent += n > 0 ? (size_t)n : 0;
	n = recv(to, in, sizeof(in), 0);
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(in[i], (char)((*got + (size_t)i) * 7 / 3));
	*got += n > 0 ? (size_t)n : 0;
}

static void megabytes_arrive_whole_in_both_directions_at_once(void **state)
{
	size_t there_sent = 0, there_got = 0, back_sent = 0, back_got = 0;
	struct ends e;

	serve(AF_INET);
	e = connected(AF_INET);
	RUN_UNTIL((move(e.client, e.peer, &there_sent, &there_got), move(e.peer, e.client, &back_sent, &back_got),
		   there_got == MEGABYTES && back_got == MEGABYTES));
	close_ends(&e);
}

static void client_that_does_not_read_holds_up_no_other(void **state)
{
	static const char zeros[100000];
	struct ends stuck, other;

	serve(AF_INET);
	stuck = connected(AF_INET);
	for (int i = 0; i < 200; i++) {
		(void)!send(stuck.peer, zeros, sizeof(zeros), MSG_NOSIGNAL);
		run_for(1);
	}
	other = connected(AF_INET);
	put(other.peer, "through");
	expect(other.client, "through");
	close_ends(&stuck);
	close_ends(&other);
}

static void agent_that_lies_loses_the_connection_alone(void **state)
{
	bool *const lies[] = { &agent.too_much, &agent.nothing, &agent.too_many };
	struct ends e;

	serve(AF_INET);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		*lies[i] = true;
		e = connected(AF_INET);
		if (agent.too_many)
			put(e.client, "x");
		expect_end(e.client, true);
		RUN_UNTIL(agent.closed == i + 1);
		*lies[i] = false;
		close_ends(&e);
	}
	e = connected(AF_INET);
	put(e.client, "honest");
	expect(e.peer, "honest");
	close_ends(&e);
}

static void connections_beyond_the_limit_wait_for_their_turn(void **state)
{
	struct ends all[FORWARD_CONNECTIONS_MAX + 5];
	size_t n = 0;

	serve(AF_INET);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		all[i].client = dial(AF_INET, PORT);
	while (n < FORWARD_CONNECTIONS_MAX)
		all[n++].peer = accepted();
	run_for(50);
	assert_int_equal(agent.opened, FORWARD_CONNECTIONS_MAX);
	for (size_t i = 0; i < 5; i++)
		close_ends(&all[i]);
	while (n < ARRAY_SIZE(all))
		all[n++].peer = accepted();
	for (size_t i = 5; i < ARRAY_SIZE(all); i++)
		close_ends(&all[i]);
	RUN_UNTIL(agent.closed == agent.opened);
}

static void without_a_guest_connections_are_reset(void **state)
{
	struct ends e;
	int late;

	serve(AF_INET);
	e = connected(AF_INET);
	end_agent();
	expect_end(e.client, true);
	close_ends(&e);
	late = dial(AF_INET, PORT);
	expect_end(late, true);
	close(late);
}

static void nothing_is_left_at_the_end(void **state)
{
	end_agent();
	sandbox_forward_destroy(TAKE_PTR(sandbox.forward));
	assert_int_equal(dial(AF_INET, PORT), -1);
	assert_int_equal(dial(AF_INET6, PORT), -1);
}

#define claim(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(bytes_go_both_ways_and_each_way_ends_apart),
		claim(service_of_the_other_protocol_is_found),
		claim(where_nobody_listens_the_connection_is_reset),
		claim(other_addresses_are_not_taken),
		claim(megabytes_arrive_whole_in_both_directions_at_once),
		claim(client_that_does_not_read_holds_up_no_other),
		claim(agent_that_lies_loses_the_connection_alone),
		claim(connections_beyond_the_limit_wait_for_their_turn),
		claim(without_a_guest_connections_are_reset),
		claim(nothing_is_left_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
