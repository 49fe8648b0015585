/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - what every driver's VM begins with; for drivers only
 */
#ifndef ONGGI_HYPERVISOR_VM_H
#define ONGGI_HYPERVISOR_VM_H

#include "hypervisor/hypervisor.h"

/* First member of the driver's own structure. */
struct vm {
	const struct vm_driver *driver;
};

extern const struct vm_driver qemu_driver;

#endif
