/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_internal.h - struct client, for client*.c alone
 */
#ifndef ONGGI_SHIM_RUNTIME_CLIENT_INTERNAL_H
#define ONGGI_SHIM_RUNTIME_CLIENT_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/loop.h"
#include "common/ttrpc.h"

#define CLIENT_TASK_SERVICE "containerd.task.v2.Task"
#define CLIENT_SANDBOX_SERVICE "onggi.sandbox.v1.Sandbox"

struct client {
	struct loop *loop;
	struct ttrpc_client *ttrpc;
	char *socket;
	/* of client_watch.c: */
	const char *watched;         /* the container that is being waited for; NULL: none */
	struct loop_source *silence; /* NULL before the first wait */
	bool asked, stuck;
};

/* When a monitor is asked whether it lives, and when it is given up, ms. */
struct client_limits {
	uint64_t silence_ms, stuck_ms;
};
extern const struct client_limits client_limits;

struct client_method {
	const char *service, *name;
	const ProtobufCMessageDescriptor *response;
};

/*
 * A call that is waited for, with an eye on the monitor: as ttrpc_client_call_wait.
 *
 * @id  the container, for the question whether the monitor lives and for the error's text
 *
 * -ETIMEDOUT: the monitor hangs (then every later call fails at once), or @timeout_ms (0: none) is over.
 */
int client_call_wait(struct client *c, const char *id, const struct client_method *m,
		     const ProtobufCMessage *request, uint64_t timeout_ms, void *ret_response, struct err *err);

/* Set *err to what is to be said of a monitor that has not answered for @waited_ms. Returns -ETIMEDOUT. */
int client_describe_stuck(const char *socket, const char *id, uint64_t waited_ms, struct err *err);

#endif
