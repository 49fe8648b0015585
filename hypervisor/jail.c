/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The child walks the table "steps" and calls exec. A close-on-exec pipe tells the parent how it
 * went: end of file is success, a struct report is the step that failed. Between fork and exec only
 * system calls are made (no allocation, no stdio), since the state of libc's locks is whatever it
 * was in the parent.
 *
 * Order of the steps, and what would go wrong otherwise:
 *   descriptors    first, so that nothing later can leak one
 *   namespaces     need CAP_SYS_ADMIN: before capabilities; and so does the root
 *   capabilities   bounding set needs CAP_SETPCAP: before the permitted set goes
 *   user           needs capabilities, and ends with none of the permitted set: between the two
 *   no_new_privs   any time before exec
 *   parent         late: changing credentials clears PDEATHSIG. A parent that died before has closed
 *                  its end of the report pipe (in a new PID namespace getppid tells nothing).
 *   filter         last: after it there is execve, and write to say that it failed
 */
#include "hypervisor/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/io.h"
#include "common/loop.h"

/* Highest capability number asked about; the kernel says EINVAL after its last one. */
#define CAPABILITY_MAX 63

struct child {
	const struct jail *jail;
	int report_fd;
	size_t place; /* of the root, that could not be shown */
};

struct report {
	uint32_t step; /* index into steps; their number: exec itself */
	int32_t code;
	uint64_t place; /* jail.places[]; their number: none of them */
};

static int step_signals(struct child *c)
{
	loop_child_reset();
	return 0;
}

/*
 * Listed descriptors go to 3, 4, …; behind them stderr and the report pipe; the rest is closed.
 * Only then may 0, 1 and 2 be overwritten, since the caller's own may have been any of these
 * numbers.
 */
static int step_descriptors(struct child *c)
{
	const struct jail *j = c->jail;
	int all[JAIL_FDS_MAX + 2], end = JAIL_FD_FIRST + (int)j->n_fds, r, null, words;
	size_t n = j->n_fds;

	for (size_t i = 0; i < j->n_fds; i++)
		all[i] = j->fds[i];
	all[n++] = c->report_fd;
	if (j->stderr_fd >= 0)
		all[n++] = j->stderr_fd;
	r = fd_move_to(all, n, JAIL_FD_FIRST);
	if (r < 0)
		return r;
	c->report_fd = end;
	if (fcntl(end, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	r = fd_close_from(JAIL_FD_FIRST + (int)n, NULL, 0);
	if (r < 0)
		return r;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
		return -errno;
	words = j->stderr_fd >= 0 ? end + 1 : null;
	if (dup2(words, 2) < 0 || (j->stdout_too && dup2(words, 1) < 0))
		return -errno;
	return fd_close_from(end + 1, NULL, 0);
}

static int step_namespaces(struct child *c)
{
	int flags = c->jail->unshare_flags & ~CLONE_NEWPID; /* that one was clone's */

	if (c->jail->places)
		flags |= CLONE_NEWNS;
	return flags != 0 && unshare(flags) < 0 ? -errno : 0;
}

static int step_root(struct child *c)
{
	if (!c->jail->places)
		return 0;
	return jail_root_enter(c->jail->places, c->jail->n_places, &c->place);
}

/* Soft and hard limit become @max, or stay at a hard limit below it. */
static int lower_limit(int resource, uint64_t max)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return -errno;
	if (limit.rlim_max > max)
		limit.rlim_max = max;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int step_limits(struct child *c)
{
	int r = lower_limit(RLIMIT_CORE, 0); /* a core holds the guest's memory */

	if (r < 0)
		return r;
	if (c->jail->nofile_max != 0)
		r = lower_limit(RLIMIT_NOFILE, c->jail->nofile_max);
	return r < 0 ? r : lower_limit(RLIMIT_MEMLOCK, c->jail->memlock_max_bytes);
}

static int step_session(struct child *c)
{
	/* A terminal's signals are for the monitor to handle. */
	if (setsid() < 0 || chdir("/") < 0)
		return -errno;
	umask(0077);
	return 0;
}

/* Here, while the right to do it is there. */
static int step_secure_bits(struct child *c)
{
	const unsigned long bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED;

	if (!c->jail->caps_of_any_uid)
		return 0;
	return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

static int step_bounding_set(struct child *c)
{
	for (unsigned long cap = 0; cap <= CAPABILITY_MAX; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			return errno == EINVAL ? 0 : -errno;
		if (!has || ((c->jail->keep_caps >> cap) & 1))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

/* System calls: libc's functions of these names would signal threads, of which there are none. */
static int step_user(struct child *c)
{
	uint32_t id = c->jail->user;

	if (id == 0)
		return 0;
	if (syscall(SYS_setgroups, c->jail->with_group ? 1 : 0, &c->jail->group) < 0 || syscall(SYS_setresgid, id, id, id) < 0 ||
	    syscall(SYS_setresuid, id, id, id) < 0)
		return -errno;
	return 0;
}

static int step_capabilities(struct child *c)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(c->jail->keep_caps >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int step_no_new_privs(struct child *c)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int step_parent(struct child *c)
{
	struct pollfd pipe_end = { .fd = c->report_fd }; /* POLLERR: nobody reads it */

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return poll(&pipe_end, 1, 0) == 0 ? 0 : -ESRCH;
}

static int step_filter(struct child *c)
{
	const struct filter *f = c->jail->filter;
	struct sock_fprog program;

	if (!f)
		return 0;
	program = (struct sock_fprog){ .len = f->n, .filter = (struct sock_filter *)f->insns };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

static const struct {
	const char *name;
	int (*run)(struct child *c);
} steps[] = {
	{ "reset signals", step_signals },
	{ "arrange descriptors", step_descriptors },
	{ "enter namespaces", step_namespaces },
	{ "make its root", step_root },
	{ "set resource limits", step_limits },
	{ "start a session", step_session },
	{ "set the secure bits", step_secure_bits },
	{ "drop the bounding set", step_bounding_set },
	{ "change to its user", step_user },
	{ "drop capabilities", step_capabilities },
	{ "set no_new_privs", step_no_new_privs },
	{ "tie to the parent", step_parent },
	{ "filter its system calls", step_filter },
};

static void __attribute__((noreturn)) run_child(struct child *c)
{
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C";
	char *const environment[] = { path, locale, NULL };
	struct report report = { .place = c->jail->n_places };

	c->place = c->jail->n_places;
	for (; report.step < ARRAY_SIZE(steps); report.step++) {
		report.code = steps[report.step].run(c);
		if (report.code < 0)
			break;
	}
	if (report.code == 0) {
		execve(c->jail->path, c->jail->argv, environment);
		report.code = -errno;
	}
	report.place = c->place;
	io_write_all(c->report_fd, &report, sizeof(report));
	_exit(127);
}

/* Read how it went; reap the child if it did not go well. */
static int await_exec(const struct jail *jail, int fd, pid_t pid, struct err *err)
{
	struct report report;
	ssize_t n = io_read_full(fd, &report, sizeof(report));
	int code;

	if (n == 0)
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	code = n == (ssize_t)sizeof(report) && report.code < 0 ? report.code : -EPROTO;
	if (n == (ssize_t)sizeof(report) && report.step < ARRAY_SIZE(steps) && report.place < jail->n_places)
		return err_set_errno(err, code, "start '%s': %s: show it '%s'", jail->path,
				     steps[report.step].name, jail->places[report.place].path);
	if (n == (ssize_t)sizeof(report) && report.step < ARRAY_SIZE(steps))
		return err_set_errno(err, code, "start '%s': %s", jail->path,
				     steps[report.step].name);
	return err_set_errno(err, code, "start '%s'", jail->path);
}

/* fork, but that the child is born in a new PID namespace: unshare would put the caller's later children there. */
static pid_t fork_into(int flags)
{
	if (!(flags & CLONE_NEWPID))
		return fork();
	return (pid_t)syscall(SYS_clone, SIGCHLD | CLONE_NEWPID, NULL, NULL, NULL, NULL);
}

int jail_spawn(const struct jail *jail, pid_t *ret_pid, struct err *err)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct child child = { .jail = jail };
	int fds[2], r;
	pid_t pid;

	if (jail->n_fds > JAIL_FDS_MAX)
		return err_set(err, -EINVAL, "start '%s': %zu descriptors are too many", jail->path,
			       jail->n_fds);
	if (jail->user != 0 && jail->keep_caps != 0)
		return err_set(err, -EINVAL, "start '%s': another user keeps no capabilities", jail->path);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "start '%s': pipe", jail->path);
	in = fds[0];
	out = fds[1];
	child.report_fd = out;
	pid = fork_into(jail->unshare_flags);
	if (pid < 0)
		return err_set_errno(err, -errno, "start '%s': fork", jail->path);
	if (pid == 0)
		run_child(&child);
	close(TAKE_FD(out));
	r = await_exec(jail, in, pid, err);
	if (r == 0)
		*ret_pid = pid;
	return r;
}
