/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - terminals on the host: a pty for the engine, and the caller's own terminal
 *
 * Protocol: the engine listens on a unix stream socket, gets one message: the pty's name as data
 *           and its master as the only descriptor. Ours is the slave, raw, so that echo and line
 *           discipline happen once, in the guest.
 * Source:   conmon conn_sock.c, runc docs/terminals.md.
 */
#ifndef ONGGI_SHIM_RUNTIME_CONSOLE_H
#define ONGGI_SHIM_RUNTIME_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "common/err.h"

struct console_size {
	uint16_t columns, rows; /* 0, 0: unknown */
};

/*
 * Make a pty, its slave raw.
 * @ret_name  path of the slave for the message, at least 32 bytes
 * Returns 0 with two non-controlling descriptors, or a negative errno.
 */
#define CONSOLE_NAME_MAX 32
int console_open_pty(const struct console_size *size, int *ret_master, int *ret_slave,
		     char ret_name[CONSOLE_NAME_MAX], struct err *err);

/*
 * Send @master to who listens on @path. The caller keeps its descriptor. Errnos of connect(2),
 * sendmsg(2), with the path.
 */
int console_send_master(const char *path, const char *name, int master, struct err *err);

/*
 * Make @slave the controlling terminal of a new session of this process, so that resizing it is
 * told by SIGWINCH. Errnos of setsid(2), TIOCSCTTY.
 */
int console_make_controlling(int slave, struct err *err);

/* Size of the terminal @fd. Returns 0 or a negative errno: -ENOTTY it is none. */
int console_get_size(int fd, struct console_size *ret);

/* The caller's own terminal, switched to raw mode for a while. */
struct console_raw {
	int fd; /* -EBADF: nothing to restore */
	struct termios saved;
};

/*
 * Find the terminal among descriptors 0, 1 and 2, then /dev/tty, remember its mode and make it raw.
 * -ENOTTY: there is none.
 */
int console_raw_enter(struct console_raw *raw, struct err *err);
/* Idempotent. */
void console_raw_leave(struct console_raw *raw);

#endif
