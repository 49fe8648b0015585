/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of DNS messages in a stream, against arbitrary bytes that come in arbitrary pieces.
 * What it gives out is as long as announced, and comes out again when it is written and read.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/dns_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes that a socket holds for certain. */
#define INPUT_MAX 4096u

static void check_again(const uint8_t *message, size_t len)
{
	struct dns_stream out = { 0 }, in = { 0 };
	const uint8_t *got;
	size_t got_len;
	int pair[2];

	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	assert(dns_stream_put(&out, message, len) == 0);
	assert(dns_stream_write(&out, pair[0]) == 1);
	assert(dns_stream_read(&in, pair[1]) == 1);
	got = dns_stream_message(&in, &got_len);
	assert(got_len == len && memcmp(got, message, len) == 0);
	dns_stream_reset(&out);
	dns_stream_reset(&in);
	close(pair[0]);
	close(pair[1]);
}

/* Take what is complete. Returns whether the stream goes on. */
static int drain(struct dns_stream *s, int fd)
{
	int rc;

	while ((rc = dns_stream_read(s, fd)) == 1) {
		const uint8_t *message;
		size_t len;

		message = dns_stream_message(s, &len);
		assert(len >= DNS_MESSAGE_MIN && len <= DNS_MESSAGE_MAX);
		check_again(message, len);
		dns_stream_reset(s);
	}
	assert(rc == 0 || rc == -EBADMSG || rc == -EPIPE);
	return rc == 0;
}

/* The first byte is the length of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_stream s = { 0 };
	size_t piece, at = 1;
	int pair[2];

	if (size < 2 || size > INPUT_MAX)
		return 0;
	piece = data[0] ? data[0] : 1;
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	while (at < size) {
		size_t n = size - at < piece ? size - at : piece;

		assert(write(pair[0], data + at, n) == (ssize_t)n);
		at += n;
		if (!drain(&s, pair[1]))
			break;
	}
	close(pair[0]);
	if (at >= size)
		(void)drain(&s, pair[1]);
	dns_stream_reset(&s);
	close(pair[1]);
	return 0;
}
