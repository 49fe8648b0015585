/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that sends arbitrary bytes to a ttrpc server. The first byte says in pieces of how many
 * bytes. Some methods answer at once, one later, one fails, one destroys the server under its own
 * feet. Whatever is sent back must be whole response frames, and the connection's end must be told
 * exactly once.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/proto/agent.pb-c.h"
#include "common/proto/ttrpc.pb-c.h"
#include "common/ttrpc.h"
#include "common/ttrpc_frame.h"

#define HELD_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct loop *loop;
	struct ttrpc_server *server;
	struct ttrpc_call *held[HELD_MAX];
	size_t n_held;
	unsigned int gone;
	int peer;
	struct ttrpc_reader reader; /* of what comes back */
};

static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

static void on_echo(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Onggi__Agent__V1__WriteInputRequest *in = request;
	Onggi__Agent__V1__ReadOutputResponse out = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;

	out.data = in->data;
	ttrpc_call_reply(call, &out.base);
}

static void on_hold(struct ttrpc_call *call, const void *request, void *userdata)
{
	struct world *w = userdata;

	if (w->n_held < HELD_MAX)
		w->held[w->n_held++] = call;
	else
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "full");
}

static void on_fail(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *in = request;

	ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no '%s'", in->container_id);
}

static void on_destroy(struct ttrpc_call *call, const void *request, void *userdata)
{
	struct world *w = userdata;

	ttrpc_server_destroy(w->server);
	w->server = NULL;
	ttrpc_call_reply(call, &empty.base);
}

static const struct ttrpc_method methods[] = {
	{ "E", &onggi__agent__v1__write_input_request__descriptor,
	  &onggi__agent__v1__read_output_response__descriptor, on_echo },
	{ "H", &onggi__agent__v1__create_container_request__descriptor,
	  &onggi__agent__v1__empty__descriptor, on_hold },
	{ "F", &onggi__agent__v1__process_ref__descriptor, &onggi__agent__v1__empty__descriptor,
	  on_fail },
	{ "D", &onggi__agent__v1__empty__descriptor, &onggi__agent__v1__empty__descriptor,
	  on_destroy },
};

static void on_gone(struct ttrpc_conn *conn, void *userdata)
{
	((struct world *)userdata)->gone++;
}

/* Take what the server sent; it must be well-formed. */
static void drain(struct world *w)
{
	Onggi__Ttrpc__Response *response;
	struct ttrpc_frame frame;
	int r;

	for (;;) {
		while ((r = ttrpc_reader_next(&w->reader, &frame)) > 0) {
			assert(!frame.oversize && frame.header.flags == 0);
			response = onggi__ttrpc__response__unpack(NULL, frame.header.length,
								  frame.payload);
			assert(response);
			onggi__ttrpc__response__free_unpacked(response, NULL);
			free(frame.payload);
		}
		assert(r == 0);
		if (recv(w->peer, &r, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			return;
		if (ttrpc_reader_fill(&w->reader, w->peer) < 0)
			return;
	}
}

static void feed(struct world *w, const uint8_t *data, size_t size, size_t piece)
{
	ssize_t n;

	while (size > 0 && !w->gone) {
		n = send(w->peer, data, size < piece ? size : piece, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
		loop_run_once(w->loop);
		drain(w);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { 0 };
	const struct ttrpc_service service = { "s", methods, ARRAY_SIZE(methods), &w };
	int fds[2];
	size_t i;

	if (size == 0)
		return 0;
	ttrpc_reader_init(&w.reader, TTRPC_FRAME_RESPONSE);
	if (loop_create(&w.loop) < 0 || ttrpc_server_create(w.loop, &service, 1, &w.server) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    ttrpc_server_add(w.server, fds[0], on_gone, &w) < 0)
		abort();
	w.peer = fds[1];
	feed(&w, data + 1, size - 1, data[0] ? data[0] * 8u : 1u << 20);
	/* Half of the calls are answered while the connection stands, half after it. */
	for (i = 0; i < w.n_held / 2; i++)
		ttrpc_call_reply(w.held[i], &empty.base);
	shutdown(w.peer, SHUT_WR);
	while (!w.gone) {
		drain(&w);
		loop_run_once(w.loop);
	}
	drain(&w);
	for (; i < w.n_held; i++) {
		assert(!ttrpc_call_conn(w.held[i]));
		ttrpc_call_fail(w.held[i], TTRPC_CANCELED, "late");
	}
	assert(w.gone == 1);
	ttrpc_reader_finish(&w.reader);
	ttrpc_server_destroy(w.server);
	loop_destroy(w.loop);
	close(w.peer);
	return 0;
}
