/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_forward.h - who enters a pod's network namespace on the host and connects to its loopback
 * addresses reaches the guest's services there
 *
 * Why:      that is how Kubernetes' port-forward works. The guest has loopback addresses of its
 *           own.
 * Shape:    the connection is accepted (net/loopback.h), the agent makes another one to the same
 *           port in the guest, and bytes travel as those of a process do: pulled from the guest
 *           only when the client has taken the ones before, one message in flight to it.
 * Peer:     guest: longer answers than asked for end the connection. Where nobody listens in the
 *           guest the client's connection is reset, as it has been accepted by then.
 * Limits:   FORWARD_CONNECTIONS_MAX; further ones wait in the kernel. FORWARD_CHUNK_BYTES each way.
 * Process:  the sandbox monitor, loop thread only; in the sandbox's network namespace.
 */
#ifndef ONGGI_SHIM_SANDBOX_FORWARD_H
#define ONGGI_SHIM_SANDBOX_FORWARD_H

#include "common/cleanup.h"
#include "common/err.h"

#define FORWARD_CONNECTIONS_MAX 64u
#define FORWARD_CHUNK_BYTES (64u << 10)
/*
 * One side has ended and the other is silent: how long that may last. Many clients never half-close
 * and just vanish.
 */
#define FORWARD_HALF_CLOSED_MS 60000u

struct sandbox;
struct sandbox_forward;

/* Returns 0, or errnos of net_loopback_take. */
int sandbox_forward_create(struct sandbox *s, struct sandbox_forward **ret, struct err *err);
/* The agent and its calls have gone. NULL is allowed. */
void sandbox_forward_vm_stopped(struct sandbox_forward *f);
/* After that. NULL is allowed. */
void sandbox_forward_destroy(struct sandbox_forward *f);
DEFINE_CLEANUP(struct sandbox_forward *, sandbox_forward_destroy);

#endif
