/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - name servers on the guest's loopback interface that are really the host's
 *
 * Shape:    listens on addresses in 127.0.0.0/8, UDP and TCP; each query waits until the host asks
 *           for the next one, and then for its answer. Nothing of a query is looked at but its
 *           length.
 * Ports:    the sockets are bound to ports that the kernel chooses, and programs of the cgroup lead
 *           who connects or sends to port 53 there (and only in the agent's network namespace). So
 *           a workload can serve port 53 of all addresses itself, as it can with Docker.
 * Peer:     the workload is hostile. Limits: NAMES_*_MAX, NAMES_*_MS; what goes beyond is dropped,
 *           as a busy server would.
 * Process:  the agent, loop thread only. SIGPIPE must be ignored.
 * Source:   RFC 1035, section 4.2; the kernel's struct bpf_sock_addr.
 * Not here: asking the host (service_network.c, names_redirect.h the programs).
 */
#ifndef ONGGI_AGENT_NAMES_H
#define ONGGI_AGENT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define NAMES_SERVERS_MAX 8u
/* Queries that wait for the host or its answer, and connections. */
#define NAMES_QUERIES_MAX 128u
#define NAMES_CONNS_MAX 16u
/* Longest query by UDP, bytes: no program asks so much that way. */
#define NAMES_UDP_QUERY_MAX 4096u
/* Milliseconds: after that nobody waits for an answer any more, and its place may be given away. */
#define NAMES_QUERY_MS 30000u
/* A connection on which nothing moves is closed, milliseconds. */
#define NAMES_IDLE_MS 30000u

struct names;

/*
 * @cgroup: folder of the cgroup2 whose programs are led to the servers, e.g. CGROUP_ROOT. Returns
 * 0 or -ENOMEM.
 */
int names_create(struct loop *loop, const char *cgroup, struct names **ret);
/* A waiting names_next ends with -ECANCELED. NULL is allowed. */
void names_destroy(struct names *n);
DEFINE_CLEANUP(struct names *, names_destroy);

/*
 * Serve @address, 4 bytes in network order. One that is served already stays as it is.
 * Returns 0; -EINVAL not in 127.0.0.0/8; -E2BIG over NAMES_SERVERS_MAX; another errno.
 */
int names_serve(struct names *n, const uint8_t address[4], struct err *err);

struct names_query {
	uint64_t id;
	uint8_t server[4];
	bool tcp;
	const uint8_t *data;
	size_t len;
};

/* @code 0: @query is valid during the callback. -ECANCELED: there is none. */
typedef void (*names_next_fn)(int code, const struct names_query *query, void *userdata);
/*
 * Have @fn called once, with the oldest query that was not handed out yet, perhaps before the
 * return. One that waits already ends with -ECANCELED: who asked is gone.
 */
void names_next(struct names *n, names_next_fn fn, void *userdata);

/* What the server said; @len 0: nothing. An unknown @id has no effect. */
void names_answer(struct names *n, uint64_t id, const void *data, size_t len);

#endif
