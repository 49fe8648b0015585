/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_role.h - what launcher and monitor agree on: arguments, descriptors, and the word that it
 * is ready
 *
 * Process:  both sides of the fork in sandbox_launch.c.
 */
#ifndef ONGGI_SHIM_MONITOR_ROLE_H
#define ONGGI_SHIM_MONITOR_ROLE_H

#include <stdint.h>

#include "common/err.h"
#include "hypervisor/hypervisor.h"
#include "shim/config.h"
#include "shim/sandbox.h"

/*
 * Descriptors that the monitor is born with, beside stdio on /dev/null. MONITOR_FD_READY is a pipe
 * whose reader is the launcher: it carries two messages, that the sandbox is registered (the
 * launcher holds the lock of the state folder until then) and that its VMM runs, and stays open to
 * show the launcher's end.
 */
enum monitor_fd { MONITOR_FD_LISTEN = 3, MONITOR_FD_READY, MONITOR_FD_NETNS, MONITOR_FD_END };

/*
 * How long a launcher waits for each of the two; the guest has not booted by then.
 */
#define MONITOR_READY_TIMEOUT_MS 20000

struct monitor_args {
	char *root, *id, *cri_sandbox_id;
	char *netns_path; /* as the spec names it; NULL: it is the sandbox's own */
	unsigned int vcpus;
	uint64_t memory_mib;
	struct machine_need pod;
	char *trace; /* trace.h; NULL: none */
	uint64_t trace_start_us;
	/* struct monitor_engine; engine_namespace NULL: none */
	char *engine_events, *engine_namespace, *engine_log;
	struct config config;
};

/*
 * As an argument vector for execv, @role its second entry; every entry and the vector are freed by
 * monitor_argv_free.
 * NULL: no memory.
 */
char **monitor_argv(const char *role, const struct monitor_args *args);
void monitor_argv_free(char **argv);
/* @argv[0] is the program, @argv[1] the role. @ret borrows from @argv. -EINVAL with the reason. */
int monitor_args_parse(int argc, char **argv, struct monitor_args *ret, struct err *err);

/* Tell the launcher: @code 0, or a negative errno with the reason. -EPIPE: it has given up. */
int monitor_ready_send(int fd, int code, const char *text);
/*
 * The launcher's side, for each message: 0; the monitor's errno and reason; -EPIPE it ended;
 * -ETIMEDOUT.
 */
int monitor_ready_wait(int fd, struct err *err);

/*
 * The role with a driver and file server of the caller's choice; NULL: those of the
 * configuration. Returns the exit code of the process.
 */
int monitor_run(int argc, char **argv, const struct vm_driver *driver,
		const struct sandbox_files_ops *files);

#endif
