/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/machine_size.h"

#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "common/io.h"

#define MIB_SHIFT 20
#define MEMORY_MIB_MAX (UINT64_C(1) << 20)
#define VCPUS_MAX 64u
#define CPU_PERIOD_DEFAULT_US 100000u
/* Quotas are added up in thousandths of a CPU. */
#define MILLI 1000u
/* Kubernetes' shares of one CPU. */
#define CPU_SHARES 1024u
/* Annotations of containerd's CRI plugin, whose values are decimal. */
#define CRI "io.kubernetes.cri."

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static unsigned int host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned int)smaller((uint64_t)n, VCPUS_MAX);
}

static uint64_t host_memory_mib(void)
{
	struct sysinfo info;

	if (sysinfo(&info) < 0)
		return 0;
	return (uint64_t)info.totalram * info.mem_unit >> MIB_SHIFT;
}

void machine_bounds_of(const struct config *config, struct machine_bounds *ret)
{
	unsigned int cpus = host_cpus();
	uint64_t blocks = smaller(host_memory_mib(), MEMORY_MIB_MAX) / MACHINE_BLOCK_MIB;
	uint64_t memory = blocks * MACHINE_BLOCK_MIB;

	ret->base = (struct machine_size){ config->memory_mib, config->vcpus };
	ret->boot_max.memory_mib = config->memory_max_mib ? config->memory_max_mib : memory;
	ret->boot_max.vcpus = (unsigned int)smaller(config->vcpus_max ? config->vcpus_max : VCPUS_MAX, cpus);
	ret->room.memory_mib = config->memory_max_mib ? config->memory_max_mib :
							smaller(MACHINE_ROOM_MIB, memory);
	ret->room.vcpus = (unsigned int)smaller(config->vcpus_max ? config->vcpus_max : MACHINE_ROOM_VCPUS,
						cpus);
}

void machine_need_update(struct machine_need *need, const struct oci_resources *r)
{
	if (r->has_memory_limit && r->memory_limit)
		need->memory_bytes = r->memory_limit > 0 ? (uint64_t)r->memory_limit : 0;
	if (r->has_cpu_quota && r->cpu_quota)
		need->cpu_quota_us = r->cpu_quota > 0 ? (uint64_t)r->cpu_quota : 0;
	if (r->has_cpu_period && r->cpu_period)
		need->cpu_period_us = r->cpu_period;
}

static uint64_t milli_cpus(const struct machine_need *need)
{
	uint64_t period = need->cpu_period_us ? need->cpu_period_us : CPU_PERIOD_DEFAULT_US;
	/* More than any machine has, and small enough to be multiplied. */
	uint64_t whole = smaller(need->cpu_quota_us / period, VCPUS_MAX);
	uint64_t rest = need->cpu_quota_us % period;

	return whole * MILLI + (uint64_t)(((unsigned __int128)rest * MILLI + period - 1) / period);
}

struct machine_need machine_need_larger(const struct machine_need *a, const struct machine_need *b)
{
	struct machine_need larger_one = milli_cpus(a) > milli_cpus(b) ? *a : *b;

	larger_one.memory_bytes = larger(a->memory_bytes, b->memory_bytes);
	return larger_one;
}

/* 0: there is none, or no sensible one. */
static uint64_t annotated(const struct oci_spec *spec, const char *key)
{
	const char *text = oci_annotation(spec, key);
	uint64_t value = 0;

	return text && io_parse_u64(text, INT64_MAX, &value) == 0 ? value : 0;
}

struct machine_need machine_need_of_pod(const struct oci_spec *spec)
{
	const char *type = oci_annotation(spec, CRI "container-type");
	struct machine_need need = { 0 };

	if (!type || strcmp(type, "sandbox") != 0)
		return need;
	need.memory_bytes = annotated(spec, CRI "sandbox-memory");
	need.cpu_quota_us = annotated(spec, CRI "sandbox-cpu-quota");
	need.cpu_period_us = annotated(spec, CRI "sandbox-cpu-period");
	if (need.cpu_quota_us)
		return need;
	need.cpu_quota_us = smaller(annotated(spec, CRI "sandbox-cpu-shares"), VCPUS_MAX * CPU_SHARES);
	need.cpu_period_us = CPU_SHARES;
	return need;
}

struct machine_size machine_size_larger(const struct machine_size *a, const struct machine_size *b)
{
	return (struct machine_size){
		.memory_mib = larger(a->memory_mib, b->memory_mib),
		.vcpus = (unsigned int)larger(a->vcpus, b->vcpus),
	};
}

struct machine_size machine_size_for(const struct machine_size *base, const struct machine_size *max,
				     const struct machine_need *needs, size_t n)
{
	uint64_t mib = base->memory_mib, milli = 0, blocks;

	for (size_t i = 0; i < n; i++) {
		/* Bounded at each step: limits may be anything. */
		mib = smaller(mib + ((needs[i].memory_bytes + (1u << MIB_SHIFT) - 1) >> MIB_SHIFT),
			      2 * MEMORY_MIB_MAX);
		milli = smaller(milli + milli_cpus(&needs[i]), VCPUS_MAX * MILLI);
	}
	blocks = (mib + MACHINE_BLOCK_MIB - 1) / MACHINE_BLOCK_MIB;
	mib = larger(smaller(blocks * MACHINE_BLOCK_MIB, max->memory_mib), base->memory_mib);
	return (struct machine_size){
		.memory_mib = smaller(mib, MEMORY_MIB_MAX),
		.vcpus = (unsigned int)larger(
			smaller(larger(base->vcpus, (milli + MILLI - 1) / MILLI), max->vcpus), 1),
	};
}

struct machine_size machine_size_built(const struct machine_bounds *bounds,
				       const struct machine_size *boot)
{
	return (struct machine_size){
		.memory_mib = larger(boot->memory_mib, bounds->room.memory_mib),
		.vcpus = (unsigned int)larger(boot->vcpus, bounds->room.vcpus),
	};
}
