/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accel_guest.h - the guest of the KVM probe: a few hundred bytes of code that do what a kernel
 * does while it boots
 *
 * Shape:    one flat image for guest-physical ACCEL_GUEST_BASE. It starts in real mode and reports
 *           to I/O ports.
 * Ports:    ACCEL_PORT_STEP   out 8 bit: number of the step that begins (enum accel_step)
 *           ACCEL_PORT_STRING out 8 bit by "rep outsb": the bytes of ACCEL_STRING
 *           ACCEL_PORT_RESULT out 32 bit: value of a step, to compare with accel_step_result
 * MMIO:     one 32 bit read at ACCEL_MMIO_ADDR; the answer comes back through ACCEL_PORT_RESULT.
 * Not here: who runs it (accel_probe.c), verdict and cache (accel.c).
 */
#ifndef ONGGI_HYPERVISOR_ACCEL_GUEST_H
#define ONGGI_HYPERVISOR_ACCEL_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define ACCEL_GUEST_BASE 0x1000u
#define ACCEL_GUEST_MEMORY (2u << 20) /* the page tables map this much, but for the page below */
#define ACCEL_HOLE_ADDR 0x1ff000u     /* not present: the page fault of the test */

#define ACCEL_PORT_STEP 0xe0u
#define ACCEL_PORT_STRING 0xe1u
#define ACCEL_PORT_RESULT 0xe4u

#define ACCEL_MMIO_ADDR 0xd0000000u
#define ACCEL_MMIO_VALUE 0x6f6e6767u

#define ACCEL_STRING "an ordinary kernel"

/*
 * Rounds of the timed loop (four instructions each). A CPU takes a millisecond, an instruction
 * emulator seconds.
 */
#define ACCEL_LOOP_ROUNDS 500000u

enum accel_step {
	ACCEL_STEP_NONE,      /* nothing was reported yet */
	ACCEL_STEP_REAL,      /* real mode runs */
	ACCEL_STEP_PROTECTED, /* protected mode */
	ACCEL_STEP_LONG,      /* page tables, EFER, long mode */
	ACCEL_STEP_EXCEPTION, /* IDT, invalid opcode, page fault */
	ACCEL_STEP_CPUID,
	ACCEL_STEP_MSR,       /* segment base and system call MSRs */
	ACCEL_STEP_FPU,       /* SSE */
	ACCEL_STEP_STRING_IO,
	ACCEL_STEP_MMIO,
	ACCEL_STEP_USER,      /* ring 3 and back by SYSCALL */
	ACCEL_STEP_INTERRUPT, /* local APIC timer, HLT */
	ACCEL_STEP_LOOP,      /* timed */
	ACCEL_STEP_DONE,
	ACCEL_STEP_COUNT,
};

/* The image. */
extern const uint8_t accel_guest_start[], accel_guest_end[];

#endif
