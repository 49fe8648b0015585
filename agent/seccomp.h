/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - the spec's system call filter as a BPF program
 *
 * Shape:    built for the agent before the fork, kept with the container, loaded by each of its
 *           processes as the last step before execve.
 * Refused:  SCMP_ACT_NOTIFY and listenerPath, by name. System calls that libseccomp does not know
 *           are skipped, as in runc.
 * Newer:    numbers past the last one that a refusing profile lists give ENOSYS, so that programs
 *           fall back on older calls, as in runc. (Not for x32.)
 * Backend:  libseccomp, which only seccomp.c includes.
 * Source:   OCI config-linux.md "Seccomp"; seccomp(2).
 */
#ifndef ONGGI_AGENT_SECCOMP_H
#define ONGGI_AGENT_SECCOMP_H

#include <stddef.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

/* Most instructions that the kernel takes. */
#define SECCOMP_INSNS_MAX 4096u

struct seccomp_program;

/*
 * Returns 0; -EOPNOTSUPP an action, flag or architecture that is refused; -EINVAL a rule that
 * contradicts itself; -E2BIG over SECCOMP_INSNS_MAX; -ENOMEM. The message names the field.
 */
int seccomp_program_build(const struct oci_seccomp *spec, struct seccomp_program **ret, struct err *err);
/*
 * The same in a process of its own, which is waited for: libseccomp makes tens of thousands of
 * small allocations for a whole profile, and the heap of a process that lives on never recovers.
 * Besides: -EIO the process died; whatever fork(2) gives.
 */
int seccomp_program_build_apart(const struct oci_seccomp *spec, struct seccomp_program **ret,
				struct err *err);
void seccomp_program_free(struct seccomp_program *program);
DEFINE_CLEANUP(struct seccomp_program *, seccomp_program_free);

/* The program, as an array of struct sock_filter; borrowed. */
size_t seccomp_program_n_insns(const struct seccomp_program *program);
const void *seccomp_program_insns(const struct seccomp_program *program);

/*
 * Load it into this process. Needs no_new_privs or CAP_SYS_ADMIN. Allocates nothing. Errnos of
 * seccomp(2).
 */
int seccomp_program_load(const struct seccomp_program *program, struct err *err);

#endif
