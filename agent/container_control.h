/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_control.h - acting on a container as a whole: signals, freezing, listing
 *
 * Process:  the agent, loop thread only. Errors as in container.h.
 */
#ifndef ONGGI_AGENT_CONTAINER_CONTROL_H
#define ONGGI_AGENT_CONTAINER_CONTROL_H

#include "agent/container.h"

/*
 * Send @signo (0 to 64) to every process of the container. Those that are gone meanwhile are no
 * error.
 * Returns 0; -EINVAL.
 */
int container_signal_all(struct container *c, int signo, struct err *err);

/*
 * Freeze (@paused) or thaw. @done runs when it has taken effect, or with -ETIMEDOUT (thawed again
 * then).
 * Returns 0; -EBUSY stopped, already so, or another change is under way.
 */
int container_pause(struct container *c, bool paused, container_done_fn done, void *userdata, struct err *err);

/* Bytes of a process's name with NUL, as the kernel keeps it. */
#define CONTAINER_COMMAND_MAX 17u

struct container_task {
	pid_t pid;                           /* in the guest */
	const char *exec_id;                 /* borrowed from the process; "" unless it is one that was added */
	char command[CONTAINER_COMMAND_MAX]; /* printable bytes only */
};

/* What runs in the container; *ret is freed by the caller. */
int container_tasks(struct container *c, struct container_task **ret, size_t *ret_n, struct err *err);

#endif
