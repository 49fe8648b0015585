/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's cgroups, for real: on this machine's hierarchies of version 1, and of version 2 when a VM test runs this
 * program in a guest. All is below /onggi-test-<pid>, which is removed at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/io.h"
#include "common/path.h"
#include "shim/hostcgroup.h"
#include "shim/hostcgroup_limits.h"
#include "shim/hostcgroup_oom.h"

#define MIB (UINT64_C(1) << 20)

struct world {
	char dir[64], top[64], path[96];
	int rootfd;
	struct hostcgroup *h;
	struct hostcgroup_origin origin;
	struct err err;
};

static void world_open(struct world *w)
{
	*w = (struct world){ .rootfd = -1, .err = ERR_INIT };
	strcpy(w->dir, "/tmp/onggi-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->rootfd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->rootfd >= 0);
	assert_int_equal(mkdirat(w->rootfd, "containers", 0700), 0);
	assert_int_equal(mkdirat(w->rootfd, "containers/c", 0700), 0);
	snprintf(w->top, sizeof(w->top), "/onggi-test-%d", (int)getpid());
	snprintf(w->path, sizeof(w->path), "%s/c", w->top);
}

static void world_create(struct world *w)
{
	struct hostcgroup_options options = { .cgroups_path = w->path, .id = "c",
					      .state_root = w->dir };

	if (hostcgroup_create(w->rootfd, &options, &w->h, &w->origin, &w->err) < 0)
		fail_msg("%s", w->err.text);
}

static void world_close(struct world *w)
{
	hostcgroup_leave(&w->origin);
	if (hostcgroup_remove(w->rootfd, "c", &w->err) < 0)
		fail_msg("%s", w->err.text);
	/* Nothing of it is left in any hierarchy. */
	for (size_t i = 0; w->h && i < w->h->n; i++) {
		struct hostcgroup_dir d = w->h->dirs[i];
		int fd;

		d.path = w->top;
		fd = hostcgroup_open_dir(&d);
		if (fd >= 0)
			fail_msg("%s%s is left", d.mount, d.path);
	}
	hostcgroup_free(w->h);
	close(w->rootfd);
	path_remove_tree(AT_FDCWD, w->dir);
}

static char *read_cgroup(const struct hostcgroup *h, const char *controller, const char *file)
{
	const struct hostcgroup_dir *d = hostcgroup_find(h, controller);
	_cleanup_close_ int fd = -EBADF;
	char *text = NULL;

	assert_non_null(d);
	fd = hostcgroup_open_dir(d);
	assert_true(fd >= 0);
	if (io_read_file(fd, file, 65536, &text, NULL) < 0)
		fail_msg("%s%s/%s", d->mount, d->path, file);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void assert_value(const struct hostcgroup *h, const char *controller, const char *file,
			 const char *want)
{
	_cleanup_free_ char *got = read_cgroup(h, controller, file);

	assert_string_equal(got, want);
}

static char *own_cgroups(void)
{
	char *text = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL), 0);
	return text;
}

/* ---- placing ---- */

static void creator_is_in_every_hierarchy_and_leaves_again(void **state)
{
	_cleanup_free_ char *before = own_cgroups(), *inside = NULL, *after = NULL;
	struct world w;

	world_open(&w);
	world_create(&w);
	assert_true(w.h->n > 0);
	for (size_t i = 0; i < w.h->n; i++) {
		struct hostcgroup one = { .dirs = { w.h->dirs[i] }, .n = 1 };

		assert_true(hostcgroup_holds(&one, getpid()));
		assert_int_equal(w.h->dirs[i].made, 2);
	}
	inside = own_cgroups();
	assert_string_not_equal(inside, before);
	hostcgroup_leave(&w.origin);
	after = own_cgroups();
	assert_string_equal(after, before);
	assert_false(hostcgroup_holds(w.h, getpid()));
	world_close(&w);
}

static void record_is_read_as_it_was_written(void **state)
{
	struct hostcgroup *h = NULL;
	struct world w;

	world_open(&w);
	assert_int_equal(hostcgroup_load(w.rootfd, "c", &h, NULL), -ENOENT);
	world_create(&w);
	assert_int_equal(hostcgroup_load(w.rootfd, "c", &h, NULL), 0);
	assert_int_equal(h->n, w.h->n);
	assert_int_equal(h->unified, w.h->unified);
	for (size_t i = 0; i < h->n; i++) {
		assert_string_equal(h->dirs[i].path, w.h->dirs[i].path);
		assert_string_equal(h->dirs[i].mount, w.h->dirs[i].mount);
		assert_string_equal(h->dirs[i].controllers, w.h->dirs[i].controllers);
		assert_int_equal(h->dirs[i].made, w.h->dirs[i].made);
	}
	hostcgroup_free(h);
	world_close(&w);
}

static void broken_record_is_reported(void **state)
{
	static const char *const texts[] = {
		"", "[]", "{\"dirs\":[1]}", "{\"dirs\":[{\"mount\":\"x\"}]}",
		"{\"dirs\":[{\"mount\":\"/x\",\"path\":\"y\",\"controllers\":\"\"}]}",
		"{\"dirs\":[{\"mount\":\"/x\",\"path\":\"/y\",\"controllers\":\"\",\"made\":999}]}",
	};
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct hostcgroup *h = NULL;

		assert_int_equal(io_replace_file(w.rootfd, "containers/c/cgroup.json", texts[i],
						 strlen(texts[i]), 0600),
				 0);
		assert_true(hostcgroup_load(w.rootfd, "c", &h, &w.err) < 0);
		assert_non_null(strstr(w.err.text, "cgroup record of container 'c'"));
	}
	unlinkat(w.rootfd, "containers/c/cgroup.json", 0);
	world_close(&w);
}

static pid_t sleeper_in(const struct hostcgroup *h)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		if (hostcgroup_enter(h, NULL) == 0 && write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void cgroup_in_use_is_refused_and_untouched(void **state)
{
	struct hostcgroup *h = NULL;
	struct hostcgroup_origin origin = HOSTCGROUP_ORIGIN_INIT;
	struct hostcgroup_options options = { .id = "d" };
	struct world w;
	pid_t pid;

	world_open(&w);
	world_create(&w);
	hostcgroup_leave(&w.origin);
	pid = sleeper_in(w.h);
	options.cgroups_path = w.path;
	options.state_root = w.dir;
	assert_int_equal(mkdirat(w.rootfd, "containers/d", 0700), 0);
	assert_int_equal(hostcgroup_create(w.rootfd, &options, &h, &origin, &w.err), -EBUSY);
	assert_non_null(strstr(w.err.text, "is not empty"));
	assert_true(hostcgroup_holds(w.h, pid));
	end(pid);
	world_close(&w);
}

/* @pid of another process group ends while the removal waits for it. */
static void removal_waits_for_who_is_ending(void **state)
{
	struct world w;
	pid_t pid, killer;

	world_open(&w);
	world_create(&w);
	hostcgroup_leave(&w.origin);
	pid = sleeper_in(w.h);
	killer = fork();
	if (killer == 0) {
		poll(NULL, 0, 200);
		kill(pid, SIGKILL);
		_exit(0);
	}
	world_close(&w);
	assert_int_equal(waitpid(killer, NULL, 0), killer);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void cgroups_that_were_there_stay(void **state)
{
	struct hostcgroup *again = NULL;
	struct hostcgroup_origin origin = HOSTCGROUP_ORIGIN_INIT;
	struct hostcgroup_options options = { .id = "d" };
	struct world w;

	world_open(&w);
	world_create(&w);
	hostcgroup_leave(&w.origin);
	options.cgroups_path = w.path;
	options.state_root = w.dir;
	assert_int_equal(mkdirat(w.rootfd, "containers/d", 0700), 0);
	assert_int_equal(hostcgroup_create(w.rootfd, &options, &again, &origin, &w.err), 0);
	hostcgroup_leave(&origin);
	for (size_t i = 0; i < again->n; i++)
		assert_int_equal(again->dirs[i].made, 0);
	assert_int_equal(hostcgroup_remove(w.rootfd, "d", NULL), 0);
	for (size_t i = 0; i < w.h->n; i++) {
		_cleanup_close_ int fd = hostcgroup_open_dir(&w.h->dirs[i]);

		assert_true(fd >= 0);
	}
	hostcgroup_free(again);
	world_close(&w);
}

static void processes_move_to_another_cgroup_together(void **state)
{
	struct hostcgroup_origin origin = HOSTCGROUP_ORIGIN_INIT;
	struct hostcgroup_options options = { .id = "d" };
	struct hostcgroup *to = NULL;
	char path[128];
	struct world w;
	pid_t pids[3];

	world_open(&w);
	world_create(&w);
	hostcgroup_leave(&w.origin);
	snprintf(path, sizeof(path), "%s/d", w.top);
	options.cgroups_path = path;
	options.state_root = w.dir;
	assert_int_equal(mkdirat(w.rootfd, "containers/d", 0700), 0);
	assert_int_equal(hostcgroup_create(w.rootfd, &options, &to, &origin, &w.err), 0);
	hostcgroup_leave(&origin);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
		pids[i] = sleeper_in(w.h);
	assert_int_equal(hostcgroup_move_all(w.h, to, &w.err), 0);
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		assert_true(hostcgroup_holds(to, pids[i]));
		assert_false(hostcgroup_holds(w.h, pids[i]));
		end(pids[i]);
	}
	assert_int_equal(hostcgroup_remove(w.rootfd, "d", NULL), 0);
	hostcgroup_free(to);
	world_close(&w);
}

/* ---- limits ---- */

static void limits_reach_the_files_and_are_lifted_again(void **state)
{
	struct hostcgroup_limits wanted = { .memory_bytes = 512 * MIB, .cpu_quota_us = 75000,
					    .cpu_period_us = 50000, .cpu_shares = 2048,
					    .pids = 77, .cpuset_cpus = (char *)"0" };
	struct hostcgroup_limits none = { 0 }, applied = { 0 };
	struct world w;

	world_open(&w);
	world_create(&w);
	if (hostcgroup_limits_apply(w.h, &wanted, &applied, &w.err) < 0)
		fail_msg("%s", w.err.text);
	assert_value(w.h, "pids", "pids.max", "77");
	assert_value(w.h, "cpuset", "cpuset.cpus", "0");
	if (w.h->unified) {
		assert_value(w.h, "memory", "memory.max", "536870912");
		assert_value(w.h, "cpu", "cpu.max", "75000 50000");
		assert_value(w.h, "cpu", "cpu.weight", "79");
	} else {
		assert_value(w.h, "memory", "memory.limit_in_bytes", "536870912");
		assert_value(w.h, "cpu", "cpu.cfs_quota_us", "75000");
		assert_value(w.h, "cpu", "cpu.cfs_period_us", "50000");
		assert_value(w.h, "cpu", "cpu.shares", "2048");
	}
	assert_int_equal(hostcgroup_limits_apply(w.h, &none, &applied, &w.err), 0);
	assert_value(w.h, "pids", "pids.max", "max");
	if (w.h->unified) {
		assert_value(w.h, "memory", "memory.max", "max");
		assert_value(w.h, "cpu", "cpu.max", "max 100000");
	} else {
		assert_value(w.h, "memory", "memory.limit_in_bytes", "9223372036854771712");
		assert_value(w.h, "cpu", "cpu.cfs_quota_us", "-1");
	}
	hostcgroup_limits_finish(&applied);
	world_close(&w);
}

static void refused_limit_is_named_and_the_rest_is_set(void **state)
{
	struct hostcgroup_limits wanted = { .pids = 55, .cpu_quota_us = 1, .cpu_period_us = 1 };
	struct hostcgroup_limits applied = { 0 };
	struct world w;

	world_open(&w);
	world_create(&w);
	assert_int_equal(hostcgroup_limits_apply(w.h, &wanted, &applied, &w.err), -EINVAL);
	assert_non_null(strstr(w.err.text, w.h->unified ? "cpu.max" : "cpu.cfs_period_us"));
	assert_value(w.h, "pids", "pids.max", "55");
	hostcgroup_limits_finish(&applied);
	world_close(&w);
}

static void memory_limit_below_what_is_in_use_kills_nobody(void **state)
{
	struct hostcgroup_limits wanted = { .memory_bytes = 4 * MIB }, applied = { 0 };
	_cleanup_free_ char *limit = NULL;
	uint64_t bytes = 0;
	struct world w;
	char *memory;

	world_open(&w);
	world_create(&w);
	memory = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(memory != MAP_FAILED);
	memset(memory, 1, 32 * MIB);
	assert_int_equal(hostcgroup_limits_apply(w.h, &wanted, &applied, &w.err), 0);
	limit = read_cgroup(w.h, "memory", hostcgroup_memory_files(w.h)->limit);
	assert_int_equal(io_parse_u64(limit, UINT64_MAX, &bytes), 0);
	assert_in_range(bytes, 80 * MIB, 256 * MIB);
	munmap(memory, 32 * MIB);
	hostcgroup_limits_finish(&applied);
	world_close(&w);
}

static void shares_become_weights_over_the_whole_range(void **state)
{
	assert_int_equal(hostcgroup_weight_of_shares(0), 0);
	assert_int_equal(hostcgroup_weight_of_shares(1), 1);
	assert_int_equal(hostcgroup_weight_of_shares(2), 1);
	assert_int_equal(hostcgroup_weight_of_shares(1024), 39);
	assert_int_equal(hostcgroup_weight_of_shares(262144), 10000);
	assert_int_equal(hostcgroup_weight_of_shares(UINT64_MAX), 10000);
}

/* ---- OOM ---- */

/* As conmon and containerd's shims watch: *ret becomes readable. */
static int watch_oom(const struct hostcgroup *h)
{
	const struct hostcgroup_dir *d = hostcgroup_find(h, "memory");
	_cleanup_free_ char *events = NULL;
	char text[64];
	int dir = hostcgroup_open_dir(d), control, fd, n;

	assert_true(dir >= 0);
	if (h->unified) {
		assert_true(asprintf(&events, "%s%s/memory.events", d->mount, d->path) > 0);
		fd = inotify_init1(IN_NONBLOCK);
		assert_true(inotify_add_watch(fd, events, IN_MODIFY) >= 0);
	} else {
		fd = eventfd(0, EFD_NONBLOCK);
		control = openat(dir, "memory.oom_control", O_RDONLY);
		n = snprintf(text, sizeof(text), "%d %d", fd, control);
		assert_int_equal(io_write_file(dir, "cgroup.event_control", text, (size_t)n), 0);
		close(control);
	}
	close(dir);
	return fd;
}

static uint64_t oom_kills(const struct hostcgroup *h)
{
	const struct hostcgroup_dir *d = hostcgroup_find(h, "memory");
	_cleanup_close_ int dir = hostcgroup_open_dir(d);
	_cleanup_free_ char *text = NULL;
	char *line;

	assert_int_equal(io_read_file(dir, h->unified ? "memory.events" : "memory.oom_control", 4096,
				      &text, NULL),
			 0);
	if (h->unified) {
		/* conmon looks at "oom", containerd at "oom_kill" */
		line = strstr(text, "\noom ");
		assert_non_null(line);
		assert_true(line[5] != '0');
	}
	line = strstr(text, "oom_kill ");
	assert_non_null(line);
	return strtoull(line + strlen("oom_kill "), NULL, 10);
}

/* A neighbour like a VMM: much shared memory, charged here or, like a VM's that has moved in, elsewhere. */
static pid_t neighbour_in(const struct hostcgroup *h, size_t bytes, bool charged)
{
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			_exit(1);
		if (!charged)
			memset(memory, 1, bytes);
		if (hostcgroup_enter(h, NULL) < 0)
			_exit(1);
		memset(memory, 1, bytes);
		if (write(fds[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void show_oom(struct world *w, uint64_t limit_bytes, bool charged)
{
	struct hostcgroup_limits wanted = { .memory_bytes = limit_bytes }, applied = { 0 };
	_cleanup_free_ char *before = NULL, *after = NULL;
	const char *file = hostcgroup_memory_files(w->h)->limit;
	struct hostcgroup_oom oom = { 0 };
	struct pollfd p = { .events = POLLIN };
	pid_t neighbour;
	int status = 0;

	hostcgroup_leave(&w->origin);
	neighbour = neighbour_in(w->h, 64 * MIB, charged);
	assert_int_equal(hostcgroup_limits_apply(w->h, &wanted, &applied, &w->err), 0);
	before = read_cgroup(w->h, "memory", file);
	p.fd = watch_oom(w->h);
	if (hostcgroup_oom_start(w->h, &oom, &w->err) < 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(waitpid(oom.pid, &status, 0), oom.pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(oom_kills(w->h), 1);
	/* The limit is as it was, and would be so without the helper's doing. */
	after = read_cgroup(w->h, "memory", file);
	assert_string_equal(after, before);
	free(TAKE_PTR(after));
	hostcgroup_oom_finish(w->h, &oom, limit_bytes);
	after = read_cgroup(w->h, "memory", file);
	assert_string_equal(after, before);
	assert_int_equal(waitpid(neighbour, &status, WNOHANG), 0);
	end(neighbour);
	close(p.fd);
	hostcgroup_limits_finish(&applied);
}

static void oom_event_is_real_and_spares_the_neighbours(void **state)
{
	struct world w;

	world_open(&w);
	world_create(&w);
	show_oom(&w, 0, true);
	world_close(&w);
}

static void oom_event_keeps_the_limit_that_was_set(void **state)
{
	struct world w;

	world_open(&w);
	world_create(&w);
	show_oom(&w, 256 * MIB, true);
	world_close(&w);
}

static void oom_event_spares_who_is_large_but_charged_elsewhere(void **state)
{
	struct world w;

	world_open(&w);
	world_create(&w);
	show_oom(&w, 0, false);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(creator_is_in_every_hierarchy_and_leaves_again),
		cmocka_unit_test(record_is_read_as_it_was_written),
		cmocka_unit_test(broken_record_is_reported),
		cmocka_unit_test(cgroup_in_use_is_refused_and_untouched),
		cmocka_unit_test(removal_waits_for_who_is_ending),
		cmocka_unit_test(cgroups_that_were_there_stay),
		cmocka_unit_test(processes_move_to_another_cgroup_together),
		cmocka_unit_test(limits_reach_the_files_and_are_lifted_again),
		cmocka_unit_test(refused_limit_is_named_and_the_rest_is_set),
		cmocka_unit_test(memory_limit_below_what_is_in_use_kills_nobody),
		cmocka_unit_test(shares_become_weights_over_the_whole_range),
		cmocka_unit_test(oom_event_is_real_and_spares_the_neighbours),
		cmocka_unit_test(oom_event_keeps_the_limit_that_was_set),
		cmocka_unit_test(oom_event_spares_who_is_large_but_charged_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
