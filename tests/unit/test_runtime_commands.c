/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, their answers, words and exit codes, against a fake monitor. */
#include "tests/unit/runtime_fake.h"

#include "tests/unit/check_leaks.h"

static void assert_only_error_line(const char *path, const char *part)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_json_ struct json *j = NULL;
	const char *level = NULL, *msg = NULL, *time = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
	assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
	assert_int_equal(json_member_string(j, "", "level", &level, NULL), 1);
	assert_int_equal(json_member_string(j, "", "msg", &msg, NULL), 1);
	assert_int_equal(json_member_string(j, "", "time", &time, NULL), 1);
	assert_string_equal(level, "error");
	assert_contains(msg, part);
}

static void life_of_a_container_from_create_to_delete(void **state)
{
	struct world w;
	char pid_file[128], want[128];
	pid_t pid;

	world_open(&w);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	world_write_spec(&w, false, "sleep 100");
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "--pid-file", pid_file,
				      "c"),
			 0);
	pid = read_pid(pid_file);
	assert_int_equal(kill(pid, 0), 0);

	assert_int_equal(runtime_code(&w, "state", "c"), 0);
	snprintf(want, sizeof(want), "\"pid\": %d", (int)pid);
	assert_contains(last_out, "\"ociVersion\": \"1.2.0\"");
	assert_contains(last_out, want);
	assert_contains(last_out, "\"status\": \"created\"");
	assert_contains(last_out, "\"created\": \"2026-01-02T03:04:05.000000006Z\"");

	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 1);
	assert_contains(last_err, "container with given ID already exists");

	assert_int_equal(runtime_code(&w, "start", "c"), 0);
	assert_int_equal(runtime_code(&w, "state", "c"), 0);
	assert_contains(last_out, "\"status\": \"running\"");
	assert_int_equal(runtime_code(&w, "start", "c"), 1);
	assert_contains(last_err, "cannot start an already running container");
	assert_int_equal(runtime_code(&w, "delete", "c"), 1);
	assert_contains(last_err, "cannot delete container c that is not stopped: running");

	assert_int_equal(runtime_code(&w, "ps", "--format", "json", "c"), 0);
	snprintf(want, sizeof(want), "[%d]\n", (int)pid);
	assert_string_equal(last_out, want);
	assert_int_equal(runtime_code(&w, "ps", "c"), 0);
	assert_contains(last_out, "sleep ?[2J100");

	assert_int_equal(runtime_code(&w, "kill", "c", "NONSENSE"), 1);
	assert_contains(last_err, "unknown signal");
	assert_int_equal(runtime_code(&w, "kill", "c", "KILL"), 0);
	assert_int_equal(wait_code(pid), 137);
	assert_int_equal(runtime_code(&w, "state", "c"), 0);
	assert_contains(last_out, "\"status\": \"stopped\"");
	assert_contains(last_out, "\"pid\": 0");
	assert_int_equal(runtime_code(&w, "kill", "c"), 1);
	assert_contains(last_err, "container not running");
	assert_int_equal(runtime_code(&w, "kill", "--all", "c"), 0);
	assert_int_equal(runtime_code(&w, "start", "c"), 1);
	assert_int_equal(runtime_code(&w, "exec", "c", "true"), 255);
	assert_contains(last_err, "cannot exec in a stopped container");
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	assert_int_equal(runtime_code(&w, "state", "c"), 1);
	assert_contains(last_err, "does not exist");
	reap_all();
	world_close(&w);
}

static void commands_about_an_unknown_container_fail_with_does_not_exist(void **state)
{
	static const char *const names[] = { "state", "start", "kill",  "delete",
					     "ps",    "pause", "resume" };
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(runtime_code(&w, names[i], "nope"), 1);
		assert_contains(last_err, "does not exist");
	}
	assert_int_equal(runtime_code(&w, "exec", "nope", "true"), 255);
	assert_contains(last_err, "does not exist");
	assert_int_equal(runtime_code(&w, "delete", "--force", "nope"), 0);
	assert_string_equal(last_err, "");
	world_close(&w);
}

static void id_that_is_no_folder_name_is_refused(void **state)
{
	static const char *const ids[] = { "a/b", "..", ".", "", "a b" };
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, ids[i]), 1);
		assert_contains(last_err, "invalid container ID format");
	}
	world_close(&w);
}

static void terminal_and_console_socket_must_come_together(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "--console-socket", "/x",
				      "c"),
			 1);
	assert_contains(last_err, "cannot use console socket if");
	world_write_spec(&w, true, "exit 0");
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 1);
	assert_contains(last_err, "cannot allocate tty if");
	assert_int_equal(runtime_code(&w, "list", "-q"), 0);
	assert_string_equal(last_out, "");
	world_close(&w);
}

static void preserve_fds_are_refused_by_name(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "--preserve-fds", "1",
				      "c"),
			 1);
	assert_contains(last_err, "--preserve-fds=1");
	assert_int_equal(runtime_code(&w, "run", "--bundle", w.bundle, "--preserve-fds=0", "c"), 0);
	reap_all();
	world_close(&w);
}

static void failed_create_tells_engine_once_and_leaves_nothing(void **state)
{
	struct world w;
	char log[128], path[160];

	world_open(&w);
	world_write_spec(&w, false, "/no-such-command");
	snprintf(log, sizeof(log), "%s/log.json", w.dir);
	assert_int_equal(runtime_code(&w, "--log-format=json", "--log", log, "create", "-b",
				      w.bundle, "c"),
			 1);
	assert_contains(last_err, "executable file not found in $PATH");
	assert_only_error_line(log, "executable file not found in $PATH");
	snprintf(path, sizeof(path), "%s/containers/c", w.root);
	assert_int_equal(access(path, F_OK), -1);
	reap_all();
	snprintf(path, sizeof(path), "%s/sandboxes/c", w.root);
	assert_int_equal(access(path, F_OK), -1);
	world_close(&w);
}

static void run_gives_output_and_exit_code_and_deletes(void **state)
{
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "echo out; echo err >&2; exit 7");
	assert_int_equal(runtime_code(&w, "run", "--bundle", w.bundle, "c"), 7);
	assert_string_equal(last_out, "out\n");
	assert_string_equal(last_err, "err\n");
	assert_int_equal(runtime_code(&w, "state", "c"), 1);
	reap_all();
	world_close(&w);
}

/* Run a command whose stdout or stderr is a full device. */
static int run_into_full(struct world *w, bool out_is_full, const char *const *args)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), other = memfd_create("other", 0), code;

	code = wait_code(start_runtime(w, (struct stdio_fds){ -1, out_is_full ? full : other,
							      out_is_full ? other : full }, args));
	close(full);
	read_back(other, out_is_full ? last_err : last_out);
	return code;
}

static void run_whose_output_finds_no_room_says_so_and_keeps_the_exit_code(void **state)
{
	struct world w;
	char log[128];

	world_open(&w);
	/* It is not ended by the first line that is lost. */
	world_write_spec(&w, false, "echo out; read x; echo more; echo err >&2; exit 7");
	assert_int_equal(run_into_full(&w, true, ARGS("run", "--bundle", w.bundle, "c")), 7);
	assert_contains(last_err, "err\n");
	assert_contains(last_err, "9 bytes of the container's stdout could not be written: "
				  "No space left on device");
	assert_null(strstr(strstr(last_err, "could not") + 1, "could not"));
	/* Where stderr is the broken one the log has it. */
	snprintf(log, sizeof(log), "%s/log", w.dir);
	assert_int_equal(run_into_full(&w, false, ARGS("--log-format=json", "--log", log, "run",
						      "--bundle", w.bundle, "c")),
			 7);
	assert_string_equal(last_out, "out\nmore\n");
	assert_only_error_line(log, "4 bytes of the container's stderr could not be written: "
				    "No space left on device");
	reap_all();
	world_close(&w);
}

static void detached_run_whose_output_finds_no_room_says_so_in_stderr(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), errors = memfd_create("err", 0);
	char pid_file[128];
	struct world w;

	world_open(&w);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	world_write_spec(&w, false, "echo out; exit 7");
	assert_int_equal(wait_code(start_runtime(&w, (struct stdio_fds){ -1, full, errors },
						 ARGS("run", "-d", "--bundle", w.bundle, "--pid-file",
						      pid_file, "c"))),
			 0);
	close(full);
	assert_int_equal(wait_code(read_pid(pid_file)), 7);
	read_back(errors, last_err);
	assert_contains(last_err, "4 bytes of the container's stdout could not be written: "
				  "No space left on device\n");
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	reap_all();
	world_close(&w);
}

static void answer_that_cannot_be_written_fails_the_command(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(run_into_full(&w, true, ARGS("features")), 1);
	assert_contains(last_err, "write to stdout: No space left on device");
	world_close(&w);
}

static void run_keep_leaves_a_stopped_container(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "run", "--keep", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(runtime_code(&w, "list"), 0);
	assert_contains(last_out, "ID          PID         STATUS      BUNDLE");
	assert_contains(last_out, "stopped");
	assert_int_equal(runtime_code(&w, "list", "-f", "json"), 0);
	assert_contains(last_out, "\"status\":\"stopped\"");
	assert_contains(last_out, "\"owner\":\"");
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	assert_int_equal(runtime_code(&w, "list", "-f", "json"), 0);
	assert_string_equal(last_out, "null\n");
	reap_all();
	world_close(&w);
}

static void delete_force_kills_what_runs(void **state)
{
	struct world w;
	char pid_file[128];
	pid_t pid;

	world_open(&w);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	world_write_spec(&w, false, "sleep 100");
	assert_int_equal(runtime_code(&w, "run", "-d", "--bundle", w.bundle, "--pid-file", pid_file,
				      "c"),
			 0);
	pid = read_pid(pid_file);
	assert_int_equal(runtime_code(&w, "delete", "--force", "c"), 0);
	assert_int_equal(wait_code(pid), 137);
	reap_all();
	world_close(&w);
}

static void created_container_can_be_deleted_and_killed(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	reap_all();
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(runtime_code(&w, "kill", "c", "9"), 0);
	assert_int_equal(runtime_code(&w, "delete", "--force", "c"), 0);
	reap_all();
	world_close(&w);
}

static void exec_gives_output_code_and_waits_for_paused_only_when_told(void **state)
{
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "sleep 100");
	assert_int_equal(runtime_code(&w, "run", "-d", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(runtime_code(&w, "exec", "c", "--", "sh", "-c", "echo hi; exit 3"), 3);
	assert_string_equal(last_out, "hi\n");
	assert_int_equal(runtime_code(&w, "exec", "c", "/no-such-command"), 255);
	assert_contains(last_err, "executable file not found");
	assert_int_equal(runtime_code(&w, "exec", "c"), 255);
	assert_int_equal(runtime_code(&w, "exec", "--tty", "--detach", "c", "sh"), 255);
	assert_contains(last_err, "cannot allocate tty");
	assert_int_equal(runtime_code(&w, "pause", "c"), 0);
	assert_int_equal(runtime_code(&w, "pause", "c"), 1);
	assert_int_equal(runtime_code(&w, "exec", "c", "true"), 255);
	assert_contains(last_err,
			"cannot exec in a paused container (use --ignore-paused to override)");
	assert_int_equal(runtime_code(&w, "exec", "--ignore-paused", "c", "true"), 0);
	assert_int_equal(runtime_code(&w, "pause", "c"), 0);
	assert_int_equal(runtime_code(&w, "resume", "c"), 0);
	assert_int_equal(runtime_code(&w, "resume", "c"), 1);
	assert_contains(last_err, "container not paused");
	assert_int_equal(runtime_code(&w, "delete", "-f", "c"), 0);
	reap_all();
	world_close(&w);
}

static void exec_detached_from_file_leaves_process_with_its_code(void **state)
{
	struct world w;
	char file[128], pid_file[128];
	static const char process[] =
		"{\"args\":[\"/bin/sh\",\"-c\",\"exit 9\"],\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}}";

	world_open(&w);
	snprintf(file, sizeof(file), "%s/process", w.dir);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	assert_int_equal(io_replace_file(AT_FDCWD, file, process, strlen(process), 0600), 0);
	world_write_spec(&w, false, "sleep 100");
	assert_int_equal(runtime_code(&w, "run", "-d", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(runtime_code(&w, "exec", "--process", file, "--detach", "--pid-file",
				      pid_file, "c"),
			 0);
	assert_int_equal(wait_code(read_pid(pid_file)), 9);
	assert_int_equal(runtime_code(&w, "delete", "-f", "c"), 0);
	reap_all();
	world_close(&w);
}

static void container_of_a_killed_monitor_is_stopped_and_deletable(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct world w;
	char pid_file[128];
	int rootfd;

	world_open(&w);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", w.dir);
	world_write_spec(&w, false, "echo $$; exec sleep 100");
	assert_int_equal(runtime_code(&w, "run", "-d", "--bundle", w.bundle, "--pid-file", pid_file,
				      "c"),
			 0);
	rootfd = open(w.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(sandbox_record_load(rootfd, "c", &record, NULL), 0);
	close(rootfd);
	kill(record->monitor.pid, SIGKILL);
	assert_int_equal(wait_code(read_pid(pid_file)), 137);
	assert_int_equal(runtime_code(&w, "state", "c"), 0);
	assert_contains(last_out, "\"status\": \"stopped\"");
	assert_contains(last_out, "\"pid\": 0");
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	reap_all();
	world_close(&w);
}

/*
 * The command ARGS meets a monitor that takes connections and answers nothing, until it is killed.
 * Returns the command's code.
 */
static int code_when_the_monitor_dies_under(struct world *w, const char *const *args)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	int rootfd = open(w->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int errors = memfd_create("err", MFD_CLOEXEC), code;
	pid_t pid;

	assert_int_equal(sandbox_record_load(rootfd, "c", &record, NULL), 0);
	close(rootfd);
	kill(record->monitor.pid, SIGSTOP);
	pid = start_runtime(w, (struct stdio_fds){ -1, -1, errors }, args);
	/* Time for it to connect and call. If it is slower, it finds a dead monitor: the same outcome. */
	poll(NULL, 0, 300);
	kill(record->monitor.pid, SIGKILL);
	code = wait_code(pid);
	read_back(errors, last_err);
	return code;
}

static void delete_under_which_the_monitor_dies_succeeds(void **state)
{
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 100");
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(code_when_the_monitor_dies_under(&w, ARGS("delete", "c")), 0);
	assert_int_equal(runtime_code(&w, "state", "c"), 1);
	reap_all();
	world_close(&w);
}

static void kill_under_which_the_monitor_dies_says_not_running(void **state)
{
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 100");
	assert_int_equal(runtime_code(&w, "run", "-d", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(code_when_the_monitor_dies_under(&w, ARGS("kill", "c", "TERM")), 1);
	assert_contains(last_err, "container not running");
	assert_int_equal(runtime_code(&w, "delete", "c"), 0);
	reap_all();
	world_close(&w);
}

static void folder_of_a_killed_create_is_taken_over(void **state)
{
	struct world w;
	char path[160];

	world_open(&w);
	assert_int_equal(runtime_code(&w, "list"), 0);
	assert_int_equal(path_mkdir_p(w.root, 0700), 0);
	snprintf(path, sizeof(path), "%s/containers", w.root);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/containers/c", w.root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(runtime_code(&w, "run", "--bundle", w.bundle, "c"), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(runtime_code(&w, "delete", "--force", "c"), 0);
	assert_int_equal(access(path, F_OK), -1);
	reap_all();
	world_close(&w);
}

static void hooks_get_the_state_with_a_live_pid(void **state)
{
	struct world w;
	_cleanup_json_ struct json *spec = NULL;
	_cleanup_free_ char *text = NULL;
	char path[160], hooks[512], out[128];
	static const char *const kinds[] = { "prestart", "createRuntime", "poststart", "poststop" };

	world_open(&w);
	snprintf(path, sizeof(path), "%s/config.json", w.bundle);
	assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	assert_int_equal(json_parse(text, strlen(text), &spec, NULL), 0);
	struct json *all = json_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct json *list = NULL;

		snprintf(
			hooks, sizeof(hooks),
			"[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"cat > %s/hook-%s\"],\"env\":[\"PATH=/usr/bin:/bin\"]}]",
			w.dir, kinds[i]);
		assert_int_equal(json_parse(hooks, strlen(hooks), &list, NULL), 0);
		json_set(all, kinds[i], list);
	}
	json_set(spec, "hooks", all);
	free(text);
	text = json_text(spec, true);
	assert_int_equal(io_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
	assert_int_equal(runtime_code(&w, "run", "--bundle", w.bundle, "c"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		_cleanup_free_ char *got = NULL;

		snprintf(out, sizeof(out), "%s/hook-%s", w.dir, kinds[i]);
		assert_int_equal(io_read_file(AT_FDCWD, out, 4096, &got, NULL), 0);
		assert_contains(got, i < 2    ? "\"status\":\"creating\""
				     : i == 2 ? "\"status\":\"running\""
					      : "\"status\":\"stopped\"");
		assert_contains(got, "\"id\":\"c\"");
		if (i < 3)
			assert_null(strstr(got, "\"pid\":0,"));
	}
	reap_all();
	world_close(&w);
}

static void failing_create_hook_fails_the_create_and_leaves_nothing(void **state)
{
	struct world w;
	_cleanup_json_ struct json *spec = NULL;
	_cleanup_free_ char *text = NULL;
	struct json *hooks = NULL;
	char path[160];
	static const char failing[] =
		"{\"prestart\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo no network >&2; exit 3\"]}]}";

	world_open(&w);
	snprintf(path, sizeof(path), "%s/config.json", w.bundle);
	assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &text, NULL), 0);
	assert_int_equal(json_parse(text, strlen(text), &spec, NULL), 0);
	assert_int_equal(json_parse(failing, strlen(failing), &hooks, NULL), 0);
	json_set(spec, "hooks", hooks);
	free(text);
	text = json_text(spec, true);
	assert_int_equal(io_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
	assert_int_equal(runtime_code(&w, "create", "--bundle", w.bundle, "c"), 1);
	assert_contains(last_err, "exit status 3");
	assert_contains(last_err, "no network");
	assert_int_equal(runtime_code(&w, "state", "c"), 1);
	reap_all();
	world_close(&w);
}

static void unsupported_commands_say_so_and_fail(void **state)
{
	static const char *const names[] = { "checkpoint", "restore" };
	struct world w;

	world_open(&w);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(runtime_code(&w, names[i], "--lsm-mount-context"), 1);
		assert_contains(last_err, "is not supported yet");
		assert_null(strstr(last_err, "needs an argument"));
	}
	assert_int_equal(runtime_code(&w, "checkpoint", "--help"), 1);
	assert_int_equal(runtime_code(&w, "create", "--help"), 0);
	assert_contains(last_out, "--console-socket value");
	world_close(&w);
}

static void usage_errors_have_runcs_words_and_codes(void **state)
{
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "nonsense"), 3);
	assert_int_equal(runtime_code(&w, "start"), 1);
	assert_contains(last_err, "\"start\" requires exactly 1 argument(s)");
	assert_int_equal(runtime_code(&w, "kill", "--nonsense", "c"), 1);
	assert_contains(last_err, "flag provided but not defined: -nonsense");
	assert_int_equal(runtime_code(&w, "delete", "c", "--force"), 1);
	assert_contains(last_err, "\"delete\" requires exactly 1 argument(s)");
	assert_int_equal(runtime_code(&w, "--log-format", "xml", "list"), 1);
	assert_contains(last_err, "invalid log-format");
	assert_int_equal(runtime_code(&w, "--version"), 0);
	assert_int_equal(strncmp(last_out, "onggi-runtime version ",
				 strlen("onggi-runtime version ")),
			 0);
	assert_contains(last_out, "\nspec: 1.");
	world_close(&w);
}

static void spec_writes_a_valid_file_and_never_overwrites(void **state)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	_cleanup_free_ char *text = NULL;
	struct err err = ERR_INIT;
	struct world w;
	char path[160];

	world_open(&w);
	snprintf(path, sizeof(path), "%s/config.json", w.bundle);
	assert_int_equal(runtime_code(&w, "spec", "--bundle", w.bundle), 1);
	assert_contains(last_err, "config.json exists");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(runtime_code(&w, "spec", "--bundle", w.bundle), 0);
	assert_int_equal(io_read_file(AT_FDCWD, path, 65536, &text, NULL), 0);
	if (oci_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(spec->process.terminal);
	world_close(&w);
}

static void features_are_json_that_engines_read(void **state)
{
	_cleanup_json_ struct json *j = NULL;
	struct json *linux_part = NULL, *list = NULL;
	struct world w;

	world_open(&w);
	assert_int_equal(runtime_code(&w, "features"), 0);
	assert_int_equal(json_parse(last_out, strlen(last_out), &j, NULL), 0);
	assert_non_null(json_get(j, "ociVersionMin"));
	assert_non_null(json_get(j, "ociVersionMax"));
	assert_int_equal(json_member_object(j, "", "linux", &linux_part, NULL), 1);
	assert_true(json_bool(json_get(json_get(linux_part, "cgroup"), "v1")));
	assert_true(json_bool(json_get(json_get(linux_part, "cgroup"), "v2")));
	assert_true(json_array_len(json_get(linux_part, "capabilities")) >= 41);
	assert_int_equal(json_member_array(j, "", "mountOptions", 1000, &list, NULL), 1);
	assert_true(json_array_len(list) > 20);
	assert_int_equal(json_array_len(json_get(j, "hooks")), 6);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(life_of_a_container_from_create_to_delete),
		leak_checked(commands_about_an_unknown_container_fail_with_does_not_exist),
		leak_checked(id_that_is_no_folder_name_is_refused),
		leak_checked(terminal_and_console_socket_must_come_together),
		leak_checked(preserve_fds_are_refused_by_name),
		leak_checked(failed_create_tells_engine_once_and_leaves_nothing),
		leak_checked(run_gives_output_and_exit_code_and_deletes),
		leak_checked(run_whose_output_finds_no_room_says_so_and_keeps_the_exit_code),
		leak_checked(detached_run_whose_output_finds_no_room_says_so_in_stderr),
		leak_checked(answer_that_cannot_be_written_fails_the_command),
		leak_checked(run_keep_leaves_a_stopped_container),
		leak_checked(delete_force_kills_what_runs),
		leak_checked(created_container_can_be_deleted_and_killed),
		leak_checked(exec_gives_output_code_and_waits_for_paused_only_when_told),
		leak_checked(exec_detached_from_file_leaves_process_with_its_code),
		leak_checked(folder_of_a_killed_create_is_taken_over),
		leak_checked(hooks_get_the_state_with_a_live_pid),
		leak_checked(failing_create_hook_fails_the_create_and_leaves_nothing),
		leak_checked(unsupported_commands_say_so_and_fail),
		leak_checked(usage_errors_have_runcs_words_and_codes),
		leak_checked(spec_writes_a_valid_file_and_never_overwrites),
		leak_checked(features_are_json_that_engines_read),
		leak_checked(container_of_a_killed_monitor_is_stopped_and_deletable),
		leak_checked(delete_under_which_the_monitor_dies_succeeds),
		leak_checked(kill_under_which_the_monitor_dies_says_not_running),
	};

	become_engine();
	return cmocka_run_group_tests_name("runtime_commands", tests, NULL, NULL);
}
