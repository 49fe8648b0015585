/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loopback.h - take every TCP connection to the loopback addresses of a network namespace, whatever
 * its port
 *
 * Shape:    two listening sockets, for 127.0.0.1 and ::1, and a program at the kernel's lookup of
 *           sockets that gives them what arrives for these addresses. No packet is changed: an
 *           accepted socket's own address has the port that was dialed. Services that listen there
 *           are not found any more.
 * Life:     that of the descriptors: nothing is left when their holder is killed.
 * Process:  in the network namespace meant, with CAP_NET_ADMIN and CAP_BPF in the host's.
 * Source:   Linux Documentation/bpf/prog_sk_lookup.rst (Linux 5.9).
 */
#ifndef ONGGI_NET_LOOPBACK_H
#define ONGGI_NET_LOOPBACK_H

#include "common/err.h"

enum { NET_LOOPBACK_IPV4, NET_LOOPBACK_IPV6, NET_LOOPBACK_COUNT };

struct net_loopback {
	int listeners[NET_LOOPBACK_COUNT]; /* non-blocking; -EBADF: the namespace has no such protocol */
	int link;			   /* the program's place */
};
#define NET_LOOPBACK_INIT { .listeners = { -EBADF, -EBADF }, .link = -EBADF }

/* Returns 0; -EPERM, -EINVAL, -ENOSYS the kernel lets nobody do that; other errnos. */
int net_loopback_take(struct net_loopback *ret, struct err *err);
void net_loopback_release(struct net_loopback *loopback);

#endif
