/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_device.h - devices that come and go while the VM runs
 *
 * Shape:    a table of VM_HOTPLUG_SLOTS PCIe root ports; adding is a chain of QMP commands, with an
 *           undo for each link. Descriptors travel over the QMP socket; no path and no name of the
 *           caller's enters QEMU, but the share's tag, MAC address and the disk's serial number.
 * Peer:     the VMM (hostile); the guest decides when a device that is asked back goes.
 * Process:  the sandbox monitor; loop thread only.
 * Source:   QEMU QMP reference (getfd, add-fd, blockdev-add, netdev_add, chardev-add, device_add,
 *           DEVICE_DELETED).
 * Not here: the ports themselves (qemu_cmdline.h).
 */
#ifndef ONGGI_HYPERVISOR_QEMU_DEVICE_H
#define ONGGI_HYPERVISOR_QEMU_DEVICE_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/qmp.h"

/* Longest device id, bytes. */
#define QEMU_DEVICE_ID_MAX 31
/* Bytes of a virtio disk's serial number, by which the guest finds the disk; longer ids are cut. */
#define QEMU_DEVICE_SERIAL_MAX 20
/* For each command, ms. device_add of a share talks to the file server meanwhile. */
#define QEMU_DEVICE_COMMAND_MS 20000u
/*
 * For a guest to let go of a device, ms. Linux waits 5 s after the "attention button" that QEMU
 * presses; a guest that writes 0 to /sys/bus/pci/slots/N/power itself is done at once.
 */
#define QEMU_DEVICE_REMOVE_MS 20000u

struct qemu_devices;

/* All slots free. Returns 0 or -ENOMEM. */
int qemu_devices_create(struct loop *loop, struct qemu_devices **ret);
/*
 * After the QMP client is gone (all its commands have ended). Operations still open end with
 * -ECANCELED.
 */
void qemu_devices_destroy(struct qemu_devices *devices);
DEFINE_CLEANUP(struct qemu_devices *, qemu_devices_destroy);

/* End the operations still open with @code: the VM has gone. */
void qemu_devices_fail(struct qemu_devices *devices, int code, const char *message);

/*
 * Plug @device into a free slot. @done runs when QEMU has plugged it; the guest sees it some
 * milliseconds later.
 *
 * Returns 0, or (then @done does not run) -EINVAL a bad id, MAC, tag or descriptor; -EEXIST the id
 * is in use; -ENOSPC no slot is free; -ENOMEM; -EPIPE the VM has gone.
 */
int qemu_devices_add(struct qemu_devices *devices, struct qmp *qmp, const struct vm_device *device,
		     vm_done_fn done, void *userdata, struct err *err);

/*
 * From now on devices are only taken note of: the machine is being restored, and must be what it
 * was when it was saved until that is done. qemu_devices_go_on begins to plug those.
 */
void qemu_devices_hold(struct qemu_devices *devices);
void qemu_devices_go_on(struct qemu_devices *devices);

/*
 * Ask the guest for the device, wait until it has let go, free what stands behind it.
 *
 * Returns 0, or (then @done does not run) -ENOENT no such device; -EBUSY it is being added or
 * removed; -ENOMEM; -EPIPE. @done: 0; -ETIMEDOUT the guest keeps it (the device stays, and may be
 * asked for again).
 */
int qemu_devices_remove(struct qemu_devices *devices, struct qmp *qmp, const char *id,
			vm_done_fn done, void *userdata, struct err *err);

/* To be called for every event of the QMP client. */
void qemu_devices_on_event(struct qemu_devices *devices, struct qmp *qmp, const char *event,
			   const struct json *data);

#endif
