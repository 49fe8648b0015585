/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task.h"

#include <stdarg.h>
#include <string.h>

#include "common/oci.h"
#include "common/path.h"
#include "common/proto/agent.pb-c.h"
#include "shim/containerd/events.h"
#include "shim/sandbox_cgroup.h"
#include "shim/task_create.h"
#include "shim/task_disk.h"
#include "shim/task_hooks.h"
#include "shim/task_rootfs.h"
#include "shim/task_oom.h"
#include "shim/task_resume.h"

/* ---- finding, holding ---- */

struct task *task_find(struct sandbox *s, const char *id)
{
	for (struct task *c = s->containers; c; c = c->next) {
		if (!strcmp(c->record->id, id))
			return c;
	}
	return NULL;
}

struct proc *task_proc(struct task *c, const char *exec_id)
{
	if (!exec_id || !exec_id[0])
		return c->init;
	for (struct proc *p = c->execs; p; p = p->next) {
		if (!strcmp(p->exec_id, exec_id))
			return p;
	}
	return NULL;
}

struct task *task_ref(struct task *c)
{
	c->refs++;
	return c;
}

void task_unref(struct task *c)
{
	if (!c || --c->refs > 0)
		return;
	loop_source_destroy(c->exec_timer);
	task_oom_ended(c);
	task_resumed(c);
	task_creation_free(c->creation);
	task_cgroup_free(c->cgroup);
	container_record_free(c->record);
	cleanup_close_p(&c->folder_fd);
	cleanup_close_p(&c->resolv_fd);
	task_disks_free(c->disks);
	free(c);
}

int task_save(struct task *c, struct err *err)
{
	/* Who removes its folder is not to find it full again. */
	if (c->abandoned)
		return 0;
	return container_record_save(c->sandbox->rootfd, c->record, err);
}

static void save_or_log(struct task *c)
{
	struct err err = ERR_INIT;

	if (!c->removed && task_save(c, &err) < 0)
		sandbox_log(c->sandbox, LOG_LEVEL_ERROR, "%s", err.text);
}

/* ---- removing ---- */

static void forget_exec(struct proc *p)
{
	struct task *c = p->container;

	for (struct proc **link = &c->execs; *link; link = &(*link)->next) {
		if (*link != p)
			continue;
		*link = TAKE_PTR(p->next);
		c->n_execs--;
		p->removed = true;
		proc_unref(p);
		return;
	}
}

void task_drop(struct task *c)
{
	struct sandbox *s = c->sandbox;

	if (c->removed)
		return;
	/* A helper of its holds a reference too. */
	task_cgroup_cancel(c);
	c->removed = true;
	for (struct task **link = &s->containers; *link; link = &(*link)->next) {
		if (*link == c) {
			*link = c->next;
			s->n_containers--;
			break;
		}
	}
	task_hooks_end(c->hooks);
	while (c->execs)
		forget_exec(c->execs);
	if (c->init)
		c->init->removed = true;
	cleanup_close_p(&c->folder_fd);
	cleanup_close_p(&c->resolv_fd);
	if (s->share)
		hostshare_remove_container(s->share, c->record->id);
	task_rootfs_unmount(c);
	task_disks_abandon(c);
	/* Breaks the circle of container and process, unless a call in flight holds either. */
	proc_unref(TAKE_PTR(c->init));
	sandbox_settle(s);
	task_unref(c);
}

void task_remove(struct task *c)
{
	_cleanup_free_ char *path = NULL;

	if (!c->removed && asprintf(&path, "containers/%s/state.json", c->record->id) >= 0)
		unlinkat(c->sandbox->rootfd, path, 0);
	task_drop(c);
}

/* ---- what its processes tell ---- */

bool task_is_alive(const struct task *c)
{
	return !c->creation && !c->deleting && !c->removed && c->init && !c->init->ended &&
	       c->init->state != PROC_STOPPED;
}

bool task_needs_vm(const struct task *c)
{
	if (c->creation || (c->init && c->init->state != PROC_STOPPED))
		return true;
	for (const struct proc *p = c->execs; p; p = p->next) {
		if (p->state == PROC_RUNNING || p->state == PROC_STARTING)
			return true;
	}
	return false;
}

void task_proc_running(struct proc *p)
{
	struct task *c = p->container;

	if (!proc_is_init(p) || c->record->status != CONTAINER_CREATED)
		return;
	c->record->status = CONTAINER_RUNNING;
	save_or_log(c);
	sandbox_cgroup_refresh(c->sandbox);
}

static void end_all_execs(struct task *c)
{
	struct proc *p = c->execs, *next;

	if (p)
		proc_ref(p);
	while (p) {
		proc_end_now(p, PROC_STATUS_KILLED);
		next = p->next;
		if (next)
			proc_ref(next);
		proc_unref(p);
		p = next;
	}
}

void task_sweep(struct task *c)
{
	for (struct proc *p = c->execs, *next; p; p = next) {
		next = p->next;
		if (p->orphan && p->state == PROC_STOPPED)
			task_delete_exec(p, NULL, NULL);
	}
}

static void execs_too_slow(void *userdata)
{
	struct task *c = userdata;

	sandbox_log(c->sandbox, LOG_LEVEL_WARNING,
		    "container '%s' has stopped, output of its execs is dropped", c->record->id);
	end_all_execs(c);
}

void task_proc_stopped(struct proc *p)
{
	struct task *c = p->container;

	event_stopped(p);
	sandbox_settle(c->sandbox);
	if (!proc_is_init(p))
		return;
	c->record->status = CONTAINER_STOPPED;
	c->record->exit_status = p->exit_status;
	save_or_log(c);
	sandbox_cgroup_refresh(c->sandbox);
	task_oom_ended(c);
	task_resumed(c);
	if (!c->execs || c->exec_timer || c->removed)
		return;
	if (loop_add_timer(c->sandbox->loop, TASK_EXEC_DRAIN_MS, execs_too_slow, c,
			   &c->exec_timer) < 0)
		end_all_execs(c);
}

/* ---- operations ---- */

/* What a call in flight holds. */
struct task_call {
	struct task *c;
	struct proc *p; /* of an exec; NULL: the container itself */
	enum container_status status;
	proc_done_fn done;
	void *userdata;
};

static struct task_call *call_create(struct task *c, struct proc *p, proc_done_fn done,
				     void *userdata)
{
	struct task_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->c = task_ref(c);
	call->p = p ? proc_ref(p) : NULL;
	call->done = done;
	call->userdata = userdata;
	return call;
}

static void call_end(struct task_call *call, enum ttrpc_code code, const char *message)
{
	char text[AGENT_TEXT_MAX];

	agent_text(text, sizeof(text), message);
	if (call->done)
		call->done(code, text, call->userdata);
	proc_unref(call->p);
	task_unref(call->c);
	free(call);
}

static void refuse(proc_done_fn done, void *userdata, enum ttrpc_code code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void refuse(proc_done_fn done, void *userdata, enum ttrpc_code code, const char *fmt, ...)
{
	char text[AGENT_TEXT_MAX];
	va_list ap;

	if (!done)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	done(code, text, userdata);
}

static void exec_added(enum ttrpc_code code, const char *message, const void *response,
		       void *userdata)
{
	struct task_call *call = userdata;

	if (code == TTRPC_OK && !call->p->removed && call->p->state == PROC_CREATING)
		proc_set_created(call->p);
	else if (code != TTRPC_OK)
		forget_exec(call->p);
	call_end(call, code, message);
}

/* Whether an exec may be added now; otherwise refuses. */
static bool may_exec(struct task *c, const char *exec_id, proc_done_fn done, void *userdata)
{
	if (!path_id_valid(exec_id))
		refuse(done, userdata, TTRPC_INVALID_ARGUMENT, "'%.64s' is no valid exec id",
		       exec_id);
	else if (task_proc(c, exec_id))
		refuse(done, userdata, TTRPC_ALREADY_EXISTS, "process '%s' exists already",
		       exec_id);
	else if (!c->init || c->creation || c->deleting || c->init->ended ||
		 c->init->state == PROC_STOPPED)
		refuse(done, userdata, TTRPC_FAILED_PRECONDITION,
		       "cannot exec in container '%s': container not running", c->record->id);
	else if (c->record->status == CONTAINER_PAUSED)
		refuse(done, userdata, TTRPC_FAILED_PRECONDITION,
		       "cannot exec in container '%s': it is paused", c->record->id);
	else if (c->n_execs >= TASK_EXECS_MAX)
		refuse(done, userdata, TTRPC_RESOURCE_EXHAUSTED,
		       "container '%s' has %u execs, no more are possible", c->record->id,
		       TASK_EXECS_MAX);
	else
		return true;
	return false;
}

void task_exec(struct task *c, const struct proc_config *config, const void *spec, size_t len,
	       proc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__AddProcessRequest request = ONGGI__AGENT__V1__ADD_PROCESS_REQUEST__INIT;
	_cleanup_(oci_process_free_p) struct oci_process *process = NULL;
	_cleanup_(proc_unref_p) struct proc *p = NULL;
	struct err err = ERR_INIT;
	struct task_call *call;
	int r;

	if (!may_exec(c, config->exec_id, done, userdata))
		return;
	r = oci_process_parse(spec, len, &process, &err);
	if (r < 0) {
		refuse(done, userdata, TTRPC_INVALID_ARGUMENT, "process to be executed: %s",
		       err.text);
		return;
	}
	r = proc_create(c, config, &p, &err);
	if (r < 0) {
		refuse(done, userdata, ttrpc_code_from_errno(r), "%s", err.text);
		return;
	}
	call = call_create(c, p, done, userdata);
	if (!call) {
		refuse(done, userdata, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	request.container_id = c->record->id;
	request.exec_id = p->exec_id;
	request.process = (ProtobufCBinaryData){ .data = (uint8_t *)(uintptr_t)spec, .len = len };
	p->next = c->execs;
	c->execs = TAKE_PTR(p);
	c->n_execs++;
	agent_call(c->sandbox, "AddProcess", &request.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_QUERY_TIMEOUT_MS, exec_added, call);
}

static void paused_or_resumed(enum ttrpc_code code, const char *message, const void *response,
			      void *userdata)
{
	struct task_call *call = userdata;
	struct task *c = call->c;

	if (code == TTRPC_OK && c->record->status != CONTAINER_STOPPED) {
		c->record->status = call->status;
		save_or_log(c);
	}
	if (c->record->status != CONTAINER_PAUSED)
		task_resumed(c);
	call_end(call, code, message);
}

void task_pause(struct task *c, bool pause, proc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__ContainerRef ref = ONGGI__AGENT__V1__CONTAINER_REF__INIT;
	enum container_status from = pause ? CONTAINER_RUNNING : CONTAINER_PAUSED;
	struct task_call *call;

	if (c->record->status != from || (c->init && c->init->ended)) {
		refuse(done, userdata, TTRPC_FAILED_PRECONDITION,
		       "cannot %s container '%s': it is %s", pause ? "pause" : "resume",
		       c->record->id, container_status_name(c->record->status));
		return;
	}
	call = call_create(c, NULL, done, userdata);
	if (!call) {
		refuse(done, userdata, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	call->status = pause ? CONTAINER_PAUSED : CONTAINER_RUNNING;
	ref.container_id = c->record->id;
	agent_call(c->sandbox, pause ? "PauseContainer" : "ResumeContainer", &ref.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, paused_or_resumed,
		   call);
}

/* ---- deleting ---- */

static void exec_removed(enum ttrpc_code code, const char *message, const void *response,
			 void *userdata)
{
	/* The agent's opinion changes nothing: nobody will ask for it again. */
	call_end(userdata, TTRPC_OK, "");
}

void task_delete_exec(struct proc *p, proc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__ProcessRef ref = ONGGI__AGENT__V1__PROCESS_REF__INIT;
	char name[PROC_NAME_MAX];
	struct task_call *call;

	if (p->removed) {
		refuse(done, userdata, TTRPC_NOT_FOUND, "%s does not exist",
		       proc_name(p, name, sizeof(name)));
		return;
	}
	if (p->state != PROC_STOPPED && p->state != PROC_CREATED) {
		refuse(done, userdata, TTRPC_FAILED_PRECONDITION, "cannot delete %s: it is running",
		       proc_name(p, name, sizeof(name)));
		return;
	}
	call = call_create(p->container, p, done, userdata);
	if (!call) {
		refuse(done, userdata, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	/* Who still waits for one that was never started learns that it will not be. */
	proc_end_now(p, PROC_STATUS_KILLED);
	forget_exec(p);
	ref.container_id = p->container->record->id;
	ref.exec_id = p->exec_id;
	agent_call(p->container->sandbox, "RemoveProcess", &ref.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, exec_removed,
		   call);
}

static void finish_delete(struct task_call *call)
{
	struct task *c = call->c;
	struct sandbox *s = c->sandbox;

	if (c->init)
		proc_end_now(c->init, PROC_STATUS_KILLED);
	end_all_execs(c);
	task_cgroup_vacate(c);
	task_remove(c);
	/*
	 * Before the answer: who hears that the last container is gone may look for what is left.
	 */
	sandbox_finish_if_empty(s);
	call_end(call, TTRPC_OK, "");
}

static void disks_out(enum ttrpc_code code, const char *message, void *userdata)
{
	finish_delete(userdata);
}

static void guest_removed(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
	struct task_call *call = userdata;
	char text[AGENT_TEXT_MAX];

	if (code != TTRPC_OK && code != TTRPC_NOT_FOUND && !agent_code_is_loss(code)) {
		/* Processes may be left in the guest that nobody would know of. */
		agent_text(text, sizeof(text), message);
		sandbox_give_up(call->c->sandbox, "the agent cannot remove container '%s': %s",
				call->c->record->id, text);
	}
	/* The last one's go with the VM. */
	if (call->c->sandbox->n_containers == 1)
		finish_delete(call);
	else
		task_disks_unplug(call->c, disks_out, call);
}

void task_delete(struct task *c, proc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__ContainerRef ref = ONGGI__AGENT__V1__CONTAINER_REF__INIT;
	enum container_status status = c->record->status;
	struct sandbox *s = c->sandbox;
	struct task_call *call;

	if (c->creation || c->deleting ||
	    (status != CONTAINER_STOPPED && status != CONTAINER_CREATED)) {
		refuse(done, userdata, TTRPC_FAILED_PRECONDITION,
		       "cannot delete container '%s' that is not stopped: %s", c->record->id,
		       c->deleting ? "it is being deleted" : container_status_name(status));
		return;
	}
	call = call_create(c, NULL, done, userdata);
	if (!call) {
		refuse(done, userdata, TTRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	c->deleting = true;
	/* The last one takes the VM along: no need to tidy up in there, but for a disk to be left clean. */
	if (s->phase != SANDBOX_READY || !c->in_guest || (s->n_containers == 1 && !c->disks)) {
		finish_delete(call);
		return;
	}
	ref.container_id = c->record->id;
	agent_call(s, "RemoveContainer", &ref.base, &onggi__agent__v1__empty__descriptor,
		   AGENT_REMOVE_TIMEOUT_MS, guest_removed, call);
}
