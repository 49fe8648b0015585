/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uevent.h - hearing that the kernel has found or lost a device
 *
 * Shape:    a netlink socket; a message says only "look again", its contents are not trusted to be
 *           complete.
 * Source:   netlink(7), NETLINK_KOBJECT_UEVENT.
 */
#ifndef ONGGI_AGENT_UEVENT_H
#define ONGGI_AGENT_UEVENT_H

#include "common/err.h"

/*
 * Open the socket, non-blocking. Open it before the first look, or an event is lost. Returns the
 * descriptor.
 */
int uevent_open(struct err *err);

/* Take everything that has arrived. */
void uevent_drain(int fd);

#endif
