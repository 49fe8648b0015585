/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a monitor that was killed leaves: VMM and file server die with it (PDEATHSIG), and its
 * mounts with them; their records, FIFOs and sockets are on disk. The processes are looked for all
 * the same.
 */
#include <fcntl.h>
#include <string.h>

#include "common/path.h"
#include "shim/monitor.h"
#include "shim/sandbox_launch.h"
#include "shim/sandbox_network.h"

#define KILL_TIMEOUT_MS 5000
#define STATUS_KILLED 137

static void kill_if_other(const struct process_id *p)
{
	/* A proxy that cleans up goes on to tell its engine. */
	if (p->pid > 0 && p->pid != getpid())
		process_id_kill(p, KILL_TIMEOUT_MS);
}

static int clean_container(int rootfd, const char *id, const char *sandbox_id, struct err *err)
{
	_cleanup_(container_record_free_p) struct container_record *record = NULL;
	_cleanup_free_ char *io = NULL;
	int r;

	r = container_record_load(rootfd, id, &record, err);
	if (r < 0 || !record->sandbox || strcmp(record->sandbox, sandbox_id) != 0)
		return r == -ENOENT ? 0 : r;
	/*
	 * It may be writing out the last of the output: that is for it to end, unless its container
	 * never did.
	 */
	if (record->status != CONTAINER_STOPPED) {
		record->status = CONTAINER_STOPPED;
		record->exit_status = STATUS_KILLED;
		record->lost_reason = strdup("the sandbox monitor has ended");
		r = container_record_save(rootfd, record, err);
		kill_if_other(&record->proxy);
	}
	if (asprintf(&io, "containers/%s/io", id) < 0)
		return io = NULL, -ENOMEM;
	path_remove_tree(rootfd, io);
	return r;
}

static int clean_containers(int rootfd, const char *sandbox_id, struct err *err)
{
	_cleanup_(state_free_names_p) char **names = NULL;
	int r, result = 0;

	r = state_list(rootfd, "containers", &names);
	if (r < 0)
		return err_set_errno(err, r, "list of containers");
	for (char **name = names; *name; name++) {
		r = clean_container(rootfd, *name, sandbox_id, err);
		if (r < 0)
			result = r;
	}
	return result;
}

int sandbox_clean_up_locked(int rootfd, const char *sandbox_id, struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	_cleanup_free_ char *path = NULL;
	struct err ignored = ERR_INIT;
	int r, result = 0;

	if (!path_id_valid(sandbox_id))
		return err_set(err, -EINVAL, "'%s' is no valid sandbox id", sandbox_id);
	/*
	 * One without a readable record never got so far as to run anything, or is beyond telling.
	 */
	if (sandbox_record_load(rootfd, sandbox_id, &record, &ignored) >= 0) {
		if (process_id_alive(&record->monitor))
			return err_set(err, -EBUSY, "the monitor of sandbox '%s' lives",
				       sandbox_id);
		/* Its mounts and its place in a cgroup go last. */
		process_id_wait(&record->monitor, KILL_TIMEOUT_MS);
		kill_if_other(&record->vmm);
		kill_if_other(&record->file_server);
		result = sandbox_network_clean(record, err);
	}
	r = clean_containers(rootfd, sandbox_id, err);
	result = r < 0 ? r : result;
	if (asprintf(&path, "sandboxes/%s", sandbox_id) < 0)
		return path = NULL, -ENOMEM;
	r = path_remove_tree(rootfd, path);
	return r < 0 ? err_set_errno(err, r, "folder '%s'", path) : result;
}

void sandbox_sweep(const char *state_root)
{
	_cleanup_(state_free_names_p) char **names = NULL;
	_cleanup_close_ int rootfd = -EBADF, lock = -EBADF;
	struct err ignored = ERR_INIT;

	/* With the lock nobody is launching: a folder without a record is nobody's. */
	if (state_open_root(state_root, &rootfd, &ignored) < 0 ||
	    state_lock(rootfd, &lock, &ignored) < 0 || state_list(rootfd, "sandboxes", &names) < 0)
		return;
	for (char **name = names; *name; name++)
		sandbox_clean_up_locked(rootfd, *name, &ignored);
}

int sandbox_clean_up(const char *state_root, const char *sandbox_id, struct err *err)
{
	_cleanup_close_ int rootfd = -EBADF, lock = -EBADF;
	int r;

	r = state_open_root(state_root, &rootfd, err);
	if (r >= 0)
		r = state_lock(rootfd, &lock, err);
	if (r >= 0)
		r = sandbox_clean_up_locked(rootfd, sandbox_id, err);
	return r == -EBUSY ? 0 : r;
}
