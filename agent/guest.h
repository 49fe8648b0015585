/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - the machine that PID 1 has to bring up before there is anything to serve, and to switch
 * off
 *
 * Order:    guest_boot once, first of all; guest_power_off or guest_fatal last.
 * Console:  what the kernel's log lets through; the kernel bounds the rate of the agent's own
 *           lines.
 * Process:  the agent, as PID 1 of a guest. Not for tests on a host.
 */
#ifndef ONGGI_AGENT_GUEST_H
#define ONGGI_AGENT_GUEST_H

#include "common/err.h"
#include "common/log.h"

/*
 * Leave the initramfs, mount the kernel's file systems at their usual places, send the log to the
 * kernel, load modules, make the root read-only, raise limits, bring up the loopback interface.
 * Returns 0, or a negative errno when the guest is of no use.
 */
int guest_boot(struct err *err);

/* Change what of the agent's log goes to the kernel's log. */
void guest_log_level(enum log_level level);

/* Write what is cached to the disks and switch the machine off. */
void guest_power_off(void) __attribute__((noreturn));

/* The same after a reason on the console, when nothing else can be done. */
void guest_fatal(const char *what, const struct err *err) __attribute__((noreturn));

#endif
