/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_json.h - the state of a container as the OCI specification and runc write it
 *
 * Source:   runtime-spec runtime.md "State"; runc adds rootfs, created and owner.
 */
#ifndef ONGGI_SHIM_STATE_JSON_H
#define ONGGI_SHIM_STATE_JSON_H

#include "common/json.h"
#include "shim/state.h"

/*
 * @status  the corrected one; the pid is 0 for a stopped container
 * Has a member "lostReason" beside runc's when the container's VM or monitor was lost.
 * @owner   name of the state's owner, "" in the answer of "state"
 * Returns a new object, or NULL: no memory.
 */
struct json *state_json(const struct container_record *r, enum container_status status,
			const char *owner);

/* The same for a hook's stdin: the specification's members alone. */
struct json *state_json_for_hooks(const struct container_record *r, enum container_status status);

#endif
