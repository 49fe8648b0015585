/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A sandbox is a network namespace: containers that share one share a VM. The ids that Kubernetes'
 * runtimes put into annotations only confirm it. They could not decide it, because annotations are
 * written by tenants too, and whoever guessed another's id would be put into his VM.
 */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "common/path.h"
#include "common/trace.h"
#include "shim/machine_size.h"
#include "shim/monitor.h"
#include "shim/sandbox_launch.h"

#define ID_ATTEMPTS_MAX 100

void sandbox_join_finish(struct sandbox_join *j)
{
	free(j->id);
	free(j->socket);
	cleanup_close_p(&j->netns_fd);
	cleanup_close_p(&j->life_fd);
	*j = (struct sandbox_join){ .netns_fd = -EBADF, .life_fd = -EBADF };
}

/* ---- the network namespace ---- */

static int make_netns(int *ret_fd, struct err *err)
{
	_cleanup_close_ int own = -EBADF, fd = -EBADF;
	int r;

	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return err_set_errno(err, -errno, "'/proc/self/ns/net'");
	if (unshare(CLONE_NEWNET) < 0)
		return err_set_errno(err, -errno, "new network namespace");
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? err_set_errno(err, -errno, "new network namespace") : 0;
	if (setns(own, CLONE_NEWNET) < 0)
		abort(); /* the caller would go on in a network that is not his */
	if (r >= 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

static int open_netns(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st, own;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || stat("/proc/self/ns/net", &own) < 0)
		return err_set_errno(err, -errno, "network namespace '%s'", path);
	if (st.st_dev != own.st_dev)
		return err_set(err, -EINVAL, "'%s' is no network namespace", path);
	if (st.st_ino == own.st_ino)
		return err_set(
			err, -EOPNOTSUPP,
			"network namespace '%s' is the host's: host networking is not supported, "
			"a container in a VM needs a network of its own",
			path);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int get_netns(const struct oci_spec *spec, int *ret_fd, struct err *err)
{
	const struct oci_namespace_entry *entry = &spec->namespaces[OCI_NS_NETWORK];

	if (!entry->present)
		return err_set(err, -EOPNOTSUPP,
			       "no network namespace in 'linux.namespaces': host networking is not "
			       "supported, "
			       "a container in a VM needs a network of its own");
	return entry->path ? open_netns(entry->path, ret_fd, err) : make_netns(ret_fd, err);
}

/* ---- finding ---- */

static const char *cri_sandbox_id(const struct oci_spec *spec)
{
	const char *id = oci_annotation(spec, "io.kubernetes.cri.sandbox-id");

	return id ? id : oci_annotation(spec, "io.kubernetes.cri-o.SandboxID");
}

/*
 * Whether @record's sandbox is the one of the namespace @st. -EPERM: it is, and belongs to another
 * pod.
 */
static int matches(const struct sandbox_record *record, const struct stat *st, const char *cri_id,
		   struct err *err)
{
	if (record->netns_dev != st->st_dev || record->netns_ino != st->st_ino)
		return 0;
	if (cri_id && record->cri_sandbox_id && strcmp(cri_id, record->cri_sandbox_id) != 0)
		return err_set(err, -EPERM,
			       "the network namespace belongs to pod sandbox '%s', not to '%s'",
			       record->cri_sandbox_id, cri_id);
	return 1;
}

/* Returns 1 with *ret_id, 0 none. Dead ones that are met are cleaned up after. */
static int find(int rootfd, const struct stat *netns, const char *cri_id, char **ret_id,
		struct err *err)
{
	_cleanup_(state_free_names_p) char **names = NULL;
	int r;

	r = state_list(rootfd, "sandboxes", &names);
	if (r < 0)
		return err_set_errno(err, r, "list of sandboxes");
	for (char **name = names; *name; name++) {
		_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
		struct err ignored = ERR_INIT;

		if (sandbox_record_load(rootfd, *name, &record, &ignored) < 0 ||
		    !process_id_alive(&record->monitor)) {
			sandbox_clean_up_locked(rootfd, *name, &ignored);
			continue;
		}
		r = matches(record, netns, cri_id, err);
		if (r < 0)
			return r;
		if (r > 0) {
			*ret_id = strdup(*name);
			return *ret_id ? 1 : -ENOMEM;
		}
	}
	return 0;
}

/* ---- launching ---- */

static struct machine_size choose_size(const struct oci_spec *spec, const struct machine_need *pod,
				       const struct config *config)
{
	struct machine_need need = { 0 };
	struct machine_bounds bounds;
	struct machine_size own, whole;

	machine_bounds_of(config, &bounds);
	machine_need_update(&need, &spec->resources);
	own = machine_size_for(&bounds.base, &bounds.boot_max, &need, 1);
	whole = machine_size_for(&bounds.base, &bounds.boot_max, pod, 1);
	return machine_size_larger(&own, &whole);
}

/*
 * The container's own id, unless a sandbox that lives has it: a container's id may come again, in
 * another network.
 */
static int choose_id(int rootfd, const char *container_id, char **ret, struct err *err)
{
	for (int i = 1; i <= ID_ATTEMPTS_MAX; i++) {
		_cleanup_free_ char *id = NULL, *path = NULL;

		if ((i == 1 ? asprintf(&id, "%s", container_id)
			    : asprintf(&id, "%.240s+%d", container_id, i)) < 0)
			return id = NULL, -ENOMEM;
		if (asprintf(&path, "sandboxes/%s", id) < 0)
			return path = NULL, -ENOMEM;
		if (faccessat(rootfd, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
			*ret = TAKE_PTR(id);
			return 0;
		}
	}
	return err_set(err, -EEXIST, "%d sandboxes of container '%s' exist", ID_ATTEMPTS_MAX,
		       container_id);
}

static int launch(int rootfd, const char *state_root, const char *container_id,
		  const struct oci_spec *spec, const struct config *config,
		  const struct monitor_engine *engine, struct sandbox_join *join, struct err *err)
{
	struct machine_need pod = machine_need_of_pod(spec);
	struct machine_size size = choose_size(spec, &pod, config);
	struct monitor_args args = {
		.root = (char *)(uintptr_t)state_root,
		.cri_sandbox_id = (char *)(uintptr_t)cri_sandbox_id(spec),
		.netns_path = spec->namespaces[OCI_NS_NETWORK].path,
		.vcpus = size.vcpus,
		.memory_mib = size.memory_mib,
		.pod = pod,
		.config = *config,
		.trace = (char *)(uintptr_t)trace_path(),
		.trace_start_us = trace_start_us(),
	};
	int r;

	if (engine) {
		args.engine_events = (char *)(uintptr_t)engine->events;
		args.engine_namespace = (char *)(uintptr_t)engine->namespace;
		args.engine_log = (char *)(uintptr_t)engine->log;
	}
	r = choose_id(rootfd, container_id, &join->id, err);
	if (r < 0)
		return r;
	args.id = join->id;
	join->created = true;
	return sandbox_launch(rootfd, &args, join->netns_fd, &join->life_fd, err);
}

static int find_or_launch(int rootfd, const char *state_root, const char *container_id,
			  const struct oci_spec *spec, const struct config *config,
			  const struct monitor_engine *engine, struct sandbox_join *join,
			  struct err *err)
{
	struct stat netns;
	int r;

	r = get_netns(spec, &join->netns_fd, err);
	if (r < 0)
		return r;
	if (fstat(join->netns_fd, &netns) < 0)
		return err_set_errno(err, -errno, "network namespace");
	r = find(rootfd, &netns, cri_sandbox_id(spec), &join->id, err);
	if (r == 0)
		r = launch(rootfd, state_root, container_id, spec, config, engine, join, err);
	if (r < 0)
		return r;
	if (asprintf(&join->socket, "%s/sandboxes/%s/task.sock", state_root, join->id) < 0)
		return join->socket = NULL, -ENOMEM;
	return 0;
}

static int await_vmm(const char *state_root, const struct sandbox_join *join, struct err *err)
{
	int r = monitor_ready_wait(join->life_fd, err);

	/* It tidies up before it tells of a failure, unless it was killed. */
	if (r < 0)
		sandbox_clean_up(state_root, join->id, NULL);
	return r;
}

int sandbox_find_or_launch_for(const struct monitor_engine *engine, const char *state_root,
			       const char *container_id, const struct oci_spec *spec,
			       const struct config *config, struct sandbox_join *ret, struct err *err)
{
	struct sandbox_join join = { .netns_fd = -EBADF, .life_fd = -EBADF };
	_cleanup_close_ int rootfd = -EBADF, lock = -EBADF;
	int r;

	if (state_root[0] != '/')
		return err_set(err, -EINVAL, "state folder '%s' must be an absolute path",
			       state_root);
	if (!path_id_valid(container_id))
		return err_set(err, -EINVAL, "'%s' is no valid container id", container_id);
	r = state_open_root(state_root, &rootfd, err);
	if (r >= 0)
		r = state_lock(rootfd, &lock, err);
	if (r >= 0)
		r = find_or_launch(rootfd, state_root, container_id, spec, config, engine, &join, err);
	/* Whoever waits for the lock need not wait for the VMM. */
	cleanup_close_p(&lock);
	if (r >= 0 && join.created)
		r = await_vmm(state_root, &join, err);
	if (r < 0) {
		sandbox_join_finish(&join);
		return r;
	}
	*ret = join;
	return 0;
}

int sandbox_find_or_launch(const char *state_root, const char *container_id,
			   const struct oci_spec *spec, const struct config *config,
			   struct sandbox_join *ret, struct err *err)
{
	return sandbox_find_or_launch_for(NULL, state_root, container_id, spec, config, ret, err);
}
