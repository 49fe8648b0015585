/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h - programs of the engine that run on the host at points of a container's life
 *
 * Kinds:    prestart, createRuntime, poststart and poststop. createContainer and startContainer
 *           would have to run in the container's namespaces, which are the guest's: a spec that
 *           names them is refused.
 * Trust:    the engine's own configuration; they run as we do, with the state on stdin and nothing
 *           of our descriptors.
 * Source:   runtime-spec config.md "POSIX-platform Hooks"; Docker and nerdctl set up networks in
 *           them, by the pid in the state and its /proc/<pid>/ns/net.
 */
#ifndef ONGGI_SHIM_RUNTIME_HOOKS_H
#define ONGGI_SHIM_RUNTIME_HOOKS_H

#include <stdbool.h>

#include "common/err.h"
#include "common/oci.h"
#include "shim/state.h"

bool hooks_supported(enum oci_hook_kind kind);

/* -EOPNOTSUPP when @spec names a hook of a kind that cannot be run. */
int hooks_check(const struct oci_spec *spec, struct err *err);

/*
 * Run the hooks of one kind in their order, each to its end.
 *
 * @record    container they are told about
 * @status    what the state says
 * @netns_fd  network namespace to run them in; -EBADF: the caller's
 *
 * Returns 0; -EIO one ended with another code than 0, -ETIMEDOUT one took longer than its timeout
 * and was killed; errnos of reading config.json in the record's bundle. Hooks after a failed one
 * are not run, but for poststop.
 */
int hooks_run(const struct container_record *record, enum oci_hook_kind kind,
	      enum container_status status, int netns_fd, struct err *err);

#endif
