/* SPDX-License-Identifier: Apache-2.0 */
/*
 * update_resources.h - what "update" is asked for, as one "linux.resources" object
 *
 * Source:   runc-update(8). Flags and file are alternatives: with a file the flags are ignored.
 */
#ifndef ONGGI_SHIM_RUNTIME_UPDATE_RESOURCES_H
#define ONGGI_SHIM_RUNTIME_UPDATE_RESOURCES_H

#include "common/err.h"

/* Bytes of the file. */
#define UPDATE_RESOURCES_MAX (1u << 20)

/* As given; NULL: not given. */
struct update_flags {
	const char *memory, *memory_swap, *memory_reservation;
	const char *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_idle;
	const char *cpu_rt_period, *cpu_rt_runtime;
	const char *cpuset_cpus, *cpuset_mems;
	const char *pids_limit, *blkio_weight;
	const char *l3_cache_schema, *mem_bw_schema;
	const char *kernel_memory, *kernel_memory_tcp; /* accepted, without effect since long ago */
};

/*
 * @ret  JSON text, freed by the caller; it passes oci_resources_parse
 * -EINVAL a value that is none, with the flag's name; -EOPNOTSUPP what no guest has.
 */
int update_resources_from_flags(const struct update_flags *flags, char **ret, struct err *err);

/* The same from a file, "-": standard input. -EINVAL, -EBADMSG, -EFBIG; errnos of open(2). */
int update_resources_from_file(const char *path, char **ret, struct err *err);

#endif
