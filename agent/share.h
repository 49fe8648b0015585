/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - the host's folders: a virtiofs device mounted at SETUP_SHARE_PATH
 *
 * Shape:    the device may be plugged in while the guest runs, so a mount that finds no such tag is
 *           tried again whenever the kernel tells of a new device, for SHARE_WAIT_MS at most.
 * Process:  the agent, loop thread only.
 * Source:   the kernel's Documentation/filesystems/virtiofs.rst.
 */
#ifndef ONGGI_AGENT_SHARE_H
#define ONGGI_AGENT_SHARE_H

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

/* Bytes of a tag that a virtiofs device can have. */
#define SHARE_TAG_MAX 36u
#define SHARE_WAIT_MS 20000u

struct share;

/* Nothing is mounted yet. Returns 0 or -ENOMEM. */
int share_create(struct loop *loop, struct share **ret);
/* What is mounted stays; a waiting call ends with -ECANCELED. */
void share_destroy(struct share *share);
DEFINE_CLEANUP(struct share *, share_destroy);

typedef void (*share_done_fn)(int code, const struct err *err, void *userdata);

/*
 * Mount the device @tag (1 to SHARE_TAG_MAX bytes of [A-Za-z0-9_.-]). The same tag again does
 * nothing.
 * @done runs once, perhaps before the return: -ENODEV no such device came, another errno of
 * mount(2).
 *
 * Returns 0; -EINVAL a malformed tag; -EBUSY another tag is mounted, or a call is waiting.
 */
int share_mount(struct share *share, const char *tag, share_done_fn done, void *userdata, struct err *err);

#endif
