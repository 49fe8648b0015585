/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task_create.h - what a container needs while it is being created
 *
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_SHIM_TASK_CREATE_H
#define ONGGI_SHIM_TASK_CREATE_H

#include "shim/task.h"

struct task_creation {
	char *text; /* config.json */
	size_t len;
	struct oci_spec *spec;
	bool *pod_shm;	  /* of each mount: the guest has it */
	bool *open_below; /* of each mount: what is below has flags of its own */
	bool sent; /* the agent has been asked */
	proc_done_fn done;
	void *userdata;
};
/* NULL allowed. */
void task_creation_free(struct task_creation *creation);

/*
 * Decide by which keys the agent shares the container's namespaces: for one that is given by path
 * the identity of what the path names, or the container whose proxy's it is; for a new one a name
 * of its own.
 * Returns 0; -EOPNOTSUPP the host's namespace, or one of a kind that cannot be joined; errnos of
 * stat(2).
 */
int task_choose_namespaces(struct task *c, const struct oci_spec *spec, struct err *err);

/*
 * Put rootfs, unless it is on disks, and the sources of bind mounts into the sandbox's shared
 * folder. Errors of hostshare_attach, -ENOMEM; what was attached stays until the container goes.
 */
int task_attach_mounts(struct task *c, const struct oci_spec *spec, struct err *err);

#endif
