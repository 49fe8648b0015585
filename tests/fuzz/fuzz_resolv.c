/* SPDX-License-Identifier: Apache-2.0 */
/* A resolv.conf that a workload wrote: only addresses of the loopback interface, each once, come out. */
#include <assert.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "shim/resolv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	uint32_t servers[RESOLV_SERVERS_MAX];
	size_t n;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	n = resolv_loopback(text, servers);
	assert(n <= RESOLV_SERVERS_MAX);
	for (size_t i = 0; i < n; i++) {
		assert(ntohl(servers[i]) >> 24 == 127);
		for (size_t j = 0; j < i; j++)
			assert(servers[i] != servers[j]);
	}
	free(text);
	return 0;
}
