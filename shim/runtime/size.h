/* SPDX-License-Identifier: Apache-2.0 */
/*
 * size.h - amounts of memory and of time as people write them
 *
 * Source:   what runc takes: docker's units (RAMInBytes) and Go's durations.
 */
#ifndef ONGGI_SHIM_RUNTIME_SIZE_H
#define ONGGI_SHIM_RUNTIME_SIZE_H

#include <stdint.h>

/*
 * "64m", "1.5GiB", "512 kB", "1024": decimal with at most one point, then B, K, M, G, T or P in
 * either case (powers of 1024), perhaps followed by "B" or "iB". Returns 0; -EINVAL; -ERANGE over
 * INT64_MAX.
 */
int size_parse(const char *text, int64_t *ret_bytes);

/*
 * "5s", "1m30s", "250ms", "1.5h": numbers with one of the units ns, us, ms, s, m, h.
 * Returns 0 with milliseconds, rounded up; -EINVAL; -ERANGE over a hundred years.
 */
int duration_parse(const char *text, uint64_t *ret_ms);

#endif
