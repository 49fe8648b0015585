/* SPDX-License-Identifier: Apache-2.0 */
/* What a ttrpc client tells its callers, whatever the server at the other end does. */
#include "tests/unit/own_clock.h"
#include "tests/unit/ttrpc_rig.h"

/* A client whose server is the test itself (rig.peer), or the rig's server. */
struct client_rig {
	struct rig rig;
	struct ttrpc_client *client;
	unsigned int n_gone;
	unsigned int n_done;
	unsigned int done_when_gone;
	enum ttrpc_code code; /* of the last call that ended */
	char message[256];
	size_t n_bytes; /* in the last response */
};

static struct ttrpc_service service;
static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

#define BYTES &onggi__agent__v1__read_output_response__descriptor
#define EMPTY &onggi__agent__v1__empty__descriptor

static void on_client_gone(void *userdata)
{
	struct client_rig *r = userdata;

	r->n_gone++;
	r->done_when_gone = r->n_done;
}

static void client_start(struct client_rig *r, bool with_server)
{
	int fds[2];

	memset(r, 0, sizeof(*r));
	r->rig.peer = -EBADF;
	assert_int_equal(loop_create(&r->rig.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(ttrpc_client_create(r->rig.loop, fds[0], on_client_gone, r, &r->client),
			 0);
	if (with_server) {
		rig_serve(&r->rig, &service);
		assert_int_equal(ttrpc_server_add(r->rig.server, fds[1], rig_on_gone, &r->rig), 0);
	} else {
		r->rig.peer = fds[1];
	}
}

static void client_stop(struct client_rig *r)
{
	size_t i;

	ttrpc_client_destroy(r->client);
	ttrpc_server_destroy(r->rig.server);
	for (i = 0; i < r->rig.n_held; i++)
		ttrpc_call_fail(r->rig.held[i], TTRPC_CANCELED, "late");
	loop_destroy(r->rig.loop);
	if (r->rig.peer >= 0)
		close(r->rig.peer);
}

static void on_done(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct client_rig *r = userdata;

	assert_non_null(message);
	assert_int_equal(code == TTRPC_OK, response != NULL);
	r->n_done++;
	r->code = code;
	snprintf(r->message, sizeof(r->message), "%s", message);
	if (response && ((const ProtobufCMessage *)response)->descriptor == BYTES)
		r->n_bytes = ((const Onggi__Agent__V1__ReadOutputResponse *)response)->data.len;
}

static int start(struct client_rig *r, const char *method, uint64_t timeout_ms)
{
	return ttrpc_client_call(r->client, SERVICE, method, &empty.base, EMPTY, timeout_ms,
				 on_done, r);
}

/* Take one request off the raw end. Returns its stream id. */
static uint32_t raw_take_request(struct client_rig *r, int64_t *ret_timeout_nano)
{
	uint8_t bytes[TTRPC_HEADER_BYTES], *payload;
	Onggi__Ttrpc__Request *request;
	struct ttrpc_header header;

	raw_receive(&r->rig, bytes, sizeof(bytes));
	ttrpc_header_decode(bytes, &header);
	assert_int_equal(header.type, TTRPC_FRAME_REQUEST);
	payload = malloc(header.length + 1);
	raw_receive(&r->rig, payload, header.length);
	request = onggi__ttrpc__request__unpack(NULL, header.length, payload);
	free(payload);
	assert_non_null(request);
	assert_string_equal(request->service, SERVICE);
	if (ret_timeout_nano)
		*ret_timeout_nano = request->timeout_nano;
	onggi__ttrpc__request__free_unpacked(request, NULL);
	return header.stream;
}

static void raw_answer(struct client_rig *r, uint32_t stream, int32_t code, const char *message)
{
	Onggi__Ttrpc__Response response = ONGGI__TTRPC__RESPONSE__INIT;
	Onggi__Ttrpc__Status status = ONGGI__TTRPC__STATUS__INIT;
	uint8_t bytes[512];
	size_t len;

	status.code = code;
	status.message = (char *)message;
	response.status = &status;
	len = onggi__ttrpc__response__pack(&response, bytes);
	raw_send_header(&r->rig, stream, TTRPC_FRAME_RESPONSE, (uint32_t)len);
	raw_send(&r->rig, bytes, len);
}

/* ---- claims ---- */

static void call_wait_returns_the_response(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	Onggi__Agent__V1__ReadOutputResponse *out = NULL;
	struct err err = ERR_INIT;
	struct client_rig r;

	client_start(&r, true);
	in.data.data = (uint8_t *)"abc";
	in.data.len = 3;
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Echo", &in.base,
						BYTES, 0, &out, &err),
			 0);
	assert_int_equal(out->data.len, 3);
	assert_memory_equal(out->data.data, "abc", 3);
	onggi__agent__v1__read_output_response__free_unpacked(out, NULL);
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Echo", &in.base,
						BYTES, 0, NULL, &err),
			 0);
	client_stop(&r);
}

static void call_wait_reports_the_peers_text(void **state)
{
	Onggi__Agent__V1__ProcessRef in = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	Onggi__Agent__V1__Empty *out = NULL;
	struct err err = ERR_INIT;
	struct client_rig r;

	client_start(&r, true);
	in.container_id = (char *)"c%sd"; /* no format */
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Fail", &in.base,
						EMPTY, 0, &out, &err),
			 -ENOENT);
	assert_null(out);
	assert_int_equal(err.code, -ENOENT);
	assert_string_equal(err.text, "no container 'c%sd'");
	client_stop(&r);
}

static void call_wait_ends_when_time_is_over(void **state)
{
	struct err err = ERR_INIT;
	struct client_rig r;

	client_start(&r, true);
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Hold", &empty.base,
						EMPTY, 20, NULL, &err),
			 -ETIMEDOUT);
	assert_true(strlen(err.text) > 0);
	client_stop(&r);
}

static void call_wait_ends_when_the_connection_does(void **state)
{
	struct err err = ERR_INIT;
	struct client_rig r;

	client_start(&r, true);
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Destroy",
						&empty.base, EMPTY, 0, NULL, &err),
			 -EPIPE);
	assert_int_equal(ttrpc_client_call_wait(r.client, r.rig.loop, SERVICE, "Echo", &empty.base,
						EMPTY, 0, NULL, &err),
			 -EPIPE);
	client_stop(&r);
}

static void calls_use_odd_rising_ids_and_tell_their_timeout(void **state)
{
	struct client_rig r;
	int64_t nano;
	uint32_t id;

	client_start(&r, false);
	for (id = 1; id < 20; id += 2) {
		assert_int_equal(start(&r, "Any", id * 1000), 0);
		assert_int_equal(raw_take_request(&r, &nano), id);
		assert_int_equal(nano, (int64_t)id * 1000000000);
	}
	client_stop(&r);
	assert_int_equal(r.n_done, 10);
	assert_int_equal(r.code, TTRPC_CANCELED);
}

static void late_answer_is_ignored(void **state)
{
	struct client_rig r;
	uint32_t first, second;

	clock_stop();
	client_start(&r, false);
	assert_int_equal(start(&r, "Any", 10), 0);
	first = raw_take_request(&r, NULL);
	clock_ahead_ms += 10;
	rig_run_until(&r.rig, r.n_done == 1);
	clock_run();
	assert_int_equal(r.code, TTRPC_DEADLINE_EXCEEDED);
	assert_int_equal(start(&r, "Any", 0), 0);
	second = raw_take_request(&r, NULL);
	raw_answer(&r, first, 0, "");
	raw_answer(&r, second, TTRPC_ABORTED, "second");
	rig_run_until(&r.rig, r.n_done == 2);
	assert_int_equal(r.code, TTRPC_ABORTED);
	assert_string_equal(r.message, "second");
	client_stop(&r);
	assert_int_equal(r.n_done, 2);
}

static void answers_nobody_waits_for_are_ignored(void **state)
{
	struct client_rig r;
	uint32_t stream;

	client_start(&r, false);
	raw_answer(&r, 1, 0, "");
	raw_answer(&r, 0, 5, "x");
	raw_answer(&r, 4000000001u, 5, "x");
	assert_int_equal(start(&r, "Any", 0), 0);
	stream = raw_take_request(&r, NULL);
	raw_answer(&r, 2, 0, "");
	raw_send_header(&r.rig, stream, TTRPC_FRAME_DATA, 3);
	raw_send(&r.rig, "abc", 3);
	raw_send_header(&r.rig, stream, TTRPC_FRAME_REQUEST, 0);
	raw_answer(&r, stream, 0, "");
	raw_answer(&r, stream, 0, "");
	rig_run_until(&r.rig, r.n_done == 1);
	assert_int_equal(r.code, TTRPC_OK);
	rig_run_for(&r.rig, 20);
	assert_int_equal(r.n_done, 1);
	assert_int_equal(r.n_gone, 0);
	client_stop(&r);
}

static void malformed_response_fails_that_call_only(void **state)
{
	/*
	 * An envelope that is none, one around a message that is none, and a status without a text.
	 */
	static const char bad[2][8] = { "\xff\xff\xff\xff", "\x12\x02\xff\xff" };
	struct client_rig r;
	size_t i;

	client_start(&r, false);
	for (i = 0; i < 2; i++) {
		assert_int_equal(start(&r, "Any", 0), 0);
		raw_send_header(&r.rig, raw_take_request(&r, NULL), TTRPC_FRAME_RESPONSE, 4);
		raw_send(&r.rig, bad[i], 4);
		rig_run_until(&r.rig, r.n_done == i + 1);
		assert_int_equal(r.code, TTRPC_INTERNAL);
	}
	assert_int_equal(start(&r, "Any", 0), 0);
	raw_answer(&r, raw_take_request(&r, NULL), -7, "");
	rig_run_until(&r.rig, r.n_done == 3);
	assert_int_equal(r.code, TTRPC_UNKNOWN);
	assert_true(strlen(r.message) > 0);
	client_stop(&r);
}

static void response_over_4mib_fails_that_call_only(void **state)
{
	uint8_t *bytes = calloc(1, TTRPC_PAYLOAD_MAX + 1);
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start(&r, "Any", 0), 0);
	raw_send_header(&r.rig, raw_take_request(&r, NULL), TTRPC_FRAME_RESPONSE,
			TTRPC_PAYLOAD_MAX + 1);
	raw_send(&r.rig, bytes, TTRPC_PAYLOAD_MAX + 1);
	rig_run_until(&r.rig, r.n_done == 1);
	assert_int_equal(r.code, TTRPC_RESOURCE_EXHAUSTED);
	assert_int_equal(start(&r, "Any", 0), 0);
	raw_answer(&r, raw_take_request(&r, NULL), 0, "");
	rig_run_until(&r.rig, r.n_done == 2);
	assert_int_equal(r.code, TTRPC_OK);
	free(bytes);
	client_stop(&r);
}

static void gone_is_told_after_the_calls_have_ended(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start(&r, "Any", 0), 0);
	assert_int_equal(start(&r, "Any", 60000), 0);
	close(r.rig.peer);
	r.rig.peer = -EBADF;
	rig_run_until(&r.rig, r.n_gone == 1);
	assert_int_equal(r.done_when_gone, 2);
	assert_int_equal(r.code, TTRPC_UNAVAILABLE);
	assert_int_equal(start(&r, "Any", 0), -EPIPE);
	client_stop(&r);
	assert_int_equal(r.n_gone, 1);
}

static void answer_before_the_end_still_counts(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start(&r, "Any", 0), 0);
	raw_answer(&r, raw_take_request(&r, NULL), 0, "");
	close(r.rig.peer);
	r.rig.peer = -EBADF;
	rig_run_until(&r.rig, r.n_gone == 1);
	assert_int_equal(r.n_done, 1);
	assert_int_equal(r.code, TTRPC_OK);
	client_stop(&r);
}

static void connection_that_takes_no_requests_any_more_is_gone(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(shutdown(r.rig.peer, SHUT_RD), 0);
	assert_int_equal(start(&r, "Any", 0), 0);
	rig_run_until(&r.rig, r.n_gone == 1);
	assert_int_equal(r.code, TTRPC_UNAVAILABLE);
	client_stop(&r);
}

static void destroying_cancels_calls_and_tells_no_gone(void **state)
{
	struct client_rig r;

	client_start(&r, true);
	assert_int_equal(start(&r, "Hold", 0), 0);
	assert_int_equal(start(&r, "Hold", 1000), 0);
	ttrpc_client_destroy(r.client);
	r.client = NULL;
	assert_int_equal(r.n_done, 2);
	assert_int_equal(r.code, TTRPC_CANCELED);
	client_stop(&r);
	assert_int_equal(r.n_gone, 0);
}

static void on_done_destroy(enum ttrpc_code code, const char *message, const void *response,
			    void *userdata)
{
	struct client_rig *r = userdata;

	on_done(code, message, response, userdata);
	assert_true(strlen(message) < 200); /* still there */
	ttrpc_client_destroy(r->client);
	r->client = NULL;
}

static int start_destroying(struct client_rig *r, const char *method, uint64_t timeout_ms)
{
	return ttrpc_client_call(r->client, SERVICE, method, &empty.base, EMPTY, timeout_ms,
				 on_done_destroy, r);
}

static void ids_that_another_client_has_used_are_skipped(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	ttrpc_client_skip_streams(r.client, 2);
	assert_int_equal(start(&r, "Any", 0), 0);
	assert_int_equal(raw_take_request(&r, NULL), 5);
	raw_answer(&r, 5, 0, "");
	rig_run_until(&r.rig, r.n_done == 1);
	client_stop(&r);
}

static void client_may_be_destroyed_in_the_callback_of_an_answer(void **state)
{
	struct client_rig r;
	uint32_t stream;

	client_start(&r, false);
	assert_int_equal(start_destroying(&r, "Any", 0), 0);
	assert_int_equal(start(&r, "Any", 0), 0);
	stream = raw_take_request(&r, NULL);
	raw_answer(&r, stream, 0, "");
	raw_answer(&r, stream + 2, 0, "");
	rig_run_until(&r.rig, r.client == NULL);
	assert_int_equal(r.n_done, 2);
	assert_int_equal(r.code, TTRPC_CANCELED);
	client_stop(&r);
}

static void client_may_be_destroyed_in_the_callback_of_a_failure(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start_destroying(&r, "Any", 0), 0);
	raw_answer(&r, raw_take_request(&r, NULL), TTRPC_ABORTED, "no");
	rig_run_until(&r.rig, r.client == NULL);
	client_stop(&r);
}

static void client_may_be_destroyed_in_the_callback_of_a_timeout(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start_destroying(&r, "Any", 5), 0);
	assert_int_equal(start(&r, "Any", 5), 0);
	rig_run_until(&r.rig, r.client == NULL);
	assert_int_equal(r.n_done, 2);
	client_stop(&r);
}

static void client_may_be_destroyed_when_the_connection_ends(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(start(&r, "Any", 0), 0);
	assert_int_equal(start_destroying(&r, "Any", 0), 0);
	assert_int_equal(start(&r, "Any", 0), 0);
	close(r.rig.peer);
	r.rig.peer = -EBADF;
	rig_run_until(&r.rig, r.client == NULL);
	assert_int_equal(r.n_done, 3);
	assert_int_equal(r.n_gone, 0);
	client_stop(&r);
}

static void on_gone_destroy(void *userdata)
{
	struct client_rig *r = userdata;

	ttrpc_client_destroy(r->client);
	r->client = NULL;
}

static void client_may_be_destroyed_in_its_gone_callback(void **state)
{
	struct client_rig r;
	int fds[2];

	client_start(&r, false);
	ttrpc_client_destroy(r.client);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(ttrpc_client_create(r.rig.loop, fds[0], on_gone_destroy, &r, &r.client),
			 0);
	assert_int_equal(start(&r, "Any", 0), 0);
	close(fds[1]);
	rig_run_until(&r.rig, r.client == NULL);
	assert_int_equal(r.code, TTRPC_UNAVAILABLE);
	client_stop(&r);
}

static void on_done_wait(enum ttrpc_code code, const char *message, const void *response,
			 void *userdata)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	Onggi__Agent__V1__ReadOutputResponse *out = NULL;
	struct client_rig *r = userdata;
	struct err err = ERR_INIT;

	in.data.data = (uint8_t *)"nested";
	in.data.len = 6;
	assert_int_equal(ttrpc_client_call_wait(r->client, r->rig.loop, SERVICE, "Echo", &in.base,
						BYTES, RIG_TIMEOUT_MS, &out, &err),
			 0);
	assert_int_equal(out->data.len, 6);
	onggi__agent__v1__read_output_response__free_unpacked(out, NULL);
	on_done(code, message, response, userdata);
}

static void callback_may_wait_for_another_call(void **state)
{
	struct client_rig r;
	int i;

	client_start(&r, true);
	/*
	 * Several, so that answers of one read are still unhandled while the first callback waits.
	 */
	for (i = 0; i < 5; i++)
		assert_int_equal(ttrpc_client_call(r.client, SERVICE, "Echo", &empty.base, BYTES, 0,
						   on_done_wait, &r),
				 0);
	rig_run_until(&r.rig, r.n_done == 5);
	client_stop(&r);
}

/* The answer that the nested wait needs came with the one whose callback waits. */
static void on_done_wait_for_buffered(enum ttrpc_code code, const char *message,
				      const void *response, void *userdata)
{
	struct client_rig *r = userdata;
	struct err err = ERR_INIT;

	assert_int_equal(ttrpc_client_call_wait(r->client, r->rig.loop, SERVICE, "Any", &empty.base,
						EMPTY, 2000, NULL, &err),
			 0);
	on_done(code, message, response, userdata);
}

static void nested_wait_sees_answers_that_were_read_already(void **state)
{
	struct client_rig r;
	uint32_t stream;

	client_start(&r, false);
	assert_int_equal(ttrpc_client_call(r.client, SERVICE, "Any", &empty.base, EMPTY, 0,
					   on_done_wait_for_buffered, &r),
			 0);
	stream = raw_take_request(&r, NULL);
	/* Answered before it is asked: the id is known. In one send, hence in one read. */
	{
		uint8_t both[2 * TTRPC_HEADER_BYTES];
		struct ttrpc_header header = { .type = TTRPC_FRAME_RESPONSE, .stream = stream };

		ttrpc_header_encode(&header, both);
		header.stream = stream + 2;
		ttrpc_header_encode(&header, both + TTRPC_HEADER_BYTES);
		raw_send(&r.rig, both, sizeof(both));
	}
	rig_run_until(&r.rig, r.n_done == 1);
	assert_int_equal(r.code, TTRPC_OK);
	client_stop(&r);
}

static void request_over_4mib_is_refused_at_once(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	struct client_rig r;

	client_start(&r, true);
	in.data.len = TTRPC_PAYLOAD_MAX;
	in.data.data = calloc(1, in.data.len);
	assert_int_equal(
		ttrpc_client_call(r.client, SERVICE, "Echo", &in.base, BYTES, 0, on_done, &r),
		-EMSGSIZE);
	in.data.len -= 64;
	assert_int_equal(
		ttrpc_client_call(r.client, SERVICE, "Echo", &in.base, BYTES, 0, on_done, &r), 0);
	rig_run_until(&r.rig, r.n_done == 1);
	assert_int_equal(r.code, TTRPC_OK);
	assert_int_equal(r.n_bytes, in.data.len);
	free(in.data.data);
	client_stop(&r);
}

static void peer_that_reads_nothing_cannot_fill_memory(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	struct client_rig r;
	int n = 0, rc;

	client_start(&r, false);
	in.data.len = 1u << 20;
	in.data.data = calloc(1, in.data.len);
	do
		rc = ttrpc_client_call(r.client, SERVICE, "Echo", &in.base, BYTES, 0, on_done, &r);
	while (rc == 0 && ++n < 1000);
	assert_int_equal(rc, -ENOBUFS);
	assert_in_range(n, 16, 20);
	free(in.data.data);
	client_stop(&r);
	assert_int_equal(r.n_done, n);
}

/* 100 MB in messages of 1 MiB: the bulk of what a container prints. */
static void bulk_output_passes(void **state)
{
	struct client_rig r;
	unsigned int i;

	client_start(&r, true);
	r.rig.reply_bytes = 1u << 20;
	for (i = 0; i < 100; i++)
		assert_int_equal(ttrpc_client_call(r.client, SERVICE, "Big", &empty.base, BYTES, 0,
						   on_done, &r),
				 0);
	rig_run_until(&r.rig, r.n_done == 100);
	assert_int_equal(r.code, TTRPC_OK);
	assert_int_equal(r.n_bytes, 1u << 20);
	client_stop(&r);
}

static void hundreds_of_calls_wait_on_one_connection(void **state)
{
	struct client_rig r;
	unsigned int i;

	client_start(&r, true);
	for (i = 0; i < 900; i++)
		assert_int_equal(start(&r, "Hold", 0), 0);
	rig_run_until(&r.rig, r.rig.n_held == 900);
	/* Backwards. */
	for (i = 900; i > 0; i--)
		ttrpc_call_reply(r.rig.held[i - 1], &empty.base);
	r.rig.n_held = 0;
	rig_run_until(&r.rig, r.n_done == 900);
	assert_int_equal(r.code, TTRPC_OK);
	client_stop(&r);
}

/* Who deals with a lost connection would wait for it without an end. */
static void distrusted_peer_cannot_claim_that_the_connection_is_lost(void **state)
{
	static const int32_t claims[] = { TTRPC_UNAVAILABLE, TTRPC_CANCELED };
	static const enum ttrpc_code wants[] = { TTRPC_UNKNOWN, TTRPC_DATA_LOSS };
	struct client_rig r;

	client_start(&r, false);
	for (size_t i = 0; i < ARRAY_SIZE(claims); i++) {
		assert_int_equal(start(&r, "Any", 0), 0);
		raw_answer(&r, raw_take_request(&r, NULL), claims[i], "gone");
		rig_run_until(&r.rig, r.n_done == 2 * i + 1);
		assert_int_equal(r.code, claims[i]);
		ttrpc_client_distrust(r.client, "the other");
		assert_int_equal(start(&r, "Any", 0), 0);
		raw_answer(&r, raw_take_request(&r, NULL), claims[i], "gone");
		rig_run_until(&r.rig, r.n_done == 2 * i + 2);
		assert_int_equal(r.code, wants[i]);
		assert_string_equal(r.message, "gone");
		ttrpc_client_distrust(r.client, NULL);
	}
	client_stop(&r);
}

static void messages_about_a_distrusted_peer_name_it(void **state)
{
	struct client_rig r;

	client_start(&r, false);
	ttrpc_client_distrust(r.client, "the other");
	assert_int_equal(start(&r, "Any", 10), 0);
	rig_run_until(&r.rig, r.n_done == 1);
	assert_string_equal(r.message, "the other: no answer in time");
	assert_int_equal(start(&r, "Any", 0), 0);
	raw_take_request(&r, NULL);
	raw_send_header(&r.rig, raw_take_request(&r, NULL), TTRPC_FRAME_RESPONSE, 3);
	raw_send(&r.rig, "\xff\xff\xff", 3);
	rig_run_until(&r.rig, r.n_done == 2);
	assert_string_equal(r.message, "the other: the response is malformed");
	client_stop(&r);
}

static void client_refuses_what_is_no_descriptor(void **state)
{
	struct ttrpc_client *client = NULL;
	struct client_rig r;

	client_start(&r, false);
	assert_int_equal(ttrpc_client_create(r.rig.loop, -1, NULL, NULL, &client), -EBADF);
	assert_null(client);
	ttrpc_client_destroy(NULL);
	client_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(call_wait_returns_the_response),
		leak_checked(call_wait_reports_the_peers_text),
		leak_checked(call_wait_ends_when_time_is_over),
		leak_checked(call_wait_ends_when_the_connection_does),
		leak_checked(calls_use_odd_rising_ids_and_tell_their_timeout),
		leak_checked(late_answer_is_ignored),
		leak_checked(answers_nobody_waits_for_are_ignored),
		leak_checked(malformed_response_fails_that_call_only),
		leak_checked(response_over_4mib_fails_that_call_only),
		leak_checked(gone_is_told_after_the_calls_have_ended),
		leak_checked(answer_before_the_end_still_counts),
		leak_checked(connection_that_takes_no_requests_any_more_is_gone),
		leak_checked(destroying_cancels_calls_and_tells_no_gone),
		leak_checked(ids_that_another_client_has_used_are_skipped),
		leak_checked(client_may_be_destroyed_in_the_callback_of_an_answer),
		leak_checked(client_may_be_destroyed_in_the_callback_of_a_failure),
		leak_checked(client_may_be_destroyed_in_the_callback_of_a_timeout),
		leak_checked(client_may_be_destroyed_when_the_connection_ends),
		leak_checked(client_may_be_destroyed_in_its_gone_callback),
		leak_checked(callback_may_wait_for_another_call),
		leak_checked(nested_wait_sees_answers_that_were_read_already),
		leak_checked(request_over_4mib_is_refused_at_once),
		leak_checked(peer_that_reads_nothing_cannot_fill_memory),
		leak_checked(bulk_output_passes),
		leak_checked(hundreds_of_calls_wait_on_one_connection),
		leak_checked(distrusted_peer_cannot_claim_that_the_connection_is_lost),
		leak_checked(messages_about_a_distrusted_peer_name_it),
		leak_checked(client_refuses_what_is_no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
