/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc_rig.h - a ttrpc server whose peer is the test itself, byte by byte
 *
 * Used by test_ttrpc_server.c and test_ttrpc_client.c. The messages are those of the agent:
 * WriteInputRequest and ReadOutputResponse carry bytes, ProcessRef a text, Empty nothing.
 */
#ifndef ONGGI_TESTS_TTRPC_RIG_H
#define ONGGI_TESTS_TTRPC_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/proto/agent.pb-c.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"
#include "tests/unit/check_leaks.h"

#define SERVICE "test.Service"
/* Longer than this is a hang. */
#define RIG_TIMEOUT_MS 200000
#define HELD_MAX 4096

struct rig {
	struct loop *loop;
	struct ttrpc_server *server;
	int peer; /* the raw other end of the server's connection */
	struct ttrpc_call *held[HELD_MAX];
	size_t n_held;
	size_t n_handled;
	unsigned int n_gone;
	size_t reply_bytes; /* of the method Big */
	bool timed_out;
};

static void rig_echo(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Onggi__Agent__V1__WriteInputRequest *in = request;
	Onggi__Agent__V1__ReadOutputResponse out = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;
	struct rig *rig = userdata;

	rig->n_handled++;
	out.data = in->data;
	ttrpc_call_reply(call, &out.base);
}

static void rig_hold(struct ttrpc_call *call, const void *request, void *userdata)
{
	struct rig *rig = userdata;

	assert_true(rig->n_held < HELD_MAX);
	rig->held[rig->n_held++] = call;
	rig->n_handled++;
}

static void rig_fail(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *in = request;

	ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no container '%s'", in->container_id);
}

static void rig_big(struct ttrpc_call *call, const void *request, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse out = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;
	struct rig *rig = userdata;

	rig->n_handled++;
	out.data.len = rig->reply_bytes;
	out.data.data = calloc(1, rig->reply_bytes);
	assert_non_null(out.data.data);
	ttrpc_call_reply(call, &out.base);
	free(out.data.data);
}

/* Takes the ground away from under its own call. */
static void rig_destroy(struct ttrpc_call *call, const void *request, void *userdata)
{
	struct rig *rig = userdata;

	rig->n_handled++;
	ttrpc_server_destroy(rig->server);
	rig->server = NULL;
	assert_null(ttrpc_call_conn(call));
	ttrpc_call_fail(call, TTRPC_ABORTED, "gone");
}

static void rig_on_gone(struct ttrpc_conn *conn, void *userdata)
{
	((struct rig *)userdata)->n_gone++;
}

static const struct ttrpc_method rig_methods[] = {
	{ "Echo", &onggi__agent__v1__write_input_request__descriptor,
	  &onggi__agent__v1__read_output_response__descriptor, rig_echo },
	{ "Hold", &onggi__agent__v1__empty__descriptor, &onggi__agent__v1__empty__descriptor,
	  rig_hold },
	{ "HoldBytes", &onggi__agent__v1__empty__descriptor,
	  &onggi__agent__v1__read_output_response__descriptor, rig_hold },
	{ "Fail", &onggi__agent__v1__process_ref__descriptor, &onggi__agent__v1__empty__descriptor,
	  rig_fail },
	{ "Big", &onggi__agent__v1__empty__descriptor,
	  &onggi__agent__v1__read_output_response__descriptor, rig_big },
	{ "Destroy", &onggi__agent__v1__empty__descriptor, &onggi__agent__v1__empty__descriptor,
	  rig_destroy },
};

static void rig_serve(struct rig *rig, struct ttrpc_service *service)
{
	*service = (struct ttrpc_service){ SERVICE, rig_methods, ARRAY_SIZE(rig_methods), rig };
	assert_int_equal(ttrpc_server_create(rig->loop, service, 1, &rig->server), 0);
}

/* ---- the loop ---- */

static void rig_on_timeout(void *userdata)
{
	((struct rig *)userdata)->timed_out = true;
}

static inline struct loop_source *rig_start_timer(struct rig *rig, uint64_t ms)
{
	struct loop_source *timer;

	rig->timed_out = false;
	assert_int_equal(loop_add_timer(rig->loop, ms, rig_on_timeout, rig, &timer), 0);
	return timer;
}

/* Run the loop for at least @ms. */
static inline void rig_run_for(struct rig *rig, uint64_t ms)
{
	struct loop_source *timer = rig_start_timer(rig, ms);

	while (!rig->timed_out)
		assert_int_equal(loop_run_once(rig->loop), 0);
	loop_source_destroy(timer);
}

#define rig_run_until(rig, condition)                                             \
	do {                                                                      \
		struct loop_source *_timer = rig_start_timer(rig, RIG_TIMEOUT_MS); \
                                                                                  \
		while (!(condition) && !(rig)->timed_out)                         \
			assert_int_equal(loop_run_once((rig)->loop), 0);          \
		loop_source_destroy(_timer);                                      \
		if (!(condition))                                                 \
			fail_msg("did not come about: %s", #condition);           \
	} while (0)

/* ---- the raw peer ---- */

/* Send and receive on the raw end while the loop runs. */
static inline void raw_send(struct rig *rig, const void *data, size_t len)
{
	const uint8_t *p = data;
	ssize_t n;

	while (len > 0) {
		n = send(rig->peer, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(loop_run_once(rig->loop), 0);
	}
}

static inline void raw_receive(struct rig *rig, void *data, size_t len)
{
	uint8_t *p = data;
	ssize_t n;

	while (len > 0) {
		n = recv(rig->peer, p, len, MSG_DONTWAIT);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0)
			fail_msg("the connection was closed");
		assert_int_equal(errno, EAGAIN);
		rig_run_until(
			rig, poll(&(struct pollfd){ .fd = rig->peer, .events = POLLIN }, 1, 0) > 0);
	}
}

static inline void raw_send_header(struct rig *rig, uint32_t stream, uint8_t type, uint32_t length)
{
	const struct ttrpc_header header = { .stream = stream, .type = type, .length = length };
	uint8_t bytes[TTRPC_HEADER_BYTES];

	ttrpc_header_encode(&header, bytes);
	raw_send(rig, bytes, sizeof(bytes));
}

/* A request frame, header included; freed by the caller. */
static inline uint8_t *pack_request(uint32_t stream, const char *service, const char *method,
				    const ProtobufCMessage *message, size_t *ret_len)
{
	Onggi__Ttrpc__Request request = ONGGI__TTRPC__REQUEST__INIT;
	struct ttrpc_header header = { .stream = stream, .type = TTRPC_FRAME_REQUEST };
	uint8_t *bytes;

	request.service = (char *)service;
	request.method = (char *)method;
	if (message) {
		request.payload.len = protobuf_c_message_get_packed_size(message);
		request.payload.data = malloc(request.payload.len + 1);
		protobuf_c_message_pack(message, request.payload.data);
	}
	header.length = (uint32_t)onggi__ttrpc__request__get_packed_size(&request);
	bytes = malloc(TTRPC_HEADER_BYTES + header.length);
	assert_non_null(bytes);
	ttrpc_header_encode(&header, bytes);
	onggi__ttrpc__request__pack(&request, bytes + TTRPC_HEADER_BYTES);
	free(request.payload.data);
	*ret_len = TTRPC_HEADER_BYTES + header.length;
	return bytes;
}

static inline void raw_request(struct rig *rig, uint32_t stream, const char *method,
			       const ProtobufCMessage *message)
{
	size_t len;
	uint8_t *bytes = pack_request(stream, SERVICE, method, message, &len);

	raw_send(rig, bytes, len);
	free(bytes);
}

static inline void raw_echo(struct rig *rig, uint32_t stream, const char *text)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;

	in.data.data = (uint8_t *)text;
	in.data.len = strlen(text);
	raw_request(rig, stream, "Echo", &in.base);
}

/* The next response; freed with onggi__ttrpc__response__free_unpacked. */
static inline Onggi__Ttrpc__Response *raw_response(struct rig *rig, uint32_t *ret_stream)
{
	uint8_t bytes[TTRPC_HEADER_BYTES], *payload;
	Onggi__Ttrpc__Response *response;
	struct ttrpc_header header;

	raw_receive(rig, bytes, sizeof(bytes));
	ttrpc_header_decode(bytes, &header);
	assert_int_equal(header.type, TTRPC_FRAME_RESPONSE);
	assert_int_equal(header.flags, 0);
	assert_true(header.length <= TTRPC_PAYLOAD_MAX);
	payload = malloc(header.length + 1);
	raw_receive(rig, payload, header.length);
	response = onggi__ttrpc__response__unpack(NULL, header.length, payload);
	free(payload);
	assert_non_null(response);
	*ret_stream = header.stream;
	return response;
}

/* Take any response. */
static inline void raw_skip(struct rig *rig)
{
	uint32_t stream;

	onggi__ttrpc__response__free_unpacked(raw_response(rig, &stream), NULL);
}

/* Expect a response on @stream with @code. */
static inline void raw_expect(struct rig *rig, uint32_t stream, enum ttrpc_code code)
{
	uint32_t got;
	Onggi__Ttrpc__Response *response = raw_response(rig, &got);

	assert_int_equal(got, stream);
	assert_int_equal(response->status ? response->status->code : 0, code);
	if (response->status)
		assert_true(strlen(response->status->message) > 0);
	onggi__ttrpc__response__free_unpacked(response, NULL);
}

/* Expect the echo of @text on @stream. */
static inline void raw_expect_echo(struct rig *rig, uint32_t stream, const char *text)
{
	Onggi__Agent__V1__ReadOutputResponse *out;
	Onggi__Ttrpc__Response *response;
	uint32_t got;

	response = raw_response(rig, &got);
	assert_int_equal(got, stream);
	assert_null(response->status);
	out = onggi__agent__v1__read_output_response__unpack(NULL, response->payload.len,
							     response->payload.data);
	assert_non_null(out);
	assert_int_equal(out->data.len, strlen(text));
	assert_memory_equal(out->data.data, text, strlen(text));
	onggi__agent__v1__read_output_response__free_unpacked(out, NULL);
	onggi__ttrpc__response__free_unpacked(response, NULL);
}

#endif
