/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM that says arbitrary bytes to the QMP client, while commands wait. The first byte of the
 * input: its low two bits say what the callbacks do (nothing, destroy the client when a command
 * ends, destroy it at an event, queue more), the others in pieces of how many bytes the rest comes.
 * Every command must end exactly once, and the connection is lost at most once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "hypervisor/qmp.h"

#define COMMANDS 3
/* Most that callbacks add. */
#define MORE_MAX 64
/* Far longer than an input takes. */
#define TIMEOUT_MS 600000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum habit { HABIT_NOTHING, HABIT_DESTROY_AT_END, HABIT_DESTROY_AT_EVENT, HABIT_EXECUTE };

struct world {
	struct loop *loop;
	struct qmp *qmp;
	enum habit habit;
	unsigned int started, ended, lost;
	const uint8_t *data;
	size_t size, piece;
	struct loop_source *feeder;
};

static void destroy(struct world *w)
{
	struct qmp *qmp = w->qmp;

	w->qmp = NULL;
	qmp_destroy(qmp);
}

static void start(struct world *w, int fd);

static void on_done(int code, const char *message, const struct json *answer, void *userdata)
{
	struct world *w = userdata;

	assert(code <= 0 && (code == 0) == (answer != NULL) && (code < 0) == (message != NULL));
	assert(!message || strlen(message) <= QMP_LINE_MAX);
	w->ended++;
	assert(w->ended <= w->started);
	if (w->habit == HABIT_DESTROY_AT_END && w->qmp)
		destroy(w);
	else if (w->habit == HABIT_EXECUTE && w->qmp && w->started < COMMANDS + MORE_MAX)
		start(w, -1);
}

static void start(struct world *w, int fd)
{
	struct json *arguments = json_new_object();

	if (!arguments || json_set(arguments, "id", json_new_string("d,0\"\n")) < 0)
		abort();
	w->started++; /* ends from the loop only, but a lost connection takes none */
	if (qmp_execute(w->qmp, "device_add", arguments, fd, TIMEOUT_MS, on_done, w) < 0)
		w->started--;
}

static void on_event(const char *event, const struct json *data, void *userdata)
{
	struct world *w = userdata;

	assert(event && strlen(event) <= QMP_LINE_MAX && w->qmp && !w->lost);
	if (w->habit == HABIT_DESTROY_AT_EVENT)
		destroy(w);
	else if (w->habit == HABIT_EXECUTE && w->started < COMMANDS + MORE_MAX)
		start(w, -1);
}

static void on_lost(int code, const char *message, void *userdata)
{
	struct world *w = userdata;

	assert((code == -EPIPE || code == -EPROTO) && message && message[0]);
	assert(w->ended == w->started && w->qmp);
	w->lost++;
	assert(qmp_execute(w->qmp, "stop", NULL, -1, TIMEOUT_MS, NULL, NULL) == -EPIPE);
}

/* The VMM writes whenever there is room, and hangs up at the end. */
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
	struct qmp_callbacks callbacks = { .on_event = on_event, .on_lost = on_lost };
	struct world w = { 0 };
	int fds[2];

	if (size == 0)
		return 0;
	w.habit = data[0] % 4;
	w.piece = data[0] / 4 == 63 ? 1u << 20 : 1u + data[0] / 4;
	w.data = data + 1;
	w.size = size - 1;
	callbacks.userdata = &w;
	if (loop_create(&w.loop) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    qmp_create(w.loop, fds[0], &callbacks, &w.qmp) < 0)
		abort();
	for (int i = 0; i < COMMANDS; i++)
		start(&w, i == 1 ? fds[1] : -1);
	assert(w.started == COMMANDS);
	if (loop_add_fd(w.loop, fds[1], LOOP_WRITE, on_room, &w, &w.feeder) < 0)
		abort();
	while (!w.lost && w.qmp)
		loop_run_once(w.loop);
	destroy(&w);
	assert(w.ended == w.started && w.lost <= 1);
	loop_source_destroy(w.feeder);
	loop_destroy(w.loop);
	close(fds[1]);
	return 0;
}
