/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/stats_json.h"

#include <errno.h>

#include "common/proto/metrics.pb-c.h"

#define NS_PER_US 1000u

typedef Io__Containerd__Cgroups__V2__Metrics metrics_message;

/* A new tree under construction: the first failure stays. */
struct builder {
	int code;
};

static struct json *object(struct builder *b, struct json *parent, const char *key)
{
	struct json *child = json_new_object();

	if (!child || json_set(parent, key, child) < 0) {
		b->code = -ENOMEM;
		return NULL;
	}
	return child;
}

static void number(struct builder *b, struct json *parent, const char *key, uint64_t value)
{
	if (b->code == 0)
		b->code = json_set(parent, key, json_new_uint(value));
}

/* As Go's omitempty. */
static void number_if(struct builder *b, struct json *parent, const char *key, uint64_t value)
{
	if (value)
		number(b, parent, key, value);
}

static void string(struct builder *b, struct json *parent, const char *key, const char *value)
{
	if (b->code == 0)
		b->code = json_set(parent, key, json_new_string(value));
}

static void add_cpu(struct builder *b, struct json *data, const metrics_message *m)
{
	struct json *cpu = object(b, data, "cpu");
	struct json *usage = cpu ? object(b, cpu, "usage") : NULL;
	struct json *throttling = cpu ? object(b, cpu, "throttling") : NULL;

	if (!usage || !throttling || !m->cpu)
		return;
	number_if(b, usage, "total", m->cpu->usage_usec * NS_PER_US);
	number(b, usage, "kernel", m->cpu->system_usec * NS_PER_US);
	number(b, usage, "user", m->cpu->user_usec * NS_PER_US);
	number_if(b, throttling, "periods", m->cpu->nr_periods);
	number_if(b, throttling, "throttledPeriods", m->cpu->nr_throttled);
	number_if(b, throttling, "throttledTime", m->cpu->throttled_usec * NS_PER_US);
}

static void add_amount(struct builder *b, struct json *memory, const char *key, uint64_t limit,
		       uint64_t usage, uint64_t max, uint64_t failures)
{
	struct json *amount = object(b, memory, key);

	if (!amount)
		return;
	number(b, amount, "limit", limit);
	number_if(b, amount, "usage", usage);
	number_if(b, amount, "max", max);
	number(b, amount, "failcnt", failures);
}

/* Each counter of the message under the kernel's name, which is the field's. */
static void add_raw(struct builder *b, struct json *memory,
		    const Io__Containerd__Cgroups__V2__MemoryStat *stat)
{
	const ProtobufCMessageDescriptor *d = stat->base.descriptor;
	struct json *raw = object(b, memory, "raw");

	for (unsigned int i = 0; raw && i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		/* From "usage" on they are no counters of memory.stat. */
		if (f->id < 32 && f->type == PROTOBUF_C_TYPE_UINT64)
			number(b, raw, f->name, *(const uint64_t *)((const char *)stat + f->offset));
	}
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void add_memory(struct builder *b, struct json *data, const metrics_message *m)
{
	struct json *memory = object(b, data, "memory");
	const Io__Containerd__Cgroups__V2__MemoryStat *s = m->memory;
	uint64_t failures = m->memory_events ? m->memory_events->max : 0;

	if (!memory || !s)
		return;
	number_if(b, memory, "cache", s->file);
	add_amount(b, memory, "usage", s->usage_limit, s->usage, s->max_usage, failures);
	add_amount(b, memory, "swap", sum(s->swap_limit, s->usage_limit), sum(s->swap_usage, s->usage), 0, 0);
	add_amount(b, memory, "kernel", 0, s->kernel_stack + s->slab, 0, 0);
	add_amount(b, memory, "kernelTCP", 0, s->sock, 0, 0);
	add_raw(b, memory, s);
}

static void add_pids(struct builder *b, struct json *data, const metrics_message *m)
{
	struct json *pids = object(b, data, "pids");

	if (!pids || !m->pids)
		return;
	number_if(b, pids, "current", m->pids->current);
	/* runc's word for no limit is none. */
	if (m->pids->limit != UINT64_MAX)
		number_if(b, pids, "limit", m->pids->limit);
}

static void add_io_entry(struct builder *b, struct json *list, const char *op, uint64_t value,
			 const Io__Containerd__Cgroups__V2__IOEntry *e)
{
	struct json *entry = json_new_object();

	if (!entry || json_append(list, entry) < 0) {
		b->code = -ENOMEM;
		return;
	}
	number_if(b, entry, "major", e->major);
	number_if(b, entry, "minor", e->minor);
	string(b, entry, "op", op);
	number_if(b, entry, "value", value);
}

static void add_blkio(struct builder *b, struct json *data, const metrics_message *m)
{
	struct json *blkio = object(b, data, "blkio"), *bytes, *served;

	if (!blkio || !m->io || !m->io->n_usage)
		return;
	bytes = json_new_array();
	served = json_new_array();
	if (json_set(blkio, "ioServiceBytesRecursive", bytes) < 0 ||
	    json_set(blkio, "ioServicedRecursive", served) < 0) {
		b->code = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < m->io->n_usage && b->code == 0; i++) {
		const Io__Containerd__Cgroups__V2__IOEntry *e = m->io->usage[i];

		add_io_entry(b, bytes, "Read", e->rbytes, e);
		add_io_entry(b, bytes, "Write", e->wbytes, e);
		add_io_entry(b, served, "Read", e->rios, e);
		add_io_entry(b, served, "Write", e->wios, e);
	}
}

static void add_network(struct builder *b, struct json *data, const metrics_message *m)
{
	struct json *list = json_new_array();

	if (!list || json_set(data, "network_interfaces", list) < 0) {
		b->code = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < m->n_network && b->code == 0; i++) {
		const Io__Containerd__Cgroups__V2__NetworkStat *n = m->network[i];
		struct json *entry = json_new_object();

		if (!entry || json_append(list, entry) < 0) {
			b->code = -ENOMEM;
			return;
		}
		string(b, entry, "Name", n->name);
		number(b, entry, "RxBytes", n->rx_bytes);
		number(b, entry, "RxPackets", n->rx_packets);
		number(b, entry, "RxErrors", n->rx_errors);
		number(b, entry, "RxDropped", n->rx_dropped);
		number(b, entry, "TxBytes", n->tx_bytes);
		number(b, entry, "TxPackets", n->tx_packets);
		number(b, entry, "TxErrors", n->tx_errors);
		number(b, entry, "TxDropped", n->tx_dropped);
	}
}

static struct json *event(struct builder *b, const char *type, const char *id)
{
	struct json *top = json_new_object();

	if (!top) {
		b->code = -ENOMEM;
		return NULL;
	}
	string(b, top, "type", type);
	string(b, top, "id", id);
	return top;
}

static void add_data(struct builder *b, struct json *top, const metrics_message *m)
{
	struct json *data = object(b, top, "data");

	if (!data)
		return;
	add_cpu(b, data, m);
	/* A guest has it, but its numbers would be taken for the host's. */
	object(b, data, "cpuset");
	add_memory(b, data, m);
	add_pids(b, data, m);
	add_blkio(b, data, m);
	object(b, data, "hugetlb");
	object(b, data, "intel_rdt");
	add_network(b, data, m);
}

int stats_json(const char *id, const void *metrics, size_t len, struct json **ret, struct err *err)
{
	_cleanup_json_ struct json *top = NULL;
	struct builder b = { 0 };
	metrics_message *m;

	m = io__containerd__cgroups__v2__metrics__unpack(NULL, len, metrics);
	if (!m)
		return err_set(err, -EBADMSG, "statistics of '%s' are malformed", id);
	top = event(&b, "stats", id);
	if (top)
		add_data(&b, top, m);
	io__containerd__cgroups__v2__metrics__free_unpacked(m, NULL);
	if (b.code < 0)
		return err_set_errno(err, b.code, "statistics");
	*ret = TAKE_PTR(top);
	return 0;
}

struct json *oom_json(const char *id)
{
	_cleanup_json_ struct json *top = NULL;
	struct builder b = { 0 };

	top = event(&b, "oom", id);
	return b.code == 0 ? TAKE_PTR(top) : NULL;
}
