/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_vm.h - starting and stopping the VM of a sandbox: file server, VMM, agent connection
 *
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_SANDBOX_VM_H
#define ONGGI_SHIM_SANDBOX_VM_H

#include "common/err.h"
#include "shim/sandbox.h"

/*
 * Start file server and VMM and greet the agent. Phase must be DOWN; becomes BOOTING, later READY,
 * or the sandbox is given up. Returns 0, or the errnos of file_server_create and vm_create, all
 * undone.
 */
int sandbox_vm_start(struct sandbox *s, struct err *err);
/*
 * Kill all three and wait for their ends. No effect when they are not there. Not from within their
 * callbacks.
 */
void sandbox_vm_stop(struct sandbox *s);

#endif
