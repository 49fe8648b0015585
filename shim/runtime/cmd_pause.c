/* SPDX-License-Identifier: Apache-2.0 */
/* pause and resume: the same steps with other words. */
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"

#define STATUS_BIT(status) (1u << (status))

struct change {
	unsigned int from; /* STATUS_BITs in which it is possible */
	const char *refusal;
	int (*call)(struct client *c, const char *id, struct err *err);
};

static const struct change pause_change = {
	STATUS_BIT(CONTAINER_RUNNING) | STATUS_BIT(CONTAINER_CREATED), "container not running",
	client_pause,
};
static const struct change resume_change = {
	STATUS_BIT(CONTAINER_PAUSED), "container not paused", client_resume,
};

static int run_change(const struct runtime *rt, const struct change *change, const char *id, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	int r;

	r = container_open(rt, id, &c, err);
	if (r < 0)
		return r;
	if (!(change->from & STATUS_BIT(c->status)))
		return err_set(err, -EINVAL, "%s", change->refusal);
	r = container_connect(c, &client, err);
	return r < 0 ? r : change->call(client, id, err);
}

static int run_pause(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	return run_change(rt, &pause_change, args[0], err);
}

static int run_resume(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	return run_change(rt, &resume_change, args[0], err);
}

const struct command cmd_pause = {
	.name = "pause",
	.arguments = "<container-id>",
	.summary = "suspend all processes of a container",
	.options = no_options,
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run_pause,
};

const struct command cmd_resume = {
	.name = "resume",
	.arguments = "<container-id>",
	.summary = "let a paused container run on",
	.options = no_options,
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run_resume,
};
