/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redirect.h - everything that one interface receives leaves through another
 *
 * Shape:    one traffic-control filter on the interface's ingress, with the action "mirred
 *           redirect". It acts before the host's own protocols: with a redirect away from it an
 *           interface may keep its addresses, and the host answers to nothing that arrives for
 *           them.
 * Marks:    the filter's action carries a cookie of ours, which also says whether the ingress queue
 *           was made by us: who comes later, after a crash, can take away exactly what we made.
 * Others:   filters of others on the same interface stay, and act before ours.
 * Source:   Linux include/uapi/linux/{pkt_sched,pkt_cls}.h, include/uapi/linux/tc_act/tc_mirred.h.
 */
#ifndef ONGGI_NET_REDIRECT_H
#define ONGGI_NET_REDIRECT_H

#include <stdint.h>

#include "common/err.h"
#include "common/netlink.h"

/*
 * Send what @from receives out of @to. One that is left over from before is replaced.
 *
 * Returns 0; -EOPNOTSUPP, -ENOENT the kernel lacks sch_ingress, cls_u32 or act_mirred (the message
 * names them); errnos of netlink_request.
 */
int net_redirect_add(struct netlink *nl, uint32_t from, uint32_t to, struct err *err);

/*
 * Answers of name servers that the host's side asks from within the namespace, as Docker's server
 * does for names that are not its own: from port 53 to these ports, which a guest's kernel does not
 * choose by itself. They are for sockets of the host, where the range of local ports is this one.
 */
#define NET_SPARED_PORT_FIRST 64512
#define NET_SPARED_PORT_LAST 65023

/*
 * Leave those (IPv4, UDP and TCP) to the host, and give it a copy of each ARP reply: without, it
 * could not find the way. To be called after net_redirect_add(@from, @to); goes with it.
 *
 * Returns 0, or errnos of netlink_request.
 */
int net_redirect_spare_names(struct netlink *nl, uint32_t from, uint32_t to, struct err *err);

/*
 * Take it away, and the queue if we made it. No effect on an interface that has none of ours or is
 * gone. Returns 0, or errnos of netlink_request.
 */
int net_redirect_remove(struct netlink *nl, uint32_t from, struct err *err);

/*
 * The same for every interface of the namespace: what a killed monitor has left. -EAGAIN also:
 * interfaces come and go all the time.
 */
int net_redirect_remove_all(struct netlink *nl, struct err *err);

#endif
