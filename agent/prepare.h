/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prepare.h - what a guest does for its clones before it is saved as a template
 *
 * A guest that goes on from a saved state runs every piece of code for the first time, which is
 * what a start costs: most of all under emulation, where code is translated then. So what does not
 * depend on the container is done before the machine is saved: a cgroup with its controllers and
 * device rules, what the kernel sets up with the first namespaces of their kind, and the work that
 * the kernel puts off when it boots.
 *
 * Process:  the agent, before it serves anybody.
 */
#ifndef ONGGI_AGENT_PREPARE_H
#define ONGGI_AGENT_PREPARE_H

#include <stdbool.h>

#include "common/err.h"

/*
 * In the agent's environment, where the kernel puts words of its command line that it does not
 * know.
 */
#define PREPARE_VARIABLE "onggi_prepare"
/*
 * How long a guest stays alone afterwards. None of what happens then is announced: one second after
 * the boot the kernel corrects its clock's rate and switches to finer timers, and two seconds after
 * the balloon's driver has started it reports the free memory to the host, piece by piece.
 */
#define PREPARE_SETTLE_MS 3000u

/* Whether this guest is to become a template. */
bool prepare_wanted(void);
/* Returns 0, or a negative errno: the guest is none that clones should be made of. */
int prepare_guest(struct err *err);

#endif
