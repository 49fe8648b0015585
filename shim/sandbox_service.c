/* SPDX-License-Identifier: Apache-2.0 */
/* onggi.sandbox.v1.Sandbox: what the Task service lacks. */
#include <string.h>

#include "common/proto/agent.pb-c.h"
#include "common/proto/sandbox.pb-c.h"
#include "shim/services.h"
#include "shim/task.h"
#include "shim/task_hooks.h"
#include "shim/task_oom.h"
#include "shim/task_resume.h"

/* Processes of a container that are shown. */
#define PROCESSES_MAX 65536u

/* ---- Attach ---- */

/* The connection of an attached proxy has ended. */
static void proxy_gone(struct ttrpc_conn *conn, void *userdata)
{
	struct proc *p = userdata;

	p->conn = NULL;
	proc_proxy_gone(p);
	proc_unref(p);
}

static bool has_attached(const struct sandbox *s, const struct ttrpc_conn *conn)
{
	for (const struct task *c = s->containers; c; c = c->next) {
		if (c->init && c->init->conn == conn)
			return true;
		for (const struct proc *p = c->execs; p; p = p->next) {
			if (p->conn == conn)
				return true;
		}
	}
	return false;
}

static void attach(struct ttrpc_call *call, const void *message, void *userdata)
{
	static const Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;
	const Onggi__Sandbox__V1__AttachRequest *request = message;
	struct task *c = task_find(userdata, request->id);
	struct proc *p = c ? task_proc(c, request->exec_id) : NULL;
	struct ttrpc_conn *conn = ttrpc_call_conn(call);
	pid_t pid;

	if (!p) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"container '%s' does not exist, or has no process '%s'",
				request->id, request->exec_id);
		return;
	}
	if (p->host_pid > 0) {
		ttrpc_call_fail(call, TTRPC_ALREADY_EXISTS, "process %d is attached to it already",
				p->host_pid);
		return;
	}
	if (!conn || ttrpc_conn_peer_pid(conn, &pid) < 0) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the caller's pid cannot be told");
		return;
	}
	if (has_attached(userdata, conn)) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION,
				"a connection stands for one process only");
		return;
	}
	p->host_pid = pid;
	p->conn = conn;
	p->tells_loss = request->tells_loss;
	relay_set_owned(p->io);
	if (proc_is_init(p)) {
		process_id_of(pid, &c->record->proxy);
		task_save(c, NULL);
	}
	ttrpc_conn_on_gone(conn, proxy_gone, proc_ref(p));
	ttrpc_call_reply(call, &empty.base);
}

/* ---- Info ---- */

static void info(struct ttrpc_call *call, const void *message, void *userdata)
{
	Onggi__Sandbox__V1__InfoResponse response = ONGGI__SANDBOX__V1__INFO_RESPONSE__INIT;
	struct sandbox *s = userdata;

	response.sandbox_id = s->id;
	response.monitor_pid = (uint32_t)getpid();
	response.vmm_pid = s->vm ? (uint32_t)vm_pid(s->vm) : 0;
	response.file_server_pid = s->files ? (uint32_t)s->options.files->pid(s->files) : 0;
	response.guest_kernel = s->guest_kernel;
	response.guest_memory_total_bytes = s->guest_memory_total;
	response.guest_memory_free_bytes = s->guest_memory_free;
	response.accelerator = (char *)(uintptr_t)vm_accel_name(s->accel);
	if (s->last_loss)
		response.lost_reason = s->last_loss;
	ttrpc_call_reply(call, &response.base);
}

/* ---- Processes ---- */

static void reply_processes(struct ttrpc_call *call,
			    const Onggi__Agent__V1__ListProcessesResponse *answer)
{
	Onggi__Sandbox__V1__ProcessesResponse response =
		ONGGI__SANDBOX__V1__PROCESSES_RESPONSE__INIT;
	size_t n = answer->n_processes;
	_cleanup_free_ Onggi__Sandbox__V1__Process **list = calloc(n + 1, sizeof(*list));
	_cleanup_free_ Onggi__Sandbox__V1__Process *processes = calloc(n + 1, sizeof(*processes));

	if (!list || !processes) {
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		char *command = answer->processes[i]->command;

		/* In place: the text only gets shorter. An empty one is protobuf-c's own, in read-only memory. */
		if (command[0])
			agent_text(command, strnlen(command, AGENT_TEXT_MAX - 1) + 1, command);
		onggi__sandbox__v1__process__init(&processes[i]);
		processes[i].pid = answer->processes[i]->pid;
		processes[i].command = command;
		list[i] = &processes[i];
	}
	response.processes = list;
	response.n_processes = n;
	ttrpc_call_reply(call, &response.base);
}

static void processes_answered(enum ttrpc_code code, const char *message, const void *response,
			       void *userdata)
{
	const Onggi__Agent__V1__ListProcessesResponse *answer = response;
	struct ttrpc_call *call = userdata;
	char text[AGENT_TEXT_MAX];

	if (code != TTRPC_OK) {
		agent_text(text, sizeof(text), message);
		ttrpc_call_fail(call, code, "%s", text);
	} else if (answer->n_processes > PROCESSES_MAX) {
		ttrpc_call_fail(call, TTRPC_OUT_OF_RANGE, "the guest lists more than %u processes",
				PROCESSES_MAX);
	} else {
		reply_processes(call, answer);
	}
}

static void processes(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Sandbox__V1__ProcessesRequest *request = message;
	Onggi__Agent__V1__ContainerRef ref = ONGGI__AGENT__V1__CONTAINER_REF__INIT;
	struct sandbox *s = userdata;
	struct task *c = task_find(s, request->id);

	if (!c) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container '%s' does not exist",
				request->id);
		return;
	}
	if (c->creation || !c->init || c->init->state == PROC_STOPPED) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "container not running");
		return;
	}
	ref.container_id = c->record->id;
	agent_call(s, "ListProcesses", &ref.base,
		   &onggi__agent__v1__list_processes_response__descriptor, AGENT_QUERY_TIMEOUT_MS,
		   processes_answered, call);
}

/* ---- RunHooks ---- */

static void hooks_ended(enum ttrpc_code code, const char *message, void *userdata)
{
	static const Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;
	struct ttrpc_call *call = userdata;

	if (code != TTRPC_OK)
		ttrpc_call_fail(call, code, "%s", message);
	else
		ttrpc_call_reply(call, &empty.base);
}

static void run_hooks(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Sandbox__V1__RunHooksRequest *request = message;
	struct task *c = task_find(userdata, request->id);

	if (!c)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container '%s' does not exist", request->id);
	else
		task_run_hooks(c, hooks_ended, call);
}

/* ---- WaitOom ---- */

static void oom_told(uint64_t kills, bool ended, void *userdata)
{
	Onggi__Sandbox__V1__WaitOomResponse response = ONGGI__SANDBOX__V1__WAIT_OOM_RESPONSE__INIT;

	response.oom_kills = kills;
	response.ended = ended;
	ttrpc_call_reply(userdata, &response.base);
}

static bool call_is_gone(void *userdata)
{
	return !ttrpc_call_conn(userdata);
}

static void oom_forget(void *userdata)
{
	ttrpc_call_fail(userdata, TTRPC_CANCELED, "nobody waits any more");
}

static void wait_oom(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Sandbox__V1__WaitOomRequest *request = message;
	struct task_oom_listener listener = { .fn = oom_told,
					      .is_gone = call_is_gone,
					      .forget = oom_forget,
					      .userdata = call,
					      .seen = request->seen };
	struct task *c = task_find(userdata, request->id);
	int r;

	if (!c) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container '%s' does not exist",
				request->id);
		return;
	}
	r = task_oom_listen(c, &listener);
	if (r < 0)
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED,
				"too many wait for events of container '%s'", request->id);
}

/* ---- WaitResumed ---- */

static void resumed(void *userdata)
{
	static const Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;

	ttrpc_call_reply(userdata, &empty.base);
}

static void wait_resumed(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Sandbox__V1__WaitResumedRequest *request = message;
	const struct task_resume_listener listener = { .fn = resumed, .is_gone = call_is_gone, .userdata = call };
	struct task *c = task_find(userdata, request->id);

	if (!c)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container '%s' does not exist", request->id);
	else if (task_resume_listen(c, &listener) < 0)
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "too many wait for container '%s' to be resumed",
				request->id);
}

const struct ttrpc_method sandbox_service_methods[] = {
	{ "Attach", &onggi__sandbox__v1__attach_request__descriptor,
	  &onggi__sandbox__v1__empty__descriptor, attach },
	{ "Info", &onggi__sandbox__v1__empty__descriptor,
	  &onggi__sandbox__v1__info_response__descriptor, info },
	{ "Processes", &onggi__sandbox__v1__processes_request__descriptor,
	  &onggi__sandbox__v1__processes_response__descriptor, processes },
	{ "RunHooks", &onggi__sandbox__v1__run_hooks_request__descriptor,
	  &onggi__sandbox__v1__empty__descriptor, run_hooks },
	{ "WaitOom", &onggi__sandbox__v1__wait_oom_request__descriptor,
	  &onggi__sandbox__v1__wait_oom_response__descriptor, wait_oom },
	{ "WaitResumed", &onggi__sandbox__v1__wait_resumed_request__descriptor,
	  &onggi__sandbox__v1__empty__descriptor, wait_resumed },
};
const size_t sandbox_service_n_methods = ARRAY_SIZE(sandbox_service_methods);

void services_init(struct ttrpc_service services[SERVICES_COUNT], struct sandbox *s)
{
	static const char *const task_names[] = { "containerd.task.v2.Task",
						  "containerd.task.v3.Task" };

	for (size_t i = 0; i < ARRAY_SIZE(task_names); i++) {
		services[i] = (struct ttrpc_service){
			.name = task_names[i],
			.methods = task_service_methods,
			.n_methods = task_service_n_methods,
			.userdata = s,
		};
	}
	services[ARRAY_SIZE(task_names)] = (struct ttrpc_service){
		.name = "onggi.sandbox.v1.Sandbox",
		.methods = sandbox_service_methods,
		.n_methods = sandbox_service_n_methods,
		.userdata = s,
	};
}
