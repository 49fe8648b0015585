/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc.h - server and client of containerd's ttrpc, version 1.2, unary calls
 *
 * Shape:    frames of a 10 byte header and a protobuf payload over any stream: a unix socket, or
 *           the virtio-serial channel of a guest.
 * Peer:     untrusted. Frames of unknown types are passed over; a malformed message, an unknown
 *           service or method, an even or reused stream id are answered with a status.
 * Limits:   TTRPC_PAYLOAD_MAX per message (longer: discarded, status RESOURCE_EXHAUSTED),
 *           TTRPC_CALLS_MAX calls in flight and TTRPC_QUEUE_MAX unsent bytes per connection
 *           (beyond: reading stops until the peer takes its answers), TTRPC_CONNS_MAX connections
 *           per server.
 * Process:  loop thread only; nothing blocks.
 * Source:   ttrpc PROTOCOL.md (1.2); gRPC status codes.
 * Not here: the messages (proto/), streaming calls (data frames are ignored).
 * Examples: docs/examples/ttrpc_client.c and ttrpc_server.c; docs/ttrpc.md says how to build with
 *           it.
 */
#ifndef ONGGI_COMMON_TTRPC_H
#define ONGGI_COMMON_TTRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define TTRPC_PAYLOAD_MAX (4u << 20)
#define TTRPC_CALLS_MAX 1024u
#define TTRPC_QUEUE_MAX (16u << 20)
#define TTRPC_CONNS_MAX 256u

enum ttrpc_code {
	TTRPC_OK = 0,
	TTRPC_CANCELED = 1,
	TTRPC_UNKNOWN = 2,
	TTRPC_INVALID_ARGUMENT = 3,
	TTRPC_DEADLINE_EXCEEDED = 4,
	TTRPC_NOT_FOUND = 5,
	TTRPC_ALREADY_EXISTS = 6,
	TTRPC_PERMISSION_DENIED = 7,
	TTRPC_RESOURCE_EXHAUSTED = 8,
	TTRPC_FAILED_PRECONDITION = 9,
	TTRPC_ABORTED = 10,
	TTRPC_OUT_OF_RANGE = 11,
	TTRPC_UNIMPLEMENTED = 12,
	TTRPC_INTERNAL = 13,
	TTRPC_UNAVAILABLE = 14,
	TTRPC_DATA_LOSS = 15,
	TTRPC_UNAUTHENTICATED = 16,
};

/*
 * The status code that suits a negative errno (ENOENT, ESRCH -> NOT_FOUND, EEXIST ->
 * ALREADY_EXISTS, …).
 */
enum ttrpc_code ttrpc_code_from_errno(int err);
/* The negative errno that suits a status code; 0 for TTRPC_OK. */
int ttrpc_code_to_errno(enum ttrpc_code code);

/* ---- server ---- */

struct ttrpc_conn;
struct ttrpc_call;

/*
 * A method. @request has been unpacked and lives until the handler returns. The handler owns @call
 * and ends it with exactly one of ttrpc_call_reply and ttrpc_call_fail, at once or later.
 * The answer to a call whose connection is gone is dropped: the call stays valid until then.
 */
typedef void (*ttrpc_handler)(struct ttrpc_call *call, const void *request, void *userdata);

struct ttrpc_method {
	const char *name;
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	ttrpc_handler handler;
	const void *context; /* for the handler, which asks ttrpc_call_context for it */
};

struct ttrpc_service {
	const char *name; /* full name, e.g. "containerd.task.v2.Task" */
	const struct ttrpc_method *methods;
	size_t n_methods;
	void *userdata; /* for the handlers */
};

/*
 * A response over TTRPC_PAYLOAD_MAX, and any while four times TTRPC_QUEUE_MAX bytes wait for the
 * peer, is replaced by RESOURCE_EXHAUSTED.
 */
void ttrpc_call_reply(struct ttrpc_call *call, const ProtobufCMessage *response);
void ttrpc_call_fail(struct ttrpc_call *call, enum ttrpc_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The context of the method that was called. */
const void *ttrpc_call_context(const struct ttrpc_call *call);
/* The connection a call came over; NULL once that is closed. */
struct ttrpc_conn *ttrpc_call_conn(struct ttrpc_call *call);

/* SO_PEERCRED of the other side; -ENOTSOCK on a channel that is no unix socket. */
int ttrpc_conn_peer_pid(struct ttrpc_conn *conn, pid_t *ret);
/* Have @fn called once when the connection ends. At most one; NULL removes it. */
typedef void (*ttrpc_gone_fn)(struct ttrpc_conn *conn, void *userdata);
void ttrpc_conn_on_gone(struct ttrpc_conn *conn, ttrpc_gone_fn fn, void *userdata);

struct ttrpc_server;

/* Serve @services (array and names borrowed for the server's life). Returns 0 or -ENOMEM. */
int ttrpc_server_create(struct loop *loop, const struct ttrpc_service *services, size_t n_services,
			struct ttrpc_server **ret);
/* Close all connections (their on_gone runs), stop listening, free. */
void ttrpc_server_destroy(struct ttrpc_server *server);
DEFINE_CLEANUP(struct ttrpc_server *, ttrpc_server_destroy);
/*
 * Accept connections on the listening unix socket @fd (taken over on success). Peers whose
 * effective uid differs from ours are dropped (SO_PEERCRED).
 *
 * Returns 0; -ENOMEM; errnos of fcntl(2).
 */
int ttrpc_server_listen(struct ttrpc_server *server, int fd);
/*
 * Serve one connected stream @fd (taken over on success): the agent's side of the guest channel.
 * @gone may be NULL.
 *
 * Returns 0; -EMFILE over TTRPC_CONNS_MAX; -ENOMEM; errnos of fcntl(2).
 */
int ttrpc_server_add(struct ttrpc_server *server, int fd, ttrpc_gone_fn gone, void *userdata);

/* ---- client ---- */

struct ttrpc_client;

/*
 * The end of a call. @code TTRPC_OK: @response is the unpacked message, valid during the callback;
 * otherwise @response is NULL and @message says why. Runs exactly once for every call, also when
 * the connection breaks (UNAVAILABLE), the time is over (DEADLINE_EXCEEDED) or the client is
 * destroyed (CANCELED).
 */
typedef void (*ttrpc_done_fn)(enum ttrpc_code code, const char *message, const void *response,
			      void *userdata);

/*
 * Use the connected stream @fd (taken over on success, also on a channel that is no socket).
 *
 * @gone  called once when the peer closes or breaks the protocol, after all calls have ended; may
 *        be NULL
 *
 * Returns 0; -ENOMEM; errnos of fcntl(2).
 */
int ttrpc_client_create(struct loop *loop, int fd, void (*gone)(void *userdata), void *userdata,
			struct ttrpc_client **ret);
/*
 * Before the first call: the peer has served @n calls of another client on this connection, as one
 * has that was saved and goes on elsewhere. It refuses stream ids that it has seen.
 */
void ttrpc_client_skip_streams(struct ttrpc_client *client, uint32_t n);
/*
 * Close the connection to a peer that is of no use: the calls in flight end with this, later ones
 * with -EPIPE. @gone does not run.
 */
void ttrpc_client_abandon(struct ttrpc_client *client, enum ttrpc_code code, const char *message);
/*
 * The peer may be hostile. UNAVAILABLE and CANCELED then mean one thing, that the connection was lost or closed here: a
 * call that the peer itself ends so ends with UNKNOWN, or DATA_LOSS. Messages of this client's own name the peer.
 * @peer  "the guest", a string that stays
 */
void ttrpc_client_distrust(struct ttrpc_client *client, const char *peer);
void ttrpc_client_destroy(struct ttrpc_client *client);
DEFINE_CLEANUP(struct ttrpc_client *, ttrpc_client_destroy);

/*
 * Start a call.
 *
 * @service, @method  names, e.g. "containerd.task.v2.Task", "Wait"
 * @request           packed before return
 * @response          descriptor of the answer
 * @timeout_ms        0: none; also sent to the peer as timeout_nano
 *
 * Returns 0, or (then @done will not run) -EMSGSIZE, -ENOMEM, -ENOBUFS the peer has left
 * TTRPC_QUEUE_MAX bytes of requests unread, -EPIPE connection gone.
 */
int ttrpc_client_call(struct ttrpc_client *client, const char *service, const char *method,
		      const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		      uint64_t timeout_ms, ttrpc_done_fn done, void *userdata);

/*
 * The same, waiting: runs the client's loop until the answer is there. Other sources of the loop
 * are served meanwhile, also inside a callback of this client. Not for handlers: their connection
 * takes no request until they return.
 * @ret_response  unpacked, freed by the caller with protobuf_c_message_free_unpacked(x, NULL); may
 *                be NULL
 *
 * Returns 0, or the errno that suits the status, with the peer's message in @err.
 */
int ttrpc_client_call_wait(struct ttrpc_client *client, struct loop *loop, const char *service,
			   const char *method, const ProtobufCMessage *request,
			   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
			   void *ret_response, struct err *err);

/* How long a server may leave its queue of connections full. */
#define TTRPC_CONNECT_TIMEOUT_S 10
/*
 * Connect to a unix socket path (longer than sun_path: through /proc/self/fd of its folder).
 * Errnos of connect(2), with the path; -ETIMEDOUT: its queue stays full.
 */
int ttrpc_connect_unix(const char *path, int *ret_fd, struct err *err);

/*
 * Make a unix socket at @path, for its owner alone, and listen on it: for ttrpc_server_listen.
 * Nothing is removed before or afterwards: -EADDRINUSE if anything is there. Long paths as above.
 */
int ttrpc_listen_unix(const char *path, int *ret_fd, struct err *err);

#endif
