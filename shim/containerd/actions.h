/* SPDX-License-Identifier: Apache-2.0 */
/*
 * actions.h - the short-lived roles of containerd-shim-onggi-v2; the long-lived one is the sandbox
 * monitor
 *
 * State:    one root for each containerd and namespace of it, since ids are unique in these only:
 *           SHIM_STATE_ROOT/<hash of both>.
 * Answers:  stdout belongs to the protocol. An error is told on stderr by main.
 * Errors:   negative errno with the reason: of the flags, of config.json, of a sandbox that did
 *           not start (monitor.h).
 * Source:   containerd's docs on runtime v2: "start", "delete", "-info".
 */
#ifndef ONGGI_SHIM_CONTAINERD_ACTIONS_H
#define ONGGI_SHIM_CONTAINERD_ACTIONS_H

#include "common/err.h"
#include "shim/containerd/flags.h"

#define SHIM_STATE_ROOT "/run/onggi/containerd"
/*
 * Part of a container's id that its sandbox is named by: paths of sockets are short (108 bytes),
 * and so is what containerd connects to.
 */
#define SHIM_SANDBOX_NAME_MAX 40

/* Freed by the caller; NULL: no memory. */
char *shim_state_root(const struct shim_flags *flags);

/*
 * Find or launch the sandbox of the bundle in the working folder, print its address. Silent
 * otherwise.
 */
int shim_start(const struct shim_flags *flags, struct err *err);
/* Remove all of a container, whatever state it is in, and print a DeleteResponse. Idempotent. */
int shim_delete(const struct shim_flags *flags, struct err *err);
/* Print a RuntimeInfo. */
int shim_info(const struct shim_flags *flags, struct err *err);

#endif
