/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the agent, and what its texts go through before anybody else sees them. */
#include <string.h>

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

void agent_text(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 1 < size; text++) {
		unsigned char c = (unsigned char)*text;

		out[n++] = c < ' ' || c == 0x7f ? '?' : (char)c;
	}
	out[n] = '\0';
}
