/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_stats.h"

#include <string.h>

#include "common/proto/metrics.pb-c.h"

/* Names of counters that are compared, and of interfaces that are shown. */
#define INTERFACE_NAME_MAX 64

typedef Onggi__Agent__V1__Counter counter;

/* A counter of the kernel's, and the member that takes its value. */
struct counter_row {
	const char *key;
	size_t offset;
};

#define MEMORY(member)                                                                \
	{                                                                             \
		#member, offsetof(Io__Containerd__Cgroups__V2__MemoryStat, member)     \
	}
#define MEMORY_AS(name, member)                                                    \
	{                                                                          \
		name, offsetof(Io__Containerd__Cgroups__V2__MemoryStat, member)     \
	}
static const struct counter_row memory_rows[] = {
	MEMORY(anon),
	MEMORY(file),
	MEMORY(kernel_stack),
	MEMORY(slab),
	MEMORY(sock),
	MEMORY(shmem),
	MEMORY(file_mapped),
	MEMORY(file_dirty),
	MEMORY(file_writeback),
	MEMORY(anon_thp),
	MEMORY(inactive_anon),
	MEMORY(active_anon),
	MEMORY(inactive_file),
	MEMORY(active_file),
	MEMORY(unevictable),
	MEMORY(slab_reclaimable),
	MEMORY(slab_unreclaimable),
	MEMORY(pgfault),
	MEMORY(pgmajfault),
	/* Newer kernels count what the message has one field for by kind. */
	MEMORY_AS("workingset_refault_anon", workingset_refault),
	MEMORY_AS("workingset_refault_file", workingset_refault),
	MEMORY_AS("workingset_activate_anon", workingset_activate),
	MEMORY_AS("workingset_activate_file", workingset_activate),
	MEMORY(workingset_nodereclaim),
	MEMORY(pgrefill),
	MEMORY(pgscan),
	MEMORY(pgsteal),
	MEMORY(pgactivate),
	MEMORY(pgdeactivate),
	MEMORY(pglazyfree),
	MEMORY(pglazyfreed),
	MEMORY(thp_fault_alloc),
	MEMORY(thp_collapse_alloc),
};

#define CPU(member)                                                             \
	{                                                                       \
		#member, offsetof(Io__Containerd__Cgroups__V2__CPUStat, member)  \
	}
static const struct counter_row cpu_rows[] = {
	CPU(usage_usec), CPU(user_usec),    CPU(system_usec),	 CPU(nr_periods),
	CPU(nr_bursts),	 CPU(nr_throttled), CPU(throttled_usec), CPU(burst_usec),
};

#define EVENT(member)                                                                \
	{                                                                            \
		#member, offsetof(Io__Containerd__Cgroups__V2__MemoryEvents, member)  \
	}
static const struct counter_row event_rows[] = {
	EVENT(low), EVENT(high), EVENT(max), EVENT(oom), EVENT(oom_kill), EVENT(oom_group_kill),
};

/* Sums, because two keys may go into one member. */
static void fill(void *base, const struct counter_row *rows, size_t n_rows, counter **counters,
		 size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t row = 0; row < n_rows; row++) {
			if (!strcmp(counters[i]->key, rows[row].key))
				*(uint64_t *)((char *)base + rows[row].offset) +=
					counters[i]->value;
		}
	}
}

/* The message and what it points to. */
struct metrics {
	Io__Containerd__Cgroups__V2__Metrics top;
	Io__Containerd__Cgroups__V2__PidsStat pids;
	Io__Containerd__Cgroups__V2__CPUStat cpu;
	Io__Containerd__Cgroups__V2__MemoryStat memory;
	Io__Containerd__Cgroups__V2__MemoryEvents events;
	Io__Containerd__Cgroups__V2__IOStat io;
	Io__Containerd__Cgroups__V2__IOEntry io_entries[TASK_STATS_ENTRIES_MAX];
	Io__Containerd__Cgroups__V2__IOEntry *io_list[TASK_STATS_ENTRIES_MAX];
	Io__Containerd__Cgroups__V2__NetworkStat network[TASK_STATS_ENTRIES_MAX];
	Io__Containerd__Cgroups__V2__NetworkStat *network_list[TASK_STATS_ENTRIES_MAX];
	char names[TASK_STATS_ENTRIES_MAX][INTERFACE_NAME_MAX];
};

static void fill_cgroup(struct metrics *m, const Onggi__Agent__V1__StatContainerResponse *a)
{
	io__containerd__cgroups__v2__pids_stat__init(&m->pids);
	m->pids.current = a->pids_current;
	m->pids.limit = a->pids_max;
	m->top.pids = &m->pids;
	io__containerd__cgroups__v2__cpustat__init(&m->cpu);
	fill(&m->cpu, cpu_rows, ARRAY_SIZE(cpu_rows), a->cpu_stat, a->n_cpu_stat);
	m->top.cpu = &m->cpu;
	io__containerd__cgroups__v2__memory_stat__init(&m->memory);
	fill(&m->memory, memory_rows, ARRAY_SIZE(memory_rows), a->memory_stat, a->n_memory_stat);
	m->memory.usage = a->memory_current;
	m->memory.usage_limit = a->memory_max;
	m->memory.max_usage = a->memory_peak;
	m->memory.swap_usage = a->memory_swap_current;
	m->memory.swap_limit = a->memory_swap_max;
	m->top.memory = &m->memory;
	io__containerd__cgroups__v2__memory_events__init(&m->events);
	fill(&m->events, event_rows, ARRAY_SIZE(event_rows), a->memory_events, a->n_memory_events);
	m->top.memory_events = &m->events;
}

static void fill_io(struct metrics *m, const Onggi__Agent__V1__StatContainerResponse *a)
{
	for (size_t i = 0; i < a->n_io; i++) {
		Io__Containerd__Cgroups__V2__IOEntry *e = &m->io_entries[i];

		io__containerd__cgroups__v2__ioentry__init(e);
		e->major = a->io[i]->major;
		e->minor = a->io[i]->minor;
		e->rbytes = a->io[i]->read_bytes;
		e->wbytes = a->io[i]->written_bytes;
		e->rios = a->io[i]->reads;
		e->wios = a->io[i]->writes;
		m->io_list[i] = e;
	}
	io__containerd__cgroups__v2__iostat__init(&m->io);
	m->io.usage = m->io_list;
	m->io.n_usage = a->n_io;
	m->top.io = &m->io;
}

static void fill_network(struct metrics *m, const Onggi__Agent__V1__StatContainerResponse *a)
{
	for (size_t i = 0; i < a->n_interfaces; i++) {
		const Onggi__Agent__V1__InterfaceStat *s = a->interfaces[i];
		Io__Containerd__Cgroups__V2__NetworkStat *n = &m->network[i];

		io__containerd__cgroups__v2__network_stat__init(n);
		agent_text(m->names[i], sizeof(m->names[i]), s->name);
		n->name = m->names[i];
		n->rx_bytes = s->rx_bytes;
		n->rx_packets = s->rx_packets;
		n->rx_errors = s->rx_errors;
		n->rx_dropped = s->rx_dropped;
		n->tx_bytes = s->tx_bytes;
		n->tx_packets = s->tx_packets;
		n->tx_errors = s->tx_errors;
		n->tx_dropped = s->tx_dropped;
		m->network_list[i] = n;
	}
	m->top.network = m->network_list;
	m->top.n_network = a->n_interfaces;
}

int task_stats_pack(const Onggi__Agent__V1__StatContainerResponse *answer, void **ret,
		    size_t *ret_len)
{
	_cleanup_free_ struct metrics *m = NULL;
	void *packed;
	size_t len;

	if (answer->n_io > TASK_STATS_ENTRIES_MAX || answer->n_interfaces > TASK_STATS_ENTRIES_MAX ||
	    answer->n_memory_stat > TASK_STATS_ENTRIES_MAX ||
	    answer->n_memory_events > TASK_STATS_ENTRIES_MAX ||
	    answer->n_cpu_stat > TASK_STATS_ENTRIES_MAX)
		return -E2BIG;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	io__containerd__cgroups__v2__metrics__init(&m->top);
	fill_cgroup(m, answer);
	fill_io(m, answer);
	fill_network(m, answer);
	len = io__containerd__cgroups__v2__metrics__get_packed_size(&m->top);
	packed = malloc(len ? len : 1);
	if (!packed)
		return -ENOMEM;
	io__containerd__cgroups__v2__metrics__pack(&m->top, packed);
	*ret = packed;
	*ret_len = len;
	return 0;
}

struct stats_call {
	struct task *c;
	task_stats_fn done;
	void *userdata;
};

static void stats_answered(enum ttrpc_code code, const char *message, const void *response,
			   void *userdata)
{
	struct stats_call *call = userdata;
	_cleanup_free_ void *metrics = NULL;
	char text[AGENT_TEXT_MAX];
	size_t len = 0;
	int r;

	agent_text(text, sizeof(text), message);
	if (code == TTRPC_OK) {
		r = task_stats_pack(response, &metrics, &len);
		if (r < 0) {
			code = ttrpc_code_from_errno(r);
			snprintf(text, sizeof(text), "statistics of the guest: %s", strerror(-r));
		}
	}
	call->done(code, text, metrics, len, call->userdata);
	task_unref(call->c);
	free(call);
}

void task_stats(struct task *c, task_stats_fn done, void *userdata)
{
	Onggi__Agent__V1__ContainerRef ref = ONGGI__AGENT__V1__CONTAINER_REF__INIT;
	struct stats_call *call;

	if (!task_is_alive(c)) {
		done(TTRPC_FAILED_PRECONDITION, "container not running", NULL, 0, userdata);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (!call) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", NULL, 0, userdata);
		return;
	}
	*call = (struct stats_call){ task_ref(c), done, userdata };
	ref.container_id = c->record->id;
	agent_call(c->sandbox, "StatContainer", &ref.base,
		   &onggi__agent__v1__stat_container_response__descriptor, AGENT_QUERY_TIMEOUT_MS,
		   stats_answered, call);
}
