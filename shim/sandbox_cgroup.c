/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/sandbox_cgroup.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "shim/hostcgroup_oom.h"
#include "shim/hostcgroup_systemd.h"
#include "shim/task.h"

#define MIB (UINT64_C(1) << 20)
/* Those who ask for the same OOM while it is being made: WaitProcess of each process, an event. */
#define OOM_WAITERS_MAX 64

struct oom_waiter {
	void (*done)(void *userdata);
	void *userdata;
};

struct task_cgroup {
	struct hostcgroup *host;
	struct hostcgroup_limits wanted;  /* what the container asks for */
	struct hostcgroup_limits applied; /* what is set */
	bool home;
	bool oom_shown; /* or being shown, or impossible */
	struct hostcgroup_oom oom;
	struct loop_source *oom_child, *oom_timer;
	struct oom_waiter waiters[OOM_WAITERS_MAX];
	size_t n_waiters;
	pid_t systemd_pid; /* child that tells systemd */
	struct loop_source *systemd;
};

/* ---- what one container asks for ---- */

static uint64_t overhead_bytes(const struct config *config)
{
	return ((uint64_t)config->memory_mib + config->host_overhead_mib) * MIB;
}

static int take_text(char **member, const char *value)
{
	char *copy;

	if (!value || !value[0])
		return 0;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*member);
	*member = copy;
	return 0;
}

/* Only what is named; 0 names nothing, and -1 lifts a limit. */
static int merge(struct hostcgroup_limits *l, const struct oci_resources *res,
		 const struct config *config)
{
	if (res->has_memory_limit && res->memory_limit != 0)
		l->memory_bytes = res->memory_limit > 0
					  ? (uint64_t)res->memory_limit + overhead_bytes(config)
					  : 0;
	if (res->has_cpu_period && res->cpu_period != 0)
		l->cpu_period_us = res->cpu_period;
	if (res->has_cpu_quota && res->cpu_quota != 0)
		l->cpu_quota_us = res->cpu_quota > 0 ? (uint64_t)res->cpu_quota : 0;
	if (res->has_cpu_shares && res->cpu_shares != 0)
		l->cpu_shares = res->cpu_shares;
	if (res->blkio_weight)
		l->blkio_weight = res->blkio_weight;
	l->pids = SANDBOX_CGROUP_PIDS;
	if (take_text(&l->cpuset_cpus, res->cpuset_cpus) < 0 ||
	    take_text(&l->cpuset_mems, res->cpuset_mems) < 0)
		return -ENOMEM;
	return 0;
}

int sandbox_cgroup_limits_of(const struct oci_resources *resources, const struct config *config,
			     struct hostcgroup_limits *ret)
{
	struct hostcgroup_limits l = { 0 };
	int r = merge(&l, resources, config);

	if (r < 0)
		hostcgroup_limits_finish(&l);
	else
		*ret = l;
	return r;
}

/* ---- what the sandbox as a whole may have ---- */

static uint64_t period_of(const struct hostcgroup_limits *l)
{
	return l->cpu_period_us ? l->cpu_period_us : HOSTCGROUP_PERIOD_DEFAULT_US;
}

static bool runs(const struct task *c)
{
	return c->record->status == CONTAINER_RUNNING || c->record->status == CONTAINER_PAUSED;
}

static bool counts(const struct task *c)
{
	return c->cgroup && !c->removed && c->record->status != CONTAINER_STOPPED;
}

/* The overhead is in each one's, and is needed once. */
static uint64_t sum_memory(const struct sandbox *s)
{
	uint64_t overhead = overhead_bytes(s->options.config), sum = 0;

	for (const struct task *c = s->containers; c; c = c->next) {
		if (!counts(c))
			continue;
		if (c->cgroup->wanted.memory_bytes == 0)
			return 0;
		sum += c->cgroup->wanted.memory_bytes - overhead;
	}
	return sum ? sum + overhead : 0;
}

static void sum_cpu(const struct sandbox *s, const struct hostcgroup_limits *only,
		    struct hostcgroup_limits *ret)
{
	uint64_t sum = 0, period = only ? period_of(only) : HOSTCGROUP_PERIOD_DEFAULT_US;
	bool unlimited = false;

	for (const struct task *c = s->containers; c; c = c->next) {
		const struct hostcgroup_limits *l;

		if (!counts(c))
			continue;
		l = &c->cgroup->wanted;
		ret->cpu_shares += l->cpu_shares ? l->cpu_shares : 1024;
		ret->blkio_weight = l->blkio_weight > ret->blkio_weight ? l->blkio_weight
									: ret->blkio_weight;
		if (!runs(c))
			continue;
		unlimited |= l->cpu_quota_us == 0;
		/* Both are below 2^63 / 10^6 in any unit that a kernel takes. */
		sum += only ? l->cpu_quota_us : l->cpu_quota_us * period / period_of(l);
	}
	if (unlimited || sum == 0)
		return;
	ret->cpu_period_us = period;
	ret->cpu_quota_us = sum < period / SANDBOX_CGROUP_QUOTA_SHARE
				    ? period / SANDBOX_CGROUP_QUOTA_SHARE
				    : sum;
}

/* Borrows the strings. False: nobody is left whose limits would count, the old ones stay. */
static bool limits_of_sandbox(const struct sandbox *s, struct hostcgroup_limits *ret)
{
	struct hostcgroup_limits l = { .pids = SANDBOX_CGROUP_PIDS };
	const struct hostcgroup_limits *only = NULL;
	size_t n = 0;

	for (const struct task *c = s->containers; c; c = c->next) {
		if (!counts(c))
			continue;
		n++;
		only = &c->cgroup->wanted;
	}
	if (n != 1)
		only = NULL;
	l.memory_bytes = sum_memory(s);
	sum_cpu(s, only, &l);
	if (only) {
		l.cpu_shares = only->cpu_shares;
		l.cpuset_cpus = only->cpuset_cpus;
		l.cpuset_mems = only->cpuset_mems;
	}
	*ret = l;
	return n > 0;
}

/* ---- setting ---- */

/* One whose end nobody watches. */
static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void systemd_told(pid_t pid, int status, void *userdata)
{
	struct task_cgroup *g = userdata;

	loop_source_destroy(TAKE_PTR(g->systemd));
}

/* It would put its own idea of the limits back, some time. One that is under way is enough of a burst. */
static void tell_systemd(struct task *c, const struct hostcgroup_limits *l)
{
	struct task_cgroup *g = c->cgroup;
	pid_t pid;

	if (!g->host->unit || g->systemd || c->removed)
		return;
	pid = hostcgroup_systemd_set_limits(g->host->unit, l, g->host->unified);
	if (pid <= 0)
		return;
	g->systemd_pid = pid;
	if (loop_add_child(c->sandbox->loop, pid, systemd_told, g, &g->systemd) < 0)
		end_child(pid);
}

static bool differ(const struct hostcgroup_limits *a, const struct hostcgroup_limits *b)
{
	return a->memory_bytes != b->memory_bytes || a->cpu_quota_us != b->cpu_quota_us ||
	       a->cpu_period_us != b->cpu_period_us || a->cpu_shares != b->cpu_shares;
}

static int apply(struct task *c, struct err *err)
{
	struct task_cgroup *g = c->cgroup;
	struct hostcgroup_limits l = g->wanted;
	bool changed;
	int r;

	if (g->home && !limits_of_sandbox(c->sandbox, &l))
		return 0;
	changed = differ(&l, &g->applied);
	/* Lowered for a moment: the right one is set when that is over. */
	if (g->oom_child)
		l.memory_bytes = g->applied.memory_bytes;
	r = hostcgroup_limits_apply(g->host, &l, &g->applied, err);
	if (changed)
		tell_systemd(c, &l);
	return r;
}

void sandbox_cgroup_refresh(struct sandbox *s)
{
	for (struct task *c = s->containers; c; c = c->next) {
		struct err err = ERR_INIT;

		if (c->cgroup && apply(c, &err) < 0)
			sandbox_log(s, LOG_LEVEL_WARNING, "%s", err.text);
	}
}

int task_cgroup_attach(struct task *c, const struct oci_resources *resources, struct err *err)
{
	struct task_cgroup *g;
	int r;

	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	r = hostcgroup_load(c->sandbox->rootfd, c->record->id, &g->host, NULL);
	if (r < 0) {
		free(g);
		return r == -ENOENT ? 0 : err_set_errno(err, r, "cgroup record");
	}
	c->cgroup = g;
	g->home = hostcgroup_holds(g->host, getpid());
	r = sandbox_cgroup_limits_of(resources, c->sandbox->options.config, &g->wanted);
	if (r < 0)
		return err_set_errno(err, r, "limits");
	r = apply(c, err);
	if (r == 0 && !g->home)
		sandbox_cgroup_refresh(c->sandbox);
	return r;
}

int task_cgroup_update(struct task *c, const struct oci_resources *resources, struct err *err)
{
	int r;

	if (!c->cgroup)
		return 0;
	r = merge(&c->cgroup->wanted, resources, c->sandbox->options.config);
	if (r < 0)
		return err_set_errno(err, r, "limits");
	r = apply(c, err);
	if (r == 0 && !c->cgroup->home)
		sandbox_cgroup_refresh(c->sandbox);
	return r;
}

/* ---- moving on ---- */

void task_cgroup_vacate(struct task *c)
{
	struct task *heir = NULL;
	struct err err = ERR_INIT;

	if (!c->cgroup || !c->cgroup->home)
		return;
	/* The newest comes first in the list. */
	for (struct task *t = c->sandbox->containers; t; t = t->next) {
		if (t != c && t->cgroup && !t->removed)
			heir = t;
	}
	if (!heir)
		return;
	if (hostcgroup_move_all(c->cgroup->host, heir->cgroup->host, &err) < 0)
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING, "%s", err.text);
	c->cgroup->home = false;
	heir->cgroup->home = true;
	sandbox_cgroup_refresh(c->sandbox);
}

/* ---- OOM ---- */

static void answer_waiters(struct task_cgroup *g)
{
	size_t n = g->n_waiters;

	g->n_waiters = 0;
	for (size_t i = 0; i < n; i++)
		g->waiters[i].done(g->waiters[i].userdata);
}

static void oom_is_shown(pid_t pid, int status, void *userdata)
{
	struct task *c = userdata;
	struct task_cgroup *g = c->cgroup;

	loop_source_destroy(TAKE_PTR(g->oom_child));
	loop_source_destroy(TAKE_PTR(g->oom_timer));
	hostcgroup_oom_finish(g->host, &g->oom, g->applied.memory_bytes);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		sandbox_log(c->sandbox, LOG_LEVEL_WARNING,
			    "container '%s': the guest's OOM could not be shown in the host's cgroup",
			    c->record->id);
	sandbox_cgroup_refresh(c->sandbox);
	answer_waiters(g);
	task_unref(c);
}

static void oom_too_slow(void *userdata)
{
	struct task *c = userdata;

	kill(c->cgroup->oom.pid, SIGKILL);
}

/* Whether it is under way now. */
static bool start_oom(struct task *c)
{
	struct task_cgroup *g = c->cgroup;
	struct err err = ERR_INIT;
	int r;

	g->oom_shown = true;
	r = hostcgroup_oom_start(g->host, &g->oom, &err);
	if (r < 0) {
		sandbox_log(c->sandbox, LOG_LEVEL_INFO, "OOM of container '%s': %s", c->record->id,
			    err.text);
		return false;
	}
	r = loop_add_child(c->sandbox->loop, g->oom.pid, oom_is_shown, c, &g->oom_child);
	if (r >= 0)
		r = loop_add_timer(c->sandbox->loop, HOSTCGROUP_OOM_TIMEOUT_MS, oom_too_slow, c,
				   &g->oom_timer);
	if (r >= 0) {
		task_ref(c);
		return true;
	}
	loop_source_destroy(TAKE_PTR(g->oom_child));
	end_child(g->oom.pid);
	hostcgroup_oom_finish(g->host, &g->oom, g->applied.memory_bytes);
	return false;
}

void task_cgroup_show_oom(struct task *c, void (*done)(void *userdata), void *userdata)
{
	struct task_cgroup *g = c->cgroup;
	bool later = g && (g->oom_child || (!g->oom_shown && start_oom(c)));

	if (!done)
		return;
	if (later && g->n_waiters < OOM_WAITERS_MAX)
		g->waiters[g->n_waiters++] = (struct oom_waiter){ done, userdata };
	else
		done(userdata);
}

void task_cgroup_cancel(struct task *c)
{
	struct task_cgroup *g = c->cgroup;

	if (!g)
		return;
	if (g->systemd) {
		loop_source_destroy(TAKE_PTR(g->systemd));
		end_child(g->systemd_pid);
	}
	if (!g->oom_child)
		return;
	loop_source_destroy(TAKE_PTR(g->oom_child));
	loop_source_destroy(TAKE_PTR(g->oom_timer));
	end_child(g->oom.pid);
	hostcgroup_oom_finish(g->host, &g->oom, g->applied.memory_bytes);
	answer_waiters(g);
	task_unref(c);
}

void task_cgroup_free(struct task_cgroup *g)
{
	if (!g)
		return;
	hostcgroup_limits_finish(&g->wanted);
	hostcgroup_limits_finish(&g->applied);
	hostcgroup_free(g->host);
	free(g);
}
