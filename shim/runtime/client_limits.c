/* SPDX-License-Identifier: Apache-2.0 */
/* In a file of its own: claims about a monitor that hangs put shorter ones in its place. */
#include "shim/runtime/client.h"
#include "shim/runtime/client_internal.h"

const struct client_limits client_limits = {
	.silence_ms = 10000,
	.stuck_ms = CLIENT_STUCK_MS,
};
