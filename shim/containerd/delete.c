/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * containerd calls this when it has lost the monitor, and once more after each container that ended well. A monitor that
 * still lives and serves nothing else is killed: VMM, file server and mounts go with it. If it serves other containers
 * this one is deleted by its calls. What is on disk is removed at last.
 */
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "common/log.h"
#include "common/proto/task.pb-c.h"
#include "shim/containerd/actions.h"
#include "shim/monitor.h"
#include "shim/runtime/container.h"

#define EXIT_STATUS_KILLED 137
/* containerd gives the whole call 5 seconds. */
#define KILL_TIMEOUT_MS 3000

/* Whether any container but @id is of @sandbox. */
static bool serves_others(int rootfd, const char *sandbox, const char *id)
{
	_cleanup_(state_free_names_p) char **names = NULL;

	if (state_list(rootfd, "containers", &names) < 0)
		return true;
	for (char **name = names; *name; name++) {
		_cleanup_(container_record_free_p) struct container_record *record = NULL;

		if (strcmp(*name, id) != 0 && container_record_load(rootfd, *name, &record, NULL) == 0 &&
		    record->sandbox && !strcmp(record->sandbox, sandbox))
			return true;
	}
	return false;
}

/* The name of the sandbox in ".../sandboxes/<name>/task.sock", which start wrote to the bundle. */
static char *sandbox_of_bundle(const char *bundle)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char *begin, *end;

	if (asprintf(&path, "%s/address", bundle ? bundle : ".") < 0)
		return path = NULL;
	if (io_read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return NULL;
	begin = strstr(text, "/sandboxes/");
	if (!begin)
		return NULL;
	begin += strlen("/sandboxes/");
	end = strchr(begin, '/');
	return end ? strndup(begin, (size_t)(end - begin)) : NULL;
}

static int end_sandbox(const char *root, int rootfd, const char *sandbox, const char *id, pid_t *ret_pid,
		       struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;

	if (sandbox_record_load(rootfd, sandbox, &record, NULL) < 0)
		return 0;
	*ret_pid = record->monitor.pid;
	if (serves_others(rootfd, sandbox, id))
		return 0;
	if (process_id_kill(&record->monitor, KILL_TIMEOUT_MS) < 0)
		return err_set(err, -ETIMEDOUT, "monitor %d of sandbox '%s' does not end", record->monitor.pid,
			       sandbox);
	return sandbox_clean_up(root, sandbox, err);
}

static int remove_container(const struct runtime *rt, int rootfd, const struct shim_flags *flags,
			    uint32_t *ret_status, pid_t *ret_pid, struct err *err)
{
	_cleanup_(container_close_p) struct container *c = NULL;
	_cleanup_(container_record_free_p) struct container_record *record = NULL;
	_cleanup_free_ char *sandbox = NULL;
	int r;

	if (container_record_load(rootfd, flags->id, &record, NULL) == 0) {
		if (record->status == CONTAINER_STOPPED)
			*ret_status = record->exit_status;
		sandbox = record->sandbox ? strdup(record->sandbox) : NULL;
	} else {
		sandbox = sandbox_of_bundle(flags->bundle);
	}
	r = sandbox ? end_sandbox(rt->state_root, rootfd, sandbox, flags->id, ret_pid, err) : 0;
	if (r < 0)
		return r;
	/* Nothing there: never created, or deleted already. */
	if (container_open(rt, flags->id, &c, NULL) < 0) {
		container_unreserve(rootfd, flags->id);
		return 0;
	}
	return container_delete(c, err);
}

static int answer(uint32_t status, pid_t pid, struct err *err)
{
	Containerd__Task__V2__DeleteResponse response = CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	Containerd__Task__V2__Timestamp time = CONTAINERD__TASK__V2__TIMESTAMP__INIT;
	uint8_t bytes[128];
	struct timespec now;
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	time.seconds = now.tv_sec;
	time.nanos = (int32_t)now.tv_nsec;
	response.pid = (uint32_t)pid;
	response.exit_status = status;
	response.exited_at = &time;
	if (containerd__task__v2__delete_response__get_packed_size(&response) > sizeof(bytes))
		return err_set(err, -EFBIG, "answer");
	r = io_write_all(STDOUT_FILENO, bytes, containerd__task__v2__delete_response__pack(&response, bytes));
	return r < 0 ? err_set_errno(err, r, "stdout") : 0;
}

int shim_delete(const struct shim_flags *flags, struct err *err)
{
	_cleanup_free_ char *root = shim_state_root(flags);
	const struct runtime rt = { .state_root = root };
	_cleanup_close_ int rootfd = -EBADF;
	uint32_t status = EXIT_STATUS_KILLED;
	pid_t pid = 0;
	int r;

	if (!root)
		return err_set_errno(err, -ENOMEM, "state folder");
	r = container_check_id(flags->id, err);
	if (r == 0)
		r = state_open_root(root, &rootfd, err);
	if (r == 0)
		r = remove_container(&rt, rootfd, flags, &status, &pid, err);
	return r < 0 ? r : answer(status, pid, err);
}
