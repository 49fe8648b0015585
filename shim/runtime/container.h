/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container.h - a container as the commands see it: its record, who runs it, what state it is in
 *
 * Truth:    the record on disk, which the monitor replaces before it tells anybody, corrected by
 *           what lives: without its monitor a container is stopped and the remains are cleaned up;
 *           without its proxy it is stopped, as a container without its first process is for runc.
 */
#ifndef ONGGI_SHIM_RUNTIME_CONTAINER_H
#define ONGGI_SHIM_RUNTIME_CONTAINER_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"
#include "shim/runtime/client.h"
#include "shim/runtime/command.h"
#include "shim/state.h"

struct container {
	const char *state_root; /* borrowed */
	int rootfd;
	struct container_record *record;
	enum container_status status; /* corrected */
	bool monitor_alive;
};

/* Only checks the form: -EINVAL "invalid container ID format". */
int container_check_id(const char *id, struct err *err);

/* -ENOENT "container '<id>' does not exist", -EINVAL. */
int container_open(const struct runtime *rt, const char *id, struct container **ret,
		   struct err *err);
void container_close(struct container *c);
DEFINE_CLEANUP(struct container *, container_close);

/* Connect to its monitor; -ESRCH "container not running" when there is none. */
int container_connect(const struct container *c, struct client **ret, struct err *err);

/*
 * "@what: why its VM was lost" (without a reason if there was none) for a container that has
 * stopped.
 * Returns -ESRCH.
 */
int container_refuse_stopped(const struct container *c, const char *what, struct err *err);

/* Read the record and who lives again. Errors of container_record_load. */
int container_refresh(struct container *c, struct err *err);

/* How long each step of a removal may take. */
#define CONTAINER_STOP_TIMEOUT_MS 10000

/* Wait for the end of a monitor that does not answer any more, and clean up after it. */
void container_bury_sandbox(const char *state_root, int rootfd, const char *sandbox);

/*
 * A container of the sandbox is gone, or never came to be: unless others are on disk, wait
 * for the monitor's end. Then, or if it died, remove what is left of the sandbox.
 */
void container_settle_sandbox(const char *state_root, int rootfd, const char *sandbox,
			      const char *id);

/*
 * Kill what runs, have the monitor forget the container, wait until its processes are gone (the
 * monitor's too when it was its last container) and remove its folder. Waits at most
 * CONTAINER_STOP_TIMEOUT_MS for each.
 *
 * Returns 0; the errno of the first step that failed, with the reason.
 */
int container_delete(struct container *c, struct err *err);

/*
 * Before a delete that is forced: kill the sandbox's monitor, and so its VM, if it does not answer within CLIENT_STUCK_MS,
 * with a warning. @c says then that it has stopped.
 */
void container_kill_stuck_monitor(struct container *c);

/*
 * Run the hooks of creation (prestart, createRuntime, createContainer): the engine's last word
 * before the container counts as created.
 * @spec      the container's
 * @netns_fd  network namespace of the command, if this process has left it; else -EBADF
 */
int container_create_hooks(const struct runtime *rt, const char *id, const struct oci_spec *spec,
			   int netns_fd, struct err *err);

/* The container has been started. Failures are for the log. */
void container_poststart_hooks(const struct runtime *rt, const char *id, int netns_fd);

/* Folder for FIFOs, as a new string. 0 or -ENOMEM. */
int container_io_dir(const char *state_root, const char *id, char **ret);
/* Path of the task socket of a sandbox, as a new string. 0 or -ENOMEM. */
int container_socket(const char *state_root, const char *sandbox, char **ret);

/*
 * Reserve the id: make its folder. The descriptor holds a lock that tells who is at work on it; a
 * folder without record and without that lock is what a killed create left, and is taken over.
 * -EEXIST "container with given ID already exists".
 */
int container_reserve(const char *state_root, int rootfd, const char *id, int *ret_fd,
		      struct err *err);
/* Undo it, and whatever is in the folder by now. */
void container_unreserve(int rootfd, const char *id);

#endif
