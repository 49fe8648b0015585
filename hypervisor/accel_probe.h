/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accel_probe.h - the inside of the KVM probe: runs the guest of accel_guest.h
 *
 * Process:  a child of its own (accel.c): an ioctl may never come back, and SIGKILL is the only
 *           cure.
 * Source:   Linux Documentation/virt/kvm/api.rst.
 */
#ifndef ONGGI_HYPERVISOR_ACCEL_PROBE_H
#define ONGGI_HYPERVISOR_ACCEL_PROBE_H

#include "common/err.h"
#include "hypervisor/accel_guest.h"

/* "page tables and long mode", … for messages. */
const char *accel_step_name(enum accel_step step);

/* What a step must report through ACCEL_PORT_RESULT; 0: it reports nothing. */
uint32_t accel_step_result(enum accel_step step);

/*
 * Run the guest to its end; may block for ever.
 *
 * @kvm_path  e.g. "/dev/kvm"
 * @progress  number of the step that runs, for a parent that shares this memory
 *
 * Returns 0: all steps gave what a CPU gives. Else with the reason in @err:
 * -ENOENT, -EACCES, … of open; -ENODEV it is no KVM or a needed ioctl fails; -ENOEXEC code does not
 * run.
 */
int accel_probe_run(const char *kvm_path, volatile uint32_t *progress, struct err *err);

#endif
