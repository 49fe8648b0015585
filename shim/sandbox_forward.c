/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A connection has two directions, each with one chunk: it is filled, then emptied, then filled
 * again. What comes from the guest is filled by ReadOutput and emptied into the client's socket; what
 * comes from the client is filled from its socket and emptied by WriteInput. Calls to the agent hold
 * the connection: one that has ended is freed with the answer to its last call.
 */
#include "shim/sandbox_forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "common/proto/agent.pb-c.h"
#include "net/loopback.h"
#include "shim/sandbox.h"

/* The agent's name of what comes. */
#define STREAM_OUTPUT 1

struct chunk {
	char *data; /* of FORWARD_CHUNK_BYTES, while it holds something */
	size_t offset, len;
	bool eof; /* nothing will follow */
	bool told; /* the other side knows */
	bool asked; /* a call is under way */
};

struct connection {
	struct sandbox_forward *forward;
	struct connection *next;
	char id[24];
	int fd;
	struct loop_source *source, *timer;
	struct chunk from_guest, to_guest;
	unsigned int calls;
	bool open, ended;
};

struct sandbox_forward {
	struct sandbox *sandbox;
	struct net_loopback loopback;
	struct loop_source *sources[NET_LOOPBACK_COUNT];
	struct connection *list;
	unsigned int n;
	uint64_t next_id;
};

static void listen_again(struct sandbox_forward *f)
{
	for (int kind = 0; kind < NET_LOOPBACK_COUNT; kind++) {
		if (f->sources[kind])
			loop_source_set_events(f->sources[kind],
					       f->n < FORWARD_CONNECTIONS_MAX ? LOOP_READ : 0);
	}
}

/* ---- the end ---- */

static void free_if_over(struct connection *c)
{
	struct sandbox_forward *f = c->forward;
	struct connection **at = &f->list;

	if (!c->ended || c->calls > 0)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	f->n--;
	free(c->from_guest.data);
	free(c->to_guest.data);
	free(c);
	listen_again(f);
}

static void close_answered(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct connection *c = userdata;

	c->calls--;
	free_if_over(c);
}

static void end(struct connection *c, bool reset)
{
	Onggi__Agent__V1__ConnectionRef request = ONGGI__AGENT__V1__CONNECTION_REF__INIT;
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (c->ended)
		return;
	c->ended = true;
	loop_source_destroy(TAKE_PTR(c->source));
	loop_source_destroy(TAKE_PTR(c->timer));
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	cleanup_close_p(&c->fd);
	request.id = c->id;
	if (!c->open)
		return;
	c->calls++;
	agent_call(c->forward->sandbox, "CloseConnection", &request.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, close_answered, c);
}

static void half_closed_too_long(void *userdata)
{
	struct connection *c = userdata;

	c->calls++;
	end(c, false);
	c->calls--;
	free_if_over(c);
}

/* ---- both directions ---- */

static void ask_guest(struct connection *c);
static void tell_guest(struct connection *c);

/* What is to be waited for now, and whether all is over. */
static void go_on(struct connection *c)
{
	unsigned int events = 0;

	if (c->ended)
		return;
	if (c->from_guest.told && c->to_guest.told) {
		end(c, false);
		return;
	}
	if (c->from_guest.len > 0)
		events |= LOOP_WRITE;
	if (c->to_guest.len == 0 && !c->to_guest.eof && !c->to_guest.asked)
		events |= LOOP_READ;
	if (loop_source_set_events(c->source, events) < 0)
		end(c, true);
	else if (c->timer && (c->from_guest.told || c->to_guest.told))
		loop_timer_set(c->timer, FORWARD_HALF_CLOSED_MS);
}

/* Give the client what is there; ask for more when it has all of it. */
static void write_client(struct connection *c)
{
	struct chunk *chunk = &c->from_guest;

	while (chunk->len > 0) {
		ssize_t n = send(c->fd, chunk->data + chunk->offset, chunk->len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			end(c, true);
			return;
		}
		chunk->offset += (size_t)n;
		chunk->len -= (size_t)n;
	}
	free(TAKE_PTR(chunk->data));
	if (!chunk->eof) {
		ask_guest(c);
	} else if (!chunk->told) {
		chunk->told = true;
		shutdown(c->fd, SHUT_WR);
	}
}

static bool take_output(struct chunk *chunk, const Onggi__Agent__V1__ReadOutputResponse *answer)
{
	if (answer->data.len > FORWARD_CHUNK_BYTES || (answer->data.len == 0 && !answer->eof))
		return false;
	chunk->eof = answer->eof;
	chunk->data = malloc(answer->data.len + 1);
	if (!chunk->data)
		return false;
	if (answer->data.len)
		memcpy(chunk->data, answer->data.data, answer->data.len);
	chunk->offset = 0;
	chunk->len = answer->data.len;
	return true;
}

static void guest_has_written(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct connection *c = userdata;

	c->from_guest.asked = false;
	if (!c->ended) {
		if (code == TTRPC_OK && take_output(&c->from_guest, response))
			write_client(c);
		else
			end(c, true);
		go_on(c);
	}
	c->calls--;
	free_if_over(c);
}

static void ask_guest(struct connection *c)
{
	Onggi__Agent__V1__ReadOutputRequest request = ONGGI__AGENT__V1__READ_OUTPUT_REQUEST__INIT;

	request.exec_id = c->id;
	request.stream = STREAM_OUTPUT;
	request.max_bytes = FORWARD_CHUNK_BYTES;
	c->from_guest.asked = true;
	c->calls++;
	agent_call(c->forward->sandbox, "ReadOutput", &request.base,
		   &onggi__agent__v1__read_output_response__descriptor, 0, guest_has_written, c);
}

static void input_ended(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct connection *c = userdata;

	c->to_guest.asked = false;
	c->to_guest.told = true;
	go_on(c);
	c->calls--;
	free_if_over(c);
}

static void end_input(struct connection *c)
{
	Onggi__Agent__V1__ProcessRef request = ONGGI__AGENT__V1__PROCESS_REF__INIT;

	request.exec_id = c->id;
	c->to_guest.asked = true;
	c->calls++;
	agent_call(c->forward->sandbox, "CloseInput", &request.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, input_ended, c);
}

static bool take_written(struct chunk *chunk, const Onggi__Agent__V1__WriteInputResponse *answer)
{
	if (answer->written == 0 || answer->written > chunk->len)
		return false;
	chunk->offset += answer->written;
	chunk->len -= answer->written;
	if (chunk->len == 0)
		free(TAKE_PTR(chunk->data));
	return true;
}

static void guest_has_taken(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct connection *c = userdata;

	c->to_guest.asked = false;
	if (!c->ended) {
		if (code == TTRPC_FAILED_PRECONDITION) {
			/* Its service reads no more; what it still writes is another matter. */
			c->to_guest.len = 0;
			c->to_guest.eof = c->to_guest.told = true;
		} else if (code != TTRPC_OK || !take_written(&c->to_guest, response)) {
			end(c, true);
		} else if (c->to_guest.len > 0) {
			tell_guest(c);
		}
		go_on(c);
	}
	c->calls--;
	free_if_over(c);
}

static void tell_guest(struct connection *c)
{
	Onggi__Agent__V1__WriteInputRequest request = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	struct chunk *chunk = &c->to_guest;

	request.exec_id = c->id;
	request.data = (ProtobufCBinaryData){ .data = (uint8_t *)chunk->data + chunk->offset, .len = chunk->len };
	chunk->asked = true;
	c->calls++;
	agent_call(c->forward->sandbox, "WriteInput", &request.base,
		   &onggi__agent__v1__write_input_response__descriptor, 0, guest_has_taken, c);
}

static void read_client(struct connection *c)
{
	struct chunk *chunk = &c->to_guest;
	ssize_t n;

	if (chunk->len > 0 || chunk->eof || chunk->asked)
		return;
	chunk->data = malloc(FORWARD_CHUNK_BYTES);
	if (!chunk->data) {
		end(c, true);
		return;
	}
	n = recv(c->fd, chunk->data, FORWARD_CHUNK_BYTES, 0);
	if (n > 0) {
		chunk->offset = 0;
		chunk->len = (size_t)n;
		tell_guest(c);
		return;
	}
	free(TAKE_PTR(chunk->data));
	if (n == 0) {
		chunk->eof = true;
		end_input(c);
	} else if (errno != EAGAIN && errno != EINTR) {
		end(c, true);
	}
}

static void client_ready(int fd, unsigned int events, void *userdata)
{
	struct connection *c = userdata;

	c->calls++; /* it is not freed while we work on it */
	if (events & LOOP_WRITE)
		write_client(c);
	if (!c->ended && (events & LOOP_READ))
		read_client(c);
	go_on(c);
	c->calls--;
	free_if_over(c);
}

/* ---- the begin ---- */

static void opened(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct connection *c = userdata;
	struct loop *loop = c->forward->sandbox->loop;

	c->open = code == TTRPC_OK;
	if (c->open && loop_add_fd(loop, c->fd, 0, client_ready, c, &c->source) == 0 &&
	    loop_add_timer(loop, 0, half_closed_too_long, c, &c->timer) == 0 &&
	    loop_timer_disarm(c->timer) == 0) {
		ask_guest(c);
		go_on(c);
	} else {
		end(c, true);
	}
	c->calls--;
	free_if_over(c);
}

static int port_of(int fd, uint16_t *ret)
{
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, &address.any, &len) < 0)
		return -errno;
	*ret = ntohs(address.any.sa_family == AF_INET6 ? address.ipv6.sin6_port : address.ipv4.sin_port);
	return 0;
}

static void open_connection(struct sandbox_forward *f, int fd, uint16_t port)
{
	Onggi__Agent__V1__OpenConnectionRequest request = ONGGI__AGENT__V1__OPEN_CONNECTION_REQUEST__INIT;
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->forward = f;
	c->fd = fd;
	snprintf(c->id, sizeof(c->id), "%llu", (unsigned long long)f->next_id++);
	c->next = f->list;
	f->list = c;
	f->n++;
	request.id = c->id;
	request.port = port;
	c->calls++;
	agent_call(f->sandbox, "OpenConnection", &request.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, opened, c);
}

static void connected(int listener, unsigned int events, void *userdata)
{
	struct sandbox_forward *f = userdata;
	_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	uint16_t port;

	if (fd < 0 || port_of(fd, &port) < 0)
		return;
	/* Whoever asks for the listener's own port means nobody. */
	open_connection(f, TAKE_FD(fd), port);
	listen_again(f);
}

int sandbox_forward_create(struct sandbox *s, struct sandbox_forward **ret, struct err *err)
{
	_cleanup_(sandbox_forward_destroy_p) struct sandbox_forward *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return -ENOMEM;
	f->sandbox = s;
	f->loopback = (struct net_loopback)NET_LOOPBACK_INIT;
	r = net_loopback_take(&f->loopback, err);
	for (int kind = 0; r == 0 && kind < NET_LOOPBACK_COUNT; kind++) {
		if (f->loopback.listeners[kind] < 0)
			continue;
		r = loop_add_fd(s->loop, f->loopback.listeners[kind], LOOP_READ, connected, f, &f->sources[kind]);
		if (r < 0)
			err_set_errno(err, r, "listen at a loopback address");
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(f);
	return 0;
}

void sandbox_forward_vm_stopped(struct sandbox_forward *f)
{
	struct connection *next;

	for (struct connection *c = f ? f->list : NULL; c; c = next) {
		next = c->next;
		c->open = false;
		end(c, true);
		free_if_over(c);
	}
}

void sandbox_forward_destroy(struct sandbox_forward *f)
{
	if (!f)
		return;
	for (int kind = 0; kind < NET_LOOPBACK_COUNT; kind++)
		loop_source_destroy(f->sources[kind]);
	net_loopback_release(&f->loopback);
	free(f);
}
