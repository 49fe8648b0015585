/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_oom.h - hearing of processes that a container's memory limit has killed
 *
 * Shape:    one question to the agent is open for each container; who listens here asks for more
 *           kills than he has seen, so that none is missed between two questions.
 * Peer:     the agent, hostile: an answer that tells nothing new ends the questions.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_OOM_H
#define ONGGI_SHIM_TASK_OOM_H

#include "shim/task.h"

/* Who may listen to one container at a time. */
#define TASK_OOM_LISTENERS_MAX 64

struct task_oom_listener {
	/* Runs once: @kills so far; @ended: there will be no more. */
	void (*fn)(uint64_t kills, bool ended, void *userdata);
	/* Who listens is gone: forget is called instead of fn, sooner or later. */
	bool (*is_gone)(void *userdata);
	void (*forget)(void *userdata);
	void *userdata;
	uint64_t seen;
};

/* From the moment it is created. */
void task_oom_watch(struct task *c);
/* -ENOSPC too many listen. */
int task_oom_listen(struct task *c, const struct task_oom_listener *listener);
/* It has ended: everybody is told. */
void task_oom_ended(struct task *c);

#endif
