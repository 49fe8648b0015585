/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_saved.h - QEMU's migration used to save a machine and to go on from it
 *
 * Shape:    two lists of QMP commands. The state travels over a descriptor; memory does not travel
 *           at all (capability x-ignore-shared): it is a file that both sides map.
 * Peer:     the VMM. It is trusted while a template is made (no workload has run in it).
 * Process:  sandbox monitor and template maker; loop thread only.
 * Source:   QEMU docs/devel/migration.rst; QMP reference (migrate, migrate-incoming, MIGRATION).
 */
#ifndef ONGGI_HYPERVISOR_QEMU_SAVED_H
#define ONGGI_HYPERVISOR_QEMU_SAVED_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/qmp.h"

/* For each step, ms; a starved machine may need seconds for what takes 10 ms. */
#define QEMU_SAVED_STEP_MS 20000u

struct qemu_saved;

/*
 * Stop the guest and write its state to @fd. @done: 0, or as qmp_done_fn; -EREMOTEIO also when
 * QEMU says that it failed.
 *
 * Returns 0, or (then @done does not run) -ENOMEM, errnos of dup(2).
 */
int qemu_saved_write(struct loop *loop, struct qmp *qmp, int fd, vm_done_fn done, void *userdata,
		     struct qemu_saved **ret);
/* The same for reading a state; the guest is stopped afterwards. */
int qemu_saved_read(struct loop *loop, struct qmp *qmp, int fd, vm_done_fn done, void *userdata,
		    struct qemu_saved **ret);

/* To be called for every event of the QMP client. */
void qemu_saved_on_event(struct qemu_saved *saved, const char *event, const struct json *data);

/*
 * After the QMP client is gone, or once @done has run. @done does not run any more. NULL allowed.
 */
void qemu_saved_destroy(struct qemu_saved *saved);
DEFINE_CLEANUP(struct qemu_saved *, qemu_saved_destroy);

#endif
