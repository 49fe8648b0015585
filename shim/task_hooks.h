/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_hooks.h - createContainer hooks, run by the monitor
 *
 * Where:    "in the container's namespaces, by a path of the host's" means here: in the sandbox's
 *           network namespace, and in a mount namespace in which the container's root is found at
 *           its usual path and what is mounted below it reaches the guest. The guest's own
 *           namespaces exist on the far side of the VM's border, where no program of the host runs.
 * Shape:    a child of the monitor runs the hooks one after the other (hooks.h blocks) and tells
 *           how it went; the monitor's loop goes on. Any other kind could be run in the same way.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_HOOKS_H
#define ONGGI_SHIM_TASK_HOOKS_H

#include "shim/task.h"

/*
 * Run the container's createContainer hooks. Their working folder is its root.
 *
 * @done  runs once: OK; FAILED_PRECONDITION not "created", or they run already; DEADLINE_EXCEEDED a
 *        hook's timeout; CANCELED the container was removed; INTERNAL, … with the reason
 */
void task_run_hooks(struct task *c, proc_done_fn done, void *userdata);

/*
 * The same for kinds of the caller's choice, in their order, closed by OCI_HOOK_COUNT (borrowed
 * until @done). All but createContainer run in the network namespace @netns_fd (-EBADF: here) and
 * in the bundle. At any time of the container's life.
 */
void task_run_hooks_of(struct task *c, const enum oci_hook_kind *kinds, enum container_status status,
		       int netns_fd, proc_done_fn done, void *userdata);

/* The container goes: kill what runs, tell who waits. NULL allowed. */
void task_hooks_end(struct task_hooks *hooks);

#endif
