/* SPDX-License-Identifier: Apache-2.0 */
/* Events on their way to an engine that takes them, refuses them, is away, or comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "common/path.h"
#include "common/proto/events.pb-c.h"
#include "common/ttrpc.h"
#include "shim/containerd/publish.h"
#include "tests/unit/check_leaks.h"

#define ANSWERS_MAX 16
/* Longer than this is a hang: all attempts take some ten seconds. */
#define LIMIT_MS 200000

struct heard {
	char topic[32], type[64], namespace[32], id[32];
	int64_t seconds;
	int32_t nanos;
};

struct engine {
	char dir[64], path[96];
	struct loop *loop;
	struct ttrpc_server *server;
	struct publisher *publisher;
	struct heard heard[PUBLISH_QUEUE_MAX + 16];
	size_t n_heard;
	enum ttrpc_code answers[ANSWERS_MAX]; /* to the first ones; OK to all others */
	bool hold;
	struct ttrpc_call *held;
	unsigned int n_idle;
	bool timed_out;
};

/* ---- the engine ---- */

static void on_forward(struct ttrpc_call *call, const void *message, void *userdata)
{
	static const Containerd__Task__V2__Empty empty = CONTAINERD__TASK__V2__EMPTY__INIT;
	const Containerd__Events__ForwardRequest *request = message;
	const Containerd__Events__Envelope *envelope = request->envelope;
	Containerd__Events__TaskStart *event;
	struct engine *e = userdata;
	struct heard *h = &e->heard[e->n_heard];
	enum ttrpc_code code;

	assert_true(e->n_heard < ARRAY_SIZE(e->heard));
	assert_non_null(envelope);
	assert_non_null(envelope->timestamp);
	event = containerd__events__task_start__unpack(NULL, envelope->event->value.len, envelope->event->value.data);
	assert_non_null(event);
	snprintf(h->topic, sizeof(h->topic), "%s", envelope->topic);
	snprintf(h->type, sizeof(h->type), "%s", envelope->event->type_url);
	snprintf(h->namespace, sizeof(h->namespace), "%s", envelope->namespace_);
	snprintf(h->id, sizeof(h->id), "%s", event->container_id);
	h->seconds = envelope->timestamp->seconds;
	h->nanos = envelope->timestamp->nanos;
	containerd__events__task_start__free_unpacked(event, NULL);
	code = e->n_heard < ANSWERS_MAX ? e->answers[e->n_heard] : TTRPC_OK;
	e->n_heard++;
	if (e->hold)
		e->held = call;
	else if (code != TTRPC_OK)
		ttrpc_call_fail(call, code, "not now");
	else
		ttrpc_call_reply(call, &empty.base);
}

static const struct ttrpc_method methods[] = {
	{ "Forward", &containerd__events__forward_request__descriptor,
	  &containerd__task__v2__empty__descriptor, on_forward },
};
static struct ttrpc_service service = { "containerd.services.events.ttrpc.v1.Events", methods, 1, NULL };

static void engine_begin(struct engine *e)
{
	int fd = -EBADF;

	service.userdata = e;
	assert_int_equal(ttrpc_listen_unix(e->path, &fd, NULL), 0);
	assert_int_equal(ttrpc_server_create(e->loop, &service, 1, &e->server), 0);
	assert_int_equal(ttrpc_server_listen(e->server, fd), 0);
}

static void engine_end(struct engine *e)
{
	ttrpc_server_destroy(TAKE_PTR(e->server));
	unlink(e->path);
}

static void on_idle(void *userdata)
{
	((struct engine *)userdata)->n_idle++;
}

static struct engine *setup(const char *namespace)
{
	struct engine *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	signal(SIGPIPE, SIG_IGN);
	strcpy(e->dir, "/tmp/onggi-publish-XXXXXX");
	assert_non_null(mkdtemp(e->dir));
	snprintf(e->path, sizeof(e->path), "%s/events", e->dir);
	assert_int_equal(loop_create(&e->loop), 0);
	assert_int_equal(publisher_create(e->loop, e->path, namespace, on_idle, e, &e->publisher), 0);
	return e;
}

static void teardown(struct engine *e)
{
	publisher_destroy(e->publisher);
	engine_end(e);
	loop_destroy(e->loop);
	assert_int_equal(path_remove_tree(AT_FDCWD, e->dir), 0);
	free(e);
}

static void on_timeout(void *userdata)
{
	*(bool *)userdata = true;
}

#define RUN_UNTIL(e, condition)                                                                        \
	do {                                                                                           \
		struct loop_source *timer_;                                                            \
		bool over_ = false;                                                                    \
                                                                                                       \
		assert_int_equal(loop_add_timer((e)->loop, LIMIT_MS, on_timeout, &over_, &timer_), 0); \
		while (!(condition) && !over_)                                                         \
			assert_int_equal(loop_run_once((e)->loop), 0);                                 \
		loop_source_destroy(timer_);                                                           \
		if (!(condition))                                                                      \
			fail_msg("did not come about: %s", #condition);                                \
	} while (0)

static void tell(struct engine *e, const char *topic, const char *id)
{
	Containerd__Events__TaskStart event = CONTAINERD__EVENTS__TASK_START__INIT;

	event.container_id = (char *)id;
	event.pid = 1;
	publisher_send(e->publisher, topic, "TaskStart", &event.base);
}

static void assert_heard(const struct engine *e, const char *ids)
{
	size_t i;

	for (i = 0; i < e->n_heard; i++)
		assert_int_equal(e->heard[i].id[0], ids[i]);
	assert_int_equal(ids[i], '\0');
}

/* ---- claims ---- */

static void events_arrive_in_order_with_time_and_namespace(void **state)
{
	struct engine *e = setup("space");

	engine_begin(e);
	assert_true(publisher_is_idle(e->publisher));
	assert_string_equal(publisher_namespace(e->publisher), "space");
	tell(e, "/tasks/create", "a");
	tell(e, "/tasks/start", "b");
	tell(e, "/tasks/exit", "c");
	assert_false(publisher_is_idle(e->publisher));
	RUN_UNTIL(e, e->n_idle);
	assert_true(publisher_is_idle(e->publisher));
	assert_heard(e, "abc");
	assert_string_equal(e->heard[0].topic, "/tasks/create");
	assert_string_equal(e->heard[2].topic, "/tasks/exit");
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(e->heard[i].type, "containerd.events.TaskStart");
		assert_string_equal(e->heard[i].namespace, "space");
		assert_true(e->heard[i].seconds > 0);
		assert_in_range(e->heard[i].nanos, 0, 999999999);
	}
	teardown(e);
}

static void event_that_fails_is_repeated_before_the_next_one(void **state)
{
	struct engine *e = setup("default");

	engine_begin(e);
	e->answers[0] = TTRPC_UNAVAILABLE;
	tell(e, "/tasks/start", "a");
	tell(e, "/tasks/exit", "b");
	RUN_UNTIL(e, e->n_idle);
	assert_heard(e, "aab");
	/* It has the time when it happened, not the one of the attempt. */
	assert_int_equal(e->heard[0].seconds, e->heard[1].seconds);
	assert_int_equal(e->heard[0].nanos, e->heard[1].nanos);
	teardown(e);
}

static void event_that_is_refused_is_not_repeated(void **state)
{
	struct engine *e = setup("default");

	engine_begin(e);
	e->answers[0] = TTRPC_INVALID_ARGUMENT;
	tell(e, "/tasks/start", "a");
	tell(e, "/tasks/exit", "b");
	RUN_UNTIL(e, e->n_idle);
	assert_heard(e, "ab");
	teardown(e);
}

static void event_is_given_up_after_five_attempts(void **state)
{
	struct engine *e = setup("default");

	engine_begin(e);
	for (size_t i = 0; i < PUBLISH_ATTEMPTS; i++)
		e->answers[i] = TTRPC_INTERNAL;
	tell(e, "/tasks/start", "a");
	tell(e, "/tasks/exit", "b");
	RUN_UNTIL(e, e->n_idle);
	assert_heard(e, "aaaaab");
	teardown(e);
}

static void events_wait_for_an_engine_that_is_away(void **state)
{
	struct engine *e = setup("default");

	tell(e, "/tasks/start", "a");
	tell(e, "/tasks/exit", "b");
	engine_begin(e);
	RUN_UNTIL(e, e->n_idle);
	assert_heard(e, "ab");
	teardown(e);
}

static void engine_that_restarts_between_events_hears_the_next(void **state)
{
	struct engine *e = setup("default");

	engine_begin(e);
	tell(e, "/tasks/start", "a");
	RUN_UNTIL(e, e->n_idle == 1);
	engine_end(e);
	engine_begin(e);
	tell(e, "/tasks/exit", "b");
	RUN_UNTIL(e, e->n_idle == 2);
	assert_heard(e, "ab");
	teardown(e);
}

static void event_is_told_again_when_the_engine_ends_before_its_answer(void **state)
{
	struct engine *e = setup("default");

	e->hold = true;
	engine_begin(e);
	tell(e, "/tasks/start", "a");
	RUN_UNTIL(e, e->held);
	engine_end(e);
	ttrpc_call_fail(TAKE_PTR(e->held), TTRPC_ABORTED, "too late");
	e->hold = false;
	engine_begin(e);
	RUN_UNTIL(e, e->n_idle);
	assert_heard(e, "aa");
	teardown(e);
}

static void without_an_address_events_go_nowhere(void **state)
{
	struct publisher *p;
	struct loop *loop;
	Containerd__Events__TaskStart event = CONTAINERD__EVENTS__TASK_START__INIT;

	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(publisher_create(loop, "", "default", NULL, NULL, &p), 0);
	publisher_send(p, "/tasks/start", "TaskStart", &event.base);
	assert_true(publisher_is_idle(p));
	publisher_destroy(p);
	loop_destroy(loop);
}

static void newest_events_are_lost_when_too_many_wait(void **state)
{
	struct engine *e = setup("default");

	for (size_t i = 0; i < PUBLISH_QUEUE_MAX; i++)
		tell(e, "/tasks/start", i == 0 ? "first" : i + 1 < PUBLISH_QUEUE_MAX ? "one" : "last");
	for (size_t i = 0; i < 3; i++)
		tell(e, "/tasks/start", "beyond");
	engine_begin(e);
	RUN_UNTIL(e, e->n_idle);
	assert_int_equal(e->n_heard, PUBLISH_QUEUE_MAX);
	assert_string_equal(e->heard[0].id, "first");
	assert_string_equal(e->heard[PUBLISH_QUEUE_MAX - 1].id, "last");
	teardown(e);
}

static void publisher_may_be_destroyed_with_an_event_in_flight(void **state)
{
	struct engine *e = setup("default");

	e->hold = true;
	engine_begin(e);
	tell(e, "/tasks/start", "a");
	tell(e, "/tasks/exit", "b");
	RUN_UNTIL(e, e->held);
	publisher_destroy(TAKE_PTR(e->publisher));
	ttrpc_call_fail(TAKE_PTR(e->held), TTRPC_ABORTED, "too late");
	assert_int_equal(e->n_idle, 0);
	teardown(e);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		leak_checked(events_arrive_in_order_with_time_and_namespace),
		leak_checked(event_that_fails_is_repeated_before_the_next_one),
		leak_checked(event_that_is_refused_is_not_repeated),
		leak_checked(event_is_given_up_after_five_attempts),
		leak_checked(events_wait_for_an_engine_that_is_away),
		leak_checked(engine_that_restarts_between_events_hears_the_next),
		leak_checked(event_is_told_again_when_the_engine_ends_before_its_answer),
		leak_checked(without_an_address_events_go_nowhere),
		leak_checked(newest_events_are_lost_when_too_many_wait),
		leak_checked(publisher_may_be_destroyed_with_an_event_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
