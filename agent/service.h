/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - onggi.agent.v1.Agent: the methods of agent.proto
 *
 * Shape:    one handler per method; each checks its fields, calls the module that does the work,
 *           and answers at once or from that module's callback.
 * Peer:     the sandbox monitor: right in intent, yet every field is bounded here or where it is
 *           used.
 * Process:  the agent, loop thread only.
 */
#ifndef ONGGI_AGENT_SERVICE_H
#define ONGGI_AGENT_SERVICE_H

#include "agent/container.h"
#include "agent/share.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/ttrpc.h"

/*
 * Milliseconds for containers to end and caches to be written before a Shutdown is answered
 * regardless.
 */
#define SERVICE_SHUTDOWN_TIMEOUT_MS 15000u

struct service;

/* What the service asks of its surroundings. */
struct service_hooks {
	void (*log_level)(enum log_level level, void *userdata);
	/* Called once, in a later round than the answer to Shutdown. */
	void (*shutdown)(void *userdata);
	void *userdata;
};

/* All pointers are borrowed for the service's life. Returns 0 or -ENOMEM. */
int service_create(struct loop *loop, struct container_table *containers, struct share *share,
		   const struct service_hooks *hooks, struct service **ret);
/* Destroy the container table before: calls that wait end through it. */
void service_destroy(struct service *service);
DEFINE_CLEANUP(struct service *, service_destroy);

/* For ttrpc_server_create; lives as long as the service. */
const struct ttrpc_service *service_ttrpc(const struct service *service);

#endif
