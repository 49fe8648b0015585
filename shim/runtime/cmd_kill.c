/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>

#include "common/oci.h"
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"

struct values {
	bool all;
};

static const struct option_row options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct values, all),
	  "send the signal to all processes of the container" },
	OPTIONS_END,
};

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	const struct values *v = values;
	int signo, r;

	r = container_open(rt, args[0], &c, err);
	if (r < 0)
		return r;
	signo = args[1] ? oci_signal_number(args[1]) : SIGTERM;
	if (signo < 0)
		return err_set(err, signo, "unknown signal \"%s\"", args[1]);
	if (c->status == CONTAINER_STOPPED)
		/* As runc: nothing is left to hit. */
		return v->all ? 0 : err_set(err, -ESRCH, "container not running");
	r = container_connect(c, &client, err);
	if (r < 0)
		return r;
	return client_kill(client, (struct client_process){ .id = args[0] }, signo, v->all, err);
}

const struct command cmd_kill = {
	.name = "kill",
	.arguments = "<container-id> [signal]",
	.summary = "send a signal (SIGTERM) to the first process of a container",
	.description = "   The signal is a number, or a name with or without \"SIG\".",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 2,
	.failure_code = 1,
	.run = run,
};
