/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_network_message.h - what a scan found, as the agent is told it
 */
#ifndef ONGGI_SHIM_SANDBOX_NETWORK_MESSAGE_H
#define ONGGI_SHIM_SANDBOX_NETWORK_MESSAGE_H

#include "common/proto/agent.pb-c.h"
#include "net/scan.h"

/* The message borrows from @state and is freed by network_message_free. Returns 0 or -ENOMEM. */
int network_message_create(const struct net_state *state,
			   Onggi__Agent__V1__UpdateNetworkRequest **ret);
void network_message_free(Onggi__Agent__V1__UpdateNetworkRequest *message);

#endif
