/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_machine.h - the guest's size follows what its containers may use
 *
 * Shape:    sandbox_machine_fit adds up the needs of the containers (struct task.need) and has the
 *           agent take into use, or give up, what is different. A later call replaces one under
 *           way.
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_SANDBOX_MACHINE_H
#define ONGGI_SHIM_SANDBOX_MACHINE_H

#include "shim/proc.h"
#include "shim/sandbox.h"

/* The agent waits before it gives up memory, and the kernel may take long. */
#define AGENT_MACHINE_TIMEOUT_MS 60000

/* What a guest that is to boot now boots with; remembered as its size. */
struct machine_size sandbox_machine_boot(struct sandbox *s);

/*
 * @done (may be NULL) runs once the guest is at least as large as it has to be, at once if it is;
 * or with a code and a message that says why it cannot be. Whatever is too much goes later.
 */
void sandbox_machine_fit(struct sandbox *s, proc_done_fn done, void *userdata);

/* Whether the guest has given up all that it does not need. */
bool sandbox_machine_is_small(const struct sandbox *s);

/* Why the needs of all containers do not fit into the machine; false: they do. */
bool sandbox_machine_too_small(struct sandbox *s, char *text, size_t size);

#endif
