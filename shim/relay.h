/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - the bytes between one guest process and the FIFOs that its engine (or proxy) reads and
 * writes
 *
 * Shape:    output is pulled: the guest is asked for bytes only when the FIFO has taken the ones
 *           before, so that a stuck reader holds up nothing but its own process. Input is pushed,
 *           one message in flight.
 * Peer:     guest: answers longer than asked are refused. Reader: may be slow for ever, may vanish,
 *           may come back.
 * Limits:   per output RELAY_CHUNK_BYTES + RELAY_LOW_WATER_BYTES, per input RELAY_INPUT_BYTES.
 * Process:  the sandbox monitor; loop thread only.
 * Order:    relay_create -> relay_start -> (relay_output, relay_input_taken) … ->
 *           relay_process_ended -> drained.
 * Source:   containerd's FIFO conventions: both ends are held open, so that a reader may go and
 *           return.
 * Not here: how bytes travel to the guest (proc_io.c gives the operations).
 */
#ifndef ONGGI_SHIM_RELAY_H
#define ONGGI_SHIM_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define RELAY_CHUNK_BYTES (256u << 10)
#define RELAY_LOW_WATER_BYTES (64u << 10)
#define RELAY_INPUT_BYTES (64u << 10)
/*
 * After the process's end: how long a reader that has vanished may take to come back for what is
 * left.
 */
#define RELAY_READER_RETURN_MS 10000
/*
 * After the process's end: silence of an output that something else in the guest holds open. The agent
 * says by itself when nothing is left, and may need seconds for it on a busy machine.
 */
#define RELAY_SILENCE_MS 10000

enum relay_stream { RELAY_STDIN, RELAY_STDOUT, RELAY_STDERR, RELAY_STREAMS };

struct relay;

struct relay_ops {
	/* Ask the guest for 1 to @max bytes of @stream; relay_output brings the answer, always. */
	void (*read)(enum relay_stream stream, uint32_t max, void *userdata);
	/*
	 * Give the guest input; borrowed until return. relay_input_taken brings the answer, always.
	 */
	void (*write)(const void *data, size_t len, void *userdata);
	/* Nothing more will come. */
	void (*close_input)(void *userdata);
	/*
	 * Nobody will ever read @stream again: the process is to learn it. Once for each stream;
	 * reads go on until the guest says that it has ended.
	 */
	void (*close_output)(enum relay_stream stream, void *userdata);
	/*
	 * All output has reached its reader, or cannot any more. Once. Must not destroy the stdio.
	 */
	void (*drained)(void *userdata);
};

struct relay_config {
	/*
	 * "" or NULL: no such stream. Else a FIFO, with or without "fifo://" before its absolute
	 * path.
	 */
	const char *paths[RELAY_STREAMS];
	bool terminal; /* stderr is not used */
	/*
	 * Open stdin by relay_start only: containerd's client ends its input as soon as somebody takes it, and forgets to
	 * say so while its Create or Exec has not been answered.
	 */
	bool late_input;
	/* For "file://" and "binary://" in the place of FIFOs (relay_logger.h); NULL: those are refused. */
	const struct relay_logger_place *logger;
};

/*
 * Open the FIFOs. @config is borrowed during the call, @ops for the stdio's life.
 * Returns 0; -ENOENT and other errnos of open(2), -EINVAL no FIFO, -EOPNOTSUPP another URI scheme;
 * the message names the path.
 */
int relay_create(struct loop *loop, const struct relay_config *config, const struct relay_ops *ops,
		 void *userdata, struct relay **ret, struct err *err);
/* Closes everything; no callback runs. NULL allowed. */
void relay_destroy(struct relay *io);
DEFINE_CLEANUP(struct relay *, relay_destroy);

/*
 * Who reads now is the only one who ever will: when he closes an output, the guest is told
 * (ops.close_output) and the rest is dropped, instead of being kept for a reader who returns.
 * Without it the process would block for ever on a closed pipe.
 */
void relay_set_owned(struct relay *io);

/* The process runs: begin to move bytes. */
void relay_start(struct relay *io);

/*
 * Answer to ops.read. @eof: nothing will follow (also when the guest is gone).
 * Returns 0, or -EPROTO when there is more than was asked for, or nothing was asked: bytes are
 * dropped, the stream ends.
 */
int relay_output(struct relay *io, enum relay_stream stream, const void *data, size_t len,
		 bool eof);

/*
 * Answer to ops.write: @taken bytes, or @closed: the process reads no more. -EPROTO for a
 * nonsensical number.
 */
int relay_input_taken(struct relay *io, size_t taken, bool closed);

/* The engine says that its input ends with what is in the FIFO now. */
void relay_close_input(struct relay *io);

/*
 * The process has ended: what is left of its output is delivered, then ops.drained runs, perhaps at
 * once.
 */
void relay_process_ended(struct relay *io);

/*
 * Put a line of ours, less than RELAY_NOTE_BYTES, into stderr, or where a terminal's output goes.
 * Dropped when that would mean to wait for the reader.
 */
#define RELAY_NOTE_BYTES 4096
void relay_note(struct relay *io, const char *line);

/* Nobody wants the rest: close all; ops.drained runs at once unless it has. */
void relay_abandon(struct relay *io);

/* Whether ops.drained has run. */
bool relay_drained(const struct relay *io);

#endif
