/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio.h - the agent's ends of one process's input and output: three pipes, or a terminal
 *
 * Shape:    output is pulled: a read is answered when there is something, or when nothing will
 *           follow. Nothing is read ahead, so a host that does not ask stalls this process alone.
 * End:      a stream ends when every writer has closed it. It also ends when stdio_ended() was
 *           called and what the pipe held by then has been read: a background child that keeps the
 *           pipe open after the process has ended cannot hold the reader. Such a child's later
 *           output is lost.
 * Terminal: the agent keeps the slave open, so that a program which closes and reopens its terminal
 *           does not end the stream: it ends with the process.
 * Limits:   one read per stream and one write at a time, STDIO_CHUNK_MAX bytes each, of which
 *           STDIO_WRITE_COPY_MAX are kept for a reader that is not ready.
 * Process:  the agent, loop thread only. SIGPIPE must be ignored.
 * Errors:   negative errno: of pipe2(2), fcntl(2) where nothing else is said.
 */
#ifndef ONGGI_AGENT_STDIO_H
#define ONGGI_AGENT_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/setup.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define STDIO_CHUNK_MAX (1u << 20)
#define STDIO_WRITE_COPY_MAX (64u << 10)
/* Size asked for each output pipe, bytes: a burst is stored in one go. */
#define STDIO_PIPE_BYTES (1 << 20)

enum stdio_stream { STDIO_OUT = 1, STDIO_ERR = 2 };

struct stdio;

/* Without any stream. Returns 0 or -ENOMEM. */
int stdio_create(struct loop *loop, struct stdio **ret);
/*
 * Closes everything; a waiting read is told that nothing follows, a waiting write -ECANCELED. NULL
 * is allowed.
 */
void stdio_destroy(struct stdio *s);
DEFINE_CLEANUP(struct stdio *, stdio_destroy);

/* Make the pipes. Returns 0 or a negative errno. */
int stdio_open_pipes(struct stdio *s, struct err *err);
/* Use a terminal instead; both descriptors are taken over, on failure too. */
int stdio_open_terminal(struct stdio *s, int master, int slave, struct err *err);

/*
 * Use a connected stream socket, or one that is being connected: what comes is STDIO_OUT, the end
 * of the input is told to the peer. Taken over, on failure too.
 */
int stdio_open_socket(struct stdio *s, int fd, struct err *err);

/* What the new process is to be given, borrowed until stdio_spawned. */
void stdio_child_ends(const struct stdio *s, struct setup_stdio *ret);
/* The process has its descriptors: close the agent's copies. */
void stdio_spawned(struct stdio *s);
/* The process has ended (see End). Nothing is written to it any more. */
void stdio_ended(struct stdio *s);

/* @data is valid during the callback. @eof: nothing will follow. */
typedef void (*stdio_read_fn)(const void *data, size_t len, bool eof, void *userdata);
/*
 * Ask for at most @max bytes. @fn runs exactly once, perhaps before the return.
 * A terminal has no STDIO_ERR: answered with end of file.
 *
 * Returns 0 (then @fn has run or will run), -EBUSY another read of the stream is waiting, -ENOMEM,
 * -EINVAL @max is 0 or over STDIO_CHUNK_MAX.
 */
int stdio_read(struct stdio *s, enum stdio_stream stream, size_t max, stdio_read_fn fn, void *userdata);

/* @written >= 1 with @code 0; otherwise -EPIPE the reader is gone, -ECANCELED, another errno. */
typedef void (*stdio_write_fn)(int code, size_t written, void *userdata);
/*
 * Offer @len bytes. @fn runs exactly once, perhaps before the return, when at least one was taken.
 *
 * Returns 0, -EBUSY another write is waiting, -EPIPE closed by stdio_close_input or the process's
 * end,
 * -EINVAL @len is 0 or over STDIO_CHUNK_MAX, -ENOMEM.
 */
int stdio_write(struct stdio *s, const void *data, size_t len, stdio_write_fn fn, void *userdata);

/*
 * Close the process's input once a waiting write has gone through. A terminal has one line for both
 * directions: nothing is closed, its user ends the input with a control character.
 */
void stdio_close_input(struct stdio *s);

/*
 * Nobody will read @stream any more: close the agent's end of its pipe, so that the program's next
 * write gives SIGPIPE or EPIPE. What the pipe holds is dropped; a waiting read and all later ones
 * are told that nothing follows. May be called again. A terminal has one line for both directions:
 * nothing is closed.
 */
void stdio_close_output(struct stdio *s, enum stdio_stream stream);

/* Set the terminal's size in characters. Returns 0; -ENOTTY pipes; another errno. */
int stdio_resize(struct stdio *s, uint16_t columns, uint16_t rows);

#endif
