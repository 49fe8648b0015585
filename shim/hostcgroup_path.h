/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup_path.h - what "linux.cgroupsPath" means
 *
 * Peer:     an engine's specification: lengths and depth are bounded, ".." is refused.
 * Source:   OCI runtime-spec config-linux.md, "Cgroups Path"; runc's behaviour; systemd.slice(5),
 *           systemd.unit(5) for names.
 * Not here: anything that touches the host (hostcgroup.h).
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_PATH_H
#define ONGGI_SHIM_HOSTCGROUP_PATH_H

#include <stdbool.h>

#include "common/cleanup.h"
#include "common/err.h"

#define HOSTCGROUP_PATH_MAX 2048
#define HOSTCGROUP_DEPTH_MAX 32
/* Top of the cgroups of containers whose specification names none. */
#define HOSTCGROUP_DEFAULT_PARENT "/onggi"

struct hostcgroup_path {
	char *path;    /* begins with "/", single slashes, no "." */
	bool relative; /* below the cgroup of the caller instead of the hierarchy's top */
	char *unit;    /* systemd driver: name of the scope; NULL: the cgroup file system alone */
	char *slice;   /* systemd driver: the slice it is in */
};

/*
 * Parse what a specification says.
 *
 * @text        linux.cgroupsPath; NULL or "": none, see below
 * @systemd     "slice:prefix:name" is meant (--systemd-cgroup); else a path
 * @id          of the container
 * @state_root  of the container
 *
 * Without a path it is HOSTCGROUP_DEFAULT_PARENT/<id>, a folder of our own rather than the caller's
 * cgroup: an engine that ends must not take its containers along, and they are found in one place.
 * Another state root than the default one adds a mark to the id, because ids are unique in a state
 * root only. With systemd the slice is "system.slice", the prefix "onggi".
 *
 * Returns 0 (release with hostcgroup_path_finish); -EINVAL not that form, a component "..", a
 * control character, an impossible slice name; -ENAMETOOLONG over HOSTCGROUP_PATH_MAX bytes, 255 a
 * component, or HOSTCGROUP_DEPTH_MAX components; -ENOMEM.
 */
int hostcgroup_path_parse(const char *text, bool systemd, const char *id, const char *state_root,
			  struct hostcgroup_path *ret, struct err *err);
void hostcgroup_path_finish(struct hostcgroup_path *p);

#endif
