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
#define STAT_START_TIME_AFTER_NAME 20

static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_start_time)
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
	for (int i = 1; (field = strsep(&rest, " ")); i++) {
		/* The first piece is the empty one before the blank that follows the name. */
		if (i == 2)
			*ret_state = field[0];
		if (i == STAT_START_TIME_AFTER_NAME + 1)
			return io_parse_u64(field, UINT64_MAX, ret_start_time);
	}
	return -EBADMSG;
}

int process_id_of(pid_t pid, struct process_id *ret)
{
	uint64_t start_time;
	char state = '\0';
	int r;

	if (pid <= 0)
		return -ESRCH;
	r = read_stat(pid, &state, &start_time);
	if (r < 0)
		return r;
	*ret = (struct process_id){ .pid = pid, .start_time = start_time };
	return 0;
}

bool process_id_alive(const struct process_id *p)
{
	uint64_t start_time;
	char state = '\0';

	if (p->pid <= 0 || read_stat(p->pid, &state, &start_time) < 0)
		return false;
	return start_time == p->start_time && state != 'Z' && state != 'X';
}

int process_id_kill(const struct process_id *p, uint64_t timeout_ms)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct pollfd poll_fd;
	int n;

	if (p->pid <= 0)
		return 0;
	pidfd = pidfd_open(p->pid, 0);
	if (pidfd < 0)
		return errno == ESRCH ? 0 : -errno;
	/* Only now is it certain whom the descriptor means. */
	if (!process_id_alive(p))
		return 0;
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0)
		return errno == ESRCH ? 0 : -errno;
	poll_fd = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	do {
		n = poll(&poll_fd, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? -ETIMEDOUT : 0;
}
