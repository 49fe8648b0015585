/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_cmdline.h - the argument vector of QEMU for one VM
 *
 * Shape:    a pure function from configuration and descriptor numbers to a vector of strings.
 * Rule:     a string of somebody else that enters an option list passes qemu_cmdline_escape (","
 *           becomes ",,", control characters are refused); nothing is passed through a shell.
 * Source:   qemu(1) of 7.2; Linux Documentation/admin-guide/kernel-parameters.txt.
 * Not here: starting it (qemu.c), devices added later (qemu_device.h).
 */
#ifndef ONGGI_HYPERVISOR_QEMU_CMDLINE_H
#define ONGGI_HYPERVISOR_QEMU_CMDLINE_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"

/* Descriptor numbers as the QEMU process will see them; stream sockets all. */
struct qemu_cmdline_fds {
	int qmp, console, agent;
	int share; /* -1: no file server, or one that is plugged later */
	int memory; /* file that is the guest's memory; 0: QEMU's own */
};

/* Longest kernel command line that x86 kernels take, without the NUL. */
#define QEMU_CMDLINE_APPEND_MAX 2047
/* Longest name, share tag. */
#define QEMU_CMDLINE_NAME_MAX 255
#define QEMU_CMDLINE_TAG_MAX 35

/*
 * Build the vector; element 0 is the program. With config.restore the machine has no kernel to boot
 * and waits for a saved state (QMP migrate-incoming).
 *
 * @tsc_khz  frequency of the host's time stamp counter, for guests that TCG runs; 0: unknown
 * @ret      NULL-terminated, released with qemu_cmdline_free
 *
 * Returns 0; -EINVAL a field of @config out of range or with characters that cannot be passed (the
 * message names it); -E2BIG the kernel command line is too long; -ENOMEM.
 */
int qemu_cmdline_build(const struct vm_config *config, const struct qemu_cmdline_fds *fds,
		       unsigned int tsc_khz, char ***ret, struct err *err);
void qemu_cmdline_free(char **argv);

/* A value for an option list; -EINVAL with control characters, -ENOMEM. The caller frees *ret. */
int qemu_cmdline_escape(const char *value, char **ret);

/*
 * Memory of microvm: a part below 3 GiB, the rest from 4 GiB on, with PCI in between
 * (hw/i386/microvm.c). As vm_memory_ranges.
 */
size_t qemu_memory_ranges(uint64_t memory_mib, struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX]);

/* Name of the bus that hot-plug slot @slot (0 to VM_HOTPLUG_SLOTS - 1) is. */
#define QEMU_CMDLINE_BUS_FORMAT "slot%u"

#endif
