/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_stats.h - the statistics of a container, as containerd wants them
 *
 * Peer:     the agent, hostile: numbers are passed on as they are, entries are counted, names are
 *           cut and stripped.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   containerd's cgroups v2 Metrics (common/proto/metrics.proto).
 */
#ifndef ONGGI_SHIM_TASK_STATS_H
#define ONGGI_SHIM_TASK_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"
#include "shim/task.h"

/* The type of the payload. */
#define TASK_STATS_TYPE_URL "io.containerd.cgroups.v2.Metrics"
/* Disks and network interfaces that are told. */
#define TASK_STATS_ENTRIES_MAX 256

/*
 * A packed io.containerd.cgroups.v2.Metrics from the agent's words, freed by the caller.
 * Returns 0, -E2BIG more entries than are believed, -ENOMEM.
 */
int task_stats_pack(const Onggi__Agent__V1__StatContainerResponse *answer, void **ret,
		    size_t *ret_len);

/* @metrics: packed, valid during the call; NULL unless @code is TTRPC_OK. */
typedef void (*task_stats_fn)(enum ttrpc_code code, const char *message, const void *metrics,
			      size_t len, void *userdata);
/* Ask the agent. @done runs once: FAILED_PRECONDITION not running; the agent's codes. */
void task_stats(struct task *c, task_stats_fn done, void *userdata);

#endif
