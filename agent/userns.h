/* SPDX-License-Identifier: Apache-2.0 */
/*
 * userns.h - user namespaces of containers
 *
 * Shape:    made by the agent before the container's first process, kept as a descriptor with its
 *           mappings. "Host" ids of the mappings are the guest's, which are the host's too: the
 *           file share carries numbers as they are.
 * Use:      a container is set up by a process in the agent's own user namespace, which may mount
 *           sysfs, make device nodes and the like; it enters the container's as the last thing
 *           before it changes its user, with a mount namespace that belongs there. So the mounts of
 *           the specification are locked for the container, and its other namespaces (pid, ipc,
 *           uts, network) belong to the guest.
 * Source:   user_namespaces(7).
 */
#ifndef ONGGI_AGENT_USERNS_H
#define ONGGI_AGENT_USERNS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

struct userns;

/*
 * A new one with the mappings of @spec.
 * Returns 0; -EINVAL no mappings, or such that the kernel refuses; -EAGAIN, -ENOMEM.
 */
int userns_create(const struct oci_spec *spec, struct userns **ret, struct err *err);
/* NULL is allowed. Processes in it keep it. */
void userns_destroy(struct userns *u);
DEFINE_CLEANUP(struct userns *, userns_destroy);

/* Its descriptor, borrowed; -1 for NULL. */
int userns_fd(const struct userns *u);

/*
 * An id of the container to the guest's. @u NULL: they are the same.
 * Returns 0; -EINVAL it is not mapped.
 */
int userns_uid(const struct userns *u, uint32_t id, uint32_t *ret);
int userns_gid(const struct userns *u, uint32_t id, uint32_t *ret);

/*
 * Translate the values of "uid=" and "gid=" in the options of a file system.
 *
 * @options  comma separated; NULL: none
 * @ret      for the caller to free; NULL when @options is
 * Returns 0; -EINVAL one that is not mapped; -ENOMEM.
 */
int userns_translate(const struct userns *u, const char *options, char **ret, struct err *err);

/*
 * Have files that this process makes from now on belong to the container's root, as if it were in
 * the namespace; its capabilities stay. No effect without a namespace or a mapping of root.
 * Errors of capability_set_effective.
 */
int userns_make_files_as_root(const struct userns *u, struct err *err);

/*
 * Enter the namespace behind @fd, with all capabilities there and none in the guest.
 *
 * @new_mounts  go on in a mount namespace of its own: a copy whose mounts are locked
 *
 * Returns 0, or errnos of setns(2), unshare(2).
 */
int userns_enter(int fd, bool new_mounts, struct err *err);

#endif
