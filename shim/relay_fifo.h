/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_fifo.h - opening the FIFOs that an engine (or proxy) has made for stdio
 *
 * Source:   containerd's FIFO conventions (its package cio): "fifo://" before the path is optional.
 */
#ifndef ONGGI_SHIM_RELAY_FIFO_H
#define ONGGI_SHIM_RELAY_FIFO_H

#include "common/err.h"

/*
 * Open both ends without waiting, the reading one first: opening the writing end without waiting
 * needs a reader. Both are opened through one descriptor of the FIFO itself, so that they are
 * surely the same.
 *
 * @uri  an absolute path, with or without "fifo://" before it
 *
 * Returns 0 with two descriptors (O_NONBLOCK, CLOEXEC) that are the caller's; -EOPNOTSUPP another
 * scheme, -EINVAL a relative path or no FIFO, errnos of open(2); the message names the path.
 */
int relay_fifo_open(const char *uri, int *ret_read, int *ret_write, struct err *err);

#endif
