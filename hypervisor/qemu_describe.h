/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_describe.h - what makes a QEMU machine what it is, for drivers' vm_describe
 */
#ifndef ONGGI_HYPERVISOR_QEMU_DESCRIBE_H
#define ONGGI_HYPERVISOR_QEMU_DESCRIBE_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"

/*
 * Lines: the program, kernel and initramfs, each with device, inode, size and time of its last
 * change; the boot of the host; and QEMU's arguments without what differs from one machine to the
 * next. The frequency of the host's counter is not among them: a saved guest keeps the one it was
 * told.
 *
 * Returns 0; -ENOENT and others of stat(2) for the three files, the message names the file;
 * -ENOMEM; as qemu_cmdline_build. The caller frees *ret.
 */
int qemu_describe(const struct vm_config *config, char **ret, struct err *err);

#endif
