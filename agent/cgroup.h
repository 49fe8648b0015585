/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - one container's cgroup (version 2) in the guest
 *
 * Shape:    /sys/fs/cgroup/onggi/<container>/, held by a descriptor; init and execs live in it. One
 *           can be made before it is needed: the first container lives in that, whatever its name.
 * Waiting:  freezing and killing take effect later; cgroup_events_fd() becomes readable then
 *           (inotify), and cgroup_state() says how far it is.
 * Process:  the agent, loop thread only.
 * Errors:   where nothing else is said, 0 or the negative errno of one of the cgroup's files,
 *           which @err names.
 * Source:   the kernel's Documentation/admin-guide/cgroup-v2.rst; OCI config-linux.md.
 * Not here: turning the spec's numbers into files (cgroup_limits.h), device rules
 *           (cgroup_device.h).
 */
#ifndef ONGGI_AGENT_CGROUP_H
#define ONGGI_AGENT_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

#define CGROUP_ROOT "/sys/fs/cgroup"
/* Most processes that cgroup_pids lists. */
#define CGROUP_PIDS_MAX 65536u

struct cgroup;

/*
 * Make the cgroup "onggi/<id>" below the cgroup2 mount @root, with every controller the kernel has.
 *
 * @root  CGROUP_ROOT, or another cgroup2 folder in tests
 *
 * Returns 0; -EEXIST; -EINVAL @id may not name a folder; -ENOTSUP @root is no cgroup2; another
 * errno.
 */
int cgroup_create(const char *root, const char *id, struct cgroup **ret, struct err *err);
/*
 * Make one below @root (which must stay valid) with the standard device rules, for the
 * cgroup_create that comes first: it takes a good part of a container's creation, and can be done
 * before a machine is saved.
 * Returns 0, or as cgroup_create.
 */
int cgroup_prepare(const char *root, struct err *err);
/* Closes; the cgroup stays. */
void cgroup_destroy(struct cgroup *cg);
DEFINE_CLEANUP(struct cgroup *, cgroup_destroy);

/* Remove it and its descendants. Returns 0 (also when gone); -EBUSY processes are left. */
int cgroup_remove(struct cgroup *cg, struct err *err);

/* Directory descriptor for CLONE_INTO_CGROUP; borrowed. */
int cgroup_fd(const struct cgroup *cg);
/*
 * Where a further process can go: the cgroup itself or, when the container has distributed
 * controllers to children of its own ("no internal processes"), the cgroup of its init @pid.
 *
 * Returns a descriptor that the caller closes, or a negative errno.
 */
int cgroup_open_for_exec(const struct cgroup *cg, pid_t pid, struct err *err);

/*
 * Apply limits; only what is given is changed. Used at creation and by update.
 * Returns 0; -EINVAL a value that cannot be honoured, named; -EOPNOTSUPP a field without an equal
 * in version 2 (disableOOMKiller), or whose controller the guest does not have.
 */
int cgroup_apply(struct cgroup *cg, const struct oci_resources *resources, struct err *err);

/* Ask for freezing or thawing. cgroup_state().frozen follows. */
int cgroup_freeze(struct cgroup *cg, bool frozen, struct err *err);
/* SIGKILL to every process in it and below. */
int cgroup_kill(struct cgroup *cg, struct err *err);

struct cgroup_state {
	bool populated; /* a process is in it or below */
	bool frozen;
};
/* How it is at this moment. */
int cgroup_state(struct cgroup *cg, struct cgroup_state *ret, struct err *err);

/*
 * inotify descriptor, non-blocking, borrowed: poll for reading, then cgroup_events_drain, then
 * look. The first call makes it: a negative errno of inotify_init1(2) or inotify_add_watch(2).
 */
int cgroup_events_fd(struct cgroup *cg, struct err *err);
void cgroup_events_drain(struct cgroup *cg);

/*
 * How many processes the memory limit has killed so far; 0 where there is no memory controller.
 */
int cgroup_oom_kills(struct cgroup *cg, uint64_t *ret, struct err *err);

/*
 * Processes in it and below, in the agent's pid namespace; freed by the caller. At most
 * CGROUP_PIDS_MAX. -ENOMEM.
 */
int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_n, struct err *err);

#endif
