/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_cgroup.h - the host's cgroups of a sandbox's containers, as the monitor keeps them
 *
 * Home:     monitor, VMM and file server live in the cgroup of one container, the one that the
 *           sandbox was started for. When it is deleted while others live they move to the oldest
 *           of those; what was charged stays with the old one's parents, as the kernel has it.
 * Limits:   what the containers ask for as a whole, plus what a VM needs for itself, at home. With
 *           one container that is its own: memory limit + overhead, quota, shares, cpuset, weight
 *           as given. With several the sum, none if one of them has none, and no cpuset. Quotas
 *           count from the start of a container on: booting is not the workload's work. The other
 *           containers' cgroups, with nothing but proxies in them, have the limits they ask for.
 * Not here: making and removing the cgroups: the command line does (hostcgroup.h).
 */
#ifndef ONGGI_SHIM_SANDBOX_CGROUP_H
#define ONGGI_SHIM_SANDBOX_CGROUP_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"
#include "shim/config.h"
#include "shim/hostcgroup_limits.h"

/*
 * Host threads and processes of one cgroup: VMM, file server, monitor and proxies. A guest's own
 * processes are none of them.
 */
#define SANDBOX_CGROUP_PIDS 4096u
/*
 * A VM with less of a CPU than this share cannot answer its monitor in time; the guest holds the
 * workload to less.
 */
#define SANDBOX_CGROUP_QUOTA_SHARE 10u

struct sandbox;
struct task;
struct task_cgroup;

/* What a container alone asks of the host. *ret is finished by the caller; -ENOMEM. */
int sandbox_cgroup_limits_of(const struct oci_resources *resources, const struct config *config,
			     struct hostcgroup_limits *ret);

/*
 * Take up the cgroup of @c, which its creator has made (none: 0), and set limits.
 * Errors of hostcgroup_load and hostcgroup_limits_apply.
 */
int task_cgroup_attach(struct task *c, const struct oci_resources *resources, struct err *err);
void task_cgroup_free(struct task_cgroup *cgroup);

/*
 * New limits of @c, for Task.Update: only what @resources names changes. Errors of
 * hostcgroup_limits_apply; what was possible is done.
 */
int task_cgroup_update(struct task *c, const struct oci_resources *resources, struct err *err);

/* A container has started, stopped, come or gone: set limits anew. Failures are for the log. */
void sandbox_cgroup_refresh(struct sandbox *s);

/* @c leaves the sandbox: nothing is under way for it any more. */
void task_cgroup_cancel(struct task *c);

/* @c is about to be deleted: if the monitor lives in its cgroup, move on. */
void task_cgroup_vacate(struct task *c);

/*
 * The guest's kernel has killed something of @c for its memory limit: have the host's kernel say
 * the same of @c's cgroup, once in its life. @done (may be NULL) runs exactly once, when engines
 * can see it or it was given up, perhaps at once.
 */
void task_cgroup_show_oom(struct task *c, void (*done)(void *userdata), void *userdata);

#endif
