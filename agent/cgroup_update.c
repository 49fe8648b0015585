/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cgroup_update.h"

#include <stdlib.h>

static void drop_zeros(struct oci_resources *u)
{
	u->has_memory_limit = u->has_memory_limit && u->memory_limit;
	u->has_memory_swap = u->has_memory_swap && u->memory_swap;
	u->has_memory_reservation = u->has_memory_reservation && u->memory_reservation;
	u->has_cpu_shares = u->has_cpu_shares && u->cpu_shares;
	u->has_cpu_quota = u->has_cpu_quota && u->cpu_quota;
	u->has_cpu_period = u->has_cpu_period && u->cpu_period;
	u->has_pids_limit = u->has_pids_limit && u->pids_limit;
}

static void take_signed(bool *has, int64_t *value, bool now_has, int64_t now)
{
	if (*has || !now_has || !now)
		return;
	*has = true;
	*value = now;
}

void cgroup_update_complete(struct oci_resources *u, const struct oci_resources *now)
{
	drop_zeros(u);
	free(u->devices);
	u->devices = NULL;
	u->n_devices = 0;
	/* Memory and swap together of version 1: swap alone needs the memory limit. */
	if (u->has_memory_swap && u->memory_swap > 0)
		take_signed(&u->has_memory_limit, &u->memory_limit, now->has_memory_limit, now->memory_limit);
	/* One file holds both. */
	if (u->has_cpu_period)
		take_signed(&u->has_cpu_quota, &u->cpu_quota, now->has_cpu_quota, now->cpu_quota);
	if (u->has_cpu_quota && !u->has_cpu_period && now->has_cpu_period && now->cpu_period) {
		u->has_cpu_period = true;
		u->cpu_period = now->cpu_period;
	}
}

void cgroup_update_remember(struct oci_resources *now, const struct oci_resources *u)
{
	if (u->has_memory_limit) {
		now->has_memory_limit = true;
		now->memory_limit = u->memory_limit;
	}
	if (u->has_cpu_quota) {
		now->has_cpu_quota = true;
		now->cpu_quota = u->cpu_quota;
	}
	if (u->has_cpu_period) {
		now->has_cpu_period = true;
		now->cpu_period = u->cpu_period;
	}
}
