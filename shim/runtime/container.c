/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/container.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/path.h"
#include "shim/hostcgroup.h"
#include "shim/monitor.h"
#include "shim/hooks.h"

#define KILL_ATTEMPTS 2

int container_check_id(const char *id, struct err *err)
{
	return path_id_valid(id) ? 0
				 : err_set(err, -EINVAL, "invalid container ID format: '%s'", id);
}

int container_io_dir(const char *state_root, const char *id, char **ret)
{
	return asprintf(ret, "%s/containers/%s/io", state_root, id) < 0 ? -ENOMEM : 0;
}

int container_socket(const char *state_root, const char *sandbox, char **ret)
{
	return asprintf(ret, "%s/sandboxes/%s/task.sock", state_root, sandbox) < 0 ? -ENOMEM : 0;
}

static bool monitor_alive(int rootfd, const char *sandbox)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;

	return sandbox_record_load(rootfd, sandbox, &record, NULL) == 0 &&
	       process_id_alive(&record->monitor);
}

static int load(struct container *c, const char *id, struct err *err)
{
	struct container_record *record = NULL;
	int r = container_record_load(c->rootfd, id, &record, err);

	if (r < 0)
		return r;
	container_record_free(c->record);
	c->record = record;
	c->status = record->status;
	return 0;
}

int container_refresh(struct container *c, struct err *err)
{
	_cleanup_free_ char *id = strdup(c->record->id);
	int r;

	if (!id)
		return err_set_errno(err, -ENOMEM, "container");
	r = load(c, id, err);
	if (r < 0)
		return r;
	c->monitor_alive = monitor_alive(c->rootfd, c->record->sandbox);
	if (!c->monitor_alive) {
		/*
		 * What the cleaner cannot do is no reason to refuse an answer about a dead
		 * container.
		 */
		sandbox_clean_up(c->state_root, c->record->sandbox, NULL);
		load(c, id, NULL);
		c->status = CONTAINER_STOPPED;
	} else if (c->record->proxy.pid && !process_id_alive(&c->record->proxy)) {
		c->status = CONTAINER_STOPPED;
	}
	return 0;
}

int container_open(const struct runtime *rt, const char *id, struct container **ret,
		   struct err *err)
{
	_cleanup_(container_close_p) struct container *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set_errno(err, -ENOMEM, "container");
	c->rootfd = -EBADF;
	c->state_root = rt->state_root;
	r = container_check_id(id, err);
	if (r < 0)
		return r;
	r = state_open_root(rt->state_root, &c->rootfd, err);
	if (r < 0)
		return r;
	r = load(c, id, err);
	if (r == 0)
		r = container_refresh(c, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

void container_close(struct container *c)
{
	if (!c)
		return;
	container_record_free(c->record);
	if (c->rootfd >= 0)
		close(c->rootfd);
	free(c);
}

int container_connect(const struct container *c, struct client **ret, struct err *err)
{
	_cleanup_free_ char *socket = NULL;
	int r;

	if (!c->monitor_alive)
		return err_set(err, -ESRCH, "container not running");
	if (container_socket(c->state_root, c->record->sandbox, &socket) < 0)
		return err_set_errno(err, -ENOMEM, "container");
	r = client_connect(socket, c->record->id, NULL, NULL, ret, err);
	/* A monitor that is about to end: its containers go with it. */
	if (r == -ECONNREFUSED || r == -ENOENT)
		return err_set(err, -ESRCH, "container not running");
	return r;
}

int container_refuse_stopped(const struct container *c, const char *what, struct err *err)
{
	const char *reason = c->record->lost_reason;

	return reason ? err_set(err, -ESRCH, "%s: its virtual machine was lost: %s", what, reason) :
			err_set(err, -ESRCH, "%s", what);
}

/* ---- removing ---- */

/* Whether any container on disk but @id belongs to @sandbox. */
static bool sandbox_has_others(int rootfd, const char *sandbox, const char *id)
{
	char **names = NULL;
	bool found = false;

	if (state_list(rootfd, "containers", &names) < 0)
		return true;
	for (size_t i = 0; names[i] && !found; i++) {
		_cleanup_(container_record_free_p) struct container_record *record = NULL;

		if (strcmp(names[i], id) != 0 &&
		    container_record_load(rootfd, names[i], &record, NULL) == 0)
			found = strcmp(record->sandbox, sandbox) == 0;
	}
	state_free_names(names);
	return found;
}

/*
 * One that is about to end by itself refuses the signal, so its end is waited for in any case. A
 * second signal gives up output that its reader does not take.
 */
static void kill_and_wait(struct client *client, struct client_process process)
{
	struct err ignored = ERR_INIT;

	for (int i = 0; i < KILL_ATTEMPTS; i++) {
		client_kill(client, process, SIGKILL, true, &ignored);
		if (client_wait(client, process, CONTAINER_STOP_TIMEOUT_MS, NULL, &ignored) !=
		    -ETIMEDOUT)
			return;
	}
}

/* The monitor's part: kill, wait, delete. */
static int remove_live(struct container *c, struct err *err)
{
	struct client_process process = { .id = c->record->id };
	_cleanup_(client_destroy_p) struct client *client = NULL;
	int r;

	r = container_connect(c, &client, err);
	if (r < 0)
		return r;
	if (c->record->status != CONTAINER_STOPPED && c->record->status != CONTAINER_CREATING)
		kill_and_wait(client, process);
	r = client_delete(client, process, err);
	return r == -ENOENT ? 0 : r;
}

void container_kill_stuck_monitor(struct container *c)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *sandbox = NULL;
	_cleanup_(client_destroy_p) struct client *client = NULL;
	struct err ignored = ERR_INIT;
	int r;

	if (!c->monitor_alive)
		return;
	r = container_connect(c, &client, &ignored);
	if (r == 0)
		r = client_ping(client, c->record->id, CLIENT_STUCK_MS, &ignored);
	if (r != -ETIMEDOUT || sandbox_record_load(c->rootfd, c->record->sandbox, &sandbox, NULL) < 0)
		return;
	log_warning("the monitor of sandbox '%s' has not answered for %d s: it is killed, and the sandbox's containers with it",
		    sandbox->id, CLIENT_STUCK_MS / 1000);
	process_id_kill(&sandbox->monitor, CONTAINER_STOP_TIMEOUT_MS);
	container_refresh(c, &ignored);
}

/*
 * The specification: their failure is for the log, the container is gone anyway. An engine may have
 * removed the bundle; that is worth a word only when it is known to have had such hooks.
 */
static void run_poststop(const struct container *c)
{
	struct err err = ERR_INIT;
	int r = hooks_run(c->record, OCI_HOOK_POSTSTOP, CONTAINER_STOPPED,
			  &(struct hooks_place)HOOKS_PLACE_HERE, &err);

	if (r < 0 && (r != -ENOENT || c->record->hook_kinds))
		log_warning("%s", err.text);
}

/* Whether a call failed with @r because the monitor has ended, or is about to. */
static bool monitor_ended(const struct process_id *monitor, int r)
{
	static const int losses[] = { -EPIPE, -ECONNRESET, -ESRCH };
	int timeout_ms = 0;

	for (size_t i = 0; i < ARRAY_SIZE(losses); i++) {
		if (r == losses[i])
			timeout_ms = CONTAINER_STOP_TIMEOUT_MS;
	}
	return process_id_wait(monitor, timeout_ms) == 0;
}

static void settle(const char *state_root, int rootfd, const struct sandbox_record *sandbox,
		   const char *id)
{
	if (!sandbox_has_others(rootfd, sandbox->id, id))
		process_id_wait(&sandbox->monitor, CONTAINER_STOP_TIMEOUT_MS);
	sandbox_clean_up(state_root, sandbox->id, NULL);
}

void container_settle_sandbox(const char *state_root, int rootfd, const char *sandbox,
			      const char *id)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;

	if (sandbox_record_load(rootfd, sandbox, &record, NULL) == 0)
		settle(state_root, rootfd, record, id);
}

void container_bury_sandbox(const char *state_root, int rootfd, const char *sandbox)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;

	if (sandbox_record_load(rootfd, sandbox, &record, NULL) == 0)
		process_id_wait(&record->monitor, CONTAINER_STOP_TIMEOUT_MS);
	sandbox_clean_up(state_root, sandbox, NULL);
}

int container_delete(struct container *c, struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *sandbox = NULL;
	const char *id = c->record->id;
	int r;

	/* Before the call: the monitor removes its record when it ends. */
	if (sandbox_record_load(c->rootfd, c->record->sandbox, &sandbox, NULL) < 0)
		sandbox = NULL;
	if (c->monitor_alive && c->record->status == CONTAINER_CREATING &&
	    c->record->proxy.pid != getpid())
		process_id_kill(&c->record->proxy, CONTAINER_STOP_TIMEOUT_MS);
	if (c->monitor_alive) {
		r = remove_live(c, err);
		/* A monitor that died meanwhile took everything along. */
		if (r < 0 && sandbox && !monitor_ended(&sandbox->monitor, r))
			return r;
	}
	/*
	 * A proxy whose reader is stuck would stay for ever. In the foreground it is this process.
	 */
	if (c->record->proxy.pid != getpid() &&
	    process_id_wait(&c->record->proxy, CONTAINER_STOP_TIMEOUT_MS) < 0)
		process_id_kill(&c->record->proxy, CONTAINER_STOP_TIMEOUT_MS);
	if (sandbox)
		settle(c->state_root, c->rootfd, sandbox, id);
	run_poststop(c);
	container_unreserve(c->rootfd, id);
	return 0;
}

static int run_create_container_hooks(struct container *c, struct err *err)
{
	_cleanup_(client_destroy_p) struct client *client = NULL;
	int r = container_connect(c, &client, err);

	return r < 0 ? r : client_run_hooks(client, c->record->id, err);
}

int container_create_hooks(const struct runtime *rt, const char *id, const struct oci_spec *spec,
			   int netns_fd, struct err *err)
{
	static const enum oci_hook_kind here[] = { OCI_HOOK_PRESTART, OCI_HOOK_CREATE_RUNTIME };
	const struct hooks_place place = { .netns_fd = netns_fd };
	_cleanup_(container_close_p) struct container *c = NULL;
	int r;

	if (!spec->n_hooks[OCI_HOOK_PRESTART] && !spec->n_hooks[OCI_HOOK_CREATE_RUNTIME] &&
	    !spec->n_hooks[OCI_HOOK_CREATE_CONTAINER])
		return 0;
	r = container_open(rt, id, &c, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(here); i++) {
		if (spec->n_hooks[here[i]])
			r = hooks_run(c->record, here[i], CONTAINER_CREATING, &place, err);
	}
	if (r == 0 && spec->n_hooks[OCI_HOOK_CREATE_CONTAINER])
		r = run_create_container_hooks(c, err);
	if (r == 0)
		r = container_refresh(c, err);
	if (r == 0 && c->status == CONTAINER_STOPPED)
		return container_refuse_stopped(c, "the container has ended while its hooks ran", err);
	return r;
}

void container_poststart_hooks(const struct runtime *rt, const char *id, int netns_fd)
{
	const struct hooks_place place = { .netns_fd = netns_fd };
	_cleanup_(container_close_p) struct container *c = NULL;
	struct err err = ERR_INIT;

	if (container_open(rt, id, &c, &err) < 0 ||
	    hooks_run(c->record, OCI_HOOK_POSTSTART, CONTAINER_RUNNING, &place, &err) < 0)
		log_warning("%s", err.text);
}

/* ---- reserving ids ---- */

static int open_folder(int rootfd, const char *path)
{
	int fd = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* Whether the folder @fd is what a killed create left: no record, and nobody at work. */
static bool abandoned(int fd)
{
	struct stat st;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 &&
	       fstatat(fd, "state.json", &st, AT_SYMLINK_NOFOLLOW) < 0;
}

int container_reserve(const char *state_root, int rootfd, const char *id, int *ret_fd,
		      struct err *err)
{
	_cleanup_close_ int lock = -EBADF, fd = -EBADF;
	char path[NAME_MAX + 16];
	bool made;
	int r;

	snprintf(path, sizeof(path), "containers/%s", id);
	/* Between mkdir and flock nobody may take the folder for abandoned. */
	r = state_lock(rootfd, &lock, err);
	if (r < 0)
		return r;
	made = mkdirat(rootfd, path, 0700) == 0;
	if (!made && errno != EEXIST)
		return err_set_errno(err, -errno, "make folder '%s/%s'", state_root, path);
	fd = open_folder(rootfd, path);
	if (fd < 0)
		return err_set_errno(err, fd, "open folder '%s/%s'", state_root, path);
	if (made ? flock(fd, LOCK_EX | LOCK_NB) < 0 : !abandoned(fd))
		return err_set(err, -EEXIST, "container with given ID already exists");
	if (!made) {
		path_remove_tree(fd, "io");
		hostcgroup_remove(rootfd, id, NULL);
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void container_unreserve(int rootfd, const char *id)
{
	char path[NAME_MAX + 16];
	struct err err = ERR_INIT;

	if (hostcgroup_remove(rootfd, id, &err) < 0)
		log_warning("%s", err.text);
	snprintf(path, sizeof(path), "containers/%s", id);
	path_remove_tree(rootfd, path);
}
