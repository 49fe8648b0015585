/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcgroup_systemd.h - transient scopes of systemd, over D-Bus
 *
 * Shape:    each call is made by a child that loads libsystemd, reports and ends: neither the
 *           monitor nor a proxy forked from the command keeps a page of it.
 * Peer:     systemd on the system bus (DBUS_SYSTEM_BUS_ADDRESS or the usual socket).
 * Source:   org.freedesktop.systemd1(5): StartTransientUnit, StopUnit, SetUnitProperties,
 *           JobRemoved.
 */
#ifndef ONGGI_SHIM_HOSTCGROUP_SYSTEMD_H
#define ONGGI_SHIM_HOSTCGROUP_SYSTEMD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "shim/hostcgroup_limits.h"

/* systemd must answer in this time. */
#define HOSTCGROUP_SYSTEMD_TIMEOUT_MS 30000

/*
 * Start scope @unit in @slice with the calling process in it, and wait until systemd has done so.
 *
 * @id       of the container, for the description
 * @limits   become properties of the unit, so that systemd does not undo them; NULL: none
 * @unified  version 2 holds the controllers
 *
 * Returns 0; -ENOTSUP no libsystemd or no bus, the message names the remedy; -EREMOTEIO systemd
 * refused, in its words; -ETIMEDOUT; errnos of fork and pipe.
 */
int hostcgroup_systemd_start(const char *unit, const char *slice, const char *id,
			     const struct hostcgroup_limits *limits, bool unified, struct err *err);
/*
 * Have it ended and forgotten. That it is not known any more is no error, and nobody waits for it.
 */
int hostcgroup_systemd_stop(const char *unit, struct err *err);
/*
 * New limits. The child does the call alone: its pid is returned for the caller to reap, or a
 * negative errno of fork.
 */
pid_t hostcgroup_systemd_set_limits(const char *unit, const struct hostcgroup_limits *limits,
				    bool unified);

#endif
