/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_update.h"

#include <string.h>

#include "common/proto/agent.pb-c.h"
#include "shim/sandbox_cgroup.h"
#include "shim/sandbox_machine.h"

struct update_call {
	struct task *c;
	struct oci_resources *parsed;
	struct machine_need before, after;
	uint8_t *resources;
	size_t len;
	bool host_raised; /* its memory limit, for what comes in the guest */
	proc_done_fn done;
	void *userdata;
};

static void call_free(struct update_call *call)
{
	task_unref(call->c);
	oci_resources_free(call->parsed);
	free(call->resources);
	free(call);
}

/* ---- the host's side ---- */

/* The guest's limits hold; those of the host are the second wall, and their failure is for the log. */
static void update_host(struct task *c, const struct oci_resources *resources)
{
	struct err err = ERR_INIT;

	if (!c->removed && task_cgroup_update(c, resources, &err) < 0)
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING, "container '%s': limits on the host: %s",
			    c->record->id, err.text);
}

/* Everything but memory, or memory alone. Lists and strings are borrowed from @resources. */
static struct oci_resources part_of(const struct oci_resources *resources, bool memory)
{
	struct oci_resources part = { 0 };

	if (!memory) {
		part = *resources;
		part.has_memory_limit = part.has_memory_swap = part.has_memory_reservation = false;
		return part;
	}
	part.has_memory_limit = resources->has_memory_limit;
	part.memory_limit = resources->memory_limit;
	part.has_memory_swap = resources->has_memory_swap;
	part.memory_swap = resources->memory_swap;
	part.has_memory_reservation = resources->has_memory_reservation;
	part.memory_reservation = resources->memory_reservation;
	return part;
}

static bool lowers_memory(const struct update_call *call)
{
	/* No limit is 0, and the highest. */
	return call->after.memory_bytes &&
	       (!call->before.memory_bytes || call->after.memory_bytes < call->before.memory_bytes);
}

/*
 * The VMM has what its guest has used. A limit below that would end it, so it comes only when the
 * guest has really given up what it does not need any more.
 */
static void guest_has_shrunk(enum ttrpc_code code, const char *message, void *userdata)
{
	struct update_call *call = userdata;
	struct oci_resources memory = part_of(call->parsed, true);
	struct task *c = call->c;

	if (code == TTRPC_OK && !c->updating && task_is_alive(c) &&
	    sandbox_machine_is_small(c->sandbox))
		update_host(c, &memory);
	call_free(call);
}

/* ---- the guest's side ---- */

static void update_over(struct update_call *call, enum ttrpc_code code, const char *message)
{
	struct oci_resources rest = part_of(call->parsed, false);
	struct oci_resources before = {
		.has_memory_limit = true,
		.memory_limit = call->before.memory_bytes ? (int64_t)call->before.memory_bytes : -1,
	};
	struct task *c = call->c;

	c->updating = false;
	c->need = code == TTRPC_OK ? call->after : call->before;
	/* Before the answer: who has it may look at the host's cgroup. */
	if (code == TTRPC_OK)
		update_host(c, &rest);
	else if (call->host_raised)
		update_host(c, &before);
	call->done(code, message, call->userdata);
	/* What is not needed any more, or was taken for nothing. */
	if (code == TTRPC_OK && lowers_memory(call)) {
		sandbox_machine_fit(c->sandbox, guest_has_shrunk, call);
		return;
	}
	sandbox_machine_fit(c->sandbox, NULL, NULL);
	call_free(call);
}

static void agent_updated(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
	char text[AGENT_TEXT_MAX];

	agent_text(text, sizeof(text), message);
	update_over(userdata, code, text);
}

static void machine_fits(enum ttrpc_code code, const char *message, void *userdata)
{
	Onggi__Agent__V1__UpdateContainerRequest request =
		ONGGI__AGENT__V1__UPDATE_CONTAINER_REQUEST__INIT;
	struct update_call *call = userdata;
	char text[AGENT_TEXT_MAX];

	if (code != TTRPC_OK) {
		snprintf(text, sizeof(text), "update container '%s': %s", call->c->record->id,
			 message);
		update_over(call, code, text);
		return;
	}
	if (!lowers_memory(call)) {
		struct oci_resources memory = part_of(call->parsed, true);

		update_host(call->c, &memory);
		call->host_raised = memory.has_memory_limit;
	}
	request.container_id = call->c->record->id;
	request.resources = (ProtobufCBinaryData){ .data = call->resources, .len = call->len };
	agent_call(call->c->sandbox, "UpdateContainer", &request.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, agent_updated,
		   call);
}

/* While it changes the guest holds what is needed before and what is needed after. */
static void need_both(struct update_call *call)
{
	struct task *c = call->c;
	char text[AGENT_TEXT_MAX];

	c->need = machine_need_larger(&call->before, &call->after);
	if (call->after.memory_bytes > call->before.memory_bytes &&
	    sandbox_machine_too_small(c->sandbox, text, sizeof(text)))
		update_over(call, TTRPC_FAILED_PRECONDITION, text);
	else
		sandbox_machine_fit(c->sandbox, machine_fits, call);
}

static const char *refuse(const struct task *c)
{
	if (!task_is_alive(c))
		return "container not running";
	return c->updating ? "another update is under way" : NULL;
}

void task_update(struct task *c, const void *resources, size_t len, proc_done_fn done,
		 void *userdata)
{
	_cleanup_(oci_resources_free_p) struct oci_resources *parsed = NULL;
	const char *reason = refuse(c);
	struct err err = ERR_INIT;
	struct update_call *call;
	int r;

	if (reason) {
		done(TTRPC_FAILED_PRECONDITION, reason, userdata);
		return;
	}
	r = oci_resources_parse(resources, len, &parsed, &err);
	if (r < 0) {
		done(TTRPC_INVALID_ARGUMENT, err.text, userdata);
		return;
	}
	call = calloc(1, sizeof(*call));
	if (call)
		call->resources = malloc(len ? len : 1);
	if (!call || !call->resources) {
		free(call);
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	memcpy(call->resources, resources, len);
	call->len = len;
	call->c = task_ref(c);
	call->before = call->after = c->need;
	machine_need_update(&call->after, parsed);
	call->parsed = TAKE_PTR(parsed);
	call->done = done;
	call->userdata = userdata;
	c->updating = true;
	need_both(call);
}
