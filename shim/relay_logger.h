/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_logger.h - where output goes other than into a FIFO: a file, or a program that logs it
 *
 * Schemes:  "file://PATH": appended to, made with its parents. "binary://PATH?NAME=VALUE&…": the
 *           program is started with NAME VALUE … as arguments, CONTAINER_ID and CONTAINER_NAMESPACE
 *           in its environment, stdout and stderr to be read as descriptors 3 and 4; descriptor 5
 *           it closes when it is ready, which is not waited for: pipes keep what comes before.
 * Life:     a logger is no child of the monitor, reads to the end of both and ends by itself; in
 *           the host's network and outside of the container's cgroup, which may go before it.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   containerd's docs on runtime v2, "Logging".
 */
#ifndef ONGGI_SHIM_RELAY_LOGGER_H
#define ONGGI_SHIM_RELAY_LOGGER_H

#include "common/err.h"

#define RELAY_LOGGER_ARGS_MAX 64

struct relay_logger_place {
	const char *id, *namespace; /* of the container, for the logger */
	int netns_fd;		    /* network namespace of the logger; -EBADF: ours */
};

/* Returns the writing end. Errnos of open(2), with the path. */
int relay_open_file(const char *uri, struct err *err);

/*
 * Start the program. *ret_out, *ret_err: writing ends, CLOEXEC, not blocking.
 * Returns 0; -EINVAL no absolute path, -E2BIG arguments; errnos of execve(2), with the program's
 * path.
 */
int relay_start_logger(const char *uri, const struct relay_logger_place *place, int *ret_out, int *ret_err,
		       struct err *err);

#endif
