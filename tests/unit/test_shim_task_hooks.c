/* SPDX-License-Identifier: Apache-2.0 */
/* createContainer hooks in the monitor: the child that runs them, its report, and its end. */
#include "tests/unit/shim_world.h"

#include <sys/mount.h>

#include "common/proto/sandbox.pb-c.h"

#define HOOKS(script)                                                                               \
	",\"hooks\":{\"createContainer\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" script   \
	"\"],\"env\":[\"PATH=/usr/bin:/bin\"]}]}"

static int run_hooks(struct world *w, const char *id)
{
	Onggi__Sandbox__V1__RunHooksRequest r = ONGGI__SANDBOX__V1__RUN_HOOKS_REQUEST__INIT;

	r.id = (char *)id;
	w->err = (struct err)ERR_INIT;
	return ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox", "RunHooks",
				      &r.base, &onggi__sandbox__v1__empty__descriptor, LIMIT_MS, NULL, &w->err);
}

static void answered(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	*(enum ttrpc_code *)userdata = code;
}

static void run_hooks_async(struct world *w, const char *id, enum ttrpc_code *code)
{
	Onggi__Sandbox__V1__RunHooksRequest r = ONGGI__SANDBOX__V1__RUN_HOOKS_REQUEST__INIT;

	r.id = (char *)id;
	assert_int_equal(ttrpc_client_call(w->client, "onggi.sandbox.v1.Sandbox", "RunHooks", &r.base,
					   &onggi__sandbox__v1__empty__descriptor, 0, answered, code), 0);
}

static bool in_root(const struct world *w, const char *id, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s/rootfs/%s", w->dir, id, name);
	return access(path, F_OK) == 0;
}

static void hooks_run_in_the_root_and_what_they_mount_stays_out_of_the_caller_s_sight(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", HOOKS("set -e; touch made; mkdir m; mount -t tmpfs x m; touch m/inside"));
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(run_hooks(w, "c1"), 0);
	assert_true(in_root(w, "c1", "made"));
	assert_true(in_root(w, "c1", "m"));
	assert_false(in_root(w, "c1", "m/inside"));
	/* More than once is the caller's affair. */
	assert_int_not_equal(run_hooks(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "error running createContainer hook #0"));
	assert_int_equal(world_delete(w, "c1", ""), 0);
}

static void without_hooks_there_is_nothing_to_do(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "true");
	assert_int_equal(run_hooks(w, "c1"), 0);
}

static void hook_that_fails_is_told_with_its_words(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", HOOKS("echo no such card >&2; exit 6"));
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_not_equal(run_hooks(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "exit status 6: no such card"));
}

static void hooks_are_refused_unless_the_container_is_created(void **state)
{
	struct world *w = *state;

	assert_int_equal(run_hooks(w, "nobody"), -ENOENT);
	world_bundle(w, "c1", "sleep 100", HOOKS("true"));
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_not_equal(run_hooks(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "cannot be run now"));
}

static void monitor_answers_others_while_a_hook_runs_and_ends_it_with_its_container(void **state)
{
	enum ttrpc_code code = TTRPC_OK;
	struct world *w = *state;

	world_bundle(w, "c1", "true", HOOKS("touch running; sleep 1000"));
	assert_int_equal(world_create(w, "c1"), 0);
	run_hooks_async(w, "c1", &code);
	WORLD_UNTIL(w, in_root(w, "c1", "running"));
	assert_int_equal(world_state(w, "c1", ""), CONTAINERD__TASK__V2__STATUS__CREATED);
	assert_int_not_equal(run_hooks(w, "c1"), 0);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(code, TTRPC_CANCELED);
	WORLD_UNTIL(w, w->empty);
}

static void killed_runner_is_told(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", HOOKS("kill -9 $PPID; exec sleep 1000"));
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_not_equal(run_hooks(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "was killed"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WORLD_CLAIM(hooks_run_in_the_root_and_what_they_mount_stays_out_of_the_caller_s_sight),
		WORLD_CLAIM(without_hooks_there_is_nothing_to_do),
		WORLD_CLAIM(hook_that_fails_is_told_with_its_words),
		WORLD_CLAIM(hooks_are_refused_unless_the_container_is_created),
		WORLD_CLAIM(monitor_answers_others_while_a_hook_runs_and_ends_it_with_its_container),
		WORLD_CLAIM(killed_runner_is_told),
	};

	if (world_main_unshare() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
