/* SPDX-License-Identifier: Apache-2.0 */
/* A proxy in a process of its own, which tells over a pipe whether it has come up. */
#include "shim/runtime/proxy_internal.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/log.h"
#include "shim/runtime/title.h"
#include "shim/runtime/view.h"

/* What the child tells: the code, then its reason. */
struct proxy_report {
	int code; /* 0 or a negative errno */
	char text[ERR_TEXT_MAX];
};

static int report_and_close(int fd, int code, const struct err *err)
{
	struct proxy_report report = { .code = code };
	int r;

	snprintf(report.text, sizeof(report.text), "%s", err->text);
	r = io_write_all(fd, &report, sizeof(report));
	close(fd);
	return r;
}

/*
 * The last path was resolved: from here on "/" is what the guest can write. FIFOs go with the container's
 * folder.
 */
static int enter_view(struct proxy *p, const struct proxy_config *c, struct err *err)
{
	if (!c->spec)
		return 0;
	proxy_forget_fifos(p);
	return view_enter(c->spec, c->bundle, err);
}

/*
 * Engines leak descriptors into us, and wait for the end of pipes that they hand to the container:
 * the child keeps none but its own. Numbers 0 to 2 become /dev/null once the relay has its copies.
 */
static _Noreturn void child_main(const struct proxy_config *config, int report_fd)
{
	const int keep[] = { report_fd, config->netns_fd };
	struct err err = ERR_INIT;
	struct proxy *p = NULL;
	int r, code;

	fd_close_from(STDERR_FILENO + 1, keep, config->netns_fd >= 0 ? 2 : 1);
	log_setup(-1, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR, "proxy");
	/* Only for people: a kernel that cannot do it is no reason to fail. */
	if (config->args)
		title_set(PROXY_TITLE, config->args, NULL);
	r = proxy_open_for(report_fd, config, &p, &err);
	if (config->netns_fd >= 0)
		close(config->netns_fd);
	if (r == 0 && chdir("/") < 0)
		r = err_set_errno(&err, -errno, "chdir to '/'");
	if (r == 0)
		r = fd_null_stdio();
	if (r == 0)
		r = enter_view(p, config, &err);
	if (r == 0 && config->start)
		r = proxy_start(p, &err);
	/* Without a parent nobody would ever learn of us. */
	if (report_and_close(report_fd, r, &err) < 0 && r == 0) {
		proxy_abandon(p);
		r = -EPIPE;
	}
	if (r < 0) {
		proxy_close(p);
		_exit(EXIT_FAILURE);
	}
	/* An engine need not wait for that; of a first process it is the cgroup that it was born in. */
	if (config->cgroup)
		hostcgroup_enter(config->cgroup, NULL);
	/* The parser's leavings came along with the fork. */
	malloc_trim(0);
	code = proxy_wait(p, NULL);
	if (config->exec_id)
		proxy_delete(p, NULL);
	proxy_close(p);
	_exit(code);
}

/*
 * Until the child reports, or a signal comes that the caller has blocked for that. One that is not
 * blocked has ended us.
 */
static int wait_for_report(int fd, struct err *err)
{
	_cleanup_close_ int signal_fd = -EBADF;
	struct signalfd_siginfo info;
	struct pollfd fds[2];
	sigset_t set;
	int n;

	proxy_interrupting_signals(&set);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		return err_set_errno(err, -errno, "signals");
	fds[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = signal_fd, .events = POLLIN };
	do
		n = poll(fds, ARRAY_SIZE(fds), -1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set_errno(err, -errno, "poll");
	if (fds[0].revents || read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	return err_set(err, -EINTR, "interrupted by signal %d", (int)info.ssi_signo);
}

static int read_report(int fd, struct err *err)
{
	struct proxy_report report = { 0 };
	ssize_t n;
	int r;

	r = wait_for_report(fd, err);
	if (r < 0)
		return r;
	n = io_read_full(fd, &report, sizeof(report));
	if (n != (ssize_t)sizeof(report))
		return err_set(err, -EPIPE,
			       "the proxy process died before the container was created");
	report.text[sizeof(report.text) - 1] = '\0';
	return report.code < 0 ? err_set(err, report.code, "%s", report.text) : 0;
}

/*
 * fork, for a container's first process into a PID namespace of its own: then the /proc of its view shows
 * nothing of the host. Children of the caller's that come later stay in the caller's.
 */
static pid_t fork_proxy(bool own_pidns)
{
	_cleanup_close_ int pidns = -EBADF;
	pid_t pid;
	int r;

	if (!own_pidns)
		return fork();
	pidns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (pidns < 0 || unshare(CLONE_NEWPID) < 0)
		return -1;
	pid = fork();
	r = errno;
	if (pid != 0 && setns(pidns, CLONE_NEWPID) < 0)
		abort(); /* whatever is forked next would end with the proxy */
	errno = r;
	return pid;
}

int proxy_fork(const struct proxy_config *config, pid_t *ret_pid, struct err *err)
{
	int pipe_fds[2];
	pid_t pid;
	int r;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe");
	fflush(NULL);
	pid = fork_proxy(config->spec != NULL);
	if (pid == 0) {
		close(pipe_fds[0]);
		child_main(config, pipe_fds[1]);
	}
	r = -errno;
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return err_set_errno(err, r, "fork the proxy");
	}
	r = read_report(pipe_fds[0], err);
	close(pipe_fds[0]);
	if (r < 0) {
		/* It has ended by itself unless we were interrupted. */
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return r;
	}
	*ret_pid = pid;
	return 0;
}
