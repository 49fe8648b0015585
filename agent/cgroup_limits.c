/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup_limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define SHARES_MIN 2u
#define SHARES_MAX 262144u
#define WEIGHT_MAX 10000u
#define BLKIO_MIN 10u
#define BLKIO_MAX 1000u
#define CPU_PERIOD_DEFAULT_US 100000u

#define UNLIMITED (-1)
#define LEAVE_ALONE (-2)

uint64_t cgroup_weight_from_shares(uint64_t shares)
{
	if (!shares)
		return 0;
	if (shares < SHARES_MIN)
		shares = SHARES_MIN;
	if (shares > SHARES_MAX)
		shares = SHARES_MAX;
	return 1 + (shares - SHARES_MIN) * (WEIGHT_MAX - 1) / (SHARES_MAX - SHARES_MIN);
}

uint64_t cgroup_io_weight_from_blkio(uint64_t weight)
{
	if (!weight)
		return 0;
	if (weight < BLKIO_MIN)
		weight = BLKIO_MIN;
	if (weight > BLKIO_MAX)
		weight = BLKIO_MAX;
	return 1 + (weight - BLKIO_MIN) * (WEIGHT_MAX - 1) / (BLKIO_MAX - BLKIO_MIN);
}

int cgroup_swap_max(int64_t swap, bool has_limit, int64_t limit, int64_t *ret)
{
	bool limited = has_limit && limit > 0;

	/* No limit on memory takes the one on swap away as well. */
	if (has_limit && limit == UNLIMITED && swap == 0) {
		*ret = UNLIMITED;
		return 0;
	}
	if (swap == 0 || swap == UNLIMITED) {
		*ret = swap ? UNLIMITED : LEAVE_ALONE;
		return 0;
	}
	/* Version 1 counts memory and swap together, version 2 apart. */
	if (!limited || swap < limit)
		return -EINVAL;
	*ret = swap - limit;
	return 0;
}

static const char *const unified_known[] = {
	"cpu.idle",        "cpu.max",          "cpu.max.burst",   "cpu.uclamp.max",  "cpu.uclamp.min",
	"cpu.weight",      "cpu.weight.nice",  "cpuset.cpus",     "cpuset.mems",     "io.bfq.weight",
	"io.latency",      "io.max",           "io.prio.class",   "io.weight",       "memory.high",
	"memory.low",      "memory.max",       "memory.min",      "memory.oom.group", "memory.swap.high",
	"memory.swap.max", "memory.zswap.max", "misc.max",        "pids.max",
	"hugetlb.1GB.max", "hugetlb.1GB.rsvd.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max",
};

bool cgroup_unified_file_known(const char *file)
{
	for (size_t i = 0; i < ARRAY_SIZE(unified_known); i++) {
		if (strcmp(file, unified_known[i]) == 0)
			return true;
	}
	return false;
}

static int add(struct cgroup_settings *s, struct err *err, const char *file, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int add(struct cgroup_settings *s, struct err *err, const char *file, const char *fmt, ...)
{
	struct cgroup_setting *e;
	va_list ap;
	int n;

	if (s->n == CGROUP_SETTINGS_MAX)
		return err_set(err, -E2BIG, "linux.resources: more than %u settings", CGROUP_SETTINGS_MAX);
	e = &s->entries[s->n];
	if (snprintf(e->file, sizeof(e->file), "%s", file) >= (int)sizeof(e->file))
		return err_set(err, -EINVAL, "linux.resources: '%s' is too long", file);
	va_start(ap, fmt);
	n = vsnprintf(e->value, sizeof(e->value), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(e->value))
		return err_set(err, -EINVAL, "linux.resources: value of '%s' exceeds %u bytes", file,
			       CGROUP_VALUE_MAX - 1);
	e->optional = false;
	s->n++;
	return 0;
}

static int add_bytes(struct cgroup_settings *s, struct err *err, const char *file, int64_t bytes)
{
	if (bytes < 0)
		return add(s, err, file, "max");
	return add(s, err, file, "%" PRId64, bytes);
}

static int convert_memory(const struct oci_resources *r, struct cgroup_settings *s, struct err *err)
{
	int64_t swap_max = LEAVE_ALONE;
	int n = 0;

	if (r->disable_oom_killer)
		return err_set(err, -EOPNOTSUPP, "linux.resources.memory.disableOOMKiller: cgroup version 2 "
			       "has nothing like it");
	if ((r->has_memory_swap || r->has_memory_limit) &&
	    cgroup_swap_max(r->has_memory_swap ? r->memory_swap : 0, r->has_memory_limit,
			    r->memory_limit, &swap_max) < 0)
		return err_set(err, -EINVAL, "linux.resources.memory.swap: %" PRId64 " is memory and swap "
			       "together: it needs a memory.limit that is no larger", r->memory_swap);
	if (swap_max != LEAVE_ALONE) {
		n = add_bytes(s, err, "memory.swap.max", swap_max);
		if (n < 0)
			return n;
		/* A guest without swap at all honours any limit on it. */
		s->entries[s->n - 1].optional = true;
	}
	if (r->has_memory_limit && r->memory_limit != 0)
		n = add_bytes(s, err, "memory.max", r->memory_limit);
	if (n >= 0 && r->has_memory_reservation && r->memory_reservation != 0)
		n = add_bytes(s, err, "memory.low", r->memory_reservation);
	return n;
}

static int convert_cpu_bandwidth(const struct oci_resources *r, struct cgroup_settings *s, struct err *err)
{
	uint64_t period = r->has_cpu_period && r->cpu_period ? r->cpu_period : CPU_PERIOD_DEFAULT_US;
	int n = 0;

	if ((r->has_cpu_quota && r->cpu_quota != 0) || (r->has_cpu_period && r->cpu_period != 0)) {
		if (r->has_cpu_quota && r->cpu_quota > 0)
			n = add(s, err, "cpu.max", "%" PRId64 " %" PRIu64, r->cpu_quota, period);
		else
			n = add(s, err, "cpu.max", "max %" PRIu64, period);
	}
	if (n >= 0 && r->has_cpu_burst)
		n = add(s, err, "cpu.max.burst", "%" PRIu64, r->cpu_burst);
	return n;
}

/* The numbers are the host's. They count in the guest as far as it has them; pinning is the host's work. */
static int add_cpuset(struct cgroup_settings *s, struct err *err, const char *file, const char *list)
{
	int n;

	if (!list || !*list)
		return 0;
	n = add(s, err, file, "%s", list);
	if (n >= 0)
		s->entries[s->n - 1].optional = true;
	return n;
}

static int convert_cpu(const struct oci_resources *r, struct cgroup_settings *s, struct err *err)
{
	bool idle = r->has_cpu_idle && r->cpu_idle != 0;
	int n = 0;

	/* An idle group has no weight: the kernel refuses to set one. */
	if (r->has_cpu_shares && r->cpu_shares && !idle)
		n = add(s, err, "cpu.weight", "%" PRIu64, cgroup_weight_from_shares(r->cpu_shares));
	if (n >= 0)
		n = convert_cpu_bandwidth(r, s, err);
	if (n >= 0 && r->has_cpu_idle)
		n = add(s, err, "cpu.idle", "%" PRId64, r->cpu_idle);
	if (n >= 0)
		n = add_cpuset(s, err, "cpuset.cpus", r->cpuset_cpus);
	if (n >= 0)
		n = add_cpuset(s, err, "cpuset.mems", r->cpuset_mems);
	return n;
}

/*
 * A guest whose kernel has no huge pages of the size has no file either: then nobody can use any,
 * and each limit holds. Engines give a limit for every size of the host's. The reservations are
 * limited as well, or a workload could reserve what it may not use.
 */
static int convert_hugepages(const struct oci_resources *r, struct cgroup_settings *s, struct err *err)
{
	static const char *const kinds[] = { "max", "rsvd.max" };

	for (size_t i = 0; i < r->n_hugepage_limits; i++) {
		const struct oci_hugepage_limit *l = &r->hugepage_limits[i];

		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			char file[CGROUP_FILE_MAX];
			int n = snprintf(file, sizeof(file), "hugetlb.%s.%s", l->page_size, kinds[k]);

			if (n >= (int)sizeof(file))
				return err_set(err, -EINVAL, "linux.resources.hugepageLimits[%zu].pageSize: "
					       "'%.32s' is too long", i, l->page_size);
			n = add(s, err, file, "%" PRIu64, l->limit);
			if (n < 0)
				return n;
			s->entries[s->n - 1].optional = true;
		}
	}
	return 0;
}

/* Their numbers are those of the host's devices, which the guest does not have. */
static int refuse_host_devices(const struct oci_resources *r, struct err *err)
{
	static const char *const names[OCI_IO_COUNT] = {
		[OCI_IO_READ_BPS] = "throttleReadBpsDevice",
		[OCI_IO_WRITE_BPS] = "throttleWriteBpsDevice",
		[OCI_IO_READ_IOPS] = "throttleReadIOPSDevice",
		[OCI_IO_WRITE_IOPS] = "throttleWriteIOPSDevice",
	};
	static const char reason[] = "the devices of the host do not exist in the guest";

	if (r->n_io_weights)
		return err_set(err, -EOPNOTSUPP, "linux.resources.blockIO.weightDevice: %s", reason);
	for (size_t kind = 0; kind < OCI_IO_COUNT; kind++) {
		if (r->n_io_limits[kind])
			return err_set(err, -EOPNOTSUPP, "linux.resources.blockIO.%s: %s", names[kind], reason);
	}
	return 0;
}

static int convert_unified(const struct oci_resources *r, struct cgroup_settings *s, struct err *err)
{
	for (char **u = r->unified; u && *u; u++) {
		const char *value = strchr(*u, '=');
		char file[CGROUP_FILE_MAX];
		int n;

		if (!value || value == *u || (size_t)(value - *u) >= sizeof(file))
			return err_set(err, -EOPNOTSUPP, "linux.resources.unified: '%s' is not supported", *u);
		memcpy(file, *u, (size_t)(value - *u));
		file[value - *u] = '\0';
		if (!cgroup_unified_file_known(file))
			return err_set(err, -EOPNOTSUPP, "linux.resources.unified: '%s' is not supported",
				       file);
		n = add(s, err, file, "%s", value + 1);
		if (n < 0)
			return n;
	}
	return 0;
}

int cgroup_limits_convert(const struct oci_resources *r, struct cgroup_settings *ret, struct err *err)
{
	int n;

	ret->n = 0;
	n = refuse_host_devices(r, err);
	/* check_before_update needs nothing: a container that is created uses no memory yet. */
	if (n >= 0)
		n = convert_memory(r, ret, err);
	if (n >= 0)
		n = convert_cpu(r, ret, err);
	if (n >= 0 && r->has_pids_limit)
		n = add_bytes(ret, err, "pids.max", r->pids_limit > 0 ? r->pids_limit : UNLIMITED);
	if (n >= 0 && r->blkio_weight)
		n = add(ret, err, "io.weight", "default %" PRIu64,
			cgroup_io_weight_from_blkio(r->blkio_weight));
	if (n >= 0)
		n = convert_hugepages(r, ret, err);
	if (n >= 0)
		n = convert_unified(r, ret, err);
	return n < 0 ? n : 0;
}
