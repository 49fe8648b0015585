/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_internal.h - struct client, for client*.c alone
 */
#ifndef ONGGI_SHIM_RUNTIME_CLIENT_INTERNAL_H
#define ONGGI_SHIM_RUNTIME_CLIENT_INTERNAL_H

#include "common/loop.h"
#include "common/ttrpc.h"

#define CLIENT_TASK_SERVICE "containerd.task.v2.Task"
#define CLIENT_SANDBOX_SERVICE "onggi.sandbox.v1.Sandbox"

struct client {
	struct loop *loop;
	struct ttrpc_client *ttrpc;
};

#endif
