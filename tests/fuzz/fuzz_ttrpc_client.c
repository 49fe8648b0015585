/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that answers a ttrpc client with arbitrary bytes. The first byte says in pieces of how
 * many, and what the callbacks do: nothing, destroy the client, or wait for another call. Every
 * call must end exactly once.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"

#define CALLS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum habit { HABIT_NOTHING, HABIT_DESTROY, HABIT_WAIT, HABIT_CALL };

struct world {
	struct loop *loop;
	struct ttrpc_client *client;
	enum habit habit;
	unsigned int started, ended, gone;
	unsigned int waiting;
	const uint8_t *data;
	size_t size, piece;
	int peer;
	struct loop_source *feeder;
};

static const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

static const ProtobufCMessageDescriptor *const types[CALLS] = {
	&onggi__agent__v1__empty__descriptor,
	&onggi__agent__v1__read_output_response__descriptor,
	&onggi__agent__v1__list_processes_response__descriptor,
	&onggi__agent__v1__create_container_response__descriptor,
};

static void on_plain_done(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
	struct world *w = userdata;

	assert(message && strlen(message) < TTRPC_PAYLOAD_MAX);
	assert((code == TTRPC_OK) == (response != NULL));
	w->ended++;
}

static void on_done(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse *out = NULL;
	struct world *w = userdata;
	struct err err = ERR_INIT;

	on_plain_done(code, message, response, userdata);
	if (w->habit == HABIT_DESTROY) {
		ttrpc_client_destroy(w->client);
		w->client = NULL;
	} else if (w->habit == HABIT_WAIT && w->client && w->waiting < 2) {
		w->waiting++;
		if (ttrpc_client_call_wait(w->client, w->loop, "s", "m", &empty.base, types[1], 0,
					   &out, &err) == 0)
			protobuf_c_message_free_unpacked(&out->base, NULL);
		else
			assert(err.code < 0 && err.text[0]);
		w->waiting--;
	} else if (w->habit == HABIT_CALL && w->client) {
		if (ttrpc_client_call(w->client, "s", "m", &empty.base, types[2], 0, on_plain_done,
				      w) == 0)
			w->started++;
	}
}

static void on_gone(void *userdata)
{
	struct world *w = userdata;

	assert(w->ended == w->started);
	w->gone++;
}

/*
 * The other side writes whenever there is room, and hangs up at the end; inside of nested waits,
 * too.
 */
static void on_room(int fd, unsigned int events, void *userdata)
{
	struct world *w = userdata;
	size_t len = w->size < w->piece ? w->size : w->piece;
	ssize_t n = len ? send(fd, w->data, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n > 0) {
		w->data += n;
		w->size -= (size_t)n;
	}
	if (w->size == 0 || (n < 0 && errno != EAGAIN)) {
		shutdown(fd, SHUT_WR);
		loop_source_set_events(w->feeder, 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { 0 };
	int fds[2];
	size_t i;

	if (size == 0)
		return 0;
	w.habit = data[0] % 4;
	w.piece = data[0] >= 128 ? 1u << 20 : 1u + data[0];
	w.data = data + 1;
	w.size = size - 1;
	if (loop_create(&w.loop) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    ttrpc_client_create(w.loop, fds[0], on_gone, &w, &w.client) < 0)
		abort();
	w.peer = fds[1];
	for (i = 0; i < CALLS; i++)
		if (ttrpc_client_call(w.client, "s", "m", &empty.base, types[i], 0, on_done, &w) ==
		    0)
			w.started++;
	assert(w.started == CALLS);
	if (loop_add_fd(w.loop, w.peer, LOOP_WRITE, on_room, &w, &w.feeder) < 0)
		abort();
	while (!w.gone && w.client)
		loop_run_once(w.loop);
	ttrpc_client_destroy(w.client);
	assert(w.ended == w.started && w.gone <= 1);
	loop_source_destroy(w.feeder);
	loop_destroy(w.loop);
	close(w.peer);
	return 0;
}
