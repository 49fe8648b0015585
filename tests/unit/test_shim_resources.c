/* SPDX-License-Identifier: Apache-2.0 */
/* Task.Update, Task.Stats and Sandbox.WaitOom, and the guest's size behind them. */
#include "tests/unit/shim_world.h"

#include "common/proto/metrics.pb-c.h"
#include "common/proto/sandbox.pb-c.h"
#include "shim/task_stats.h"

#define LIMIT(bytes) ",\"linux\":{\"resources\":{\"memory\":{\"limit\":" #bytes "}}}"

static int update(struct world *w, const char *id, const char *type, const char *resources)
{
	Containerd__Task__V2__UpdateTaskRequest r = CONTAINERD__TASK__V2__UPDATE_TASK_REQUEST__INIT;
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;

	any.type_url = (char *)(uintptr_t)type;
	any.value = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)resources,
					   .len = strlen(resources) };
	r.id = (char *)(uintptr_t)id;
	r.resources = &any;
	return WORLD_CALL(w, "Update", &r, empty);
}

#define TYPE "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

static struct world *running(void **state, const char *more)
{
	struct world *w = *state;

	world_bundle(w, "c1", "sleep 100", more);
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	return w;
}

static void update_passes_resources_on_and_grows_the_guest_before(void **state)
{
	struct world *w = running(state, "");
	unsigned int before = fake.machine_updates;

	assert_int_equal(update(w, "c1", TYPE, "{\"memory\":{\"limit\":536870912}}"), 0);
	assert_string_equal(fake.last_resources, "{\"memory\":{\"limit\":536870912}}");
	assert_int_equal(fake.machine_updates, before + 1);
	assert_int_equal(fake.machine_mib, 768);
	/* Nothing to grow, nothing to ask for. */
	assert_int_equal(update(w, "c1", TYPE, "{\"pids\":{\"limit\":5}}"), 0);
	assert_int_equal(fake.machine_updates, before + 1);
	assert_int_equal(update(w, "c1", TYPE, "{\"memory\":{\"limit\":134217728}}"), 0);
	WORLD_UNTIL(w, fake.machine_mib == 384);
	assert_int_equal(update(w, "c1", TYPE, "{\"memory\":{\"limit\":-1}}"), 0);
	WORLD_UNTIL(w, fake.machine_mib == 256);
}

static void update_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
	struct world *w = running(state, LIMIT(134217728));

	fake.machine_error = "it cannot grow";
	assert_true(update(w, "c1", TYPE, "{\"memory\":{\"limit\":536870912}}") < 0);
	assert_non_null(strstr(w->err.text, "it cannot grow"));
	assert_int_equal(fake.updates, 0);
	fake.machine_error = NULL;
	assert_true(update(w, "c1", TYPE, "{\"memory\":{\"limit\":1099511627776000}}") < 0);
	assert_non_null(strstr(w->err.text, "memory_max_mib"));
	assert_int_equal(fake.updates, 0);
	fake.update_error = "no such limit";
	assert_true(update(w, "c1", TYPE, "{\"memory\":{\"limit\":536870912}}") < 0);
	assert_string_equal(w->err.text, "no such limit");
	/* What was grown for it goes again. */
	WORLD_UNTIL(w, fake.machine_mib == 384);
}

static void update_of_nonsense_is_refused(void **state)
{
	struct world *w = running(state, "");

	assert_int_equal(update(w, "c1", "x/Process", "{}"), -EINVAL);
	assert_int_equal(update(w, "c1", TYPE, "{"), -EINVAL);
	assert_int_equal(update(w, "c1", TYPE, "{\"memory\":{\"limit\":\"x\"}}"), -EINVAL);
	assert_non_null(strstr(w->err.text, "memory.limit"));
	assert_int_equal(update(w, "nobody", TYPE, "{}"), -ENOENT);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_true(update(w, "c1", TYPE, "{}") < 0);
	assert_non_null(strstr(w->err.text, "container not running"));
	assert_int_equal(fake.updates, 0);
}

static void further_container_makes_the_guest_grow_and_its_end_shrink(void **state)
{
	struct world *w = running(state, "");

	assert_true(fake.driver_memory_max_mib > 256);
	world_bundle(w, "c2", "sleep 100", LIMIT(536870912));
	assert_int_equal(world_create(w, "c2"), 0);
	assert_int_equal(fake.machine_mib, 768);
	assert_int_equal(world_start(w, "c2", ""), 0);
	assert_int_equal(world_kill(w, "c2", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c2", ""), 137);
	WORLD_UNTIL(w, fake.machine_mib == 256);
}

static void container_is_created_though_the_guest_cannot_grow(void **state)
{
	struct world *w = running(state, "");

	fake.machine_error = "it cannot grow";
	world_bundle(w, "c2", "sleep 100", LIMIT(536870912));
	assert_int_equal(world_create(w, "c2"), 0);
}

static void guest_that_ends_while_it_grows_ends_the_update(void **state)
{
	struct world *w = running(state, "");

	fake.hold_machine = true;
	world_bundle(w, "c2", "sleep 100", LIMIT(536870912));
	kill(fake.vm->pid, SIGKILL);
	assert_true(update(w, "c1", TYPE, "{\"memory\":{\"limit\":536870912}}") < 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
}

static void stats_are_containerds_metrics(void **state)
{
	Containerd__Task__V2__StatsRequest r = CONTAINERD__TASK__V2__STATS_REQUEST__INIT;
	Containerd__Task__V2__StatsResponse *answer = NULL;
	Io__Containerd__Cgroups__V2__Metrics *m;
	struct world *w = running(state, "");

	r.id = (char *)(uintptr_t)"c1";
	assert_int_equal(ttrpc_client_call_wait(w->client, w->loop, TASK_SERVICE, "Stats", &r.base,
						&containerd__task__v2__stats_response__descriptor,
						LIMIT_MS, &answer, &w->err),
			 0);
	assert_string_equal(answer->stats->type_url, "io.containerd.cgroups.v2.Metrics");
	m = io__containerd__cgroups__v2__metrics__unpack(NULL, answer->stats->value.len,
							 answer->stats->value.data);
	assert_non_null(m);
	assert_int_equal(m->memory->usage, 4711);
	assert_int_equal(m->pids->current, 1);
	io__containerd__cgroups__v2__metrics__free_unpacked(m, NULL);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_true(WORLD_CALL(w, "Stats", &r, stats_response) < 0);
}

/* ---- out of memory ---- */

struct heard {
	int calls;
	uint64_t kills;
	bool ended;
};

static void on_heard(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	const Onggi__Sandbox__V1__WaitOomResponse *answer = response;
	struct heard *h = userdata;

	h->calls++;
	if (code == TTRPC_OK) {
		h->kills = answer->oom_kills;
		h->ended = answer->ended;
	}
}

static void listen_oom(struct world *w, uint64_t seen, struct heard *h)
{
	Onggi__Sandbox__V1__WaitOomRequest r = ONGGI__SANDBOX__V1__WAIT_OOM_REQUEST__INIT;

	r.id = (char *)(uintptr_t)"c1";
	r.seen = seen;
	assert_int_equal(ttrpc_client_call(w->client, "onggi.sandbox.v1.Sandbox", "WaitOom", &r.base,
					   &onggi__sandbox__v1__wait_oom_response__descriptor, 0,
					   on_heard, h),
			 0);
}

static void count_oom(struct task *c, void *userdata)
{
	*(uint64_t *)userdata = c->oom_kills;
}

static void kills_by_the_memory_limit_are_heard_once_each(void **state)
{
	struct heard first = { 0 }, second = { 0 }, late = { 0 }, end = { 0 };
	struct world *w = running(state, "");
	uint64_t hook = 0;

	w->sandbox->on_oom = count_oom;
	w->sandbox->oom_userdata = &hook;
	listen_oom(w, 0, &first);
	WORLD_UNTIL(w, fake.oom_call);
	world_run_for(w, 20);
	assert_int_equal(first.calls, 0);
	fake_answer_oom(2, false);
	WORLD_UNTIL(w, first.calls);
	assert_int_equal(first.kills, 2);
	assert_false(first.ended);
	assert_int_equal(hook, 2);
	WORLD_UNTIL(w, fake.oom_call);
	assert_int_equal(fake.oom_seen, 2);
	listen_oom(w, 1, &late);
	WORLD_UNTIL(w, late.calls);
	assert_int_equal(late.kills, 2);
	listen_oom(w, 2, &second);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	WORLD_UNTIL(w, second.calls);
	assert_true(second.ended);
	listen_oom(w, 2, &end);
	WORLD_UNTIL(w, end.calls);
	assert_true(end.ended);
}

static void agent_that_tells_nothing_new_is_not_asked_again(void **state)
{
	struct world *w = running(state, "");

	WORLD_UNTIL(w, fake.oom_call);
	fake_answer_oom(0, false);
	world_run_for(w, 50);
	assert_null(fake.oom_call);
}

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(update_passes_resources_on_and_grows_the_guest_before),
		world_test(update_that_cannot_be_is_refused_and_changes_nothing),
		world_test(update_of_nonsense_is_refused),
		world_test(further_container_makes_the_guest_grow_and_its_end_shrink),
		world_test(container_is_created_though_the_guest_cannot_grow),
		world_test(guest_that_ends_while_it_grows_ends_the_update),
		world_test(stats_are_containerds_metrics),
		world_test(kills_by_the_memory_limit_are_heard_once_each),
		world_test(agent_that_tells_nothing_new_is_not_asked_again),
	};

	return cmocka_run_group_tests_name("limits, statistics, size", tests, NULL, NULL);
}
