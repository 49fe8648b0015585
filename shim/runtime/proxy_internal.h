/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_internal.h - what proxy.c and proxy_fork.c share
 */
#ifndef ONGGI_SHIM_RUNTIME_PROXY_INTERNAL_H
#define ONGGI_SHIM_RUNTIME_PROXY_INTERNAL_H

#include <signal.h>

#include "shim/runtime/proxy.h"

/* Those by which people and engines end a command that takes too long. */
void proxy_interrupting_signals(sigset_t *ret);

/*
 * proxy_open on behalf of a command.
 *
 * @parent_fd  a pipe whose reader is the command: its end gives the creation up; -EBADF: there is
 *             none. Borrowed during the call.
 */
int proxy_open_for(int parent_fd, const struct proxy_config *config, struct proxy **ret, struct err *err);

/* Kill and delete the process: it exists but its proxy cannot serve it. */
void proxy_abandon(struct proxy *p);

/* Somebody else removes the FIFOs. */
void proxy_forget_fifos(struct proxy *p);

#endif
