/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/file.h>

#include "shim/monitor.h"
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"

struct values {
	bool force;
};

static const struct option_row options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct values, force),
	  "kill the container if it still runs; no error if it does not exist" },
	OPTIONS_END,
};

/*
 * A create that was killed leaves a folder without a record, and perhaps a sandbox: reserving the
 * id takes the first over.
 */
static void remove_abandoned(const char *state_root, const char *id)
{
	_cleanup_close_ int rootfd = -EBADF, folder = -EBADF;

	sandbox_sweep(state_root);

	if (state_open_root(state_root, &rootfd, NULL) == 0 &&
	    container_reserve(state_root, rootfd, id, &folder, NULL) == 0)
		container_unreserve(rootfd, id);
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	const struct values *v = values;
	int r;

	r = container_open(rt, args[0], &c, err);
	if (r == -ENOENT) {
		remove_abandoned(rt->state_root, args[0]);
		if (!v->force)
			return r;
		/* What engines call this for is done, and they show people each word of it. */
		*err = (struct err)ERR_INIT;
		return 0;
	}
	if (r < 0)
		return r;
	if (v->force)
		container_kill_stuck_monitor(c);
	if (!v->force && c->status != CONTAINER_STOPPED && c->status != CONTAINER_CREATED)
		return err_set(err, -EBUSY, "cannot delete container %s that is not stopped: %s",
			       args[0], container_status_name(c->status));
	return container_delete(c, err);
}

const struct command cmd_delete = {
	.name = "delete",
	.arguments = "<container-id>",
	.summary = "delete what is left of a stopped or created container",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
