/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - the virtio-serial port that ttrpc runs over
 *
 * Shape:    found by its name below /sys/class/virtio-ports, opened once. Whenever the host's side
 *           is connected, the port is served as one ttrpc connection, with stream ids that start
 *           anew.
 * Gone:     a port that was connected and is not any more has CHANNEL_RECONNECT_MS to come back.
 *           One that was never connected waits for ever: that is how a template guest is saved (the
 *           host sees that the guest has opened the port, and needs to say nothing).
 * Limit:    the kernel tells the state of the other side, not its changes. A host that leaves and
 *           is back before the guest has looked is taken for the same one, and its stream ids for
 *           used ones. So whoever saves a template leaves the channel alone.
 * Process:  the agent, loop thread only; channel_open_port blocks and is for the start.
 * Source:   the kernel's virtio_console: POLLHUP and end of file while the host's side is closed.
 */
#ifndef ONGGI_AGENT_CHANNEL_H
#define ONGGI_AGENT_CHANNEL_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/ttrpc.h"

#define CHANNEL_PORT_NAME "onggi.agent"
#define CHANNEL_PORT_WAIT_MS 30000u
#define CHANNEL_RECONNECT_MS 10000u

/*
 * Wait for the port @name to appear and open it, non-blocking.
 * Returns the descriptor; -ETIMEDOUT; another errno.
 */
int channel_open_port(const char *name, unsigned int timeout_ms, struct err *err);

struct channel;

/*
 * Serve @port (taken over on success). @gone runs once when the host has gone for good; it may
 * not destroy the channel.
 *
 * Returns 0; -ENOMEM; errnos of epoll_create1(2), epoll_ctl(2).
 */
int channel_create(struct loop *loop, struct ttrpc_server *server, int port, void (*gone)(void *userdata),
		   void *userdata, struct channel **ret);
/* Destroy the server before: its connections use the channel. */
void channel_destroy(struct channel *channel);
DEFINE_CLEANUP(struct channel *, channel_destroy);

#endif
