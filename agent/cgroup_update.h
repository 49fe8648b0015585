/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_update.h - limits that change while others hold
 *
 * Shape:    pure. An update names some limits; a value of version 2 may be made of two of the
 *           specification's fields, of which one is not named and comes from what holds.
 * Zero:     is what engines send for a number that they do not mean to change.
 * Source:   runc-update(8), OCI config-linux.md.
 * Not here: writing them (cgroup.h), the files' syntax (cgroup_limits.h).
 */
#ifndef ONGGI_AGENT_CGROUP_UPDATE_H
#define ONGGI_AGENT_CGROUP_UPDATE_H

#include "common/oci.h"

/*
 * Make @update complete: zeros are no longer named, fields that belong together are. Device rules
 * are dropped: an update leaves the devices as they are.
 */
void cgroup_update_complete(struct oci_resources *update, const struct oci_resources *now);

/* @update holds from now on: keep what a later update may need of it. */
void cgroup_update_remember(struct oci_resources *now, const struct oci_resources *update);

#endif
