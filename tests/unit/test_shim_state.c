/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/io.h"
#include "shim/state.h"

/* Longer than this is a hang. */
#define LIMIT_MS 200000

struct place {
	char dir[64], root[96];
	int fd;
	struct err err;
};

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	strcpy(p->dir, "/tmp/onggi-state-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->root, sizeof(p->root), "%s/a/root", p->dir);
	assert_int_equal(state_open_root(p->root, &p->fd, &p->err), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	close(p->fd);
	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void root_is_made_for_its_owner_alone(void **state)
{
	struct place *p = *state;
	struct stat st;

	assert_int_equal(stat(p->root, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(fstatat(p->fd, "sandboxes", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static void root_that_others_can_write_is_refused(void **state)
{
	struct place *p = *state;
	int fd = -1;

	assert_int_equal(chmod(p->root, 0770), 0);
	assert_int_equal(state_open_root(p->root, &fd, &p->err), -EACCES);
	assert_int_equal(fd, -1);
	assert_int_equal(chmod(p->root, 0700), 0);
}

static void root_that_is_a_file_is_refused_by_name(void **state)
{
	struct place *p = *state;
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/file", p->dir);
	assert_int_equal(io_replace_file(AT_FDCWD, path, "", 0, 0600), 0);
	assert_int_not_equal(state_open_root(path, &fd, &p->err), 0);
	assert_non_null(strstr(p->err.text, path));
}

static void lock_is_exclusive_until_it_is_closed(void **state)
{
	struct place *p = *state;
	int lock, status;
	pid_t pid;

	assert_int_equal(state_lock(p->fd, &lock, &p->err), 0);
	pid = fork();
	if (pid == 0) {
		int root, other;

		close(lock);
		/* Waits for the first holder to close. */
		if (state_open_root(p->root, &root, NULL) < 0 || state_lock(root, &other, NULL) < 0)
			_exit(1);
		_exit(faccessat(root, "released", F_OK, 0) == 0 ? 0 : 2);
	}
	usleep(200000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(io_replace_file(p->fd, "released", "", 0, 0600), 0);
	close(lock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void container_record_comes_back_as_it_was_saved(void **state)
{
	_cleanup_(container_record_free_p) struct container_record *back = NULL;
	char *annotations[] = { (char *)"a/b", (char *)"c \"d\"\n", NULL };
	struct place *p = *state;
	struct container_record record = {
		.id = (char *)"c1",
		.sandbox = (char *)"s1",
		.bundle = (char *)"/b",
		.rootfs = (char *)"/b/rootfs",
		.oci_version = (char *)"1.0.2",
		.created = (char *)"2026-01-01T00:00:00.000000001Z",
		.status = CONTAINER_PAUSED,
		.exit_status = 143,
		.lost_reason = (char *)"the \"VMM\"",
		.annotations = annotations,
		.hook_kinds = RECORD_HOOKS_KNOWN | 5,
		.proxy = { .pid = 12345, .start_time = UINT64_MAX - 1 },
	};

	assert_int_equal(mkdirat(p->fd, "containers/c1", 0700), 0);
	assert_int_equal(container_record_save(p->fd, &record, &p->err), 0);
	assert_int_equal(container_record_load(p->fd, "c1", &back, &p->err), 0);
	assert_string_equal(back->id, "c1");
	assert_string_equal(back->sandbox, "s1");
	assert_string_equal(back->bundle, "/b");
	assert_string_equal(back->rootfs, "/b/rootfs");
	assert_string_equal(back->oci_version, "1.0.2");
	assert_string_equal(back->created, record.created);
	assert_int_equal(back->status, CONTAINER_PAUSED);
	assert_int_equal(back->exit_status, 143);
	assert_string_equal(back->lost_reason, "the \"VMM\"");
	assert_int_equal(back->proxy.pid, 12345);
	assert_true(back->proxy.start_time == UINT64_MAX - 1);
	assert_int_equal(back->hook_kinds, RECORD_HOOKS_KNOWN | 5);
	assert_string_equal(back->annotations[0], "a/b");
	assert_string_equal(back->annotations[1], "c \"d\"\n");
	assert_null(back->annotations[2]);
}

static void sandbox_record_comes_back_as_it_was_saved(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *back = NULL;
	struct place *p = *state;
	struct sandbox_record record = {
		.id = (char *)"s1",
		.monitor = { 1, 2 },
		.vmm = { 3, 4 },
		.netns_dev = 4,
		.netns_ino = 4026532252,
		.netns_path = (char *)"/run/netns/a",
		.cri_sandbox_id = (char *)"pod",
	};

	assert_int_equal(mkdirat(p->fd, "sandboxes/s1", 0700), 0);
	assert_int_equal(sandbox_record_save(p->fd, &record, &p->err), 0);
	assert_int_equal(sandbox_record_load(p->fd, "s1", &back, &p->err), 0);
	assert_int_equal(back->monitor.pid, 1);
	assert_int_equal(back->vmm.start_time, 4);
	assert_int_equal(back->file_server.pid, 0);
	assert_true(back->netns_ino == 4026532252);
	assert_string_equal(back->netns_path, "/run/netns/a");
	assert_string_equal(back->cri_sandbox_id, "pod");
}

static void unknown_container_does_not_exist(void **state)
{
	struct container_record *record;
	struct place *p = *state;

	assert_int_equal(container_record_load(p->fd, "c1", &record, &p->err), -ENOENT);
	assert_string_equal(p->err.text, "container 'c1' does not exist");
	assert_int_equal(container_record_load(p->fd, "../c1", &record, &p->err), -EINVAL);
}

static void broken_records_are_named_and_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{",
		"{\"status\":\"dancing\"}",
		"{}",
		"{\"status\":7}",
		"{\"status\":\"running\",\"proxy\":{\"pid\":-1}}",
		"{\"status\":\"running\",\"annotations\":[1]}",
	};
	struct container_record *record = NULL;
	struct place *p = *state;

	assert_int_equal(mkdirat(p->fd, "containers/c1", 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		p->err = (struct err)ERR_INIT;
		assert_int_equal(io_replace_file(p->fd, "containers/c1/state.json", texts[i],
						 strlen(texts[i]), 0600),
				 0);
		assert_true(container_record_load(p->fd, "c1", &record, &p->err) < 0);
		assert_null(record);
		assert_non_null(strstr(p->err.text, "c1"));
	}
}

static void list_is_sorted_and_holds_valid_names_only(void **state)
{
	struct place *p = *state;
	char **names;

	assert_int_equal(mkdirat(p->fd, "containers/b", 0700), 0);
	assert_int_equal(mkdirat(p->fd, "containers/a", 0700), 0);
	assert_int_equal(mkdirat(p->fd, "containers/no name", 0700), 0);
	assert_int_equal(state_list(p->fd, "containers", &names), 0);
	assert_string_equal(names[0], "a");
	assert_string_equal(names[1], "b");
	assert_null(names[2]);
	state_free_names(names);
	assert_int_equal(state_list(p->fd, "nothing", &names), -ENOENT);
}

/* ---- processes ---- */

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void process_is_killed_and_known_to_be_dead(void **state)
{
	struct process_id id;
	pid_t pid = sleeper();

	assert_int_equal(process_id_of(pid, &id), 0);
	assert_true(id.start_time > 0);
	assert_true(process_id_alive(&id));
	assert_int_equal(process_id_kill(&id, LIMIT_MS), 0);
	/* A zombie is dead. */
	assert_false(process_id_alive(&id));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_id_alive(&id));
	assert_int_equal(process_id_kill(&id, LIMIT_MS), 0);
	assert_int_equal(process_id_of(pid, &id), -ESRCH);
}

/*
 * The first process of a PID namespace cannot end before all others of it have been reaped, and we do not reap ours
 * until we have looked: so it stays on its way out as long as we like.
 */
static void process_on_its_way_out_is_dead_already(void **state)
{
	int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	struct process_id id;
	pid_t first, other;

	assert_true(own >= 0);
	assert_int_equal(unshare(CLONE_NEWPID), 0);
	first = sleeper();
	other = sleeper();
	assert_int_equal(setns(own, CLONE_NEWPID), 0);
	close(own);
	assert_int_equal(process_id_of(first, &id), 0);
	assert_int_equal(process_id_wait(&id, 0), -ETIMEDOUT);
	kill(first, SIGKILL);
	while (process_id_alive(&id))
		;
	assert_int_equal(process_id_wait(&id, 0), -ETIMEDOUT);
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_int_equal(process_id_wait(&id, LIMIT_MS), 0);
	assert_int_equal(waitpid(first, NULL, WNOHANG), first);
	assert_int_equal(process_id_wait(&id, 0), 0);
}

static void another_process_of_the_same_pid_is_left_alone(void **state)
{
	struct process_id id;
	pid_t pid = sleeper();

	assert_int_equal(process_id_of(pid, &id), 0);
	id.start_time--;
	assert_false(process_id_alive(&id));
	assert_int_equal(process_id_kill(&id, LIMIT_MS), 0);
	assert_int_equal(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void nobody_is_never_alive(void **state)
{
	struct process_id id = { 0 };

	assert_false(process_id_alive(&id));
	assert_int_equal(process_id_kill(&id, 1), 0);
	assert_int_equal(process_id_of(0, &id), -ESRCH);
	assert_int_equal(process_id_of(-1, &id), -ESRCH);
}

#define CLAIM(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(root_is_made_for_its_owner_alone),
		CLAIM(root_that_others_can_write_is_refused),
		CLAIM(root_that_is_a_file_is_refused_by_name),
		CLAIM(lock_is_exclusive_until_it_is_closed),
		CLAIM(container_record_comes_back_as_it_was_saved),
		CLAIM(sandbox_record_comes_back_as_it_was_saved),
		CLAIM(unknown_container_does_not_exist),
		CLAIM(broken_records_are_named_and_refused),
		CLAIM(list_is_sorted_and_holds_valid_names_only),
		cmocka_unit_test(process_is_killed_and_known_to_be_dead),
		cmocka_unit_test(process_on_its_way_out_is_dead_already),
		cmocka_unit_test(another_process_of_the_same_pid_is_left_alone),
		cmocka_unit_test(nobody_is_never_alive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
