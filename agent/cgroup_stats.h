/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats.h - reading what a cgroup says about its use
 *
 * Shape:    readers of the three forms that version 2 files have: one number, "key value" lines,
 *           and io.stat's lines. A file that is not there (no such controller) is empty.
 * Limits:   CGROUP_STATS_BYTES_MAX of a file, CGROUP_STATS_MAX entries; more are left out.
 * Source:   the kernel's Documentation/admin-guide/cgroup-v2.rst.
 */
#ifndef ONGGI_AGENT_CGROUP_STATS_H
#define ONGGI_AGENT_CGROUP_STATS_H

#include <stddef.h>
#include <stdint.h>

#include "common/proto/agent.pb-c.h"

#define CGROUP_STATS_BYTES_MAX (16u << 10)
#define CGROUP_STATS_MAX 128u

/*
 * The number in @file of the cgroup @fd; UINT64_MAX for "max"; @missing when there is no such file.
 */
uint64_t cgroup_stats_number(int fd, const char *file, uint64_t missing);

/* The text of @file, freed by the caller; NULL: there is none. */
char *cgroup_stats_text(int fd, const char *file);

/*
 * Parse such a text, which is changed: "key value" lines, whose keys then stay in it, and the lines
 * of io.stat (bytes and numbers of requests, by device).
 *
 * Returns the number of entries; lines of another form are passed over.
 */
size_t cgroup_stats_counters(char *text, Onggi__Agent__V1__Counter out[CGROUP_STATS_MAX]);
size_t cgroup_stats_io(char *text, Onggi__Agent__V1__IoStat out[CGROUP_STATS_MAX]);

#endif
