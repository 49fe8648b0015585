/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/tsc.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/io.h"

#define CPUINFO_PATH "/proc/cpuinfo"
/* The first CPU's entry is enough, but the file comes whole: some 1.5 KiB for each CPU. */
#define CPUINFO_BYTES_MAX (4u << 20)
#define MEASURE_NS 10000000u
#define KHZ_MAX 20000000.0

#ifdef __x86_64__
#include <cpuid.h>
#include <x86intrin.h>

/* Leaf 0x15: crystal frequency in Hz (ecx) times ebx / eax. Often absent in VMs and on AMD. */
static unsigned int khz_cpuid(void)
{
	unsigned int denominator, numerator, crystal_hz, d;

	if (__get_cpuid_max(0, NULL) < 0x15)
		return 0;
	__cpuid(0x15, denominator, numerator, crystal_hz, d);
	if (denominator == 0 || numerator == 0 || crystal_hz == 0)
		return 0;
	return (unsigned int)((uint64_t)crystal_hz * numerator / denominator / 1000);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Counter and clock at one moment: of some attempts the one with the shortest gap around it. */
static void sample(uint64_t *ret_tsc, uint64_t *ret_ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = __rdtsc(), ns = now_ns(), after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*ret_tsc = before + best / 2;
			*ret_ns = ns;
		}
	}
}

unsigned int tsc_khz_measure(void)
{
	uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;

	sample(&tsc0, &ns0);
	while (now_ns() - ns0 < MEASURE_NS)
		;
	sample(&tsc1, &ns1);
	return (unsigned int)((tsc1 - tsc0) * 1000000u / (ns1 - ns0));
}
#else
static unsigned int khz_cpuid(void)
{
	return 0;
}

unsigned int tsc_khz_measure(void)
{
	return 0;
}
#endif

/* Value of "key : value" on the first line that begins with @key; NULL: none. */
static const char *cpuinfo_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line;
	     line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		const char *colon;

		if (strncmp(line, key, len) != 0 || (line[len] != '\t' && line[len] != ' '))
			continue;
		colon = strchr(line, ':');
		return colon ? colon + 1 : NULL;
	}
	return NULL;
}

static bool has_flag(const char *flags, const char *name)
{
	size_t len = strlen(name), end = strcspn(flags, "\n");
	const char *p = flags;

	while ((p = strstr(p, name)) && p < flags + end) {
		if (p[-1] == ' ' && (p[len] == ' ' || p[len] == '\n' || p[len] == '\0'))
			return true;
		p += len;
	}
	return false;
}

unsigned int tsc_khz_cpuinfo(const char *text)
{
	const char *mhz = cpuinfo_value(text, "cpu MHz"), *flags = cpuinfo_value(text, "flags");
	double value;

	/*
	 * With APERF/MPERF the kernel shows the momentary frequency there; without, that of the
	 * counter.
	 */
	if (!mhz || !flags || !has_flag(flags, "constant_tsc") || has_flag(flags, "aperfmperf"))
		return 0;
	value = strtod(mhz, NULL) * 1000.0;
	return value >= 1000.0 && value <= KHZ_MAX ? (unsigned int)(value + 0.5) : 0;
}

unsigned int tsc_khz(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned int khz = khz_cpuid();

	if (khz > 0)
		return khz;
	if (io_read_file(AT_FDCWD, CPUINFO_PATH, CPUINFO_BYTES_MAX, &text, NULL) == 0)
		khz = tsc_khz_cpuinfo(text);
	return khz > 0 ? khz : tsc_khz_measure();
}
