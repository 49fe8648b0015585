/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup_mounts.h - the cgroup hierarchies that are mounted on this machine
 *
 * Shape:    version 1 (one per controller or set of them, and "name=systemd"), version 2, or both
 *           ("hybrid"). One mount point is chosen for each: below /sys/fs/cgroup if there is one
 *           that can be reached, so that paths are those that engines know.
 * Source:   proc(5), "mountinfo"; cgroups(7), "/proc/[pid]/cgroup".
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_MOUNTS_H
#define ONGGI_SHIM_HOSTCGROUP_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define HOSTCGROUP_HIERARCHIES_MAX 24

struct hostcgroup_mount {
	char *controllers; /* "cpu,cpuacct", "name=systemd"; "" version 2 */
	char *mount;       /* mount point */
	/*
	 * Cgroup of this process, as a path below the mount point ("/…"); "/" when it lies outside of what is
	 * mounted.
	 */
	char *own;
};

struct hostcgroup_mounts {
	struct hostcgroup_mount list[HOSTCGROUP_HIERARCHIES_MAX];
	size_t n;
	bool unified; /* version 2 holds the controllers: no hierarchy of version 1 has one */
};

/*
 * Returns 0 (release with hostcgroup_mounts_finish), also when there are none; -E2BIG over
 * HOSTCGROUP_HIERARCHIES_MAX; errnos of reading /proc.
 */
int hostcgroup_mounts_read(struct hostcgroup_mounts *ret, struct err *err);
/*
 * The same from texts, without looking whether the mount points can be reached. For the tests.
 * -E2BIG, -ENOMEM.
 */
int hostcgroup_mounts_parse(const char *mountinfo, const char *cgroup, struct hostcgroup_mounts *ret);
void hostcgroup_mounts_finish(struct hostcgroup_mounts *m);

/* Whether the comma separated @controllers have @name. */
bool hostcgroup_has_controller(const char *controllers, const char *name);

#endif
