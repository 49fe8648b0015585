/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.h - /dev of a container
 *
 * Rules:    only character devices that can do no harm in the guest are made: the memory class
 *           (null, zero, full, random, urandom), tty, console, ptmx, fuse and tun. Anything else is
 *           refused by name. /dev must be a real directory inside the root; nothing below it is
 *           followed.
 * Process:  a container's init child, before pivot_root.
 * Source:   OCI config-linux.md "Devices", "Default Devices".
 */
#ifndef ONGGI_AGENT_DEVICE_H
#define ONGGI_AGENT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/mount.h"
#include "common/err.h"
#include "common/oci.h"

/* Whether the guest makes this node for a container. */
bool device_allowed(char type, int64_t major, int64_t minor);

/*
 * Check linux.devices before anything is started. A privileged container (one rule allows all
 * devices) lists whatever its host has: there the nodes that the guest does not make are left out
 * and counted in *ret_skipped.
 * Returns 0; -EOPNOTSUPP, -EINVAL, named.
 */
int device_check(const struct oci_spec *spec, size_t *ret_skipped, struct err *err);

/* Whether /dev is ours to fill: not when the spec binds something there. */
bool device_setup_wanted(const struct oci_spec *spec);

/*
 * Make the default nodes, the spec's, and the usual links. 0, or a negative errno that names the
 * node.
 */
int device_setup(const struct mount_tree *tree, const struct oci_spec *spec, struct err *err);

/*
 * Bind the terminal @slave onto /dev/console. Its devpts must be mounted in the container by now.
 * Errnos of open_tree(2), move_mount(2).
 */
int device_bind_console(const struct mount_tree *tree, int slave, struct err *err);

#endif
