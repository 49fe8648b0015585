/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cgroup.h"
#include "agent/service_internal.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"

#define SERVICE_NAME "onggi.agent.v1.Agent"

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

void service_answer_setup_failure(struct ttrpc_call *call, int code, const struct err *err, bool program)
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
	else if (code != SERVICE_ANSWERED)
		service_answer_empty(call);
}

void service_on_container_done(struct container *c, int code, const struct err *err, void *userdata)
{
	(void)c;
	service_answer(userdata, code, err);
}

/* ---- the table ---- */

/* What a request names, and is therefore found before its handler runs. */
enum service_subject { NOTHING, CONTAINER, PROCESS, STDIO };

struct service_method {
	enum service_subject subject;
	service_handler handle;
};

static void dispatch(struct ttrpc_call *call, const void *message, void *userdata);

#define METHOD(name, request_type, response_type, subject, handle)                              \
	{                                                                                       \
		name, &onggi__agent__v1__##request_type##__descriptor,                          \
			&onggi__agent__v1__##response_type##__descriptor, dispatch,             \
			&(const struct service_method){ subject, handle }                       \
	}

static const struct ttrpc_method service_methods[] = {
	METHOD("Configure", configure_request, configure_response, NOTHING, service_configure),
	METHOD("CreateContainer", create_container_request, create_container_response, NOTHING,
	       service_create_container),
	METHOD("StartProcess", process_ref, start_process_response, PROCESS, service_start_process),
	METHOD("AddProcess", add_process_request, empty, CONTAINER, service_add_process),
	METHOD("SignalProcess", signal_process_request, empty, PROCESS, service_signal_process),
	METHOD("WaitProcess", process_ref, wait_process_response, PROCESS, service_wait_process),
	METHOD("ReadOutput", read_output_request, read_output_response, STDIO, service_read_output),
	METHOD("WriteInput", write_input_request, write_input_response, STDIO, service_write_input),
	METHOD("CloseInput", process_ref, empty, STDIO, service_close_input),
	METHOD("CloseOutput", close_output_request, empty, STDIO, service_close_output),
	METHOD("OpenConnection", open_connection_request, empty, NOTHING, service_open_connection),
	METHOD("CloseConnection", connection_ref, empty, NOTHING, service_close_connection),
	METHOD("ResizeTerminal", resize_terminal_request, empty, STDIO, service_resize_terminal),
	METHOD("PauseContainer", container_ref, empty, CONTAINER, service_pause_container),
	METHOD("ResumeContainer", container_ref, empty, CONTAINER, service_resume_container),
	METHOD("ListProcesses", container_ref, list_processes_response, CONTAINER, service_list_processes),
	METHOD("RemoveProcess", process_ref, empty, PROCESS, service_remove_process),
	METHOD("RemoveContainer", container_ref, empty, CONTAINER, service_remove_container),
	METHOD("UpdateNetwork", update_network_request, empty, NOTHING, service_update_network),
	METHOD("ServeNames", serve_names_request, empty, NOTHING, service_serve_names),
	METHOD("NextQuery", empty, next_query_response, NOTHING, service_next_query),
	METHOD("AnswerQuery", answer_query_request, empty, NOTHING, service_answer_query),
	METHOD("UpdateContainer", update_container_request, empty, CONTAINER, service_update_container),
	METHOD("StatContainer", container_ref, stat_container_response, CONTAINER, service_stat_container),
	METHOD("WaitOom", wait_oom_request, wait_oom_response, CONTAINER, service_wait_oom),
	METHOD("UpdateMachine", update_machine_request, update_machine_response, NOTHING,
	       service_update_machine),
	METHOD("Shutdown", empty, empty, NOTHING, service_shutdown),
};

/* ---- dispatch ---- */

/* The text field @name of an unpacked request, which has it. */
static const char *request_text(const ProtobufCMessage *message, const char *name)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

	assert(field && field->type == PROTOBUF_C_TYPE_STRING);
	return *(char *const *)((const char *)message + field->offset);
}

static int find_process(struct service_call *c, const char *container, const ProtobufCMessage *message,
			enum service_subject subject, struct err *err)
{
	int rc = container_find(c->service->containers, container, &c->container, err);

	if (rc < 0 || subject == CONTAINER)
		return rc;
	rc = container_find_process(c->container, request_text(message, "exec_id"), &c->process, err);
	if (rc >= 0)
		c->stdio = process_stdio(c->process);
	return rc;
}

static int find_subject(struct service_call *c, enum service_subject subject,
			const ProtobufCMessage *message, struct err *err)
{
	const char *container;

	if (subject == NOTHING)
		return 0;
	container = request_text(message, "container_id");
	if (subject != STDIO || container[0])
		return find_process(c, container, message, subject, err);
	c->stdio = connections_find(c->service->connections, request_text(message, "exec_id"));
	return c->stdio ? 0 : err_set(err, -ENOENT, "connection does not exist");
}

static void dispatch(struct ttrpc_call *call, const void *message, void *userdata)
{
	const struct service_method *method = ttrpc_call_context(call);
	struct service_call c = { .service = userdata, .call = call };
	struct err err = ERR_INIT;
	int rc;

	rc = find_subject(&c, method->subject, message, &err);
	if (rc >= 0)
		rc = method->handle(&c, message, &err);
	service_answer(call, rc, &err);
}

int service_create(struct loop *loop, struct container_table *containers, struct share *share,
		   const struct service_hooks *hooks, struct service **ret)
{
	struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	if (network_create(loop, NULL, &s->network) < 0 || names_create(loop, CGROUP_ROOT, &s->names) < 0 ||
	    machine_create(loop, container_table_reaper(containers), MACHINE_SYSFS, &s->machine) < 0 ||
	    connections_create(loop, &s->connections) < 0) {
		network_destroy(s->network);
		names_destroy(s->names);
		machine_destroy(s->machine);
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
	names_destroy(s->names);
	machine_destroy(s->machine);
	connections_destroy(s->connections);
	free(s);
}

const struct ttrpc_service *service_ttrpc(const struct service *s)
{
	return &s->ttrpc;
}
