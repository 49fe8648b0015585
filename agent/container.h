/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - the containers of this guest: creating, starting, ending and removing them
 *
 * Shape:    a table of containers, each with an init and any number of further processes (execs).
 *           All that takes time is answered through a callback; nothing here blocks.
 * End:      when init has died, everything left in the container's cgroup is killed; init counts as
 *           finished (process.h) once the cgroup is empty.
 * Limits:   CONTAINER_MAX containers, CONTAINER_PROCESSES_MAX execs each; CONTAINER_KILL_TIMEOUT_MS
 *           for killed processes to go, CONTAINER_FREEZE_TIMEOUT_MS for a freeze to take effect.
 * Process:  the agent, loop thread only.
 * Errors:   -ENOENT no such container or process, -EEXIST, -EBUSY wrong state (the text says
 *           which), -EINVAL and -EOPNOTSUPP a spec that cannot be applied, -ENOSPC over a limit,
 *           -ENOMEM.
 * Not here: rpc (service.h); signals, freezing, listing (container_control.h).
 */
#ifndef ONGGI_AGENT_CONTAINER_H
#define ONGGI_AGENT_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/process.h"
#include "agent/reaper.h"
#include "agent/setup.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define CONTAINER_MAX 256u
#define CONTAINER_PROCESSES_MAX 4096u
#define CONTAINER_KILL_TIMEOUT_MS 10000u
#define CONTAINER_FREEZE_TIMEOUT_MS 10000u

struct container;
struct container_table;
struct disk_list;

/* An empty table. Both are borrowed for its life. Returns 0 or -ENOMEM. */
int container_table_create(struct loop *loop, struct reaper *reaper, struct container_table **ret);
/* Kills what is left without waiting for it; callbacks run with -ECANCELED. */
void container_table_destroy(struct container_table *table);
DEFINE_CLEANUP(struct container_table *, container_table_destroy);
/* The one it was created with; borrowed. */
struct reaper *container_table_reaper(const struct container_table *table);

/* @c is valid during the call, also when it says that the container is gone. */
typedef void (*container_done_fn)(struct container *c, int code, const struct err *err, void *userdata);

struct container_request {
	const char *id;
	const char *spec; /* config.json */
	size_t spec_len;
	const char *rootfs;
	const struct disk_list *disks; /* of the root; NULL: none */
	const struct setup_mount_source *sources;
	size_t n_sources;
	const struct setup_shared_namespace *shared;
	size_t n_shared;
	const char *hook_state; /* see struct setup_request */
};

/*
 * Make a container and its init up to "created".
 *
 * @done  runs when init is ready, or when it has failed and nothing of it is left
 *
 * Returns 0 (then @done will run, always later); otherwise nothing was made and @done will not run.
 */
int container_create(struct container_table *table, const struct container_request *request,
		     container_done_fn done, void *userdata, struct err *err);

/* Returns 0 with *ret, or -ENOENT. A container that is being created is not found yet. */
int container_find(struct container_table *table, const char *id, struct container **ret, struct err *err);
/* The init for an empty @exec_id; else an exec, or -ENOENT. *ret is borrowed. */
int container_find_process(struct container *c, const char *exec_id, struct process **ret, struct err *err);

/* All borrowed from the container. */
const char *container_id(const struct container *c);
struct process *container_init(const struct container *c);
struct cgroup *container_cgroup(const struct container *c);
/* Texts of setup_prepare, NULL-terminated, borrowed. */
char *const *container_warnings(const struct container *c);

/* Register an exec from an OCI process object, as JSON. Nothing runs yet. */
int container_add_process(struct container *c, const char *exec_id, const char *spec, size_t spec_len,
			  struct err *err);

/*
 * Start init, or a registered exec. @done runs once the program runs, or when that has failed and
 * the process is reaped. Returns 0, or why it cannot be tried.
 */
int container_start_process(struct container *c, struct process *p, process_done_fn done, void *userdata,
			    struct err *err);

/* Forget an exec that has ended or was never started. */
int container_remove_process(struct container *c, struct process *p, struct err *err);

/*
 * Kill what is left, wait for it, remove the cgroup and forget the container.
 * Returns 0 (then @done runs, perhaps before the return; -ETIMEDOUT: still there); -EBUSY a removal
 * is under way.
 */
int container_remove(struct container *c, container_done_fn done, void *userdata, struct err *err);

/*
 * Kill and forget all containers, those that are being created too. @done runs once there is none
 * left, perhaps at once. New ones are refused from now on.
 */
void container_table_remove_all(struct container_table *table, void (*done)(void *userdata), void *userdata);

#endif
