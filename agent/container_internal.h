/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_internal.h - struct container, for container*.c alone
 */
#ifndef ONGGI_AGENT_CONTAINER_INTERNAL_H
#define ONGGI_AGENT_CONTAINER_INTERNAL_H

#include "agent/container.h"

struct container_table {
	struct loop *loop;
	struct reaper *reaper;
	struct namespace_registry *registry;
	struct container *containers;
	size_t n_containers;
	bool closed; /* takes no more */
	void (*empty_done)(void *userdata);
	void *empty_userdata;
};

/* A registered exec. */
struct container_exec {
	struct container_exec *next;
	struct process *process;
	struct oci_process *spec; /* NULL once started */
};

struct container {
	struct container *next;
	struct container_table *table;
	char *id;
	struct oci_spec *spec;
	struct setup *setup;
	char **warnings;
	struct process *init;
	struct container_exec *execs;
	size_t n_execs;

	struct loop_source *events; /* of the cgroup */
	uint64_t oom_kills;         /* the last number that could be read */

	/* oom_done is set: somebody waits for more kills than oom_seen */
	uint64_t oom_seen;
	container_done_fn oom_done;
	void *oom_userdata;

	/* creation under way: found by nobody */
	container_done_fn create_done;
	void *create_userdata;
	struct err *failure; /* why it failed; NULL: it has not */

	/* removal or init's death under way */
	struct loop_source *kill_timer;
	bool removing, overdue;
	container_done_fn remove_done;
	void *remove_userdata;

	/* freezing or thawing under way: freeze_done is set */
	struct loop_source *freeze_timer;
	bool paused, freeze_want;
	container_done_fn freeze_done;
	void *freeze_userdata;
};

/* Answer whoever waits for kills by the memory limit, if there were any, or there will be none. */
void container_oom_settle(struct container *c, bool ended);
void container_oom_cancel(struct container *c);

/* The cgroup has changed: answer whoever waits for it to be (un)frozen. */
void container_freeze_settle(struct container *c, bool frozen);
/* End a pending freeze with -ECANCELED. */
void container_freeze_cancel(struct container *c);

#endif
