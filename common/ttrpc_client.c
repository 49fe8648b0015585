/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: calls wait in a list until the response with their stream id comes; ids that
 * nobody waits for (late, invented by the peer) are dropped. Callbacks may do anything to the
 * client, destroy it included: every function that runs them holds a reference, and looks at "dead"
 * or "closed" again afterwards. A callback may also wait for another call (ttrpc_client_call_wait),
 * that is run the loop; frames that were read already are worked off before the loop sleeps.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"
#include "common/ttrpc_wire.h"

struct client_call {
	TAILQ_ENTRY(client_call) link;
	struct ttrpc_client *client;
	uint32_t stream;
	const ProtobufCMessageDescriptor *response;
	ttrpc_done_fn done;
	void *userdata;
	ProtobufCMessage **keep; /* where the response goes instead of being freed, or NULL */
	struct loop_source *timer; /* NULL: no time limit */
};

TAILQ_HEAD(client_calls, client_call);

struct ttrpc_client {
	struct loop *loop;
	int fd;
	struct loop_source *source;
	void (*gone)(void *userdata);
	void *userdata;
	struct ttrpc_reader reader;
	struct ttrpc_writer writer;
	struct client_calls calls;
	uint32_t next_stream;
	bool wrapped;      /* ids began anew: one may still be in use */
	const char *peer;  /* see ttrpc_client_distrust; NULL: trusted */
	bool closed;       /* no connection any more */
	bool dead;         /* destroyed */
	unsigned int refs; /* functions that run callbacks */
};

static void client_hold(struct ttrpc_client *client)
{
	client->refs++;
}

static void client_release(struct ttrpc_client *client)
{
	if (--client->refs == 0 && client->dead)
		free(client);
}

/* Take @call out of the list: from here on its end is the caller's to tell. */
static void call_unlink(struct client_call *call)
{
	TAILQ_REMOVE(&call->client->calls, call, link);
	loop_source_destroy(call->timer);
	call->timer = NULL;
}

static void call_end(struct client_call *call, enum ttrpc_code code, const char *message)
{
	call_unlink(call);
	call->done(code, message, NULL, call->userdata);
	free(call);
}

static void client_end_calls(struct ttrpc_client *client, enum ttrpc_code code, const char *message)
{
	struct client_call *call;

	/* New calls are refused meanwhile. */
	assert(client->closed);
	while ((call = TAILQ_FIRST(&client->calls)))
		call_end(call, code, message);
}

/* Let go of the connection; the calls are still there. */
static void client_disconnect(struct ttrpc_client *client)
{
	if (client->closed)
		return;
	client->closed = true;
	loop_source_destroy(client->source);
	client->source = NULL;
	cleanup_close_p(&client->fd);
	ttrpc_reader_finish(&client->reader);
	ttrpc_writer_finish(&client->writer);
}

static void client_lost(struct ttrpc_client *client, const char *message)
{
	if (client->closed)
		return;
	client_hold(client);
	client_disconnect(client);
	client_end_calls(client, TTRPC_UNAVAILABLE, message);
	if (!client->dead && client->gone)
		client->gone(client->userdata);
	client_release(client);
}

void ttrpc_client_abandon(struct ttrpc_client *client, enum ttrpc_code code, const char *message)
{
	client_hold(client);
	client_disconnect(client);
	client_end_calls(client, code, message);
	client_release(client);
}

void ttrpc_client_destroy(struct ttrpc_client *client)
{
	if (!client)
		return;
	client_hold(client);
	client->dead = true;
	client_disconnect(client);
	client_end_calls(client, TTRPC_CANCELED, "the client is closing");
	client_release(client);
}

/* ---- responses ---- */

static struct client_call *find_call(struct ttrpc_client *client, uint32_t stream)
{
	struct client_call *call;

	TAILQ_FOREACH(call, &client->calls, link)
		if (call->stream == stream)
			return call;
	return NULL;
}

/* It was not the peer who said so. */
static void call_end_here(struct client_call *call, enum ttrpc_code code, const char *message)
{
	const char *peer = call->client->peer;
	char text[ERR_TEXT_MAX];

	snprintf(text, sizeof(text), "%s%s%s", peer ? peer : "", peer ? ": " : "", message);
	call_end(call, code, text);
}

static void call_succeed(struct client_call *call, const uint8_t *payload, size_t len)
{
	ProtobufCMessage *message = wire_unpack(call->response, payload, len);

	if (!message) {
		call_end_here(call, TTRPC_INTERNAL, "the response is malformed");
		return;
	}
	call_unlink(call);
	if (call->keep)
		*call->keep = message;
	call->done(TTRPC_OK, "", message, call->userdata);
	if (!call->keep)
		protobuf_c_message_free_unpacked(message, NULL);
	free(call);
}

/* What the peer's word for how the call has ended comes to. */
static enum ttrpc_code code_of(const struct ttrpc_client *client, int code)
{
	if (code < 0 || code > TTRPC_UNAUTHENTICATED)
		return TTRPC_UNKNOWN;
	if (client->peer && (code == TTRPC_UNAVAILABLE || code == TTRPC_ABORTED))
		return TTRPC_UNKNOWN;
	if (client->peer && code == TTRPC_CANCELED)
		return TTRPC_DATA_LOSS;
	return (enum ttrpc_code)code;
}

static void handle_frame(struct ttrpc_client *client, const struct ttrpc_frame *frame)
{
	struct client_call *call = find_call(client, frame->header.stream);
	Onggi__Ttrpc__Response *response;
	int code;

	if (!call)
		return;
	if (frame->oversize) {
		call_end_here(call, TTRPC_RESOURCE_EXHAUSTED, "the response is too long");
		return;
	}
	response = (Onggi__Ttrpc__Response *)wire_unpack(&onggi__ttrpc__response__descriptor,
							 frame->payload, frame->header.length);
	if (!response) {
		call_end_here(call, TTRPC_INTERNAL, "the response is malformed");
		return;
	}
	code = response->status ? response->status->code : TTRPC_OK;
	if (code == TTRPC_OK)
		call_succeed(call, response->payload.data, response->payload.len);
	else
		call_end(call, code_of(client, code),
			 response->status->message[0] ? response->status->message
						      : "no reason was given");
	onggi__ttrpc__response__free_unpacked(response, NULL);
}

/* Work off what was read. The client may be closed, but not freed, on return: callers hold it. */
static void handle_frames(struct ttrpc_client *client)
{
	struct ttrpc_frame frame;
	int r = 0;

	while (!client->closed && (r = ttrpc_reader_next(&client->reader, &frame)) > 0) {
		handle_frame(client, &frame);
		free(frame.payload);
	}
	if (!client->closed && r < 0)
		client_lost(client, "no memory for a response");
}

/* Returns 0 or a negative errno; then the rest stays queued and the loop comes back to it. */
static int client_flush(struct ttrpc_client *client)
{
	int r = ttrpc_writer_flush(&client->writer, client->fd);

	loop_source_set_events(client->source,
			       LOOP_READ | (ttrpc_writer_empty(&client->writer) ? 0 : LOOP_WRITE));
	return r;
}

static void on_ready(int fd, unsigned int events, void *userdata)
{
	struct ttrpc_client *client = userdata;
	int r = 0, w = 0;

	client_hold(client);
	if (events & LOOP_WRITE)
		w = client_flush(client);
	if (events & LOOP_READ) {
		/* A callback of an outer round may have left frames behind. */
		handle_frames(client);
		r = client->closed ? 0 : ttrpc_reader_fill(&client->reader, client->fd);
		handle_frames(client);
	}
	/* Reading first: what the peer said before it went away still counts. */
	r = r < 0 ? r : w;
	if (r < 0)
		client_lost(client, r == -EPIPE ? "the connection was closed" : strerror(-r));
	client_release(client);
}

int ttrpc_client_create(struct loop *loop, int fd, void (*gone)(void *userdata), void *userdata,
			struct ttrpc_client **ret)
{
	_cleanup_free_ struct ttrpc_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->fd = fd;
	client->gone = gone;
	client->userdata = userdata;
	client->next_stream = 1;
	TAILQ_INIT(&client->calls);
	ttrpc_reader_init(&client->reader, TTRPC_FRAME_RESPONSE);
	ttrpc_writer_init(&client->writer, fd);
	r = fd_set_nonblock(fd, true);
	if (r < 0)
		return r;
	r = loop_add_fd(loop, fd, LOOP_READ, on_ready, client, &client->source);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(client);
	return 0;
}

/* ---- calls ---- */

void ttrpc_client_skip_streams(struct ttrpc_client *client, uint32_t n)
{
	client->next_stream += 2 * n;
}

void ttrpc_client_distrust(struct ttrpc_client *client, const char *peer)
{
	client->peer = peer;
}

static uint32_t take_stream(struct ttrpc_client *client)
{
	uint32_t stream;

	do {
		stream = client->next_stream;
		client->next_stream += 2;
		client->wrapped |= client->next_stream < stream;
	} while (client->wrapped && find_call(client, stream));
	return stream;
}

static void on_timeout(void *userdata)
{
	struct client_call *call = userdata;

	call_end_here(call, TTRPC_DEADLINE_EXCEEDED, "no answer in time");
}

static int start_call(struct ttrpc_client *client, const char *service, const char *method,
		      const ProtobufCMessage *request, uint64_t timeout_ms,
		      const struct client_call *template, struct client_call **ret)
{
	_cleanup_free_ struct client_call *call = malloc(sizeof(*call));
	struct ttrpc_packet *packet = NULL;
	int r;

	if (client->closed)
		return -EPIPE;
	if (client->writer.queued_bytes > TTRPC_QUEUE_MAX)
		return -ENOBUFS;
	if (!call)
		return -ENOMEM;
	*call = *template;
	call->client = client;
	call->stream = take_stream(client);
	r = wire_pack_request(call->stream, service, method, timeout_ms, request, &packet);
	if (r < 0)
		return r;
	if (timeout_ms > 0) {
		r = loop_add_timer(client->loop, timeout_ms, on_timeout, call, &call->timer);
		if (r < 0) {
			free(packet);
			return r;
		}
	}
	TAILQ_INSERT_TAIL(&client->calls, call, link);
	ttrpc_writer_add(&client->writer, packet);
	client_flush(client); /* a broken connection is reported by the loop, not in here */
	if (ret)
		*ret = call;
	TAKE_PTR(call);
	return 0;
}

int ttrpc_client_call(struct ttrpc_client *client, const char *service, const char *method,
		      const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
		      uint64_t timeout_ms, ttrpc_done_fn done, void *userdata)
{
	const struct client_call call = { .response = response,
					  .done = done,
					  .userdata = userdata };

	return start_call(client, service, method, request, timeout_ms, &call, NULL);
}

struct waiter {
	bool done;
	enum ttrpc_code code;
	struct err *err;
};

static void on_waited(enum ttrpc_code code, const char *message, const void *response,
		      void *userdata)
{
	struct waiter *waiter = userdata;

	waiter->done = true;
	waiter->code = code;
	if (code != TTRPC_OK)
		err_set(waiter->err, ttrpc_code_to_errno(code), "%s", message);
}

int ttrpc_client_call_wait(struct ttrpc_client *client, struct loop *loop, const char *service,
			   const char *method, const ProtobufCMessage *request,
			   const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
			   void *ret_response, struct err *err)
{
	struct waiter waiter = { .err = err };
	ProtobufCMessage *message = NULL;
	const struct client_call template = {
		.response = response, .done = on_waited, .userdata = &waiter, .keep = &message,
	};
	struct client_call *call;
	int r;

	r = start_call(client, service, method, request, timeout_ms, &template, &call);
	if (r < 0)
		return err_set_errno(err, r, "call %s", method);
	client_hold(client);
	while (!waiter.done) {
		handle_frames(client);
		if (waiter.done)
			break;
		r = loop_run_once(loop);
		if (r < 0 && !waiter.done) {
			call_unlink(call);
			free(call);
			client_release(client);
			return err_set_errno(err, r, "call %s", method);
		}
	}
	client_release(client);
	if (waiter.code != TTRPC_OK)
		return ttrpc_code_to_errno(waiter.code);
	if (ret_response)
		*(ProtobufCMessage **)ret_response = message;
	else
		protobuf_c_message_free_unpacked(message, NULL);
	return 0;
}
