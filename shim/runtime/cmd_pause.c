/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	int r;

	r = container_open(rt, args[0], &c, err);
	if (r < 0)
		return r;
	if (c->status != CONTAINER_RUNNING && c->status != CONTAINER_CREATED)
		return err_set(err, -EINVAL, "container not running");
	r = container_connect(c, &client, err);
	return r < 0 ? r : client_pause(client, args[0], err);
}

const struct command cmd_pause = {
	.name = "pause",
	.arguments = "<container-id>",
	.summary = "suspend all processes of a container",
	.options = no_options,
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
