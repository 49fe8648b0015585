/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capability.h - the five capability sets of a process
 *
 * Order:    capability_drop_bounding (needs CAP_SETPCAP) -> setresuid with capability_keep ->
 *           capability_apply. Whatever the spec has beyond the agent's own set is left out.
 * Process:  a child on its way to execve; single-threaded.
 * Errors:   0, or the negative errno of prctl(2), capget(2) or capset(2).
 * Source:   capabilities(7).
 */
#ifndef ONGGI_AGENT_CAPABILITY_H
#define ONGGI_AGENT_CAPABILITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/oci.h"

struct capability_sets {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

/*
 * What will be applied: the spec's sets cut to @available, effective to permitted, ambient to
 * permitted and inheritable. Absent: all empty. Pure.
 */
struct capability_sets capability_plan(const struct oci_capabilities *spec, uint64_t available);

/* Remove from the bounding set what is not in @keep. */
int capability_drop_bounding(uint64_t keep, struct err *err);
/* Keep the permitted set over a change of uid (PR_SET_KEEPCAPS). */
int capability_keep(bool on, struct err *err);
/*
 * Set permitted, effective and inheritable exactly, then ambient. @extra is added to permitted
 * only (a right that a later step needs and drops with a second call).
 */
int capability_apply(const struct capability_sets *sets, uint64_t extra, struct err *err);
/* Set the effective set alone, within permitted. */
int capability_set_effective(uint64_t effective, struct err *err);
/* Set permitted, effective and inheritable exactly, with a single system call: ambient stays. */
int capability_finish(const struct capability_sets *sets, struct err *err);
/* Permitted set of this process. */
int capability_permitted(uint64_t *ret);

#endif
