/* SPDX-License-Identifier: Apache-2.0 */
/* The service's methods about limits, statistics and the size of the guest. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "agent/cgroup_stats.h"
#include "agent/container_control.h"
#include "agent/interface_stats.h"
#include "agent/service_internal.h"
#include "common/proto/agent.pb-c.h"

/* ---- limits ---- */

int service_update_container(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__UpdateContainerRequest *request = message;

	return container_update(c->container, (const char *)request->resources.data, request->resources.len,
				err);
}

/* ---- out of memory ---- */

static void on_oom(struct container *c, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__WaitOomResponse response = ONGGI__AGENT__V1__WAIT_OOM_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;

	if (code < 0) {
		service_answer_failure(call, code, err);
		return;
	}
	response.oom_kills = container_oom_kills(c);
	response.ended = container_has_ended(c);
	ttrpc_call_reply(call, &response.base);
}

int service_wait_oom(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__WaitOomRequest *request = message;
	int rc = container_wait_oom(c->container, request->seen, on_oom, c->call, err);

	return rc < 0 ? rc : SERVICE_ANSWERED;
}

/* ---- statistics ---- */

struct counters {
	char *text;
	Onggi__Agent__V1__Counter messages[CGROUP_STATS_MAX], *list[CGROUP_STATS_MAX];
};

/* What one answer is put together from: too much for the stack of a small guest. */
struct stat_answer {
	Onggi__Agent__V1__StatContainerResponse response;
	struct counters memory_stat, memory_events, cpu_stat;
	Onggi__Agent__V1__IoStat io[CGROUP_STATS_MAX], *io_list[CGROUP_STATS_MAX];
	char *interfaces_text;
	Onggi__Agent__V1__InterfaceStat interfaces[INTERFACE_STATS_MAX], *interface_list[INTERFACE_STATS_MAX];
};

static void answer_free(struct stat_answer *a)
{
	if (!a)
		return;
	free(a->memory_stat.text);
	free(a->memory_events.text);
	free(a->cpu_stat.text);
	free(a->interfaces_text);
	free(a);
	/* It is asked for again and again: what it took is not kept in between. */
	malloc_trim(0);
}
DEFINE_CLEANUP(struct stat_answer *, answer_free);

/* A message refers to its parts one by one. */
#define POINT_AT(messages, n, list)                          \
	({                                                   \
		for (size_t i_ = 0; i_ < (n); i_++)          \
			(list)[i_] = &(messages)[i_];        \
		(list);                                      \
	})

static void fill_counters(struct counters *c, int fd, const char *file, Onggi__Agent__V1__Counter ***ret,
			  size_t *ret_n)
{
	c->text = cgroup_stats_text(fd, file);
	if (!c->text)
		return;
	*ret_n = cgroup_stats_counters(c->text, c->messages);
	*ret = POINT_AT(c->messages, *ret_n, c->list);
}

static void fill_io(struct stat_answer *a, int fd)
{
	_cleanup_free_ char *text = cgroup_stats_text(fd, "io.stat");

	a->response.n_io = text ? cgroup_stats_io(text, a->io) : 0;
	a->response.io = POINT_AT(a->io, a->response.n_io, a->io_list);
}

static void fill_interfaces(struct stat_answer *a)
{
	a->response.n_interfaces = interface_stats_read(&a->interfaces_text, a->interfaces);
	a->response.interfaces = POINT_AT(a->interfaces, a->response.n_interfaces, a->interface_list);
}

int service_stat_container(const struct service_call *c, const void *message, struct err *err)
{
	_cleanup_(answer_free_p) struct stat_answer *a = calloc(1, sizeof(*a));
	int fd = cgroup_fd(container_cgroup(c->container));
	Onggi__Agent__V1__StatContainerResponse *r;

	if (!a)
		return err_set_errno(err, -ENOMEM, "statistics");
	r = &a->response;
	onggi__agent__v1__stat_container_response__init(r);
	r->memory_current = cgroup_stats_number(fd, "memory.current", 0);
	r->memory_max = cgroup_stats_number(fd, "memory.max", UINT64_MAX);
	r->memory_peak = cgroup_stats_number(fd, "memory.peak", 0);
	r->memory_swap_current = cgroup_stats_number(fd, "memory.swap.current", 0);
	r->memory_swap_max = cgroup_stats_number(fd, "memory.swap.max", UINT64_MAX);
	r->pids_current = cgroup_stats_number(fd, "pids.current", 0);
	r->pids_max = cgroup_stats_number(fd, "pids.max", UINT64_MAX);
	fill_counters(&a->memory_stat, fd, "memory.stat", &r->memory_stat, &r->n_memory_stat);
	fill_counters(&a->memory_events, fd, "memory.events", &r->memory_events, &r->n_memory_events);
	fill_counters(&a->cpu_stat, fd, "cpu.stat", &r->cpu_stat, &r->n_cpu_stat);
	fill_io(a, fd);
	fill_interfaces(a);
	ttrpc_call_reply(c->call, &r->base);
	return SERVICE_ANSWERED;
}

/* ---- the machine ---- */

static void on_resized(int code, const struct machine_size *size, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__UpdateMachineResponse response = ONGGI__AGENT__V1__UPDATE_MACHINE_RESPONSE__INIT;

	if (code < 0) {
		service_answer_failure(userdata, code, err);
		return;
	}
	response.memory_bytes = size->memory_bytes;
	response.cpus = size->cpus;
	ttrpc_call_reply(userdata, &response.base);
}

int service_update_machine(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__UpdateMachineRequest *request = message;
	struct machine_request q = { .size = { request->memory_bytes, request->cpus } };
	int rc;

	if (request->n_ranges > MACHINE_RANGES_MAX)
		return err_set(err, -E2BIG, "field 'ranges': more than %u", MACHINE_RANGES_MAX);
	q.n_ranges = request->n_ranges;
	for (size_t i = 0; i < q.n_ranges; i++) {
		q.ranges[i].start = request->ranges[i]->start;
		q.ranges[i].length = request->ranges[i]->length;
	}
	rc = machine_resize(c->service->machine, &q, on_resized, c->call, err);
	return rc < 0 ? rc : SERVICE_ANSWERED;
}
