/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - the events of a container's life, as containerd wants to hear of them
 *
 * Order:    create, start, exit, delete; exec-added, exec-started, exit. The exit of an init comes
 *           after those of its execs, and before its VM is taken down.
 * Shape:    without a publisher (the command line's containers) no function here has an effect.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   containerd's api/events/task.proto and its docs on runtime v2.
 */
#ifndef ONGGI_SHIM_CONTAINERD_EVENTS_H
#define ONGGI_SHIM_CONTAINERD_EVENTS_H

#include "common/proto/task.pb-c.h"
#include "shim/task.h"

/* @request: what it was created from. */
void event_created(struct task *c, const Containerd__Task__V2__CreateTaskRequest *request);
void event_started(const struct proc *p);
void event_exec_added(const struct proc *p);
/* A process counts as stopped. */
void event_stopped(struct proc *p);
void event_deleted(const struct proc *p);
void event_paused(const struct task *c, bool paused);
void event_oom(const struct task *c);

#endif
