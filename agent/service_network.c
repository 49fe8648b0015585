/* SPDX-License-Identifier: Apache-2.0 */
/* The methods about the guest's network. */
#include "agent/service_internal.h"

static void on_updated(int code, const struct err *err, void *userdata)
{
	service_answer(userdata, code, err);
}

void service_update_network(struct ttrpc_call *call, const void *message, void *userdata)
{
	struct service *s = userdata;
	struct err err = ERR_INIT;
	int rc;

	rc = network_update(s->network, message, on_updated, call, &err);
	if (rc < 0)
		service_answer_failure(call, rc, &err);
}
