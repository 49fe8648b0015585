/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about the guest's network. */
#include "agent/service_internal.h"

#include <errno.h>

#include "common/dns_stream.h"

static void on_updated(int code, const struct err *err, void *userdata)
{
	service_answer(userdata, code, err);
}

int service_update_network(const struct service_call *c, const void *message, struct err *err)
{
	int rc = network_update(c->service->network, message, on_updated, c->call, err);

	return rc < 0 ? rc : SERVICE_ANSWERED;
}

int service_serve_names(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__ServeNamesRequest *request = message;
	int rc = 0;

	if (request->n_servers > NAMES_SERVERS_MAX)
		return err_set(err, -E2BIG, "field 'servers': %zu entries are over %u", request->n_servers,
			       NAMES_SERVERS_MAX);
	for (size_t i = 0; i < request->n_servers && rc >= 0; i++) {
		if (request->servers[i].len != 4)
			return err_set(err, -EINVAL, "field 'servers[%zu]': not 4 bytes", i);
		rc = names_serve(c->service->names, request->servers[i].data, err);
	}
	return rc;
}

static void on_query(int code, const struct names_query *query, void *userdata)
{
	Onggi__Agent__V1__NextQueryResponse response = ONGGI__AGENT__V1__NEXT_QUERY_RESPONSE__INIT;

	if (code < 0) {
		service_answer_failure(userdata, code, NULL);
		return;
	}
	response.id = query->id;
	response.server = (ProtobufCBinaryData){ .len = sizeof(query->server), .data = (uint8_t *)query->server };
	response.tcp = query->tcp;
	response.query = (ProtobufCBinaryData){ .len = query->len, .data = (uint8_t *)query->data };
	ttrpc_call_reply(userdata, &response.base);
}

int service_next_query(const struct service_call *c, const void *message, struct err *err)
{
	(void)message;
	(void)err;
	names_next(c->service->names, on_query, c->call);
	return SERVICE_ANSWERED;
}

int service_answer_query(const struct service_call *c, const void *message, struct err *err)
{
	const Onggi__Agent__V1__AnswerQueryRequest *request = message;

	if (request->answer.len > DNS_MESSAGE_MAX)
		return err_set(err, -EINVAL, "field 'answer': %zu bytes are over %u", request->answer.len,
			       DNS_MESSAGE_MAX);
	names_answer(c->service->names, request->id, request->answer.data, request->answer.len);
	return 0;
}
