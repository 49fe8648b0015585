/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/interface_stats.h"

#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "common/io.h"

#define FILE_BYTES_MAX (32u << 10)
/* Columns that are scanned: receiving, skipping four of its own, sending. */
#define COLUMNS 8

size_t interface_stats_parse(char *text, Onggi__Agent__V1__InterfaceStat out[INTERFACE_STATS_MAX])
{
	size_t n = 0;
	char *line;

	while (n < INTERFACE_STATS_MAX && (line = strsep(&text, "\n"))) {
		Onggi__Agent__V1__InterfaceStat *s = &out[n];
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		line += strspn(line, " ");
		if (strlen(line) >= IFNAMSIZ || strcmp(line, "lo") == 0)
			continue;
		onggi__agent__v1__interface_stat__init(s);
		if (sscanf(colon + 1,
			   "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%*u%*u%*u%*u"
			   "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64,
			   &s->rx_bytes, &s->rx_packets, &s->rx_errors, &s->rx_dropped, &s->tx_bytes,
			   &s->tx_packets, &s->tx_errors, &s->tx_dropped) != COLUMNS)
			continue;
		s->name = line;
		n++;
	}
	return n;
}

size_t interface_stats_read(char **ret_text, Onggi__Agent__V1__InterfaceStat out[INTERFACE_STATS_MAX])
{
	*ret_text = NULL;
	if (io_read_file(AT_FDCWD, "/proc/net/dev", FILE_BYTES_MAX, ret_text, NULL) < 0)
		return 0;
	return interface_stats_parse(*ret_text, out);
}
