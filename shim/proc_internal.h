/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc_internal.h - what proc.c and proc_io.c share
 */
#ifndef ONGGI_SHIM_PROC_INTERNAL_H
#define ONGGI_SHIM_PROC_INTERNAL_H

#include "common/proto/agent.pb-c.h"
#include "shim/proc.h"
#include "shim/task.h"

/* What a call in flight holds. */
struct proc_call {
	struct proc *p;
	enum relay_stream stream;
	uint32_t signal;
	uint32_t exit_status;
	proc_done_fn done;
	void *userdata;
};

/* Takes a reference of @p; @done may be NULL. NULL: no memory. */
struct proc_call *proc_call_create(struct proc *p, proc_done_fn done, void *userdata);
void proc_call_free(struct proc_call *call);

/* How the agent knows @p; borrows from it. */
Onggi__Agent__V1__ProcessRef proc_agent_ref(const struct proc *p);

static inline struct sandbox *proc_sandbox(const struct proc *p)
{
	return p->container->sandbox;
}

/* Call it stopped if it is: it has ended, and its output is delivered. */
void proc_advance(struct proc *p);

/* For its relay; the userdata is the process. */
extern const struct relay_ops proc_relay_ops;

#endif
