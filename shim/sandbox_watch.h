/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_watch.h - folders of the state that somebody removes by hand
 *
 * Why:      a sandbox whose folder is gone, and a container whose folder is, cannot be named by any command any
 *           more: "delete --force" would not find them, and their VM would run for ever.
 * Then:     a container is killed and deleted, with a line in the monitor's log; with its own folder gone the
 *           monitor ends, and everything with it.
 */
#ifndef ONGGI_SHIM_SANDBOX_WATCH_H
#define ONGGI_SHIM_SANDBOX_WATCH_H

#include "shim/sandbox.h"
#include "shim/task.h"

/* Watch the sandbox's own folder (s->dirfd). Where the kernel cannot, nobody watches. Errnos of loop_add_signal. */
int sandbox_watch_start(struct sandbox *s);
void sandbox_watch_stop(struct sandbox *s);
/* Watch a container's folder, in which its record is. Until cleanup of c->folder_fd. */
void sandbox_watch_container(struct task *c);
/* Delete those containers that have ended because of it. */
void sandbox_watch_sweep(struct sandbox *s);

#endif
