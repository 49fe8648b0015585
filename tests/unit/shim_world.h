/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim_world.h - a state root, bundles, and a sandbox over a fake VM whose services a client calls,
 * all in one loop
 */
#ifndef ONGGI_TESTS_SHIM_WORLD_H
#define ONGGI_TESTS_SHIM_WORLD_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/fake_vm.h"

#include "common/io.h"
#include "common/path.h"
#include "common/proto/sandbox.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "shim/services.h"
#include "shim/task.h"

/* Longer than this is a hang. */
#define LIMIT_MS 200000
#define WORLD_STEP_MS 10

#define TASK_SERVICE "containerd.task.v2.Task"

struct world {
	char dir[64], root[96];
	int rootfd;
	struct loop *loop;
	struct config config;
	struct sandbox *sandbox;
	struct ttrpc_service services[SERVICES_COUNT];
	struct ttrpc_server *server;
	struct ttrpc_client *client;
	bool empty;
	struct publisher *publisher; /* NULL: the command line is the caller */
	bool network; /* the sandbox reproduces the namespace of the test */
	struct err err;
	int fds_before;
};

static inline int world_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline void world_on_empty(void *userdata)
{
	((struct world *)userdata)->empty = true;
}

static inline struct ttrpc_client *world_connect(struct world *w)
{
	struct ttrpc_client *client;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ttrpc_server_add(w->server, pair[0], NULL, NULL), 0);
	assert_int_equal(ttrpc_client_create(w->loop, pair[1], NULL, NULL, &client), 0);
	return client;
}

static inline void world_start_sandbox(struct world *w)
{
	struct sandbox_options options = {
		.root = w->root,
		.id = "s1",
		.netns_dev = 1,
		.netns_ino = 2,
		.network = w->network,
		.config = &w->config,
		.vcpus = 1,
		.memory_mib = 256,
		.driver = &fake_driver,
		.files = &fake_files,
		.publisher = w->publisher,
		.host_netns_fd = -EBADF,
	};

	mkdirat(w->rootfd, "sandboxes/s1", 0700);
	assert_int_equal(sandbox_create(w->loop, &options, world_on_empty, w, &w->sandbox, &w->err),
			 0);
	assert_int_equal(sandbox_start(w->sandbox, &w->err), 0);
	services_init(w->services, w->sandbox);
	assert_int_equal(ttrpc_server_create(w->loop, w->services, SERVICES_COUNT, &w->server), 0);
	w->client = world_connect(w);
}

static inline int world_setup_bare(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	signal(SIGPIPE, SIG_IGN);
	memset(&fake, 0, sizeof(fake));
	w->fds_before = world_count_fds();
	strcpy(w->dir, "/tmp/onggi-shim-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->root, sizeof(w->root), "%s/run", w->dir);
	assert_int_equal(state_open_root(w->root, &w->rootfd, &w->err), 0);
	assert_int_equal(loop_create(&w->loop), 0);
	w->config = (struct config){ .accel = (char *)"tcg",
				     .driver = (char *)"fake",
				     .memory_mib = 256,
				     .vcpus = 1,
				     .boot_timeout_ms = LIMIT_MS };
	*state = w;
	return 0;
}

static inline int world_setup(void **state)
{
	world_setup_bare(state);
	world_start_sandbox(*state);
	return 0;
}

static inline void world_run_for(struct world *w, uint64_t ms);

static inline int world_teardown(void **state)
{
	struct world *w = *state;
	char command[128];

	sandbox_shut_down(w->sandbox);
	ttrpc_client_destroy(w->client);
	ttrpc_server_destroy(w->server);
	sandbox_destroy(w->sandbox);
	loop_destroy(w->loop);
	assert_int_equal(faccessat(w->rootfd, "sandboxes/s1", F_OK, 0), -1);
	close(w->rootfd);
	assert_int_equal(world_count_fds(), w->fds_before);
	/* No child is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", w->dir);
	assert_int_equal(system(command), 0);
	free(w);
	return 0;
}

static inline void world_set(void *userdata)
{
	*(bool *)userdata = true;
}

static inline void world_run_for(struct world *w, uint64_t ms)
{
	struct loop_source *timer;
	bool over = false;

	assert_int_equal(loop_add_timer(w->loop, ms, world_set, &over, &timer), 0);
	while (!over)
		assert_true(loop_run_once(w->loop) >= 0);
	loop_source_destroy(timer);
}

#define WORLD_UNTIL(w, condition)                                             \
	do {                                                                  \
		for (int until_ = 0; !(condition) && until_ < LIMIT_MS; until_ += WORLD_STEP_MS) \
			world_run_for(w, WORLD_STEP_MS);                      \
		assert_true(condition);                                       \
	} while (0)

/* ---- bundles ---- */

/* @command for sh -c. @more: further members of the spec, with a leading comma; may be "". */
static inline void world_bundle(struct world *w, const char *id, const char *command,
				const char *more)
{
	char path[160], spec[4096];

	snprintf(path, sizeof(path), "containers/%s", id);
	mkdirat(w->rootfd, path, 0700);
	snprintf(path, sizeof(path), "%s/%s", w->dir, id);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/rootfs", w->dir, id);
	mkdir(path, 0755);
	snprintf(spec, sizeof(spec),
		 "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
		 "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"%s\"]}%s}",
		 command, more);
	snprintf(path, sizeof(path), "%s/%s/config.json", w->dir, id);
	assert_int_equal(io_replace_file(AT_FDCWD, path, spec, strlen(spec), 0600), 0);
}

/* A FIFO <dir>/<id>/<name>; its reader (or writer) is returned. */
static inline int world_fifo(struct world *w, const char *id, const char *name, int flags,
			     char path[160])
{
	int fd;

	snprintf(path, 160, "%s/%s/%s", w->dir, id, name);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* ---- calls ---- */

#define WORLD_CALL(w, method, request, response)                                                \
	((w)->err = (struct err)ERR_INIT,                                                       \
	 ttrpc_client_call_wait((w)->client, (w)->loop, TASK_SERVICE, method, &(request)->base, \
				&containerd__task__v2__##response##__descriptor, LIMIT_MS, NULL,   \
				&(w)->err))

static inline int world_create_io(struct world *w, const char *id, const char *in, const char *out,
				  const char *err)
{
	Containerd__Task__V2__CreateTaskRequest r = CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	char bundle[160];

	snprintf(bundle, sizeof(bundle), "%s/%s", w->dir, id);
	r.id = (char *)id;
	r.bundle = bundle;
	r.stdin = (char *)in;
	r.stdout = (char *)out;
	r.stderr = (char *)err;
	return WORLD_CALL(w, "Create", &r, create_task_response);
}

static inline int world_create(struct world *w, const char *id)
{
	return world_create_io(w, id, "", "", "");
}

static inline int world_start(struct world *w, const char *id, const char *exec_id)
{
	Containerd__Task__V2__StartRequest r = CONTAINERD__TASK__V2__START_REQUEST__INIT;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	return WORLD_CALL(w, "Start", &r, start_response);
}

static inline int world_kill(struct world *w, const char *id, const char *exec_id, uint32_t signal)
{
	Containerd__Task__V2__KillRequest r = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	r.signal = signal;
	return WORLD_CALL(w, "Kill", &r, empty);
}

static inline int world_delete(struct world *w, const char *id, const char *exec_id)
{
	Containerd__Task__V2__DeleteRequest r = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	return WORLD_CALL(w, "Delete", &r, delete_response);
}

static inline int world_exec_io(struct world *w, const char *id, const char *exec_id,
				const char *command, const char *out)
{
	Containerd__Task__V2__ExecProcessRequest r =
		CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Containerd__Task__V2__Any spec = CONTAINERD__TASK__V2__ANY__INIT;
	char text[1024];

	snprintf(text, sizeof(text), "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"%s\"]}", command);
	spec.type_url = (char *)"types.containerd.io/opencontainers/runtime-spec/1/Process";
	spec.value = (ProtobufCBinaryData){ .data = (uint8_t *)text, .len = strlen(text) };
	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	r.stdout = (char *)out;
	r.spec = &spec;
	return WORLD_CALL(w, "Exec", &r, empty);
}

/* A container that runs @command, as far as its creation; it must succeed. */
static inline void world_created(struct world *w, const char *id, const char *command)
{
	world_bundle(w, id, command, "");
	assert_int_equal(world_create(w, id), 0);
}

/* The same, started. */
static inline void world_running(struct world *w, const char *id, const char *command)
{
	world_created(w, id, command);
	assert_int_equal(world_start(w, id, ""), 0);
}

/* Exit status, or a negative errno. */
static inline int world_wait(struct world *w, const char *id, const char *exec_id)
{
	Containerd__Task__V2__WaitRequest r = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	Containerd__Task__V2__WaitResponse *answer = NULL;
	int rc;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	w->err = (struct err)ERR_INIT;
	rc = ttrpc_client_call_wait(w->client, w->loop, TASK_SERVICE, "Wait", &r.base,
				    &containerd__task__v2__wait_response__descriptor, LIMIT_MS,
				    &answer, &w->err);
	if (rc < 0)
		return rc;
	rc = (int)answer->exit_status;
	assert_true(answer->exited_at->seconds > 0);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
	return rc;
}

/* Status, or a negative errno. */
static inline int world_state(struct world *w, const char *id, const char *exec_id)
{
	Containerd__Task__V2__StateRequest r = CONTAINERD__TASK__V2__STATE_REQUEST__INIT;
	Containerd__Task__V2__StateResponse *answer = NULL;
	int rc;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	w->err = (struct err)ERR_INIT;
	rc = ttrpc_client_call_wait(w->client, w->loop, TASK_SERVICE, "State", &r.base,
				    &containerd__task__v2__state_response__descriptor, LIMIT_MS,
				    &answer, &w->err);
	if (rc < 0)
		return rc;
	rc = (int)answer->status;
	assert_true(answer->pid > 0);
	protobuf_c_message_free_unpacked(&answer->base, NULL);
	return rc;
}

/* What the record on disk says. */
static inline int world_recorded_status(struct world *w, const char *id, uint32_t *ret_exit)
{
	_cleanup_(container_record_free_p) struct container_record *record = NULL;
	struct err err = ERR_INIT;
	int r = container_record_load(w->rootfd, id, &record, &err);

	if (r < 0)
		return r;
	if (ret_exit)
		*ret_exit = record->exit_status;
	return (int)record->status;
}

static inline int world_main_unshare(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("mount namespace for the tests (they need root)");
		return -1;
	}
	return 0;
}

#define WORLD_CLAIM(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

#endif
