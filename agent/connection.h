/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection.h - TCP connections from the host's side to services at the guest's loopback addresses
 *
 * Shape:    each is the ends of a stream (stdio.h), found by an id of the caller's choice.
 * Limits:   CONNECTIONS_MAX at a time; ids of 1 to CONNECTION_ID_MAX bytes.
 * Process:  the agent, loop thread only.
 */
#ifndef ONGGI_AGENT_CONNECTION_H
#define ONGGI_AGENT_CONNECTION_H

#include <stdint.h>

#include "agent/stdio.h"
#include "common/err.h"
#include "common/loop.h"

#define CONNECTIONS_MAX 128u
#define CONNECTION_ID_MAX 32u

struct connections;

/* Returns 0 or -ENOMEM. @loop is borrowed for its life. */
int connections_create(struct loop *loop, struct connections **ret);
/* With all that are open. NULL is allowed. */
void connections_destroy(struct connections *cs);

/*
 * Connect to 127.0.0.1, or if nobody listens there to ::1.
 * Returns 0; -EPIPE nobody listens; -EEXIST the id is taken; -EINVAL no valid id; -ENOSPC, -ENOMEM.
 */
int connections_open(struct connections *cs, const char *id, uint16_t port, struct err *err);
/* Borrowed; NULL: there is none. */
struct stdio *connections_find(struct connections *cs, const char *id);
/* Unknown ones: no effect. */
void connections_close(struct connections *cs, const char *id);

#endif
