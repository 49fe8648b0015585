/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/io.h"
#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/runtime/exec_process.h"
#include "shim/runtime/launch.h"
#include "shim/runtime/pidfile.h"

#define EXEC_ID_SIZE 64

struct values {
	const char *console_socket, *pidfd_socket, *process, *pid_file, *cgroup;
	struct exec_flags flags;
	uint32_t preserve_fds;
	bool detach, ignore_paused, no_subreaper;
};

#define VALUE(member) offsetof(struct values, member)

static const struct option_row options[] = {
	{ "process", 'p', OPTION_STRING, VALUE(process),
	  "file with the process object; instead of a command" },
	{ "detach", 'd', OPTION_FLAG, VALUE(detach), "return when the process runs" },
	{ "pid-file", 0, OPTION_STRING, VALUE(pid_file),
	  "file to write the pid of the process to" },
	{ "console-socket", 0, OPTION_STRING, VALUE(console_socket),
	  "unix socket that gets the master of the terminal" },
	{ "pidfd-socket", 0, OPTION_STRING, VALUE(pidfd_socket), NULL },
	{ "tty", 't', OPTION_FLAG, VALUE(flags.tty), "give the process a terminal" },
	{ "cwd", 0, OPTION_STRING, VALUE(flags.cwd), "current folder in the container" },
	{ "env", 'e', OPTION_LIST, VALUE(flags.env), "add an environment variable NAME=VALUE" },
	{ "user", 'u', OPTION_STRING, VALUE(flags.user), "uid[:gid]" },
	{ "additional-gids", 'g', OPTION_LIST, VALUE(flags.additional_gids),
	  "add a supplementary group" },
	{ "process-label", 0, OPTION_STRING, VALUE(flags.process_label), "SELinux label" },
	{ "apparmor", 0, OPTION_STRING, VALUE(flags.apparmor), "AppArmor profile" },
	{ "no-new-privs", 0, OPTION_FLAG, VALUE(flags.no_new_privs), "set no_new_privs" },
	{ "cap", 'c', OPTION_LIST, VALUE(flags.caps), "add a capability" },
	{ "preserve-fds", 0, OPTION_U32, VALUE(preserve_fds),
	  "0: descriptors cannot be handed into a microVM" },
	{ "ignore-paused", 0, OPTION_FLAG, VALUE(ignore_paused), "in a paused container: wait until it is resumed" },
	{ "cgroup", 0, OPTION_STRING, VALUE(cgroup), NULL },
	{ "no-subreaper", 0, OPTION_FLAG, VALUE(no_subreaper), NULL },
	OPTIONS_END,
};

/* What one exec needs, and owns. */
struct exec {
	struct container *container;
	struct oci_process *process;
	char *text; /* of the process object */
	char *io_dir, *socket;
	char id[EXEC_ID_SIZE];
	int netns_fd;
	struct hostcgroup *cgroup; /* of the container on the host; NULL: none */
};

static void exec_finish(struct exec *e)
{
	container_close(e->container);
	oci_process_free(e->process);
	free(e->text);
	free(e->io_dir);
	free(e->socket);
	hostcgroup_free(e->cgroup);
	if (e->netns_fd >= 0)
		close(e->netns_fd);
}

static int check_options(const struct values *v, char **args, struct err *err)
{
	int r = launch_check_preserve_fds(v->preserve_fds, err);

	if (r < 0)
		return r;
	if (v->cgroup)
		return err_set(err, -EOPNOTSUPP,
			       "option --cgroup is not supported: the cgroups are the guest's");
	if (v->pidfd_socket)
		return err_set(err, -EOPNOTSUPP, "option --pidfd-socket is not supported yet");
	if (!v->process && !args[1])
		return err_set(err, -EINVAL, "process args cannot be empty");
	return 0;
}

/* As with runc: a process in a frozen cgroup waits for it to be thawed. */
static int wait_resumed(struct container *c, struct err *err)
{
	_cleanup_(client_destroy_p) struct client *client = NULL;
	int r = container_connect(c, &client, err);

	return r < 0 ? r : client_wait_resumed(client, c->record->id, err);
}

static int check_status(struct container *c, bool ignore_paused, struct err *err)
{
	if (c->status == CONTAINER_STOPPED)
		return container_refuse_stopped(c, "cannot exec in a stopped container", err);
	if (c->status == CONTAINER_PAUSED && ignore_paused)
		return wait_resumed(c, err);
	if (c->status == CONTAINER_PAUSED)
		return err_set(
			err, -EBUSY,
			"cannot exec in a paused container (use --ignore-paused to override)");
	return 0;
}

static int load_process(struct exec *e, const struct values *v, char **args, struct err *err)
{
	_cleanup_free_ char *config = NULL, *path = NULL;
	struct exec_flags flags = v->flags;
	size_t len;
	int r;

	if (v->process)
		return exec_process_from_file(v->process, &e->text, &e->process, err);
	flags.args = args + 1;
	if (strcmp(flags.args[0], "--") == 0 && flags.args[1])
		flags.args++;
	if (asprintf(&path, "%s/config.json", e->container->record->bundle) < 0)
		return err_set_errno(err, -ENOMEM, "exec");
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &config, &len);
	if (r < 0)
		return err_set_errno(err, r, "read '%s'", path);
	return exec_process_from_flags(config, len, &flags, &e->text, &e->process, err);
}

/*
 * The namespace the container's proxy stands in. Its pid may have been reused by the time of the
 * opening: checked after.
 */
static int open_netns(const struct container *c)
{
	const struct process_id *proxy = &c->record->proxy;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)proxy->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !process_id_alive(proxy)) {
		close(fd);
		fd = -ESRCH;
	}
	return fd < 0 ? -EBADF : fd;
}

static int prepare(struct exec *e, const struct runtime *rt, const char *id, struct err *err)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_set_errno(err, -errno, "random number");
	snprintf(e->id, sizeof(e->id), "exec-%d-%016llx", (int)getpid(),
		 (unsigned long long)random);
	e->netns_fd = open_netns(e->container);
	hostcgroup_load(e->container->rootfd, id, &e->cgroup, NULL);
	if (container_io_dir(rt->state_root, id, &e->io_dir) < 0 ||
	    container_socket(rt->state_root, e->container->record->sandbox, &e->socket) < 0)
		return err_set_errno(err, -ENOMEM, "exec");
	return 0;
}

/* This process is the proxy. */
static int run_foreground(const struct proxy_config *config, const char *pid_file, struct err *err)
{
	_cleanup_(proxy_close_p) struct proxy *p = NULL;
	int r, code;

	proxy_block_signals();
	r = proxy_open(config, &p, err);
	if (r == 0)
		r = proxy_start(p, err);
	if (r == 0)
		r = pidfile_write(pid_file, getpid(), err);
	if (r < 0)
		return r;
	code = proxy_wait(p, err);
	proxy_delete(p, NULL);
	return code;
}

static int run_exec(const struct runtime *rt, const struct values *v, char **args, struct err *err)
{
	_cleanup_(exec_finish) struct exec e = { .netns_fd = -EBADF };
	struct proxy_config config;
	pid_t pid;
	int r;

	r = check_options(v, args, err);
	if (r == 0)
		r = container_open(rt, args[0], &e.container, err);
	if (r == 0)
		r = check_status(e.container, v->ignore_paused, err);
	if (r == 0)
		r = load_process(&e, v, args, err);
	if (r == 0)
		r = launch_check_console(e.process->terminal, v->detach, v->console_socket, err);
	if (r == 0)
		r = prepare(&e, rt, args[0], err);
	if (r < 0)
		return r;
	config = (struct proxy_config){
		.socket = e.socket,
		.id = args[0],
		.exec_id = e.id,
		.io_dir = e.io_dir,
		.process = e.text,
		.args = e.process->args,
		.terminal = e.process->terminal,
		.foreground = !v->detach,
		.start = true,
		.console_socket = v->console_socket,
		.size = { .columns = e.process->console_columns, .rows = e.process->console_rows },
		.netns_fd = e.netns_fd,
		.cgroup = e.cgroup,
	};
	if (!v->detach)
		return run_foreground(&config, v->pid_file, err);
	r = proxy_fork(&config, &pid, err);
	return r < 0 ? r : pidfile_write(v->pid_file, pid, err);
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	int r = run_exec(rt, values, args, err);

	if (r < 0)
		err_prefix(err, "exec failed");
	return r;
}

const struct command cmd_exec = {
	.name = "exec",
	.arguments = "<container-id> <command> [argument...]",
	.summary = "run another process in a running container",
	.description =
		"   Without --detach the command passes input, output and signals, and ends with\n"
		"   the process's exit code; 255 when the process could not be run.",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 1,
	.args_max = COMMAND_ARGS_ANY,
	.failure_code = 255,
	.run = run,
};
