/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_machine.h"

#include <string.h>

#include "common/proto/agent.pb-c.h"
#include "shim/task.h"

#define MIB UINT64_C(1048576)

struct sandbox_machine_waiter {
	struct sandbox_machine_waiter *next;
	proc_done_fn done;
	void *userdata;
};

/* A call to the agent; only the answer to the last one counts. */
struct fit_call {
	struct sandbox *s;
	uint64_t serial;
};

/* ---- adding up ---- */

/* Whether it may use anything of the guest, or is about to. */
static bool counts(const struct task *c)
{
	return !c->removed && (c->creation || c->record->status != CONTAINER_STOPPED);
}

static struct machine_size needed(const struct sandbox *s, const struct machine_size *max)
{
	struct machine_need needs[SANDBOX_CONTAINERS_MAX];
	struct machine_size now, pod;
	size_t n = 0;

	for (const struct task *c = s->containers; c && n < SANDBOX_CONTAINERS_MAX; c = c->next) {
		if (counts(c))
			needs[n++] = c->need;
	}
	now = machine_size_for(&s->machine.bounds.base, max, needs, n);
	pod = machine_size_for(&s->machine.bounds.base, max, &s->options.pod, 1);
	return machine_size_larger(&now, &pod);
}

struct machine_size sandbox_machine_boot(struct sandbox *s)
{
	struct machine_size size = needed(s, &s->machine.bounds.boot_max);

	/* Before the first container is there, its launcher has told what it needs. */
	if (!s->containers)
		size = (struct machine_size){ s->options.memory_mib, s->options.vcpus };
	s->machine.boot = s->machine.now = s->machine.target = size;
	s->machine.built = machine_size_built(&s->machine.bounds, &size);
	return size;
}

bool sandbox_machine_is_small(const struct sandbox *s)
{
	return !s->machine.under_way && s->machine.now.memory_mib <= s->machine.target.memory_mib;
}

bool sandbox_machine_too_small(struct sandbox *s, char *text, size_t size)
{
	static const struct machine_size endless = { UINT64_MAX, UINT32_MAX };
	struct machine_size want = needed(s, &endless);

	if (want.memory_mib <= s->machine.built.memory_mib)
		return false;
	snprintf(text, size,
		 "the containers' memory limits need a guest of %llu MiB, and this one can grow to %llu: "
		 "set \"memory_max_mib\" in the configuration",
		 (unsigned long long)want.memory_mib,
		 (unsigned long long)s->machine.built.memory_mib);
	return true;
}

/* ---- waiting ---- */

static void answer_waiters(struct sandbox *s, enum ttrpc_code code, const char *message)
{
	struct sandbox_machine_waiter *list = s->machine.waiters;

	s->machine.waiters = NULL;
	while (list) {
		struct sandbox_machine_waiter *w = list;

		list = w->next;
		w->done(code, message, w->userdata);
		free(w);
	}
}

static bool add_waiter(struct sandbox *s, proc_done_fn done, void *userdata)
{
	struct sandbox_machine_waiter *w;

	if (!done)
		return true;
	w = malloc(sizeof(*w));
	if (!w) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return false;
	}
	*w = (struct sandbox_machine_waiter){ s->machine.waiters, done, userdata };
	s->machine.waiters = w;
	return true;
}

/* ---- asking the agent ---- */

static bool reaches(const struct machine_size *have, const struct machine_size *want)
{
	return have->memory_mib >= want->memory_mib && have->vcpus >= want->vcpus;
}

static void fit_answered(enum ttrpc_code code, const char *message, const void *response,
			 void *userdata)
{
	const Onggi__Agent__V1__UpdateMachineResponse *answer = response;
	struct fit_call *call = userdata;
	struct sandbox *s = call->s;
	bool last = call->serial == s->machine.serial;
	char text[AGENT_TEXT_MAX];

	free(call);
	if (!last)
		return;
	s->machine.under_way = false;
	agent_text(text, sizeof(text), message);
	if (code == TTRPC_OK) {
		s->machine.now.memory_mib = answer->memory_bytes / MIB;
		s->machine.now.vcpus = answer->cpus;
		if (!reaches(&s->machine.now, &s->machine.target)) {
			code = TTRPC_RESOURCE_EXHAUSTED;
			snprintf(text, sizeof(text), "the guest could not be grown");
		}
	}
	if (code != TTRPC_OK && !agent_code_is_loss(code)) {
		sandbox_log(s, LOG_LEVEL_WARNING, "size of the guest: %s", text);
		s->machine.target = s->machine.now;
	}
	answer_waiters(s, code, text);
}

static bool ask_agent(struct sandbox *s)
{
	Onggi__Agent__V1__UpdateMachineRequest request =
		ONGGI__AGENT__V1__UPDATE_MACHINE_REQUEST__INIT;
	Onggi__Agent__V1__MemoryRange messages[VM_MEMORY_RANGES_MAX], *list[VM_MEMORY_RANGES_MAX];
	struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX];
	struct fit_call *call = malloc(sizeof(*call));

	if (!call)
		return false;
	*call = (struct fit_call){ s, ++s->machine.serial };
	s->machine.under_way = true;
	request.n_ranges =
		vm_memory_ranges(s->options.driver, s->machine.built.memory_mib, ranges);
	for (size_t i = 0; i < request.n_ranges; i++) {
		onggi__agent__v1__memory_range__init(&messages[i]);
		messages[i].start = ranges[i].start;
		messages[i].length = ranges[i].length;
		list[i] = &messages[i];
	}
	request.ranges = list;
	request.cpus = s->machine.target.vcpus;
	if (request.n_ranges > 0)
		request.memory_bytes = s->machine.target.memory_mib * MIB;
	agent_call(s, "UpdateMachine", &request.base,
		   &onggi__agent__v1__update_machine_response__descriptor, AGENT_MACHINE_TIMEOUT_MS,
		   fit_answered, call);
	return true;
}

void sandbox_machine_fit(struct sandbox *s, proc_done_fn done, void *userdata)
{
	struct machine_size want;
	bool same;

	if (s->phase != SANDBOX_READY) {
		if (done)
			done(TTRPC_OK, "", userdata);
		return;
	}
	want = needed(s, &s->machine.built);
	same = want.memory_mib == s->machine.target.memory_mib && want.vcpus == s->machine.target.vcpus;
	if (same && !s->machine.under_way) {
		if (done)
			done(TTRPC_OK, "", userdata);
		return;
	}
	if (!add_waiter(s, done, userdata) || same)
		return;
	s->machine.target = want;
	if (!ask_agent(s))
		answer_waiters(s, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
}
