/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - the guest's network cards, addresses, routes and neighbours, as the host wants them
 *
 * Shape:    each request describes the whole. The agent brings about the difference to the last one
 *           and leaves alone what the workload has added itself. A card is known by its hardware
 *           address; one that has not been plugged yet is waited for. The same request again
 *           changes nothing.
 * Peer:     the monitor; every field is checked before anything is changed. What the request says
 *           comes from the host's kernel, so that kernel's rules hold here too, and what the
 *           guest's kernel refuses is an error that names the interface or route.
 * Limits:   NETWORK_*_MAX; one request under way; NETWORK_WAIT_MS for cards to appear.
 * IPv6:     a card takes no router advertisements and makes no addresses of its own: the addresses
 *           and routes of the host's side are the whole truth, and a stranger on the link must not be
 *           able to add a default route to it. Addresses are usable at once, as the host has
 *           found them free of duplicates.
 * Process:  the agent, loop thread only, in the guest's network namespace.
 * Source:   agent.proto; rtnetlink(7); Linux Documentation/networking/ip-sysctl.rst.
 * Not here: the loopback interface (guest.c), the spec's sysctls (sysctl.h).
 */
#ifndef ONGGI_AGENT_NETWORK_H
#define ONGGI_AGENT_NETWORK_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"
#include "common/proto/agent.pb-c.h"

#define NETWORK_INTERFACES_MAX 64u
#define NETWORK_ADDRESSES_MAX 256u /* of one interface */
#define NETWORK_ROUTES_MAX 1024u
#define NETWORK_NEIGHBOURS_MAX 1024u
/* Milliseconds that a card may take to appear. */
#define NETWORK_WAIT_MS 10000u

struct network;

/*
 * @kind: what the kernel must call a link for it to be a card, "veth" in tests; NULL: hardware.
 * Returns 0 or -ENOMEM.
 */
int network_create(struct loop *loop, const char *kind, struct network **ret);
/* A request under way ends with -ECANCELED; the interfaces stay as they are. NULL is allowed. */
void network_destroy(struct network *n);
DEFINE_CLEANUP(struct network *, network_destroy);

typedef void (*network_done_fn)(int code, const struct err *err, void *userdata);
/*
 * Make the network what @request says, which is borrowed for the call only.
 *
 * @done  runs once, perhaps before the return: 0; -ENODEV a card did not appear in time; what the
 *        kernel refused. After a failure the network is somewhere in between; ask again.
 *
 * Returns 0, or (then @done does not run) -EINVAL, -E2BIG with the field's name, -EBUSY another
 * request is under way, -ENOMEM, another errno.
 */
int network_update(struct network *n, const Onggi__Agent__V1__UpdateNetworkRequest *request,
		   network_done_fn done, void *userdata, struct err *err);

/* Check every field: 0; -EINVAL, -E2BIG with its name. */
int network_check(const Onggi__Agent__V1__UpdateNetworkRequest *request, struct err *err);

#endif
