/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_dns.h - name servers that listen on the loopback interface of the sandbox's network
 * namespace, for a guest that has a loopback interface of its own
 *
 * Shape:    when a container's resolv.conf names such a server, the agent is asked to listen on its
 *           address; each query that it takes is sent to the same address, port 53, by the same
 *           transport, from the namespace that the monitor lives in, and the answer goes back.
 * Peer:     the agent is hostile: a query may go to no other address than those that were asked
 *           for, and at most DNS_QUERIES_MAX are under way, DNS_STREAMS_MAX of them by TCP; until
 *           one ends no other is fetched. The server is the engine's, or whoever listens there:
 *           DNS_TIMEOUT_MS, one message of at most 64 KiB, which must bear the query's id.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   RFC 1035, section 4.2. Docker's embedded server: 127.0.0.11.
 * Not here: other services of that loopback interface.
 */
#ifndef ONGGI_SHIM_SANDBOX_DNS_H
#define ONGGI_SHIM_SANDBOX_DNS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"

#define DNS_QUERIES_MAX 128u
/* Of those by TCP, each of which may be 64 KiB long; the agent has fewer connections. */
#define DNS_STREAMS_MAX 32u
#define DNS_SERVERS_MAX 8u
/* Milliseconds until nobody is expected to answer: longer than resolvers wait, which is 5 s. */
#define DNS_TIMEOUT_MS 8000u

struct sandbox;
struct sandbox_dns;

/*
 * See what the resolv.conf open at @fd (-1: none) names, and have the agent serve what it does not
 * yet. Calls to the agent that follow find it served. Engines write the file late: look again
 * before each start of a process.
 */
void sandbox_dns_look(struct sandbox *s, int fd);

/* The VM has gone, and its calls have ended. What is under way is dropped. NULL is allowed. */
void sandbox_dns_destroy(struct sandbox_dns *dns);
DEFINE_CLEANUP(struct sandbox_dns *, sandbox_dns_destroy);

#endif
