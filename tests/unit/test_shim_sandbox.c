/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to containers when something of their sandbox fails or lies. */
#include "tests/unit/own_clock.h"
#include "tests/unit/shim_world.h"

#define STOPPED CONTAINERD__TASK__V2__STATUS__STOPPED

static void run_container(struct world *w, const char *id)
{
	world_bundle(w, id, "sleep 100", "");
	assert_int_equal(world_create(w, id), 0);
	assert_int_equal(world_start(w, id, ""), 0);
}

static void assert_all_lost(struct world *w, const char *id)
{
	uint32_t status = 0;

	assert_int_equal(world_wait(w, id, ""), 137);
	assert_int_equal(world_state(w, id, ""), STOPPED);
	assert_int_equal(world_recorded_status(w, id, &status), CONTAINER_STOPPED);
	assert_int_equal(status, 137);
	WORLD_UNTIL(w, !fake.vm);
}

static void death_of_the_vmm_ends_all_processes_with_137(void **state)
{
	struct world *w = *state;

	run_container(w, "c1");
	run_container(w, "c2");
	assert_int_equal(world_exec_io(w, "c1", "e1", "sleep 100", ""), 0);
	assert_int_equal(world_start(w, "c1", "e1"), 0);
	kill(fake.vm->pid, SIGKILL);
	assert_int_equal(world_wait(w, "c1", "e1"), 137);
	assert_all_lost(w, "c1");
	assert_all_lost(w, "c2");
	assert_int_equal(world_delete(w, "c1", ""), 0);
	assert_int_equal(world_delete(w, "c2", ""), 0);
	WORLD_UNTIL(w, w->empty);
}

static void death_of_the_file_server_ends_all_processes_with_137(void **state)
{
	struct world *w = *state;

	run_container(w, "c1");
	kill(fake.files_pid, SIGKILL);
	assert_all_lost(w, "c1");
}

static void agent_that_closes_its_channel_ends_the_vm(void **state)
{
	struct world *w = *state;

	run_container(w, "c1");
	ttrpc_server_destroy(TAKE_PTR(fake.vm->server));
	assert_all_lost(w, "c1");
}

/* Its sockets close first; on a busy machine the rest of its end takes a while. */
static void death_of_the_vmm_is_told_as_such_though_its_channel_closes_seconds_before(void **state)
{
	_cleanup_(container_record_free_p) struct container_record *record = NULL;
	struct world *w = *state;

	run_container(w, "c1");
	ttrpc_server_destroy(TAKE_PTR(fake.vm->server));
	WORLD_UNTIL(w, w->sandbox->suspicion);
	clock_ahead_ms += 2000;
	world_run_for(w, 10);
	assert_non_null(fake.vm);
	kill(fake.vm->pid, SIGKILL);
	assert_all_lost(w, "c1");
	assert_int_equal(container_record_load(w->rootfd, "c1", &record, &w->err), 0);
	assert_non_null(strstr(record->lost_reason, "the VMM has ended (signal 9)"));
}

static void agent_that_tells_an_impossible_status_ends_the_vm(void **state)
{
	struct world *w = *state;

	fake.bad_status = true;
	run_container(w, "c1");
	assert_int_equal(world_kill(w, "c1", "", 9), 0);
	assert_all_lost(w, "c1");
}

static void guest_that_does_not_carry_out_a_kill_is_given_up(void **state)
{
	struct world *w = *state;

	run_container(w, "c1");
	fake.ignore_signals = true;
	assert_int_not_equal(world_kill(w, "c1", "", 9), 0);
	assert_all_lost(w, "c1");
}

static void terminal_signal_that_gets_no_answer_leaves_the_vm_alone(void **state)
{
	struct world *w = *state;

	run_container(w, "c1");
	fake.ignore_signals = true;
	assert_int_not_equal(world_kill(w, "c1", "", SIGTERM), 0);
	world_run_for(w, 100);
	assert_non_null(fake.vm);
}

static void container_that_is_being_created_fails_when_the_vmm_dies(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	fake.hold_create = fake.die_when_held = true;
	assert_int_not_equal(world_create(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "the VMM has ended"));
	assert_non_null(strstr(w->err.text, "fake last words"));
	assert_int_equal(world_recorded_status(w, "c1", NULL), -ENOENT);
	WORLD_UNTIL(w, w->empty);
}

#define BOOT_MS 60000
static struct loop_source *impatience;

/* Time passes as soon as somebody waits for the guest. */
static void let_it_be_late(void *userdata)
{
	struct world *w = userdata;

	if (w->sandbox->containers)
		clock_ahead_ms += BOOT_MS;
	else
		loop_timer_set(impatience, 1);
}

static int setup_silent(void **state)
{
	struct world *w;

	world_setup_bare(state);
	w = *state;
	fake.silent = true;
	w->config.boot_timeout_ms = BOOT_MS;
	world_start_sandbox(w);
	return 0;
}

static void guest_that_does_not_boot_fails_all_who_wait_with_its_console(void **state)
{
	struct world *w = *state;

	world_bundle(w, "c1", "true", "");
	assert_int_equal(loop_add_timer(w->loop, 0, let_it_be_late, w, &impatience), 0);
	assert_int_not_equal(world_create(w, "c1"), 0);
	loop_source_destroy(impatience);
	assert_non_null(strstr(w->err.text, "has not answered within 60000 ms"));
	assert_non_null(strstr(w->err.text, "Kernel panic - not syncing"));
	assert_int_equal(world_recorded_status(w, "c1", NULL), -ENOENT);
	WORLD_UNTIL(w, w->empty);
}

/* ---- creating ---- */

static void refusal_of_the_agent_is_passed_on_and_leaves_nothing(void **state)
{
	struct world *w = *state;

	world_created(w, "c0", "sleep 100");
	world_bundle(w, "c1", "true", "");
	fake.create_error = "exec: \"x\": executable file not found in $PATH";
	assert_int_equal(world_create(w, "c1"), -ENOENT);
	assert_non_null(strstr(w->err.text, "executable file not found in $PATH"));
	assert_int_equal(world_state(w, "c1", ""), -ENOENT);
	assert_int_equal(faccessat(w->rootfd, "sandboxes/s1/shared/c1", F_OK, 0), -1);
	fake.create_error = NULL;
	assert_int_equal(world_create(w, "c1"), 0);
}

static void bundle_without_a_spec_is_named(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_create(w, "c1"), -ENOENT);
	assert_non_null(strstr(w->err.text, "config.json"));
	WORLD_UNTIL(w, w->empty);
}

static void missing_rootfs_and_missing_volume_are_named(void **state)
{
	struct world *w = *state;
	char path[160];

	world_created(w, "c0", "sleep 100");
	world_bundle(w, "c1", "true",
		     ",\"mounts\":[{\"destination\":\"/data\",\"type\":\"bind\","
		     "\"source\":\"/nonexistent/vol\",\"options\":[\"rbind\"]}]");
	assert_int_equal(world_create(w, "c1"), -ENOENT);
	assert_non_null(strstr(w->err.text, "mount of '/data'"));
	assert_non_null(strstr(w->err.text, "'/nonexistent/vol': No such file or directory"));
	snprintf(path, sizeof(path), "%s/c1/rootfs", w->dir);
	rmdir(path);
	assert_int_equal(world_create(w, "c1"), -ENOENT);
	assert_non_null(strstr(w->err.text, "rootfs"));
}

static void agent_is_told_where_mounts_are_and_the_rootfs_is_closed_for_writing(void **state)
{
	struct world *w = *state;
	char path[160], spec[1024];

	world_bundle(w, "c1", "true", "");
	snprintf(spec, sizeof(spec),
		 "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
		 "\"process\":{\"cwd\":\"/\",\"args\":[\"true\"]},"
		 "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
		 "{\"destination\":\"/"
		 "d\",\"type\":\"bind\",\"source\":\"%s\",\"options\":[\"bind\",\"ro\"]}]}",
		 w->dir);
	snprintf(path, sizeof(path), "%s/c1/config.json", w->dir);
	assert_int_equal(io_replace_file(AT_FDCWD, path, spec, strlen(spec), 0600), 0);
	assert_int_equal(world_create(w, "c1"), 0);
	assert_string_equal(fake.last_create_rootfs, "/run/onggi/share/c1/rootfs");
	assert_int_equal(fake.last_create_mounts, 1);
	assert_string_equal(fake.readonly_path, "c1/rootfs");
	assert_int_equal(faccessat(w->rootfd, "sandboxes/s1/shared/c1/m1", F_OK, 0), 0);
}

static void writable_rootfs_stays_writable(void **state)
{
	struct world *w = *state;

	world_created(w, "c1", "true");
	assert_string_equal(fake.readonly_path, "");
}

static void rootfs_as_a_list_of_mounts_is_refused(void **state)
{
	Containerd__Task__V2__CreateTaskRequest r = CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	Containerd__Task__V2__Mount mount_ = CONTAINERD__TASK__V2__MOUNT__INIT,
				    *list[] = { &mount_ };
	struct world *w = *state;

	r.id = (char *)"c1";
	r.bundle = (char *)"/tmp";
	r.rootfs = list;
	r.n_rootfs = 1;
	assert_int_equal(WORLD_CALL(w, "Create", &r, create_task_response),
			 ttrpc_code_to_errno(TTRPC_UNIMPLEMENTED));
}

static void ids_that_are_no_names_are_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(world_create(w, "../c1"), -EINVAL);
	assert_int_equal(world_create(w, ""), -EINVAL);
}

/* ---- namespaces ---- */

static void containers_share_namespaces_of_a_proxy_by_its_container(void **state)
{
	struct world *w = *state;
	char spec[512], key[80];

	world_bundle(w, "c1", "sleep 100",
		     ",\"linux\":{\"namespaces\":[{\"type\":\"ipc\"},{\"type\":\"uts\"}]}");
	assert_int_equal(world_create(w, "c1"), 0);
	assert_int_equal(fake.n_last_keys, 2);
	strcpy(key, strstr(fake.last_keys[0], "ipc=") ? fake.last_keys[0] : fake.last_keys[1]);
	/*
	 * As podman's pods do: the path goes by way of the process that stands for the first
	 * container.
	 */
	w->sandbox->containers->init->host_pid = getpid();
	snprintf(spec, sizeof(spec),
		 ",\"linux\":{\"namespaces\":[{\"type\":\"ipc\",\"path\":\"/proc/%d/ns/ipc\"}]}",
		 getpid());
	world_bundle(w, "c2", "sleep 100", spec);
	assert_int_equal(world_create(w, "c2"), 0);
	assert_int_equal(fake.n_last_keys, 1);
	assert_string_equal(fake.last_keys[0], key);
}

static void namespace_of_the_host_is_refused(void **state)
{
	struct world *w = *state;

	world_bundle(
		w, "c1", "true",
		",\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/self/ns/pid\"}]}");
	assert_int_not_equal(world_create(w, "c1"), 0);
	assert_non_null(strstr(w->err.text, "is the host's"));
}

/* ---- the end of the monitor ---- */

static void shut_down_records_the_end_of_all_and_leaves_no_folder(void **state)
{
	struct world *w = *state;
	uint32_t status = 0;

	run_container(w, "c1");
	sandbox_shut_down(w->sandbox);
	assert_int_equal(world_recorded_status(w, "c1", &status), CONTAINER_STOPPED);
	assert_int_equal(status, 137);
	assert_null(fake.vm);
	assert_int_equal(faccessat(w->rootfd, "sandboxes/s1", F_OK, 0), -1);
}

static void record_names_the_processes_of_the_sandbox(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct world *w = *state;

	run_container(w, "c1");
	assert_int_equal(sandbox_record_load(w->rootfd, "s1", &record, &w->err), 0);
	assert_int_equal(record->monitor.pid, getpid());
	assert_int_equal(record->vmm.pid, fake.vm->pid);
	assert_int_equal(record->file_server.pid, fake.files_pid);
	assert_true(process_id_alive(&record->vmm));
}

static void texts_of_the_guest_drive_no_terminal(void **state)
{
	static const struct {
		const char *text, *want;
		size_t size;
	} cases[] = {
		{ "plain \xc3\xa9\xe2\x82\xac", "plain \xc3\xa9\xe2\x82\xac", 32 },
		{ "\033[31m\r\n\t\x7f", "?[31m????", 32 },
		/* CSI as a byte and as a character; what is no UTF-8 */
		{ "\x9b" "1m\xc2\x9b" "1m\xff\xc3", "?1m??1m??", 32 },
		{ "cut here", "cut", 4 },
		{ "12\xe2\x82\xac", "12", 5 },
		{ "", "", 1 },
	};
	char buf[32], same[] = "a\nb";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(buf, 'x', sizeof(buf));
		agent_text(buf, cases[i].size, cases[i].text);
		assert_string_equal(buf, cases[i].want);
	}
	agent_text(same, sizeof(same), same);
	assert_string_equal(same, "a?b");
	agent_text(buf, sizeof(buf), NULL);
	assert_string_equal(buf, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		WORLD_CLAIM(death_of_the_vmm_ends_all_processes_with_137),
		WORLD_CLAIM(death_of_the_file_server_ends_all_processes_with_137),
		WORLD_CLAIM(agent_that_closes_its_channel_ends_the_vm),
		WORLD_CLAIM(death_of_the_vmm_is_told_as_such_though_its_channel_closes_seconds_before),
		WORLD_CLAIM(agent_that_tells_an_impossible_status_ends_the_vm),
		WORLD_CLAIM(guest_that_does_not_carry_out_a_kill_is_given_up),
		WORLD_CLAIM(terminal_signal_that_gets_no_answer_leaves_the_vm_alone),
		WORLD_CLAIM(container_that_is_being_created_fails_when_the_vmm_dies),
		cmocka_unit_test_setup_teardown(
			guest_that_does_not_boot_fails_all_who_wait_with_its_console, setup_silent,
			world_teardown),
		WORLD_CLAIM(refusal_of_the_agent_is_passed_on_and_leaves_nothing),
		WORLD_CLAIM(bundle_without_a_spec_is_named),
		WORLD_CLAIM(missing_rootfs_and_missing_volume_are_named),
		WORLD_CLAIM(agent_is_told_where_mounts_are_and_the_rootfs_is_closed_for_writing),
		WORLD_CLAIM(writable_rootfs_stays_writable),
		WORLD_CLAIM(rootfs_as_a_list_of_mounts_is_refused),
		WORLD_CLAIM(ids_that_are_no_names_are_refused),
		WORLD_CLAIM(containers_share_namespaces_of_a_proxy_by_its_container),
		WORLD_CLAIM(namespace_of_the_host_is_refused),
		WORLD_CLAIM(shut_down_records_the_end_of_all_and_leaves_no_folder),
		WORLD_CLAIM(record_names_the_processes_of_the_sandbox),
		cmocka_unit_test(texts_of_the_guest_drive_no_terminal),
	};

	if (world_main_unshare() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
