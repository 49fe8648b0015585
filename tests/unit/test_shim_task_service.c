/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shim_world.h"

#include "shim/task_resume.h"

#define CREATED CONTAINERD__TASK__V2__STATUS__CREATED
#define RUNNING CONTAINERD__TASK__V2__STATUS__RUNNING
#define STOPPED CONTAINERD__TASK__V2__STATUS__STOPPED
#define PAUSED CONTAINERD__TASK__V2__STATUS__PAUSED

static void container_lives_from_create_to_delete(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "exit 3");
	assert_int_equal(world_state(w, "c1", ""), CREATED);
	assert_int_equal(world_recorded_status(w, "c1", NULL), CONTAINER_CREATED);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(world_wait(w, "c1", ""), 3);
	assert_int_equal(world_state(w, "c1", ""), STOPPED);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(world_recorded_status(w, "c1", NULL), -ENOENT);
	assert_int_equal(faccessat(w->rootfd, "sandboxes/s1", F_OK, 0), -1);
	WORLD_UNTIL(w, w->empty);
	assert_int_equal(fake.configures, 1);
}

static void exit_is_on_disk_before_anybody_is_told(void **state)
{
	struct world *w = *state;
	uint32_t status = 0;

	world_running(w, "c1", "exit 7");
	assert_int_equal(world_wait(w, "c1", ""), 7);
	assert_int_equal(world_recorded_status(w, "c1", &status), CONTAINER_STOPPED);
	assert_int_equal(status, 7);
}

static void vm_ends_with_the_last_running_container(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "sleep 100", "");
	world_bundle(w, "c2", "sleep 100", "");
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_create(w, "c2"), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(world_start(w, "c2", ""), 0);
	assert_int_equal(world_kill(w, "c1", "", SIGKILL), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	world_run_for(w, 20);
	assert_non_null(fake.vm);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(fake.removed_containers, 1);
	assert_int_equal(world_kill(w, "c2", "", SIGTERM), 0);
	assert_int_equal(world_wait(w, "c2", ""), 143);
	WORLD_UNTIL(w, !fake.vm);
	assert_false(w->empty);
}

static void container_created_after_the_vm_ended_starts_it_anew(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	world_bundle(w, "c2", "exit 4", "");
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(world_wait(w, "c1", ""), 0);
	WORLD_UNTIL(w, !fake.vm);
	assert_int_equal(world_create(w, "c2"), 0);
	assert_int_equal(fake.vms_created, 2);
	assert_int_equal(world_start(w, "c2", ""), 0);
	assert_int_equal(world_wait(w, "c2", ""), 4);
	assert_int_equal(world_state(w, "c1", ""), STOPPED);
}

static void created_container_can_be_deleted(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "true");
	assert_int_equal(world_delete(w, "c1", ""), 0);
	WORLD_UNTIL(w, w->empty);
}

static void running_container_cannot_be_deleted(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 100");
	assert_int_not_equal(world_delete(w, "c1", ""), 0);
	assert_non_null(strstr(w->err.text, "that is not stopped: running"));
}

static void unknown_containers_do_not_exist(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_state(w, "nobody", ""), -ENOENT);
	assert_non_null(strstr(w->err.text, "does not exist"));
	assert_int_equal(world_start(w, "nobody", ""), -ENOENT);
	assert_int_equal(world_kill(w, "nobody", "", 9), -ENOENT);
	assert_int_equal(world_delete(w, "nobody", ""), -ENOENT);
	assert_int_equal(world_wait(w, "nobody", ""), -ENOENT);
}

static void second_delete_is_not_found(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	world_bundle(w, "c2", "sleep 100", "");
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_create(w, "c2"), 0);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(world_delete(w, "c1", ""), -ENOENT);
}

static void second_create_of_an_id_is_refused(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "true");
	assert_int_equal(world_create(w, "c1"), -EEXIST);
}

static void second_start_is_refused(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 100");
	assert_int_not_equal(world_start(w, "c1", ""), 0);
	assert_non_null(strstr(w->err.text, "running already"));
}

static void kill_of_the_dead_says_so_in_the_engines_words(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 100");
	assert_int_equal(world_exec_io(w, "c1", "e1", "exit 5", ""), 0);
	assert_int_not_equal(world_kill(w, "c1", "e1", 15), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	assert_int_equal(world_wait(w, "c1", "e1"), 5);
	assert_int_equal(world_kill(w, "c1", "e1", 15), -ENOENT);
	assert_non_null(strstr(w->err.text, "process already finished"));
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_int_equal(world_kill(w, "c1", "", 9), -ENOENT);
	assert_non_null(strstr(w->err.text, "container not running"));
	assert_int_equal(world_kill(w, "c1", "", 65), -EINVAL);
}

static void created_container_that_is_killed_stops_with_137(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "true");
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_int_not_equal(world_start(w, "c1", ""), 0);
}

static void failed_start_is_told_and_stops_the_container(void **state)
{
	struct world *w = *state;
	char path[160], spec[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
				 "\"process\":{\"cwd\":\"/\",\"args\":[\"/nonexistent\"]}}";

	world_bundle(w, "c1", "true", "");
	snprintf(path, sizeof(path), "%s/c1/config.json", w->dir);
	assert_int_equal(io_replace_file(AT_FDCWD, path, spec, strlen(spec), 0600), 0);
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(world_start(w, "c1", ""), -ENOENT);
	assert_non_null(strstr(w->err.text, "no such file or directory"));
	assert_int_equal(world_wait(w, "c1", ""), 127);
	assert_int_equal(world_delete(w, "c1", ""), 0);
}

/* ---- execs ---- */

static void exec_outputs_and_ends_by_itself(void **state)
{
	struct world *w = *state;
	char path[160], data[64] = "";
	int fd;

	world_running(w, "c1", "sleep 100");
	fd = world_fifo(w, "c1", "out", O_RDONLY, path);
	assert_int_equal(world_exec_io(w, "c1", "e1", "echo hello; exit 9", path), 0);
	assert_int_equal(world_exec_io(w, "c1", "e1", "true", ""), -EEXIST);
	assert_int_equal(world_state(w, "c1", "e1"), CREATED);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	assert_int_equal(world_wait(w, "c1", "e1"), 9);
	/* The exit was told after the last byte. */
	assert_int_equal(read(fd, data, sizeof(data)), 6);
	assert_string_equal(data, "hello\n");
	assert_int_equal(read(fd, data, sizeof(data)), 0);
	close(fd);
	assert_int_equal(world_state(w, "c1", ""), RUNNING);
	assert_int_equal(world_delete(w, "c1", "e1"), 0);
	assert_int_equal(world_delete(w, "c1", "e1"), -ENOENT);
}

static void exec_in_a_stopped_container_is_refused(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "true");
	assert_int_equal(world_wait(w, "c1", ""), 0);
	assert_int_not_equal(world_exec_io(w, "c1", "e1", "true", ""), 0);
	assert_non_null(strstr(w->err.text, "container not running"));
}

static void exec_with_a_malformed_process_is_refused(void **state)
{
	Containerd__Task__V2__ExecProcessRequest r =
		CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Containerd__Task__V2__Any spec = CONTAINERD__TASK__V2__ANY__INIT;
	struct world *w = *state;

	world_running(w, "c1", "sleep 100");
	spec.type_url = (char *)"Process";
	spec.value = (ProtobufCBinaryData){ .data = (uint8_t *)"{}", .len = 2 };
	r.id = (char *)"c1";
	r.exec_id = (char *)"e1";
	r.spec = &spec;
	assert_int_equal(WORLD_CALL(w, "Exec", &r, empty), -EINVAL);
	spec.type_url = (char *)"binary:///bin/sh";
	assert_int_equal(WORLD_CALL(w, "Exec", &r, empty), -EINVAL);
	r.exec_id = (char *)"../e1";
	assert_int_equal(WORLD_CALL(w, "Exec", &r, empty), -EINVAL);
	assert_int_equal(world_state(w, "c1", "e1"), -ENOENT);
}

/* ---- stdio ---- */

static void a_megabyte_of_output_arrives_before_the_exit(void **state)
{
	struct world *w = *state;
	char path[160], data[65536];
	size_t got = 0;
	int fd;
	bool zero = true;

	world_bundle(w, "c1", "head -c 1000000 /dev/zero", "");
	fd = world_fifo(w, "c1", "out", O_RDONLY, path);
	assert_int_equal(world_create_io(w, "c1", "", path, ""), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	while (got < 1000000) {
		ssize_t n = read(fd, data, sizeof(data));

		for (ssize_t i = 0; i < n; i++)
			zero = zero && data[i] == 0;
		got += n > 0 ? (size_t)n : 0;
		world_run_for(w, 1);
	}
	assert_true(zero);
	assert_int_equal(got, 1000000);
	assert_int_equal(world_wait(w, "c1", ""), 0);
	assert_int_equal(read(fd, data, sizeof(data)), 0);
	close(fd);
}

static void input_reaches_the_process_and_ends_with_close_io(void **state)
{
	Containerd__Task__V2__CloseIORequest r = CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;
	struct world *w = *state;
	char in[160], out[160], data[64] = "";
	int in_hold, in_fd, out_fd;

	world_bundle(w, "c1", "cat; exit 8", "");
	in_hold = world_fifo(w, "c1", "in", O_RDONLY, in);
	in_fd = open(in, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	out_fd = world_fifo(w, "c1", "out", O_RDONLY, out);
	assert_int_equal(world_create_io(w, "c1", in, out, ""), 0);
	close(in_hold);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(write(in_fd, "ping", 4), 4);
	close(in_fd);
	world_run_for(w, 50);
	assert_int_equal(world_state(w, "c1", ""), RUNNING);
	r.id = (char *)"c1";
	r.stdin = true;
	assert_int_equal(WORLD_CALL(w, "CloseIO", &r, empty), 0);
	assert_int_equal(world_wait(w, "c1", ""), 8);
	assert_int_equal(read(out_fd, data, sizeof(data)), 4);
	assert_string_equal(data, "ping");
	close(out_fd);
}

static void kill_of_a_process_whose_output_is_stuck_ends_it(void **state)
{
	struct world *w = *state;
	char path[160];
	int fd;

	world_bundle(w, "c1", "head -c 65536 /dev/zero; head -c 30000 /dev/zero", "");
	fd = world_fifo(w, "c1", "out", O_RDONLY, path);
	assert_int_equal(world_create_io(w, "c1", "", path, ""), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	WORLD_UNTIL(w, fake_has_ended("c1"));
	assert_int_equal(world_state(w, "c1", ""), RUNNING);
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 0);
	close(fd);
}

/* ---- folders that are removed by hand ---- */

static void remove_by_hand(struct world *w, const char *folder)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf --one-file-system %s/%s", w->root, folder);
	assert_int_equal(system(command), 0);
}

static void container_whose_folder_is_removed_ends_and_the_sandbox_with_the_last(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 1000");
	world_running(w, "c2", "sleep 1000");
	remove_by_hand(w, "containers/c1");
	WORLD_UNTIL(w, world_state(w, "c1", "") == -ENOENT);
	assert_int_equal(world_state(w, "c2", ""), RUNNING);
	assert_false(w->empty);
	remove_by_hand(w, "containers/c2");
	WORLD_UNTIL(w, w->empty);
}

static void created_container_whose_folder_is_removed_goes(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "sleep 1000");
	remove_by_hand(w, "containers/c1");
	WORLD_UNTIL(w, w->empty);
}

static void sandbox_whose_folder_is_removed_ends(void **state)
{
	struct world *w = *state;

	world_running(w, "c1", "sleep 1000");
	remove_by_hand(w, "sandboxes/s1");
	WORLD_UNTIL(w, w->empty);
}

/* ---- waiting ---- */

struct waited {
	enum ttrpc_code code;
	unsigned int answers;
	uint32_t status;
};

static void on_waited(enum ttrpc_code code, const char *message, const void *response,
		      void *userdata)
{
	struct waited *waited = userdata;

	waited->code = code;
	waited->answers++;
	if (code == TTRPC_OK)
		waited->status =
			((const Containerd__Task__V2__WaitResponse *)response)->exit_status;
}

static void wait_async(struct world *w, struct ttrpc_client *client, const char *id,
		       struct waited *waited)
{
	Containerd__Task__V2__WaitRequest r = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;

	r.id = (char *)id;
	assert_int_equal(ttrpc_client_call(client, "containerd.task.v3.Task", "Wait", &r.base,
					   &containerd__task__v2__wait_response__descriptor, 0,
					   on_waited, waited),
			 0);
}

static void all_who_wait_are_told_also_before_start_and_after_the_end(void **state)
{
	struct world *w = *state;
	struct ttrpc_client *other = world_connect(w);
	struct waited early[3] = { 0 }, late = { 0 };

	world_created(w, "c1", "exit 6");
	wait_async(w, w->client, "c1", &early[0]);
	wait_async(w, other, "c1", &early[1]);
	wait_async(w, other, "c1", &early[2]);
	assert_int_equal(world_start(w, "c1", ""), 0);
	WORLD_UNTIL(w, early[0].answers && early[1].answers && early[2].answers);
	for (int i = 0; i < 3; i++)
		assert_int_equal(early[i].status, 6);
	wait_async(w, other, "c1", &late);
	WORLD_UNTIL(w, late.answers);
	assert_int_equal(late.status, 6);
	ttrpc_client_destroy(other);
}

static void who_waits_is_told_when_a_created_container_is_deleted(void **state)
{
	struct world *w = *state;
	struct waited waited = { 0 };

	world_created(w, "c1", "true");
	wait_async(w, w->client, "c1", &waited);
	world_run_for(w, 10);
	assert_int_equal(world_delete(w, "c1", ""), 0);
	WORLD_UNTIL(w, waited.answers);
	assert_int_equal(waited.status, 137);
}

static void waiters_whose_connection_is_gone_do_not_pile_up(void **state)
{
	struct world *w = *state;
	struct waited waited[50] = { 0 };

	world_created(w, "c1", "sleep 100");
	for (int i = 0; i < 50; i++) {
		struct ttrpc_client *other = world_connect(w);

		wait_async(w, other, "c1", &waited[i]);
		world_run_for(w, 1);
		ttrpc_client_destroy(other);
		world_run_for(w, 1);
	}
	WORLD_UNTIL(w, w->sandbox->containers->init->n_waiters <= 2);
}

/* ---- the rest of the methods ---- */

static void paused_container_is_shown_as_such_with_its_execs(void **state)
{
	Containerd__Task__V2__PauseRequest pause_request =
		CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
	Containerd__Task__V2__ResumeRequest resume_request =
		CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;
	struct world *w = *state;

	world_created(w, "c1", "sleep 100");
	pause_request.id = resume_request.id = (char *)"c1";
	assert_int_not_equal(WORLD_CALL(w, "Pause", &pause_request, empty), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(world_exec_io(w, "c1", "e1", "sleep 100", ""), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	assert_int_equal(WORLD_CALL(w, "Pause", &pause_request, empty), 0);
	assert_int_equal(world_state(w, "c1", ""), PAUSED);
	assert_int_equal(world_state(w, "c1", "e1"), PAUSED);
	assert_int_equal(world_recorded_status(w, "c1", NULL), CONTAINER_PAUSED);
	assert_int_not_equal(world_exec_io(w, "c1", "e2", "true", ""), 0);
	assert_int_equal(WORLD_CALL(w, "Resume", &resume_request, empty), 0);
	assert_int_equal(world_state(w, "c1", ""), RUNNING);
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
}

static void on_resumed(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	assert_int_equal(code, TTRPC_OK);
	++*(unsigned int *)userdata;
}

static void wait_resumed(struct world *w, struct ttrpc_client *client, const char *id, unsigned int *told)
{
	Onggi__Sandbox__V1__WaitResumedRequest r = ONGGI__SANDBOX__V1__WAIT_RESUMED_REQUEST__INIT;

	r.id = (char *)id;
	assert_int_equal(ttrpc_client_call(client, "onggi.sandbox.v1.Sandbox", "WaitResumed", &r.base,
					   &onggi__sandbox__v1__empty__descriptor, 0, on_resumed, told), 0);
}

static void who_waits_for_a_paused_container_hears_of_its_resumption_or_end(void **state)
{
	Onggi__Sandbox__V1__WaitResumedRequest nobody = ONGGI__SANDBOX__V1__WAIT_RESUMED_REQUEST__INIT;
	Containerd__Task__V2__PauseRequest pause_request = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
	Containerd__Task__V2__ResumeRequest resume_request = CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;
	struct world *w = *state;
	unsigned int told = 0;

	world_running(w, "c1", "sleep 100");
	pause_request.id = resume_request.id = (char *)"c1";
	wait_resumed(w, w->client, "c1", &told);
	WORLD_UNTIL(w, told == 1);
	assert_int_equal(WORLD_CALL(w, "Pause", &pause_request, empty), 0);
	for (int i = 0; i < 3; i++)
		wait_resumed(w, w->client, "c1", &told);
	/* A call after them is answered: they have been taken up. */
	assert_int_equal(world_state(w, "c1", ""), PAUSED);
	assert_int_equal(told, 1);
	assert_int_equal(WORLD_CALL(w, "Resume", &resume_request, empty), 0);
	WORLD_UNTIL(w, told == 4);
	assert_int_equal(WORLD_CALL(w, "Pause", &pause_request, empty), 0);
	wait_resumed(w, w->client, "c1", &told);
	assert_int_equal(world_state(w, "c1", ""), PAUSED);
	assert_int_equal(told, 4);
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	WORLD_UNTIL(w, told == 5);
	nobody.id = (char *)"nobody";
	assert_int_equal(ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox", "WaitResumed", &nobody.base,
						&onggi__sandbox__v1__empty__descriptor, LIMIT_MS, NULL, &w->err), -ENOENT);
}

static void ignore_result(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
}

static void those_who_wait_and_leave_make_room_for_others(void **state)
{
	Containerd__Task__V2__PauseRequest pause_request = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;
	Onggi__Sandbox__V1__WaitResumedRequest r = ONGGI__SANDBOX__V1__WAIT_RESUMED_REQUEST__INIT;
	struct world *w = *state;
	struct ttrpc_client *other;

	world_running(w, "c1", "sleep 100");
	pause_request.id = r.id = (char *)"c1";
	assert_int_equal(WORLD_CALL(w, "Pause", &pause_request, empty), 0);
	for (int round = 0; round < 2; round++) {
		other = world_connect(w);
		/* The first takes the place of those who have left. */
		for (unsigned int i = 1; i <= TASK_RESUME_LISTENERS_MAX; i++) {
			assert_int_equal(ttrpc_client_call(other, "onggi.sandbox.v1.Sandbox", "WaitResumed", &r.base,
							   &onggi__sandbox__v1__empty__descriptor, 0, ignore_result, NULL), 0);
			WORLD_UNTIL(w, w->sandbox->containers->n_resume_listeners == i);
		}
		/* One more while they wait. */
		w->err = (struct err)ERR_INIT;
		assert_int_not_equal(ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox", "WaitResumed",
							    &r.base, &onggi__sandbox__v1__empty__descriptor, LIMIT_MS, NULL,
							    &w->err), 0);
		assert_non_null(strstr(w->err.text, "too many"));
		ttrpc_client_destroy(other);
		world_run_for(w, 10);
	}
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_int_equal(world_wait(w, "c1", ""), 137);
}

static void what_is_not_supported_says_so(void **state)
{
	Containerd__Task__V2__CheckpointTaskRequest checkpoint =
		CONTAINERD__TASK__V2__CHECKPOINT_TASK_REQUEST__INIT;
	struct world *w = *state;

	assert_int_equal(WORLD_CALL(w, "Checkpoint", &checkpoint, empty),
			 ttrpc_code_to_errno(TTRPC_UNIMPLEMENTED));
	assert_non_null(strstr(w->err.text, "checkpoint"));
}

static void connect_never_fails(void **state)
{
	Containerd__Task__V2__ConnectRequest r = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
	struct world *w = *state;

	r.id = (char *)"nobody";
	assert_int_equal(WORLD_CALL(w, "Connect", &r, connect_response), 0);
}

static void shutdown_ends_a_sandbox_that_never_held_anything(void **state)
{
	Containerd__Task__V2__ShutdownRequest r = CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;
	struct world *w = *state;

	assert_int_equal(WORLD_CALL(w, "Shutdown", &r, empty), 0);
	WORLD_UNTIL(w, w->empty);
	assert_null(fake.vm);
}

static void shutdown_is_ignored_while_a_container_is_there(void **state)
{
	Containerd__Task__V2__ShutdownRequest r = CONTAINERD__TASK__V2__SHUTDOWN_REQUEST__INIT;
	struct world *w = *state;

	world_created(w, "c1", "sleep 100");
	assert_int_equal(WORLD_CALL(w, "Shutdown", &r, empty), 0);
	world_run_for(w, 50);
	assert_false(w->empty);
	assert_int_equal(world_start(w, "c1", ""), 0);
}

/* ---- our own service ---- */

static int attach(struct world *w, struct ttrpc_client *client, const char *id, const char *exec_id)
{
	Onggi__Sandbox__V1__AttachRequest r = ONGGI__SANDBOX__V1__ATTACH_REQUEST__INIT;

	r.id = (char *)id;
	r.exec_id = (char *)exec_id;
	w->err = (struct err)ERR_INIT;
	return ttrpc_client_call_wait(client, w->loop, "onggi.sandbox.v1.Sandbox", "Attach",
				      &r.base, &onggi__sandbox__v1__empty__descriptor, LIMIT_MS, NULL,
				      &w->err);
}

static void container_dies_with_its_proxy(void **state)
{
	struct world *w = *state;
	struct ttrpc_client *proxy = world_connect(w);

	world_bundle(w, "c1", "sleep 100", "");
	assert_int_equal(attach(w, proxy, "c1", ""), -ENOENT);
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(attach(w, proxy, "c1", ""), 0);
	assert_int_equal(attach(w, w->client, "c1", ""), -EEXIST);
	assert_int_equal(world_start(w, "c1", ""), 0);
	ttrpc_client_destroy(proxy);
	assert_int_equal(world_wait(w, "c1", ""), 137);
}

static void drop_answer(enum ttrpc_code code, const char *message, const void *response,
			void *userdata)
{
	*(enum ttrpc_code *)userdata = code;
}

static void creation_ends_with_the_proxy_that_asked_for_it(void **state)
{
	Containerd__Task__V2__CreateTaskRequest r = CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	enum ttrpc_code code = TTRPC_OK;
	struct world *w = *state;
	struct ttrpc_client *proxy = world_connect(w);
	char bundle[160];

	world_bundle(w, "c1", "sleep 100", "");
	fake.hold_create = true;
	snprintf(bundle, sizeof(bundle), "%s/c1", w->dir);
	r.id = (char *)"c1";
	r.bundle = bundle;
	assert_int_equal(ttrpc_client_call(proxy, "containerd.task.v2.Task", "Create", &r.base,
					   &containerd__task__v2__create_task_response__descriptor,
					   0, drop_answer, &code),
			 0);
	/* It need not exist yet. */
	assert_int_equal(attach(w, proxy, "c1", ""), 0);
	assert_int_equal(world_recorded_status(w, "c1", NULL), CONTAINER_CREATING);
	ttrpc_client_destroy(proxy);
	assert_int_equal(code, TTRPC_CANCELED);
	WORLD_UNTIL(w, w->empty);
	assert_int_equal(world_recorded_status(w, "c1", NULL), -ENOENT);
}

static void why_a_vm_was_lost_is_told_who_asks(void **state)
{
	Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;
	Onggi__Sandbox__V1__InfoResponse *info = NULL;
	struct world *w = *state;

	world_running(w, "c1", "sleep 100");
	kill(fake.vm->pid, SIGKILL);
	assert_int_equal(world_wait(w, "c1", ""), 137);
	assert_int_equal(ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox",
						"Info", &empty.base,
						&onggi__sandbox__v1__info_response__descriptor,
						LIMIT_MS, &info, &w->err),
			 0);
	assert_non_null(strstr(info->lost_reason, "the VMM has ended (signal 9)"));
	assert_non_null(strstr(info->lost_reason, "fake last words"));
	protobuf_c_message_free_unpacked(&info->base, NULL);
}

static void exec_whose_proxy_is_gone_is_killed_and_forgotten(void **state)
{
	struct world *w = *state;
	struct ttrpc_client *proxy = world_connect(w);

	world_running(w, "c1", "sleep 100");
	assert_int_equal(world_exec_io(w, "c1", "e1", "sleep 100", ""), 0);
	assert_int_equal(attach(w, proxy, "c1", "e1"), 0);
	assert_int_not_equal(attach(w, proxy, "c1", ""), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	ttrpc_client_destroy(proxy);
	WORLD_UNTIL(w, world_state(w, "c1", "e1") == -ENOENT);
	assert_int_equal(world_state(w, "c1", ""), RUNNING);
}

static void proxy_that_leaves_after_the_end_changes_nothing(void **state)
{
	struct world *w = *state;
	struct ttrpc_client *proxy = world_connect(w);

	world_created(w, "c1", "exit 2");
	assert_int_equal(attach(w, proxy, "c1", ""), 0);
	assert_int_equal(world_start(w, "c1", ""), 0);
	assert_int_equal(world_wait(w, "c1", ""), 2);
	ttrpc_client_destroy(proxy);
	world_run_for(w, 20);
	assert_int_equal(world_wait(w, "c1", ""), 2);
}

static void texts_of_the_guest_are_shown_without_control_characters(void **state)
{
	Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;
	Onggi__Sandbox__V1__ProcessesRequest r = ONGGI__SANDBOX__V1__PROCESSES_REQUEST__INIT;
	Onggi__Sandbox__V1__ProcessesResponse *processes = NULL;
	Onggi__Sandbox__V1__InfoResponse *info = NULL;
	struct world *w = *state;

	world_created(w, "c1", "sleep 100");
	r.id = (char *)"c1";
	assert_int_equal(ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox",
						"Processes", &r.base,
						&onggi__sandbox__v1__processes_response__descriptor,
						LIMIT_MS, &processes, &w->err),
			 0);
	assert_int_equal(processes->n_processes, 1);
	assert_string_equal(processes->processes[0]->command, "evil?[2J");
	assert_int_equal(processes->processes[0]->pid, 7);
	protobuf_c_message_free_unpacked(&processes->base, NULL);
	assert_int_equal(ttrpc_client_call_wait(w->client, w->loop, "onggi.sandbox.v1.Sandbox",
						"Info", &empty.base,
						&onggi__sandbox__v1__info_response__descriptor,
						LIMIT_MS, &info, &w->err),
			 0);
	assert_string_equal(info->guest_kernel, "6.1.0-?fake");
	assert_string_equal(info->accelerator, "tcg");
	assert_true(info->vmm_pid > 0 && info->file_server_pid > 0);
	protobuf_c_message_free_unpacked(&info->base, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WORLD_CLAIM(container_lives_from_create_to_delete),
		WORLD_CLAIM(exit_is_on_disk_before_anybody_is_told),
		WORLD_CLAIM(vm_ends_with_the_last_running_container),
		WORLD_CLAIM(container_created_after_the_vm_ended_starts_it_anew),
		WORLD_CLAIM(created_container_can_be_deleted),
		WORLD_CLAIM(running_container_cannot_be_deleted),
		WORLD_CLAIM(unknown_containers_do_not_exist),
		WORLD_CLAIM(second_delete_is_not_found),
		WORLD_CLAIM(second_create_of_an_id_is_refused),
		WORLD_CLAIM(second_start_is_refused),
		WORLD_CLAIM(kill_of_the_dead_says_so_in_the_engines_words),
		WORLD_CLAIM(created_container_that_is_killed_stops_with_137),
		WORLD_CLAIM(failed_start_is_told_and_stops_the_container),
		WORLD_CLAIM(exec_outputs_and_ends_by_itself),
		WORLD_CLAIM(exec_in_a_stopped_container_is_refused),
		WORLD_CLAIM(exec_with_a_malformed_process_is_refused),
		WORLD_CLAIM(a_megabyte_of_output_arrives_before_the_exit),
		WORLD_CLAIM(input_reaches_the_process_and_ends_with_close_io),
		WORLD_CLAIM(kill_of_a_process_whose_output_is_stuck_ends_it),
		WORLD_CLAIM(container_whose_folder_is_removed_ends_and_the_sandbox_with_the_last),
		WORLD_CLAIM(created_container_whose_folder_is_removed_goes),
		WORLD_CLAIM(sandbox_whose_folder_is_removed_ends),
		WORLD_CLAIM(all_who_wait_are_told_also_before_start_and_after_the_end),
		WORLD_CLAIM(who_waits_is_told_when_a_created_container_is_deleted),
		WORLD_CLAIM(waiters_whose_connection_is_gone_do_not_pile_up),
		WORLD_CLAIM(paused_container_is_shown_as_such_with_its_execs),
		WORLD_CLAIM(who_waits_for_a_paused_container_hears_of_its_resumption_or_end),
		WORLD_CLAIM(those_who_wait_and_leave_make_room_for_others),
		WORLD_CLAIM(what_is_not_supported_says_so),
		WORLD_CLAIM(connect_never_fails),
		WORLD_CLAIM(shutdown_ends_a_sandbox_that_never_held_anything),
		WORLD_CLAIM(shutdown_is_ignored_while_a_container_is_there),
		WORLD_CLAIM(container_dies_with_its_proxy),
		WORLD_CLAIM(creation_ends_with_the_proxy_that_asked_for_it),
		WORLD_CLAIM(why_a_vm_was_lost_is_told_who_asks),
		WORLD_CLAIM(exec_whose_proxy_is_gone_is_killed_and_forgotten),
		WORLD_CLAIM(proxy_that_leaves_after_the_end_changes_nothing),
		WORLD_CLAIM(texts_of_the_guest_are_shown_without_control_characters),
	};

	if (world_main_unshare() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
