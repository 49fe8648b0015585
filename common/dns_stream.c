/* SPDX-License-Identifier: Apache-2.0 */
#include "common/dns_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void dns_stream_reset(struct dns_stream *s)
{
	free(s->data);
	*s = (struct dns_stream){ 0 };
}

/* Both bytes of the length are there. */
static int dns_stream_begin(struct dns_stream *s)
{
	size_t len = (size_t)s->head[0] << 8 | s->head[1];

	if (len < DNS_MESSAGE_MIN)
		return -EBADMSG;
	s->data = malloc(sizeof(s->head) + len);
	if (!s->data)
		return -ENOMEM;
	memcpy(s->data, s->head, sizeof(s->head));
	s->len = sizeof(s->head) + len;
	return 0;
}

int dns_stream_read(struct dns_stream *s, int fd)
{
	while (!s->len || s->done < s->len) {
		uint8_t *at = s->len ? s->data + s->done : s->head + s->done;
		ssize_t n = read(fd, at, (s->len ? s->len : sizeof(s->head)) - s->done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return -EPIPE;
		s->done += (size_t)n;
		if (!s->len && s->done == sizeof(s->head)) {
			int rc = dns_stream_begin(s);

			if (rc < 0)
				return rc;
		}
	}
	return 1;
}

const uint8_t *dns_stream_message(const struct dns_stream *s, size_t *ret_len)
{
	*ret_len = s->len - sizeof(s->head);
	return s->data + sizeof(s->head);
}

int dns_stream_put(struct dns_stream *s, const void *message, size_t len)
{
	if (len > DNS_MESSAGE_MAX)
		return -EMSGSIZE;
	dns_stream_reset(s);
	s->data = malloc(sizeof(s->head) + len);
	if (!s->data)
		return -ENOMEM;
	s->data[0] = (uint8_t)(len >> 8);
	s->data[1] = (uint8_t)len;
	memcpy(s->data + sizeof(s->head), message, len);
	s->len = sizeof(s->head) + len;
	return 0;
}

int dns_stream_write(struct dns_stream *s, int fd)
{
	while (s->done < s->len) {
		ssize_t n = send(fd, s->data + s->done, s->len - s->done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		s->done += (size_t)n;
	}
	return 1;
}
