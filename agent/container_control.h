/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_control.h - acting on a container as a whole: signals, freezing, limits, listing
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

/* How many processes the memory limit has killed so far. */
uint64_t container_oom_kills(struct container *c);
/* Whether its init has ended, or it is being removed. */
bool container_has_ended(const struct container *c);

/*
 * Wait for the memory limit to have killed more than @seen processes. @done runs then, or when the
 * container has ended, perhaps before the return.
 * Returns 0; -EBUSY somebody waits already.
 */
int container_wait_oom(struct container *c, uint64_t seen, container_done_fn done, void *userdata,
		       struct err *err);

/*
 * Change limits; what @resources does not name stays.
 *
 * @resources  "linux.resources" as JSON
 *
 * Returns 0; -EINVAL, -EBADMSG, -EOPNOTSUPP what cannot be applied, named (some may be in effect by
 * then); -EBUSY it has ended, or its memory limit was to be checked and is below what is in use.
 */
int container_update(struct container *c, const char *resources, size_t len, struct err *err);

/* Bytes of a process's name with NUL, as the kernel keeps it. */
#define CONTAINER_COMMAND_MAX 17u

struct container_task {
	pid_t pid;                           /* in the guest */
	const char *exec_id;                 /* borrowed from the process; "" unless it is one that was added */
	char command[CONTAINER_COMMAND_MAX]; /* printable bytes only */
};

/* What runs in the container; *ret is freed by the caller. -ENOMEM. */
int container_tasks(struct container *c, struct container_task **ret, size_t *ret_n, struct err *err);

#endif
