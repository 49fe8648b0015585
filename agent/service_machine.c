/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about the guest as a whole. */
#include "agent/service_internal.h"

#include <unistd.h>

#include "agent/configure.h"
#include "common/log.h"
#include "common/proto/agent.pb-c.h"

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
	response.memory_free_bytes = info.memory_free_bytes;
	response.cpus = info.cpus;
	ttrpc_call_reply(call, &response.base);
}

int service_configure(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__ConfigureRequest *request = message;
	const struct service_hooks *hooks = c->service->hooks;
	int rc;

	if (request->log_level > LOG_LEVEL_DEBUG)
		return err_set(err, -EINVAL, "field 'log_level': %u is over %d", request->log_level,
			       LOG_LEVEL_DEBUG);
	/* Chance and time come before anything that could make use of them. */
	rc = configure_entropy(request->entropy.data, request->entropy.len, err);
	if (rc >= 0)
		rc = configure_clock(request->realtime_ns, err);
	if (rc >= 0)
		rc = configure_hostname(request->hostname, err);
	if (rc < 0)
		return rc;
	hooks->log_level((enum log_level)request->log_level, hooks->userdata);
	if (!request->share_tag[0]) {
		on_configured(0, NULL, c->call);
		return SERVICE_ANSWERED;
	}
	rc = share_mount(c->service->share, request->share_tag, on_configured, c->call, err);
	return rc < 0 ? rc : SERVICE_ANSWERED;
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

int service_shutdown(const struct service_call *c, const void *message, struct err *err)
{
	struct service *s = c->service;
	int rc;

	(void)message;
	if (s->shutdown_call)
		return err_set(err, -EBUSY, "the guest is shutting down");
	rc = loop_add_timer(s->loop, SERVICE_SHUTDOWN_TIMEOUT_MS, shutdown_timer, s, &s->shutdown_timer);
	if (rc < 0)
		return err_set_errno(err, rc, "shut down");
	s->shutdown_call = c->call;
	container_table_remove_all(s->containers, on_all_removed, s);
	return SERVICE_ANSWERED;
}
