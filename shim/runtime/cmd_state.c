/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/state_json.h"

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_json_ struct json *j = NULL;
	_cleanup_free_ char *text = NULL;
	int r;

	r = container_open(rt, args[0], &c, err);
	if (r < 0)
		return r;
	j = state_json(c->record, c->status, "");
	text = j ? json_text(j, true) : NULL;
	if (!text)
		return err_set_errno(err, -ENOMEM, "state");
	puts(text);
	return 0;
}

const struct command cmd_state = {
	.name = "state",
	.arguments = "<container-id>",
	.summary = "print the state of a container as JSON",
	.options = no_options,
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
