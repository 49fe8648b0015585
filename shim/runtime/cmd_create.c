/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/runtime/launch.h"
#include "shim/runtime/pidfile.h"

struct values {
	struct launch_options launch;
};

static const struct option_row options[] = {
	LAUNCH_OPTION_ROWS(struct values),
	OPTIONS_END,
};

static int create(const struct runtime *rt, const struct launch_options *o, const char *id,
		  struct err *err)
{
	_cleanup_(launch_finish_p) struct launch *l = NULL;
	pid_t pid;
	int r;

	proxy_block_signals();
	r = launch_prepare(rt, o, id, true, &l, err);
	if (r < 0)
		return r;
	r = launch_fork(l, &pid, err);
	if (r == 0)
		r = container_create_hooks(rt, id, l->spec, -EBADF, err);
	if (r == 0)
		r = pidfile_write(o->pid_file, pid, err);
	if (r < 0)
		launch_undo(rt, l);
	return r;
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	const struct values *v = values;
	int r = create(rt, &v->launch, args[0], err);

	if (r < 0)
		err_prefix(err, "create failed");
	return r;
}

const struct command cmd_create = {
	.name = "create",
	.arguments = "<container-id>",
	.summary = "create a container",
	.description =
		"   Creates a container from a bundle: a folder with config.json and a root file system.\n"
		"   The command in config.json runs when the container is started. A process stays that\n"
		"   stands for the container: its pid is written to --pid-file, and it ends with the\n"
		"   container's exit code.",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run,
};
