/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/runtime/update_resources.h"

struct values {
	const char *resources;
	struct update_flags flags;
};

#define VALUE(name, member, help)                                                    \
	{                                                                            \
		name, 0, OPTION_STRING, offsetof(struct values, flags.member), help   \
	}

static const struct option_row options[] = {
	{ "resources", 'r', OPTION_STRING, offsetof(struct values, resources),
	  "file with a \"linux.resources\" object, '-': standard input; the rest is ignored then" },
	VALUE("memory", memory, "limit in bytes, or with b, k, m, g; -1: none"),
	VALUE("memory-swap", memory_swap, "limit of memory and swap together; -1: none"),
	VALUE("memory-reservation", memory_reservation, "what is not reclaimed from it"),
	VALUE("cpu-period", cpu_period, "period of the quota, in microseconds"),
	VALUE("cpu-quota", cpu_quota, "CPU time in a period, in microseconds; -1: any"),
	VALUE("cpu-burst", cpu_burst, "unused time that it may save up, in microseconds"),
	VALUE("cpu-share", cpu_share, "weight against other containers of the guest"),
	VALUE("cpu-idle", cpu_idle, "1: run only when nothing else does"),
	VALUE("cpuset-cpus", cpuset_cpus, "CPUs of the guest that it may use"),
	VALUE("cpuset-mems", cpuset_mems, "memory nodes that it may use"),
	VALUE("pids-limit", pids_limit, "number of processes; -1: any"),
	VALUE("blkio-weight", blkio_weight, "weight of its disk accesses, 10 to 1000"),
	VALUE("cpu-rt-period", cpu_rt_period, NULL),
	VALUE("cpu-rt-runtime", cpu_rt_runtime, NULL),
	VALUE("l3-cache-schema", l3_cache_schema, NULL),
	VALUE("mem-bw-schema", mem_bw_schema, NULL),
	VALUE("kernel-memory", kernel_memory, NULL),
	VALUE("kernel-memory-tcp", kernel_memory_tcp, NULL),
	OPTIONS_END,
};

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	_cleanup_free_ char *resources = NULL;
	const struct values *v = values;
	int r;

	r = container_open(rt, args[0], &c, err);
	if (r < 0)
		return r;
	r = v->resources ? update_resources_from_file(v->resources, &resources, err) :
			   update_resources_from_flags(&v->flags, &resources, err);
	if (r < 0)
		return r;
	if (c->status == CONTAINER_STOPPED || c->status == CONTAINER_CREATING)
		return err_set(err, -ESRCH, "container not running");
	r = container_connect(c, &client, err);
	return r < 0 ? r : client_update(client, args[0], resources, err);
}

const struct command cmd_update = {
	.name = "update",
	.arguments = "<container-id>",
	.summary = "change the limits of a container",
	.description = "   What is not named stays as it is. The guest grows with a limit, and shrinks after it.",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
