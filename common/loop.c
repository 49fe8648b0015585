/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: libevent only tells which sources are ready; its callback puts them on a
 * list, and loop_run_once calls our callbacks from that list after libevent has returned. So a
 * callback may run the loop again (libevent alone refuses that), and destroying a source is taking
 * it off the list. Readiness is level-triggered: what a callback leaves unread is reported in the
 * next round.
 */
#include "common/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum source_kind { SOURCE_FD, SOURCE_TIMER, SOURCE_SIGNAL, SOURCE_CHILD };

struct loop_source {
	struct loop *loop;
	enum source_kind kind;
	struct event *event;
	void *userdata;
	union {
		loop_fd_fn on_fd;
		loop_timer_fn on_timer;
		loop_signal_fn on_signal;
		loop_child_fn on_child;
	};
	int fd;              /* signalfd or pidfd: ours; of SOURCE_FD: the caller's */
	unsigned int events; /* enum loop_events asked for */
	unsigned int ready;  /* enum loop_events reported, while queued */
	bool queued;
	pid_t pid;
	TAILQ_ENTRY(loop_source) link;
};

TAILQ_HEAD(source_queue, loop_source);

struct loop {
	struct event_base *base;
	struct source_queue ready;
	size_t n_sources;
	bool stopped;
};

/* libevent prints to stderr what it also returns, and stderr may be a container's. */
static void drop_message(int severity, const char *message)
{
}

int loop_create(struct loop **ret)
{
	struct event_config *config = event_config_new();
	struct loop *loop = calloc(1, sizeof(*loop));

	event_set_log_callback(drop_message);
	if (loop && config) {
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
						      EVENT_BASE_FLAG_PRECISE_TIMER);
		loop->base = event_base_new_with_config(config);
	}
	if (config)
		event_config_free(config);
	if (!loop || !loop->base) {
		free(loop);
		return -ENOMEM;
	}
	TAILQ_INIT(&loop->ready);
	*ret = loop;
	return 0;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	assert(loop->n_sources == 0);
	event_base_free(loop->base);
	free(loop);
}

/* ---- dispatch ---- */

static void queue_source(struct loop_source *s, unsigned int events)
{
	s->ready |= events;
	if (s->queued)
		return;
	s->queued = true;
	TAILQ_INSERT_TAIL(&s->loop->ready, s, link);
}

static void unqueue_source(struct loop_source *s)
{
	s->ready = 0;
	if (!s->queued)
		return;
	s->queued = false;
	TAILQ_REMOVE(&s->loop->ready, s, link);
}

static void on_event(evutil_socket_t fd, short what, void *userdata)
{
	queue_source(userdata,
		     (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0));
}

static void dispatch_signal(struct loop_source *s)
{
	struct signalfd_siginfo info;

	/* One a round: the callback may destroy the source. */
	if (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->on_signal(&info, s->userdata);
}

static void dispatch_child(struct loop_source *s)
{
	int status = 0;
	pid_t r;

	do
		r = waitpid(s->pid, &status, WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return;
	if (r < 0)
		status = W_EXITCODE(255, 0); /* somebody else reaped it */
	event_del(s->event);
	s->on_child(s->pid, status, s->userdata);
}

/* The source may be gone on return. */
static void dispatch(struct loop_source *s)
{
	unsigned int ready = s->ready;

	unqueue_source(s);
	switch (s->kind) {
	case SOURCE_FD:
		/* An earlier callback of this round may have put the source to sleep. */
		if (ready & s->events)
			s->on_fd(s->fd, ready & s->events, s->userdata);
		break;
	case SOURCE_TIMER:
		s->on_timer(s->userdata);
		break;
	case SOURCE_SIGNAL:
		dispatch_signal(s);
		break;
	case SOURCE_CHILD:
		dispatch_child(s);
		break;
	}
}

int loop_run_once(struct loop *loop)
{
	struct loop_source *s;
	int r;

	if (TAILQ_EMPTY(&loop->ready)) {
		r = event_base_loop(loop->base, EVLOOP_ONCE);
		if (r < 0)
			return errno ? -errno : -EIO;
		if (r == 1 && TAILQ_EMPTY(&loop->ready))
			return -EDEADLK;
	}
	while (!loop->stopped && (s = TAILQ_FIRST(&loop->ready)))
		dispatch(s);
	return 0;
}

int loop_run(struct loop *loop)
{
	int r = 0;

	while (!loop->stopped && r == 0)
		r = loop_run_once(loop);
	loop->stopped = false;
	return r;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

/* ---- sources ---- */

static int source_new(struct loop *loop, enum source_kind kind, int fd, void *userdata,
		      struct loop_source **ret)
{
	struct loop_source *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->kind = kind;
	s->fd = fd;
	s->userdata = userdata;
	loop->n_sources++;
	*ret = s;
	return 0;
}

void loop_source_destroy(struct loop_source *s)
{
	if (!s)
		return;
	unqueue_source(s);
	if (s->event)
		event_free(s->event);
	if ((s->kind == SOURCE_SIGNAL || s->kind == SOURCE_CHILD) && s->fd >= 0)
		close(s->fd);
	s->loop->n_sources--;
	free(s);
}

int loop_source_set_events(struct loop_source *s, unsigned int events)
{
	short what =
		(short)((events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0));

	assert(s->kind != SOURCE_TIMER);
	if (s->event && events == s->events)
		return 0;
	if (s->event && s->events && event_del(s->event) < 0)
		return -EIO;
	s->events = 0;
	if (!s->event)
		s->event = event_new(s->loop->base, s->fd, what | EV_PERSIST, on_event, s);
	else if (event_assign(s->event, s->loop->base, s->fd, what | EV_PERSIST, on_event, s) < 0)
		return -EINVAL;
	if (!s->event)
		return -ENOMEM;
	errno = 0;
	if (events && event_add(s->event, NULL) < 0)
		return errno ? -errno : -EIO;
	s->events = events;
	return 0;
}

/* Start watching @s, or destroy it. */
static int source_start(struct loop_source *s, struct loop_source **ret)
{
	int r = loop_source_set_events(s, LOOP_READ);

	if (r < 0) {
		loop_source_destroy(s);
		return r;
	}
	*ret = s;
	return 0;
}

int loop_add_fd(struct loop *loop, int fd, unsigned int events, loop_fd_fn fn, void *userdata,
		struct loop_source **ret)
{
	struct loop_source *s;
	int r;

	if (fd < 0)
		return -EBADF;
	r = source_new(loop, SOURCE_FD, fd, userdata, &s);
	if (r < 0)
		return r;
	s->on_fd = fn;
	r = loop_source_set_events(s, events);
	if (r < 0) {
		loop_source_destroy(s);
		return r;
	}
	*ret = s;
	return 0;
}

int loop_timer_set(struct loop_source *s, uint64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000),
			      .tv_usec = (suseconds_t)(ms % 1000) * 1000 };

	assert(s->kind == SOURCE_TIMER);
	unqueue_source(s);
	return event_add(s->event, &tv) < 0 ? -ENOMEM : 0;
}

int loop_timer_disarm(struct loop_source *s)
{
	assert(s->kind == SOURCE_TIMER);
	unqueue_source(s);
	return event_del(s->event) < 0 ? -EIO : 0;
}

int loop_add_timer(struct loop *loop, uint64_t ms, loop_timer_fn fn, void *userdata,
		   struct loop_source **ret)
{
	struct loop_source *s;
	int r;

	r = source_new(loop, SOURCE_TIMER, -EBADF, userdata, &s);
	if (r < 0)
		return r;
	s->on_timer = fn;
	s->event = event_new(loop->base, -1, 0, on_event, s);
	r = s->event ? loop_timer_set(s, ms) : -ENOMEM;
	if (r < 0) {
		loop_source_destroy(s);
		return r;
	}
	*ret = s;
	return 0;
}

int loop_add_signal(struct loop *loop, int signo, loop_signal_fn fn, void *userdata,
		    struct loop_source **ret)
{
	struct loop_source *s;
	sigset_t set;
	int fd, r;

	sigemptyset(&set);
	if (sigaddset(&set, signo) < 0)
		return -EINVAL;
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = source_new(loop, SOURCE_SIGNAL, fd, userdata, &s);
	if (r < 0) {
		close(fd);
		return r;
	}
	s->on_signal = fn;
	return source_start(s, ret);
}

int loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *userdata,
		   struct loop_source **ret)
{
	struct loop_source *s;
	int fd, r;

	fd = (int)syscall(SYS_pidfd_open, pid, 0); /* CLOEXEC by itself */
	if (fd < 0)
		return -errno;
	r = source_new(loop, SOURCE_CHILD, fd, userdata, &s);
	if (r < 0) {
		close(fd);
		return r;
	}
	s->pid = pid;
	s->on_child = fn;
	return source_start(s, ret);
}

void loop_child_reset(void)
{
	/*
	 * The kernel's own structure, all zero: SIG_DFL. The C library's call refuses its own two signals,
	 * which posix_spawn(3) leaves ignored in what it starts.
	 */
	const struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} action = { 0 };
	sigset_t none;
	int signo;

	for (signo = 1; signo < NSIG; signo++)
		syscall(SYS_rt_sigaction, signo, &action, NULL, sizeof(action.mask));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}
