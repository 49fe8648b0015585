/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_limits.h - from the OCI resource fields (worded for cgroup version 1) to version 2 files
 *
 * Shape:    pure: fills a list of {file, value}; cgroup.c writes them in order.
 * Source:   OCI config-linux.md; the conversions that runc and crun agree on; cgroup-v2.rst.
 */
#ifndef ONGGI_AGENT_CGROUP_LIMITS_H
#define ONGGI_AGENT_CGROUP_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/oci.h"

#define CGROUP_FILE_MAX 48u
#define CGROUP_VALUE_MAX 256u
#define CGROUP_SETTINGS_MAX 64u

struct cgroup_setting {
	char file[CGROUP_FILE_MAX];
	char value[CGROUP_VALUE_MAX];
	bool optional; /* no error when the file is missing or the value out of its range */
};

struct cgroup_settings {
	struct cgroup_setting entries[CGROUP_SETTINGS_MAX];
	size_t n;
};

/*
 * Returns 0; -EINVAL a value out of range or memory.swap below memory.limit; -EOPNOTSUPP
 * disableOOMKiller, a weight or limit of one block device, a "unified" file that is not known;
 * -E2BIG more settings than fit. The message names the field.
 */
int cgroup_limits_convert(const struct oci_resources *resources, struct cgroup_settings *ret, struct err *err);

/* cpu.shares 2 to 262144 to cpu.weight 1 to 10000; 0 gives 0 (not set). */
uint64_t cgroup_weight_from_shares(uint64_t shares);
/* blkio weight 10 to 1000 to io.weight 1 to 10000; 0 gives 0. */
uint64_t cgroup_io_weight_from_blkio(uint64_t weight);
/*
 * memory+swap of version 1 to memory.swap.max. @swap and @limit in bytes, -1 unlimited.
 * Returns 0 with *ret (-1: "max"; -2: leave alone); -EINVAL.
 */
int cgroup_swap_max(int64_t swap, bool has_limit, int64_t limit, int64_t *ret);
/* Whether "unified" may name @file: a known controller's file, no '/'. */
bool cgroup_unified_file_known(const char *file);

#endif
