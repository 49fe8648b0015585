/* SPDX-License-Identifier: Apache-2.0 */
/* What a program started in the jail has left: it looks at itself and tells. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "hypervisor/jail.h"
#include "tests/unit/check_leaks.h"

#define SHELL "/bin/sh"
#define OUTPUT_MAX 16384
/* Longer than this is a hang. */
#define GUARD_MS 200000

static int wait_status(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/*
 * Run @script in a jail like @model, with a pipe for its words. Returns them; the caller frees. The jail's stderr
 * and stdout are that pipe.
 */
static char *told_by(const struct jail *model, const char *script)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *text = calloc(1, OUTPUT_MAX);
	struct err err = ERR_INIT;
	struct jail jail = *model;
	int fds[2];
	pid_t pid;

	assert_non_null(text);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	jail.path = SHELL;
	jail.argv = argv;
	jail.stderr_fd = fds[1];
	jail.stdout_too = true;
	if (jail_spawn(&jail, &pid, &err) < 0)
		fail_msg("%s", err.text);
	close(fds[1]);
	assert_true(io_read_full(fds[0], text, OUTPUT_MAX - 1) >= 0);
	close(fds[0]);
	if (wait_status(pid) != 0)
		fail_msg("the script failed: %s", text);
	return text;
}

static const struct jail plain = { .stderr_fd = -1 };

/* The value of field @name ("CapEff") of a /proc/PID/status, up to the end of the line. */
static void assert_field(const char *status, const char *name, const char *value)
{
	char want[128];

	snprintf(want, sizeof(want), "\n%s:\t%s\n", name, value);
	if (!strstr(status, want))
		fail_msg("no '%s: %s' in %s", name, value, status);
}

/* ---- claims: credentials ---- */

static void program_has_no_capabilities_and_cannot_gain_any(void **state)
{
	char *status = told_by(&plain, "cat /proc/self/status");

	assert_field(status, "CapInh", "0000000000000000");
	assert_field(status, "CapPrm", "0000000000000000");
	assert_field(status, "CapEff", "0000000000000000");
	assert_field(status, "CapBnd", "0000000000000000");
	assert_field(status, "CapAmb", "0000000000000000");
	assert_field(status, "NoNewPrivs", "1");
	free(status);
}

static void capabilities_asked_for_stay_and_no_other(void **state)
{
	struct jail jail = plain;
	char *status;

	jail.keep_caps = 1u << CAP_CHOWN;
	/* The status of the shell itself: what it starts as root gets from the bounding set. */
	status = told_by(&jail, "while read -r line; do echo \"$line\"; done </proc/$$/status");
	assert_field(status, "CapPrm", "0000000000000001");
	assert_field(status, "CapEff", "0000000000000001");
	assert_field(status, "CapBnd", "0000000000000001");
	assert_field(status, "CapAmb", "0000000000000000");
	free(status);
}

static void program_has_the_user_asked_for_and_nothing_of_the_callers(void **state)
{
	struct jail jail = plain;
	char *status;

	jail.user = 0x70000123;
	status = told_by(&jail, "cat /proc/self/status");
	assert_field(status, "Uid", "1879048483\t1879048483\t1879048483\t1879048483");
	assert_field(status, "Gid", "1879048483\t1879048483\t1879048483\t1879048483");
	assert_field(status, "Groups", " ");
	assert_field(status, "CapPrm", "0000000000000000");
	free(status);
	jail.with_group = true;
	jail.group = 107;
	status = told_by(&jail, "cat /proc/self/status");
	assert_field(status, "Groups", "107 ");
	free(status);
}

/* A filter that refuses socket(2) with EXDEV, and nothing else. */
static const struct sock_filter no_sockets[] = {
	{ BPF_LD | BPF_W | BPF_ABS, 0, 0, 0 }, /* seccomp_data.nr */
	{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_socket },
	{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EXDEV },
	{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
};

static void system_calls_are_filtered_if_asked_for(void **state)
{
	const struct filter filter = { no_sockets, 4 };
	struct jail jail = plain;
	char *text = told_by(&jail, "cat /proc/self/status");

	assert_field(text, "Seccomp_filters", "0");
	free(text);
	jail.filter = &filter;
	text = told_by(&jail, "cat /proc/self/status; /usr/bin/python3 -ISc 'import _socket; _socket.socket()' 2>&1 || :");
	assert_field(text, "Seccomp", "2");
	assert_field(text, "Seccomp_filters", "1");
	assert_non_null(strstr(text, "[Errno 18]"));
	free(text);
}

/* The caller's inheritable set, which is what an ambient capability needs. */
static void set_inheritable(uint32_t mask)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	assert_int_equal(syscall(SYS_capget, &header, data), 0);
	data[0].inheritable = mask;
	assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static void ambient_capabilities_of_the_caller_do_not_pass(void **state)
{
	char *status;

	set_inheritable(1u << CAP_CHOWN);
	assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
	status = told_by(&plain, "cat /proc/self/status");
	assert_int_equal(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), 0);
	set_inheritable(0);
	assert_field(status, "CapInh", "0000000000000000");
	assert_field(status, "CapEff", "0000000000000000");
	assert_field(status, "CapAmb", "0000000000000000");
	free(status);
}

static void signals_are_as_at_the_start_of_a_process(void **state)
{
	sigset_t block, before;
	char *status;

	sigfillset(&block);
	assert_int_equal(sigprocmask(SIG_BLOCK, &block, &before), 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	status = told_by(&plain, "exec cat /proc/self/status");
	signal(SIGPIPE, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_field(status, "SigBlk", "0000000000000000");
	assert_field(status, "SigIgn", "0000000000000000");
	free(status);
}

/* ---- claims: descriptors ---- */

static void no_descriptor_but_those_listed_passes(void **state)
{
	int strays[3], zero = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_RDONLY);
	const int fds[] = { full, zero };
	struct jail jail = plain;
	char *text;

	/* Such as a library may have opened: inherited by whatever is executed. */
	strays[0] = open("/etc/passwd", O_RDONLY);
	strays[1] = dup2(strays[0], 700);
	strays[2] = dup2(strays[0], 51);
	jail.fds = fds;
	jail.n_fds = ARRAY_SIZE(fds);
	text = told_by(&jail, "cd /proc/$$/fd; ls; readlink 0 3 4");
	assert_string_equal(text, "0\n1\n2\n3\n4\n/dev/null\n/dev/full\n/dev/zero\n");
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(strays); i++)
		close(strays[i]);
	close(zero);
	close(full);
}

static void descriptors_arrive_in_order_whatever_their_numbers_were(void **state)
{
	static const char *const paths[] = { "/dev/zero", "/dev/full", "/dev/random", "/etc/passwd" };
	int fds[JAIL_FDS_MAX];
	char want[1024] = "", *text;
	struct jail jail = plain;

	for (size_t i = JAIL_FDS_MAX; i-- > 0;) { /* backwards: they lie where others must go */
		fds[i] = open(paths[i % 4], O_RDONLY | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	for (size_t i = 0; i < JAIL_FDS_MAX; i++)
		snprintf(want + strlen(want), sizeof(want) - strlen(want), "%s\n", paths[i % 4]);
	jail.fds = fds;
	jail.n_fds = JAIL_FDS_MAX;
	text = told_by(&jail, "cd /proc/$$/fd; readlink 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18");
	assert_string_equal(text, want);
	free(text);
	for (size_t i = 0; i < JAIL_FDS_MAX; i++)
		close(fds[i]);
}

/* Run @script, whose stderr is null or (@with_stderr) a pipe; what it writes to descriptor 3 is returned. */
static void assert_told_apart(bool with_stderr, const char *on_3, const char *on_stderr)
{
	char *const argv[] = { (char *)"sh", (char *)"-c",
			       (char *)"echo out; echo err >&2; echo three >&3; readlink /proc/$$/fd/0 >&3", NULL };
	struct jail jail = { .path = SHELL, .argv = argv, .n_fds = 1, .stderr_fd = -1 };
	char text[256] = "";
	int three[2], errors[2];
	pid_t pid;

	assert_int_equal(pipe2(three, O_CLOEXEC), 0);
	assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
	jail.fds = &three[1];
	if (with_stderr)
		jail.stderr_fd = errors[1];
	assert_int_equal(jail_spawn(&jail, &pid, NULL), 0);
	close(three[1]);
	close(errors[1]);
	assert_true(io_read_full(three[0], text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, on_3);
	memset(text, 0, sizeof(text));
	assert_true(io_read_full(errors[0], text, sizeof(text) - 1) >= 0);
	assert_string_equal(text, on_stderr);
	close(three[0]);
	close(errors[0]);
	assert_int_equal(wait_status(pid), 0);
}

static void stdio_is_null_but_for_the_stderr_asked_for(void **state)
{
	assert_told_apart(false, "three\n/dev/null\n", "");
	assert_told_apart(true, "three\n/dev/null\n", "err\n");
}

/* ---- claims: surroundings ---- */

static void namespaces_asked_for_are_new_and_the_network_is_empty(void **state)
{
	static const struct {
		const char *name;
		bool same;
	} namespaces[] = { { "net", false }, { "ipc", false }, { "mnt", true }, { "uts", true } };
	char script[64], path[32], own[64], *text;
	struct jail jail = plain;

	jail.unshare_flags = CLONE_NEWNET | CLONE_NEWIPC;
	for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i].name);
		n = readlink(path, own, sizeof(own) - 1);
		assert_true(n > 0);
		own[n] = '\0';
		snprintf(script, sizeof(script), "readlink -n %s", path);
		text = told_by(&jail, script);
		assert_int_equal(strcmp(text, own) == 0, namespaces[i].same);
		free(text);
	}
	text = told_by(&jail, "grep -c : /proc/self/net/dev; grep -o lo: /proc/self/net/dev; cat /proc/self/net/route");
	assert_int_equal(strncmp(text, "1\nlo:\n", 6), 0);
	free(text);
}

static void environment_of_the_caller_does_not_pass(void **state)
{
	char *text;

	setenv("LD_PRELOAD_X", "/evil.so", 1);
	setenv("SECRET", "value", 1);
	text = told_by(&plain, "tr '\\0' '\\n' </proc/$$/environ");
	unsetenv("LD_PRELOAD_X");
	unsetenv("SECRET");
	assert_string_equal(text, "PATH=/usr/sbin:/usr/bin:/sbin:/bin\nLC_ALL=C\n");
	free(text);
}

static void session_folder_and_umask_are_its_own(void **state)
{
	char *text = told_by(&plain, "umask; pwd; set -- $(cat /proc/$$/stat); [ $1 = $6 ] && echo leads");

	assert_string_equal(text, "0077\n/\nleads\n");
	free(text);
}

static void limits_are_lowered_and_never_raised(void **state)
{
	struct jail jail = plain;
	struct rlimit own;
	char want[64], *text;

	jail.nofile_max = 100;
	jail.memlock_max_bytes = 3 << 10;
	text = told_by(&jail, "ulimit -Sn; ulimit -Hn; ulimit -Sl; ulimit -Hl; ulimit -Sc; ulimit -Hc");
	assert_string_equal(text, "100\n100\n3\n3\n0\n0\n");
	free(text);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
	snprintf(want, sizeof(want), "%llu\n", (unsigned long long)own.rlim_max);
	jail.nofile_max = (uint64_t)own.rlim_max + 1;
	text = told_by(&jail, "ulimit -Hn");
	assert_string_equal(text, want);
	free(text);
}

static void assert_dies_with_its_parent(int unshare_flags)
{
	char *const argv[] = { (char *)"sleep", (char *)"1000", NULL };
	const struct jail jail = { .path = "/bin/sleep", .argv = argv, .stderr_fd = -1, .unshare_flags = unshare_flags };
	struct pollfd end = { .events = POLLIN };
	pid_t parent, pid = -1;
	int fds[2], status;

	/* Orphans come to the test, which reaps them. */
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		if (jail_spawn(&jail, &pid, NULL) == 0)
			io_write_all(fds[1], &pid, sizeof(pid));
		pause();
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(io_read_full(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert_true(end.fd >= 0);
	assert_int_equal(poll(&end, 1, 0), 0); /* it runs */
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_true(WIFSIGNALED(wait_status(parent)));
	assert_int_equal(poll(&end, 1, GUARD_MS), 1);
	close(end.fd);
	status = wait_status(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

static void program_dies_with_its_parent(void **state)
{
	assert_dies_with_its_parent(0);
	assert_dies_with_its_parent(CLONE_NEWPID); /* where it is nobody's child */
}

/* ---- claims: a root of its own ---- */

/* What a shell needs. */
#define SHELL_PLACES                                                                                           \
	{ "/usr", JAIL_PLACE_FILE, false }, { "/lib", JAIL_PLACE_TOP, true },                                  \
		{ "/lib64", JAIL_PLACE_TOP, true }, { "/bin", JAIL_PLACE_TOP, false }

static char *own_mounts(void)
{
	char *text = NULL;

	assert_true(io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &text, NULL) >= 0);
	return text;
}

static void program_sees_the_places_listed_and_nothing_else(void **state)
{
	char dir[] = "/tmp/jail-XXXXXX", file[64], script[512], want[512], *text, *before = own_mounts(), *after;
	const struct jail_place places[] = {
		SHELL_PLACES,
		{ "/no/such/place", JAIL_PLACE_FILE, true },
		{ NULL, JAIL_PLACE_FILE, false },
		{ "/dev/null", JAIL_PLACE_DEVICE, false },
		{ "/proc", JAIL_PLACE_PROC, false },
		{ file, JAIL_PLACE_FILE, false },
		{ "/usr/bin/env", JAIL_PLACE_FILE, false }, /* is there already */
	};
	struct jail jail = plain;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/shown", dir);
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "seen\n", 5), 5);
	close(fd);
	jail.unshare_flags = CLONE_NEWPID;
	jail.places = places;
	jail.n_places = ARRAY_SIZE(places);
	snprintf(script, sizeof(script),
		 "cd /; echo [!l]*; echo dev/* tmp/*/*; cat %s; echo x >/dev/null && echo $$; cd /proc; echo [!0-9]*; echo [0-9]*;"
		 "for f in /x /usr/x /dev/x %s; do { echo x >$f; } 2>/dev/null && echo $f; done; ls /usr/bin/env", file, file);
	text = told_by(&jail, script);
	snprintf(want, sizeof(want),
		 "bin dev proc tmp usr\ndev/null tmp/%s/shown\nseen\n1\nself thread-self\n1\n/usr/bin/env\n", dir + 5);
	assert_string_equal(text, want);
	free(text);
	after = own_mounts();
	assert_string_equal(after, before);
	free(before);
	free(after);
	assert_int_equal(unlink(file), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void a_link_that_leads_out_of_the_root_leads_nowhere(void **state)
{
	char dir[] = "/tmp/jail-XXXXXX", link[64], *text;
	const struct jail_place places[] = { SHELL_PLACES, { link, JAIL_PLACE_FILE, false } };
	struct jail jail = plain;

	assert_non_null(mkdtemp(dir));
	snprintf(link, sizeof(link), "%s/link", dir);
	assert_int_equal(symlink("/etc/hostname", link), 0);
	jail.places = places;
	jail.n_places = ARRAY_SIZE(places);
	text = told_by(&jail, "exec 2>&-; ls /tmp/*/; ls /etc; ls -d /proc /root /home /../../root; :");
	assert_string_equal(text, "link\n"); /* what it leads to, as a file of this name */
	free(text);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- claims: failures ---- */

static void assert_fails(const struct jail *jail, int code, const char *words)
{
	struct err err = ERR_INIT;
	pid_t pid = -2;

	assert_int_equal(jail_spawn(jail, &pid, &err), code);
	assert_int_equal(err.code, code);
	assert_int_equal(pid, -2);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void program_that_cannot_be_executed_is_named(void **state)
{
	char *const argv[] = { (char *)"x", NULL };
	struct jail jail = { .argv = argv, .stderr_fd = -1 };
	char path[] = "/tmp/jail-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	jail.path = "/no/such/program";
	assert_fails(&jail, -ENOENT, "'/no/such/program'");
	jail.path = path;
	assert_fails(&jail, -EACCES, path); /* mode 0600 */
	assert_int_equal(write(fd, "text\n", 5), 5);
	assert_int_equal(fchmod(fd, 0700), 0);
	close(fd);
	assert_fails(&jail, -ENOEXEC, path);
	unlink(path);
}

static void step_that_fails_is_named_and_nothing_is_started(void **state)
{
	char dir[] = "/tmp/jail-XXXXXX", script[64];
	char *const argv[] = { (char *)"sh", (char *)"-c", script, NULL };
	struct jail jail = { .path = SHELL, .argv = argv, .stderr_fd = -1 };
	const struct jail_place missing[] = { SHELL_PLACES, { "/no/such/place", JAIL_PLACE_FILE, false } };
	const int no_fd = 1 << 20;

	assert_non_null(mkdtemp(dir));
	snprintf(script, sizeof(script), "echo >%s/file", dir);
	jail.unshare_flags = 1; /* no flag of unshare */
	assert_fails(&jail, -EINVAL, "enter namespaces");
	jail.unshare_flags = 0;
	jail.fds = &no_fd;
	jail.n_fds = 1;
	assert_fails(&jail, -EBADF, "arrange descriptors");
	jail.fds = NULL;
	jail.n_fds = 0;
	jail.places = missing;
	jail.n_places = ARRAY_SIZE(missing);
	assert_fails(&jail, -ENOENT, "make its root: show it '/no/such/place'");
	assert_int_equal(rmdir(dir), 0); /* it is empty */
}

static void another_user_with_capabilities_is_refused(void **state)
{
	char *const argv[] = { (char *)"true", NULL };
	struct jail jail = { .path = "/bin/true", .argv = argv, .stderr_fd = -1, .user = 1, .keep_caps = 1 };

	assert_fails(&jail, -EINVAL, "keeps no capabilities");
}

static void too_many_descriptors_are_refused(void **state)
{
	char *const argv[] = { (char *)"true", NULL };
	struct jail jail = { .path = "/bin/true", .argv = argv, .stderr_fd = -1 };
	int fds[JAIL_FDS_MAX + 1] = { 0 };

	jail.fds = fds;
	jail.n_fds = ARRAY_SIZE(fds);
	assert_fails(&jail, -EINVAL, "17 descriptors");
}

static void lack_of_descriptors_is_told(void **state)
{
	char *const argv[] = { (char *)"true", NULL };
	struct jail jail = { .path = "/bin/true", .argv = argv, .stderr_fd = -1 };
	struct rlimit before, none;
	struct err err = ERR_INIT;
	pid_t pid;
	int r;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = jail_spawn(&jail, &pid, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(r, -EMFILE);
	assert_non_null(strstr(err.text, "pipe"));
}

/* Exit status of a child without privileges: 0 as claimed. No cmocka there: it would go on with the tests. */
static int unprivileged_child(void)
{
	char *const argv[] = { (char *)"true", NULL };
	struct jail jail = { .path = "/bin/true", .argv = argv, .stderr_fd = -1 };
	const struct rlimit none = { 0 };
	struct err err = ERR_INIT;
	pid_t pid;

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 10;
	jail.unshare_flags = CLONE_NEWNET;
	if (jail_spawn(&jail, &pid, &err) != -EPERM || !strstr(err.text, "enter namespaces"))
		return 11;
	jail.unshare_flags = 0;
	if (jail_spawn(&jail, &pid, &err) != -EPERM || !strstr(err.text, "bounding set"))
		return 12;
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return 13;
	if (setrlimit(RLIMIT_NPROC, &none) < 0 || jail_spawn(&jail, &pid, &err) != -EAGAIN)
		return 14;
	return strstr(err.text, "fork") ? 0 : 15;
}

static void caller_without_privileges_is_told_which_step(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(unprivileged_child());
	status = wait_status(pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(program_has_no_capabilities_and_cannot_gain_any),
		leak_checked(capabilities_asked_for_stay_and_no_other),
		leak_checked(program_has_the_user_asked_for_and_nothing_of_the_callers),
		leak_checked(system_calls_are_filtered_if_asked_for),
		leak_checked(ambient_capabilities_of_the_caller_do_not_pass),
		leak_checked(signals_are_as_at_the_start_of_a_process),
		leak_checked(no_descriptor_but_those_listed_passes),
		leak_checked(descriptors_arrive_in_order_whatever_their_numbers_were),
		leak_checked(stdio_is_null_but_for_the_stderr_asked_for),
		leak_checked(namespaces_asked_for_are_new_and_the_network_is_empty),
		leak_checked(environment_of_the_caller_does_not_pass),
		leak_checked(session_folder_and_umask_are_its_own),
		leak_checked(limits_are_lowered_and_never_raised),
		leak_checked(program_dies_with_its_parent),
		leak_checked(program_sees_the_places_listed_and_nothing_else),
		leak_checked(a_link_that_leads_out_of_the_root_leads_nowhere),
		leak_checked(program_that_cannot_be_executed_is_named),
		leak_checked(step_that_fails_is_named_and_nothing_is_started),
		leak_checked(another_user_with_capabilities_is_refused),
		leak_checked(too_many_descriptors_are_refused),
		leak_checked(lack_of_descriptors_is_told),
		leak_checked(caller_without_privileges_is_told_which_step),
	};

	return cmocka_run_group_tests_name("jail", tests, NULL, NULL);
}
