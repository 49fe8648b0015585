/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fd.h - file descriptors: flags, closing many, passing over sockets
 *
 * Errors:   negative errno.
 * Not here: reading and writing (io.h), resolving paths (path.h).
 */
#ifndef ONGGI_COMMON_FD_H
#define ONGGI_COMMON_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Most descriptors that fd_receive takes in one message. */
#define FD_PASS_MAX 16
/* Most descriptors that fd_move_to places. */
#define FD_MOVE_MAX 256

/* Set or clear the flag. Both return 0 or a negative errno of fcntl(2). */
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/*
 * Close every descriptor >= @from but those in @keep (sorted or not, @n_keep entries).
 * Uses close_range(2). Returns 0 or a negative errno.
 */
int fd_close_from(int from, const int *keep, size_t n_keep);

/*
 * Move the descriptors in @fds to @first, @first+1, … without CLOEXEC, closing nothing else;
 * entries may overlap the target range; at most FD_MOVE_MAX (-EINVAL beyond). For a child between
 * fork and exec. Returns 0 or a negative errno.
 */
int fd_move_to(const int *fds, size_t n, int first);

/*
 * Send @len (1 or more) bytes with @n_fds descriptors (SCM_RIGHTS) over the unix socket @sock.
 * Returns 0 or a negative errno.
 */
int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n_fds);

/*
 * Receive at most @len bytes and at most @max_fds (<= FD_PASS_MAX) descriptors, CLOEXEC.
 * More descriptors than that are closed and -E2BIG is returned.
 *
 * Returns the number of bytes (0 at end of file); *ret_n_fds is set on success.
 */
ssize_t fd_receive(int sock, void *data, size_t len, int *fds, size_t max_fds, size_t *ret_n_fds);

/* Replace stdin, stdout and stderr by /dev/null. Returns 0 or a negative errno. */
int fd_null_stdio(void);

#endif
