/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_json.h - statistics as runc's "events" prints them
 *
 * Names:    runc's (types/events.go), which go-runc and containerd's shim for runc read: times in
 *           nanoseconds, sizes in bytes, swap together with memory, members left out where runc
 *           leaves them out.
 * Here:     "percpu", "cpuset" and the kernel's own memory are not counted by cgroup version 2.
 */
#ifndef ONGGI_SHIM_RUNTIME_STATS_JSON_H
#define ONGGI_SHIM_RUNTIME_STATS_JSON_H

#include <stddef.h>

#include "common/err.h"
#include "common/json.h"

/*
 * {"type":"stats","id":…,"data":{…}} from a packed io.containerd.cgroups.v2.Metrics.
 * Returns 0 with *ret; -EBADMSG malformed, -ENOMEM.
 */
int stats_json(const char *id, const void *metrics, size_t len, struct json **ret, struct err *err);

/* {"type":"oom","id":…}; NULL: no memory. */
struct json *oom_json(const char *id);

#endif
