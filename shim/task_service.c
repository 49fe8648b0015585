/* SPDX-License-Identifier: Apache-2.0 */
/* containerd.task.v2.Task and v3: the same methods and messages under two names. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/proto/task.pb-c.h"
#include "shim/containerd/create.h"
#include "shim/containerd/events.h"
#include "shim/containerd/publish.h"
#include "shim/relay_logger.h"
#include "shim/services.h"
#include "shim/task.h"
#include "shim/task_stats.h"
#include "shim/task_update.h"

#define TYPE_PROCESS "Process"
#define TYPE_RESOURCES "LinuxResources"

/* ---- finding whom a request means ---- */

static struct task *find_task(struct sandbox *s, struct ttrpc_call *call, const char *id)
{
	struct task *c = task_find(s, id);

	if (!c)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "container '%s' does not exist", id);
	return c;
}

static struct proc *find_proc(struct sandbox *s, struct ttrpc_call *call, const char *id,
			      const char *exec_id)
{
	struct task *c = find_task(s, call, id);
	struct proc *p = c ? task_proc(c, exec_id) : NULL;

	if (c && !p)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"process '%s' of container '%s' does not exist", exec_id, id);
	return p;
}

/* Whether containerd calls, rather than the command line. */
static bool is_engine(const struct sandbox *s)
{
	return s->options.publisher;
}

static struct relay_logger_place logger_place(const struct sandbox *s, const char *id)
{
	return (struct relay_logger_place){
		.id = id,
		.namespace = is_engine(s) ? publisher_namespace(s->options.publisher) : "",
		.netns_fd = s->options.host_netns_fd,
	};
}

/* ---- answering later ---- */

struct pending {
	struct ttrpc_call *call;
	struct proc *p;
	struct task *c;
	char exec_id[NAME_MAX + 1]; /* of Exec */
};

/* NULL: the call has been answered. @c, @p may be NULL; references are held. */
static struct pending *pend(struct ttrpc_call *call, struct task *c, struct proc *p)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	if (!pending) {
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return NULL;
	}
	pending->call = call;
	pending->c = c ? task_ref(c) : NULL;
	pending->p = p ? proc_ref(p) : NULL;
	return pending;
}

static void pending_free(struct pending *pending)
{
	proc_unref(pending->p);
	task_unref(pending->c);
	free(pending);
}

static bool pending_failed(struct pending *pending, enum ttrpc_code code, const char *message)
{
	if (code == TTRPC_OK)
		return false;
	ttrpc_call_fail(pending->call, code, "%s", message);
	pending_free(pending);
	return true;
}

static void reply_empty(enum ttrpc_code code, const char *message, void *userdata)
{
	static const Containerd__Task__V2__Empty empty = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct pending *pending = userdata;

	if (pending_failed(pending, code, message))
		return;
	ttrpc_call_reply(pending->call, &empty.base);
	pending_free(pending);
}

static Containerd__Task__V2__Timestamp timestamp_of(const struct proc *p)
{
	Containerd__Task__V2__Timestamp t = CONTAINERD__TASK__V2__TIMESTAMP__INIT;

	t.seconds = p->exited_at.tv_sec;
	t.nanos = (int32_t)p->exited_at.tv_nsec;
	return t;
}

/* ---- State, Pids, Connect ---- */

static Containerd__Task__V2__Status status_of(const struct proc *p)
{
	static const Containerd__Task__V2__Status statuses[] = {
		[PROC_CREATING] = CONTAINERD__TASK__V2__STATUS__CREATED,
		[PROC_CREATED] = CONTAINERD__TASK__V2__STATUS__CREATED,
		[PROC_STARTING] = CONTAINERD__TASK__V2__STATUS__CREATED,
		[PROC_RUNNING] = CONTAINERD__TASK__V2__STATUS__RUNNING,
		[PROC_STOPPED] = CONTAINERD__TASK__V2__STATUS__STOPPED,
	};

	if (p->state == PROC_RUNNING && p->container->record->status == CONTAINER_PAUSED)
		return CONTAINERD__TASK__V2__STATUS__PAUSED;
	return statuses[p->state];
}

static void task_state(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__StateRequest *request = message;
	Containerd__Task__V2__StateResponse response = CONTAINERD__TASK__V2__STATE_RESPONSE__INIT;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	Containerd__Task__V2__Timestamp exited_at;

	if (!p)
		return;
	exited_at = timestamp_of(p);
	response.id = p->container->record->id;
	response.bundle = p->container->record->bundle;
	response.pid = (uint32_t)proc_host_pid(p);
	response.status = status_of(p);
	response.stdin = p->paths[RELAY_STDIN];
	response.stdout = p->paths[RELAY_STDOUT];
	response.stderr = p->paths[RELAY_STDERR];
	response.terminal = p->terminal;
	response.exec_id = p->exec_id;
	if (p->state == PROC_STOPPED) {
		response.exit_status = p->exit_status;
		response.exited_at = &exited_at;
	}
	ttrpc_call_reply(call, &response.base);
}

static void task_pids(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__PidsRequest *request = message;
	Containerd__Task__V2__PidsResponse response = CONTAINERD__TASK__V2__PIDS_RESPONSE__INIT;
	_cleanup_free_ Containerd__Task__V2__ProcessInfo **list = NULL, *infos = NULL;
	struct task *c = find_task(userdata, call, request->id);
	size_t n = 0;

	if (!c)
		return;
	list = calloc(c->n_execs + 1, sizeof(*list));
	infos = calloc(c->n_execs + 1, sizeof(*infos));
	if (!list || !infos) {
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	/*
	 * Pids of the host: who stands for the processes there. A containerd that comes back takes a task without any for
	 * one that never was, and would forget how it ended: it is told of the stopped init too.
	 */
	for (struct proc *p = c->init; p; p = p == c->init ? c->execs : p->next) {
		if ((p->state == PROC_STOPPED && !(p == c->init && is_engine(userdata))) ||
		    (p != c->init && p->state != PROC_RUNNING))
			continue;
		containerd__task__v2__process_info__init(&infos[n]);
		infos[n].pid = (uint32_t)proc_host_pid(p);
		list[n] = &infos[n];
		n++;
	}
	response.processes = list;
	response.n_processes = n;
	ttrpc_call_reply(call, &response.base);
}

static void task_connect(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__ConnectRequest *request = message;
	Containerd__Task__V2__ConnectResponse response =
		CONTAINERD__TASK__V2__CONNECT_RESPONSE__INIT;
	struct task *c = task_find(userdata, request->id);

	/* containerd asks for ids that it is not sure of, and wants no error. */
	response.shim_pid = (uint32_t)getpid();
	response.task_pid = c && c->init ? (uint32_t)proc_host_pid(c->init) : 0;
	response.version = (char *)(uintptr_t)ONGGI_VERSION;
	ttrpc_call_reply(call, &response.base);
}

/* ---- Create, Start, Delete ---- */

static void created(enum ttrpc_code code, const char *message, void *userdata)
{
	Containerd__Task__V2__CreateTaskResponse response =
		CONTAINERD__TASK__V2__CREATE_TASK_RESPONSE__INIT;
	struct pending *pending = userdata;

	if (pending_failed(pending, code, message))
		return;
	response.pid = (uint32_t)getpid();
	ttrpc_call_reply(pending->call, &response.base);
	pending_free(pending);
}

/* -1: it cannot be told, so it is taken for the launcher's. */
static int open_mount_ns(struct ttrpc_call *call)
{
	struct ttrpc_conn *conn = ttrpc_call_conn(call);
	char path[64];
	pid_t pid;

	if (!conn || ttrpc_conn_peer_pid(conn, &pid) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void task_service_create(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__CreateTaskRequest *request = message;
	const struct relay_logger_place place = logger_place(userdata, request->id);
	struct task_config config = {
		.id = request->id,
		.bundle = request->bundle,
		.io = { .paths = { request->stdin, request->stdout, request->stderr },
			.terminal = request->terminal,
			.late_input = is_engine(userdata),
			.logger = is_engine(userdata) ? &place : NULL },
	};
	_cleanup_close_ int mount_ns = config.mount_ns = open_mount_ns(call);
	struct pending *pending;

	if (request->checkpoint[0]) {
		ttrpc_call_fail(call, TTRPC_UNIMPLEMENTED,
				"restore from a checkpoint is not supported");
		return;
	}
	pending = pend(call, NULL, NULL);
	if (!pending)
		return;
	if (is_engine(userdata))
		engine_create(userdata, request, &config, created, pending);
	else if (request->n_rootfs > 0)
		created(TTRPC_UNIMPLEMENTED,
			"a rootfs given as a list of mounts is for containerd's shim alone", pending);
	else
		task_create(userdata, &config, created, pending);
}

static void started(enum ttrpc_code code, const char *message, void *userdata)
{
	Containerd__Task__V2__StartResponse response = CONTAINERD__TASK__V2__START_RESPONSE__INIT;
	struct pending *pending = userdata;

	if (pending_failed(pending, code, message))
		return;
	response.pid = (uint32_t)proc_host_pid(pending->p);
	event_started(pending->p);
	ttrpc_call_reply(pending->call, &response.base);
	if (proc_is_init(pending->p))
		engine_started(pending->p->container);
	pending_free(pending);
}

static void task_service_start(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__StartRequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct pending *pending = p ? pend(call, NULL, p) : NULL;

	if (pending)
		proc_start(p, started, pending);
}

static void reply_deleted(enum ttrpc_code code, const char *message, void *userdata)
{
	Containerd__Task__V2__DeleteResponse response = CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	struct pending *pending = userdata;
	Containerd__Task__V2__Timestamp exited_at;

	if (pending_failed(pending, code, message))
		return;
	exited_at = timestamp_of(pending->p);
	response.pid = (uint32_t)proc_host_pid(pending->p);
	response.exit_status = pending->p->exit_status;
	response.exited_at = &exited_at;
	event_deleted(pending->p);
	ttrpc_call_reply(pending->call, &response.base);
	pending_free(pending);
}

static void deleted(enum ttrpc_code code, const char *message, void *userdata)
{
	struct pending *pending = userdata;

	if (code == TTRPC_OK && proc_is_init(pending->p))
		engine_deleted(pending->c, reply_deleted, pending);
	else
		reply_deleted(code, message, pending);
}

static void task_service_delete(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__DeleteRequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct pending *pending = p ? pend(call, p->container, p) : NULL;

	if (!pending)
		return;
	if (proc_is_init(p))
		task_delete(p->container, deleted, pending);
	else
		task_delete_exec(p, deleted, pending);
}

/* ---- Exec and what is done to processes ---- */

/*
 * "types.containerd.io/opencontainers/runtime-spec/1/Process" and the like: the last segment
 * counts.
 */
static bool is_type(const Containerd__Task__V2__Any *any, const char *type)
{
	const char *last = strrchr(any->type_url, '/');

	return !strcmp(last ? last + 1 : any->type_url, type);
}

static void exec_added(enum ttrpc_code code, const char *message, void *userdata)
{
	struct pending *pending = userdata;
	const struct proc *p = code == TTRPC_OK ? task_proc(pending->c, pending->exec_id) : NULL;

	if (p)
		event_exec_added(p);
	reply_empty(code, message, pending);
}

static void task_service_exec(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__ExecProcessRequest *request = message;
	const struct relay_logger_place place = logger_place(userdata, request->id);
	struct proc_config config = {
		.exec_id = request->exec_id,
		.io = { .paths = { request->stdin, request->stdout, request->stderr },
			.terminal = request->terminal,
			.late_input = is_engine(userdata),
			.logger = is_engine(userdata) ? &place : NULL },
	};
	struct task *c = find_task(userdata, call, request->id);
	struct pending *pending;

	if (!c)
		return;
	if (!request->spec || !is_type(request->spec, TYPE_PROCESS)) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "exec needs an OCI process, not '%s'",
				request->spec ? request->spec->type_url : "");
		return;
	}
	pending = pend(call, c, NULL);
	if (!pending)
		return;
	snprintf(pending->exec_id, sizeof(pending->exec_id), "%s", request->exec_id);
	task_exec(c, &config, request->spec->value.data, request->spec->value.len, exec_added, pending);
}

static void task_service_kill(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__KillRequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct pending *pending = p ? pend(call, NULL, p) : NULL;

	if (pending)
		proc_signal(p, request->signal, request->all, reply_empty, pending);
}

static void task_service_resize(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__ResizePtyRequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct pending *pending = p ? pend(call, NULL, p) : NULL;

	if (pending)
		proc_resize(p, request->width, request->height, reply_empty, pending);
}

static void task_service_close_io(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__CloseIORequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct pending *pending = p ? pend(call, NULL, p) : NULL;

	if (!pending)
		return;
	if (request->stdin)
		relay_close_input(p->io);
	reply_empty(TTRPC_OK, "", pending);
}

static void paused(enum ttrpc_code code, const char *message, void *userdata)
{
	struct pending *pending = userdata;

	if (code == TTRPC_OK)
		event_paused(pending->c, true);
	reply_empty(code, message, pending);
}

static void resumed(enum ttrpc_code code, const char *message, void *userdata)
{
	struct pending *pending = userdata;

	if (code == TTRPC_OK)
		event_paused(pending->c, false);
	reply_empty(code, message, pending);
}

static void task_service_pause(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__PauseRequest *request = message;
	struct task *c = find_task(userdata, call, request->id);
	struct pending *pending = c ? pend(call, c, NULL) : NULL;

	if (pending)
		task_pause(c, true, paused, pending);
}

static void task_service_resume(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__ResumeRequest *request = message;
	struct task *c = find_task(userdata, call, request->id);
	struct pending *pending = c ? pend(call, c, NULL) : NULL;

	if (pending)
		task_pause(c, false, resumed, pending);
}

/* ---- Wait ---- */

static void wait_over(struct proc *p, void *userdata)
{
	Containerd__Task__V2__WaitResponse response = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;
	Containerd__Task__V2__Timestamp exited_at = timestamp_of(p);

	response.exit_status = p->exit_status;
	response.exited_at = &exited_at;
	ttrpc_call_reply(userdata, &response.base);
}

static bool wait_is_gone(void *userdata)
{
	return !ttrpc_call_conn(userdata);
}

static void wait_forget(void *userdata)
{
	ttrpc_call_fail(userdata, TTRPC_CANCELED, "nobody waits any more");
}

static void task_service_wait(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__WaitRequest *request = message;
	struct proc *p = find_proc(userdata, call, request->id, request->exec_id);
	struct proc_waiter waiter = {
		.fn = wait_over, .is_gone = wait_is_gone, .forget = wait_forget, .userdata = call
	};

	if (p && proc_wait(p, &waiter) < 0)
		ttrpc_call_fail(call, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
}

/* ---- Shutdown, and what is not there ---- */

static void task_service_shutdown(struct ttrpc_call *call, const void *message, void *userdata)
{
	static const Containerd__Task__V2__Empty empty = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct sandbox *s = userdata;

	/* Other containers keep the monitor; when the last one is deleted it ends by itself. */
	ttrpc_call_reply(call, &empty.base);
	if (!s->containers)
		s->shutdown_asked = true;
	sandbox_abandon(s);
}

/* ---- Update, Stats ---- */

static void task_service_update(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__UpdateTaskRequest *request = message;
	struct task *c = find_task(userdata, call, request->id);
	struct pending *pending;

	if (!c)
		return;
	if (!request->resources || !is_type(request->resources, TYPE_RESOURCES)) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT,
				"update needs OCI resources, not '%s'",
				request->resources ? request->resources->type_url : "");
		return;
	}
	pending = pend(call, c, NULL);
	if (pending)
		task_update(c, request->resources->value.data, request->resources->value.len,
			    reply_empty, pending);
}

static void stats_taken(enum ttrpc_code code, const char *message, const void *metrics, size_t len,
			void *userdata)
{
	Containerd__Task__V2__StatsResponse response = CONTAINERD__TASK__V2__STATS_RESPONSE__INIT;
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;
	struct pending *pending = userdata;

	if (pending_failed(pending, code, message))
		return;
	any.type_url = (char *)(uintptr_t)TASK_STATS_TYPE_URL;
	any.value.data = (uint8_t *)(uintptr_t)metrics;
	any.value.len = len;
	response.stats = &any;
	ttrpc_call_reply(pending->call, &response.base);
	pending_free(pending);
}

static void task_service_stats(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Containerd__Task__V2__StatsRequest *request = message;
	struct task *c = find_task(userdata, call, request->id);
	struct pending *pending = c ? pend(call, c, NULL) : NULL;

	if (pending)
		task_stats(c, stats_taken, pending);
}

static void task_service_checkpoint(struct ttrpc_call *call, const void *message, void *userdata)
{
	ttrpc_call_fail(call, TTRPC_UNIMPLEMENTED, "checkpoint is not supported");
}

#define METHOD(name_, request_, response_, handler_)                                              \
	{                                                                                         \
		.name = name_, .request = &containerd__task__v2__##request_##__descriptor,        \
		.response = &containerd__task__v2__##response_##__descriptor, .handler = handler_ \
	}

const struct ttrpc_method task_service_methods[] = {
	METHOD("State", state_request, state_response, task_state),
	METHOD("Create", create_task_request, create_task_response, task_service_create),
	METHOD("Start", start_request, start_response, task_service_start),
	METHOD("Delete", delete_request, delete_response, task_service_delete),
	METHOD("Pids", pids_request, pids_response, task_pids),
	METHOD("Pause", pause_request, empty, task_service_pause),
	METHOD("Resume", resume_request, empty, task_service_resume),
	METHOD("Checkpoint", checkpoint_task_request, empty, task_service_checkpoint),
	METHOD("Kill", kill_request, empty, task_service_kill),
	METHOD("Exec", exec_process_request, empty, task_service_exec),
	METHOD("ResizePty", resize_pty_request, empty, task_service_resize),
	METHOD("CloseIO", close_iorequest, empty, task_service_close_io),
	METHOD("Update", update_task_request, empty, task_service_update),
	METHOD("Wait", wait_request, wait_response, task_service_wait),
	METHOD("Stats", stats_request, stats_response, task_service_stats),
	METHOD("Connect", connect_request, connect_response, task_connect),
	METHOD("Shutdown", shutdown_request, empty, task_service_shutdown),
};
const size_t task_service_n_methods = ARRAY_SIZE(task_service_methods);
