/* SPDX-License-Identifier: Apache-2.0 */
/* pidfile.h - the file by which an engine learns whom to wait for */
#ifndef ONGGI_SHIM_RUNTIME_PIDFILE_H
#define ONGGI_SHIM_RUNTIME_PIDFILE_H

#include <sys/types.h>

#include "common/err.h"

/*
 * Write @pid in decimal to @path (may be relative to the current folder), whole or not at all:
 * engines read it as soon as it appears. A NULL path is nothing to do. Errnos of open(2) and
 * rename(2) with the path.
 */
int pidfile_write(const char *path, pid_t pid, struct err *err);

#endif
