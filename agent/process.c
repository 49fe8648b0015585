/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Two things are heard of a child: its reports (the pipe of struct setup_process) and its death
 * (the reaper). They may come in either order: a program that ends at once is dead before its
 * "started" is read. So the death first reads what is left in the pipe. A failed report only remembers its reason: the
 * child is killed, and the failure is passed on with its death, when nothing of it is left.
 */
#include "agent/process.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct process_waiter {
	struct process_waiter *next;
	process_done_fn done;
	void *userdata;
};

struct process {
	struct loop *loop;
	struct reaper *reaper;
	char *exec_id;
	process_exit_fn on_exit;
	void *userdata;

	enum process_state state;
	pid_t pid;
	int pidfd;
	struct stdio *stdio;

	/* set-up */
	struct setup_process *child; /* NULL once past execve */
	struct loop_source *child_source, *timer;
	enum setup_result want;
	process_done_fn done; /* NULL: nothing is expected */
	void *done_userdata;
	struct err *failure; /* why the set-up failed; NULL: it has not */
	bool program_failed;

	/* end */
	struct process_exit exit;
	uint64_t oom_kills;
	bool finished;
	struct process_waiter *waiters;
	unsigned int n_waiters;
};

const char *process_state_name(enum process_state state)
{
	static const char *const names[] = {
		[PROCESS_CREATED] = "created",
		[PROCESS_STARTING] = "starting",
		[PROCESS_RUNNING] = "running",
		[PROCESS_STOPPED] = "stopped",
	};

	return names[state];
}

int process_create(struct loop *loop, struct reaper *reaper, const char *exec_id, process_exit_fn on_exit,
		   void *userdata, struct process **ret)
{
	_cleanup_(process_destroy_p) struct process *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return -ENOMEM;
	p->loop = loop;
	p->reaper = reaper;
	p->on_exit = on_exit;
	p->userdata = userdata;
	p->pidfd = -EBADF;
	p->exec_id = strdup(exec_id);
	if (!p->exec_id)
		return -ENOMEM;
	rc = stdio_create(loop, &p->stdio);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(p);
	return 0;
}

/* ---- set-up ---- */

static void process_done(struct process *p, int code, const struct err *err)
{
	process_done_fn done = p->done;

	p->done = NULL;
	if (p->timer)
		loop_timer_disarm(p->timer);
	if (done)
		done(p, code, err, p->done_userdata);
}

static void process_kill(const struct process *p)
{
	if (p->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

static void process_drop_child(struct process *p)
{
	loop_source_destroy(p->child_source);
	p->child_source = NULL;
	setup_process_destroy(p->child);
	p->child = NULL;
}

/* Remember why the set-up failed; the child's death tells it (see Theory). */
static void process_fail(struct process *p, int code, const struct err *reason)
{
	if (!p->failure) {
		p->failure = calloc(1, sizeof(*p->failure));
		if (p->failure)
			*p->failure = *reason;
	}
	if (p->failure)
		p->failure->code = code;
	if (p->child)
		p->program_failed = setup_process_program_failed(p->child);
	process_kill(p);
	process_drop_child(p);
}

/* Read reports until there is none, or the expected one has come. */
static void process_read_reports(struct process *p)
{
	while (p->child) {
		enum setup_result result = SETUP_PENDING;
		struct err err = ERR_INIT;
		int rc = setup_process_result(p->child, &result, &err);

		if (rc < 0) {
			process_fail(p, rc, &err);
			return;
		}
		if (result == SETUP_PENDING)
			return;
		if (result == SETUP_STARTED)
			process_drop_child(p);
		else
			loop_source_set_events(p->child_source, 0);
		if (p->state == PROCESS_STARTING)
			p->state = result == SETUP_STARTED ? PROCESS_RUNNING : PROCESS_CREATED;
		if (p->done && result == p->want)
			process_done(p, 0, NULL);
		if (result == SETUP_CREATED)
			return;
	}
}

static void process_on_report(int fd, unsigned int events, void *userdata)
{
	(void)fd;
	(void)events;
	process_read_reports(userdata);
}

static void process_on_timeout(void *userdata)
{
	struct process *p = userdata;
	struct err err = ERR_INIT;

	err_set(&err, -ETIMEDOUT, "process %d was not set up within %u s", (int)p->pid,
		PROCESS_SETUP_TIMEOUT_MS / 1000);
	process_fail(p, -ETIMEDOUT, &err);
}

static void process_on_reaped(pid_t pid, int status, void *userdata);

int process_adopt(struct process *p, struct setup_process *child, uint64_t oom_kills, struct err *err)
{
	int rc;

	assert(p->state == PROCESS_CREATED && !p->child);
	p->child = child;
	p->pid = setup_process_pid(child);
	p->pidfd = setup_process_take_pidfd(child);
	p->oom_kills = oom_kills;
	stdio_spawned(p->stdio);
	rc = loop_add_fd(p->loop, setup_process_fd(child), LOOP_READ, process_on_report, p, &p->child_source);
	if (rc >= 0)
		rc = loop_add_timer(p->loop, PROCESS_SETUP_TIMEOUT_MS, process_on_timeout, p, &p->timer);
	if (rc >= 0)
		rc = reaper_watch(p->reaper, p->pid, process_on_reaped, p);
	if (rc < 0) {
		process_kill(p);
		process_drop_child(p);
		p->state = PROCESS_STOPPED;
		p->exit.status = 128 + SIGKILL;
		process_finish(p, oom_kills);
		return err_set_errno(err, rc, "watch process %d", (int)p->pid);
	}
	p->state = PROCESS_STARTING;
	return 0;
}

void process_expect(struct process *p, enum setup_result want, process_done_fn done, void *userdata)
{
	assert(p->state == PROCESS_STARTING && !p->done);
	p->want = want;
	p->done = done;
	p->done_userdata = userdata;
	loop_timer_set(p->timer, PROCESS_SETUP_TIMEOUT_MS);
}

void process_expect_any_time(struct process *p)
{
	if (p->timer)
		loop_timer_disarm(p->timer);
}

int process_start(struct process *p, struct err *err)
{
	int rc;

	assert(p->state == PROCESS_CREATED);
	if (!p->child)
		return err_set(err, -EPIPE, "process has not been spawned");
	rc = setup_process_start(p->child, err);
	if (rc < 0)
		return rc;
	p->state = PROCESS_STARTING;
	loop_source_set_events(p->child_source, LOOP_READ);
	return 0;
}

/* ---- end ---- */

static void process_on_reaped(pid_t pid, int status, void *userdata)
{
	struct process *p = userdata;
	struct timespec now;

	(void)pid;
	process_read_reports(p);
	if (p->timer)
		loop_timer_disarm(p->timer);
	clock_gettime(CLOCK_REALTIME, &now);
	p->exit.exited_at_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
	p->exit.status = WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) :
					       (uint32_t)WEXITSTATUS(status);
	p->state = PROCESS_STOPPED;
	process_drop_child(p);
	if (p->done) {
		struct err err = ERR_INIT;

		err_set(&err, -EPIPE, "process ended during its set-up, status %u", p->exit.status);
		process_done(p, p->failure ? p->failure->code : -EPIPE, p->failure ? p->failure : &err);
	}
	p->on_exit(p, p->userdata);
}

static void process_answer_waiters(struct process *p, int code)
{
	struct err err = ERR_INIT;

	if (code < 0)
		err_set(&err, code, "process has been removed");
	while (p->waiters) {
		_cleanup_free_ struct process_waiter *w = p->waiters;

		p->waiters = w->next;
		p->n_waiters--;
		w->done(p, code, &err, w->userdata);
	}
}

int process_wait(struct process *p, process_done_fn done, void *userdata)
{
	struct process_waiter *w, **tail;

	if (p->finished) {
		done(p, 0, NULL, userdata);
		return 0;
	}
	if (p->n_waiters == PROCESS_WAITERS_MAX)
		return -EBUSY;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->done = done;
	w->userdata = userdata;
	for (tail = &p->waiters; *tail; tail = &(*tail)->next)
		;
	*tail = w;
	p->n_waiters++;
	return 0;
}

void process_finish(struct process *p, uint64_t oom_kills)
{
	assert(p->state == PROCESS_STOPPED && !p->finished);
	p->finished = true;
	p->exit.oom_killed = oom_kills > p->oom_kills;
	stdio_ended(p->stdio);
	process_answer_waiters(p, 0);
}

void process_destroy(struct process *p)
{
	struct err err = ERR_INIT;

	if (!p)
		return;
	if (p->pid > 0 && p->state != PROCESS_STOPPED) {
		reaper_forget(p->reaper, p->pid);
		process_kill(p);
	}
	process_drop_child(p);
	if (p->done) {
		err_set(&err, -ECANCELED, "process has been removed");
		process_done(p, -ECANCELED, &err);
	}
	process_answer_waiters(p, -ECANCELED);
	loop_source_destroy(p->timer);
	stdio_destroy(p->stdio);
	cleanup_close_p(&p->pidfd);
	free(p->failure);
	free(p->exec_id);
	free(p);
}

/* ---- asking ---- */

const char *process_exec_id(const struct process *p)
{
	return p->exec_id;
}

enum process_state process_state(const struct process *p)
{
	return p->state;
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}

int process_pidfd(const struct process *p)
{
	return p->pidfd;
}

struct stdio *process_stdio(struct process *p)
{
	return p->stdio;
}

bool process_program_failed(const struct process *p)
{
	return p->program_failed;
}

bool process_finished(const struct process *p)
{
	return p->finished;
}

struct process_exit process_exit(const struct process *p)
{
	return p->exit;
}

int process_open_stdio(struct process *p, struct setup *setup, const struct oci_process *spec, struct err *err)
{
	int master, slave, rc;

	if (!spec->terminal)
		return stdio_open_pipes(p->stdio, err);
	rc = setup_open_terminal(setup, &master, &slave, err);
	if (rc < 0)
		return rc;
	rc = stdio_open_terminal(p->stdio, master, slave, err);
	if (rc < 0 || !spec->console_columns || !spec->console_rows)
		return rc;
	rc = stdio_resize(p->stdio, spec->console_columns, spec->console_rows);
	return rc < 0 ? err_set_errno(err, rc, "set the size of the terminal") : 0;
}

int process_signal(struct process *p, int signo, struct err *err)
{
	if (p->pidfd < 0 || p->state == PROCESS_STOPPED)
		return err_set(err, -ESRCH, "process is %s",
			       p->pidfd < 0 ? "not started" : process_state_name(p->state));
	if (syscall(SYS_pidfd_send_signal, p->pidfd, signo, NULL, 0) < 0)
		return err_set_errno(err, -errno, "send signal %d", signo);
	return 0;
}
