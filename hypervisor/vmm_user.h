/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_user.h - the user a VMM runs as: one of its own for each sandbox
 *
 * The number is VMM_USER_FIRST plus the monitor's process id. That is unique on the host for as long as the monitor lives,
 * and the VMM lives no longer; nothing has to be allocated, written down or given back. No two VMMs can send each other a
 * signal, open each other's /proc or share a keyring or a per-user limit, even where their namespaces fail.
 *
 * The range lies above what systemd gives to containers (524288-1879048191) and below 2^31: uids of "Users, Groups, UIDs and
 * GIDs on systemd Systems", where 1879048192 and up are nobody's.
 */
#ifndef ONGGI_HYPERVISOR_VMM_USER_H
#define ONGGI_HYPERVISOR_VMM_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "hypervisor/jail.h"
#include "hypervisor/vm.h"

#define VMM_USER_FIRST 0x70000000u
/* PID_MAX_LIMIT of 64-bit kernels. */
#define VMM_USER_COUNT (1u << 22)

/*
 * Fill in @jail's user for the VMM of @config, and let that user have what it needs: the group of /dev/kvm, and
 * config->memory_file, whose owner it becomes (the template's maker takes it back).
 *
 * The user stays the caller's in a user namespace that has no such number (its root is nobody's root outside), and without
 * the capabilities to change to it and to end such a process (SETUID, SETGID, KILL).
 *
 * Returns 0; -EACCES nobody but its owner may open /dev/kvm; errnos of stat(2) and fchown(2).
 */
int vmm_user_set(const struct vm_config *config, struct jail *jail, struct err *err);

/* Its parts, for tests: whether uid_map or gid_map @text (user_namespaces(7)) has @id, … */
bool vmm_user_is_mapped(const char *text, uint32_t id);

/*
 * … and the group that may open device @path. Returns 1 with *@ret the group, 0 if everybody may, -EACCES if the owner
 * alone may; errnos of stat(2).
 */
int vmm_user_device_group(const char *path, gid_t *ret);

#endif
