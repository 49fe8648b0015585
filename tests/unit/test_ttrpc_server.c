/* SPDX-License-Identifier: Apache-2.0 */
/* What a ttrpc server does with a peer that follows the protocol, and with one that does not. */
#include "tests/unit/ttrpc_rig.h"

#include <pty.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include "common/io.h"
#include "common/path.h"

static struct ttrpc_service service;

static void rig_start(struct rig *rig)
{
	int fds[2];

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_create(&rig->loop), 0);
	rig_serve(rig, &service);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(ttrpc_server_add(rig->server, fds[0], rig_on_gone, rig), 0);
	rig->peer = fds[1];
}

static void rig_stop(struct rig *rig)
{
	size_t i;

	ttrpc_server_destroy(rig->server);
	/* Calls outlive their server. */
	for (i = 0; i < rig->n_held; i++)
		if (rig->held[i])
			ttrpc_call_fail(rig->held[i], TTRPC_CANCELED, "late");
	assert_int_equal(rig->n_gone, 1);
	loop_destroy(rig->loop);
	if (rig->peer >= 0)
		close(rig->peer);
}

static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

static void reply_held(struct rig *rig, size_t i)
{
	struct ttrpc_call *call = rig->held[i];

	rig->held[i] = NULL;
	ttrpc_call_reply(call, &empty.base);
}

static void server_echoes(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_echo(&rig, 1, "hello");
	raw_expect_echo(&rig, 1, "hello");
	raw_echo(&rig, 3, "");
	raw_expect_echo(&rig, 3, "");
	rig_stop(&rig);
}

static void server_passes_code_and_text_of_a_failure(void **state)
{
	Onggi__Agent__V1__ProcessRef in = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	Onggi__Ttrpc__Response *response;
	struct rig rig;
	uint32_t stream;

	rig_start(&rig);
	in.container_id = (char *)"c1";
	raw_request(&rig, 1, "Fail", &in.base);
	response = raw_response(&rig, &stream);
	assert_int_equal(response->status->code, TTRPC_NOT_FOUND);
	assert_string_equal(response->status->message, "no container 'c1'");
	onggi__ttrpc__response__free_unpacked(response, NULL);
	rig_stop(&rig);
}

static void server_sends_texts_as_valid_utf8(void **state)
{
	Onggi__Ttrpc__Response *response;
	struct rig rig;
	uint32_t stream;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_until(&rig, rig.n_held == 1);
	ttrpc_call_fail(rig.held[0], TTRPC_INTERNAL, "name '%s'", "a\xff\xc3(");
	rig.n_held = 0;
	response = raw_response(&rig, &stream);
	assert_string_equal(response->status->message, "name 'a?" "?('");
	onggi__ttrpc__response__free_unpacked(response, NULL);
	rig_stop(&rig);
}

static void server_reads_frames_byte_by_byte(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	struct rig rig;
	uint8_t *bytes;
	size_t len, i;

	rig_start(&rig);
	in.data.data = (uint8_t *)"drip";
	in.data.len = 4;
	bytes = pack_request(1, SERVICE, "Echo", &in.base, &len);
	for (i = 0; i < len; i++) {
		assert_int_equal(rig.n_handled, 0);
		assert_int_equal(send(rig.peer, bytes + i, 1, 0), 1);
		assert_int_equal(loop_run_once(rig.loop), 0);
	}
	free(bytes);
	raw_expect_echo(&rig, 1, "drip");
	rig_stop(&rig);
}

/* A request that splits between any two bytes of three frames in a row. */
static void server_reads_frames_split_anywhere(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	uint8_t all[512], *bytes;
	size_t len, used = 0, split;
	struct rig rig;
	uint32_t id;

	in.data.data = (uint8_t *)"xy";
	in.data.len = 2;
	for (id = 1; id <= 5; id += 2) {
		bytes = pack_request(id, SERVICE, "Echo", &in.base, &len);
		assert_true(used + len <= sizeof(all));
		memcpy(all + used, bytes, len);
		used += len;
		free(bytes);
	}
	for (split = 0; split <= used; split++) {
		rig_start(&rig);
		raw_send(&rig, all, split);
		if (split > 0)
			assert_int_equal(loop_run_once(rig.loop), 0);
		raw_send(&rig, all + split, used - split);
		for (id = 1; id <= 5; id += 2)
			raw_expect_echo(&rig, id, "xy");
		rig_stop(&rig);
	}
}

static void server_takes_message_of_4mib(void **state)
{
	struct rig rig;
	uint8_t *zeros = calloc(1, TTRPC_PAYLOAD_MAX);

	rig_start(&rig);
	/*
	 * 4 MiB of zeros are no message, but they are read: the answer is not about their length.
	 */
	raw_send_header(&rig, 1, TTRPC_FRAME_REQUEST, TTRPC_PAYLOAD_MAX);
	raw_send(&rig, zeros, TTRPC_PAYLOAD_MAX);
	raw_expect(&rig, 1, TTRPC_INVALID_ARGUMENT);
	free(zeros);
	rig_stop(&rig);
}

static void server_discards_message_over_4mib_and_goes_on(void **state)
{
	struct rig rig;
	uint8_t *bytes = malloc(TTRPC_PAYLOAD_MAX + 1);

	rig_start(&rig);
	memset(bytes, 0xa5, TTRPC_PAYLOAD_MAX + 1);
	raw_send_header(&rig, 1, TTRPC_FRAME_REQUEST, TTRPC_PAYLOAD_MAX + 1);
	raw_send(&rig, bytes, TTRPC_PAYLOAD_MAX + 1);
	raw_echo(&rig, 3, "next");
	raw_expect(&rig, 1, TTRPC_RESOURCE_EXHAUSTED);
	raw_expect_echo(&rig, 3, "next");
	free(bytes);
	rig_stop(&rig);
}

static void server_refuses_even_and_reused_ids(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_echo(&rig, 0, "x");
	raw_expect(&rig, 0, TTRPC_INVALID_ARGUMENT);
	raw_echo(&rig, 2, "x");
	raw_expect(&rig, 2, TTRPC_INVALID_ARGUMENT);
	raw_echo(&rig, 7, "seven");
	raw_expect_echo(&rig, 7, "seven");
	raw_echo(&rig, 7, "x");
	raw_expect(&rig, 7, TTRPC_INVALID_ARGUMENT);
	raw_echo(&rig, 5, "x");
	raw_expect(&rig, 5, TTRPC_INVALID_ARGUMENT);
	raw_echo(&rig, 9, "nine");
	raw_expect_echo(&rig, 9, "nine");
	assert_int_equal(rig.n_handled, 2);
	rig_stop(&rig);
}

/*
 * A channel that lives for months runs out of ids and starts anew, but not with one still in use.
 */
static void server_lets_ids_begin_anew_at_their_end(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	raw_echo(&rig, UINT32_MAX, "last");
	raw_expect_echo(&rig, UINT32_MAX, "last");
	raw_echo(&rig, 1, "in use");
	raw_expect(&rig, 1, TTRPC_INVALID_ARGUMENT);
	raw_echo(&rig, 3, "free");
	raw_expect_echo(&rig, 3, "free");
	raw_echo(&rig, 3, "used");
	raw_expect(&rig, 3, TTRPC_INVALID_ARGUMENT);
	rig_stop(&rig);
}

static void server_ignores_other_frame_types(void **state)
{
	static const uint8_t types[] = { 0, 2, 3, 4, 77, 255 };
	struct rig rig;
	size_t i;

	rig_start(&rig);
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		raw_send_header(&rig, 1, types[i], 5);
		raw_send(&rig, "12345", 5);
		raw_send_header(&rig, 1, types[i], 0);
	}
	raw_echo(&rig, 1, "still here");
	raw_expect_echo(&rig, 1, "still here");
	rig_stop(&rig);
}

static void server_answers_malformed_envelope_and_message(void **state)
{
	Onggi__Ttrpc__Request request = ONGGI__TTRPC__REQUEST__INIT;
	uint8_t bytes[256];
	struct rig rig;
	size_t len;

	rig_start(&rig);
	raw_send_header(&rig, 1, TTRPC_FRAME_REQUEST, 4);
	raw_send(&rig, "\xff\xff\xff\xff", 4);
	raw_expect(&rig, 1, TTRPC_INVALID_ARGUMENT);
	request.service = (char *)SERVICE;
	request.method = (char *)"Echo";
	request.payload.data = (uint8_t *)"\xff\xff\xff\xff";
	request.payload.len = 4;
	len = onggi__ttrpc__request__pack(&request, bytes);
	raw_send_header(&rig, 3, TTRPC_FRAME_REQUEST, (uint32_t)len);
	raw_send(&rig, bytes, len);
	raw_expect(&rig, 3, TTRPC_INVALID_ARGUMENT);
	assert_int_equal(rig.n_handled, 0);
	raw_echo(&rig, 5, "fine");
	raw_expect_echo(&rig, 5, "fine");
	rig_stop(&rig);
}

/* Two bytes an entry on the wire, a hundred in memory. */
static void server_refuses_message_of_millions_of_entries(void **state)
{
	const size_t len = TTRPC_PAYLOAD_MAX;
	uint8_t *bytes = malloc(len);
	struct rig rig;
	size_t i;

	for (i = 0; i < len; i += 2) {
		bytes[i] = 5 << 3 | 2; /* metadata */
		bytes[i + 1] = 0;
	}
	rig_start(&rig);
	raw_send_header(&rig, 1, TTRPC_FRAME_REQUEST, (uint32_t)len);
	raw_send(&rig, bytes, len);
	raw_expect(&rig, 1, TTRPC_INVALID_ARGUMENT);
	free(bytes);
	rig_stop(&rig);
}

static void server_names_unknown_service_and_method(void **state)
{
	struct rig rig;
	uint8_t *bytes;
	size_t len;

	rig_start(&rig);
	raw_request(&rig, 1, "Nonsense", NULL);
	raw_expect(&rig, 1, TTRPC_UNIMPLEMENTED);
	bytes = pack_request(3, "other.Service", "Echo", NULL, &len);
	raw_send(&rig, bytes, len);
	free(bytes);
	raw_expect(&rig, 3, TTRPC_UNIMPLEMENTED);
	rig_stop(&rig);
}

static void server_answers_out_of_order(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	raw_request(&rig, 3, "Hold", NULL);
	raw_echo(&rig, 5, "quick");
	raw_expect_echo(&rig, 5, "quick");
	reply_held(&rig, 1);
	raw_expect(&rig, 3, TTRPC_OK);
	reply_held(&rig, 0);
	raw_expect(&rig, 1, TTRPC_OK);
	rig_stop(&rig);
}

static void server_answers_10000_pipelined_requests(void **state)
{
	const size_t n = 10000;
	struct rig rig;
	uint8_t *bytes, *all = NULL;
	size_t i, len, used = 0;

	rig_start(&rig);
	for (i = 0; i < n; i++) {
		bytes = pack_request((uint32_t)(2 * i + 1), SERVICE, "Echo", NULL, &len);
		all = realloc(all, used + len);
		memcpy(all + used, bytes, len);
		used += len;
		free(bytes);
	}
	raw_send(&rig, all, used);
	free(all);
	for (i = 0; i < n; i++)
		raw_expect_echo(&rig, (uint32_t)(2 * i + 1), "");
	assert_int_equal(rig.n_handled, n);
	rig_stop(&rig);
}

static void server_stops_reading_when_answers_are_not_taken(void **state)
{
	const size_t n = 64;
	struct rig rig;
	size_t i;

	rig_start(&rig);
	rig.reply_bytes = 1u << 20;
	for (i = 0; i < n; i++)
		raw_request(&rig, (uint32_t)(2 * i + 1), "Big", NULL);
	rig_run_until(&rig, rig.n_handled >= 16);
	rig_run_for(&rig, 300);
	/* The queue, what the socket took, and one more. */
	assert_in_range(rig.n_handled, 16, 20);
	for (i = 0; i < n; i++)
		raw_expect(&rig, (uint32_t)(2 * i + 1), TTRPC_OK);
	assert_int_equal(rig.n_handled, n);
	rig_stop(&rig);
}

/*
 * Calls in flight when the peer stops reading can all be answered, but not with any amount of
 * memory.
 */
static void answers_that_are_not_taken_end_in_a_status(void **state)
{
	Onggi__Agent__V1__ReadOutputResponse out = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;
	const size_t n = 100, fit = 64;
	struct rig rig;
	size_t i;

	rig_start(&rig);
	for (i = 0; i < n; i++)
		raw_request(&rig, (uint32_t)(2 * i + 1), "HoldBytes", NULL);
	rig_run_until(&rig, rig.n_held == n);
	out.data.len = 1u << 20;
	out.data.data = calloc(1, out.data.len);
	for (i = 0; i < n; i++)
		ttrpc_call_reply(rig.held[i], &out.base);
	rig.n_held = 0;
	/* The socket takes part of one as well: one or two more than the limit may fit. */
	for (i = 0; i < n; i++) {
		if (i < fit || i > fit + 2)
			raw_expect(&rig, (uint32_t)(2 * i + 1),
				   i < fit ? TTRPC_OK : TTRPC_RESOURCE_EXHAUSTED);
		else
			raw_skip(&rig);
	}
	free(out.data.data);
	rig_stop(&rig);
}

static void server_holds_at_most_1024_calls(void **state)
{
	struct rig rig;
	size_t i;

	rig_start(&rig);
	for (i = 0; i < TTRPC_CALLS_MAX + 2; i++)
		raw_request(&rig, (uint32_t)(2 * i + 1), "Hold", NULL);
	rig_run_until(&rig, rig.n_held == TTRPC_CALLS_MAX);
	rig_run_for(&rig, 200);
	assert_int_equal(rig.n_held, TTRPC_CALLS_MAX);
	reply_held(&rig, 500);
	raw_expect(&rig, 1001, TTRPC_OK);
	rig_run_until(&rig, rig.n_held == TTRPC_CALLS_MAX + 1);
	rig_run_for(&rig, 100);
	assert_int_equal(rig.n_held, TTRPC_CALLS_MAX + 1);
	rig_stop(&rig);
}

static void server_refuses_answer_over_4mib(void **state)
{
	struct rig rig;

	rig_start(&rig);
	rig.reply_bytes = TTRPC_PAYLOAD_MAX;
	raw_request(&rig, 1, "Big", NULL);
	raw_expect(&rig, 1, TTRPC_RESOURCE_EXHAUSTED);
	rig.reply_bytes = TTRPC_PAYLOAD_MAX - 64;
	raw_request(&rig, 3, "Big", NULL);
	raw_expect(&rig, 3, TTRPC_OK);
	rig_stop(&rig);
}

static void call_stays_valid_when_its_connection_is_gone(void **state)
{
	struct ttrpc_call *call;
	struct rig rig;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_until(&rig, rig.n_held == 1);
	call = rig.held[0];
	assert_non_null(ttrpc_call_conn(call));
	close(rig.peer);
	rig.peer = -EBADF;
	rig_run_until(&rig, rig.n_gone == 1);
	assert_null(ttrpc_call_conn(call));
	reply_held(&rig, 0);
	rig_stop(&rig);
}

static void server_survives_peer_that_hangs_up_unread(void **state)
{
	struct rig rig;
	size_t i;

	rig_start(&rig);
	rig.reply_bytes = 1u << 20;
	for (i = 0; i < 8; i++)
		raw_request(&rig, (uint32_t)(2 * i + 1), "Big", NULL);
	rig_run_until(&rig, rig.n_handled == 8);
	close(rig.peer);
	rig.peer = -EBADF;
	rig_run_until(&rig, rig.n_gone == 1);
	rig_stop(&rig);
}

static void handler_may_destroy_the_server(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	raw_request(&rig, 3, "Destroy", NULL);
	raw_echo(&rig, 5, "never");
	rig_run_until(&rig, rig.server == NULL);
	assert_int_equal(rig.n_handled, 2);
	assert_int_equal(rig.n_gone, 1);
	rig_stop(&rig);
}

static void on_gone_destroy(struct ttrpc_conn *conn, void *userdata)
{
	struct rig *rig = userdata;

	rig->n_gone++;
	ttrpc_server_destroy(rig->server);
	rig->server = NULL;
}

static void gone_callback_may_destroy_the_server(void **state)
{
	struct rig rig;
	struct ttrpc_conn *conn;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_until(&rig, rig.n_held == 1);
	conn = ttrpc_call_conn(rig.held[0]);
	ttrpc_conn_on_gone(conn, on_gone_destroy, &rig);
	close(rig.peer);
	rig.peer = -EBADF;
	rig_run_until(&rig, rig.server == NULL);
	rig_stop(&rig);
}

static void gone_callback_can_be_removed(void **state)
{
	struct rig rig;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_until(&rig, rig.n_held == 1);
	ttrpc_conn_on_gone(ttrpc_call_conn(rig.held[0]), NULL, NULL);
	close(rig.peer);
	rig.peer = -EBADF;
	rig_run_until(&rig, ttrpc_call_conn(rig.held[0]) == NULL);
	assert_int_equal(rig.n_gone, 0);
	rig.n_gone = 1;
	rig_stop(&rig);
}

static void garbage_leaves_the_server_standing(void **state)
{
	uint8_t bytes[4096];
	unsigned int seed, round;
	struct rig rig;
	size_t i;

	for (round = 0; round < 50; round++) {
		rig_start(&rig);
		seed = round;
		for (i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand_r(&seed);
		/* Half of them with a small length and the right type, to get further. */
		if (round % 2)
			memcpy(bytes, "\0\0\0\x40\0\0\0\1\1\0", 10);
		raw_send(&rig, bytes, sizeof(bytes));
		close(rig.peer);
		rig.peer = -EBADF;
		rig_run_until(&rig, rig.n_gone == 1);
		rig_stop(&rig);
	}
}

static void peer_pid_is_told(void **state)
{
	struct rig rig;
	pid_t pid = 0;

	rig_start(&rig);
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_until(&rig, rig.n_held == 1);
	assert_int_equal(ttrpc_conn_peer_pid(ttrpc_call_conn(rig.held[0]), &pid), 0);
	assert_int_equal(pid, getpid());
	rig_stop(&rig);
}

/* ---- a channel that is no socket ---- */

static void open_raw_pty(int *ret_master, int *ret_slave)
{
	struct termios raw;

	assert_int_equal(openpty(ret_master, ret_slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(*ret_slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(*ret_slave, TCSANOW, &raw), 0);
	fd_set_cloexec(*ret_master, true);
	fd_set_cloexec(*ret_slave, true);
}

static void server_and_client_work_over_a_character_device(void **state)
{
	Onggi__Agent__V1__WriteInputRequest in = ONGGI__AGENT__V1__WRITE_INPUT_REQUEST__INIT;
	Onggi__Agent__V1__ReadOutputResponse *out = NULL;
	struct ttrpc_client *client;
	struct err err = ERR_INIT;
	struct rig rig = { .peer = -EBADF };
	int master, slave, i;

	open_raw_pty(&master, &slave);
	assert_int_equal(loop_create(&rig.loop), 0);
	rig_serve(&rig, &service);
	assert_int_equal(ttrpc_server_add(rig.server, slave, rig_on_gone, &rig), 0);
	assert_int_equal(ttrpc_client_create(rig.loop, master, NULL, NULL, &client), 0);
	/* Far more than the device buffers: both sides write and read in pieces. */
	in.data.len = 100000;
	in.data.data = malloc(in.data.len);
	for (i = 0; i < 100000; i++)
		in.data.data[i] = (uint8_t)(i * 7);
	for (i = 0; i < 5; i++) {
		assert_int_equal(
			ttrpc_client_call_wait(client, rig.loop, SERVICE, "Echo", &in.base,
					       &onggi__agent__v1__read_output_response__descriptor,
					       RIG_TIMEOUT_MS, &out, &err),
			0);
		assert_int_equal(out->data.len, in.data.len);
		assert_memory_equal(out->data.data, in.data.data, in.data.len);
		onggi__agent__v1__read_output_response__free_unpacked(out, NULL);
	}
	free(in.data.data);
	/* Hang-up of the other side ends the connection. */
	ttrpc_client_destroy(client);
	rig_run_until(&rig, rig.n_gone == 1);
	rig_stop(&rig);
}

static void peer_pid_is_refused_on_a_character_device(void **state)
{
	struct rig rig = { .peer = -EBADF };
	uint8_t *bytes;
	int master, slave;
	size_t len;
	pid_t pid;

	open_raw_pty(&master, &slave);
	assert_int_equal(loop_create(&rig.loop), 0);
	rig_serve(&rig, &service);
	assert_int_equal(ttrpc_server_add(rig.server, slave, rig_on_gone, &rig), 0);
	bytes = pack_request(1, SERVICE, "Hold", NULL, &len);
	assert_int_equal(write(master, bytes, len), len);
	free(bytes);
	rig_run_until(&rig, rig.n_held == 1);
	assert_int_equal(ttrpc_conn_peer_pid(ttrpc_call_conn(rig.held[0]), &pid), -ENOTSOCK);
	rig_stop(&rig);
	close(master);
}

/* ---- listening ---- */

static void start_listening(struct rig *rig, const char *dir, char path[108])
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	memset(rig, 0, sizeof(*rig));
	rig->peer = -EBADF;
	assert_int_equal(loop_create(&rig->loop), 0);
	rig_serve(rig, &service);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1024), 0);
	assert_int_equal(ttrpc_server_listen(rig->server, fd), 0);
	snprintf(path, 108, "%s", addr.sun_path);
}

static void stop_listening(struct rig *rig, const char *dir)
{
	ttrpc_server_destroy(rig->server);
	loop_destroy(rig->loop);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir), 0);
}

static int connect_raw(const char *path)
{
	struct err err = ERR_INIT;
	int fd = -EBADF;

	if (ttrpc_connect_unix(path, &fd, &err) < 0)
		fail_msg("%s", err.text);
	return fd;
}

static void server_listens_and_answers_several_peers(void **state)
{
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[108];
	struct rig rig;
	int fds[3], i;

	assert_non_null(mkdtemp(dir));
	start_listening(&rig, dir, path);
	for (i = 0; i < 3; i++) {
		fds[i] = connect_raw(path);
		rig.peer = fds[i];
		raw_echo(&rig, 1, "me too");
		raw_expect_echo(&rig, 1, "me too");
	}
	for (i = 0; i < 3; i++)
		close(fds[i]);
	stop_listening(&rig, dir);
}

static void on_child(pid_t pid, int status, void *userdata)
{
	*(int *)userdata = status;
}

static void server_drops_peer_of_another_user(void **state)
{
	struct loop_source *child;
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[108], byte;
	struct rig rig;
	int status, fd;
	pid_t pid;

	if (geteuid() != 0)
		fail_msg("this test needs root, to become another user");
	assert_non_null(mkdtemp(dir));
	start_listening(&rig, dir, path);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chmod(path, 0777), 0);
	pid = fork();
	if (pid == 0) {
		struct err err = ERR_INIT;

		if (setuid(65534) < 0 || ttrpc_connect_unix(path, &fd, &err) < 0)
			_exit(2);
		_exit(read(fd, &byte, 1) == 0 ? 0 : 1);
	}
	status = -1;
	assert_int_equal(loop_add_child(rig.loop, pid, on_child, &status, &child), 0);
	rig_run_until(&rig, status != -1);
	assert_int_equal(status, 0);
	loop_source_destroy(child);
	stop_listening(&rig, dir);
}

static void server_takes_256_connections_and_the_next_when_one_ends(void **state)
{
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[108];
	struct rlimit before, limit;
	int fds[TTRPC_CONNS_MAX + 1];
	struct rig rig;
	size_t i;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = before.rlim_max < 2048 ? before.rlim_max : 2048;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_non_null(mkdtemp(dir));
	start_listening(&rig, dir, path);
	for (i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_raw(path);
		rig.peer = fds[i];
		if (i == TTRPC_CONNS_MAX)
			break;
		raw_request(&rig, 1, "Hold", NULL);
		rig_run_until(&rig, rig.n_handled == i + 1);
	}
	raw_request(&rig, 1, "Hold", NULL);
	rig_run_for(&rig, 100);
	assert_int_equal(rig.n_handled, TTRPC_CONNS_MAX);
	close(fds[17]);
	rig_run_until(&rig, rig.n_handled == TTRPC_CONNS_MAX + 1);
	fds[17] = fds[TTRPC_CONNS_MAX];
	for (i = 0; i < rig.n_held; i++)
		ttrpc_call_fail(rig.held[i], TTRPC_CANCELED, "end");
	for (i = 0; i < TTRPC_CONNS_MAX; i++)
		close(fds[i]);
	stop_listening(&rig, dir);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* Otherwise the waiting peer would keep the loop spinning. */
static void server_drops_peers_when_out_of_descriptors(void **state)
{
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[108], byte;
	struct rlimit before, limit;
	struct rig rig;
	int fd, probe;

	assert_non_null(mkdtemp(dir));
	start_listening(&rig, dir, path);
	fd = connect_raw(path);
	probe = dup(fd);
	close(probe);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)probe;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig_run_until(&rig, recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	close(fd);
	/* And serves again afterwards. */
	rig.peer = fd = connect_raw(path);
	raw_echo(&rig, 1, "back");
	raw_expect_echo(&rig, 1, "back");
	close(fd);
	stop_listening(&rig, dir);
}

static void connect_reaches_a_socket_with_a_long_path(void **state)
{
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[108], deep[1024], folder[900];
	struct rig rig;
	int fd;

	assert_non_null(mkdtemp(dir));
	start_listening(&rig, dir, path);
	snprintf(folder, sizeof(folder), "%s/%0100d/%0100d", dir, 1, 2);
	assert_int_equal(path_mkdir_p(folder, 0700), 0);
	snprintf(deep, sizeof(deep), "%s/s", folder);
	assert_int_equal(rename(path, deep), 0);
	rig.peer = fd = connect_raw(deep);
	raw_echo(&rig, 1, "deep");
	raw_expect_echo(&rig, 1, "deep");
	close(fd);
	stop_listening(&rig, dir);
}

static void connect_says_why_it_failed(void **state)
{
	char dir[] = "/tmp/onggi-ttrpc-XXXXXX", path[300];
	struct err err = ERR_INIT;
	int fd = -EBADF;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/missing", dir);
	assert_int_equal(ttrpc_connect_unix(path, &fd, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	snprintf(path, sizeof(path), "%s/missing/%0200d", dir, 1);
	assert_int_equal(ttrpc_connect_unix(path, &fd, &err), -ENOENT);
	snprintf(path, sizeof(path), "%s/%0200d", dir, 1);
	assert_int_equal(ttrpc_connect_unix(path, &fd, &err), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/file", dir);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(ttrpc_connect_unix(path, &fd, &err), -ECONNREFUSED);
	assert_int_equal(ttrpc_connect_unix("", &fd, &err), -ENOENT);
	assert_int_equal(fd, -EBADF);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir), 0);
}

static void status_codes_and_errnos_match(void **state)
{
	int code;

	assert_int_equal(ttrpc_code_from_errno(0), TTRPC_OK);
	assert_int_equal(ttrpc_code_from_errno(-ENOENT), TTRPC_NOT_FOUND);
	assert_int_equal(ttrpc_code_from_errno(ESRCH), TTRPC_NOT_FOUND);
	assert_int_equal(ttrpc_code_from_errno(-EEXIST), TTRPC_ALREADY_EXISTS);
	assert_int_equal(ttrpc_code_from_errno(-12345), TTRPC_INTERNAL);
	assert_int_equal(ttrpc_code_to_errno((enum ttrpc_code)99), -EIO);
	assert_int_equal(ttrpc_code_to_errno((enum ttrpc_code)-1), -EIO);
	assert_int_equal(ttrpc_code_to_errno(TTRPC_OK), 0);
	for (code = TTRPC_CANCELED; code <= TTRPC_UNAUTHENTICATED; code++)
		assert_true(ttrpc_code_to_errno((enum ttrpc_code)code) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(server_echoes),
		leak_checked(server_passes_code_and_text_of_a_failure),
		leak_checked(server_sends_texts_as_valid_utf8),
		leak_checked(server_reads_frames_byte_by_byte),
		leak_checked(server_reads_frames_split_anywhere),
		leak_checked(server_takes_message_of_4mib),
		leak_checked(server_discards_message_over_4mib_and_goes_on),
		leak_checked(server_refuses_even_and_reused_ids),
		leak_checked(server_lets_ids_begin_anew_at_their_end),
		leak_checked(server_ignores_other_frame_types),
		leak_checked(server_answers_malformed_envelope_and_message),
		leak_checked(server_refuses_message_of_millions_of_entries),
		leak_checked(server_names_unknown_service_and_method),
		leak_checked(server_answers_out_of_order),
		leak_checked(server_answers_10000_pipelined_requests),
		leak_checked(server_stops_reading_when_answers_are_not_taken),
		leak_checked(answers_that_are_not_taken_end_in_a_status),
		leak_checked(server_holds_at_most_1024_calls),
		leak_checked(server_refuses_answer_over_4mib),
		leak_checked(call_stays_valid_when_its_connection_is_gone),
		leak_checked(server_survives_peer_that_hangs_up_unread),
		leak_checked(handler_may_destroy_the_server),
		leak_checked(gone_callback_may_destroy_the_server),
		leak_checked(gone_callback_can_be_removed),
		leak_checked(garbage_leaves_the_server_standing),
		leak_checked(peer_pid_is_told),
		leak_checked(server_and_client_work_over_a_character_device),
		leak_checked(peer_pid_is_refused_on_a_character_device),
		leak_checked(server_listens_and_answers_several_peers),
		leak_checked(server_drops_peer_of_another_user),
		leak_checked(server_takes_256_connections_and_the_next_when_one_ends),
		leak_checked(server_drops_peers_when_out_of_descriptors),
		leak_checked(connect_reaches_a_socket_with_a_long_path),
		leak_checked(connect_says_why_it_failed),
		leak_checked(status_codes_and_errnos_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
