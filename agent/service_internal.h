/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_internal.h - what the handlers of different topics share
 *
 * Process:  the agent, loop thread only.
 */
#ifndef ONGGI_AGENT_SERVICE_INTERNAL_H
#define ONGGI_AGENT_SERVICE_INTERNAL_H

#include <stdbool.h>

#include "agent/network.h"
#include "agent/service.h"

struct service {
	struct loop *loop;
	struct container_table *containers;
	struct share *share;
	struct network *network;
	struct ttrpc_service ttrpc;
	const struct service_hooks *hooks;
	struct ttrpc_call *shutdown_call; /* a Shutdown is under way */
	struct loop_source *shutdown_timer;
	bool shutdown_answered;
};

/* The status that suits @code, with the text of @err. */
void service_answer_failure(struct ttrpc_call *call, int code, const struct err *err);
void service_answer_empty(struct ttrpc_call *call);
/* One of the two: for handlers that are done when they return. */
void service_answer(struct ttrpc_call *call, int code, const struct err *err);

/* ---- service_network.c ---- */

void service_update_network(struct ttrpc_call *call, const void *message, void *userdata);

#endif
