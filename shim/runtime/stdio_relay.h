/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stdio_relay.h - the bytes between a proxy's own stdin, stdout, stderr and the FIFOs of the
 * monitor
 *
 * Shape:    three pumps in the proxy's loop, each with one buffer of STDIO_RELAY_BUFFER_BYTES; no
 *           byte is read before the ones before it were taken.
 * Blocking: nothing here blocks the loop (signals must be forwarded while a reader is stuck), and
 *           O_NONBLOCK is never set on a description shared with the engine.
 * End:      an output ends when its FIFO has ended and its last byte was written, or when its
 *           reader is gone; then our copies of both descriptors are closed, because engines wait
 *           for that.
 * Refusals: bytes that the engine's end does not take for another reason than that (no room on a
 *           disk) are dropped and counted, and the stream goes on.
 */
#ifndef ONGGI_SHIM_RUNTIME_STDIO_RELAY_H
#define ONGGI_SHIM_RUNTIME_STDIO_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/loop.h"

#define STDIO_RELAY_BUFFER_BYTES 32768

enum stdio_relay_stream { STDIO_RELAY_IN, STDIO_RELAY_OUT, STDIO_RELAY_ERR, STDIO_RELAY_STREAMS };

struct stdio_relay;

struct stdio_relay_ops {
	/* stdin has ended and all of it is in the FIFO, or nobody reads it any more. Once. */
	void (*input_ended)(void *userdata);
	/* Both outputs have ended. Once. */
	void (*outputs_ended)(void *userdata);
};

/* @ops, @userdata: borrowed for the relay's life. Returns 0 or -ENOMEM. */
int stdio_relay_create(struct loop *loop, const struct stdio_relay_ops *ops, void *userdata,
		       struct stdio_relay **ret);
/* Closes everything. No callback runs. */
void stdio_relay_destroy(struct stdio_relay *r);
DEFINE_CLEANUP(struct stdio_relay *, stdio_relay_destroy);

/*
 * Give one stream its two descriptors, both taken over in every case: the engine's (blocking or
 * not, of any kind) and the FIFO's, which must be non-blocking. A stream that never gets any has
 * ended. Before stdio_relay_start. -ENOMEM; errnos of fcntl(2).
 */
int stdio_relay_add(struct stdio_relay *r, enum stdio_relay_stream stream, int engine_fd,
		    int fifo_fd);

/* Begin to move bytes. Callbacks run from the loop only. -ENOMEM. */
int stdio_relay_start(struct stdio_relay *r);

/*
 * Whoever writes the outputs' FIFOs is finished: what is in them is all. Without this call a FIFO
 * that its writer never opened would not end.
 */
void stdio_relay_writer_gone(struct stdio_relay *r);

/*
 * Whether the engine's end of an output has refused bytes: 0, or the first errno (negative) with which
 * it did.
 *
 * @ret_bytes  how many bytes were dropped
 */
int stdio_relay_unwritten(const struct stdio_relay *r, enum stdio_relay_stream stream,
			  uint64_t *ret_bytes);

/*
 * Write a line behind the container's stderr, at most once, where stdout is a file or a device: what
 * can refuse bytes. Nothing when there is no stderr, or it takes nothing now. At most PIPE_BUF bytes;
 * never blocks.
 */
void stdio_relay_say(struct stdio_relay *r, const char *text);

#endif
