/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the event loop of every long-lived process
 *
 * Shape:    level-triggered callbacks; one loop per process, one thread.
 * Sources:  fds, one-shot timers, signals (through a signalfd: the signal is blocked in the
 *           process), children (through a pidfd). A timer of 0 ms is a deferred call. A source is
 *           owned by who added it; destroying it inside its own callback is allowed.
 * Children: processes forked from here inherit the blocked signal mask; call loop_child_reset
 *           before exec.
 * Errors:   0, or a negative errno: -ENOMEM, and those of the system call behind a source.
 * Backend:  libevent, which no other file includes.
 */
#ifndef ONGGI_COMMON_LOOP_H
#define ONGGI_COMMON_LOOP_H

#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/types.h>

#include "common/cleanup.h"

struct loop;
struct loop_source;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2 };

/* Returns 0 or -ENOMEM. */
int loop_create(struct loop **ret);
void loop_destroy(struct loop *loop); /* sources still there are an error of ours: assert */
DEFINE_CLEANUP(struct loop *, loop_destroy);

/* Run until loop_stop, or (returns -EDEADLK) until no source is left. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/*
 * Wait for events once and dispatch them; -EDEADLK when nothing is left to wait for. For
 * synchronous calls of command-line clients. May be called inside a callback, which may then be
 * entered again itself.
 */
int loop_run_once(struct loop *loop);

/* @events: a mask of enum loop_events; 0 is allowed and keeps the source asleep. */
typedef void (*loop_fd_fn)(int fd, unsigned int events, void *userdata);
int loop_add_fd(struct loop *loop, int fd, unsigned int events, loop_fd_fn fn, void *userdata,
		struct loop_source **ret);
int loop_source_set_events(struct loop_source *s, unsigned int events);

/* One-shot timer; re-arm with loop_timer_set. 0 ms fires in the next round. */
typedef void (*loop_timer_fn)(void *userdata);
int loop_add_timer(struct loop *loop, uint64_t ms, loop_timer_fn fn, void *userdata,
		   struct loop_source **ret);
int loop_timer_set(struct loop_source *s, uint64_t ms);
int loop_timer_disarm(struct loop_source *s);

/* @info is what signalfd(2) delivered. */
typedef void (*loop_signal_fn)(const struct signalfd_siginfo *info, void *userdata);
int loop_add_signal(struct loop *loop, int signo, loop_signal_fn fn, void *userdata,
		    struct loop_source **ret);

/*
 * Call @fn once when the child @pid has ended; it has been reaped by then.
 * @status is a wait(2) status. Only for own children.
 */
typedef void (*loop_child_fn)(pid_t pid, int status, void *userdata);
int loop_add_child(struct loop *loop, pid_t pid, loop_child_fn fn, void *userdata,
		   struct loop_source **ret);

/* Remove and free; NULL is allowed. */
void loop_source_destroy(struct loop_source *s);
DEFINE_CLEANUP(struct loop_source *, loop_source_destroy);

/* In a forked child: default dispositions for all signals, nothing blocked. Async-signal-safe. */
void loop_child_reset(void);

#endif
