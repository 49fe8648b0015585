/* SPDX-License-Identifier: Apache-2.0 */
/* On the build machine's version 2 hierarchy, whatever controllers it has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "agent/cgroup.h"
#include "common/io.h"

#define WAIT_MS 200000

static char root[128];

static struct cgroup *make(const char *id)
{
	struct err err = ERR_INIT;
	struct cgroup *cg = NULL;

	if (cgroup_create(root, id, &cg, &err) < 0)
		fail_msg("%s", err.text);
	return cg;
}

static void take_down(struct cgroup *cg)
{
	struct err err = ERR_INIT;

	if (cgroup_remove(cg, &err) < 0)
		fail_msg("%s", err.text);
	cgroup_destroy(cg);
}

/* A process that sleeps in @dirfd's cgroup. */
static pid_t sleeper(int dirfd)
{
	pid_t pid = fork();
	char text[16];

	if (pid == 0) {
		for (;;)
			pause();
	}
	snprintf(text, sizeof(text), "%d", (int)pid);
	assert_int_equal(io_write_file(dirfd, "cgroup.procs", text, strlen(text)), 0);
	return pid;
}

static struct cgroup_state state_of(struct cgroup *cg)
{
	struct cgroup_state st = { 0 };

	assert_int_equal(cgroup_state(cg, &st, NULL), 0);
	return st;
}

/* Until the state is as wanted; the events descriptor has to report each change. */
static void wait_state(struct cgroup *cg, bool populated, bool frozen)
{
	struct pollfd pfd = { .fd = cgroup_events_fd(cg, NULL), .events = POLLIN };

	for (;;) {
		struct cgroup_state st = state_of(cg);

		if (st.populated == populated && st.frozen == frozen)
			return;
		assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
		cgroup_events_drain(cg);
	}
}

static void cgroup_is_made_and_removed(void **state)
{
	struct cgroup *cg = make("c1"), *other = NULL;

	assert_int_equal(cgroup_create(root, "c1", &other, NULL), -EEXIST);
	assert_false(state_of(cg).populated);
	take_down(cg);
	cg = make("c1");
	assert_int_equal(cgroup_remove(cg, NULL), 0);
	assert_int_equal(cgroup_remove(cg, NULL), 0);
	cgroup_destroy(cg);
}

static bool is_there(const char *id)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/onggi/%s", root, id);
	return access(path, F_OK) == 0;
}

static void prepared_one_is_the_first_containers(void **state)
{
	struct cgroup *first, *second;
	pid_t pid;

	assert_int_equal(cgroup_prepare(root, NULL), 0);
	assert_int_equal(cgroup_create(root, "../c1", &first, NULL), -EINVAL);
	first = make("c1");
	assert_false(is_there("c1"));
	second = make("c2");
	assert_true(is_there("c2"));
	pid = sleeper(cgroup_fd(first));
	assert_true(state_of(first).populated);
	assert_false(state_of(second).populated);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	take_down(first);
	assert_false(is_there("~spare"));
	take_down(second);
	/* There was one only. */
	first = make("c1");
	assert_true(is_there("c1"));
	take_down(first);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "../x" };
	struct cgroup *cg = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(cgroup_create(root, bad[i], &cg, NULL), -EINVAL);
}

static void other_file_systems_are_refused(void **state)
{
	struct cgroup *cg = NULL;

	assert_int_equal(cgroup_create("/tmp", "c1", &cg, NULL), -ENOTSUP);
	assert_int_equal(cgroup_create("/does/not/exist", "c1", &cg, NULL), -ENOENT);
}

static void freezing_and_killing_are_reported(void **state)
{
	struct cgroup *cg = make("c1");
	pid_t pid = sleeper(cgroup_fd(cg)), *pids = NULL;
	size_t n = 0;

	assert_true(cgroup_events_fd(cg, NULL) >= 0);
	assert_int_equal(cgroup_pids(cg, &pids, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(pids[0], pid);
	free(pids);
	assert_int_equal(cgroup_remove(cg, NULL), -EBUSY);
	assert_int_equal(cgroup_freeze(cg, true, NULL), 0);
	wait_state(cg, true, true);
	assert_int_equal(cgroup_freeze(cg, false, NULL), 0);
	wait_state(cg, true, false);
	assert_int_equal(cgroup_kill(cg, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	wait_state(cg, false, false);
	take_down(cg);
}

static void folders_of_the_container_go_with_it(void **state)
{
	struct cgroup *cg = make("c1");
	pid_t pid, *pids = NULL;
	int deep;
	size_t n = 0;

	assert_int_equal(mkdirat(cgroup_fd(cg), "a", 0755), 0);
	assert_int_equal(mkdirat(cgroup_fd(cg), "a/b", 0755), 0);
	assert_int_equal(mkdirat(cgroup_fd(cg), "c", 0755), 0);
	deep = openat(cgroup_fd(cg), "a/b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid = sleeper(deep);
	assert_int_equal(cgroup_pids(cg, &pids, &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(pids[0], pid);
	free(pids);
	assert_int_equal(cgroup_kill(cg, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(deep);
	take_down(cg);
}

static void container_cannot_nest_without_end(void **state)
{
	struct cgroup *cg = make("c1");
	int fd = fcntl(cgroup_fd(cg), F_DUPFD_CLOEXEC, 3), depth = 0;

	while (mkdirat(fd, "d", 0755) == 0) {
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		close(fd);
		fd = next;
		assert_true(++depth < 1000);
	}
	close(fd);
	assert_true(depth > 0);
	take_down(cg);
}

static void exec_goes_to_the_container_or_where_its_init_is(void **state)
{
	struct cgroup *cg = make("c1");
	struct stat own, got;
	pid_t pid = sleeper(cgroup_fd(cg));
	int fd = cgroup_open_for_exec(cg, pid, NULL);

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(fstat(cgroup_fd(cg), &own), 0);
	assert_int_equal(own.st_ino, got.st_ino);
	close(fd);
	assert_int_equal(cgroup_kill(cg, NULL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	take_down(cg);
}

static void limit_without_controller_is_named(void **state)
{
	struct oci_resources r = { .has_pids_limit = true, .pids_limit = 5 };
	struct cgroup *cg = make("c1");
	struct err err = ERR_INIT;
	int rc = cgroup_apply(cg, &r, &err);

	/* The build machine's pids controller belongs to version 1; elsewhere it is simply set. */
	if (rc < 0) {
		assert_int_equal(rc, -EOPNOTSUPP);
		assert_non_null(strstr(err.text, "pids.max"));
	} else {
		char *text;

		assert_int_equal(io_read_file(cgroup_fd(cg), "pids.max", 64, &text, NULL), 0);
		assert_string_equal(text, "5\n");
		free(text);
	}
	take_down(cg);
}

static void without_a_memory_controller_nothing_was_killed(void **state)
{
	struct cgroup *cg = make("c1");
	uint64_t n = 99;

	assert_int_equal(cgroup_oom_kills(cg, &n, NULL), 0);
	assert_int_equal(n, 0);
	take_down(cg);
}

static int enter(void **state)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		snprintf(root, sizeof(root), "%s/onggi-cgroup-%d", places[i], (int)getpid());
		return mkdir(root, 0755);
	}
	return -1;
}

static int leave(void **state)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/onggi", root);
	return rmdir(path) < 0 || rmdir(root) < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cgroup_is_made_and_removed),
		cmocka_unit_test(prepared_one_is_the_first_containers),
		cmocka_unit_test(names_that_lead_elsewhere_are_refused),
		cmocka_unit_test(other_file_systems_are_refused),
		cmocka_unit_test(freezing_and_killing_are_reported),
		cmocka_unit_test(folders_of_the_container_go_with_it),
		cmocka_unit_test(container_cannot_nest_without_end),
		cmocka_unit_test(exec_goes_to_the_container_or_where_its_init_is),
		cmocka_unit_test(limit_without_controller_is_named),
		cmocka_unit_test(without_a_memory_controller_nothing_was_killed),
	};

	return cmocka_run_group_tests_name("agent cgroup", tests, enter, leave);
}
