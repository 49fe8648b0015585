/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create.h - what the command line does around a container's life, done by the monitor for an
 * engine that calls it
 *            directly
 *
 * Shape:    the container's folder and cgroup are removed, hooks of the host run, the rootfs is
 *           mounted.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_CONTAINERD_CREATE_H
#define ONGGI_SHIM_CONTAINERD_CREATE_H

#include "common/proto/task.pb-c.h"
#include "shim/task.h"

/* Mounts that one rootfs may be made of. */
#define ENGINE_ROOTFS_MOUNTS_MAX 128u

/*
 * As task_create, with rootfs and hooks; the event has been told when @done runs. @config without
 * rootfs; both it and @request are borrowed during the call.
 */
void engine_create(struct sandbox *s, const Containerd__Task__V2__CreateTaskRequest *request,
		   const struct task_config *config, proc_done_fn done, void *userdata);
/* Its init runs: poststart hooks. */
void engine_started(struct task *c);
/* It has been deleted: poststop hooks, then what is left of it on the host goes. @done: OK. */
void engine_deleted(struct task *c, proc_done_fn done, void *userdata);

#endif
