/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_resume.h"

/* Tell and forget all, or those who are gone. */
static void tell(struct task *c, bool gone_only)
{
	struct task_resume_listener ready[TASK_RESUME_LISTENERS_MAX];
	size_t n_ready = 0, kept = 0;

	for (size_t i = 0; i < c->n_resume_listeners; i++) {
		struct task_resume_listener *l = &c->resume_listeners[i];

		if (!gone_only || l->is_gone(l->userdata))
			ready[n_ready++] = *l;
		else
			c->resume_listeners[kept++] = *l;
	}
	c->n_resume_listeners = kept;
	for (size_t i = 0; i < n_ready; i++)
		ready[i].fn(ready[i].userdata);
}

int task_resume_listen(struct task *c, const struct task_resume_listener *listener)
{
	struct task_resume_listener *grown;

	if (c->record->status != CONTAINER_PAUSED || !task_is_alive(c)) {
		listener->fn(listener->userdata);
		return 0;
	}
	tell(c, true);
	if (c->n_resume_listeners == TASK_RESUME_LISTENERS_MAX)
		return -ENOSPC;
	grown = reallocarray(c->resume_listeners, c->n_resume_listeners + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	c->resume_listeners = grown;
	grown[c->n_resume_listeners++] = *listener;
	return 0;
}

void task_resumed(struct task *c)
{
	tell(c, false);
	/* Unless somebody has begun to wait again. */
	if (!c->n_resume_listeners)
		free(TAKE_PTR(c->resume_listeners));
}
