/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Everything that ends does so in container_settle(), which is called whenever something has
 * changed: a process was reaped, the cgroup says that it is empty or frozen, a time limit has
 * passed. It looks at where things stand and takes every step that is due: init finished, pause
 * done, container removed. A failed creation is a removal whose outcome is told to the creator.
 * container_settle() may free the container: it is always the last thing a callback does.
 */
#include "agent/container.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container_control.h"
#include "agent/container_internal.h"
#include "agent/disk.h"
#include "agent/sysctl.h"
#include "common/json.h"
#include "common/log.h"
#include "common/path.h"

static void container_settle(struct container *c);

/* ---- table ---- */

int container_table_create(struct loop *loop, struct reaper *reaper, struct container_table **ret)
{
	_cleanup_(container_table_destroy_p) struct container_table *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	t->loop = loop;
	t->reaper = reaper;
	rc = namespace_registry_create(&t->registry);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(t);
	return 0;
}

struct reaper *container_table_reaper(const struct container_table *t)
{
	return t->reaper;
}

static struct container **table_slot(struct container_table *t, const char *id)
{
	struct container **p = &t->containers;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static void exec_free(struct container_exec *e)
{
	process_destroy(e->process);
	oci_process_free(e->spec);
	free(e);
}
DEFINE_CLEANUP(struct container_exec *, exec_free);

static void container_free(struct container *c)
{
	if (!c)
		return;
	while (c->execs) {
		struct container_exec *e = c->execs;

		c->execs = e->next;
		exec_free(e);
	}
	container_freeze_cancel(c);
	container_oom_cancel(c);
	process_destroy(c->init);
	loop_source_destroy(c->events);
	loop_source_destroy(c->kill_timer);
	loop_source_destroy(c->freeze_timer);
	setup_destroy(c->setup);
	oci_spec_free(c->spec);
	json_free_strv(c->warnings);
	free(c->failure);
	free(c->id);
	free(c);
}
DEFINE_CLEANUP(struct container *, container_free);

static void table_unlink(struct container *c)
{
	struct container_table *t = c->table;
	struct container **slot = table_slot(t, c->id);

	if (*slot != c)
		return;
	*slot = c->next;
	t->n_containers--;
}

/* Tell whoever waits for the container's end, of either kind; the container is gone. */
static void container_gone(struct container *c, int code, const struct err *err)
{
	if (c->create_done)
		c->create_done(c, code, err, c->create_userdata);
	if (c->remove_done)
		c->remove_done(c, code, err, c->remove_userdata);
}

void container_table_destroy(struct container_table *t)
{
	struct err err = ERR_INIT;

	if (!t)
		return;
	err_set(&err, -ECANCELED, "the agent is ending");
	while (t->containers) {
		struct container *c = t->containers;

		table_unlink(c);
		(void)cgroup_kill(setup_cgroup(c->setup), NULL);
		container_gone(c, -ECANCELED, &err);
		container_free(c);
	}
	namespace_registry_destroy(t->registry);
	free(t);
}

static void table_check_empty(struct container_table *t)
{
	void (*done)(void *userdata) = t->empty_done;

	if (!done || t->containers)
		return;
	t->empty_done = NULL;
	done(t->empty_userdata);
}

/* ---- the end of things ---- */

static void container_kill(struct container *c)
{
	struct err err = ERR_INIT;

	if (cgroup_kill(setup_cgroup(c->setup), &err) < 0)
		log_error("kill container '%s': %s", c->id, err.text);
	/* Before it has mounted its root's disks init is outside of it. */
	if (setup_disks(c->setup)->n && c->create_done)
		(void)process_signal(c->init, SIGKILL, NULL);
	loop_timer_set(c->kill_timer, CONTAINER_KILL_TIMEOUT_MS);
}

static bool container_all_stopped(const struct container *c)
{
	if (process_pid(c->init) > 0 && process_state(c->init) != PROCESS_STOPPED)
		return false;
	for (const struct container_exec *e = c->execs; e; e = e->next) {
		if (process_pid(e->process) > 0 && process_state(e->process) != PROCESS_STOPPED)
			return false;
	}
	return true;
}

/* Everything is dead: remove what the kernel still holds, tell, free. */
static void container_finish_removal(struct container *c)
{
	struct container_table *t = c->table;
	struct err err = ERR_INIT;
	int rc;

	rc = cgroup_remove(setup_cgroup(c->setup), &err);
	disk_retire(setup_disks(c->setup));
	table_unlink(c);
	if (rc < 0)
		err_prefix(&err, "remove container '%s'", c->id);
	if (c->create_done && !c->failure)
		rc = err_set(&err, -ECANCELED, "container '%s' has been removed", c->id);
	if (c->failure)
		container_gone(c, c->failure->code, c->failure);
	else
		container_gone(c, rc, &err);
	container_free(c);
	/* A spec leaves holes everywhere: give their pages back. */
	malloc_trim(0);
	table_check_empty(t);
}

static void container_removal_overdue(struct container *c)
{
	container_done_fn done = c->remove_done;
	struct err err = ERR_INIT;

	err_set(&err, -ETIMEDOUT, "processes of container '%s' are alive %u s after they were killed", c->id,
		CONTAINER_KILL_TIMEOUT_MS / 1000);
	/* A creation keeps waiting: its id stays taken for as long as something of it lives. */
	if (!done)
		return;
	c->removing = false;
	c->remove_done = NULL;
	done(c, -ETIMEDOUT, &err, c->remove_userdata);
}

static void container_settle(struct container *c)
{
	struct cgroup_state state = { .populated = true };
	struct err err = ERR_INIT;
	bool overdue = c->overdue;

	c->overdue = false;
	if (cgroup_state(setup_cgroup(c->setup), &state, &err) < 0)
		log_error("look at the cgroup of container '%s': %s", c->id, err.text);
	container_freeze_settle(c, state.frozen);
	if (state.populated && overdue)
		log_error("container '%s': something survives being killed", c->id);

	if (process_state(c->init) == PROCESS_STOPPED && !process_finished(c->init) &&
	    (!state.populated || overdue)) {
		container_freeze_cancel(c);
		/* Before the end of init: who hears of both, hears of the reason first. */
		container_oom_settle(c, true);
		process_finish(c->init, container_oom_kills(c));
		if (!c->removing)
			loop_timer_disarm(c->kill_timer);
	}
	if (!c->removing)
		return;
	if (!state.populated && container_all_stopped(c))
		container_finish_removal(c);
	else if (overdue)
		container_removal_overdue(c);
}

static void container_on_kill_timeout(void *userdata)
{
	struct container *c = userdata;

	c->overdue = true;
	container_settle(c);
}

static void container_on_events(int fd, unsigned int events, void *userdata)
{
	struct container *c = userdata;

	(void)fd;
	(void)events;
	cgroup_events_drain(setup_cgroup(c->setup));
	container_oom_settle(c, false);
	container_settle(c);
}

static void container_on_exit(struct process *p, void *userdata)
{
	struct container *c = userdata;

	if (p == c->init)
		container_kill(c);
	else
		process_finish(p, container_oom_kills(c));
	container_settle(c);
}

/* ---- create ---- */

static void container_on_created(struct process *p, int code, const struct err *err, void *userdata)
{
	struct container *c = userdata;
	container_done_fn done = c->create_done;

	if (code == 0 && !c->removing) {
		c->create_done = NULL;
		done(c, 0, NULL, c->create_userdata);
		return;
	}
	/* The death of init, which follows, takes the rest away and then tells the creator. */
	c->removing = true;
	if (c->failure || code == 0)
		return;
	c->failure = calloc(1, sizeof(*c->failure));
	if (!c->failure)
		return;
	*c->failure = *err;
	c->failure->code = code;
}

static int container_prepare(struct container *c, const struct container_request *request, struct err *err)
{
	const struct setup_request setup = {
		.container_id = c->id,
		.spec = c->spec,
		.rootfs = request->rootfs,
		.disks = request->disks,
		.sources = request->sources,
		.n_sources = request->n_sources,
		.shared = request->shared,
		.n_shared = request->n_shared,
		.registry = c->table->registry,
		.hook_state = request->hook_state,
	};
	int rc, fd;

	rc = setup_prepare(&setup, &c->setup, &c->warnings, err);
	if (rc < 0)
		return rc;
	fd = cgroup_events_fd(setup_cgroup(c->setup), err);
	if (fd < 0)
		return fd;
	rc = loop_add_fd(c->table->loop, fd, LOOP_READ, container_on_events, c, &c->events);
	if (rc >= 0)
		rc = loop_add_timer(c->table->loop, CONTAINER_KILL_TIMEOUT_MS, container_on_kill_timeout, c,
				    &c->kill_timer);
	if (rc >= 0)
		rc = loop_timer_disarm(c->kill_timer);
	if (rc >= 0)
		rc = process_create(c->table->loop, c->table->reaper, "", container_on_exit, c, &c->init);
	return rc < 0 ? err_set_errno(err, rc, "prepare container '%s'", c->id) : 0;
}

static int container_spawn_init(struct container *c, struct err *err)
{
	struct setup_process *child = NULL;
	struct setup_stdio stdio;
	int rc;

	rc = process_open_stdio(c->init, c->setup, &c->spec->process, err);
	if (rc < 0)
		return rc;
	stdio_child_ends(process_stdio(c->init), &stdio);
	rc = setup_spawn_init(c->setup, &stdio, &child, err);
	if (rc < 0)
		return rc;
	return process_adopt(c->init, child, 0, err);
}

int container_create(struct container_table *t, const struct container_request *request,
		     container_done_fn done, void *userdata, struct err *err)
{
	_cleanup_(container_free_p) struct container *c = NULL;
	int rc;

	if (!path_id_valid(request->id))
		return err_set(err, -EINVAL, "container id is malformed");
	if (*table_slot(t, request->id))
		return err_set(err, -EEXIST, "container '%s' exists already", request->id);
	if (t->closed)
		return err_set(err, -EBUSY, "the guest is shutting down");
	if (t->n_containers == CONTAINER_MAX)
		return err_set(err, -ENOSPC, "the guest has %u containers already", CONTAINER_MAX);
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set_errno(err, -ENOMEM, "create container");
	c->table = t;
	c->id = strdup(request->id);
	if (!c->id)
		return err_set_errno(err, -ENOMEM, "create container");
	rc = oci_spec_parse(request->spec, request->spec_len, &c->spec, err);
	if (rc < 0)
		return rc;
	if (!c->spec->has_process)
		return err_set(err, -EINVAL, "field 'process' is missing");
	rc = container_prepare(c, request, err);
	if (rc >= 0)
		rc = container_spawn_init(c, err);
	if (rc < 0) {
		if (c->setup)
			(void)cgroup_remove(setup_cgroup(c->setup), NULL);
		return rc;
	}
	c->create_done = done;
	c->create_userdata = userdata;
	process_expect(c->init, SETUP_CREATED, container_on_created, c);
	c->next = t->containers;
	t->containers = TAKE_PTR(c);
	t->n_containers++;
	return 0;
}

/* ---- look-up ---- */

int container_find(struct container_table *t, const char *id, struct container **ret, struct err *err)
{
	struct container *c = path_id_valid(id) ? *table_slot(t, id) : NULL;

	if (!c || c->create_done)
		return err_set(err, -ENOENT, "no container '%.255s'", id);
	*ret = c;
	return 0;
}

static struct container_exec **exec_slot(struct container *c, const char *exec_id)
{
	struct container_exec **e = &c->execs;

	while (*e && strcmp(process_exec_id((*e)->process), exec_id) != 0)
		e = &(*e)->next;
	return e;
}

int container_find_process(struct container *c, const char *exec_id, struct process **ret, struct err *err)
{
	struct container_exec *e;

	if (!exec_id[0]) {
		*ret = c->init;
		return 0;
	}
	e = *exec_slot(c, exec_id);
	if (!e)
		return err_set(err, -ENOENT, "no process '%.255s' in container '%s'", exec_id, c->id);
	*ret = e->process;
	return 0;
}

const char *container_id(const struct container *c)
{
	return c->id;
}

struct process *container_init(const struct container *c)
{
	return c->init;
}

struct cgroup *container_cgroup(const struct container *c)
{
	return setup_cgroup(c->setup);
}

char *const *container_warnings(const struct container *c)
{
	return c->warnings;
}

/* ---- processes ---- */

/* Whether processes may be added and started. */
static int container_check_alive(const struct container *c, struct err *err)
{
	if (c->removing || process_state(c->init) == PROCESS_STOPPED)
		return err_set(err, -EBUSY, "container '%s' has ended", c->id);
	return 0;
}

int container_add_process(struct container *c, const char *exec_id, const char *spec, size_t spec_len,
			  struct err *err)
{
	_cleanup_(exec_free_p) struct container_exec *e = NULL;
	int rc;

	if (!path_id_valid(exec_id))
		return err_set(err, -EINVAL, "exec id is malformed");
	if (*exec_slot(c, exec_id))
		return err_set(err, -EEXIST, "process '%s' exists already in container '%s'", exec_id, c->id);
	rc = container_check_alive(c, err);
	if (rc < 0)
		return rc;
	if (c->n_execs == CONTAINER_PROCESSES_MAX)
		return err_set(err, -ENOSPC, "container '%s' has %u processes already", c->id,
			       CONTAINER_PROCESSES_MAX);
	e = calloc(1, sizeof(*e));
	if (!e)
		return err_set_errno(err, -ENOMEM, "add process '%s'", exec_id);
	rc = oci_process_parse(spec, spec_len, &e->spec, err);
	if (rc < 0)
		return rc;
	rc = process_create(c->table->loop, c->table->reaper, exec_id, container_on_exit, c, &e->process);
	if (rc < 0)
		return err_set_errno(err, rc, "add process '%s'", exec_id);
	rc = process_open_stdio(e->process, c->setup, e->spec, err);
	if (rc < 0)
		return rc;
	e->next = c->execs;
	c->execs = TAKE_PTR(e);
	c->n_execs++;
	return 0;
}

static int container_spawn_exec(struct container *c, struct container_exec *e, struct err *err)
{
	struct setup_process *child = NULL;
	struct setup_stdio stdio;
	int rc;

	stdio_child_ends(process_stdio(e->process), &stdio);
	rc = setup_spawn_exec(c->setup, e->spec, process_pidfd(c->init), &stdio, &child, err);
	if (rc < 0)
		return rc;
	rc = process_adopt(e->process, child, container_oom_kills(c), err);
	oci_process_free(TAKE_PTR(e->spec));
	return rc;
}

int container_start_process(struct container *c, struct process *p, process_done_fn done, void *userdata,
			    struct err *err)
{
	int rc;

	rc = container_check_alive(c, err);
	if (rc < 0)
		return rc;
	if (process_state(p) != PROCESS_CREATED)
		return err_set(err, -EBUSY, "process is %s, not created", process_state_name(process_state(p)));
	/* A child born into a frozen cgroup would never report. */
	if (c->paused || c->freeze_done)
		return err_set(err, -EBUSY, "container '%s' is paused", c->id);
	if (p == c->init) {
		rc = sysctl_apply_cards(c->spec, err);
		if (rc < 0)
			return rc;
	}
	rc = p == c->init ? process_start(p, err) : container_spawn_exec(c, *exec_slot(c, process_exec_id(p)), err);
	if (rc < 0)
		return rc;
	process_expect(p, SETUP_STARTED, done, userdata);
	if (p == c->init && c->spec->n_hooks[OCI_HOOK_START_CONTAINER])
		process_expect_any_time(p);
	return 0;
}

int container_remove_process(struct container *c, struct process *p, struct err *err)
{
	struct container_exec **slot, *e;

	if (p == c->init)
		return err_set(err, -EINVAL, "the init of container '%s' is removed with the container", c->id);
	if (process_state(p) != PROCESS_STOPPED && process_state(p) != PROCESS_CREATED)
		return err_set(err, -EBUSY, "process '%s' is %s", process_exec_id(p),
			       process_state_name(process_state(p)));
	slot = exec_slot(c, process_exec_id(p));
	e = *slot;
	*slot = e->next;
	c->n_execs--;
	exec_free(e);
	return 0;
}

/* ---- remove ---- */

int container_remove(struct container *c, container_done_fn done, void *userdata, struct err *err)
{
	if (c->remove_done)
		return err_set(err, -EBUSY, "container '%s' is being removed", c->id);
	c->removing = true;
	c->remove_done = done;
	c->remove_userdata = userdata;
	container_kill(c);
	container_settle(c);
	return 0;
}

void container_table_remove_all(struct container_table *t, void (*done)(void *userdata), void *userdata)
{
	struct container *next;

	t->closed = true;
	t->empty_done = done;
	t->empty_userdata = userdata;
	for (struct container *c = t->containers; c; c = next) {
		next = c->next;
		if (c->removing)
			continue;
		c->removing = true;
		container_kill(c);
		container_settle(c);
	}
	table_check_empty(t);
}
