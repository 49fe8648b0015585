/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup.h - the cgroups of one container on the host, in every hierarchy
 *
 * Shape:    one folder of the same path in each hierarchy of version 1, or one of version 2, which
 *           stays a leaf: processes and controllers are at the same place, so that engines, which
 *           go by /proc/<pid>/cgroup, find figures and events of the whole sandbox there.
 * In it:    the container's proxies; the monitor with VMM and file server are in the one of the
 *           container that the sandbox was started for. The command that creates enters first, and
 *           all that it starts is born inside.
 * Record:   containers/<id>/cgroup.json, written before the first folder is made: what a killed
 *           create left can be found and removed. It says which folders were not there before.
 * Order:    hostcgroup_create (enters) -> fork -> hostcgroup_leave; hostcgroup_load by others;
 *           hostcgroup_remove.
 * Process:  command line and monitor.
 * Source:   the kernel's admin-guide/cgroup-v1 and cgroup-v2; cgroups as runc places them.
 * Not here: limits (hostcgroup_limits.h), D-Bus (hostcgroup_systemd.h), OOM (hostcgroup_oom.h).
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_H
#define ONGGI_SHIM_HOSTCGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "shim/hostcgroup_mounts.h"

/* How long processes that are ending may keep a cgroup from being removed. */
#define HOSTCGROUP_REMOVE_TIMEOUT_MS 20000

struct hostcgroup_limits; /* hostcgroup_limits.h */

struct hostcgroup_dir {
	char *controllers; /* as of hostcgroup_mounts.h */
	char *mount, *path; /* the folder is one behind the other; path begins with "/" */
	uint64_t made;      /* so many of the path's last components were not there before */
};

struct hostcgroup {
	char *unit;   /* systemd's scope; NULL: the cgroup file system alone */
	bool unified; /* version 2 holds the controllers */
	struct hostcgroup_dir dirs[HOSTCGROUP_HIERARCHIES_MAX];
	size_t n;
};

/* Where the caller was before; released by hostcgroup_leave. */
struct hostcgroup_origin {
	int fds[HOSTCGROUP_HIERARCHIES_MAX]; /* folders, in the order of the hostcgroup's; -EBADF: none */
	size_t n;
};

struct hostcgroup_options {
	const char *cgroups_path; /* of the specification; NULL: none */
	const char *id, *state_root;
	bool systemd;
	const struct hostcgroup_limits *limits; /* for systemd, of a first container; NULL: none */
};

/*
 * Make the cgroups of a container and enter them with the calling process (single-threaded).
 *
 * @rootfd  state root; folder containers/<id> exists
 * @origin  filled for hostcgroup_leave
 *
 * On a machine without cgroups there is nothing to do: 0 with no folder at all.
 * Returns 0; those of hostcgroup_path_parse; -EBUSY a cgroup of that path has processes in it;
 * -ENOTSUP systemd is asked for and cannot be reached; errnos of mkdir(2) and of writing
 * cgroup.procs with the path in @err. Nothing is left then and the caller is where it was.
 */
int hostcgroup_create(int rootfd, const struct hostcgroup_options *options, struct hostcgroup **ret,
		      struct hostcgroup_origin *origin, struct err *err);
/* Back to where the caller was; where that is impossible it stays. Harmless twice. */
void hostcgroup_leave(struct hostcgroup_origin *origin);
#define HOSTCGROUP_ORIGIN_INIT { .n = 0 }

/* -ENOENT: the container has none. */
int hostcgroup_load(int rootfd, const char *id, struct hostcgroup **ret, struct err *err);
void hostcgroup_free(struct hostcgroup *h);
DEFINE_CLEANUP(struct hostcgroup *, hostcgroup_free);

/* Enter with the calling process alone. All hierarchies are tried; the first error is returned. */
int hostcgroup_enter(const struct hostcgroup *h, struct err *err);

/*
 * Out of any container's cgroup, to the top of each hierarchy, with the calling process: for what
 * serves the machine and may outlive the container that has caused it. As far as possible.
 */
void hostcgroup_enter_top(void);

/* Whether process @pid is in it (in its first hierarchy, that is). */
bool hostcgroup_holds(const struct hostcgroup *h, pid_t pid);
/* Move every process of @from into @to. 0, or the first errno; as many as possible are moved. */
int hostcgroup_move_all(const struct hostcgroup *from, const struct hostcgroup *to, struct err *err);

/*
 * Remove what was made for the container @id, and the record. Processes that are ending are waited
 * for. 0 also when there is none. -EBUSY processes stay in it after HOSTCGROUP_REMOVE_TIMEOUT_MS;
 * the rest is removed.
 */
int hostcgroup_remove(int rootfd, const char *id, struct err *err);

/* ---- within hostcgroup*.c ---- */

/* The folder of hierarchy @d. Negative errno. */
int hostcgroup_open_dir(const struct hostcgroup_dir *d);
/*
 * The one whose controllers have @name, or that of version 2 when that holds the controllers. NULL:
 * none.
 */
const struct hostcgroup_dir *hostcgroup_find(const struct hostcgroup *h, const char *name);
/* -ENOMEM; errnos of io_replace_file. */
int hostcgroup_record_save(int rootfd, const char *id, const struct hostcgroup *h, struct err *err);

#endif
