/* SPDX-License-Identifier: Apache-2.0 */
/*
 * features.h - what this runtime can do, for engines that ask
 *
 * Source:   runtime-spec features.md and features-linux.md.
 * Honest:   only what the agent applies in the guest, or the monitor on the host. cgroup v1 and v2
 *           are both true: limits are applied in the guest, whatever the host mounts.
 */
#ifndef ONGGI_SHIM_RUNTIME_FEATURES_H
#define ONGGI_SHIM_RUNTIME_FEATURES_H

#include "common/json.h"

/* A new object, or NULL: no memory. */
struct json *features_json(void);

#endif
