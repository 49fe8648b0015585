/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/io.h"
#include "common/loop.h"

#define EXIT_NOT_RUN 127
#define MS_PER_S 1000

/* A descriptor at the start of @text. */
static int memory_file(const char *text)
{
	_cleanup_close_ int fd = memfd_create("hook", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = io_write_all(fd, text, strlen(text));
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int prepare_child(const struct hook_context *context, const int stdio[3])
{
	int r;

	loop_child_reset();
	/* A hook must not outlive whoever waits for it, who may be killed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (context->enter) {
		r = context->enter(context->userdata);
		if (r < 0)
			return r;
	}
	/* An engine may have removed the bundle by the time of poststop. */
	if (context->cwd && chdir(context->cwd) < 0 && chdir("/") < 0)
		return -errno;
	r = fd_move_to(stdio, 3, 0);
	return r < 0 ? r : fd_close_from(STDERR_FILENO + 1, NULL, 0);
}

static _Noreturn void child_main(const struct oci_hook *hook, const struct hook_context *context,
				 const int stdio[3])
{
	static char *const no_env[] = { NULL };
	char *const just_path[] = { hook->path, NULL };
	int r = prepare_child(context, stdio);

	if (r == 0) {
		execve(hook->path, hook->args ? hook->args : just_path,
		       hook->env ? hook->env : no_env);
		r = -errno;
	}
	/* By its old number, unless it has been moved and closed. */
	if (dprintf(stdio[2], "%s", strerror(-r)) < 0)
		dprintf(STDERR_FILENO, "%s", strerror(-r));
	_exit(EXIT_NOT_RUN);
}

/* Wait for the child, kill it when its time is over. Returns its status, or -ETIMEDOUT. */
static int wait_hook(pid_t pid, int timeout_s)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int timeout_ms = timeout_s <= 0                   ? -1
			 : timeout_s > INT_MAX / MS_PER_S ? INT_MAX
							  : timeout_s * MS_PER_S;
	int status = 0, n = 1;

	if (pidfd >= 0)
		do
			n = poll(&pfd, 1, timeout_ms);
		while (n < 0 && errno == EINTR);
	if (n == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return n == 0 ? -ETIMEDOUT : status;
}

static int explain(const struct oci_hook *hook, int status, int output_fd, struct err *err)
{
	char text[HOOK_OUTPUT_MAX] = "";
	ssize_t n;

	if (status == -ETIMEDOUT)
		return err_set(err, status, "hook '%s' did not end in %d s", hook->path,
			       hook->timeout_s);
	if (status == 0)
		return 0;
	n = pread(output_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "hook '%s' was killed by signal %d: %s", hook->path,
			       WTERMSIG(status), text);
	return err_set(err, -EIO, "hook '%s' failed with exit status %d: %s", hook->path,
		       WEXITSTATUS(status), text);
}

static int run_one(const struct oci_hook *hook, const struct hook_context *context, struct err *err)
{
	_cleanup_close_ int in = memory_file(context->state), out = memory_file("");
	const int stdio[3] = { in, out, out };
	pid_t pid;

	if (in < 0 || out < 0)
		return err_set_errno(err, in < 0 ? in : out, "hook '%s': memory file", hook->path);
	/* What is buffered would be written twice. */
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_main(hook, context, stdio);
	if (pid < 0)
		return err_set_errno(err, -errno, "fork for hook '%s'", hook->path);
	return explain(hook, wait_hook(pid, hook->timeout_s), out, err);
}

int hook_run_all(const struct oci_hook *hooks, size_t n, const char *kind,
		 const struct hook_context *context, struct err *err)
{
	int first = 0;

	for (size_t i = 0; i < n && (first == 0 || context->go_on); i++) {
		int r = run_one(&hooks[i], context, first ? NULL : err);

		if (r < 0 && first == 0) {
			first = r;
			err_prefix(err, "error running %s hook #%zu", kind, i);
		}
	}
	return first;
}
