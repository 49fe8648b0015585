/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_stream.h - DNS messages over a stream: each after its length, piece by piece as they come
 *
 * Shape:    one message at a time and direction; the caller waits for the descriptor in between.
 * Peer:     untrusted. Limits: DNS_MESSAGE_MIN to DNS_MESSAGE_MAX bytes; nothing is looked at but
 *           the length. Memory is taken for what has been announced, once two bytes are there.
 * Source:   RFC 1035, section 4.2.2.
 */
#ifndef ONGGI_COMMON_DNS_STREAM_H
#define ONGGI_COMMON_DNS_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

/* The header alone, and what two bytes of length can say. */
#define DNS_MESSAGE_MIN 12u
#define DNS_MESSAGE_MAX 65535u
#define DNS_PORT 53

struct dns_stream {
	uint8_t *data; /* the length's two bytes, then the message */
	size_t len;    /* of both; 0: not known yet */
	size_t done;   /* bytes read or written */
	uint8_t head[2];
};

/* Forget what is there. */
void dns_stream_reset(struct dns_stream *s);

/*
 * Read what is there.
 *
 * Returns 1 when a message is complete (dns_stream_message); 0 more is to come; -EPIPE the peer has
 * ended the stream; -EBADMSG a message shorter than DNS_MESSAGE_MIN; -ENOMEM; another errno.
 */
int dns_stream_read(struct dns_stream *s, int fd);
/* The message that is complete, and its length. Valid until dns_stream_reset. */
const uint8_t *dns_stream_message(const struct dns_stream *s, size_t *ret_len);

/* Have @message (at most DNS_MESSAGE_MAX bytes, copied) written. -EMSGSIZE, -ENOMEM. */
int dns_stream_put(struct dns_stream *s, const void *message, size_t len);
/* Write what the peer takes to a socket. Returns 1 when all is written, 0, or a negative errno. */
int dns_stream_write(struct dns_stream *s, int fd);

#endif
