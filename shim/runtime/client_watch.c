/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * How long a call may take nobody knows: a guest may be slow, a hook may take any time. Whether the monitor
 * lives is easily found out, because it answers Connect by itself whatever its guest does. So a call that
 * has not been answered for a while is accompanied by that question, and given up when the question is not
 * answered. One question is under way at most; each answer begins a new while.
 */
#include <fcntl.h>
#include <string.h>

#include "common/proto/task.pb-c.h"
#include "shim/runtime/client.h"
#include "shim/runtime/client_internal.h"
#include "shim/state.h"

/* Take the last component off @path. Returns it, NULL when there is none. */
static const char *cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash)
		return NULL;
	*slash = '\0';
	return slash + 1;
}

/* A container that delete --force finds, so that it ends the monitor: @id, or another of the sandbox. */
static char *find_container(int rootfd, const char *sandbox, const char *id)
{
	_cleanup_(state_free_names_p) char **names = NULL;
	char *found = NULL;

	if (state_list(rootfd, "containers", &names) < 0)
		return NULL;
	for (size_t i = 0; names[i]; i++) {
		_cleanup_(container_record_free_p) struct container_record *record = NULL;
		bool wanted = strcmp(names[i], id) == 0;

		if ((found && !wanted) || container_record_load(rootfd, names[i], &record, NULL) < 0 ||
		    strcmp(record->sandbox, sandbox) != 0)
			continue;
		free(found);
		found = strdup(names[i]);
	}
	return found;
}

int client_describe_stuck(const char *socket, const char *id, uint64_t waited_ms, struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	_cleanup_free_ char *root = strdup(socket), *container = NULL;
	_cleanup_close_ int rootfd = -EBADF;
	const char *sandbox = NULL;
	char process[32] = "";

	/* <root>/sandboxes/<sandbox>/task.sock */
	if (root && cut_last(root) && (sandbox = cut_last(root)) && cut_last(root))
		rootfd = open(root[0] ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfd >= 0 && sandbox_record_load(rootfd, sandbox, &record, NULL) == 0) {
		snprintf(process, sizeof(process), " (process %d)", (int)record->monitor.pid);
		container = find_container(rootfd, sandbox, id);
	}
	err_set(err, -ETIMEDOUT, "the sandbox monitor of container '%s'%s has not answered for %llu s", id,
		process, (unsigned long long)(waited_ms / 1000));
	if (container && err) {
		size_t len = strlen(err->text);

		snprintf(err->text + len, sizeof(err->text) - len,
			 ": 'delete --force %s' ends it and all containers of its sandbox", container);
	}
	return -ETIMEDOUT;
}

static void on_answer(enum ttrpc_code code, const char *message, const void *response, void *userdata)
{
	struct client *c = userdata;
	struct err err = ERR_INIT;

	c->asked = false;
	if (!c->watched)
		return;
	if (code != TTRPC_DEADLINE_EXCEEDED) {
		loop_timer_set(c->silence, client_limits.silence_ms);
		return;
	}
	c->stuck = true;
	client_is_stuck(c, c->watched, &err);
	ttrpc_client_abandon(c->ttrpc, TTRPC_DEADLINE_EXCEEDED, err.text);
}

static void on_silence(void *userdata)
{
	Containerd__Task__V2__ConnectRequest req = CONTAINERD__TASK__V2__CONNECT_REQUEST__INIT;
	struct client *c = userdata;

	if (c->asked || !c->watched)
		return;
	req.id = (char *)(uintptr_t)c->watched;
	c->asked = ttrpc_client_call(c->ttrpc, CLIENT_TASK_SERVICE, "Connect", &req.base,
				     &containerd__task__v2__connect_response__descriptor,
				     client_limits.stuck_ms, on_answer, c) == 0;
	if (!c->asked)
		loop_timer_set(c->silence, client_limits.silence_ms);
}

void client_watch_begin(struct client *c, const char *id)
{
	c->watched = id;
	if (c->silence)
		loop_timer_set(c->silence, client_limits.silence_ms);
	else if (loop_add_timer(c->loop, client_limits.silence_ms, on_silence, c, &c->silence) < 0)
		c->silence = NULL; /* then just nobody watches */
}

void client_watch_end(struct client *c)
{
	c->watched = NULL;
	if (c->silence)
		loop_timer_disarm(c->silence);
}

int client_is_stuck(const struct client *c, const char *id, struct err *err)
{
	return c->stuck ? client_describe_stuck(c->socket, id, client_limits.stuck_ms, err) : 0;
}

int client_call_wait(struct client *c, const char *id, const struct client_method *m,
		     const ProtobufCMessage *request, uint64_t timeout_ms, void *ret_response, struct err *err)
{
	int r = client_is_stuck(c, id, err);

	if (r < 0)
		return r;
	client_watch_begin(c, id);
	r = ttrpc_client_call_wait(c->ttrpc, c->loop, m->service, m->name, request, m->response, timeout_ms,
				   ret_response, err);
	client_watch_end(c);
	return r;
}
