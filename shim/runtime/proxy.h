/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.h - the process that stands for a container's process on the host
 *
 * Theory:   engines treat a runtime as a command that leaves a process behind. This is that
 *           process: it owns the stdio it was given, passes signals on, tells the monitor of
 *           terminal sizes, and ends with the workload's exit code. For "run" and "exec" in the
 *           foreground the command itself is the proxy; else it is forked off.
 * Life:     its connection is its life line both ways: when the proxy is killed the monitor kills
 *           the process; when the connection breaks before an exit code is known the proxy ends
 *           with PROXY_EXIT_LOST.
 * Order:    proxy_open -> (proxy_start) -> proxy_wait -> proxy_close; or proxy_fork, which does all
 *           of that in a child.
 * Source:   runc's behaviour towards conmon, containerd-shim-runc-v2 and buildah; docs/runtime.md.
 */
#ifndef ONGGI_SHIM_RUNTIME_PROXY_H
#define ONGGI_SHIM_RUNTIME_PROXY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"
#include "shim/hostcgroup.h"
#include "shim/runtime/console.h"

/* As if killed by SIGKILL, which is what became of the workload. */
#define PROXY_EXIT_LOST 137

/* How the process that proxy_fork leaves begins in ps, before the arguments of the container's. */
#define PROXY_TITLE "onggi-proxy:"

struct proxy_config {
	const char *socket; /* of the sandbox's monitor */
	const char *id;
	const char *exec_id; /* NULL: the container's first process */
	const char *io_dir;  /* absolute folder for FIFOs; made if missing */
	const char *bundle;  /* absolute; of the first process */
	const char *process; /* OCI process object; of an exec */
	const struct oci_spec *spec; /* of the first process, for proxy_fork: see view.h. Borrowed */
	char *const *args;   /* of the process, for proxy_fork: what ps shows. Borrowed */
	uint64_t create_timeout_ms;
	bool terminal;
	bool foreground; /* the caller's own terminal instead of a pty */
	bool start;                 /* proxy_fork: start the process as well */
	const char *console_socket; /* with terminal and not foreground */
	struct console_size size;   /* of the terminal; 0, 0: unknown */
	const struct hostcgroup *cgroup; /* proxy_fork: to enter; NULL: stay. Borrowed */
	int netns_fd;               /* network namespace to enter; -EBADF: stay. Borrowed */
};

/* From proxy_open and proxy_fork: the monitor ended before it could answer. */
#define PROXY_MONITOR_ENDED (-ESTALE)

/*
 * A signal that would end a process (SIGINT, SIGTERM, …), or the end of the command that forked the
 * proxy, ends it too until its process has been created.
 */

struct proxy;

/*
 * Enter the network namespace, make the FIFOs, have the monitor create (or register) the process,
 * attach to it.
 * Returns 0 or a negative errno with the reason (PROXY_MONITOR_ENDED among them); what was made
 * here is undone then.
 */
int proxy_open(const struct proxy_config *config, struct proxy **ret, struct err *err);
/*
 * Start the process: always for an exec, for a container only by "run". After a failure, which
 * has the monitor's reason, the process is gone.
 */
int proxy_start(struct proxy *p, struct err *err);
/*
 * Move bytes and pass signals until the process has ended and its output was delivered. Returns the
 * exit code, 0 to 255. @err is set when monitor or virtual machine were lost, or output could not be
 * written; without it (NULL) the latter is told behind the container's stderr.
 */
int proxy_wait(struct proxy *p, struct err *err);
/*
 * Have the monitor forget the process (an exec that ended, a container that "run" created). 0
 * also when the monitor is gone.
 */
int proxy_delete(struct proxy *p, struct err *err);
/* Give the terminal its mode back, close everything. */
void proxy_close(struct proxy *p);
DEFINE_CLEANUP(struct proxy *, proxy_close);

/*
 * Do all of it in a child that stays: it reports through a pipe when the process is created (and
 * started), then lives until the workload ends. The child keeps nothing of its parent's but stdio
 * and its environment.
 *
 * Returns 0 with the child's pid, or a negative errno with the child's reason; the child has been
 * reaped then. -EINTR: a signal came that the caller has blocked (proxy_block_signals); then the
 * container may exist, with a proxy that was killed.
 */
int proxy_fork(const struct proxy_config *config, pid_t *ret_pid, struct err *err);

/*
 * Block the signals that a proxy passes on, so that none is lost, and none kills the command
 * between the launch of a sandbox and proxy_open.
 */
void proxy_block_signals(void);

#endif
