/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h - programs of the engine that run on the host at points of a container's life
 *
 * Kinds:    prestart, createRuntime, poststart and poststop run in the namespaces of whoever calls;
 *           createContainer in those of the host that stand for the container (task_hooks.h);
 *           startContainer in the guest, by the agent.
 * Trust:    the engine's own configuration; they run as we do, with the state on stdin and nothing
 *           of our descriptors.
 * Source:   runtime-spec config.md "POSIX-platform Hooks"; Docker and nerdctl set up networks in
 *           them, by the pid in the state and its /proc/<pid>/ns/net.
 */
#ifndef ONGGI_SHIM_HOOKS_H
#define ONGGI_SHIM_HOOKS_H

#include "common/err.h"
#include "common/oci.h"
#include "shim/state.h"

/* Where they run. */
struct hooks_place {
	int netns_fd;    /* network namespace; -EBADF: the caller's */
	const char *cwd; /* working folder; NULL: the bundle */
};
#define HOOKS_PLACE_HERE { .netns_fd = -EBADF }

/*
 * Run the hooks of one kind in their order, each to its end. Blocks.
 *
 * @record  container they are told about
 * @status  what the state says
 *
 * Returns 0; -EIO one ended with another code than 0, -ETIMEDOUT one took longer than its timeout
 * and was killed; errnos of reading config.json in the record's bundle. Hooks after a failed one
 * are not run, but for poststart and poststop.
 */
int hooks_run(const struct container_record *record, enum oci_hook_kind kind,
	      enum container_status status, const struct hooks_place *place, struct err *err);

/* The state that hooks get, as text for the caller to free; NULL: no memory. */
char *hooks_state(const struct container_record *record, enum container_status status);

#endif
