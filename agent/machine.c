/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct machine {
	struct loop *loop;
	struct reaper *reaper;
	const char *sysfs;
	struct loop_source *timer; /* until the child may begin, then until it must have ended */
	pid_t child;               /* 0: none */
	int report_fd;             /* of the child: its struct err, if it failed */
	bool overdue;
	struct machine_request request;
	machine_done_fn done; /* NULL: nobody waits */
	void *userdata;
	/* one that came while the child was at work on @request */
	struct machine_request next;
	machine_done_fn next_done;
	void *next_userdata;
};

static void begin(struct machine *m);

int machine_create(struct loop *loop, struct reaper *reaper, const char *sysfs, struct machine **ret)
{
	struct machine *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->loop = loop;
	m->reaper = reaper;
	m->sysfs = sysfs;
	m->report_fd = -EBADF;
	*ret = m;
	return 0;
}

static void finish(struct machine *m, machine_done_fn done, void *userdata, int code, const struct err *err)
{
	struct machine_size size;

	if (!done)
		return;
	machine_look(m->sysfs, &m->request, &size);
	done(code, &size, err, userdata);
}

/* Whoever waits for the present request hears @code. */
static void answer(struct machine *m, int code, const struct err *err)
{
	machine_done_fn done = m->done;

	m->done = NULL;
	finish(m, done, m->userdata, code, err);
}

void machine_destroy(struct machine *m)
{
	struct err err = ERR_INIT;

	if (!m)
		return;
	if (m->child > 0) {
		reaper_forget(m->reaper, m->child);
		(void)kill(m->child, SIGKILL);
	}
	err_set(&err, -ECANCELED, "the agent is ending");
	answer(m, -ECANCELED, &err);
	finish(m, m->next_done, m->next_userdata, -ECANCELED, &err);
	loop_source_destroy(m->timer);
	cleanup_close_p(&m->report_fd);
	free(m);
}

static void on_child_end(pid_t pid, int status, void *userdata)
{
	struct machine *m = userdata;
	struct err err = ERR_INIT;
	ssize_t n;

	m->child = 0;
	loop_timer_disarm(m->timer);
	n = read(m->report_fd, &err, sizeof(err));
	cleanup_close_p(&m->report_fd);
	if (n != (ssize_t)sizeof(err)) {
		err = (struct err)ERR_INIT;
		if (m->overdue)
			err_set(&err, -ETIMEDOUT, "the guest's kernel has not changed its size within %u s",
				MACHINE_TIMEOUT_MS / 1000);
		else if (status != 0)
			err_set(&err, -EIO, "changing the guest's size failed with status %d", status);
	}
	answer(m, err.code, &err);
	if (!m->next_done)
		return;
	m->request = m->next;
	m->done = m->next_done;
	m->userdata = m->next_userdata;
	m->next_done = NULL;
	begin(m);
}

static _Noreturn void child(const struct machine *m, int fd)
{
	struct err err = ERR_INIT;

	loop_child_reset();
	/* Shorter than a pipe's page: written whole. */
	if (machine_apply(m->sysfs, &m->request, &err) < 0 && write(fd, &err, sizeof(err)) < 0)
		_exit(1);
	_exit(0);
}

static int start_child(struct machine *m)
{
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	m->report_fd = fds[0];
	m->overdue = false;
	m->child = fork();
	if (m->child == 0)
		child(m, fds[1]);
	r = m->child < 0 ? -errno : reaper_watch(m->reaper, m->child, on_child_end, m);
	close(fds[1]);
	if (r >= 0)
		return loop_timer_set(m->timer, MACHINE_TIMEOUT_MS);
	if (m->child > 0)
		(void)kill(m->child, SIGKILL);
	m->child = 0;
	cleanup_close_p(&m->report_fd);
	return r;
}

static void on_timer(void *userdata)
{
	struct machine *m = userdata;
	struct err err = ERR_INIT;
	int r;

	if (m->child > 0) {
		/* A signal is what ends its wait in the kernel. */
		m->overdue = true;
		(void)kill(m->child, SIGKILL);
		return;
	}
	r = start_child(m);
	if (r < 0) {
		err_set_errno(&err, r, "change the guest's size");
		answer(m, r, &err);
	}
}

static void begin(struct machine *m)
{
	struct machine_size now;
	bool shrinks;

	machine_look(m->sysfs, &m->request, &now);
	shrinks = m->request.size.memory_bytes && m->request.size.memory_bytes < now.memory_bytes;
	loop_timer_set(m->timer, shrinks ? MACHINE_REPORT_DELAY_MS : 0);
}

static int check(const struct machine_request *q, struct err *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < q->n_ranges; i++) {
		const struct machine_range *r = &q->ranges[i];

		if (r->start < end || r->length > UINT64_MAX / 2 || r->start > UINT64_MAX / 2)
			return err_set(err, -EINVAL, "field 'ranges': not in order");
		end = r->start + r->length;
	}
	if (q->size.memory_bytes && !q->n_ranges)
		return err_set(err, -EINVAL, "field 'ranges': missing");
	return 0;
}

int machine_resize(struct machine *m, const struct machine_request *request, machine_done_fn done,
		   void *userdata, struct err *err)
{
	int r = check(request, err);

	if (r >= 0 && !m->timer) {
		r = loop_add_timer(m->loop, MACHINE_TIMEOUT_MS, on_timer, m, &m->timer);
		if (r < 0)
			err_set_errno(err, r, "change the guest's size");
	}
	if (r < 0)
		return r;
	if (m->child > 0) {
		finish(m, m->next_done, m->next_userdata, 0, NULL);
		m->next = *request;
		m->next_done = done;
		m->next_userdata = userdata;
		return 0;
	}
	answer(m, 0, NULL);
	m->request = *request;
	m->done = done;
	m->userdata = userdata;
	begin(m);
	return 0;
}
