/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about one process of a container. */
#include "agent/service_internal.h"

#include "agent/container_control.h"
#include "common/proto/agent.pb-c.h"

int service_add_process(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__AddProcessRequest *request = message;

	return container_add_process(c->container, request->exec_id, (const char *)request->process.data,
				     request->process.len, err);
}

static void on_started(struct process *p, int code, const struct err *err, void *userdata)
{
	Onggi__Agent__V1__StartProcessResponse response = ONGGI__AGENT__V1__START_PROCESS_RESPONSE__INIT;
	struct ttrpc_call *call = userdata;

	if (code < 0) {
		service_answer_setup_failure(call, code, err, process_program_failed(p));
		return;
	}
	response.pid = (uint32_t)process_pid(p);
	ttrpc_call_reply(call, &response.base);
}

int service_start_process(const struct service_call *c, const void *message, struct err *err)
{
	int rc = container_start_process(c->container, c->process, on_started, c->call, err);

	(void)message;
	return rc < 0 ? rc : SERVICE_ANSWERED;
}

int service_signal_process(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__SignalProcessRequest *request = message;

	if (request->signal > 64)
		return err_set(err, -EINVAL, "field 'signal': %u is over 64", request->signal);
	if (request->all && request->exec_id[0])
		return err_set(err, -EINVAL, "field 'all': not together with 'exec_id'");
	return request->all ? container_signal_all(c->container, (int)request->signal, err) :
			      process_signal(c->process, (int)request->signal, err);
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

int service_wait_process(const struct service_call *c, const void *message, struct err *err)
{
	int rc = process_wait(c->process, on_waited, c->call);

	(void)message;
	if (rc < 0)
		return err_set_errno(err, rc, "wait for a process of container '%s'",
				     container_id(c->container));
	return SERVICE_ANSWERED;
}

int service_remove_process(const struct service_call *c, const void *message, struct err *err)
{
	(void)message;
	return container_remove_process(c->container, c->process, err);
}
