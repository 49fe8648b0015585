/* SPDX-License-Identifier: Apache-2.0 */
/* create and run: from a bundle to a container, which run starts, too. */
#include <fcntl.h>
#include <sched.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/trace.h"
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/runtime/launch.h"
#include "shim/runtime/pidfile.h"

struct values {
	struct launch_options launch;
	bool detach, keep, no_subreaper;
};

static const struct option_row create_options[] = {
	LAUNCH_OPTION_ROWS(struct values),
	OPTIONS_END,
};

static const struct option_row run_options[] = {
	LAUNCH_OPTION_ROWS(struct values),
	{ "detach", 'd', OPTION_FLAG, offsetof(struct values, detach),
	  "return when the container runs" },
	{ "keep", 0, OPTION_FLAG, offsetof(struct values, keep),
	  "do not delete the container when it ends" },
	{ "no-subreaper", 0, OPTION_FLAG, offsetof(struct values, no_subreaper),
	  "accepted: processes of the workload never become ours" },
	OPTIONS_END,
};

/* What "start" does, hooks and all. */
static int start_container(const struct runtime *rt, const char *id, struct err *err)
{
	char *args[] = { (char *)id, NULL };

	return cmd_start.run(rt, NULL, args, err);
}

/* The proxy is a process of its own. */
static int go_on_without(const struct runtime *rt, struct launch *l, const struct values *v, bool start,
			 struct err *err)
{
	pid_t pid;
	int r;

	r = launch_fork(l, &pid, err);
	if (r == 0)
		r = container_create_hooks(rt, l->id, l->spec, -EBADF, err);
	if (r == 0 && start)
		r = start_container(rt, l->id, err);
	return r == 0 ? pidfile_write(v->launch.pid_file, pid, err) : r;
}

static int create(const struct runtime *rt, struct launch *l, const struct values *v, struct err *err)
{
	return go_on_without(rt, l, v, false, err);
}

static int run_detached(const struct runtime *rt, struct launch *l, const struct values *v,
			struct err *err)
{
	return go_on_without(rt, l, v, true, err);
}

/* This process is the proxy. */
static int run_foreground(const struct runtime *rt, struct launch *l, const struct values *v,
			  struct err *err)
{
	_cleanup_(proxy_close_p) struct proxy *p = NULL;
	_cleanup_close_ int netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r, code;

	r = launch_open(l, &p, err);
	if (r < 0)
		return r;
	launch_warn_of_emulation(l);
	r = container_create_hooks(rt, l->id, l->spec, netns_fd, err);
	if (r == 0)
		r = pidfile_write(v->launch.pid_file, getpid(), err);
	if (r == 0)
		r = proxy_start(p, err);
	trace_mark("process started");
	if (r == 0)
		container_poststart_hooks(rt, l->id, netns_fd);
	if (r < 0)
		return r;
	code = proxy_wait(p, err);
	trace_mark("process ended, output written");
	/* Before the removal, which would wait for who is attached. */
	proxy_close(TAKE_PTR(p));
	/* Where its hooks are at home. */
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, -errno, "leave the network namespace");
	if (!v->keep)
		launch_delete(rt, l);
	trace_mark("container deleted");
	return code;
}

typedef int (*go_fn)(const struct runtime *rt, struct launch *l, const struct values *v, struct err *err);

/* @go is undone when it fails. */
static int launch(const struct runtime *rt, const struct values *v, const char *id, bool detached, go_fn go,
		  struct err *err)
{
	_cleanup_(launch_finish_p) struct launch *l = NULL;
	int r;

	proxy_block_signals();
	r = launch_prepare(rt, &v->launch, id, detached, &l, err);
	if (r < 0)
		return r;
	r = go(rt, l, v, err);
	if (r < 0)
		launch_undo(rt, l);
	return r;
}

static int create_main(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	int r = launch(rt, values, args[0], true, create, err);

	if (r < 0)
		err_prefix(err, "create failed");
	return r;
}

static int run_main(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	const struct values *v = values;
	int r = launch(rt, v, args[0], v->detach, v->detach ? run_detached : run_foreground, err);

	if (r < 0)
		err_prefix(err, "run failed");
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
	.options = create_options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = create_main,
};

const struct command cmd_run = {
	.name = "run",
	.arguments = "<container-id>",
	.summary = "create, start and (in the foreground) delete a container",
	.description =
		"   Without --detach the command passes input, output and signals, and ends with\n"
		"   the container's exit code.",
	.options = run_options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = 1,
	.failure_code = 1,
	.run = run_main,
};
