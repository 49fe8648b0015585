/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template_make.h - boot a machine, save it when its agent is there, put it into the folder
 *
 * Process:  the template maker (a role of onggi-runtime, started by the first sandbox that found no
 *           template) and the command "template create". Blocks for as long as a boot takes; the
 *           VMM dies with it.
 */
#ifndef ONGGI_SHIM_TEMPLATE_MAKE_H
#define ONGGI_SHIM_TEMPLATE_MAKE_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"
#include "shim/config.h"

/* How many calls the agent of a clone has served already: the maker's. */
#define TEMPLATE_MAKER_CALLS 1u

/*
 * Make the template for machine_shape(@config, @accel, @vcpus, @memory_mib), in place of one that
 * is there.
 *
 * Returns 0; -EWOULDBLOCK somebody else is making it just now; -ETIMEDOUT the guest did not come up
 * within config.boot_timeout_ms and 30 s more; errnos of vm_create, vm_save and template_begin.
 */
int template_make(const struct config *config, enum vm_accel accel, unsigned int vcpus,
		  uint64_t memory_mib, bool replace, struct err *err);

/*
 * Start the maker for a machine in a process of its own, and do not wait for it: it outlives the
 * caller. Returns 0 or errnos of fork(2).
 */
int template_maker_launch(const struct config *config, enum vm_accel accel, unsigned int vcpus,
			  uint64_t memory_mib);

/* First argument of the process that template_maker_launch starts. */
#define TEMPLATE_MAKER_ROLE "template-maker"
/* Its entry. Returns the exit code of the process. */
int template_maker_main(int argc, char **argv);

#endif
