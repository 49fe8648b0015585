/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_places.h - what of the host's files QEMU gets to see
 *
 * Its own program with libraries and firmware, the three files of the configuration, and the device
 * nodes it opens by path. Everything else (sockets, disks, taps, memory, state) is handed to it as
 * a descriptor.
 */
#ifndef ONGGI_HYPERVISOR_QEMU_PLACES_H
#define ONGGI_HYPERVISOR_QEMU_PLACES_H

#include <stddef.h>

#include "hypervisor/jail_root.h"
#include "hypervisor/vm.h"

struct qemu_places {
	struct jail_place places[JAIL_PLACES_MAX];
	size_t n;
	char *folders[4]; /* beside a program that is installed in a prefix of its own */
};

/*
 * The places for @config, whose strings are borrowed. A saved machine that goes on needs no kernel.
 * Freed with qemu_places_free, also after -ENOMEM.
 */
int qemu_places_init(struct qemu_places *places, const struct vm_config *config);
void qemu_places_free(struct qemu_places *places);

#endif
