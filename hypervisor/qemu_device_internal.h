/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_device_internal.h - a slot, and the chain of QMP commands that fills it
 */
#ifndef ONGGI_HYPERVISOR_QEMU_DEVICE_INTERNAL_H
#define ONGGI_HYPERVISOR_QEMU_DEVICE_INTERNAL_H

#include "common/json.h"
#include "hypervisor/qemu_cmdline.h"
#include "hypervisor/qemu_device.h"

#define NAME_BYTES 16
#define MAC_BYTES 18
#define TAG_BYTES (QEMU_CMDLINE_TAG_MAX + 1)

enum slot_state { SLOT_FREE, SLOT_ADDING, SLOT_PRESENT, SLOT_REMOVING, SLOT_UNDOING };

struct slot {
	struct qmp *qmp; /* for the operation in progress */
	enum slot_state state;
	unsigned int number;
	enum vm_device_kind kind;
	char id[QEMU_DEVICE_ID_MAX + 1];
	char mac[MAC_BYTES], tag[TAG_BYTES];
	bool readonly, block; /* of a disk; it is a block device of the host */
	int fd, vhost_fd; /* duplicates, until they are sent */
	bool vhost;
	size_t link; /* in flight; while UNDOING: the one that is being undone */
	struct loop_source *timer; /* of REMOVING */
	vm_done_fn done;
	void *userdata;
	int code; /* to report after UNDOING */
	char message[256];
};

enum link_fd { NO_FD, WITH_FD, WITH_VHOST_FD };

struct link {
	const char *command;
	struct json *(*arguments)(const struct slot *s);
	enum link_fd fd;
	const char *undo; /* NULL: nothing */
	struct json *(*undo_arguments)(const struct slot *s);
};

/* The chain for what the slot holds; ends with a link whose command is NULL. */
const struct link *qemu_device_chain(const struct slot *s);

/* A name of the slot's in QEMU: "@prefix-N", in @buf. */
const char *qemu_device_name(char buf[static NAME_BYTES], const char *prefix, const struct slot *s);

/* Of "device_del"; NULL: no memory. */
struct json *qemu_device_del_arguments(const struct slot *s);

#endif
