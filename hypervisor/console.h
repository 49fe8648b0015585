/* SPDX-License-Identifier: Apache-2.0 */
/*
 * console.h - what a guest's console or a program's stderr says, kept in a file of bounded size
 *
 * Shape:    reads a pipe or stream socket on the loop; the file keeps the beginning and the end of
 *           the text, in order, with one line in between that says that something was left out.
 * Peer:     the guest: any bytes, at any rate, without end.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_HYPERVISOR_CONSOLE_H
#define ONGGI_HYPERVISOR_CONSOLE_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/loop.h"

/* The file is never longer than its limit, and limits are at least this. */
#define CONSOLE_BYTES_MIN (16u << 10)
#define CONSOLE_BYTES_MAX (256u << 10)

struct console;

/*
 * @fd         to read, set non-blocking; taken over on success
 * @dirfd      folder of the log, one that nobody else can write
 * @name       file name, replaced if it exists, mode 0600
 * @max_bytes  CONSOLE_BYTES_MIN to CONSOLE_BYTES_MAX; a quarter keeps the beginning, the rest the
 *             end
 *
 * Returns 0, -EINVAL, -ENOMEM, errnos of openat(2).
 */
int console_create(struct loop *loop, int fd, int dirfd, const char *name, size_t max_bytes,
		   struct console **ret);
void console_destroy(struct console *console);
DEFINE_CLEANUP(struct console *, console_destroy);

/* Take in what can be read without waiting, at most twice the limit: the writer has ended. */
void console_drain(struct console *console);

/*
 * The last lines as text that a terminal survives: bytes other than printable ASCII and newlines
 * become '?' (tabs become blanks, carriage returns vanish).
 *
 * @buf  gets at most @size - 1 bytes and a NUL
 *
 * Returns the length without the NUL.
 */
size_t console_tail(struct console *console, char *buf, size_t size);

/* The same for bytes in memory: @data is cleaned in place. Returns the new length. */
size_t console_clean(char *data, size_t len);

#endif
