/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_network.h - the sandbox's network namespace, reproduced in its guest
 *
 * Shape:    for each interface of the namespace a tap joined with it, a network card in the VM, and
 *           one UpdateNetwork of the agent's for the whole. Engines configure the namespace at any
 *           time: before create, between create and start, while containers run. The kernel tells
 *           of changes, and the guest follows.
 * Life:     cards stand while the VM does; when it ends the namespace is as if nobody had been
 *           there. After a kill of the monitor sandbox_network_clean does the same.
 * Peer:     engines (trusted in intent), VMM and agent (hostile). What fails before a process is to
 *           start fails that start; later it is logged.
 * Process:  the sandbox monitor, which lives in the namespace; loop thread only.
 * Not here: scanning, taps, redirects (net/).
 */
#ifndef ONGGI_SHIM_SANDBOX_NETWORK_H
#define ONGGI_SHIM_SANDBOX_NETWORK_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/ttrpc.h"
#include "shim/state.h"

struct sandbox;
struct sandbox_network;

/*
 * Begin to watch the calling thread's network namespace. Returns 0, or errnos of netlink_open.
 */
int sandbox_network_create(struct sandbox *s, struct sandbox_network **ret, struct err *err);
/* As after sandbox_network_vm_stopped. NULL allowed. */
void sandbox_network_destroy(struct sandbox_network *n);
DEFINE_CLEANUP(struct sandbox_network *, sandbox_network_destroy);

/*
 * From the sandbox: the VMM runs; the agent is configured; both are gone (not from within their
 * callbacks). NULL allowed.
 */
void sandbox_network_vm_started(struct sandbox_network *n);
void sandbox_network_guest_ready(struct sandbox_network *n);
void sandbox_network_vm_stopped(struct sandbox_network *n);

typedef void (*sandbox_network_fn)(enum ttrpc_code code, const char *message, void *userdata);
/*
 * Wait until the guest has what the namespace holds now.
 *
 * @done  runs once, perhaps before the return: TTRPC_OK; TTRPC_UNAVAILABLE the VM has gone;
 *        TTRPC_FAILED_PRECONDITION with what cannot be brought into the guest
 * @n     NULL: TTRPC_OK at once
 */
void sandbox_network_settle(struct sandbox_network *n, sandbox_network_fn done, void *userdata);

/*
 * Remove from the namespace of @record what a killed monitor left there. No effect when it had no
 * path, or the path leads to another one by now.
 */
int sandbox_network_clean(const struct sandbox_record *record, struct err *err);

#endif
