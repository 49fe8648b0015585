/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_oom.h"

#include <string.h>

#include "common/proto/agent.pb-c.h"
#include "shim/sandbox_cgroup.h"

static void ask(struct task *c);

/* Tell whoever has something to hear; a listener may come back at once with another question. */
static void tell(struct task *c, bool ended)
{
	size_t n = c->n_oom_listeners, kept = 0;
	struct task_oom_listener *list = TAKE_PTR(c->oom_listeners);
	struct task_oom_listener ready[TASK_OOM_LISTENERS_MAX];
	size_t n_ready = 0;

	c->n_oom_listeners = 0;
	for (size_t i = 0; i < n; i++) {
		if (ended || c->oom_kills > list[i].seen)
			ready[n_ready++] = list[i];
		else
			list[kept++] = list[i];
	}
	c->oom_listeners = list;
	c->n_oom_listeners = kept;
	for (size_t i = 0; i < n_ready; i++)
		ready[i].fn(c->oom_kills, ended, ready[i].userdata);
}

static void answered(enum ttrpc_code code, const char *message, const void *response,
		     void *userdata)
{
	const Onggi__Agent__V1__WaitOomResponse *answer = response;
	struct task *c = userdata;

	if (code == TTRPC_OK && answer->oom_kills > c->oom_kills) {
		sandbox_log(c->sandbox, LOG_LEVEL_INFO,
			    "container '%s': its memory limit has killed processes, %llu so far",
			    c->record->id, (unsigned long long)answer->oom_kills);
		c->oom_kills = answer->oom_kills;
		/* Engines look for it in the cgroup of the host. */
		if (!c->removed)
			task_cgroup_show_oom(c, NULL, NULL);
		if (c->sandbox->on_oom)
			c->sandbox->on_oom(c, c->sandbox->oom_userdata);
		tell(c, false);
		if (!answer->ended && !c->removed)
			ask(c);
	}
	task_unref(c);
}

static void ask(struct task *c)
{
	Onggi__Agent__V1__WaitOomRequest request = ONGGI__AGENT__V1__WAIT_OOM_REQUEST__INIT;

	request.container_id = c->record->id;
	request.seen = c->oom_kills;
	agent_call(c->sandbox, "WaitOom", &request.base,
		   &onggi__agent__v1__wait_oom_response__descriptor, 0, answered, task_ref(c));
}

void task_oom_watch(struct task *c)
{
	ask(c);
}

static void forget_gone(struct task *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_oom_listeners; i++) {
		struct task_oom_listener *l = &c->oom_listeners[i];

		if (l->is_gone(l->userdata))
			l->forget(l->userdata);
		else
			c->oom_listeners[kept++] = *l;
	}
	c->n_oom_listeners = kept;
}

int task_oom_listen(struct task *c, const struct task_oom_listener *listener)
{
	struct task_oom_listener *grown;

	if (!task_is_alive(c) || c->oom_kills > listener->seen) {
		listener->fn(c->oom_kills, !task_is_alive(c), listener->userdata);
		return 0;
	}
	forget_gone(c);
	if (c->n_oom_listeners == TASK_OOM_LISTENERS_MAX)
		return -ENOSPC;
	grown = reallocarray(c->oom_listeners, c->n_oom_listeners + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->oom_listeners = grown;
	grown[c->n_oom_listeners++] = *listener;
	return 0;
}

void task_oom_ended(struct task *c)
{
	tell(c, true);
	free(TAKE_PTR(c->oom_listeners));
}
