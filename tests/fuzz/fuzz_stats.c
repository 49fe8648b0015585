/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest may say of itself: statistics from the agent become containerd's metrics and
 * runc's JSON, and what its /proc and cgroup files say is parsed on the way. The first byte chooses.
 */
#include <assert.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cgroup_stats.h"
#include "agent/interface_stats.h"
#include "shim/runtime/stats_json.h"
#include "shim/task_stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const void *metrics, size_t len)
{
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *text = NULL;
	struct err err = ERR_INIT;

	if (stats_json("c1", metrics, len, &json, &err) < 0) {
		assert(err.code < 0 && err.text[0]);
		return;
	}
	text = json_text(json, false);
	assert(text && strncmp(text, "{\"type\":\"stats\"", 15) == 0 && !strpbrk(text, "\n\033"));
}

static void answer_of_the_agent(const uint8_t *data, size_t size)
{
	Onggi__Agent__V1__StatContainerResponse *answer =
		onggi__agent__v1__stat_container_response__unpack(NULL, size, data);
	_cleanup_free_ void *packed = NULL;
	size_t len = 0;

	if (!answer)
		return;
	if (task_stats_pack(answer, &packed, &len) == 0)
		show(packed, len);
	onggi__agent__v1__stat_container_response__free_unpacked(answer, NULL);
}

static void files(uint8_t kind, const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	Onggi__Agent__V1__Counter counters[CGROUP_STATS_MAX];
	Onggi__Agent__V1__IoStat io[CGROUP_STATS_MAX];
	Onggi__Agent__V1__InterfaceStat interfaces[INTERFACE_STATS_MAX];
	size_t n = 0;

	assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (kind == 1)
		n = cgroup_stats_counters(text, counters);
	else if (kind == 2)
		n = cgroup_stats_io(text, io);
	else
		n = interface_stats_parse(text, interfaces);
	for (size_t i = 0; kind == 1 && i < n; i++)
		assert(strlen(counters[i].key) <= size);
	for (size_t i = 0; kind == 3 && i < n; i++)
		assert(strlen(interfaces[i].name) < IFNAMSIZ);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	switch (data[0] % 5) {
	case 0:
		answer_of_the_agent(data + 1, size - 1);
		break;
	case 4:
		show(data + 1, size - 1);
		break;
	default:
		files(data[0] % 5, data + 1, size - 1);
		break;
	}
	return 0;
}
