/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysctl.h - the spec's sysctl settings, written through the agent's own procfs
 *
 * Rule:     only settings that belong to a namespace of the container or to the network of the
 *           virtual machine; the procfs is the agent's, never the one in the container's tree.
 * Errors:   of writing: those of procfs_write, with the setting's name.
 * Source:   OCI config-linux.md "Sysctl"; the kernel's Documentation/admin-guide/sysctl.
 */
#ifndef ONGGI_AGENT_SYSCTL_H
#define ONGGI_AGENT_SYSCTL_H

#include <stddef.h>

#include "common/err.h"
#include "common/oci.h"

#define SYSCTL_PATH_MAX 256u
#define SYSCTL_VALUE_MAX 4096u

/*
 * "net.ipv4.ip_forward" (or with '/') to "net/ipv4/ip_forward", if it is one that may be set.
 * Returns 0; -EINVAL a malformed name; -EOPNOTSUPP not in a namespace of its own, or in one the
 * container has not got.
 */
int sysctl_path(const struct oci_spec *spec, const char *key, char path[SYSCTL_PATH_MAX], struct err *err);

/*
 * Check all names and values of the spec. Errors of sysctl_path; -EINVAL a value over
 * SYSCTL_VALUE_MAX bytes.
 */
int sysctl_check(const struct oci_spec *spec, struct err *err);

/*
 * A container with a user namespace has capabilities over its own namespaces only, and the network
 * is the guest's: one that may bind low ports gets them open to everybody in the guest. To be
 * called before sysctl_apply, so that the spec has the last word.
 */
int sysctl_open_low_ports(int proc_fd, const struct oci_spec *spec, struct err *err);

/*
 * Write them, but those of single network cards. @proc_fd as from procfs_open; the caller is in the
 * container's namespaces.
 */
int sysctl_apply(int proc_fd, const struct oci_spec *spec, struct err *err);

/*
 * Write those of single network cards ("net.ipv4.conf.eth0.…"), when the container starts: engines
 * may give it its cards as late as that. The caller is in the guest's own network namespace.
 */
int sysctl_apply_cards(const struct oci_spec *spec, struct err *err);

#endif
