/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rlimit.h - resource limits and the OOM score of a process on its way to execve
 *
 * Default:  open files 1024 (soft) and 524288 (hard), OOM score 0: what a process has from the
 *           agent is the agent's, and not meant for it.
 * Source:   setrlimit(2); proc(5), /proc/PID/oom_score_adj; OCI config.md "POSIX process".
 */
#ifndef ONGGI_AGENT_RLIMIT_H
#define ONGGI_AGENT_RLIMIT_H

#include "common/err.h"
#include "common/oci.h"

/* Returns 0; -EINVAL soft over hard; -EPERM. The message names the limit. */
int rlimit_apply(const struct oci_process *process, struct err *err);

/* @proc_fd: a procfs checked with procfs_open. Errors of procfs_write. */
int rlimit_apply_oom_score(int proc_fd, const struct oci_process *process, struct err *err);

#endif
