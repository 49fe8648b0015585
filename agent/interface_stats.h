/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interface_stats.h - what went over the guest's network interfaces
 *
 * Shape:    one reading of /proc/net/dev; the loopback interface is left out.
 * Limits:   INTERFACE_STATS_MAX interfaces.
 * Source:   proc(5).
 */
#ifndef ONGGI_AGENT_INTERFACE_STATS_H
#define ONGGI_AGENT_INTERFACE_STATS_H

#include <stddef.h>
#include <stdint.h>

#define INTERFACE_STATS_MAX 64u

struct interface_stats {
	char name[16];
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};

/* Returns their number; 0 also when it cannot be read. */
size_t interface_stats_read(struct interface_stats out[INTERFACE_STATS_MAX]);
/* The same from the file's text, which is changed. */
size_t interface_stats_parse(char *text, struct interface_stats out[INTERFACE_STATS_MAX]);

#endif
