/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation (reading): bytes arrive either in the payload of the frame under way or, when
 * there is none or it is being discarded, in the staging buffer. readv names both, payload first,
 * so that a megabyte is never moved and a burst of small frames costs one system call.
 * ttrpc_reader_next then walks the staging buffer; at most a frame's beginning is copied out of it.
 */
#include "common/ttrpc_frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/ttrpc.h"

/* Packets handed to the kernel in one call. */
#define WRITE_BATCH 64

static void put_be32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void ttrpc_header_encode(const struct ttrpc_header *header, uint8_t bytes[TTRPC_HEADER_BYTES])
{
	put_be32(bytes, header->length);
	put_be32(bytes + 4, header->stream);
	bytes[8] = header->type;
	bytes[9] = header->flags;
}

void ttrpc_header_decode(const uint8_t bytes[TTRPC_HEADER_BYTES], struct ttrpc_header *ret)
{
	ret->length = get_be32(bytes);
	ret->stream = get_be32(bytes + 4);
	ret->type = bytes[8];
	ret->flags = bytes[9];
}

/* ---- reading ---- */

void ttrpc_reader_init(struct ttrpc_reader *reader, enum ttrpc_frame_type wanted)
{
	*reader = (struct ttrpc_reader){ .wanted = wanted };
}

void ttrpc_reader_finish(struct ttrpc_reader *reader)
{
	free(reader->payload);
	reader->payload = NULL;
}

int ttrpc_reader_fill(struct ttrpc_reader *reader, int fd)
{
	size_t left = reader->header.length - reader->done, kept = reader->end - reader->start;
	struct iovec iov[2];
	int n_iov = 0;
	ssize_t n;

	/* What is kept is less than a header, or nothing. */
	memmove(reader->staging, reader->staging + reader->start, kept);
	reader->start = 0;
	reader->end = kept;
	if (reader->have_header && !reader->discarding)
		iov[n_iov++] = (struct iovec){ reader->payload + reader->done, left };
	else
		left = 0;
	iov[n_iov++] = (struct iovec){ reader->staging + kept, sizeof(reader->staging) - kept };
	do
		n = readv(fd, iov, n_iov);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n <= left) {
		reader->done += (size_t)n;
		return 0;
	}
	reader->done += left;
	reader->end += (size_t)n - left;
	return 0;
}

/* A header was read: decide what becomes of its payload. Returns 1 when that is known already. */
static int start_frame(struct ttrpc_reader *reader, struct ttrpc_frame *ret)
{
	const struct ttrpc_header *header = &reader->header;

	reader->done = 0;
	reader->discarding = header->type != reader->wanted || header->length > TTRPC_PAYLOAD_MAX;
	if (header->type == reader->wanted && reader->discarding) {
		*ret = (struct ttrpc_frame){ .header = *header, .oversize = true };
		return 1;
	}
	if (reader->discarding)
		return 0;
	assert(!reader->payload); /* the frame before took it along */
	reader->payload = malloc(header->length ? header->length : 1);
	if (!reader->payload)
		return -ENOMEM;
	return 0;
}

/* Feed the payload under way from staging. Returns whether it is complete. */
static bool take_payload(struct ttrpc_reader *reader)
{
	size_t left = reader->header.length - reader->done, have = reader->end - reader->start;
	size_t n = left < have ? left : have;

	if (!reader->discarding)
		memcpy(reader->payload + reader->done, reader->staging + reader->start, n);
	reader->start += n;
	reader->done += n;
	return n == left;
}

int ttrpc_reader_next(struct ttrpc_reader *reader, struct ttrpc_frame *ret)
{
	int r;

	for (;;) {
		if (!reader->have_header) {
			if (reader->end - reader->start < TTRPC_HEADER_BYTES)
				return 0;
			ttrpc_header_decode(reader->staging + reader->start, &reader->header);
			reader->start += TTRPC_HEADER_BYTES;
			reader->have_header = true;
			r = start_frame(reader, ret);
			if (r != 0)
				return r;
		}
		if (!take_payload(reader))
			return 0;
		reader->have_header = false;
		if (reader->discarding)
			continue;
		*ret = (struct ttrpc_frame){ .header = reader->header };
		ret->payload = TAKE_PTR(reader->payload);
		return 1;
	}
}

/* ---- writing ---- */

struct ttrpc_packet *ttrpc_packet_new(uint32_t stream, enum ttrpc_frame_type type,
				      size_t payload_len)
{
	const struct ttrpc_header header = {
		.length = (uint32_t)payload_len, .stream = stream, .type = (uint8_t)type,
	};
	struct ttrpc_packet *packet = malloc(sizeof(*packet) + TTRPC_HEADER_BYTES + payload_len);

	if (!packet)
		return NULL;
	packet->len = TTRPC_HEADER_BYTES + payload_len;
	ttrpc_header_encode(&header, packet->bytes);
	return packet;
}

void ttrpc_writer_init(struct ttrpc_writer *writer, int fd)
{
	socklen_t len = sizeof(int);
	int type;

	STAILQ_INIT(&writer->queue);
	writer->first_done = 0;
	writer->queued_bytes = 0;
	writer->is_socket = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

static void drop_first(struct ttrpc_writer *writer)
{
	struct ttrpc_packet *packet = STAILQ_FIRST(&writer->queue);

	STAILQ_REMOVE_HEAD(&writer->queue, link);
	writer->queued_bytes -= sizeof(*packet) + packet->len;
	writer->first_done = 0;
	free(packet);
}

void ttrpc_writer_finish(struct ttrpc_writer *writer)
{
	while (!STAILQ_EMPTY(&writer->queue))
		drop_first(writer);
}

bool ttrpc_writer_empty(const struct ttrpc_writer *writer)
{
	return STAILQ_EMPTY(&writer->queue);
}

void ttrpc_writer_add(struct ttrpc_writer *writer, struct ttrpc_packet *packet)
{
	STAILQ_INSERT_TAIL(&writer->queue, packet, link);
	writer->queued_bytes += sizeof(*packet) + packet->len;
}

static ssize_t write_batch(struct ttrpc_writer *writer, int fd)
{
	struct iovec iov[WRITE_BATCH];
	struct msghdr msg = { .msg_iov = iov };
	struct ttrpc_packet *packet;
	size_t skip = writer->first_done;
	int n_iov = 0;

	STAILQ_FOREACH(packet, &writer->queue, link) {
		if (n_iov == WRITE_BATCH)
			break;
		iov[n_iov++] = (struct iovec){ packet->bytes + skip, packet->len - skip };
		skip = 0;
	}
	msg.msg_iovlen = (size_t)n_iov;
	return writer->is_socket ? sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT)
				 : writev(fd, iov, n_iov);
}

int ttrpc_writer_flush(struct ttrpc_writer *writer, int fd)
{
	size_t left;
	ssize_t n;

	while (!STAILQ_EMPTY(&writer->queue)) {
		n = write_batch(writer, fd);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return 0; /* a channel that nobody holds at the other end; reading tells */
		while (n > 0) {
			left = STAILQ_FIRST(&writer->queue)->len - writer->first_done;
			if ((size_t)n < left) {
				writer->first_done += (size_t)n;
				break;
			}
			n -= (ssize_t)left;
			drop_first(writer);
		}
	}
	return 0;
}
