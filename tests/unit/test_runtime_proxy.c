/* SPDX-License-Identifier: Apache-2.0 */
/* The process that stands for a container on the host, as engines see it. */
#include "tests/unit/runtime_fake.h"

#include <sys/ioctl.h>
#include <termios.h>

#include "tests/unit/check_leaks.h"

#define FLOOD_BYTES (100u << 20)

struct ends {
	int read, write;
};

static struct ends make_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	return (struct ends){ fds[0], fds[1] };
}

/* Read to the end of file; returns the number of bytes, the first ones in last_out. */
static size_t read_to_end(int fd)
{
	static char buffer[65536];
	size_t total = 0;
	ssize_t n;

	last_out[0] = '\0';
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		if (total == 0) {
			size_t keep = (size_t)n < sizeof(last_out) - 1 ? (size_t)n
								       : sizeof(last_out) - 1;

			memcpy(last_out, buffer, keep);
			last_out[keep] = '\0';
		}
		total += (size_t)n;
	}
	return total;
}

/* Until the writer of a pipe is stuck: it takes no more, and nobody reads. */
static void await_full(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ), used = 0;

	assert_true(size > 0);
	for (int i = 0; used < size && i < FAKE_TIMEOUT_S * 100; i++) {
		assert_int_equal(ioctl(fd, FIONREAD, &used), 0);
		poll(NULL, 0, 10);
	}
	assert_int_equal(used, size);
}

static void pid_file_of(const struct world *w, char *ret)
{
	snprintf(ret, 128, "%s/pid", w->dir);
}

/* "run -d" with these descriptors; the proxy's pid. */
static pid_t run_detached(struct world *w, struct stdio_fds fds)
{
	char pid_file[128];

	pid_file_of(w, pid_file);
	assert_int_equal(wait_code(start_runtime(w, fds,
						 ARGS("run", "-d", "-b", w->bundle, "--pid-file",
						      pid_file, "c"))),
			 0);
	return read_pid(pid_file);
}

static void finish(struct world *w)
{
	if (runtime_code(w, "delete", "--force", "c") != 0)
		fail_msg("delete: %s", last_err);
	reap_all();
	world_close(w);
}

static void proxy_is_reparented_to_the_engine(void **state)
{
	_cleanup_free_ char *stat = NULL;
	struct world w;
	char path[64];
	int parent;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "sleep 100");
	pid = run_detached(&w, (struct stdio_fds){ -1, -1, -1 });
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &stat, NULL), 0);
	assert_int_equal(sscanf(strrchr(stat, ')') + 1, " %*c %d", &parent), 1);
	assert_int_equal(parent, getpid());
	finish(&w);
}

static void proxy_ends_with_the_code_of_the_workload(void **state)
{
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "exit 42");
	assert_int_equal(wait_code(run_detached(&w, (struct stdio_fds){ -1, -1, -1 })), 42);
	finish(&w);
}

static void signals_to_the_proxy_reach_the_workload(void **state)
{
	struct ends out = make_pipe();
	struct world w;
	char byte;
	pid_t pid;

	world_open(&w);
	world_write_spec(
		&w, false,
		"trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo r; while :; do sleep .01; done");
	pid = run_detached(&w, (struct stdio_fds){ -1, out.write, -1 });
	close(out.write);
	assert_int_equal(read(out.read, &byte, 1), 1);
	kill(pid, SIGUSR1);
	assert_int_equal(read(out.read, &byte, 1), 1); /* the newline */
	kill(pid, SIGTERM);
	assert_int_equal(wait_code(pid), 5);
	read_to_end(out.read);
	assert_contains(last_out, "term\n");
	close(out.read);
	finish(&w);
}

static void workload_killed_by_a_signal_gives_128_plus_it(void **state)
{
	struct world w;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "exec sleep 100");
	pid = run_detached(&w, (struct stdio_fds){ -1, -1, -1 });
	assert_int_equal(runtime_code(&w, "kill", "c", "SIGINT"), 0);
	assert_int_equal(wait_code(pid), 130);
	finish(&w);
}

static void sigkill_of_the_proxy_kills_the_workload(void **state)
{
	struct world w;
	char path[128], text[32];
	pid_t pid;

	world_open(&w);
	snprintf(path, sizeof(path), "%s/root/workload", w.dir);
	snprintf(text, sizeof(text), "exec sleep 100");
	world_write_spec(&w, false, text);
	pid = run_detached(&w, (struct stdio_fds){ -1, -1, -1 });
	kill(pid, SIGKILL);
	assert_int_equal(wait_code(pid), 137);
	/* Stopped as soon as the proxy is gone, and the record follows. */
	assert_int_equal(runtime_code(&w, "state", "c"), 0);
	assert_contains(last_out, "\"status\": \"stopped\"");
	finish(&w);
}

static void proxy_stands_in_the_network_namespace_of_the_sandbox(void **state)
{
	struct stat ours, its;
	struct world w;
	char path[64];
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "sleep 100");
	pid = run_detached(&w, (struct stdio_fds){ -1, -1, -1 });
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	assert_int_equal(stat("/proc/self/ns/net", &ours), 0);
	assert_int_equal(stat(path, &its), 0);
	assert_int_not_equal(ours.st_ino, its.st_ino);
	finish(&w);
}

static void proxy_keeps_no_descriptor_that_leaked_into_the_command(void **state)
{
	struct ends leak = make_pipe();
	struct world w;
	char byte;

	world_open(&w);
	world_write_spec(&w, false, "sleep 100");
	fcntl(leak.write, F_SETFD, 0);
	run_detached(&w, (struct stdio_fds){ -1, -1, -1 });
	close(leak.write);
	/* End of file although the container runs. */
	assert_int_equal(read(leak.read, &byte, 1), 0);
	close(leak.read);
	finish(&w);
}

static void reader_sees_the_end_when_the_workload_ends(void **state)
{
	struct ends out = make_pipe(), errors = make_pipe();
	struct world w;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "echo a; echo b >&2");
	pid = run_detached(&w, (struct stdio_fds){ -1, out.write, errors.write });
	close(out.write);
	close(errors.write);
	assert_int_equal(read_to_end(out.read), 2);
	assert_string_equal(last_out, "a\n");
	assert_int_equal(read_to_end(errors.read), 2);
	assert_string_equal(last_out, "b\n");
	assert_int_equal(wait_code(pid), 0);
	close(out.read);
	close(errors.read);
	finish(&w);
}

static void no_byte_of_a_flood_is_lost_to_a_late_reader(void **state)
{
	struct ends out = make_pipe();
	struct world w;
	char script[128];
	pid_t pid;

	world_open(&w);
	snprintf(script, sizeof(script), "head -c %u /dev/zero", FLOOD_BYTES);
	world_write_spec(&w, false, script);
	pid = run_detached(&w, (struct stdio_fds){ -1, out.write, -1 });
	close(out.write);
	await_full(out.read);
	assert_int_equal(read_to_end(out.read), FLOOD_BYTES);
	assert_int_equal(wait_code(pid), 0);
	close(out.read);
	finish(&w);
}

static void flood_into_a_regular_file_is_complete_when_the_proxy_ends(void **state)
{
	int file = memfd_create("file", MFD_CLOEXEC);
	struct world w;
	struct stat st;

	world_open(&w);
	world_write_spec(&w, false, "head -c 10000000 /dev/zero");
	assert_int_equal(wait_code(run_detached(&w, (struct stdio_fds){ -1, file, -1 })), 0);
	assert_int_equal(fstat(file, &st), 0);
	assert_int_equal(st.st_size, 10000000);
	close(file);
	finish(&w);
}

static void stuck_reader_does_not_hold_up_signals(void **state)
{
	struct ends out = make_pipe();
	struct world w;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "exec cat /dev/zero");
	pid = run_detached(&w, (struct stdio_fds){ -1, out.write, -1 });
	close(out.write);
	await_full(out.read);
	kill(pid, SIGTERM);
	/* Nobody reads, yet the workload is dead: its status is on disk. */
	for (int i = 0; i < FAKE_TIMEOUT_S * 100; i++) {
		assert_int_equal(runtime_code(&w, "state", "c"), 0);
		if (strstr(last_out, "stopped"))
			break;
		poll(NULL, 0, 10);
	}
	assert_contains(last_out, "\"status\": \"stopped\"");
	read_to_end(out.read);
	assert_int_equal(wait_code(pid), 143);
	close(out.read);
	finish(&w);
}

static void nonblock_is_not_set_on_the_engines_descriptions(void **state)
{
	struct ends in = make_pipe(), out = make_pipe();
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "sleep 100");
	run_detached(&w, (struct stdio_fds){ in.read, out.write, -1 });
	assert_int_equal(fcntl(in.read, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(out.write, F_GETFL) & O_NONBLOCK, 0);
	close(in.read);
	close(in.write);
	close(out.read);
	close(out.write);
	finish(&w);
}

static void stdin_and_its_end_reach_the_workload(void **state)
{
	struct ends in = make_pipe(), out = make_pipe();
	struct world w;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "cat; echo end");
	pid = run_detached(&w, (struct stdio_fds){ in.read, out.write, -1 });
	close(in.read);
	close(out.write);
	assert_int_equal(io_write_all(in.write, "hello ", 6), 0);
	close(in.write);
	read_to_end(out.read);
	assert_contains(last_out, "hello ");
	assert_int_equal(wait_code(pid), 0);
	close(out.read);
	finish(&w);
}

static void stdin_may_be_a_file_a_socket_or_nothing(void **state)
{
	int file = memfd_create("in", MFD_CLOEXEC), pair[2];
	struct world w;

	world_open(&w);
	world_write_spec(&w, false, "test $(wc -c) = 100000");
	assert_int_equal(ftruncate(file, 100000), 0);
	assert_int_equal(wait_code(start_runtime(&w, (struct stdio_fds){ file, -1, -1 },
						 ARGS("run", "-b", w.bundle, "f"))),
			 0);
	close(file);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	world_write_spec(&w, false, "test $(wc -c) = 5");
	assert_int_equal(io_write_all(pair[0], "12345", 5), 0);
	close(pair[0]);
	assert_int_equal(wait_code(start_runtime(&w, (struct stdio_fds){ pair[1], -1, -1 },
						 ARGS("run", "-b", w.bundle, "s"))),
			 0);
	close(pair[1]);
	world_write_spec(&w, false, "test $(wc -c) = 0");
	assert_int_equal(runtime_code(&w, "run", "-b", w.bundle, "n"), 0);
	reap_all();
	world_close(&w);
}

static void output_into_a_socket_is_whole(void **state)
{
	struct world w;
	int pair[2];
	pid_t pid;

	world_open(&w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	world_write_spec(&w, false, "head -c 3000000 /dev/zero");
	pid = run_detached(&w, (struct stdio_fds){ -1, pair[1], -1 });
	close(pair[1]);
	assert_int_equal(read_to_end(pair[0]), 3000000);
	assert_int_equal(wait_code(pid), 0);
	close(pair[0]);
	finish(&w);
}

static void monitor_killed_gives_137_after_what_was_written(void **state)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	struct ends out = make_pipe();
	struct world w;
	char byte;
	int rootfd;
	pid_t pid;

	world_open(&w);
	world_write_spec(&w, false, "echo before; exec sleep 100");
	pid = run_detached(&w, (struct stdio_fds){ -1, out.write, -1 });
	close(out.write);
	assert_int_equal(read(out.read, &byte, 1), 1);
	rootfd = open(w.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(sandbox_record_load(rootfd, "c", &record, NULL), 0);
	close(rootfd);
	kill(record->monitor.pid, SIGKILL);
	read_to_end(out.read);
	assert_string_equal(last_out, "efore\n");
	assert_int_equal(wait_code(pid), 137);
	close(out.read);
	finish(&w);
}

/* ---- terminals ---- */

static int listen_on(const char *path)
{
	return fake_listen(path);
}

/* What conmon does: one connection, one message with a name and one descriptor. */
static int receive_master(int listener)
{
	char name[4096], control[CMSG_SPACE(sizeof(int) * 4)];
	struct iovec iov = { name, sizeof(name) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC), fd;
	ssize_t n;

	assert_true(sock >= 0);
	n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	assert_true(n > 0);
	c = CMSG_FIRSTHDR(&msg);
	assert_non_null(c);
	assert_int_equal(c->cmsg_len, CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	assert_int_equal(recv(sock, name, sizeof(name), 0), 0);
	close(sock);
	return fd;
}

static void console_socket_gets_a_raw_terminal_whose_size_is_followed(void **state)
{
	struct winsize size = { .ws_row = 33, .ws_col = 77 };
	struct world w;
	struct termios mode;
	char path[128], pid_file[128], size_file[128], echo[64];
	int listener, master;
	pid_t pid;

	world_open(&w);
	snprintf(path, sizeof(path), "%s/console", w.dir);
	snprintf(size_file, sizeof(size_file), "%s/size", w.root);
	pid_file_of(&w, pid_file);
	listener = listen_on(path);
	world_write_spec(&w, true, "read x; echo got $x; exit 4");
	pid = start_runtime(&w, (struct stdio_fds){ -1, -1, -1 },
			    ARGS("create", "-b", w.bundle, "--pid-file", pid_file,
				 "--console-socket", path, "c"));
	master = receive_master(listener);
	assert_int_equal(wait_code(pid), 0);
	close(listener);
	assert_int_equal(tcgetattr(master, &mode), 0);
	assert_int_equal(mode.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_int_equal(mode.c_oflag & OPOST, 0);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	await_text(size_file, "77x33");
	assert_int_equal(runtime_code(&w, "start", "c"), 0);
	assert_int_equal(io_write_all(master, "word\n", 5), 0);
	/* No echo of ours: the first bytes are the workload's. */
	assert_int_equal(io_read_full(master, echo, 9), 9);
	assert_memory_equal(echo, "got word\n", 9);
	assert_int_equal(wait_code(read_pid(pid_file)), 4);
	/* The slave is closed at the end: conmon waits for that. */
	assert_int_equal(read(master, echo, 1), -1);
	close(master);
	finish(&w);
}

static void terminal_hung_up_by_the_engine_is_a_sighup(void **state)
{
	struct world w;
	char path[128], pid_file[128];
	int listener, master;
	pid_t pid;

	world_open(&w);
	snprintf(path, sizeof(path), "%s/console", w.dir);
	pid_file_of(&w, pid_file);
	listener = listen_on(path);
	world_write_spec(&w, true, "exec sleep 100");
	pid = start_runtime(&w, (struct stdio_fds){ -1, -1, -1 },
			    ARGS("run", "-d", "-b", w.bundle, "--pid-file", pid_file,
				 "--console-socket", path, "c"));
	master = receive_master(listener);
	close(listener);
	assert_int_equal(wait_code(pid), 0);
	close(master);
	assert_int_equal(wait_code(read_pid(pid_file)), 128 + SIGHUP);
	finish(&w);
}

/* A person's shell: a session with a terminal. */
static pid_t start_on_terminal(struct world *w, int slave)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char *argv[] = {
			(char *)"x",   (char *)"--root", w->root,   (char *)"--config", w->config,
			(char *)"run", (char *)"-b",     w->bundle, (char *)"c",        NULL
		};

		alarm(FAKE_TIMEOUT_S);
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(slave, i);
		_exit(command_main(9, argv));
	}
	return pid;
}

static void foreground_terminal_is_raw_while_it_runs_and_restored_after(void **state)
{
	struct termios before, during, after;
	struct winsize size = { .ws_row = 10, .ws_col = 20 };
	struct world w;
	char name[64], size_file[128], text[64];
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	pid_t pid;

	world_open(&w);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_int_equal(tcgetattr(slave, &before), 0);
	world_write_spec(&w, true, "echo ready; read x; exit 6");
	pid = start_on_terminal(&w, slave);
	assert_int_equal(io_read_full(master, text, 6), 6);
	assert_memory_equal(text, "ready\n", 6);
	assert_int_equal(tcgetattr(slave, &during), 0);
	assert_int_equal(during.c_lflag & (ICANON | ECHO), 0);
	snprintf(size_file, sizeof(size_file), "%s/size", w.root);
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	await_text(size_file, "20x10");
	assert_int_equal(io_write_all(master, "\n", 1), 0);
	assert_int_equal(wait_code(pid), 6);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	close(slave);
	close(master);
	reap_all();
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(proxy_is_reparented_to_the_engine),
		leak_checked(proxy_ends_with_the_code_of_the_workload),
		leak_checked(signals_to_the_proxy_reach_the_workload),
		leak_checked(workload_killed_by_a_signal_gives_128_plus_it),
		leak_checked(sigkill_of_the_proxy_kills_the_workload),
		leak_checked(proxy_stands_in_the_network_namespace_of_the_sandbox),
		leak_checked(proxy_keeps_no_descriptor_that_leaked_into_the_command),
		leak_checked(reader_sees_the_end_when_the_workload_ends),
		leak_checked(no_byte_of_a_flood_is_lost_to_a_late_reader),
		leak_checked(flood_into_a_regular_file_is_complete_when_the_proxy_ends),
		leak_checked(stuck_reader_does_not_hold_up_signals),
		leak_checked(nonblock_is_not_set_on_the_engines_descriptions),
		leak_checked(stdin_and_its_end_reach_the_workload),
		leak_checked(stdin_may_be_a_file_a_socket_or_nothing),
		leak_checked(output_into_a_socket_is_whole),
		leak_checked(monitor_killed_gives_137_after_what_was_written),
		leak_checked(console_socket_gets_a_raw_terminal_whose_size_is_followed),
		leak_checked(terminal_hung_up_by_the_engine_is_a_sighup),
		leak_checked(foreground_terminal_is_raw_while_it_runs_and_restored_after),
	};

	become_engine();
	return cmocka_run_group_tests_name("runtime_proxy", tests, NULL, NULL);
}
