/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_resume.h - waiting until a container is no longer paused
 *
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_RESUME_H
#define ONGGI_SHIM_TASK_RESUME_H

#include "shim/task.h"

/* Who may wait for one container at a time. */
#define TASK_RESUME_LISTENERS_MAX 64u

struct task_resume_listener {
	/* Runs once; at once unless the container is paused, and when it ends. */
	void (*fn)(void *userdata);
	/* Who waits is gone: fn may run early. */
	bool (*is_gone)(void *userdata);
	void *userdata;
};

/* Returns 0; -ENOSPC too many wait; -ENOMEM. */
int task_resume_listen(struct task *c, const struct task_resume_listener *listener);
/* It is resumed, or has ended: everybody is told. */
void task_resumed(struct task *c);

#endif
