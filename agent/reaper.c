/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/reaper.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#define REAPER_BUCKETS 256u

struct reaper_entry {
	struct reaper_entry *next;
	pid_t pid;
	reaper_fn fn;
	void *userdata;
};

struct reaper {
	struct loop_source *signal;
	struct loop_source *again; /* fires at once when a round left children unreaped */
	struct reaper_entry *buckets[REAPER_BUCKETS];
};

static struct reaper_entry **reaper_find(struct reaper *r, pid_t pid)
{
	struct reaper_entry **p = &r->buckets[(unsigned int)pid % REAPER_BUCKETS];

	while (*p && (*p)->pid != pid)
		p = &(*p)->next;
	return p;
}

static void reaper_dispatch(struct reaper *r, pid_t pid, int status)
{
	struct reaper_entry **p = reaper_find(r, pid);
	_cleanup_free_ struct reaper_entry *entry = *p;

	if (!entry)
		return;
	*p = entry->next;
	entry->fn(pid, status, entry->userdata);
}

static void reaper_round(void *userdata)
{
	struct reaper *r = userdata;

	for (unsigned int i = 0; i < REAPER_BATCH_MAX; i++) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		reaper_dispatch(r, pid, status);
	}
	loop_timer_set(r->again, 0);
}

static void reaper_on_signal(const struct signalfd_siginfo *info, void *userdata)
{
	(void)info; /* signals coalesce: one says nothing about how many have died */
	reaper_round(userdata);
}

int reaper_create(struct loop *loop, struct reaper **ret)
{
	struct reaper *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	/* Armed from the start: children may have died before the signal was blocked. */
	rc = loop_add_timer(loop, 0, reaper_round, r, &r->again);
	if (rc >= 0)
		rc = loop_add_signal(loop, SIGCHLD, reaper_on_signal, r, &r->signal);
	if (rc < 0) {
		reaper_destroy(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void reaper_destroy(struct reaper *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < REAPER_BUCKETS; i++) {
		while (r->buckets[i]) {
			struct reaper_entry *entry = r->buckets[i];

			r->buckets[i] = entry->next;
			free(entry);
		}
	}
	loop_source_destroy(r->signal);
	loop_source_destroy(r->again);
	free(r);
}

int reaper_watch(struct reaper *r, pid_t pid, reaper_fn fn, void *userdata)
{
	struct reaper_entry **p = reaper_find(r, pid);

	if (*p)
		return -EEXIST;
	*p = calloc(1, sizeof(**p));
	if (!*p)
		return -ENOMEM;
	(*p)->pid = pid;
	(*p)->fn = fn;
	(*p)->userdata = userdata;
	return 0;
}

void reaper_forget(struct reaper *r, pid_t pid)
{
	struct reaper_entry **p = reaper_find(r, pid);
	struct reaper_entry *entry = *p;

	if (!entry)
		return;
	*p = entry->next;
	free(entry);
}
