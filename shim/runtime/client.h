/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - calls to a sandbox monitor from the command line
 *
 * Shape:    one connection, one loop, calls that wait; each returns 0 or the errno of the answer's
 *           status with the monitor's message in @err.
 * Peer:     the monitor of our own user; it repeats text from the guest in messages, which the
 *           logger escapes.
 * Words:    engines match texts. A call about a process that is gone yields -ESRCH and "container
 *           not running".
 * Limits:   CLIENT_TIMEOUT_MS for each call but Create (boots a VM), Exec, Start and Wait. Whatever is
 *           waited for but Wait, a monitor that hangs ends it: -ETIMEDOUT, and the text names process and remedy.
 */
#ifndef ONGGI_SHIM_RUNTIME_CLIENT_H
#define ONGGI_SHIM_RUNTIME_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

/* Under emulation with many guests at once a pause or kill can take seconds. */
#define CLIENT_TIMEOUT_MS 60000
/* A monitor that has not answered for so long hangs, ms: what it does itself takes 5 s at most, on a busy host more. */
#define CLIENT_STUCK_MS 20000
/* Beside the guest's own time to boot. */
#define CLIENT_CREATE_MARGIN_MS 60000

struct client;

/*
 * @id: the container that it is about, for texts. @gone (may be NULL) runs once when the monitor closes the connection. -ECONNREFUSED, -ENOENT: no
 * monitor there. -ETIMEDOUT: it hangs.
 */
int client_connect(const char *socket, const char *id, void (*gone)(void *userdata), void *userdata,
		   struct client **ret, struct err *err);
void client_destroy(struct client *c);
DEFINE_CLEANUP(struct client *, client_destroy);

/* The loop its calls run in. */
struct loop *client_loop(struct client *c);

/*
 * Watch the monitor while the caller runs the loop for calls about container @id (borrowed until
 * client_watch_end). When it hangs, all calls in flight end with -ETIMEDOUT.
 */
void client_watch_begin(struct client *c, const char *id);
void client_watch_end(struct client *c);
/* 0, or -ETIMEDOUT with the reason when the monitor was found to hang. */
int client_is_stuck(const struct client *c, const char *id, struct err *err);

/* A process of the monitor: @exec_id is NULL for the container's first one. */
struct client_process {
	const char *id, *exec_id;
	bool tells_loss; /* for client_create and client_attach: see AttachRequest */
};

/* FIFO paths, NULL for a stream that is not there. */
struct client_stdio {
	const char *in, *out, *err;
	bool terminal;
};

/*
 * Create a container and attach to it, which happens at once: the monitor gives it up when the
 * caller ends before it is created.
 *
 * @stop  looked at whenever something has happened; not 0: give up, -EINTR. The client can only be
 *        destroyed then.
 */
int client_create(struct client *c, struct client_process p, const char *bundle,
		  const struct client_stdio *stdio, uint64_t timeout_ms, const int *stop,
		  struct err *err);
/* Register an exec. @process: text of an OCI process object. */
int client_exec(struct client *c, struct client_process p, const char *process,
		const struct client_stdio *stdio, struct err *err);
/* Stand for the process from now on: it is killed when this connection ends before it does. */
int client_attach(struct client *c, struct client_process p, struct err *err);
/* Run the createContainer hooks, which may take any time. */
int client_run_hooks(struct client *c, const char *id, struct err *err);
/* Wait until the container is not paused, or has ended, however long that takes. */
int client_wait_resumed(struct client *c, const char *id, struct err *err);
/* As the methods of containerd.task.v2.Task of these names. */
int client_start(struct client *c, struct client_process p, struct err *err);
int client_kill(struct client *c, struct client_process p, int signal, bool all, struct err *err);
/* A call that the monitor answers by itself, whatever its guest does. -ETIMEDOUT: it hangs. */
int client_ping(struct client *c, const char *id, uint64_t timeout_ms, struct err *err);
int client_delete(struct client *c, struct client_process p, struct err *err);
int client_pause(struct client *c, const char *id, struct err *err);
int client_resume(struct client *c, const char *id, struct err *err);
/* Wait at most @timeout_ms (0: for ever) for the end; -ETIMEDOUT. @ret_status may be NULL. */
int client_wait(struct client *c, struct client_process p, uint64_t timeout_ms,
		uint32_t *ret_status, struct err *err);

/* Calls whose end nobody waits for here; failures are dropped. */
void client_kill_async(struct client *c, struct client_process p, int signal);
void client_resize_async(struct client *c, struct client_process p, uint16_t columns,
			 uint16_t rows);
void client_close_input_async(struct client *c, struct client_process p);
/* @done runs once, with a negative errno when the call failed. */
int client_wait_async(struct client *c, struct client_process p,
		      void (*done)(int error, uint32_t status, void *userdata), void *userdata,
		      struct err *err);

/* @resources: text of an OCI "linux.resources" object. */
int client_update(struct client *c, const char *id, const char *resources, struct err *err);

/* A packed io.containerd.cgroups.v2.Metrics. */
struct client_stats {
	void *metrics;
	size_t len;
};
/* *ret is released with client_stats_finish. */
int client_stats(struct client *c, const char *id, struct client_stats *ret, struct err *err);
void client_stats_finish(struct client_stats *stats);
/*
 * @stats is valid during the call; NULL when @code says that it failed. -ENOMEM, -EPIPE: @done
 * does not run.
 */
int client_stats_async(struct client *c, const char *id,
		       void (*done)(int code, const struct client_stats *stats, void *userdata),
		       void *userdata, struct err *err);
/*
 * Wait for the memory limit to have killed more than @seen processes, or the container to end.
 * -ENOMEM, -EPIPE: @done does not run.
 */
int client_wait_oom_async(struct client *c, const char *id, uint64_t seen,
			  void (*done)(int code, uint64_t kills, bool ended, void *userdata),
			  void *userdata, struct err *err);

/* Why the monitor's VM was given up, freed by the caller; -ENODATA: it was not. */
int client_lost_reason(struct client *c, const char *id, char **ret, struct err *err);

/* One process as the guest numbers it. */
struct client_guest_process {
	uint32_t pid;
	char *command;
};
/* *ret is released with client_processes_free. */
int client_processes(struct client *c, const char *id, struct client_guest_process **ret,
		     size_t *ret_n, struct err *err);
void client_processes_free(struct client_guest_process *p, size_t n);

#endif
