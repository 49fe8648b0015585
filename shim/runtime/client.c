/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/client.h"

#include <string.h>

#include "common/proto/sandbox.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "common/ttrpc.h"
#include "shim/runtime/client_internal.h"

#define TASK CLIENT_TASK_SERVICE
#define SANDBOX CLIENT_SANDBOX_SERVICE
#define EMPTY &containerd__task__v2__empty__descriptor

/* Type of the process object in Task.Exec, as containerd writes it. */
#define PROCESS_TYPE_URL "types.containerd.io/opencontainers/runtime-spec/1/Process"

/* Most processes that are listed of one container. */
#define PROCESSES_MAX 65536u

/* Request structures hold char * and never write to it. */
static char *text(const char *s)
{
	return (char *)(s ? s : "");
}

int client_connect(const char *socket, const char *id, void (*gone)(void *userdata), void *userdata,
		   struct client **ret, struct err *err)
{
	_cleanup_(client_destroy_p) struct client *c = calloc(1, sizeof(*c));
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (!c)
		return err_set_errno(err, -ENOMEM, "client");
	r = loop_create(&c->loop);
	if (r < 0)
		return err_set_errno(err, r, "client");
	c->socket = strdup(socket);
	if (!c->socket)
		return err_set_errno(err, -ENOMEM, "client");
	r = ttrpc_connect_unix(socket, &fd, err);
	/* Its queue is full of those that wait already. */
	if (r == -ETIMEDOUT)
		return client_describe_stuck(socket, id, TTRPC_CONNECT_TIMEOUT_S * 1000, err);
	if (r < 0)
		return r;
	r = ttrpc_client_create(c->loop, fd, gone, userdata, &c->ttrpc);
	if (r < 0)
		return err_set_errno(err, r, "client of '%s'", socket);
	fd = -EBADF; /* the client's now */
	*ret = TAKE_PTR(c);
	return 0;
}

void client_destroy(struct client *c)
{
	if (!c)
		return;
	client_watch_end(c);
	ttrpc_client_destroy(c->ttrpc);
	loop_source_destroy(c->silence);
	loop_destroy(c->loop);
	free(c->socket);
	free(c);
}

struct loop *client_loop(struct client *c)
{
	return c->loop;
}

/* Calls without an answer of interest. */
static int call(struct client *c, const char *id, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, uint64_t timeout_ms, struct err *err)
{
	return client_call_wait(c, id, &(struct client_method){ TASK, method, response }, request, timeout_ms,
				NULL, err);
}

static int call_sandbox(struct client *c, const char *id, const char *method, const ProtobufCMessage *request,
			uint64_t timeout_ms, struct err *err)
{
	const struct client_method m = { SANDBOX, method, &onggi__sandbox__v1__empty__descriptor };

	return client_call_wait(c, id, &m, request, timeout_ms, NULL, err);
}

/* An answer that is waited for with an eye on other things. */
struct answer {
	bool done;
	struct err err;
};

static void on_answer(enum ttrpc_code code, const char *message, const void *response,
		      void *userdata)
{
	struct answer *answer = userdata;

	answer->done = true;
	if (code != TTRPC_OK)
		err_set(&answer->err, ttrpc_code_to_errno(code), "%s", message);
}

static Onggi__Sandbox__V1__AttachRequest attach_request(struct client_process p)
{
	Onggi__Sandbox__V1__AttachRequest req = ONGGI__SANDBOX__V1__ATTACH_REQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	req.tells_loss = p.tells_loss;
	return req;
}

/*
 * Start both calls: requests of one connection are taken in their order, so the second one finds
 * what the first one began.
 */
static int create_and_attach(struct client *c, struct client_process p,
			     const Containerd__Task__V2__CreateTaskRequest *req,
			     uint64_t timeout_ms, struct answer *created, struct answer *attached)
{
	Onggi__Sandbox__V1__AttachRequest attach = attach_request(p);
	int r;

	r = ttrpc_client_call(c->ttrpc, TASK, "Create", &req->base,
			      &containerd__task__v2__create_task_response__descriptor, timeout_ms,
			      on_answer, created);
	if (r < 0)
		return r;
	return ttrpc_client_call(c->ttrpc, SANDBOX, "Attach", &attach.base,
				 &onggi__sandbox__v1__empty__descriptor, timeout_ms, on_answer,
				 attached);
}

int client_create(struct client *c, struct client_process p, const char *bundle,
		  const struct client_stdio *stdio, uint64_t timeout_ms, const int *stop,
		  struct err *err)
{
	struct answer created = { .err = ERR_INIT }, attached = { .err = ERR_INIT };
	Containerd__Task__V2__CreateTaskRequest req =
		CONTAINERD__TASK__V2__CREATE_TASK_REQUEST__INIT;
	int r;

	req.id = text(p.id);
	req.bundle = text(bundle);
	req.terminal = stdio->terminal;
	req.stdin = text(stdio->in);
	req.stdout = text(stdio->out);
	req.stderr = text(stdio->err);
	client_watch_begin(c, p.id);
	r = create_and_attach(c, p, &req, timeout_ms, &created, &attached);
	while (r == 0 && !*stop && !(created.done && attached.done))
		r = loop_run_once(c->loop);
	client_watch_end(c);
	if (!created.done || !attached.done) {
		/* Ends the calls in flight, which tells the monitor too. */
		ttrpc_client_destroy(TAKE_PTR(c->ttrpc));
		return *stop ? err_set(err, -EINTR, "interrupted by signal %d", *stop)
			     : err_set_errno(err, r, "create '%s'", p.id);
	}
	if (created.err.code < 0)
		return err_set(err, created.err.code, "%s", created.err.text);
	return attached.err.code < 0 ? err_set(err, attached.err.code, "%s", attached.err.text) : 0;
}

int client_exec(struct client *c, struct client_process p, const char *process,
		const struct client_stdio *stdio, struct err *err)
{
	Containerd__Task__V2__ExecProcessRequest req =
		CONTAINERD__TASK__V2__EXEC_PROCESS_REQUEST__INIT;
	Containerd__Task__V2__Any spec = CONTAINERD__TASK__V2__ANY__INIT;

	spec.type_url = text(PROCESS_TYPE_URL);
	spec.value.data = (uint8_t *)text(process);
	spec.value.len = strlen(process);
	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	req.terminal = stdio->terminal;
	req.stdin = text(stdio->in);
	req.stdout = text(stdio->out);
	req.stderr = text(stdio->err);
	req.spec = &spec;
	return call(c, p.id, "Exec", &req.base, EMPTY, 0, err);
}

int client_attach(struct client *c, struct client_process p, struct err *err)
{
	Onggi__Sandbox__V1__AttachRequest req = attach_request(p);

	return call_sandbox(c, p.id, "Attach", &req.base, CLIENT_TIMEOUT_MS, err);
}

int client_run_hooks(struct client *c, const char *id, struct err *err)
{
	Onggi__Sandbox__V1__RunHooksRequest req = ONGGI__SANDBOX__V1__RUN_HOOKS_REQUEST__INIT;

	req.id = text(id);
	return call_sandbox(c, id, "RunHooks", &req.base, 0, err);
}

int client_wait_resumed(struct client *c, const char *id, struct err *err)
{
	Onggi__Sandbox__V1__WaitResumedRequest req = ONGGI__SANDBOX__V1__WAIT_RESUMED_REQUEST__INIT;

	req.id = text(id);
	return call_sandbox(c, id, "WaitResumed", &req.base, 0, err);
}

int client_start(struct client *c, struct client_process p, struct err *err)
{
	Containerd__Task__V2__StartRequest req = CONTAINERD__TASK__V2__START_REQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	return call(c, p.id, "Start", &req.base, &containerd__task__v2__start_response__descriptor, 0,
		    err);
}

static Containerd__Task__V2__KillRequest kill_request(struct client_process p, int signal, bool all)
{
	Containerd__Task__V2__KillRequest req = CONTAINERD__TASK__V2__KILL_REQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	req.signal = (uint32_t)signal;
	req.all = all;
	return req;
}

int client_kill(struct client *c, struct client_process p, int signal, bool all, struct err *err)
{
	Containerd__Task__V2__KillRequest req = kill_request(p, signal, all);
	int r = call(c, p.id, "Kill", &req.base, EMPTY, CLIENT_TIMEOUT_MS, err);

	/* The words that containerd and CRI-O look for. A monitor that ends takes its containers along. */
	if (r == -ENOENT || r == -ESRCH || r == -EPIPE)
		return err_set(err, -ESRCH, "container not running");
	return r;
}

int client_ping(struct client *c, const char *id, uint64_t timeout_ms, struct err *err)
{
	Containerd__Task__V2__ConnectRequest req = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;

	req.id = text(id);
	return ttrpc_client_call_wait(c->ttrpc, c->loop, TASK, "Connect", &req.base,
				      &containerd__task__v2__connect_response__descriptor, timeout_ms,
				      NULL, err);
}

int client_delete(struct client *c, struct client_process p, struct err *err)
{
	Containerd__Task__V2__DeleteRequest req = CONTAINERD__TASK__V2__DELETE_REQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	return call(c, p.id, "Delete", &req.base, &containerd__task__v2__delete_response__descriptor,
		    CLIENT_TIMEOUT_MS, err);
}

int client_pause(struct client *c, const char *id, struct err *err)
{
	Containerd__Task__V2__PauseRequest req = CONTAINERD__TASK__V2__PAUSE_REQUEST__INIT;

	req.id = text(id);
	return call(c, id, "Pause", &req.base, EMPTY, CLIENT_TIMEOUT_MS, err);
}

int client_resume(struct client *c, const char *id, struct err *err)
{
	Containerd__Task__V2__ResumeRequest req = CONTAINERD__TASK__V2__RESUME_REQUEST__INIT;

	req.id = text(id);
	return call(c, id, "Resume", &req.base, EMPTY, CLIENT_TIMEOUT_MS, err);
}

int client_wait(struct client *c, struct client_process p, uint64_t timeout_ms,
		uint32_t *ret_status, struct err *err)
{
	Containerd__Task__V2__WaitRequest req = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	Containerd__Task__V2__WaitResponse *response = NULL;
	int r;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	r = client_is_stuck(c, p.id, err);
	if (r < 0)
		return r;
	r = ttrpc_client_call_wait(c->ttrpc, c->loop, TASK, "Wait", &req.base,
				   &containerd__task__v2__wait_response__descriptor, timeout_ms,
				   &response, err);
	if (r < 0)
		return r;
	if (ret_status)
		*ret_status = response->exit_status;
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return 0;
}

/* ---- calls that nobody waits for ---- */

static void drop_answer(enum ttrpc_code code, const char *message, const void *response,
			void *userdata)
{
}

static void call_async(struct client *c, const char *method, const ProtobufCMessage *request)
{
	ttrpc_client_call(c->ttrpc, TASK, method, request, EMPTY, CLIENT_TIMEOUT_MS, drop_answer,
			  NULL);
}

void client_kill_async(struct client *c, struct client_process p, int signal)
{
	Containerd__Task__V2__KillRequest req = kill_request(p, signal, false);

	call_async(c, "Kill", &req.base);
}

void client_resize_async(struct client *c, struct client_process p, uint16_t columns, uint16_t rows)
{
	Containerd__Task__V2__ResizePtyRequest req = CONTAINERD__TASK__V2__RESIZE_PTY_REQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	req.width = columns;
	req.height = rows;
	call_async(c, "ResizePty", &req.base);
}

void client_close_input_async(struct client *c, struct client_process p)
{
	Containerd__Task__V2__CloseIORequest req = CONTAINERD__TASK__V2__CLOSE_IOREQUEST__INIT;

	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	req.stdin = true;
	call_async(c, "CloseIO", &req.base);
}

struct waiter {
	void (*done)(int error, uint32_t status, void *userdata);
	void *userdata;
};

static void on_waited(enum ttrpc_code code, const char *message, const void *response,
		      void *userdata)
{
	struct waiter *w = userdata;
	const Containerd__Task__V2__WaitResponse *r = response;

	w->done(ttrpc_code_to_errno(code), r ? r->exit_status : 0, w->userdata);
	free(w);
}

int client_wait_async(struct client *c, struct client_process p,
		      void (*done)(int error, uint32_t status, void *userdata), void *userdata,
		      struct err *err)
{
	Containerd__Task__V2__WaitRequest req = CONTAINERD__TASK__V2__WAIT_REQUEST__INIT;
	struct waiter *w = malloc(sizeof(*w));
	int r;

	if (!w)
		return err_set_errno(err, -ENOMEM, "wait");
	*w = (struct waiter){ done, userdata };
	req.id = text(p.id);
	req.exec_id = text(p.exec_id);
	r = ttrpc_client_call(c->ttrpc, TASK, "Wait", &req.base,
			      &containerd__task__v2__wait_response__descriptor, 0, on_waited, w);
	if (r < 0) {
		free(w);
		return err_set_errno(err, r, "wait for '%s'", p.id);
	}
	return 0;
}

/* ---- the sandbox ---- */

int client_lost_reason(struct client *c, const char *id, char **ret, struct err *err)
{
	const struct client_method m = { SANDBOX, "Info", &onggi__sandbox__v1__info_response__descriptor };
	Onggi__Sandbox__V1__Empty req = ONGGI__SANDBOX__V1__EMPTY__INIT;
	Onggi__Sandbox__V1__InfoResponse *response = NULL;
	int r;

	r = client_call_wait(c, id, &m, &req.base, CLIENT_TIMEOUT_MS, &response, err);
	if (r < 0)
		return r;
	if (!response->lost_reason[0])
		r = -ENODATA;
	else if (!(*ret = strdup(response->lost_reason)))
		r = -ENOMEM;
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return r;
}

/* ---- processes ---- */

static int copy_processes(const Onggi__Sandbox__V1__ProcessesResponse *response,
			  struct client_guest_process **ret, size_t *ret_n, struct err *err)
{
	struct client_guest_process *list;
	size_t n = response->n_processes;

	if (n > PROCESSES_MAX)
		return err_set(err, -E2BIG, "more than %u processes", PROCESSES_MAX);
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return err_set_errno(err, -ENOMEM, "processes");
	for (size_t i = 0; i < n; i++) {
		list[i].pid = response->processes[i]->pid;
		list[i].command = strdup(response->processes[i]->command);
		if (!list[i].command) {
			client_processes_free(list, i);
			return err_set_errno(err, -ENOMEM, "processes");
		}
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int client_processes(struct client *c, const char *id, struct client_guest_process **ret,
		     size_t *ret_n, struct err *err)
{
	const struct client_method m = { SANDBOX, "Processes",
					 &onggi__sandbox__v1__processes_response__descriptor };
	Onggi__Sandbox__V1__ProcessesRequest req = ONGGI__SANDBOX__V1__PROCESSES_REQUEST__INIT;
	Onggi__Sandbox__V1__ProcessesResponse *response = NULL;
	int r;

	req.id = text(id);
	r = client_call_wait(c, id, &m, &req.base, CLIENT_TIMEOUT_MS, &response, err);
	if (r < 0)
		return r;
	r = copy_processes(response, ret, ret_n, err);
	protobuf_c_message_free_unpacked(&response->base, NULL);
	return r;
}

void client_processes_free(struct client_guest_process *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(p[i].command);
	free(p);
}
