/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "shim/containerd/actions.h"

/* FNV-1a, 64 bit. Not against malice: both texts are the administrator's. */
static uint64_t hash(uint64_t h, const char *text)
{
	do {
		h ^= (unsigned char)*text;
		h *= UINT64_C(0x100000001b3);
	} while (*text++);
	return h;
}

char *shim_state_root(const struct shim_flags *flags)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	char *path;

	h = hash(h, flags->address ? flags->address : "");
	h = hash(h, flags->namespace);
	return asprintf(&path, SHIM_STATE_ROOT "/%016" PRIx64, h) < 0 ? NULL : path;
}
