/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/launch.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"
#include "common/oci.h"
#include "common/trace.h"
#include "hypervisor/accel.h"
#include "shim/hostcgroup_limits.h"
#include "shim/runtime/container.h"
#include "shim/sandbox_cgroup.h"

/* How often a sandbox is looked for that ends in the moment it is found. */
#define JOIN_ATTEMPTS 4

int launch_check_console(bool terminal, bool detached, const char *console_socket, struct err *err)
{
	if (terminal && detached && !console_socket)
		return err_set(err, -EINVAL,
			       "cannot allocate tty if " RUNTIME_NAME
			       " will detach without setting console socket");
	if (console_socket && !(terminal && detached))
		return err_set(err, -EINVAL,
			       "cannot use console socket if " RUNTIME_NAME
			       " will not detach or allocate tty");
	return 0;
}

int launch_check_preserve_fds(uint32_t preserve_fds, struct err *err)
{
	if (!preserve_fds)
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "option --preserve-fds=%u: descriptors cannot be handed into a microVM: they mean "
		       "nothing to another kernel", preserve_fds);
}

/*
 * Whether systemd's protocol says that sockets were passed to this very process. The variables alone
 * say nothing: engines pass their own environment on.
 */
static int check_socket_activation(struct err *err)
{
	const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t n, owner;

	if (!fds || !pid || io_parse_u64(fds, INT_MAX, &n) < 0 || io_parse_u64(pid, INT_MAX, &owner) < 0)
		return 0;
	if (n == 0 || owner != (uint64_t)getpid())
		return 0;
	return err_set(err, -EOPNOTSUPP,
		       "socket activation (LISTEN_FDS=%s): sockets cannot be handed into a microVM; have the "
		       "program listen by itself and publish its port", fds);
}

static int check_options(const struct launch_options *options, struct err *err)
{
	int r = launch_check_preserve_fds(options->preserve_fds, err);

	if (r == 0)
		r = check_socket_activation(err);
	if (r < 0)
		return r;
	if (options->pidfd_socket)
		return err_set(err, -EOPNOTSUPP, "option --pidfd-socket is not supported yet");
	if (geteuid() != 0)
		return err_set(err, -EOPNOTSUPP, RUNTIME_NAME " must be run as root: rootless containers are "
			       "not supported yet");
	return 0;
}

static int load_spec(struct launch *l, const char *bundle, struct err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	l->bundle = realpath(bundle ? bundle : ".", NULL);
	if (!l->bundle)
		return err_set_errno(err, -errno, "bundle '%s'", bundle ? bundle : ".");
	if (asprintf(&path, "%s/config.json", l->bundle) < 0)
		return err_set_errno(err, -ENOMEM, "bundle");
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &text, &len);
	if (r == -ENOENT)
		return err_set(err, r, "JSON specification file config.json not found in '%s'",
			       l->bundle);
	if (r < 0)
		return err_set_errno(err, r, "read '%s'", path);
	r = oci_spec_parse(text, len, &l->spec, err);
	if (r < 0)
		return err_prefix(err, "%s", path), r;
	if (!l->spec->has_process)
		return err_set(err, -EINVAL, "%s: process property must not be empty", path);
	return 0;
}

static void fill_proxy(struct launch *l, const struct launch_options *options, bool detached)
{
	const struct oci_process *process = &l->spec->process;

	l->proxy = (struct proxy_config){
		.socket = l->join.socket,
		.id = l->id,
		.io_dir = l->io_dir,
		.bundle = l->bundle,
		.spec = l->spec,
		.args = process->args,
		.create_timeout_ms = (uint64_t)l->config->boot_timeout_ms + CLIENT_CREATE_MARGIN_MS,
		.terminal = process->terminal,
		.foreground = !detached,
		.console_socket = options->console_socket,
		.size = { .columns = process->console_columns, .rows = process->console_rows },
		.netns_fd = l->join.netns_fd,
	};
}

/*
 * The command enters the cgroup itself, so that monitor, VMM and proxy are born in it and every byte of theirs is
 * charged there. It leaves before anything runs that is not the container's.
 */
static int enter_cgroup(struct launch *l, const struct runtime *rt, struct err *err)
{
	const char *manager = rt->cgroup_manager ? rt->cgroup_manager : "";
	_cleanup_(hostcgroup_free_p) struct hostcgroup *cgroup = NULL;
	_cleanup_(hostcgroup_limits_finish) struct hostcgroup_limits limits = { 0 };
	struct hostcgroup_options options = {
		.cgroups_path = l->spec->cgroups_path,
		.id = l->id,
		.state_root = l->state_root,
		.systemd = rt->systemd_cgroup || !strcmp(manager, "systemd"),
		.limits = &limits,
	};
	int r;

	if (!strcmp(manager, "disabled"))
		return 0;
	if (manager[0] && strcmp(manager, "systemd") != 0 && strcmp(manager, "cgroupfs") != 0)
		return err_set(err, -EINVAL,
			       "unknown cgroup manager '%s' (want \"cgroupfs\", \"systemd\" or "
			       "\"disabled\")",
			       manager);
	r = sandbox_cgroup_limits_of(&l->spec->resources, l->config, &limits);
	if (r < 0)
		return err_set_errno(err, r, "limits");
	/* Booting is not the workload's work. */
	limits.cpu_quota_us = 0;
	return hostcgroup_create(l->rootfd, &options, &cgroup, &l->origin, err);
}

static int find_sandbox(struct launch *l, const struct runtime *rt,
			const struct launch_options *options, bool detached, struct err *err)
{
	int r;

	if (container_io_dir(l->state_root, l->id, &l->io_dir) < 0)
		return err_set_errno(err, -ENOMEM, "container");
	r = config_load(rt->config_path, &l->config, err);
	if (r == 0)
		r = config_annotate(l->config, l->spec, err);
	if (r == 0)
		r = config_check_guest(l->config, err);
	if (r < 0)
		return r;
	l->config->debug |= rt->debug;
	r = enter_cgroup(l, rt, err);
	if (r < 0)
		return r;
	r = sandbox_find_or_launch(l->state_root, l->id, l->spec, l->config, &l->join, err);
	if (r == 0)
		fill_proxy(l, options, detached);
	return r;
}

/* Whether it makes sense to try again after @r; then it is prepared. */
static bool rejoin(struct launch *l, int attempt, int r, struct err *err)
{
	if (r != PROXY_MONITOR_ENDED || l->join.created || attempt >= JOIN_ATTEMPTS)
		return false;
	container_bury_sandbox(l->state_root, l->rootfd, l->join.id);
	sandbox_join_finish(&l->join);
	if (sandbox_find_or_launch(l->state_root, l->id, l->spec, l->config, &l->join, err) < 0)
		return false;
	l->proxy.socket = l->join.socket;
	l->proxy.netns_fd = l->join.netns_fd;
	*err = (struct err)ERR_INIT;
	return true;
}

int launch_open(struct launch *l, struct proxy **ret, struct err *err)
{
	int r, attempt = 1;

	do
		r = proxy_open(&l->proxy, ret, err);
	while (r < 0 && rejoin(l, attempt++, r, err));
	/* The caller of a foreground command finds the process it has started where that was. */
	hostcgroup_leave(&l->origin);
	return r;
}

int launch_fork(struct launch *l, pid_t *ret_pid, struct err *err)
{
	int r, attempt = 1;

	do
		r = proxy_fork(&l->proxy, ret_pid, err);
	while (r < 0 && rejoin(l, attempt++, r, err));
	hostcgroup_leave(&l->origin);
	return r;
}

void launch_warn_of_emulation(const struct launch *l)
{
	_cleanup_free_ char *cache = NULL;
	enum vm_accel accel;

	if (!l->join.created || strcmp(l->config->accel, "auto") != 0 || !isatty(STDERR_FILENO))
		return;
	if (asprintf(&cache, "%s/cache", l->state_root) < 0) {
		cache = NULL;
		return;
	}
	if (accel_choose(ACCEL_POLICY_AUTO, cache, &accel, NULL) == 0 && accel == VM_ACCEL_TCG)
		log_warning("KVM does not work here: this VM is emulated, which is slow and no security "
			    "boundary ('accel' is 'auto' in the configuration)");
}

static struct launch *launch_new(const char *state_root, const char *id)
{
	struct launch *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->rootfd = l->folder_fd = l->join.netns_fd = l->join.life_fd = -EBADF;
	l->state_root = strdup(state_root);
	l->id = strdup(id);
	if (!l->state_root || !l->id) {
		launch_finish(l);
		return NULL;
	}
	return l;
}

int launch_prepare(const struct runtime *rt, const struct launch_options *options, const char *id,
		   bool detached, struct launch **ret, struct err *err)
{
	_cleanup_(launch_finish_p) struct launch *l = launch_new(rt->state_root, id);
	int r;

	if (!l)
		return err_set_errno(err, -ENOMEM, "container");
	r = container_check_id(id, err);
	if (r == 0)
		r = check_options(options, err);
	if (r == 0)
		r = load_spec(l, options->bundle, err);
	if (r == 0)
		r = launch_check_console(l->spec->process.terminal, detached,
					 options->console_socket, err);
	if (r == 0)
		r = state_open_root(rt->state_root, &l->rootfd, err);
	if (r == 0)
		r = container_reserve(rt->state_root, l->rootfd, id, &l->folder_fd, err);
	if (r < 0)
		return r;
	trace_mark("bundle read");
	r = find_sandbox(l, rt, options, detached, err);
	trace_mark("monitor launched or found");
	if (r < 0) {
		launch_undo(rt, l);
		return r;
	}
	*ret = TAKE_PTR(l);
	return 0;
}

bool launch_delete(const struct runtime *rt, const struct launch *l)
{
	_cleanup_(container_close_p) struct container *c = NULL;

	return container_open(rt, l->id, &c, NULL) == 0 && container_delete(c, NULL) == 0;
}

void launch_undo(const struct runtime *rt, struct launch *l)
{
	hostcgroup_leave(&l->origin);
	if (launch_delete(rt, l))
		return;
	/* A monitor that was started for it ends when it hears that nothing will be created. */
	cleanup_close_p(&l->join.life_fd);
	if (l->join.id)
		container_settle_sandbox(l->state_root, l->rootfd, l->join.id, l->id);
	container_unreserve(l->rootfd, l->id);
}

void launch_finish(struct launch *l)
{
	if (!l)
		return;
	hostcgroup_leave(&l->origin);
	sandbox_join_finish(&l->join);
	oci_spec_free(l->spec);
	config_free(l->config);
	if (l->rootfd >= 0)
		close(l->rootfd);
	if (l->folder_fd >= 0)
		close(l->folder_fd);
	free(l->state_root);
	free(l->id);
	free(l->bundle);
	free(l->io_dir);
	free(l);
}
