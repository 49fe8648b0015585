/* SPDX-License-Identifier: Apache-2.0 */
/* The two programs of docs/examples, as docs/ttrpc.md has them run: next to this one's folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>

#include "common/io.h"
#include "common/path.h"
#include "tests/unit/check_leaks.h"

#define OUTPUT_MAX 4096
/* Longer than this is a hang. */
#define LIMIT_MS 200000

static void program_path(const char *name, char path[PATH_MAX])
{
	char own[PATH_MAX] = { 0 };

	assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
	/* build/tests/unit/this -> build/examples/name */
	snprintf(path, PATH_MAX, "%s/../../examples/%s", dirname(own), name);
}

static pid_t spawn(char *const argv[], int out)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (out >= 0 && (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0))
		_exit(126);
	execv(argv[0], argv);
	_exit(127);
}

/* Exit status; what it has written, on either stream, in @text. */
static int run(char *const argv[], char text[OUTPUT_MAX])
{
	size_t len = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = spawn(argv, fds[1]);
	close(fds[1]);
	while ((n = read(fds[0], text + len, OUTPUT_MAX - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int ask(const char *socket, const char *id, char text[OUTPUT_MAX])
{
	char program[PATH_MAX];

	program_path("ttrpc_client", program);
	return run((char *[]){ program, (char *)socket, (char *)id, NULL }, text);
}

/* The socket is there before anybody listens on it: wait until one answers. */
static pid_t start_server(const char *dir, const char *socket)
{
	struct pollfd watch = { .fd = inotify_init1(IN_CLOEXEC), .events = POLLIN };
	char program[PATH_MAX];
	pid_t pid;

	assert_true(watch.fd >= 0);
	assert_true(inotify_add_watch(watch.fd, dir, IN_CREATE) >= 0);
	program_path("ttrpc_server", program);
	pid = spawn((char *[]){ program, (char *)socket, NULL }, -1);
	assert_int_equal(poll(&watch, 1, LIMIT_MS), 1);
	close(watch.fd);
	for (char text[OUTPUT_MAX]; ask(socket, "first", text) != 0;)
		assert_non_null(strstr(text, "refused"));
	return pid;
}

static void stop_server(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void example_client_and_server_talk_to_each_other(void **state)
{
	char dir[] = "/tmp/onggi-example-XXXXXX", socket[64], text[OUTPUT_MAX], wanted[128];
	pid_t server;

	assert_non_null(mkdtemp(dir));
	snprintf(socket, sizeof(socket), "%s/socket", dir);
	server = start_server(dir, socket);
	snprintf(wanted, sizeof(wanted), "shim %d task 0 version 'example'\n", server);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(socket, "anything", text), 0);
		assert_string_equal(text, wanted);
	}
	assert_int_equal(ask(socket, "", text), 1);
	assert_string_equal(text, "ttrpc_client: no id is given\n");
	stop_server(server);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir), 0);
}

static void example_client_says_what_it_cannot_reach(void **state)
{
	char text[OUTPUT_MAX];

	assert_int_equal(ask("/no/such/socket", "x", text), 1);
	assert_non_null(strstr(text, "'/no/such/socket'"));
}

static void example_server_leaves_what_is_there_already(void **state)
{
	char file[] = "/tmp/onggi-example-XXXXXX", program[PATH_MAX], text[OUTPUT_MAX];
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	program_path("ttrpc_server", program);
	assert_int_equal(run((char *[]){ program, file, NULL }, text), 1);
	assert_non_null(strstr(text, file));
	assert_int_equal(unlink(file), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		leak_checked(example_client_and_server_talk_to_each_other),
		leak_checked(example_client_says_what_it_cannot_reach),
		leak_checked(example_server_leaves_what_is_there_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
