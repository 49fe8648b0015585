/* SPDX-License-Identifier: Apache-2.0 */
/*
 * title.h - what "ps" shows of this process
 *
 * Why:      `docker top` and people see the proxy where they expect the container's program: the
 *           proxy shows that program's arguments instead of the runtime's own.
 * Limits:   TITLE_BYTES_MAX; what is longer is cut.
 * Source:   prctl(2) PR_SET_MM_MAP, proc(5) /proc/PID/stat and cmdline.
 */
#ifndef ONGGI_SHIM_RUNTIME_TITLE_H
#define ONGGI_SHIM_RUNTIME_TITLE_H

#include "common/err.h"

#define TITLE_BYTES_MAX 4096

/*
 * Let /proc/self/cmdline read as @name followed by @args (NULL-terminated, not kept). The memory of
 * the old arguments stays valid. One page stays allocated for as long as the process lives; a
 * second call takes another one.
 *
 * Returns 0, or -EOPNOTSUPP on a kernel without PR_SET_MM_MAP, -EPROTO when /proc/self/stat is
 * strange, or another negative errno. Nothing has changed then.
 */
int title_set(const char *name, char *const args[], struct err *err);

#endif
