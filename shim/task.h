/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.h - one container of a sandbox: bundle, mounts, record, and its processes
 *
 * Shape:    lives in the sandbox's list from the begin of its creation until its deletion.
 *           Reference counted, because calls to the agent outlive deletion.
 * Record:   written before anybody is told of a change.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_H
#define ONGGI_SHIM_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"
#include "shim/machine_size.h"
#include "shim/proc.h"
#include "shim/sandbox.h"

#define TASK_EXECS_MAX 1024
#define TASK_NAMESPACE_KEY_MAX 64
/* After init's end: how long output of its execs may still be under way. */
#define TASK_EXEC_DRAIN_MS 10000

struct task_creation;	  /* task_create.h */
struct task_disks;	  /* task_disk.h */
struct task_oom_listener; /* task_oom.h */
struct task_resume_listener;

struct task {
	unsigned int refs;
	struct sandbox *sandbox;
	struct task *next;
	uint64_t serial; /* unique in the sandbox; names its namespaces */
	struct container_record *record;
	/* What the agent knows its namespaces by, for others to join; "": none */
	char namespace_keys[OCI_NS_COUNT][TASK_NAMESPACE_KEY_MAX];
	struct task_cgroup *cgroup; /* on the host (sandbox_cgroup.h); NULL: none */
	struct proc *init;
	struct proc *execs;
	unsigned int n_execs;
	struct task_creation *creation; /* NULL once it is created */
	struct task_hooks *hooks;       /* of its creation, while they run; task_hooks.h */
	unsigned int rootfs_mounts; /* so many are mounted on its rootfs (task_rootfs.h) */
	struct task_disks *disks;   /* its rootfs is on them; NULL: the host shares a folder */
	int folder_fd; /* containers/<id>, watched: sandbox_watch.h; -EBADF: none */
	int resolv_fd; /* its resolv.conf on the host; -EBADF: none */
	struct loop_source *exec_timer; /* init has stopped: TASK_EXEC_DRAIN_MS for its execs */
	bool in_guest;			/* the agent may know it */
	bool start_hooks;		/* programs that run in the guest before it starts */
	struct machine_need need;	/* what it may use of the guest */
	uint64_t oom_kills;		/* processes that its memory limit has killed */
	struct task_oom_listener *oom_listeners;
	size_t n_oom_listeners;
	struct task_resume_listener *resume_listeners; /* task_resume.h */
	size_t n_resume_listeners;
	bool updating; /* its limits are being changed */
	unsigned int hook_kinds;	/* bit 1 << kind: the specification has hooks of that kind */
	bool create_told; /* to containerd */
	bool abandoned; /* its folder has been removed by hand */
	bool deleting;
	bool removed; /* no longer in the sandbox's list */
};

/* A file system that the rootfs is made of, as an engine gives it. */
struct task_mount {
	const char *type, *source;
	char **options;
	size_t n_options;
};

struct task_config {
	const char *id, *bundle;
	const struct task_mount *rootfs; /* disks for the guest, or to be mounted on <bundle>/rootfs, in this order */
	size_t n_rootfs;
	struct relay_config io;
	int mount_ns; /* mount namespace of the caller, borrowed; -1: the launcher's */
};

/*
 * Create: check the bundle, attach its mounts, and have the agent set it up, once the guest is
 *         there.
 *
 * @done  OK; INVALID_ARGUMENT, ALREADY_EXISTS, NOT_FOUND, FAILED_PRECONDITION, UNIMPLEMENTED,
 *        ABORTED (the sandbox is ending), …: nothing is left then
 */
void task_create(struct sandbox *s, const struct task_config *config, proc_done_fn done,
		 void *userdata);
/* Who created it has ended before it was created: nobody will ask for it. No effect later. */
void task_create_cancel(struct task *c);
/* From the sandbox: its agent answers; its VM was lost, which ends all processes. */
void task_guest_ready(struct task *c);
void task_guest_lost(struct task *c, const char *reason);

/* Borrowed; NULL: there is none. */
struct task *task_find(struct sandbox *s, const char *id);
/* @exec_id "" or NULL: init. */
struct proc *task_proc(struct task *c, const char *exec_id);
struct task *task_ref(struct task *c);
void task_unref(struct task *c);
DEFINE_CLEANUP(struct task *, task_unref);

/* Register an exec. @spec: OCI process object. */
void task_exec(struct task *c, const struct proc_config *config, const void *spec, size_t len,
	       proc_done_fn done, void *userdata);
/* Freeze or thaw all its processes. FAILED_PRECONDITION in another state. */
void task_pause(struct task *c, bool pause, proc_done_fn done, void *userdata);
/* Forget an ended or never started exec. @done may be NULL. */
void task_delete_exec(struct proc *p, proc_done_fn done, void *userdata);
/* Delete a stopped or never started container. */
void task_delete(struct task *c, proc_done_fn done, void *userdata);

/* From a process: its state has changed. */
void task_proc_running(struct proc *p);
void task_proc_stopped(struct proc *p);

/* Forget the stopped execs that nobody will ask for. Not from within a callback of theirs. */
void task_sweep(struct task *c);

/* Whether it is created, running or paused: its cgroup is there in the guest. */
bool task_is_alive(const struct task *c);

/* Whether it needs the VM: being created, created, running, or output of it is under way. */
bool task_needs_vm(const struct task *c);

/* ---- within task*.c ---- */

/* Write its record. Errors of container_record_save. */
int task_save(struct task *c, struct err *err);
/* Take it out of the list and its mounts away, and drop the list's reference. The record stays. */
void task_drop(struct task *c);
/* The same, and its record goes. */
void task_remove(struct task *c);

#endif
