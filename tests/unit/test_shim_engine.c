/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor does for an engine that calls it directly: events in their order, hooks, rootfs, folders. */
#include <sys/stat.h>

#include "tests/unit/shim_world.h"

#include "common/proto/events.pb-c.h"
#include "shim/containerd/create.h"
#include "shim/containerd/publish.h"

#define HEARD_MAX 4096

/* "create:c1 start:c1 …", of one test */
static char heard[HEARD_MAX];
static struct ttrpc_server *events_server;

/* ---- an engine that hears all ---- */

static void on_forward(struct ttrpc_call *call, const void *message, void *userdata)
{
	static const Containerd__Task__V2__Empty empty = CONTAINERD__TASK__V2__EMPTY__INIT;
	const Containerd__Events__Envelope *envelope = ((const Containerd__Events__ForwardRequest *)message)->envelope;
	Containerd__Events__TaskExit *exit_event;
	const char *topic = strrchr(envelope->topic, '/') + 1, *id = "";
	size_t len = strlen(heard);

	/* Only an exit has its second field, a text, for the process; of others the container's id is enough. */
	exit_event = containerd__events__task_exit__unpack(NULL, envelope->event->value.len, envelope->event->value.data);
	if (exit_event && !strcmp(topic, "exit"))
		id = exit_event->id;
	snprintf(heard + len, sizeof(heard) - len, "%s%s%s%s", len ? " " : "", topic, id[0] ? ":" : "", id);
	if (exit_event)
		containerd__events__task_exit__free_unpacked(exit_event, NULL);
	ttrpc_call_reply(call, &empty.base);
}

static const struct ttrpc_method events_methods[] = {
	{ "Forward", &containerd__events__forward_request__descriptor,
	  &containerd__task__v2__empty__descriptor, on_forward },
};
static const struct ttrpc_service events_service = { "containerd.services.events.ttrpc.v1.Events", events_methods, 1,
						     NULL };

static int engine_setup(void **state)
{
	char path[160];
	struct world *w;
	int fd;

	world_setup_bare(state);
	w = *state;
	heard[0] = '\0';
	snprintf(path, sizeof(path), "%s/events", w->dir);
	assert_int_equal(ttrpc_listen_unix(path, &fd, NULL), 0);
	assert_int_equal(ttrpc_server_create(w->loop, &events_service, 1, &events_server), 0);
	assert_int_equal(ttrpc_server_listen(events_server, fd), 0);
	assert_int_equal(publisher_create(w->loop, path, "space", NULL, NULL, &w->publisher), 0);
	world_start_sandbox(w);
	return 0;
}

static int engine_teardown(void **state)
{
	struct world *w = *state;

	/* While there is still somebody to tell. */
	sandbox_shut_down(w->sandbox);
	sandbox_destroy(TAKE_PTR(w->sandbox));
	publisher_destroy(TAKE_PTR(w->publisher));
	ttrpc_server_destroy(TAKE_PTR(events_server));
	return world_teardown(state);
}

#define CLAIM(fn) cmocka_unit_test_setup_teardown(fn, engine_setup, engine_teardown)

static bool has_folder(const struct world *w, const char *id)
{
	char path[160];

	snprintf(path, sizeof(path), "containers/%s", id);
	return faccessat(w->rootfd, path, F_OK, 0) == 0;
}

static int pause_or_resume(struct world *w, const char *method, const char *id)
{
	Containerd__Task__V2__PauseRequest r = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;

	r.id = (char *)id;
	return WORLD_CALL(w, method, &r, empty);
}

static int create_of(struct world *w, const char *id, Containerd__Task__V2__Mount *mounts, size_t n)
{
	Containerd__Task__V2__CreateTaskRequest r = CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	_cleanup_free_ Containerd__Task__V2__Mount **list = calloc(n + 1, sizeof(*list));
	char bundle[160];

	for (size_t i = 0; i < n; i++)
		list[i] = &mounts[i];
	snprintf(bundle, sizeof(bundle), "%s/%s", w->dir, id);
	r.id = (char *)id;
	r.bundle = bundle;
	r.rootfs = list;
	r.n_rootfs = n;
	return WORLD_CALL(w, "Create", &r, create_task_response);
}

/* ---- events ---- */

static void life_is_told_in_its_order(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 1000");
	assert_int_equal(world_exec_io(w, "c1", "e1", "exit 3", ""), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	assert_int_equal(world_wait(w, "c1", "e1"), 3);
	assert_int_equal(world_delete(w, "c1", "e1"), 0);
	assert_int_equal(pause_or_resume(w, "Pause", "c1"), 0);
	assert_int_equal(pause_or_resume(w, "Resume", "c1"), 0);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	WORLD_UNTIL(w, publisher_is_idle(w->publisher));
	assert_string_equal(heard, "create start exec-added exec-started exit:e1 paused resumed exit:c1 delete");
}

static void exit_of_init_is_told_after_those_of_its_execs(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 1000");
	assert_int_equal(world_exec_io(w, "c1", "e1", "sleep 1000", ""), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	/* Registered, never started: no exit. */
	assert_int_equal(world_exec_io(w, "c1", "e2", "true", ""), 0);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	WORLD_UNTIL(w, strstr(heard, "exit:c1"));
	assert_string_equal(heard, "create start exec-added exec-started exec-added exit:e1 exit:c1");
}

static void what_never_was_created_is_not_told(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	fake.create_error = "no";
	assert_int_not_equal(world_create(w, "c1"), 0);
	fake.create_error = NULL;
	WORLD_UNTIL(w, publisher_is_idle(w->publisher));
	assert_string_equal(heard, "");
}

/* ---- what is left ---- */

static void folder_goes_with_its_container(void **state)
{
	struct world *w = *state;

	world_created(w, "other", "sleep 1000");
	world_created(w, "c1", "true");
	assert_true(has_folder(w, "c1"));
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_false(has_folder(w, "c1"));
	assert_true(has_folder(w, "other"));
}

static void nothing_is_left_when_a_failed_create_is_answered(void **state)
{
	struct world *w = *state;

	world_created(w, "other", "sleep 1000");
	world_bundle(w, "c1", "true", "");
	fake.create_error = "no such thing";
	assert_int_not_equal(world_create(w, "c1"), 0);
	fake.create_error = NULL;
	assert_non_null(strstr(w->err.text, "no such thing"));
	assert_false(has_folder(w, "c1"));
	assert_null(task_find(w->sandbox, "c1"));
	/* The id can be used at once. */
	world_created(w, "c1", "true");
}

static void sandbox_has_ended_when_its_only_create_has_failed(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	fake.create_error = "no such thing";
	assert_int_not_equal(world_create(w, "c1"), 0);
	fake.create_error = NULL;
	assert_false(has_folder(w, "c1"));
	assert_null(fake.vm);
	assert_int_not_equal(faccessat(w->rootfd, "sandboxes/s1", F_OK, 0), 0);
	WORLD_UNTIL(w, w->empty);
}

/* ---- requests ---- */

static void requests_that_make_no_sense_are_refused(void **state)
{
	Containerd__Task__V2__Mount *mounts = calloc(ENGINE_ROOTFS_MOUNTS_MAX + 1, sizeof(*mounts));
	struct world *w = *state;

	for (size_t i = 0; i <= ENGINE_ROOTFS_MOUNTS_MAX; i++) {
		containerd__task__v2__mount__init(&mounts[i]);
		mounts[i].type = mounts[i].source = (char *)"tmpfs";
	}
	world_bundle(w, "c1", "true", "");
	assert_int_not_equal(create_of(w, "c1", mounts, ENGINE_ROOTFS_MOUNTS_MAX + 1), 0);
	assert_non_null(strstr(w->err.text, "more than 128 mounts"));
	mounts[0].target = (char *)"/below";
	assert_int_not_equal(create_of(w, "c1", mounts, 1), 0);
	assert_non_null(strstr(w->err.text, "/below"));
	assert_int_not_equal(create_of(w, "../c1", mounts, 0), 0);
	assert_non_null(strstr(w->err.text, "no valid container id"));
	free(mounts);
	/* The sandbox is as before. */
	assert_int_equal(create_of(w, "c1", NULL, 0), 0);
}

/* ---- rootfs ---- */

static bool is_mounted(const struct world *w, const char *id)
{
	_cleanup_free_ char *text = NULL;
	char path[160];

	snprintf(path, sizeof(path), " %s/%s/rootfs ", w->dir, id);
	assert_int_equal(io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL), 0);
	return strstr(text, path);
}

static void rootfs_is_mounted_as_listed_and_goes_with_its_container(void **state)
{
	char *options[] = { (char *)"size=64k", (char *)"ro" };
	Containerd__Task__V2__Mount mount = CONTAINERD__TASK__V2__MOUNT__INIT;
	struct world *w = *state;

	world_created(w, "other", "sleep 1000");
	world_bundle(w, "c1", "true", "");
	mount.type = mount.source = (char *)"tmpfs";
	mount.options = options;
	mount.n_options = 2;
	assert_int_equal(create_of(w, "c1", &mount, 1), 0);
	assert_true(is_mounted(w, "c1"));
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_false(is_mounted(w, "c1"));
}

static void mount_that_fails_is_named_and_the_others_are_undone(void **state)
{
	Containerd__Task__V2__Mount mounts[] = { CONTAINERD__TASK__V2__MOUNT__INIT, CONTAINERD__TASK__V2__MOUNT__INIT };
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	mounts[0].type = mounts[0].source = (char *)"tmpfs";
	mounts[1].type = (char *)"nosuchfs";
	mounts[1].source = (char *)"/dev/zero";
	assert_int_not_equal(create_of(w, "c1", mounts, 2), 0);
	assert_non_null(strstr(w->err.text, "nosuchfs"));
	assert_non_null(strstr(w->err.text, "/dev/zero"));
	assert_false(is_mounted(w, "c1"));
}

/* ---- hooks ---- */

#define HOOK(kind, script)                                                                             \
	"\"" kind "\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"" script "\"],\"env\":[\"PATH=/usr/bin:/bin\"]}]"

static void hook_that_fails_takes_the_container_back(void **state)
{
	struct world *w = *state;

	world_created(w, "other", "sleep 1000");
	world_bundle(w, "c1", "true", ",\"hooks\":{" HOOK("createRuntime", "echo no card >&2; exit 4") "}");
	assert_int_not_equal(world_create(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "no card"));
	assert_null(task_find(w->sandbox, "c1"));
	assert_false(has_folder(w, "c1"));
	assert_int_equal(fake.removed_containers, 1);
	WORLD_UNTIL(w, publisher_is_idle(w->publisher));
	assert_string_equal(heard, "create");
	/* The other one's: nobody has heard of this one, and nobody hears of its end. */
	assert_null(strstr(heard, "c1"));
}

static bool has_bytes(const char *path, off_t bytes)
{
	struct stat st;

	return stat(path, &st) == 0 && st.st_size == bytes;
}

static void hooks_run_at_their_time(void **state)
{
	struct world *w = *state;
	char hooks[2048], path[160];
	char *text = NULL;

	snprintf(path, sizeof(path), "%s/ran", w->dir);
	snprintf(hooks, sizeof(hooks),
		 ",\"hooks\":{" HOOK("prestart", "printf 1 >>%s") "," HOOK("createRuntime", "printf 2 >>%s") ","
		 HOOK("createContainer", "printf 3 >>%s") "," HOOK("poststart", "printf 4 >>%s") ","
		 HOOK("poststop", "printf 5 >>%s; exit 1") "}", path, path, path, path, path);
	world_created(w, "other", "sleep 1000");
	world_bundle(w, "c1", "sleep 1000", hooks);
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(io_read_file(AT_FDCWD, path, 16, &text, NULL), 0);
	assert_string_equal(text, "123");
	free(text);
	assert_int_equal(world_start(w, "c1", ""), 0);
	WORLD_UNTIL(w, has_bytes(path, 4));
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	/* One that fails at the end is for the log. */
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(io_read_file(AT_FDCWD, path, 16, &text, NULL), 0);
	assert_string_equal(text, "12345");
	free(text);
	assert_false(has_folder(w, "c1"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(life_is_told_in_its_order),
		CLAIM(exit_of_init_is_told_after_those_of_its_execs),
		CLAIM(what_never_was_created_is_not_told),
		CLAIM(folder_goes_with_its_container),
		CLAIM(nothing_is_left_when_a_failed_create_is_answered),
		CLAIM(sandbox_has_ended_when_its_only_create_has_failed),
		CLAIM(requests_that_make_no_sense_are_refused),
		CLAIM(rootfs_is_mounted_as_listed_and_goes_with_its_container),
		CLAIM(mount_that_fails_is_named_and_the_others_are_undone),
		CLAIM(hook_that_fails_takes_the_container_back),
		CLAIM(hooks_run_at_their_time),
	};

	if (world_main_unshare() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
