/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/ttrpc.h"

static int make_raw(int fd)
{
	struct termios mode;

	if (tcgetattr(fd, &mode) < 0)
		return -errno;
	cfmakeraw(&mode);
	return tcsetattr(fd, TCSANOW, &mode) < 0 ? -errno : 0;
}

static int set_size(int fd, const struct console_size *size)
{
	struct winsize ws = { .ws_row = size->rows, .ws_col = size->columns };

	return ioctl(fd, TIOCSWINSZ, &ws) < 0 ? -errno : 0;
}

int console_get_size(int fd, struct console_size *ret)
{
	struct winsize ws;

	if (ioctl(fd, TIOCGWINSZ, &ws) < 0)
		return -errno;
	ret->columns = ws.ws_col;
	ret->rows = ws.ws_row;
	return 0;
}

int console_open_pty(const struct console_size *size, int *ret_master, int *ret_slave,
		     char ret_name[CONSOLE_NAME_MAX], struct err *err)
{
	_cleanup_close_ int master = -EBADF, slave = -EBADF;
	int r;

	master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return err_set_errno(err, -errno, "open '/dev/ptmx'");
	if (unlockpt(master) < 0 || ptsname_r(master, ret_name, CONSOLE_NAME_MAX) != 0)
		return err_set_errno(err, -errno, "new terminal");
	/* By descriptor: the name may mean another terminal in this mount namespace. */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set_errno(err, -errno, "open terminal '%s'", ret_name);
	r = make_raw(slave);
	if (r == 0 && size->columns && size->rows)
		r = set_size(slave, size);
	if (r < 0)
		return err_set_errno(err, r, "set up terminal '%s'", ret_name);
	*ret_master = TAKE_FD(master);
	*ret_slave = TAKE_FD(slave);
	return 0;
}

int console_send_master(const char *path, const char *name, int master, struct err *err)
{
	_cleanup_close_ int sock = -EBADF;
	int r;

	r = ttrpc_connect_unix(path, &sock, err);
	if (r < 0)
		return err_prefix(err, "console socket"), r;
	r = fd_send(sock, name, strlen(name), &master, 1);
	return r < 0 ? err_set_errno(err, r, "console socket '%s'", path) : 0;
}

int console_make_controlling(int slave, struct err *err)
{
	/*
	 * EPERM: leader of its session already; then it must not have a terminal yet, or TIOCSCTTY
	 * fails.
	 */
	if (setsid() < 0 && errno != EPERM)
		return err_set_errno(err, -errno, "new session");
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return err_set_errno(err, -errno, "make the terminal the controlling one");
	return 0;
}

static int find_terminal(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int console_raw_enter(struct console_raw *raw, struct err *err)
{
	_cleanup_close_ int fd = find_terminal();
	int r;

	if (fd < 0)
		return err_set(err, -ENOTTY,
			       "process.terminal is set, but the caller has no terminal");
	if (tcgetattr(fd, &raw->saved) < 0)
		return err_set_errno(err, -errno, "terminal");
	r = make_raw(fd);
	if (r < 0)
		return err_set_errno(err, r, "make the terminal raw");
	raw->fd = TAKE_FD(fd);
	return 0;
}

void console_raw_leave(struct console_raw *raw)
{
	if (raw->fd < 0)
		return;
	tcsetattr(raw->fd, TCSANOW, &raw->saved);
	close(raw->fd);
	raw->fd = -EBADF;
}
