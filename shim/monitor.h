/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the sandbox monitor: one process per VM, and how it is launched, joined and cleaned
 * up after
 *
 * Shape:    the monitor is a role of the same binary (fork + exec of /proc/self/exe with
 *           MONITOR_ROLE as first argument). It serves containerd.task.v2.Task,
 *           containerd.task.v3.Task and onggi.sandbox.v1.Sandbox on <root>/sandboxes/<id>/task.sock
 *           until its last container is deleted.
 * Life:     the VM starts with the monitor, ends when no container is created or running any more;
 *           the monitor ends when the last container has been deleted, when its launcher ends
 *           without having created one, or nothing was created within MONITOR_IDLE_TIMEOUT_MS of
 *           its start.
 * Death:    when the monitor dies, VMM and file server die by PDEATHSIG, proxies by their closed
 *           connection; the rest is on disk and goes with sandbox_clean_up.
 */
#ifndef ONGGI_SHIM_MONITOR_H
#define ONGGI_SHIM_MONITOR_H

#include "common/err.h"
#include "common/oci.h"
#include "shim/config.h"
#include "shim/state.h"

#define MONITOR_ROLE "sandbox-monitor"
#define MONITOR_IDLE_TIMEOUT_MS 60000

/* A caller that speaks to the monitor itself and wants to hear of events, as containerd does. */
struct monitor_engine {
	const char *events;    /* socket of its event service; "": none */
	const char *namespace; /* of it */
	const char *log;       /* FIFO or file for the monitor's log; NULL: the sandbox's own */
};

/* Entry of the role. Returns the exit code of the process. */
int monitor_main(int argc, char **argv);

struct sandbox_join {
	char *id;     /* of the sandbox */
	char *socket; /* path of its task socket */
	int netns_fd; /* network namespace that the container's proxy enters; -EBADF: none */
	bool created; /* a monitor was started for it */
	/*
	 * While this is open, a monitor that was started here waits for its first container. -EBADF:
	 * none was.
	 */
	int life_fd;
};
/* Frees the texts, closes the descriptors. */
void sandbox_join_finish(struct sandbox_join *j);

/*
 * Find the running sandbox that @spec belongs to (the same network namespace) or launch a new
 * monitor, whose id is @container_id (with a suffix, if a sandbox of that id lives). Under the
 * root's lock. A network namespace without a path is made anew; none in the list (the host's) is
 * refused. CRI's annotation of the sandbox id only confirms: tenants write annotations too. -EPERM
 * when it contradicts.
 *
 * @state_root  absolute path
 * Returns 0 with @ret filled (free with sandbox_join_finish); errnos with the reason, nothing left
 * behind.
 */
int sandbox_find_or_launch(const char *state_root, const char *container_id, const struct oci_spec *spec,
			   const struct config *config, struct sandbox_join *ret, struct err *err);
/*
 * The same for an engine (NULL: none), which is told of events. The monitor then waits for it, not
 * for the caller's end.
 */
int sandbox_find_or_launch_for(const struct monitor_engine *engine, const char *state_root,
			       const char *container_id, const struct oci_spec *spec,
			       const struct config *config, struct sandbox_join *ret, struct err *err);

/*
 * Remove what a dead monitor left: kill processes of the record, remove FIFOs, sockets and the
 * sandbox's folder. Containers of it become stopped (137) unless already so. Idempotent.
 *
 * Returns 0, also when its monitor lives: nothing is done then; errnos of the lock and of
 * removing.
 */
int sandbox_clean_up(const char *state_root, const char *sandbox_id, struct err *err);

/* The same for every sandbox of the root whose monitor is dead. What cannot be removed stays. */
void sandbox_sweep(const char *state_root);

#endif
