/* SPDX-License-Identifier: Apache-2.0 */
/*
 * services.h - what the monitor offers on its socket: containerd's Task service, versions 2 and 3,
 * and our Sandbox service
 *
 * Peer:     programs of our own user (ttrpc.h checks); their strings are bounded by ttrpc and
 *           checked here.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_SERVICES_H
#define ONGGI_SHIM_SERVICES_H

#include "common/ttrpc.h"
#include "shim/sandbox.h"

#define SERVICES_COUNT 3

extern const struct ttrpc_method task_service_methods[];
extern const size_t task_service_n_methods;
extern const struct ttrpc_method sandbox_service_methods[];
extern const size_t sandbox_service_n_methods;

/* Fill the table for ttrpc_server_create. */
void services_init(struct ttrpc_service services[SERVICES_COUNT], struct sandbox *s);

#endif
