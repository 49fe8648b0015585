/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about the guest's network. */
#include "agent/service_internal.h"

static void on_updated(int code, const struct err *err, void *userdata)
{
	service_answer(userdata, code, err);
}

int service_update_network(const struct service_call *c, const void *message, struct err *err)
{
	int rc = network_update(c->service->network, message, on_updated, c->call, err);

	return rc < 0 ? rc : SERVICE_ANSWERED;
}
