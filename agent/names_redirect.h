/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names_redirect.h - leading a cgroup's sockets from one port of a loopback address to another
 *
 * Shape:    programs of the cgroup that change the port as a socket connects or sends, and change
 *           it back in what it is told of the sender. They stay for the guest's life.
 * Scope:    sockets of the network namespace that @fd belongs to: another one's loopback is
 *           another.
 * Source:   the kernel's struct bpf_sock_addr, bpf_get_netns_cookie, SO_NETNS_COOKIE.
 */
#ifndef ONGGI_AGENT_NAMES_REDIRECT_H
#define ONGGI_AGENT_NAMES_REDIRECT_H

#include <stdint.h>

#include "common/err.h"

/*
 * @cgroup   folder of the cgroup
 * @fd       any socket of the network namespace
 * @address  IPv4, network order
 * @from     port that programs name; @to: port that they get; both in host order
 *
 * Returns 0, or a negative errno: none of the programs stays then that the kernel would keep
 * without its cgroup.
 */
int names_redirect(const char *cgroup, int fd, uint32_t address, uint16_t from, uint16_t to, struct err *err);

#endif
