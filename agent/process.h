/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.h - one process of a container, from its registration to the last word about it
 *
 * States:   created (an init that waits, or an exec that was only registered) -> starting ->
 *           running -> stopped (reaped). "Finished" follows stopped: only then are waiters answered
 *           and the streams ended, because a container's init is over when the rest of it is gone.
 * Set-up:   the child reports through its struct setup_process; process_expect waits for one
 *           report, PROCESS_SETUP_TIMEOUT_MS at most. A failed set-up is answered when the child
 *           has been reaped.
 * Limits:   PROCESS_WAITERS_MAX calls waiting for one process.
 * Process:  the agent, loop thread only.
 * Not here: what a container does about it (container.h), rpc (service.h).
 */
#ifndef ONGGI_AGENT_PROCESS_H
#define ONGGI_AGENT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/reaper.h"
#include "agent/setup.h"
#include "agent/stdio.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define PROCESS_WAITERS_MAX 64u
/* Milliseconds that a child may take from fork to "created", and from start to execve. */
#define PROCESS_SETUP_TIMEOUT_MS 60000u

enum process_state { PROCESS_CREATED, PROCESS_STARTING, PROCESS_RUNNING, PROCESS_STOPPED };
/* "created", "starting", "running", "stopped" */
const char *process_state_name(enum process_state state);

struct process;

/* @code 0, or a negative errno with the reason in @err. */
typedef void (*process_done_fn)(struct process *p, int code, const struct err *err, void *userdata);
/* The process has been reaped; who listens calls process_finish now or later. */
typedef void (*process_exit_fn)(struct process *p, void *userdata);

/* What is known of an ended process. */
struct process_exit {
	uint32_t status;       /* exit code, or 128 + signal */
	int64_t exited_at_ns;  /* wall clock */
	bool oom_killed;       /* the container's memory limit has killed something meanwhile */
};

/* @exec_id: copied; "" for a container's init. Returns 0 or -ENOMEM. */
int process_create(struct loop *loop, struct reaper *reaper, const char *exec_id, process_exit_fn on_exit,
		   void *userdata, struct process **ret);
/*
 * Free. A child that is still alive is killed and will be reaped silently. Whoever waits is told
 * -ECANCELED. NULL is allowed.
 */
void process_destroy(struct process *p);
DEFINE_CLEANUP(struct process *, process_destroy);

/* "" for a container's init; borrowed. */
const char *process_exec_id(const struct process *p);
enum process_state process_state(const struct process *p);
/* 0 before there is one. */
pid_t process_pid(const struct process *p);
/* Borrowed; -EBADF before there is one. */
int process_pidfd(const struct process *p);
/* Never NULL; empty (no pipes) before process_open_stdio. */
struct stdio *process_stdio(struct process *p);
/* Whether the failure that ended the set-up was about the program itself. */
bool process_program_failed(const struct process *p);
bool process_finished(const struct process *p);
struct process_exit process_exit(const struct process *p);

/*
 * Make pipes, or a terminal of @setup's container with the size that @spec gives. Errors of
 * stdio_open_pipes, setup_open_terminal.
 */
int process_open_stdio(struct process *p, struct setup *setup, const struct oci_process *spec, struct err *err);

/*
 * Take over the child @child, which was spawned with this process's stdio; state becomes
 * "starting".
 *
 * @oom_kills  what the container's memory limit has killed so far
 *
 * Returns 0; -ENOMEM and the like: the child is killed and @child destroyed then.
 */
int process_adopt(struct process *p, struct setup_process *child, uint64_t oom_kills, struct err *err);

/*
 * Have @done called once when the child reports @want (SETUP_CREATED or SETUP_STARTED), or when it
 * has failed to and is reaped (state "stopped"), or when the process is destroyed (-ECANCELED).
 * One expectation at a time; the state must be "starting".
 */
void process_expect(struct process *p, enum setup_result want, process_done_fn done, void *userdata);
/*
 * Let the report take any time: programs of the specification run before it, with limits of their
 * own.
 */
void process_expect_any_time(struct process *p);

/* Let a created init run: state "starting". Returns 0; -EPIPE the child is dead. */
int process_start(struct process *p, struct err *err);

/* Send a signal. Returns 0; -ESRCH not started or ended; -EINVAL. Signal 0 only asks. */
int process_signal(struct process *p, int signo, struct err *err);

/*
 * Have @done called once when the process is finished; at once if it is. -ECANCELED: destroyed
 * before.
 * Returns 0; -EBUSY too many are waiting; -ENOMEM.
 */
int process_wait(struct process *p, process_done_fn done, void *userdata);

/*
 * The last word: end the streams, answer the waiters. @oom_kills as in process_adopt. State must be
 * "stopped".
 */
void process_finish(struct process *p, uint64_t oom_kills);

#endif
