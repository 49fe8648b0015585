/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containerd/events.h"

#include "common/proto/events.pb-c.h"
#include "shim/containerd/publish.h"

static struct publisher *publisher_of(const struct task *c)
{
	return c->sandbox->options.publisher;
}

static void send(const struct task *c, const char *topic, const char *type, const ProtobufCMessage *event)
{
	publisher_send(publisher_of(c), topic, type, event);
}

static Containerd__Task__V2__Timestamp exited_at(const struct proc *p)
{
	Containerd__Task__V2__Timestamp t = CONTAINERD__TASK__V2__TIMESTAMP__INIT;

	t.seconds = p->exited_at.tv_sec;
	t.nanos = (int32_t)p->exited_at.tv_nsec;
	return t;
}

void event_created(struct task *c, const Containerd__Task__V2__CreateTaskRequest *request)
{
	Containerd__Events__TaskCreate event = CONTAINERD__EVENTS__TASK_CREATE__INIT;
	Containerd__Events__TaskIO io = CONTAINERD__EVENTS__TASK_IO__INIT;

	if (!publisher_of(c))
		return;
	io.stdin = request->stdin;
	io.stdout = request->stdout;
	io.stderr = request->stderr;
	io.terminal = request->terminal;
	event.container_id = request->id;
	event.bundle = request->bundle;
	event.rootfs = request->rootfs;
	event.n_rootfs = request->n_rootfs;
	event.io = &io;
	event.pid = (uint32_t)proc_host_pid(c->init);
	c->create_told = true;
	send(c, "/tasks/create", "TaskCreate", &event.base);
}

static void init_started(const struct proc *p)
{
	Containerd__Events__TaskStart event = CONTAINERD__EVENTS__TASK_START__INIT;

	event.container_id = p->container->record->id;
	event.pid = (uint32_t)proc_host_pid(p);
	send(p->container, "/tasks/start", "TaskStart", &event.base);
}

void event_started(const struct proc *p)
{
	Containerd__Events__TaskExecStarted event = CONTAINERD__EVENTS__TASK_EXEC_STARTED__INIT;

	if (!publisher_of(p->container))
		return;
	if (proc_is_init(p)) {
		init_started(p);
		return;
	}
	event.container_id = p->container->record->id;
	event.exec_id = p->exec_id;
	event.pid = (uint32_t)proc_host_pid(p);
	send(p->container, "/tasks/exec-started", "TaskExecStarted", &event.base);
}

void event_exec_added(const struct proc *p)
{
	Containerd__Events__TaskExecAdded event = CONTAINERD__EVENTS__TASK_EXEC_ADDED__INIT;

	if (!publisher_of(p->container))
		return;
	event.container_id = p->container->record->id;
	event.exec_id = p->exec_id;
	send(p->container, "/tasks/exec-added", "TaskExecAdded", &event.base);
}

static void tell_exit(struct proc *p)
{
	Containerd__Events__TaskExit event = CONTAINERD__EVENTS__TASK_EXIT__INIT;
	Containerd__Task__V2__Timestamp time = exited_at(p);
	struct task *c = p->container;

	p->exit_told = true;
	event.container_id = c->record->id;
	event.id = proc_is_init(p) ? c->record->id : p->exec_id;
	event.pid = (uint32_t)proc_host_pid(p);
	event.exit_status = p->exit_status;
	event.exited_at = &time;
	send(c, "/tasks/exit", "TaskExit", &event.base);
}

static bool execs_run(const struct task *c)
{
	for (const struct proc *p = c->execs; p; p = p->next) {
		if (p->state == PROC_RUNNING || p->state == PROC_STARTING)
			return true;
	}
	return false;
}

void event_stopped(struct proc *p)
{
	struct task *c = p->container;
	struct proc *init = c->init;

	/* An exec that never ran has no exit; what was never created, as when a hook failed, is nobody's concern. */
	if (!publisher_of(c) || !c->create_told)
		return;
	if (!proc_is_init(p) && p->ran)
		tell_exit(p);
	if (init && init->state == PROC_STOPPED && !init->exit_told && !execs_run(c))
		tell_exit(init);
}

void event_deleted(const struct proc *p)
{
	Containerd__Events__TaskDelete event = CONTAINERD__EVENTS__TASK_DELETE__INIT;
	Containerd__Task__V2__Timestamp time = exited_at(p);

	if (!publisher_of(p->container) || !proc_is_init(p))
		return;
	event.container_id = p->container->record->id;
	event.pid = (uint32_t)proc_host_pid(p);
	event.exit_status = p->exit_status;
	event.exited_at = &time;
	send(p->container, "/tasks/delete", "TaskDelete", &event.base);
}

void event_paused(const struct task *c, bool paused)
{
	Containerd__Events__TaskPaused event = CONTAINERD__EVENTS__TASK_PAUSED__INIT;
	Containerd__Events__TaskResumed resumed = CONTAINERD__EVENTS__TASK_RESUMED__INIT;

	if (!publisher_of(c))
		return;
	event.container_id = resumed.container_id = c->record->id;
	if (paused)
		send(c, "/tasks/paused", "TaskPaused", &event.base);
	else
		send(c, "/tasks/resumed", "TaskResumed", &resumed.base);
}

void event_oom(const struct task *c)
{
	Containerd__Events__TaskOOM event = CONTAINERD__EVENTS__TASK_OOM__INIT;

	if (!publisher_of(c))
		return;
	event.container_id = c->record->id;
	send(c, "/tasks/oom", "TaskOOM", &event.base);
}
