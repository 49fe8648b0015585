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
	if (c->status == CONTAINER_STOPPED)
		return container_refuse_stopped(c, "cannot start a container that has stopped", err);
	if (c->status != CONTAINER_CREATED)
		return err_set(err, -EEXIST, "cannot start an already running container");
	r = container_connect(c, &client, err);
	if (r < 0)
		return r;
	r = client_start(client, (struct client_process){ .id = args[0] }, err);
	if (r == 0)
		container_poststart_hooks(rt, args[0], -EBADF);
	return r;
}

const struct command cmd_start = {
	.name = "start",
	.arguments = "<container-id>",
	.summary = "run the command of a created container",
	.options = no_options,
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
