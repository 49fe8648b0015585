/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Three things are under way at once: a timer for the next statistics, a call for statistics, a call
 * that is answered when the memory limit has killed something or the container has ended. The end of
 * the container, and of the monitor, ends the command.
 */
#include <errno.h>
#include <string.h>

#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/runtime/size.h"
#include "shim/runtime/stats_json.h"

#define INTERVAL_DEFAULT "5s"

struct values {
	const char *interval;
	bool stats;
};

static const struct option_row options[] = {
	{ "interval", 0, OPTION_STRING, offsetof(struct values, interval),
	  "time between two statistics (default: " INTERVAL_DEFAULT ")" },
	{ "stats", 0, OPTION_FLAG, offsetof(struct values, stats), "print statistics once" },
	OPTIONS_END,
};

struct watch {
	struct client *client;
	const char *id;
	struct loop_source *timer;
	uint64_t interval_ms;
	uint64_t oom_kills;
	bool ended;
	int code; /* why it cannot go on */
	struct err *err;
};

static int print(struct json *event, struct err *err)
{
	_cleanup_free_ char *text = event ? json_text(event, false) : NULL;

	json_unref(event);
	if (!text)
		return err_set_errno(err, -ENOMEM, "events");
	/* Whoever reads them waits for each. */
	if (puts(text) == EOF || fflush(stdout) == EOF)
		return err_set_errno(err, -errno, "write an event");
	return 0;
}

static int print_stats(const char *id, const struct client_stats *stats, struct err *err)
{
	struct json *event = NULL;
	int r = stats_json(id, stats->metrics, stats->len, &event, err);

	return r < 0 ? r : print(event, err);
}

static void fail(struct watch *w, int code)
{
	if (w->code == 0)
		w->code = code;
}

static void on_stats(int code, const struct client_stats *stats, void *userdata)
{
	struct watch *w = userdata;
	int r;

	if (w->ended || w->code < 0)
		return;
	/* A container that has just ended has no statistics; its end is told by the other call. */
	r = code < 0 ? 0 : print_stats(w->id, stats, w->err);
	if (r < 0)
		fail(w, r);
	else
		loop_timer_set(w->timer, w->interval_ms);
}

static void on_timer(void *userdata)
{
	struct watch *w = userdata;
	int r = client_stats_async(w->client, w->id, on_stats, w, w->err);

	if (r < 0)
		fail(w, r);
}

static void wait_oom(struct watch *w);

static void on_oom(int code, uint64_t kills, bool ended, void *userdata)
{
	struct watch *w = userdata;

	if (w->ended || w->code < 0)
		return;
	/* Monitor or container are gone. */
	if (code < 0) {
		w->ended = true;
		return;
	}
	for (; w->oom_kills < kills && w->code == 0; w->oom_kills++)
		fail(w, print(oom_json(w->id), w->err));
	w->ended = ended;
	if (!ended)
		wait_oom(w);
}

static void wait_oom(struct watch *w)
{
	int r = client_wait_oom_async(w->client, w->id, w->oom_kills, on_oom, w, w->err);

	if (r < 0)
		fail(w, r);
}

static int watch(struct watch *w)
{
	int r;

	r = loop_add_timer(client_loop(w->client), 0, on_timer, w, &w->timer);
	if (r < 0)
		return err_set_errno(w->err, r, "events");
	client_watch_begin(w->client, w->id);
	wait_oom(w);
	while (w->code == 0 && !w->ended && r >= 0)
		r = loop_run_once(client_loop(w->client));
	loop_source_destroy(w->timer);
	w->timer = NULL;
	client_watch_end(w->client);
	if (w->code == 0)
		w->code = client_is_stuck(w->client, w->id, w->err);
	/* The answers that come now are to nobody. */
	w->ended = true;
	return w->code < 0 ? w->code : 0;
}

static int parse_interval(const char *text, uint64_t *ret, struct err *err)
{
	int r = duration_parse(text ? text : INTERVAL_DEFAULT, ret);

	if (r < 0)
		return err_set(err, -EINVAL, "invalid value \"%.64s\" for flag -interval: parse error", text);
	return *ret > 0 ? 0 : err_set(err, -EINVAL, "duration interval must be greater than 0");
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	struct watch w = { .id = args[0], .err = err };
	const struct values *v = values;
	struct client_stats stats;
	int r;

	r = container_open(rt, args[0], &c, err);
	if (r >= 0)
		r = parse_interval(v->interval, &w.interval_ms, err);
	if (r < 0)
		return r;
	if (c->status == CONTAINER_STOPPED || c->status == CONTAINER_CREATING)
		return err_set(err, -ESRCH, "container with id %s is not running", args[0]);
	r = container_connect(c, &client, err);
	if (r < 0)
		return r;
	w.client = client;
	if (!v->stats) {
		r = watch(&w);
		client_destroy(TAKE_PTR(client));
		return r;
	}
	r = client_stats(client, args[0], &stats, err);
	if (r < 0)
		return r;
	r = print_stats(args[0], &stats, err);
	client_stats_finish(&stats);
	return r;
}

const struct command cmd_events = {
	.name = "events",
	.arguments = "<container-id>",
	.summary = "show statistics and out-of-memory events",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
