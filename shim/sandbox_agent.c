/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the agent, and what its texts go through before anybody else sees them. */
#include <string.h>

#include "common/utf8.h"
#include "shim/sandbox.h"

void agent_call(struct sandbox *s, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, uint64_t timeout_ms, ttrpc_done_fn done,
		void *userdata)
{
	int r = -EPIPE;

	if (s->agent)
		r = ttrpc_client_call(s->agent, AGENT_SERVICE, method, request, response,
				      timeout_ms, done, userdata);
	if (r == -EPIPE)
		done(TTRPC_UNAVAILABLE, "the guest is gone", NULL, userdata);
	else if (r < 0)
		done(ttrpc_code_from_errno(r), strerror(-r), NULL, userdata);
}

bool agent_code_is_loss(enum ttrpc_code code)
{
	return code == TTRPC_UNAVAILABLE || code == TTRPC_CANCELED;
}

/* Bytes of @text that may stand as they are: a printable character; C1 controls drive terminals too. 0: none. */
static size_t printable(const char *text, size_t len)
{
	size_t n = utf8_sequence(text, len);
	const unsigned char *c = (const unsigned char *)text;

	if (n == 1)
		return c[0] >= ' ' && c[0] != 0x7f;
	return n == 2 && c[0] == 0xc2 && c[1] < 0xa0 ? 0 : n;
}

void agent_text(char *out, size_t size, const char *text)
{
	size_t used = 0, left = text ? strnlen(text, size) : 0, n;

	for (; left > 0; text += n, left -= n) {
		n = printable(text, left);
		if (used + (n ? n : 1) >= size)
			break;
		if (n)
			memmove(out + used, text, n);
		else
			out[used] = '?';
		n = n ? n : 1;
		used += n;
	}
	out[used] = '\0';
}
