/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copyup.h - "tmpcopyup": filling a new tmpfs with what its mount point held
 *
 * Peer:     the source tree is the image's. Links are copied, never followed; other mounts and
 *           special files but fifos are left out; depth and number of entries are bounded.
 * Errors:   0, or the negative errno of the first entry that could not be copied; -E2BIG over
 *           COPYUP_ENTRIES_MAX, -ELOOP over COPYUP_DEPTH_MAX.
 * Source:   runc, which knows the option; the specification does not.
 */
#ifndef ONGGI_AGENT_COPYUP_H
#define ONGGI_AGENT_COPYUP_H

#include "common/err.h"

#define COPYUP_DEPTH_MAX 64u
#define COPYUP_ENTRIES_MAX 1000000u

/*
 * Copy the contents of the directory @from into the directory @to with owner, mode and times;
 * extended attributes are left out.
 */
int copyup_tree(int from, int to, struct err *err);

#endif
