/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "agent/container_control.h"
#include "agent/container_internal.h"

uint64_t container_oom_kills(struct container *c)
{
	/* Of a cgroup that is gone, the last number counts. */
	(void)cgroup_oom_kills(setup_cgroup(c->setup), &c->oom_kills, NULL);
	return c->oom_kills;
}

static void answer(struct container *c, int code, const struct err *err)
{
	container_done_fn done = c->oom_done;

	c->oom_done = NULL;
	if (done)
		done(c, code, err, c->oom_userdata);
}

void container_oom_settle(struct container *c, bool ended)
{
	if (c->oom_done && (container_oom_kills(c) > c->oom_seen || ended))
		answer(c, 0, NULL);
}

void container_oom_cancel(struct container *c)
{
	struct err err = ERR_INIT;

	err_set(&err, -ECANCELED, "container '%s' has ended", c->id);
	answer(c, -ECANCELED, &err);
}

bool container_has_ended(const struct container *c)
{
	return c->removing || process_state(c->init) == PROCESS_STOPPED;
}

int container_wait_oom(struct container *c, uint64_t seen, container_done_fn done, void *userdata,
		       struct err *err)
{
	if (c->oom_done)
		return err_set(err, -EBUSY, "container '%s' is being watched already", c->id);
	c->oom_seen = seen;
	c->oom_done = done;
	c->oom_userdata = userdata;
	container_oom_settle(c, container_has_ended(c));
	return 0;
}
