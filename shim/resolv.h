/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolv.h - which name servers of the loopback interface a container's resolv.conf names
 *
 * Peer:     the file is the engine's, and the workload may write it: RESOLV_BYTES_MAX and
 *           RESOLV_SERVERS_MAX are looked at, lines that make no sense are passed over as resolvers
 *           do.
 * Source:   resolv.conf(5).
 */
#ifndef ONGGI_SHIM_RESOLV_H
#define ONGGI_SHIM_RESOLV_H

#include <stddef.h>
#include <stdint.h>

#include "common/oci.h"

#define RESOLV_BYTES_MAX (64u << 10)
/* Resolvers use the first three. */
#define RESOLV_SERVERS_MAX 3u

/*
 * Open what @spec mounts at /etc/resolv.conf from the host. The descriptor stays with the file
 * that the container sees: an engine that writes it anew later writes to the same one.
 *
 * Returns the descriptor; -ENOENT no such bind mount; -EINVAL it is no regular file; another errno.
 */
int resolv_open(const struct oci_spec *spec, const char *bundle);

/*
 * Addresses in 127.0.0.0/8 among the name servers in @text, network order.
 *
 * @ret  RESOLV_SERVERS_MAX entries
 *
 * Returns their number.
 */
size_t resolv_loopback(const char *text, uint32_t *ret);

/* The same for the file @fd: 0 as well when it cannot be read or is too long. */
size_t resolv_loopback_of(int fd, uint32_t *ret);

#endif
