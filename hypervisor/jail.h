/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail.h - starting a program that a guest may take over (VMM, file server)
 *
 * Shape:    fork, a table of steps in the child, exec. A step that fails ends the child, and its
 *           name and errno reach the caller: nothing is ever started half confined.
 * Process:  the sandbox monitor, single-threaded (PDEATHSIG follows the thread that forked).
 * After it: the program dies with its parent; has no_new_privs, only the capabilities asked for
 *           (bounding set too), own namespaces, rlimits, a clean environment, stdin and stdout
 *           null, stderr a pipe, not one descriptor but those listed, and (if asked for) a root
 *           file system that shows the places listed and nothing else (jail_root.h), a user, and no
 *           supplementary group but one asked for; and a filter of system calls.
 * Not here: cgroup.
 */
#ifndef ONGGI_HYPERVISOR_JAIL_H
#define ONGGI_HYPERVISOR_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "hypervisor/filter/filter.h"
#include "hypervisor/jail_root.h"

/* Number of the first descriptor of jail.fds in the program; the others follow. */
#define JAIL_FD_FIRST 3
#define JAIL_FDS_MAX 16

struct jail {
	const char *path;    /* of the program */
	char *const *argv;   /* NULL-terminated */
	const int *fds;      /* become JAIL_FD_FIRST, JAIL_FD_FIRST + 1, …; borrowed */
	size_t n_fds;        /* at most JAIL_FDS_MAX */
	int stderr_fd;       /* borrowed; -1: null */
	bool stdout_too;     /* stdout goes where stderr goes, instead of null */
	/* CLONE_NEWNET | CLONE_NEWIPC | …; 0: none. With CLONE_NEWPID the program is PID 1 of its namespace. */
	int unshare_flags;
	const struct jail_place *places; /* in the program's own root; borrowed. NULL: the caller's root */
	size_t n_places;
	uint32_t user;       /* uid and gid, which cost it all keep_caps; 0: the caller's */
	bool with_group;     /* such a user has @group as its only supplementary one; else none */
	gid_t group;
	bool caps_of_any_uid; /* a change of the effective uid takes none of them away */
	uint64_t keep_caps;  /* bit N: CAP_N stays (as far as the caller has it) */
	const struct filter *filter; /* of its system calls, execve of the program included; borrowed. NULL: none */
	uint64_t nofile_max; /* RLIMIT_NOFILE, lowered to the hard limit; 0: as inherited */
	uint64_t memlock_max_bytes; /* RLIMIT_MEMLOCK, lowered to the hard limit */
};

/*
 * Start @jail.path.
 *
 * @ret_pid  the child; the caller reaps it
 *
 * Returns 0 once the program runs (exec succeeded), or what the step or exec failed with: -ENOENT,
 * -EACCES, -EPERM, -EINVAL more than JAIL_FDS_MAX descriptors or a user with keep_caps, errnos of fork and pipe. The child
 * is reaped then.
 */
int jail_spawn(const struct jail *jail, pid_t *ret_pid, struct err *err);

#endif
