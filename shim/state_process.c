/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "common/io.h"
#include "shim/state.h"

#define PROC_STAT_BYTES_MAX 4096

/*
 * Field 22 of /proc/<pid>/stat, counted behind the name, which may hold spaces and parentheses: it
 * is the 20th of those.
 */
#define STAT_STATE_AFTER_NAME 1
#define STAT_FLAGS_AFTER_NAME 7 /* field 9 */
#define STAT_START_TIME_AFTER_NAME 20

/* PF_EXITING of the kernel's flags: set before the first of its descriptors is closed, and never unset. */
#define FLAG_EXITING 0x4

struct process_stat {
	char state;
	uint64_t flags, start_time;
};

static int read_stat(pid_t pid, struct process_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *field, *rest;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = io_read_file(AT_FDCWD, path, PROC_STAT_BYTES_MAX, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	rest = strrchr(text, ')');
	if (!rest)
		return -EBADMSG;
	rest++;
	/* Piece 0 is the empty one before the blank that follows the name. */
	for (int i = 0; (field = strsep(&rest, " ")); i++) {
		r = 0;
		if (i == STAT_STATE_AFTER_NAME)
			ret->state = field[0];
		else if (i == STAT_FLAGS_AFTER_NAME)
			r = io_parse_u64(field, UINT64_MAX, &ret->flags);
		else if (i == STAT_START_TIME_AFTER_NAME)
			return io_parse_u64(field, UINT64_MAX, &ret->start_time);
		if (r < 0)
			return r;
	}
	return -EBADMSG;
}

int process_id_of(pid_t pid, struct process_id *ret)
{
	struct process_stat stat;
	int r;

	if (pid <= 0)
		return -ESRCH;
	r = read_stat(pid, &stat);
	if (r < 0)
		return r;
	*ret = (struct process_id){ .pid = pid, .start_time = stat.start_time };
	return 0;
}

/* Whether it is in the process table, and no zombie. */
static bool is_there(const struct process_id *p, struct process_stat *stat)
{
	return p->pid > 0 && read_stat(p->pid, stat) == 0 && stat->start_time == p->start_time &&
	       stat->state != 'Z' && stat->state != 'X';
}

bool process_id_alive(const struct process_id *p)
{
	struct process_stat stat;

	return is_there(p, &stat) && !(stat.flags & FLAG_EXITING);
}

/* A pidfd of it. -ESRCH: it is gone. */
static int open_pidfd(const struct process_id *p)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct process_stat stat;

	if (p->pid <= 0)
		return -ESRCH;
	pidfd = pidfd_open(p->pid, 0);
	if (pidfd < 0)
		return -errno;
	/* Only now is it certain whom the descriptor means. */
	return is_there(p, &stat) ? TAKE_FD(pidfd) : -ESRCH;
}

static int wait_end(int pidfd, uint64_t timeout_ms)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int n;

	do {
		n = poll(&poll_fd, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}

int process_id_wait(const struct process_id *p, uint64_t timeout_ms)
{
	_cleanup_close_ int pidfd = open_pidfd(p);

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	return wait_end(pidfd, timeout_ms);
}

int process_id_kill(const struct process_id *p, uint64_t timeout_ms)
{
	_cleanup_close_ int pidfd = open_pidfd(p);

	if (pidfd < 0)
		return pidfd == -ESRCH ? 0 : pidfd;
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	return wait_end(pidfd, timeout_ms);
}
