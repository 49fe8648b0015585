/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.h - what create and run have in common: from a bundle to everything that a proxy needs
 *
 * Order:    launch_prepare -> launch_open or launch_fork -> launch_finish;
 *           launch_undo before that when the container did not come to be.
 */
#ifndef ONGGI_SHIM_RUNTIME_LAUNCH_H
#define ONGGI_SHIM_RUNTIME_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"
#include "shim/config.h"
#include "shim/hostcgroup.h"
#include "shim/monitor.h"
#include "shim/runtime/command.h"
#include "shim/runtime/proxy.h"

/* Option values of both commands. */
struct launch_options {
	const char *bundle, *console_socket, *pid_file, *pidfd_socket;
	bool no_pivot, no_new_keyring;
	uint32_t preserve_fds;
};

#define LAUNCH_OPTION(type, member) offsetof(type, launch) + offsetof(struct launch_options, member)

/* Rows for a structure @type that has a member "launch" of struct launch_options. */
#define LAUNCH_OPTION_ROWS(type)                                                              \
	{ "bundle", 'b', OPTION_STRING, LAUNCH_OPTION(type, bundle),                          \
	  "folder of the bundle (default: current folder)" },                                 \
	{ "console-socket", 0, OPTION_STRING, LAUNCH_OPTION(type, console_socket),            \
	  "unix socket that gets the master of the container's terminal" },                   \
	{ "pid-file", 0, OPTION_STRING, LAUNCH_OPTION(type, pid_file),                        \
	  "file to write the pid of the container to" },                                      \
	{ "pidfd-socket", 0, OPTION_STRING, LAUNCH_OPTION(type, pidfd_socket), NULL },        \
	{ "no-pivot", 0, OPTION_FLAG, LAUNCH_OPTION(type, no_pivot),                          \
	  "accepted: the root is pivoted in the guest" },                                     \
	{ "no-new-keyring", 0, OPTION_FLAG, LAUNCH_OPTION(type, no_new_keyring),              \
	  "accepted: keyrings of the workload live in the guest" },                           \
	{ "preserve-fds", 0, OPTION_U32, LAUNCH_OPTION(type, preserve_fds),                   \
	  "0: descriptors cannot be handed into a microVM" }

struct launch {
	char *state_root, *id, *bundle, *io_dir;
	int rootfd, folder_fd;
	struct oci_spec *spec;
	struct config *config;
	struct sandbox_join join;
	struct hostcgroup_origin origin; /* where the command was before it entered the cgroup */
	struct proxy_config proxy; /* borrows from the rest */
};

/*
 * Check options, id, bundle and terminal, reserve the id, find or launch the sandbox.
 *
 * @detached  the command ends before the container does
 * Returns 0; a negative errno with runc's words where engines look for them, and nothing left
 * behind.
 */
int launch_prepare(const struct runtime *rt, const struct launch_options *options, const char *id,
		   bool detached, struct launch **ret, struct err *err);
/*
 * proxy_open and proxy_fork, and their errors. A sandbox that was joined may be about to end,
 * because its last container was deleted in the same moment: then another one is looked for.
 */
int launch_open(struct launch *l, struct proxy **ret, struct err *err);
int launch_fork(struct launch *l, pid_t *ret_pid, struct err *err);

/*
 * Something has failed: delete the container if it exists, have a sandbox that was launched for it
 * end, give the id back. Then launch_finish.
 */
void launch_undo(const struct runtime *rt, struct launch *l);
/*
 * Say on a terminal that the VM that was launched is emulated, because the configuration lets it
 * be: that is no security boundary. Silent elsewhere: engines take what stands on stderr for the
 * container's words.
 */
void launch_warn_of_emulation(const struct launch *l);
/* Delete a container that was created. Returns whether there was one. */
bool launch_delete(const struct runtime *rt, const struct launch *l);
/* Release memory and descriptors. NULL allowed. */
void launch_finish(struct launch *l);
DEFINE_CLEANUP(struct launch *, launch_finish);

/* Shared with exec: -EOPNOTSUPP unless it is 0. */
int launch_check_preserve_fds(uint32_t preserve_fds, struct err *err);
/* Shared with exec: runc's rules about terminals and sockets. -EINVAL in runc's words. */
int launch_check_console(bool terminal, bool detached, const char *console_socket, struct err *err);

#endif
