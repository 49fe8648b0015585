/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interface_stats.h - what went over the guest's network interfaces
 *
 * Shape:    one reading of /proc/net/dev; the loopback interface is left out.
 * Limits:   INTERFACE_STATS_MAX interfaces; more are left out.
 * Source:   Linux net/core/net-procfs.c (the columns); proc_pid_net(5).
 */
#ifndef ONGGI_AGENT_INTERFACE_STATS_H
#define ONGGI_AGENT_INTERFACE_STATS_H

#include <stddef.h>

#include "common/proto/agent.pb-c.h"

#define INTERFACE_STATS_MAX 64u

/*
 * Bytes and packets since each interface exists.
 *
 * @ret_text  what the names stay in, freed by the caller; NULL when the file cannot be read
 *
 * Returns the number of interfaces; 0 also when the file cannot be read.
 */
size_t interface_stats_read(char **ret_text, Onggi__Agent__V1__InterfaceStat out[INTERFACE_STATS_MAX]);
/* The same from the file's text, which is changed. Lines of another form are passed over. */
size_t interface_stats_parse(char *text, Onggi__Agent__V1__InterfaceStat out[INTERFACE_STATS_MAX]);

#endif
