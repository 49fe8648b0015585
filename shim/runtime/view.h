/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - the container's file system, as a mount namespace for the process that stands for it
 *
 * Why:      engines go to files of a running container through /proc/PID/ns/mnt and /proc/PID/root
 *           of the pid they were given (`podman cp`, `podman top`). With the host's own mount
 *           namespace there they would read and write files of the host.
 * Shape:    "/" is the root file system, bind mounts are where the guest has them, /proc is that of
 *           the caller's PID namespace. What exists in the guest only (tmpfs and the like) is not
 *           there.
 * Rule:     afterwards "/" is a tree that the guest can write: whoever called must not resolve a
 *           path any more.
 * Source:   mount_namespaces(7), open_tree(2), pivot_root(2).
 * Process:  the proxy of a container that `create` or `run --detach` leaves behind.
 */
#ifndef ONGGI_SHIM_RUNTIME_VIEW_H
#define ONGGI_SHIM_RUNTIME_VIEW_H

#include "common/err.h"
#include "common/oci.h"

/*
 * Enter the view. The container has been created, so that its mount points are there; one that is
 * not is left out.
 *
 * @spec    the container's
 * @bundle  absolute; relative paths of the specification start there
 *
 * Returns 0 or a negative errno of open_tree(2), unshare(2), move_mount(2), pivot_root(2); the
 * process is to end then.
 */
int view_enter(const struct oci_spec *spec, const char *bundle, struct err *err);

#endif
