/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc_frame.h - frames of ttrpc on a byte stream; private to ttrpc_*.c and their tests
 *
 * Shape:    reader: one readv(2) per call straight into the payload under way, what follows it into
 *           a staging buffer; writer: a queue of packed frames, many per system call.
 * Peer:     untrusted. A payload longer than TTRPC_PAYLOAD_MAX, or of a type that is not wanted, is
 *           passed over without being stored.
 * Source:   ttrpc PROTOCOL.md (1.2), "Message Frame".
 *
 *	 0       4         8      9       10
 *	+-------+---------+------+-------+---------
 *	| length| stream  | type | flags | payload     length: of the payload; numbers big-endian
 *	+-------+---------+------+-------+---------
 */
#ifndef ONGGI_COMMON_TTRPC_FRAME_H
#define ONGGI_COMMON_TTRPC_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define TTRPC_HEADER_BYTES 10u
#define TTRPC_STAGING_BYTES 8192u

enum ttrpc_frame_type { TTRPC_FRAME_REQUEST = 1, TTRPC_FRAME_RESPONSE = 2, TTRPC_FRAME_DATA = 3 };

struct ttrpc_header {
	uint32_t length;
	uint32_t stream;
	uint8_t type; /* any value from a peer */
	uint8_t flags;
};

/* A header as it is on the wire, and back. */
void ttrpc_header_encode(const struct ttrpc_header *header, uint8_t bytes[TTRPC_HEADER_BYTES]);
void ttrpc_header_decode(const uint8_t bytes[TTRPC_HEADER_BYTES], struct ttrpc_header *ret);

/* ---- reading ---- */

struct ttrpc_frame {
	struct ttrpc_header header;
	uint8_t *payload; /* header.length bytes, freed by the receiver; NULL when oversize */
	bool oversize;    /* longer than TTRPC_PAYLOAD_MAX */
};

struct ttrpc_reader {
	enum ttrpc_frame_type wanted;
	bool have_header;
	bool discarding;
	struct ttrpc_header header;
	uint8_t *payload;
	size_t done; /* bytes of the payload read or discarded */
	size_t start, end; /* unread part of staging */
	uint8_t staging[TTRPC_STAGING_BYTES];
};

/* @wanted: frames of other types are passed over. */
void ttrpc_reader_init(struct ttrpc_reader *reader, enum ttrpc_frame_type wanted);
void ttrpc_reader_finish(struct ttrpc_reader *reader);

/*
 * One readv(2) on a non-blocking descriptor. To be called only after ttrpc_reader_next has returned
 * 0. Returns 0 (something or nothing was there), -EPIPE at end of file, or the negative errno of
 * readv(2).
 */
int ttrpc_reader_fill(struct ttrpc_reader *reader, int fd);

/*
 * Take the next whole frame out of what was read.
 * Returns 1, 0 when more must be read, -ENOMEM.
 */
int ttrpc_reader_next(struct ttrpc_reader *reader, struct ttrpc_frame *ret);

/* ---- writing ---- */

/* A frame on its way out: header and payload in one piece. */
struct ttrpc_packet {
	STAILQ_ENTRY(ttrpc_packet) link;
	size_t len; /* of bytes[] */
	uint8_t bytes[];
};

/*
 * Memory for a frame of @payload_len bytes, header filled in; payload starts at bytes +
 * TTRPC_HEADER_BYTES.
 */
struct ttrpc_packet *ttrpc_packet_new(uint32_t stream, enum ttrpc_frame_type type,
				      size_t payload_len);

STAILQ_HEAD(ttrpc_packets, ttrpc_packet);

struct ttrpc_writer {
	struct ttrpc_packets queue;
	size_t first_done;   /* bytes of the first packet already written */
	size_t queued_bytes; /* memory held by the queue */
	bool is_socket;
};

/*
 * @fd is only looked at: sockets are written to without SIGPIPE. ttrpc_writer_finish drops what is
 * queued.
 */
void ttrpc_writer_init(struct ttrpc_writer *writer, int fd);
void ttrpc_writer_finish(struct ttrpc_writer *writer);
bool ttrpc_writer_empty(const struct ttrpc_writer *writer);
/* Append @packet, which is taken over. */
void ttrpc_writer_add(struct ttrpc_writer *writer, struct ttrpc_packet *packet);
/*
 * Write until the queue is empty or @fd takes no more.
 * Returns 0, or the negative errno that ended the stream (what is queued stays).
 */
int ttrpc_writer_flush(struct ttrpc_writer *writer, int fd);

#endif
