/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a connection reads once per round and works off every whole frame it then
 * holds. Answers given meanwhile are written together at the end; answers given later are written
 * at once. When too many calls or unsent bytes are outstanding, the connection stops reading and
 * leaves frames in its reader; a "kick" (a timer of 0 ms) takes them up again, since the descriptor
 * will not report them.
 *
 * A handler may close its connection or destroy the server. So a connection is freed by whoever
 * leaves it last (refs), and "server" is NULL from the moment it is closed. A call outlives its
 * connection: it is freed by its answer only.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"
#include "common/ttrpc_wire.h"

/*
 * Unsent bytes above which a reply is replaced by RESOURCE_EXHAUSTED: calls in flight cannot be
 * taken back.
 */
#define QUEUE_HARD_MAX (4u * TTRPC_QUEUE_MAX)
/* Distance to the end and the beginning of the stream ids at which they may begin anew. */
#define STREAM_WRAP_ZONE (1u << 16)
/* Connections accepted in one round. */
#define ACCEPT_BATCH 16

struct ttrpc_call {
	LIST_ENTRY(ttrpc_call) link;
	struct ttrpc_conn *conn; /* NULL once closed */
	const struct ttrpc_method *method;
	uint32_t stream;
};

LIST_HEAD(server_calls, ttrpc_call);

struct ttrpc_conn {
	LIST_ENTRY(ttrpc_conn) link;
	struct ttrpc_server *server; /* NULL once closed */
	int fd;
	struct loop_source *source;
	struct loop_source *kick;
	struct ttrpc_reader reader;
	struct ttrpc_writer writer;
	struct server_calls calls;
	size_t n_calls;
	uint32_t last_stream;
	bool wrapped; /* ids began anew: one may be that of an old call */
	bool working; /* inside conn_work */
	bool paused;  /* frames were left in the reader */
	unsigned int refs;
	ttrpc_gone_fn gone;
	void *gone_userdata;
};

struct listener {
	SLIST_ENTRY(listener) link;
	struct ttrpc_server *server;
	int fd;
	struct loop_source *source;
};

LIST_HEAD(server_conns, ttrpc_conn);
SLIST_HEAD(server_listeners, listener);

struct ttrpc_server {
	struct loop *loop;
	const struct ttrpc_service *services;
	size_t n_services;
	struct server_conns conns;
	size_t n_conns;
	struct server_listeners listeners;
	int spare_fd; /* closed for a moment when descriptors run out, to drop the peer that waits */
	bool destroying;
};

/* ---- connection: life ---- */

static void conn_hold(struct ttrpc_conn *conn)
{
	conn->refs++;
}

static void conn_release(struct ttrpc_conn *conn)
{
	if (--conn->refs == 0)
		free(conn);
}

static void server_set_accepting(struct ttrpc_server *server, bool on)
{
	struct listener *listener;

	for (listener = SLIST_FIRST(&server->listeners); listener;
	     listener = SLIST_NEXT(listener, link))
		loop_source_set_events(listener->source, on ? LOOP_READ : 0);
}

static void conn_close(struct ttrpc_conn *conn)
{
	struct ttrpc_server *server = conn->server;
	struct ttrpc_call *call;
	ttrpc_gone_fn gone = conn->gone;

	if (!server)
		return;
	conn->server = NULL;
	LIST_REMOVE(conn, link);
	if (server->n_conns-- == TTRPC_CONNS_MAX && !server->destroying)
		server_set_accepting(server, true);
	while ((call = LIST_FIRST(&conn->calls))) {
		LIST_REMOVE(call, link);
		call->conn = NULL;
	}
	loop_source_destroy(conn->source);
	loop_source_destroy(conn->kick);
	cleanup_close_p(&conn->fd);
	ttrpc_reader_finish(&conn->reader);
	ttrpc_writer_finish(&conn->writer);
	conn->gone = NULL;
	/* Last: it may destroy the server. */
	if (gone)
		gone(conn, conn->gone_userdata);
	conn_release(conn);
}

/*
 * Ask for what the connection can use now: bytes to read, room to write, a kick for frames left
 * behind.
 */
static void conn_update(struct ttrpc_conn *conn)
{
	bool full = conn->n_calls >= TTRPC_CALLS_MAX || conn->writer.queued_bytes > TTRPC_QUEUE_MAX;
	unsigned int events = 0;

	if (!conn->server || conn->working)
		return;
	if (!full && conn->paused)
		loop_timer_set(conn->kick, 0);
	if (!full && !conn->paused)
		events |= LOOP_READ;
	if (!ttrpc_writer_empty(&conn->writer))
		events |= LOOP_WRITE;
	loop_source_set_events(conn->source, events);
}

static void conn_send(struct ttrpc_conn *conn, struct ttrpc_packet *packet)
{
	ttrpc_writer_add(&conn->writer, packet);
	if (conn->working)
		return; /* conn_work writes */
	/*
	 * A broken connection is closed from the loop, not under the feet of the handler that
	 * answers.
	 */
	ttrpc_writer_flush(&conn->writer, conn->fd);
	conn_update(conn);
}

static void conn_send_status(struct ttrpc_conn *conn, uint32_t stream, enum ttrpc_code code,
			     const char *text)
{
	struct ttrpc_packet *packet;

	if (wire_pack_status(stream, code, text, &packet) == 0)
		conn_send(conn, packet);
}

/* ---- requests ---- */

static const struct ttrpc_method *find_method(const struct ttrpc_server *server,
					      const Onggi__Ttrpc__Request *request,
					      const struct ttrpc_service **ret_service)
{
	const struct ttrpc_service *service;
	size_t i, j;

	*ret_service = NULL;
	for (i = 0; i < server->n_services; i++) {
		service = &server->services[i];
		if (strcmp(service->name, request->service) != 0)
			continue;
		*ret_service = service;
		for (j = 0; j < service->n_methods; j++)
			if (strcmp(service->methods[j].name, request->method) == 0)
				return &service->methods[j];
	}
	return NULL;
}

/* Whether a request may use @stream; remembers it. */
static bool stream_acceptable(struct ttrpc_conn *conn, uint32_t stream)
{
	const struct ttrpc_call *call;

	if (stream % 2 == 0)
		return false;
	if (stream <= conn->last_stream) {
		if (conn->last_stream < UINT32_MAX - STREAM_WRAP_ZONE || stream > STREAM_WRAP_ZONE)
			return false;
		conn->wrapped = true;
	}
	if (conn->wrapped)
		LIST_FOREACH(call, &conn->calls, link)
			if (call->stream == stream)
				return false;
	conn->last_stream = stream;
	return true;
}

static void run_method(struct ttrpc_conn *conn, uint32_t stream,
		       const struct ttrpc_service *service, const struct ttrpc_method *method,
		       const ProtobufCBinaryData *payload)
{
	ProtobufCMessage *request = wire_unpack(method->request, payload->data, payload->len);
	struct ttrpc_call *call;

	if (!request) {
		conn_send_status(conn, stream, TTRPC_INVALID_ARGUMENT, "the request is malformed");
		return;
	}
	call = calloc(1, sizeof(*call));
	if (call) {
		call->conn = conn;
		call->method = method;
		call->stream = stream;
		LIST_INSERT_HEAD(&conn->calls, call, link);
		conn->n_calls++;
		method->handler(call, request, service->userdata);
	} else {
		conn_send_status(conn, stream, TTRPC_RESOURCE_EXHAUSTED, "no memory for the call");
	}
	protobuf_c_message_free_unpacked(request, NULL);
}

static void handle_request(struct ttrpc_conn *conn, uint32_t stream,
			   const Onggi__Ttrpc__Request *request)
{
	const struct ttrpc_service *service;
	const struct ttrpc_method *method;
	char text[256];

	method = find_method(conn->server, request, &service);
	if (method) {
		run_method(conn, stream, service, method, &request->payload);
		return;
	}
	if (service)
		snprintf(text, sizeof(text), "service '%s' has no method '%.64s'", service->name,
			 request->method);
	else
		snprintf(text, sizeof(text), "unknown service '%.64s'", request->service);
	conn_send_status(conn, stream, TTRPC_UNIMPLEMENTED, text);
}

static void handle_frame(struct ttrpc_conn *conn, const struct ttrpc_frame *frame)
{
	Onggi__Ttrpc__Request *request;
	uint32_t stream = frame->header.stream;
	char text[128];

	if (!stream_acceptable(conn, stream)) {
		snprintf(text, sizeof(text), "stream id %u is even or was used before", stream);
		conn_send_status(conn, stream, TTRPC_INVALID_ARGUMENT, text);
		return;
	}
	if (frame->oversize) {
		snprintf(text, sizeof(text), "message of %u bytes exceeds %u", frame->header.length,
			 TTRPC_PAYLOAD_MAX);
		conn_send_status(conn, stream, TTRPC_RESOURCE_EXHAUSTED, text);
		return;
	}
	request = (Onggi__Ttrpc__Request *)wire_unpack(&onggi__ttrpc__request__descriptor,
						       frame->payload, frame->header.length);
	if (!request) {
		conn_send_status(conn, stream, TTRPC_INVALID_ARGUMENT, "the request is malformed");
		return;
	}
	handle_request(conn, stream, request);
	onggi__ttrpc__request__free_unpacked(request, NULL);
}

/*
 * Work off the frames read so far, as far as there is room. Returns a negative errno to have the
 * conn closed.
 */
static int handle_frames(struct ttrpc_conn *conn)
{
	struct ttrpc_frame frame;
	int r;

	for (;;) {
		conn->paused = conn->n_calls >= TTRPC_CALLS_MAX ||
			       conn->writer.queued_bytes > TTRPC_QUEUE_MAX;
		if (conn->paused)
			return 0;
		r = ttrpc_reader_next(&conn->reader, &frame);
		if (r <= 0)
			return r;
		handle_frame(conn, &frame);
		free(frame.payload);
		if (!conn->server)
			return 0;
	}
}

/*
 * One round of a connection.
 *
 * @fill  whether the descriptor is readable; else only frames that were left behind are looked at
 */
static void conn_work(struct ttrpc_conn *conn, bool fill)
{
	int r = 0, w;

	if (conn->working) {
		/* A handler runs the loop: further requests wait until it returns. */
		loop_source_set_events(conn->source, 0);
		return;
	}
	conn_hold(conn);
	conn->working = true;
	if (fill)
		r = ttrpc_reader_fill(&conn->reader, conn->fd);
	if (r == 0)
		r = handle_frames(conn);
	conn->working = false;
	if (conn->server) {
		w = ttrpc_writer_flush(&conn->writer, conn->fd);
		if (r < 0 || w < 0)
			conn_close(conn);
		else
			conn_update(conn);
	}
	conn_release(conn);
}

static void on_conn_ready(int fd, unsigned int events, void *userdata)
{
	/* conn_work writes as well. */
	conn_work(userdata, events & LOOP_READ);
}

static void on_kick(void *userdata)
{
	conn_work(userdata, false);
}

/* ---- answers ---- */

/* Take the call off its connection and free it. Returns the connection, NULL if it is gone. */
static struct ttrpc_conn *call_finish(struct ttrpc_call *call)
{
	struct ttrpc_conn *conn = call->conn;

	if (conn) {
		LIST_REMOVE(call, link);
		conn->n_calls--;
	}
	free(call);
	return conn;
}

void ttrpc_call_reply(struct ttrpc_call *call, const ProtobufCMessage *response)
{
	struct ttrpc_packet *packet = NULL;
	uint32_t stream = call->stream;
	struct ttrpc_conn *conn;
	int r;

	assert(response->descriptor == call->method->response);
	conn = call_finish(call);
	if (!conn)
		return;
	if (conn->writer.queued_bytes > QUEUE_HARD_MAX) {
		conn_send_status(conn, stream, TTRPC_RESOURCE_EXHAUSTED,
				 "too many answers wait to be taken");
		return;
	}
	r = wire_pack_reply(stream, response, &packet);
	if (r < 0) {
		conn_send_status(conn, stream, TTRPC_RESOURCE_EXHAUSTED,
				 r == -EMSGSIZE ? "the response is too long"
						: "no memory for the response");
		return;
	}
	conn_send(conn, packet);
}

void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
{
	uint32_t stream = call->stream;
	char text[ERR_TEXT_MAX];
	struct ttrpc_conn *conn;
	va_list ap;

	assert(code != TTRPC_OK);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conn = call_finish(call);
	if (conn)
		conn_send_status(conn, stream, code, text);
}

const void *ttrpc_call_context(const struct ttrpc_call *call)
{
	return call->method->context;
}

struct ttrpc_conn *ttrpc_call_conn(struct ttrpc_call *call)
{
	return call->conn;
}

/* ---- connections and server ---- */

int ttrpc_conn_peer_pid(struct ttrpc_conn *conn, pid_t *ret)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	*ret = peer.pid;
	return 0;
}

void ttrpc_conn_on_gone(struct ttrpc_conn *conn, ttrpc_gone_fn fn, void *userdata)
{
	conn->gone = fn;
	conn->gone_userdata = userdata;
}

int ttrpc_server_add(struct ttrpc_server *server, int fd, ttrpc_gone_fn gone, void *userdata)
{
	_cleanup_free_ struct ttrpc_conn *conn = NULL;
	int r;

	if (server->n_conns >= TTRPC_CONNS_MAX)
		return -EMFILE;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return -ENOMEM;
	conn->server = server;
	conn->refs = 1;
	conn->gone = gone;
	conn->gone_userdata = userdata;
	LIST_INIT(&conn->calls);
	ttrpc_reader_init(&conn->reader, TTRPC_FRAME_REQUEST);
	ttrpc_writer_init(&conn->writer, fd);
	r = fd_set_nonblock(fd, true);
	if (r < 0)
		return r;
	r = loop_add_timer(server->loop, 0, on_kick, conn, &conn->kick);
	if (r < 0)
		return r;
	loop_timer_disarm(conn->kick);
	r = loop_add_fd(server->loop, fd, LOOP_READ, on_conn_ready, conn, &conn->source);
	if (r < 0) {
		loop_source_destroy(conn->kick);
		return r;
	}
	conn->fd = fd;
	LIST_INSERT_HEAD(&server->conns, conn, link);
	if (++server->n_conns == TTRPC_CONNS_MAX)
		server_set_accepting(server, false);
	TAKE_PTR(conn);
	return 0;
}

/* Without a free descriptor a waiting peer would be reported for ever: let it in and drop it. */
static void drop_waiting_peer(struct ttrpc_server *server, int fd)
{
	cleanup_close_p(&server->spare_fd);
	server->spare_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	cleanup_close_p(&server->spare_fd);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(int fd, unsigned int events, void *userdata)
{
	struct listener *listener = userdata;
	struct ttrpc_server *server = listener->server;
	struct ucred peer;
	socklen_t len;
	int i, conn_fd;

	for (i = 0; i < ACCEPT_BATCH && server->n_conns < TTRPC_CONNS_MAX; i++) {
		conn_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (conn_fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				drop_waiting_peer(server, fd);
			return;
		}
		len = sizeof(peer);
		if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
		    peer.uid != geteuid() || ttrpc_server_add(server, conn_fd, NULL, NULL) < 0)
			close(conn_fd);
	}
}

int ttrpc_server_listen(struct ttrpc_server *server, int fd)
{
	_cleanup_free_ struct listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return -ENOMEM;
	listener->server = server;
	listener->fd = fd;
	r = fd_set_nonblock(fd, true);
	if (r < 0)
		return r;
	r = loop_add_fd(server->loop, fd, server->n_conns < TTRPC_CONNS_MAX ? LOOP_READ : 0,
			on_accept, listener, &listener->source);
	if (r < 0)
		return r;
	SLIST_INSERT_HEAD(&server->listeners, listener, link);
	TAKE_PTR(listener);
	return 0;
}

int ttrpc_server_create(struct loop *loop, const struct ttrpc_service *services, size_t n_services,
			struct ttrpc_server **ret)
{
	struct ttrpc_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->loop = loop;
	server->services = services;
	server->n_services = n_services;
	LIST_INIT(&server->conns);
	SLIST_INIT(&server->listeners);
	server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*ret = server;
	return 0;
}

void ttrpc_server_destroy(struct ttrpc_server *server)
{
	struct listener *listener;
	struct ttrpc_conn *conn;

	/* Once only, also when an on_gone of below calls this again. */
	if (!server || server->destroying)
		return;
	server->destroying = true;
	while ((listener = SLIST_FIRST(&server->listeners))) {
		SLIST_REMOVE_HEAD(&server->listeners, link);
		loop_source_destroy(listener->source);
		close(listener->fd);
		free(listener);
	}
	while ((conn = LIST_FIRST(&server->conns)))
		conn_close(conn);
	cleanup_close_p(&server->spare_fd);
	free(server);
}
