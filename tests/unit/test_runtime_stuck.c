/* SPDX-License-Identifier: Apache-2.0 */
/* Commands to a monitor that hangs, and to one whose guest is slow. */
#include "tests/unit/runtime_fake.h"

#include "shim/runtime/client.h"
#include "shim/runtime/client_internal.h"
#include "tests/unit/check_leaks.h"

/* In the place of the real ones: so that a hang is found out within a claim's time. */
const struct client_limits client_limits = { .silence_ms = 100, .stuck_ms = 10000 };

#define COMMANDS_MAX 16

struct pending {
	pid_t pid;
	int err, code;
	const char *const *args;
	const char *id;
};

/* A command of which @id is the container, in the background. */
static void begin(struct world *w, struct pending *p, const char *id, int code, const char *const *args)
{
	*p = (struct pending){ .err = memfd_create("err", 0), .code = code, .args = args, .id = id };
	p->pid = start_runtime(w, (struct stdio_fds){ -1, -1, p->err }, args);
}

static pid_t monitor_of(const struct world *w, const char *id)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	_cleanup_close_ int rootfd = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(sandbox_record_load(rootfd, id, &record, NULL), 0);
	return record->monitor.pid;
}

/* It says who does not answer, how long it was waited for, and what helps. */
static void assert_named(struct world *w, struct pending *p)
{
	char want[160];

	assert_int_equal(wait_code(p->pid), p->code);
	read_back(p->err, last_err);
	snprintf(want, sizeof(want),
		 "the sandbox monitor of container '%s' (process %d) has not answered for 10 s: "
		 "'delete --force %s' ends it", p->id, (int)monitor_of(w, p->id), p->id);
	if (!strstr(last_err, want))
		fail_msg("%s: '%s' does not contain '%s'", p->args[0], last_err, want);
}

static void every_command_to_a_monitor_that_hangs_ends_and_names_it(void **state)
{
	static const char *const ids[] = { "run", "made", "paused", "ended" };
	struct pending all[COMMANDS_MAX];
	struct world w;
	size_t n = 0;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 1000");
	assert_int_equal(runtime_code(&w, "run", "-d", "-b", w.bundle, "run"), 0);
	assert_int_equal(runtime_code(&w, "run", "-d", "-b", w.bundle, "paused"), 0);
	assert_int_equal(runtime_code(&w, "pause", "paused"), 0);
	assert_int_equal(runtime_code(&w, "create", "-b", w.bundle, "made"), 0);
	world_write_spec(&w, false, "exit 0");
	assert_int_equal(runtime_code(&w, "run", "--keep", "-b", w.bundle, "ended"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(kill(monitor_of(&w, ids[i]), SIGSTOP), 0);
	begin(&w, &all[n++], "run", 255, ARGS("exec", "run", "true"));
	begin(&w, &all[n++], "run", 255, ARGS("exec", "-d", "run", "true"));
	begin(&w, &all[n++], "run", 1, ARGS("kill", "run", "TERM"));
	begin(&w, &all[n++], "run", 1, ARGS("pause", "run"));
	begin(&w, &all[n++], "run", 1, ARGS("ps", "run"));
	begin(&w, &all[n++], "run", 1, ARGS("update", "--pids-limit", "100", "run"));
	begin(&w, &all[n++], "run", 1, ARGS("events", "run"));
	begin(&w, &all[n++], "run", 1, ARGS("events", "--stats", "run"));
	begin(&w, &all[n++], "made", 1, ARGS("start", "made"));
	begin(&w, &all[n++], "paused", 1, ARGS("resume", "paused"));
	begin(&w, &all[n++], "paused", 255, ARGS("exec", "--ignore-paused", "paused", "true"));
	begin(&w, &all[n++], "ended", 1, ARGS("delete", "ended"));
	for (size_t i = 0; i < n; i++)
		assert_named(&w, &all[i]);
	/* What is on disk is told. */
	assert_int_equal(runtime_code(&w, "state", "run"), 0);
	assert_contains(last_out, "\"running\"");
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(kill(monitor_of(&w, ids[i]), SIGKILL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(runtime_code(&w, "delete", "--force", ids[i]), 0);
	reap_all();
	world_close(&w);
}

static void guest_that_takes_its_time_is_waited_for(void **state)
{
	char slow[128];
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 1000");
	assert_int_equal(runtime_code(&w, "create", "-b", w.bundle, "c"), 0);
	snprintf(slow, sizeof(slow), "%s/slow", w.root);
	assert_int_equal(io_replace_file(AT_FDCWD, slow, "", 0, 0600), 0);
	/* Ten times as long as the monitor may be silent. */
	assert_int_equal(runtime_code(&w, "start", "c"), 0);
	assert_int_equal(runtime_code(&w, "exec", "c", "sh", "-c", "exit 5"), 5);
	assert_int_equal(runtime_code(&w, "delete", "--force", "c"), 0);
	reap_all();
	world_close(&w);
}

/* However long its end takes: nobody asks a monitor then. */
static void end_of_a_process_is_waited_for_without_a_limit(void **state)
{
	struct pending exec;
	char pid_file[128];
	struct world w;
	pid_t monitor;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 1000");
	assert_int_equal(runtime_code(&w, "run", "-d", "-b", w.bundle, "c"), 0);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	begin(&w, &exec, "c", 143, ARGS("exec", "--pid-file", pid_file, "c", "sleep", "1000"));
	/* Written when the process has been started: all that is left is its end. */
	while (access(pid_file, F_OK) < 0)
		poll(NULL, 0, 10);
	monitor = monitor_of(&w, "c");
	assert_int_equal(kill(monitor, SIGSTOP), 0);
	/* Longer than a monitor may be silent, with the time for its answer. */
	assert_int_equal(poll(NULL, 0, (int)(client_limits.silence_ms + client_limits.stuck_ms + 1000)), 0);
	assert_int_equal(waitpid(exec.pid, NULL, WNOHANG), 0);
	assert_int_equal(kill(monitor, SIGCONT), 0);
	assert_int_equal(kill(exec.pid, SIGTERM), 0);
	assert_int_equal(wait_code(exec.pid), exec.code);
	close(exec.err);
	assert_int_equal(runtime_code(&w, "delete", "--force", "c"), 0);
	reap_all();
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(every_command_to_a_monitor_that_hangs_ends_and_names_it),
		leak_checked(guest_that_takes_its_time_is_waited_for),
		leak_checked(end_of_a_process_is_waited_for_without_a_limit),
	};

	become_engine();
	return cmocka_run_group_tests_name("runtime_stuck", tests, NULL, NULL);
}
