/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reaper.h - collecting every dead child of PID 1
 *
 * Shape:    SIGCHLD arrives through the loop; each dead child is reaped by wait status, whoever was
 *           told about its pid hears of it, the rest (orphans of containers) vanish silently.
 * Rule:     the one place in the agent's loop that reaps. Code that forks and waits for its own
 *           child before it returns to the loop does not get in the way; loop_add_child must not be
 *           used beside it.
 * Limits:   REAPER_BATCH_MAX children a round, so that a fork bomb's remains cannot starve the
 *           channel.
 * Process:  the agent, loop thread only. A pid given to reaper_watch cannot be stale: nothing is
 *           reaped between fork and the return to the loop.
 */
#ifndef ONGGI_AGENT_REAPER_H
#define ONGGI_AGENT_REAPER_H

#include <sys/types.h>

#include "common/cleanup.h"
#include "common/loop.h"

#define REAPER_BATCH_MAX 256u

struct reaper;

/* From here on SIGCHLD belongs to the loop. Returns 0; -ENOMEM; errnos of signalfd(2). */
int reaper_create(struct loop *loop, struct reaper **ret);
void reaper_destroy(struct reaper *reaper); /* watches still there are dropped */
DEFINE_CLEANUP(struct reaper *, reaper_destroy);

/* @status is a wait(2) status; the watch is gone by then, the pid may be reused from now on. */
typedef void (*reaper_fn)(pid_t pid, int status, void *userdata);

/*
 * Call @fn once when the child @pid has been reaped.
 * Returns 0; -EEXIST the pid is watched already; -ENOMEM.
 */
int reaper_watch(struct reaper *reaper, pid_t pid, reaper_fn fn, void *userdata);
/* The child will be reaped silently. Unknown pids are allowed. */
void reaper_forget(struct reaper *reaper, pid_t pid);

#endif
