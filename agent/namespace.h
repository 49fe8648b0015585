/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace.h - which namespaces a container gets: new ones, the guest's, or shared ones
 *
 * Shape:    a plan is computed from the spec before the fork; the registry holds a descriptor for
 *           each namespace that containers of the sandbox share under a key.
 * Rules:    mount and cgroup namespaces are always new (the cgroup one is unshared by the child
 *           once it is in its cgroup: clone3 would root it at the agent's); the network namespace
 *           is the virtual machine's own whatever the spec says; a type the spec does not list is
 *           the guest's. A user namespace is there before the first process (userns.h), a time
 *           namespace when it is born.
 * Process:  the agent, and its children during set-up; single-threaded.
 * Source:   namespaces(7), setns(2), clone(2).
 */
#ifndef ONGGI_AGENT_NAMESPACE_H
#define ONGGI_AGENT_NAMESPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/userns.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

/*
 * The agent's own namespace of any type that can be shared: what stands for the host's in a guest.
 */
#define NAMESPACE_KEY_OWN "vm"
#define NAMESPACE_KEY_MAX 64u
/* Shared namespaces of one sandbox; a pod has three. */
#define NAMESPACE_SHARED_MAX 64u

struct namespace_registry;
struct namespace_shared; /* one entry: (type, key) */

/* Empty. Returns 0 or -ENOMEM. */
int namespace_registry_create(struct namespace_registry **ret);
/* No container may refer to an entry any more: assert. */
void namespace_registry_destroy(struct namespace_registry *registry);
DEFINE_CLEANUP(struct namespace_registry *, namespace_registry_destroy);

/*
 * Refer to the namespace (type, key), making the entry if it is not there. Its namespace is created
 * by the first container that starts with it.
 *
 * Returns 0; -EINVAL a key that is not 1 to NAMESPACE_KEY_MAX bytes of [a-z0-9:]; -EOPNOTSUPP a
 * type that cannot be shared (all but pid, ipc, uts and user); -ENOSPC over NAMESPACE_SHARED_MAX;
 * -ENOMEM.
 */
int namespace_shared_ref(struct namespace_registry *registry, enum oci_namespace type, const char *key,
			 struct namespace_shared **ret, struct err *err);
/* The last reference closes the descriptor. */
void namespace_shared_unref(struct namespace_shared *shared);

/* What one container gets. */
struct namespace_plan {
	uint64_t clone_flags;                          /* CLONE_NEW* for clone3 */
	struct namespace_shared *shared[OCI_NS_COUNT]; /* owned references, NULL: not shared */
	struct userns *user;                           /* of one of them; NULL: the guest's */
};

/*
 * Make the user namespace that @spec asks for, unless who shares it has: @plan->user.
 * Returns 0; errors of userns_create; -EINVAL it is not in @plan->shared.
 */
int namespace_plan_user(struct namespace_plan *plan, const struct oci_spec *spec, struct err *err);

/* Compute the plan from @spec and the already filled @plan->shared. */
void namespace_plan_fill(struct namespace_plan *plan, const struct oci_spec *spec);
void namespace_plan_finish(struct namespace_plan *plan);

/*
 * In the agent after the first clone: open the namespaces of @pid that are shared and not yet held.
 * Returns 0 or a negative errno.
 */
int namespace_plan_adopt(struct namespace_plan *plan, pid_t pid, struct err *err);

/* The shared pid namespace that exists already, borrowed; negative: there is none to join. */
int namespace_plan_pid_fd(const struct namespace_plan *plan);

/*
 * In the agent around clone3: let children be born in the pid namespace @fd (a namespace, or the
 * pidfd of a process in it), and back. Errnos of setns(2).
 */
int namespace_enter_pid(int fd, struct err *err);
int namespace_leave_pid(struct err *err);

/*
 * In the agent around clone3: let children be born in a new time namespace with the offsets of
 * @spec, and back.
 * Returns 0; -ERANGE offsets that the kernel refuses; another negative errno.
 */
int namespace_enter_time(const struct oci_spec *spec, struct err *err);
int namespace_leave_time(struct err *err);

/*
 * In the child: join the shared namespaces that exist (ipc, uts). Errnos of setns(2), with the
 * type.
 */
int namespace_plan_join(const struct namespace_plan *plan, struct err *err);

/*
 * The descriptors that the child needs for namespace_plan_join; returns how many (<= OCI_NS_COUNT).
 */
size_t namespace_plan_fds(const struct namespace_plan *plan, int fds[OCI_NS_COUNT]);

/* Flags for setns(pidfd, …) by which an exec joins everything but pid and user. */
int namespace_exec_flags(const struct oci_spec *spec);

#endif
