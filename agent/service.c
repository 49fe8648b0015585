/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/configure.h"
#include "agent/container_control.h"
#include "common/log.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"

#define SERVICE_NAME "onggi.agent.v1.Agent"
/* Longest path and most mounts that a request may carry. */
#define SERVICE_PATH_MAX 4096u
/* Columns and rows of a terminal. */
#define SERVICE_TERMINAL_MAX 65535u

/* ---- answers ---- */

static const struct {
	int code;
	enum ttrpc_code status;
} service_codes[] = {
	{ -ENOENT, TTRPC_NOT_FOUND },
	{ -EEXIST, TTRPC_ALREADY_EXISTS },
	{ -EINVAL, TTRPC_INVALID_ARGUMENT },
	{ -EBADMSG, TTRPC_INVALID_ARGUMENT },
	{ -EFBIG, TTRPC_INVALID_ARGUMENT },
	{ -E2BIG, TTRPC_INVALID_ARGUMENT },
	{ -EOPNOTSUPP, TTRPC_INVALID_ARGUMENT },
	{ -EBUSY, TTRPC_FAILED_PRECONDITION },
	{ -ESRCH, TTRPC_FAILED_PRECONDITION },
	{ -EPIPE, TTRPC_FAILED_PRECONDITION },
	{ -ENOTTY, TTRPC_FAILED_PRECONDITION },
	{ -ENOSPC, TTRPC_RESOURCE_EXHAUSTED },
	{ -ENOMEM, TTRPC_RESOURCE_EXHAUSTED },
	{ -ETIMEDOUT, TTRPC_DEADLINE_EXCEEDED },
	{ -ECANCELED, TTRPC_CANCELED },
};

void service_answer_failure(struct ttrpc_call *call, int code, const struct err *err)
{
	enum ttrpc_code status = TTRPC_INTERNAL;

	for (size_t i = 0; i < ARRAY_SIZE(service_codes); i++) {
		if (service_codes[i].code == code)
			status = service_codes[i].status;
	}
	ttrpc_call_fail(call, status, "%s", err && err->text[0] ? err->text : strerror(-code));
}

/*
 * A set-up that failed: NOT_FOUND and PERMISSION_DENIED are about the program, and only then. The
 * same errno from another step must not look like a missing container.
 */
static void answer_setup_failure(struct ttrpc_call *call, int code, const struct err *err, bool program)
{
	if (program && (code == -ENOENT || code == -EACCES))
		ttrpc_call_fail(call, code == -ENOENT ? TTRPC_NOT_FOUND : TTRPC_PERMISSION_DENIED, "%s",
				err->text);
	else if (code == -ENOENT || code == -ESRCH || code == -EBUSY || code == -EPIPE)
		ttrpc_call_fail(call, TTRPC_INTERNAL, "%s", err->text);
	else
		service_answer_failure(call, code, err);
}

void service_answer_empty(struct ttrpc_call *call)
{
	const Onggi__Agent__V1__Empty empty = ONGGI__AGENT__V1__EMPTY__INIT;

	ttrpc_call_reply(call, &empty.base);
}

void service_answer(struct ttrpc_call *call, int code, const struct err *err)
{
	if (code < 0)
		service_answer_failure(call, code, err);
	else
		service_answer_empty(call);
}

static void on_container_done(struct container *c, int code, const struct err *err, void *userdata)
{
	(void)c;
	service_answer(userdata, code, err);
}

static int find_process(struct service *s, const char *container_id, const char *exec_id, struct container **ret_c,
			struct process **ret_p, struct err *err)
{
	int rc = container_find(s->containers, container_id, ret_c, err);

	return rc < 0 ? rc : container_find_process(*ret_c, exec_id, ret_p, err);
}

/* ---- the guest ---- */

static void on_configured(int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__ConfigureResponse response = ONGGI__AGENT__V1__CONFIGURE_RESPONSE__INIT;
	struct configure_info info;
	struct ttrpc_call *call = userdata;
	struct err local = ERR_INIT;

	if (code == 0) {
		err = &local;
		code = configure_info(&info, &local);
	}
	if (code < 0) {
		service_answer_failure(call, code, err);
		return;
	}
	response.version = (char *)ONGGI_VERSION;
	response.kernel_release = info.kernel_release;
	response.memory_total_bytes = info.memory_total_bytes;
	response.memory_available_bytes = info.memory_available_bytes;
	response.cpus = info.cpus;
	ttrpc_call_reply(call, &response.base);
}

static void handle_configure(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ConfigureRequest *request = message;
	struct service *s = userdata;
	struct err err = ERR_INIT;
	int rc;

	if (request->log_level > LOG_LEVEL_DEBUG) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "field 'log_level': %u is over %d",
				request->log_level, LOG_LEVEL_DEBUG);
		return;
	}
	/* Chance and time come before anything that could make use of them. */
	rc = configure_entropy(request->entropy.data, request->entropy.len, &err);
	if (rc >= 0)
		rc = configure_clock(request->realtime_ns, &err);
	if (rc >= 0)
		rc = configure_hostname(request->hostname, &err);
	if (rc >= 0) {
		s->hooks->log_level((enum log_level)request->log_level, s->hooks->userdata);
		if (!request->share_tag[0]) {
			on_configured(0, NULL, call);
			return;
		}
		rc = share_mount(s->share, request->share_tag, on_configured, call, &err);
	}
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void shutdown_timer(void *userdata)
{
	struct service *s = userdata;

	if (s->shutdown_answered) {
		s->hooks->shutdown(s->hooks->userdata);
		return;
	}
	s->shutdown_answered = true;
	sync();
	service_answer_empty(s->shutdown_call);
	/* The answer leaves before the machine does. */
	loop_timer_set(s->shutdown_timer, 0);
}

static void on_all_removed(void *userdata)
{
	struct service *s = userdata;

	loop_timer_set(s->shutdown_timer, 0);
}

static void handle_shutdown(struct ttrpc_call *call, const void *message, void *userdata)
{
	struct service *s = userdata;
	int rc;

	(void)message;
	if (s->shutdown_call) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "the guest is shutting down");
		return;
	}
	rc = loop_add_timer(s->loop, SERVICE_SHUTDOWN_TIMEOUT_MS, shutdown_timer, s, &s->shutdown_timer);
	if (rc < 0) {
		service_answer_failure(call, rc, NULL);
		return;
	}
	s->shutdown_call = call;
	container_table_remove_all(s->containers, on_all_removed, s);
}

/* ---- containers ---- */

static void on_created(struct container *c, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__CreateContainerResponse response =
		ONGGI__AGENT__V1__CREATE_CONTAINER_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;

	if (code < 0) {
		answer_setup_failure(call, code, err, process_program_failed(container_init(c)));
		return;
	}
	response.pid = (uint32_t)process_pid(container_init(c));
	response.warnings = (char **)container_warnings(c);
	while (response.warnings[response.n_warnings])
		response.n_warnings++;
	ttrpc_call_reply(call, &response.base);
}

static int namespace_type(const char *name)
{
	for (int ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (!strcmp(oci_namespace_name((enum oci_namespace)ns), name))
			return ns;
	}
	return -EINVAL;
}

static int read_sources(const Onggi__Agent__V1__CreateContainerRequest *request,
			struct setup_mount_source **ret, struct err *err)
{
	_cleanup_free_ struct setup_mount_source *sources = NULL;

	if (request->n_mounts > OCI_MOUNTS_MAX)
		return err_set(err, -E2BIG, "field 'mounts': %zu entries are over %u", request->n_mounts,
			       OCI_MOUNTS_MAX);
	sources = calloc(request->n_mounts + 1, sizeof(*sources));
	if (!sources)
		return err_set_errno(err, -ENOMEM, "create container");
	for (size_t i = 0; i < request->n_mounts; i++) {
		if (strlen(request->mounts[i]->path) >= SERVICE_PATH_MAX)
			return err_set(err, -EINVAL, "field 'mounts[%zu].path' is too long", i);
		sources[i].index = request->mounts[i]->index;
		sources[i].path = request->mounts[i]->path;
		sources[i].has_mounts_below = request->mounts[i]->has_mounts_below;
	}
	*ret = TAKE_PTR(sources);
	return 0;
}

static int read_shared(const Onggi__Agent__V1__CreateContainerRequest *request,
		       struct setup_shared_namespace shared[OCI_NS_COUNT], struct err *err)
{
	if (request->n_namespaces > OCI_NS_COUNT)
		return err_set(err, -E2BIG, "field 'namespaces': %zu entries are over %d",
			       request->n_namespaces, OCI_NS_COUNT);
	for (size_t i = 0; i < request->n_namespaces; i++) {
		int type = namespace_type(request->namespaces[i]->type);

		if (type < 0)
			return err_set(err, -EINVAL, "field 'namespaces[%zu].type': '%.32s' is no namespace", i,
				       request->namespaces[i]->type);
		shared[i].type = (enum oci_namespace)type;
		shared[i].key = request->namespaces[i]->key;
	}
	return 0;
}

static void handle_create_container(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__CreateContainerRequest *request = message;
	_cleanup_free_ struct setup_mount_source *sources = NULL;
	struct setup_shared_namespace shared[OCI_NS_COUNT];
	struct service *s = userdata;
	struct err err = ERR_INIT;
	int rc;

	rc = read_sources(request, &sources, &err);
	if (rc >= 0)
		rc = read_shared(request, shared, &err);
	if (rc >= 0 && strlen(request->rootfs) >= SERVICE_PATH_MAX)
		rc = err_set(&err, -EINVAL, "field 'rootfs' is too long");
	if (rc >= 0) {
		const struct container_request create = {
			.id = request->container_id,
			.spec = (const char *)request->spec.data,
			.spec_len = request->spec.len,
			.rootfs = request->rootfs,
			.sources = sources,
			.n_sources = request->n_mounts,
			.shared = shared,
			.n_shared = request->n_namespaces,
			.hook_state = request->hook_state,
		};

		rc = container_create(s->containers, &create, on_created, call, &err);
	}
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void handle_remove_container(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ContainerRef *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = container_find(s->containers, request->container_id, &c, &err);
	if (rc >= 0)
		rc = container_remove(c, on_container_done, call, &err);
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void pause_container(struct service *s, struct ttrpc_call *call, const char *id, bool paused)
{
	struct container *c = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = container_find(s->containers, id, &c, &err);
	if (rc >= 0)
		rc = container_pause(c, paused, on_container_done, call, &err);
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void handle_pause_container(struct ttrpc_call *call, const void *message, void *userdata)
{
	pause_container(userdata, call, ((const Onggi__Agent__V1__ContainerRef *)message)->container_id, true);
}

static void handle_resume_container(struct ttrpc_call *call, const void *message, void *userdata)
{
	pause_container(userdata, call, ((const Onggi__Agent__V1__ContainerRef *)message)->container_id, false);
}

static void answer_tasks(struct ttrpc_call *call, const struct container_task *tasks, size_t n)
{
	Onggi__Agent__V1__ListProcessesResponse response =
		ONGGI__AGENT__V1__LIST_PROCESSES_RESPONSE__INIT;
	_cleanup_free_ Onggi__Agent__V1__GuestProcess *messages = calloc(n + 1, sizeof(*messages));
	_cleanup_free_ Onggi__Agent__V1__GuestProcess **list = calloc(n + 1, sizeof(*list));

	if (!messages || !list) {
		service_answer_failure(call, -ENOMEM, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		messages[i] = (Onggi__Agent__V1__GuestProcess)ONGGI__AGENT__V1__GUEST_PROCESS__INIT;
		messages[i].pid = (uint32_t)tasks[i].pid;
		messages[i].exec_id = (char *)tasks[i].exec_id;
		messages[i].command = (char *)tasks[i].command;
		list[i] = &messages[i];
	}
	response.processes = list;
	response.n_processes = n;
	ttrpc_call_reply(call, &response.base);
}

static void handle_list_processes(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ContainerRef *request = message;
	_cleanup_free_ struct container_task *tasks = NULL;
	struct service *s = userdata;
	struct container *c = NULL;
	struct err err = ERR_INIT;
	size_t n = 0;
	int rc;

	rc = container_find(s->containers, request->container_id, &c, &err);
	if (rc >= 0)
		rc = container_tasks(c, &tasks, &n, &err);
	if (rc < 0)
		service_answer_failure(call, rc, &err);
	else
		answer_tasks(call, tasks, n);
}

/* ---- processes ---- */

static void on_started(struct process *p, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__StartProcessResponse response = ONGGI__AGENT__V1__START_PROCESS_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;

	if (code < 0) {
		answer_setup_failure(call, code, err, process_program_failed(p));
		return;
	}
	response.pid = (uint32_t)process_pid(p);
	ttrpc_call_reply(call, &response.base);
}

static void handle_start_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0)
		rc = container_start_process(c, p, on_started, call, &err);
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void handle_add_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__AddProcessRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = container_find(s->containers, request->container_id, &c, &err);
	if (rc >= 0)
		rc = container_add_process(c, request->exec_id, (const char *)request->process.data,
					   request->process.len, &err);
	service_answer(call, rc, &err);
}

static void handle_remove_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0)
		rc = container_remove_process(c, p, &err);
	service_answer(call, rc, &err);
}

static void handle_signal_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__SignalProcessRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0 && request->signal > 64)
		rc = err_set(&err, -EINVAL, "field 'signal': %u is over 64", request->signal);
	if (rc >= 0 && request->all && request->exec_id[0])
		rc = err_set(&err, -EINVAL, "field 'all': not together with 'exec_id'");
	if (rc >= 0)
		rc = request->all ? container_signal_all(c, (int)request->signal, &err) :
				    process_signal(p, (int)request->signal, &err);
	service_answer(call, rc, &err);
}

static void on_waited(struct process *p, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__WaitProcessResponse response = ONGGI__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;
	struct process_exit end;

	if (code < 0) {
		service_answer_failure(call, code, err);
		return;
	}
	end = process_exit(p);
	response.exit_status = end.status;
	response.exited_at_ns = end.exited_at_ns;
	response.oom_killed = end.oom_killed;
	ttrpc_call_reply(call, &response.base);
}

static void handle_wait_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0) {
		rc = process_wait(p, on_waited, call);
		if (rc < 0)
			err_set_errno(&err, rc, "wait for a process of container '%s'", container_id(c));
	}
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

/* ---- input and output ---- */

static void on_read(const void *data, size_t len, bool eof, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse response = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;

	response.data.data = (uint8_t *)data;
	response.data.len = len;
	response.eof = eof;
	ttrpc_call_reply(userdata, &response.base);
}

static int check_stream(uint32_t stream, struct err *err)
{
	if (stream != STDIO_OUT && stream != STDIO_ERR)
		return err_set(err, -EINVAL, "field 'stream': %u is neither 1 nor 2", stream);
	return 0;
}

static void handle_read_output(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ReadOutputRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0)
		rc = check_stream(request->stream, &err);
	if (rc >= 0) {
		rc = stdio_read(process_stdio(p), (enum stdio_stream)request->stream, request->max_bytes,
				on_read, call);
		if (rc < 0)
			err_set_errno(&err, rc, "read stream %u, at most %u bytes", request->stream,
				      request->max_bytes);
	}
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void on_written(int code, size_t written, void *userdata)
{
	Onggi__Agent__V1__WriteInputResponse response = ONGGI__AGENT__V1__WRITE_INPUT_RESPONSE__INIT;
	struct err err = ERR_INIT;

	if (code < 0) {
		err_set_errno(&err, code, "write to the process");
		/* Whatever a terminal or pipe says: nobody takes input there any more. */
		service_answer_failure(userdata, -EPIPE, &err);
		return;
	}
	response.written = (uint32_t)written;
	ttrpc_call_reply(userdata, &response.base);
}

static void handle_write_input(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__WriteInputRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0) {
		rc = stdio_write(process_stdio(p), request->data.data, request->data.len, on_written, call);
		if (rc < 0)
			err_set_errno(&err, rc, "write %zu bytes to the process", request->data.len);
	}
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}

static void handle_close_input(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0)
		stdio_close_input(process_stdio(p));
	service_answer(call, rc, &err);
}

static void handle_close_output(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__CloseOutputRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0)
		rc = check_stream(request->stream, &err);
	if (rc >= 0)
		stdio_close_output(process_stdio(p), (enum stdio_stream)request->stream);
	service_answer(call, rc, &err);
}

static void handle_resize_terminal(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ResizeTerminalRequest *request = message;
	struct service *s = userdata;
	struct container *c = NULL;
	struct process *p = NULL;
	struct err err = ERR_INIT;
	int rc;

	rc = find_process(s, request->container_id, request->exec_id, &c, &p, &err);
	if (rc >= 0 && (request->columns > SERVICE_TERMINAL_MAX || request->rows > SERVICE_TERMINAL_MAX))
		rc = err_set(&err, -EINVAL, "fields 'columns' and 'rows': %u x %u is over %u",
			     request->columns, request->rows, SERVICE_TERMINAL_MAX);
	if (rc >= 0) {
		rc = stdio_resize(process_stdio(p), (uint16_t)request->columns, (uint16_t)request->rows);
		if (rc < 0)
			err_set_errno(&err, rc, "set the size of the terminal");
	}
	service_answer(call, rc, &err);
}

/* ---- the table ---- */

#define METHOD(name, request_type, response_type, fn)                                          \
	{                                                                                      \
		name, &onggi__agent__v1__##request_type##__descriptor,                         \
			&onggi__agent__v1__##response_type##__descriptor, fn                   \
	}

static const struct ttrpc_method service_methods[] = {
	METHOD("Configure", configure_request, configure_response, handle_configure),
	METHOD("CreateContainer", create_container_request, create_container_response,
	       handle_create_container),
	METHOD("StartProcess", process_ref, start_process_response, handle_start_process),
	METHOD("AddProcess", add_process_request, empty, handle_add_process),
	METHOD("SignalProcess", signal_process_request, empty, handle_signal_process),
	METHOD("WaitProcess", process_ref, wait_process_response, handle_wait_process),
	METHOD("ReadOutput", read_output_request, read_output_response, handle_read_output),
	METHOD("WriteInput", write_input_request, write_input_response, handle_write_input),
	METHOD("CloseInput", process_ref, empty, handle_close_input),
	METHOD("CloseOutput", close_output_request, empty, handle_close_output),
	METHOD("ResizeTerminal", resize_terminal_request, empty, handle_resize_terminal),
	METHOD("PauseContainer", container_ref, empty, handle_pause_container),
	METHOD("ResumeContainer", container_ref, empty, handle_resume_container),
	METHOD("ListProcesses", container_ref, list_processes_response, handle_list_processes),
	METHOD("RemoveProcess", process_ref, empty, handle_remove_process),
	METHOD("RemoveContainer", container_ref, empty, handle_remove_container),
	METHOD("UpdateNetwork", update_network_request, empty, service_update_network),
	METHOD("Shutdown", empty, empty, handle_shutdown),
};

int service_create(struct loop *loop, struct container_table *containers, struct share *share,
		   const struct service_hooks *hooks, struct service **ret)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (network_create(loop, NULL, &s->network) < 0) {
		free(s);
		return -ENOMEM;
	}
	s->loop = loop;
	s->containers = containers;
	s->share = share;
	s->hooks = hooks;
	s->ttrpc.name = SERVICE_NAME;
	s->ttrpc.methods = service_methods;
	s->ttrpc.n_methods = ARRAY_SIZE(service_methods);
	s->ttrpc.userdata = s;
	*ret = s;
	return 0;
}

void service_destroy(struct service *s)
{
	if (!s)
		return;
	loop_source_destroy(s->shutdown_timer);
	if (s->shutdown_call && !s->shutdown_answered)
		ttrpc_call_fail(s->shutdown_call, TTRPC_CANCELED, "the agent is ending");
	network_destroy(s->network);
	free(s);
}

const struct ttrpc_service *service_ttrpc(const struct service *s)
{
	return &s->ttrpc;
}
