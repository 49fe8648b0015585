/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - the shape of a sandbox's virtual machine, from the configuration
 *
 * Whoever starts a machine and whoever makes the template for it must mean the same one.
 */
#ifndef ONGGI_SHIM_MACHINE_H
#define ONGGI_SHIM_MACHINE_H

#include <stdint.h>

#include "hypervisor/hypervisor.h"
#include "shim/config.h"

/*
 * For a guest that boots with so much, in a machine that has room for more (machine_size.h).
 * Everything but name, descriptors and what is restored. Strings are borrowed from
 * @config.
 */
void machine_shape(const struct config *config, enum vm_accel accel, unsigned int vcpus,
		   uint64_t memory_mib, struct vm_config *ret);

#endif
