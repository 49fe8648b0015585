/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsc.h - how fast this machine's time stamp counter runs
 *
 * Why:      a guest under TCG reads the host's counter, and fails to calibrate it against emulated
 *           timers when the host is busy; so it is told.
 */
#ifndef ONGGI_HYPERVISOR_TSC_H
#define ONGGI_HYPERVISOR_TSC_H

/*
 * Frequency in kHz; 0: unknown (no such counter). Asks CPUID; then /proc/cpuinfo, where that is the
 * counter's frequency and not the momentary one of the CPU; else measures for 10 ms.
 */
unsigned int tsc_khz(void);

/* The two below are parts of it, for the tests. */
/* From the text of /proc/cpuinfo; 0: says nothing about the counter. */
unsigned int tsc_khz_cpuinfo(const char *text);
unsigned int tsc_khz_measure(void);

#endif
