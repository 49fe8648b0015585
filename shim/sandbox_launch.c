/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_launch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/loop.h"
#include "common/path.h"
#include "common/ttrpc.h"
#include "shim/monitor.h"

/*
 * The engine's environment is none of the monitor's business, and it would show it to everybody who
 * may read /proc.
 */
static char *const monitor_environment[] = {
	(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
};

/* ---- folder and socket ---- */

/* By way of the descriptor: paths of sockets are short. */
static int listen_in(int dirfd, int *ret_fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/task.sock", dirfd);
	return ttrpc_listen_unix(path, ret_fd, NULL);
}

static int make_folder(int rootfd, const char *path, int *ret_listen_fd, struct err *err)
{
	_cleanup_close_ int dirfd = -EBADF;
	int r;

	if (mkdirat(rootfd, path, 0700) < 0)
		return err_set_errno(err, -errno, "folder '%s'", path);
	dirfd = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = dirfd < 0 ? -errno : listen_in(dirfd, ret_listen_fd);
	if (r < 0) {
		path_remove_tree(rootfd, path);
		return err_set_errno(err, r, "socket in folder '%s'", path);
	}
	return 0;
}

/* ---- the two children ---- */

/* Fds: see enum monitor_fd. Does not return. */
static void become_monitor(const int fds[MONITOR_FD_END - MONITOR_FD_LISTEN], char **argv)
{
	int r;

	loop_child_reset();
	if (setsid() < 0)
		_exit(1);
	r = fd_move_to(fds, MONITOR_FD_END - MONITOR_FD_LISTEN, MONITOR_FD_LISTEN);
	if (r >= 0)
		r = fd_close_from(MONITOR_FD_END, NULL, 0);
	if (r >= 0)
		r = fd_null_stdio();
	if (r >= 0) {
		execve("/proc/self/exe", argv, monitor_environment);
		r = -errno;
	}
	monitor_ready_send(MONITOR_FD_READY, r, "start of the sandbox monitor failed");
	_exit(1);
}

/* The child between ends at once: the monitor must not be a child that an engine would wait for. */
static int fork_monitor(const int fds[MONITOR_FD_END - MONITOR_FD_LISTEN], char **argv)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_monitor(fds, argv);
		_exit(pid < 0 ? 1 : 0);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EAGAIN;
}

static int start_monitor(const struct monitor_args *args, int listen_fd, int netns_fd,
			 int *ret_life_fd, struct err *err)
{
	_cleanup_close_ int ready_read = -EBADF, ready_write = -EBADF;
	int pipe_fds[2], r;
	char **argv;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "start the sandbox monitor");
	ready_read = pipe_fds[0];
	ready_write = pipe_fds[1];
	argv = monitor_argv(MONITOR_ROLE, args);
	if (!argv)
		return -ENOMEM;
	r = fork_monitor((const int[]){ listen_fd, ready_write, netns_fd }, argv);
	monitor_argv_free(argv);
	if (r < 0)
		return err_set_errno(err, r, "start the sandbox monitor");
	cleanup_close_p(&ready_write);
	r = monitor_ready_wait(ready_read, err);
	if (r >= 0)
		*ret_life_fd = TAKE_FD(ready_read);
	return r;
}

int sandbox_launch(int rootfd, const struct monitor_args *args, int netns_fd, int *ret_life_fd,
		   struct err *err)
{
	_cleanup_close_ int listen_fd = -EBADF;
	_cleanup_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "sandboxes/%s", args->id) < 0)
		return path = NULL, -ENOMEM;
	r = make_folder(rootfd, path, &listen_fd, err);
	if (r < 0)
		return r;
	r = start_monitor(args, listen_fd, netns_fd, ret_life_fd, err);
	if (r < 0)
		path_remove_tree(rootfd, path);
	return r;
}
