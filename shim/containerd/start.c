/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One monitor serves all containers of a sandbox, and a sandbox is a network namespace (sandbox_join.c): for the second
 * container of a pod the address of the first one's monitor is printed. containerd reads stdout and stderr as one, so
 * nothing else is written. The monitor takes no descriptor of ours along, so that containerd sees the end of both.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "common/io.h"
#include "common/oci.h"
#include "shim/containerd/actions.h"
#include "shim/containerd/bootstrap.h"
#include "shim/hostcgroup.h"
#include "shim/monitor.h"
#include "shim/runtime/container.h"
#include "shim/sandbox_cgroup.h"

/* What connect(2) takes, less the NUL and what little containerd may add. */
#define SOCKET_PATH_MAX 105

struct start {
	const struct shim_flags *flags;
	struct bootstrap bootstrap;
	char *root, *bundle;
	int rootfd, folder_fd;
	struct oci_spec *spec;
	struct config *config;
	struct hostcgroup_origin origin;
	struct sandbox_join join;
};

static int read_options(struct start *s, struct err *err)
{
	_cleanup_free_ char *data = NULL;
	size_t len;
	int r;

	r = io_read_fd(STDIN_FILENO, BOOTSTRAP_BYTES_MAX, &data, &len);
	if (r < 0)
		return err_set_errno(err, r, "stdin");
	return bootstrap_parse(data, len, s->flags->id, s->flags->namespace, &s->bootstrap, err);
}

static int read_bundle(struct start *s, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	s->bundle = realpath(s->flags->bundle ? s->flags->bundle : ".", NULL);
	if (!s->bundle || chdir(s->bundle) < 0)
		return err_set_errno(err, -errno, "bundle");
	r = io_read_file(AT_FDCWD, "config.json", OCI_SPEC_BYTES_MAX, &text, &len);
	if (r == -ENOENT)
		return err_set(err, r, "bundle '%s' has no config.json", s->bundle);
	if (r < 0)
		return err_set_errno(err, r, "config.json of bundle '%s'", s->bundle);
	r = oci_spec_parse(text, len, &s->spec, err);
	if (r < 0)
		err_prefix(err, "config.json");
	return r;
}

/* An id that a shim which was killed has left, and nobody has removed, is free. */
static int reserve(struct start *s, struct err *err)
{
	const struct runtime rt = { .state_root = s->root };
	_cleanup_(container_close_p) struct container *old = NULL;
	struct err ignored = ERR_INIT;
	int r;

	r = container_reserve(s->root, s->rootfd, s->flags->id, &s->folder_fd, err);
	if (r != -EEXIST || container_open(&rt, s->flags->id, &old, &ignored) < 0 || old->monitor_alive ||
	    container_delete(old, &ignored) < 0)
		return r;
	*err = (struct err)ERR_INIT;
	return container_reserve(s->root, s->rootfd, s->flags->id, &s->folder_fd, err);
}

/*
 * containerd protects itself from the kernel's OOM killer, and its children with it. The sandbox is as likely a victim
 * as its container is to be.
 */
static void set_oom_score(const struct oci_spec *spec)
{
	_cleanup_free_ char *own = NULL;
	int wanted = spec->has_process && spec->process.has_oom_score_adj ? spec->process.oom_score_adj : 0;
	char text[16];
	int n, now;

	if (io_read_file(AT_FDCWD, "/proc/self/oom_score_adj", sizeof(text), &own, NULL) < 0 ||
	    sscanf(own, "%d", &now) != 1 || now >= wanted)
		return;
	n = snprintf(text, sizeof(text), "%d", wanted);
	io_write_file(AT_FDCWD, "/proc/self/oom_score_adj", text, (size_t)n);
}

/* As the command line does: monitor, VMM and file server are born in the container's cgroup. */
static int enter_cgroup(struct start *s, struct err *err)
{
	_cleanup_(hostcgroup_free_p) struct hostcgroup *cgroup = NULL;
	_cleanup_(hostcgroup_limits_finish) struct hostcgroup_limits limits = { 0 };
	struct hostcgroup_options options = {
		.cgroups_path = s->spec->cgroups_path,
		.id = s->flags->id,
		.state_root = s->root,
		.systemd = s->bootstrap.systemd_cgroup,
		.limits = &limits,
	};
	int r;

	r = sandbox_cgroup_limits_of(&s->spec->resources, s->config, &limits);
	if (r < 0)
		return err_set_errno(err, r, "limits");
	limits.cpu_quota_us = 0; /* booting is not the workload's work */
	return hostcgroup_create(s->rootfd, &options, &cgroup, &s->origin, err);
}

static int launch(struct start *s, struct err *err)
{
	_cleanup_free_ char *log = NULL;
	const char *events = getenv("TTRPC_ADDRESS");
	struct monitor_engine engine = { .events = events ? events : "", .namespace = s->flags->namespace };
	char name[SHIM_SANDBOX_NAME_MAX + 1];
	int r;

	if (asprintf(&log, "%s/log", s->bundle) < 0)
		return log = NULL, err_set_errno(err, -ENOMEM, "log");
	engine.log = log;
	snprintf(name, sizeof(name), "%.*s", SHIM_SANDBOX_NAME_MAX, s->flags->id);
	r = enter_cgroup(s, err);
	if (r < 0)
		return r;
	r = sandbox_find_or_launch_for(&engine, s->root, name, s->spec, s->config, &s->join, err);
	hostcgroup_leave(&s->origin);
	return r;
}

static int find_sandbox(struct start *s, struct err *err)
{
	int r;

	r = config_load(s->bootstrap.config_path, &s->config, err);
	if (r == 0)
		r = config_annotate(s->config, s->spec, err);
	if (r == 0)
		r = config_check_guest(s->config, err);
	if (r < 0)
		return r;
	s->config->debug |= s->flags->debug;
	set_oom_score(s->spec);
	return launch(s, err);
}

/* To the bundle, for a containerd that comes back, and to stdout. */
static int tell_address(const struct start *s, struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	_cleanup_free_ char *address = NULL;
	char pid[16];
	int r;

	if (strlen(s->join.socket) > SOCKET_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "path of the socket '%s' is too long", s->join.socket);
	if (asprintf(&address, "unix://%s", s->join.socket) < 0)
		return address = NULL, err_set_errno(err, -ENOMEM, "address");
	r = sandbox_record_load(s->rootfd, s->join.id, &record, err);
	if (r < 0)
		return r;
	snprintf(pid, sizeof(pid), "%d", record->monitor.pid);
	r = io_replace_file(AT_FDCWD, "shim.pid", pid, strlen(pid), 0600);
	if (r >= 0)
		r = io_replace_file(AT_FDCWD, "address", address, strlen(address), 0600);
	if (r < 0)
		return err_set_errno(err, r, "file in bundle '%s'", s->bundle);
	r = io_write_all(STDOUT_FILENO, address, strlen(address));
	return r < 0 ? err_set_errno(err, r, "stdout") : 0;
}

static void finish(struct start *s)
{
	sandbox_join_finish(&s->join);
	bootstrap_finish(&s->bootstrap);
	oci_spec_free(s->spec);
	config_free(s->config);
	cleanup_close_p(&s->folder_fd);
	cleanup_close_p(&s->rootfd);
	free(s->root);
	free(s->bundle);
}

int shim_start(const struct shim_flags *flags, struct err *err)
{
	struct start s = { .flags = flags, .rootfd = -EBADF, .folder_fd = -EBADF,
			   .join = { .netns_fd = -EBADF, .life_fd = -EBADF } };
	int r;

	r = container_check_id(flags->id, err);
	if (r == 0)
		r = read_options(&s, err);
	if (r == 0)
		r = read_bundle(&s, err);
	if (r == 0 && !(s.root = shim_state_root(flags)))
		r = err_set_errno(err, -ENOMEM, "state folder");
	if (r == 0)
		r = state_open_root(s.root, &s.rootfd, err);
	if (r == 0)
		r = reserve(&s, err);
	if (r == 0) {
		r = find_sandbox(&s, err);
		if (r == 0)
			r = tell_address(&s, err);
		if (r < 0)
			container_unreserve(s.rootfd, flags->id);
	}
	finish(&s);
	return r < 0 ? r : 0;
}
