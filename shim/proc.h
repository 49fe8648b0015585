/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.h - the life of one process of a container: its init, or an exec
 *
 * Shape:    created -> running -> ended (the agent said so) -> stopped (its output is delivered;
 *           waiters are answered). Reference counted: calls to the agent in flight hold one.
 * Process:  the sandbox monitor; loop thread only.
 * Done:     every operation ends with exactly one call of its done function, perhaps at once, with
 *           a code of enum ttrpc_code and a message.
 */
#ifndef ONGGI_SHIM_PROC_H
#define ONGGI_SHIM_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/ttrpc.h"
#include "shim/relay.h"

/* What the engines know: killed. Also for processes whose VM is lost. */
#define PROC_STATUS_KILLED 137
#define PROC_STATUS_MAX 255

enum proc_state {
	PROC_CREATING, /* the agent does not know it yet */
	PROC_CREATED,
	PROC_STARTING,
	PROC_RUNNING,
	PROC_STOPPED,
};

struct task;
struct proc;

typedef void (*proc_done_fn)(enum ttrpc_code code, const char *message, void *userdata);
typedef void (*proc_waiter_fn)(struct proc *p, void *userdata);

struct proc_waiter {
	proc_waiter_fn fn;
	/* The one who waits is gone: the waiter is forgotten. NULL: never. */
	bool (*is_gone)(void *userdata);
	void (*forget)(void *userdata);
	void *userdata;
};

struct proc {
	unsigned int refs;
	struct task *container; /* holds a reference */
	struct proc *next;	/* execs of the container */
	char *exec_id;		/* "": init */
	enum proc_state state;
	bool ended;   /* the agent has told its status; output may be under way */
	bool removed; /* forgotten by its container */
	bool ran;     /* it has been started */
	bool exit_told; /* an event has told of its end */
	bool orphan;  /* who stood for it on the host is gone: nobody will ask for it again */
	uint32_t exit_status;
	struct timespec exited_at;
	pid_t host_pid;	  /* of the process that stands for it on the host; 0: none has attached */
	const void *conn; /* over which that one attached; compared only */
	bool tells_loss;  /* that one tells its user by itself why the VM was lost */
	bool terminal;
	char *paths[RELAY_STREAMS];
	struct relay *io;
	struct proc_waiter *waiters;
	size_t n_waiters;
};

struct proc_config {
	const char *exec_id; /* "": init */
	struct relay_config io;
};

/* A process with its FIFOs open; the agent knows nothing of it yet. Errors as of relay_create. */
int proc_create(struct task *c, const struct proc_config *config, struct proc **ret,
		struct err *err);
struct proc *proc_ref(struct proc *p);
void proc_unref(struct proc *p);
DEFINE_CLEANUP(struct proc *, proc_unref);

/* Whether it is the container's first one. */
bool proc_is_init(const struct proc *p);
/* Pid on the host to show for it: never 0 while the monitor lives. */
pid_t proc_host_pid(const struct proc *p);
/* For messages: "container 'a'" or "process 'x' of container 'a'", in @buf. */
const char *proc_name(const struct proc *p, char *buf, size_t size);
#define PROC_NAME_MAX 600

/* The agent has it: state is created. For an init, begin to wait for its end. */
void proc_set_created(struct proc *p);
void proc_start(struct proc *p, proc_done_fn done, void *userdata);
/*
 * @all: every process of the container. @done may be NULL. A guest that does not carry out SIGKILL
 * is given up; for a process that has ended but whose output is stuck, SIGKILL gives up the output.
 */
void proc_signal(struct proc *p, uint32_t signal, bool all, proc_done_fn done, void *userdata);
void proc_resize(struct proc *p, uint32_t columns, uint32_t rows, proc_done_fn done,
		 void *userdata);
/* Have @w->fn called when it is stopped, at once if it is. -ENOMEM. */
int proc_wait(struct proc *p, const struct proc_waiter *w);

/*
 * It is over, whatever the agent thinks: record, close stdio, answer the waiters. No effect on a
 * stopped one.
 */
void proc_end_now(struct proc *p, uint32_t exit_status);
/* The same because its VM is lost; who reads its stderr (or terminal) is told @reason in a line. */
void proc_lost(struct proc *p, const char *reason);

/* Who stood for it on the host has ended before it: kill it. */
void proc_proxy_gone(struct proc *p);

#endif
