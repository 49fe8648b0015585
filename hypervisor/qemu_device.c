/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * For each kind of device there is a chain of links (qemu_device_args.c): a command, how to build its
 * arguments, and the command that undoes it.
 *
 *   FREE -> ADDING (link 0, 1, …) -> PRESENT -> REMOVING (until DEVICE_DELETED)
 *        -> UNDOING -> FREE
 *
 * A link that fails, and a device that has gone, lead to UNDOING: the undo commands from there back
 * to the first link, errors ignored (a descriptor may have been consumed already). A guest may
 * eject a device that nobody asked for; DEVICE_DELETED in PRESENT does the same without telling
 * anyone.
 */
#include "hypervisor/qemu_device_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct qemu_devices {
	struct loop *loop;
	bool held;
	struct slot slots[VM_HOTPLUG_SLOTS];
};

/* ---- chains ---- */

static int run_link(struct slot *s);
static void run_undo(struct slot *s);

static void release(struct slot *s)
{
	cleanup_close_p(&s->fd);
	cleanup_close_p(&s->vhost_fd);
	loop_source_destroy(TAKE_PTR(s->timer));
	s->state = SLOT_FREE;
	s->id[0] = '\0';
	s->done = NULL;
}

/* The operation has ended; the slot's state was set before. The callback may destroy everything. */
static void report(struct slot *s, int code, const char *message)
{
	vm_done_fn done = s->done;

	s->done = NULL;
	if (done)
		done(code, message, s->userdata);
}

static void start_undo(struct slot *s, size_t link, int code, const char *message)
{
	s->state = SLOT_UNDOING;
	s->link = link;
	s->code = code;
	snprintf(s->message, sizeof(s->message), "%s", message ? message : "");
	run_undo(s);
}

static void finish_undo(struct slot *s)
{
	char message[sizeof(s->message)];
	vm_done_fn done = s->done;
	void *userdata = s->userdata;
	int code = s->code;

	memcpy(message, s->message, sizeof(message));
	release(s);
	if (done)
		done(code, message, userdata);
}

static void on_undone(int code, const char *message, const struct json *answer, void *userdata)
{
	struct slot *s = userdata;

	if (s->state != SLOT_UNDOING)
		return;
	if (code == -ECANCELED || code == -EPIPE || code == -EPROTO) {
		finish_undo(s);
		return;
	}
	run_undo(s);
}

/* Undo the links before s->link, one by one. */
static void run_undo(struct slot *s)
{
	while (s->link > 0) {
		const struct link *link = &qemu_device_chain(s)[--s->link];
		struct json *arguments;

		if (!link->undo)
			continue;
		arguments = link->undo_arguments(s);
		if (arguments && qmp_execute(s->qmp, link->undo, arguments, -1,
					     QEMU_DEVICE_COMMAND_MS, on_undone, s) == 0)
			return;
	}
	finish_undo(s);
}

static void on_link(int code, const char *message, const struct json *answer, void *userdata)
{
	struct slot *s = userdata;

	if (s->state != SLOT_ADDING)
		return;
	if (code < 0) {
		start_undo(s, s->link, code, message);
		return;
	}
	s->link++;
	if (qemu_device_chain(s)[s->link].command) {
		code = run_link(s);
		if (code < 0)
			start_undo(s, s->link, code, "out of memory, or the VM has gone");
		return;
	}
	s->state = SLOT_PRESENT;
	report(s, 0, "");
}

static int run_link(struct slot *s)
{
	const struct link *link = &qemu_device_chain(s)[s->link];
	struct json *arguments = link->arguments(s);
	int none = -EBADF, *fd = &none, r;

	if (!arguments)
		return -ENOMEM;
	if (link->fd != NO_FD)
		fd = link->fd == WITH_FD ? &s->fd : &s->vhost_fd;
	r = qmp_execute(s->qmp, link->command, arguments, *fd >= 0 ? *fd : -1,
			QEMU_DEVICE_COMMAND_MS, on_link, s);
	if (r == 0)
		cleanup_close_p(fd);
	return r;
}

/* ---- adding ---- */

static bool id_valid(const char *id)
{
	size_t len = id ? strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") : 0;

	return len > 0 && len <= QEMU_DEVICE_ID_MAX && id[len] == '\0';
}

static bool mac_valid(const char *mac)
{
	if (!mac || strlen(mac) != MAC_BYTES - 1)
		return false;
	for (size_t i = 0; i < MAC_BYTES - 1; i++) {
		if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdefABCDEF", mac[i]))
			return false;
	}
	return true;
}

static struct slot *find(struct qemu_devices *d, const char *id)
{
	for (size_t i = 0; i < VM_HOTPLUG_SLOTS; i++)
		if (d->slots[i].state != SLOT_FREE && strcmp(d->slots[i].id, id) == 0)
			return &d->slots[i];
	return NULL;
}

static struct slot *find_free(struct qemu_devices *d)
{
	for (size_t i = 0; i < VM_HOTPLUG_SLOTS; i++)
		if (d->slots[i].state == SLOT_FREE)
			return &d->slots[i];
	return NULL;
}

/*
 * QEMU takes a descriptor from a set only if its access mode is the one it needs; a read-only disk
 * whose image was opened for writing is opened again, so that the VMM cannot write it either.
 */
static int disk_fd(const struct vm_device *device, int *ret, struct err *err)
{
	int flags = fcntl(device->fd, F_GETFL), mode = flags & O_ACCMODE, fd;
	char path[64];

	if (flags < 0)
		return err_set_errno(err, -errno, "disk '%s'", device->id);
	if (!device->readonly && mode != O_RDWR)
		return err_set(err, -EINVAL,
			       "disk '%s': the image is not open for reading and writing",
			       device->id);
	if (device->readonly && mode != O_RDONLY) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", device->fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	} else {
		fd = fcntl(device->fd, F_DUPFD_CLOEXEC, 3);
	}
	if (fd < 0)
		return err_set_errno(err, -errno, "disk '%s'", device->id);
	*ret = fd;
	return 0;
}

static int check_device(const struct vm_device *device, struct err *err)
{
	if (!id_valid(device->id))
		return err_set(err, -EINVAL, "device id '%s' is not 1 to %d of [a-z0-9-]",
			       device->id ? device->id : "", QEMU_DEVICE_ID_MAX);
	if (device->fd < 0)
		return err_set(err, -EINVAL, "device '%s': no descriptor", device->id);
	if (device->kind == VM_DEVICE_NIC && !mac_valid(device->mac))
		return err_set(err, -EINVAL, "device '%s': '%s' is no MAC address", device->id,
			       device->mac ? device->mac : "");
	if (device->kind == VM_DEVICE_SHARE &&
	    (!device->tag || !*device->tag || strlen(device->tag) >= TAG_BYTES))
		return err_set(err, -EINVAL, "device '%s': the tag is not 1 to %d bytes long",
			       device->id, TAG_BYTES - 1);
	return 0;
}

static int take_slot(struct slot *s, const struct vm_device *device, struct err *err)
{
	struct stat st;
	int r;

	if (device->kind == VM_DEVICE_DISK) {
		r = disk_fd(device, &s->fd, err);
		if (r < 0)
			return r;
		s->block = fstat(s->fd, &st) == 0 && S_ISBLK(st.st_mode);
	} else {
		s->fd = fcntl(device->fd, F_DUPFD_CLOEXEC, 3);
		if (s->fd < 0)
			return err_set_errno(err, -errno, "device '%s'", device->id);
	}
	s->vhost = device->kind == VM_DEVICE_NIC && device->vhost_fd > 0;
	if (s->vhost) {
		s->vhost_fd = fcntl(device->vhost_fd, F_DUPFD_CLOEXEC, 3);
		if (s->vhost_fd < 0) {
			r = -errno;
			cleanup_close_p(&s->fd);
			return err_set_errno(err, r, "device '%s'", device->id);
		}
	}
	s->state = SLOT_ADDING;
	s->link = 0;
	s->kind = device->kind;
	s->readonly = device->readonly;
	snprintf(s->id, sizeof(s->id), "%s", device->id);
	snprintf(s->mac, sizeof(s->mac), "%s", device->mac ? device->mac : "");
	snprintf(s->tag, sizeof(s->tag), "%s", device->tag ? device->tag : "");
	return 0;
}

int qemu_devices_add(struct qemu_devices *d, struct qmp *qmp, const struct vm_device *device,
		     vm_done_fn done, void *userdata, struct err *err)
{
	struct slot *s;
	int r = check_device(device, err);

	if (r < 0)
		return r;
	if (!qmp)
		return err_set(err, -EPIPE, "device '%s': the virtual machine has gone",
			       device->id);
	if (find(d, device->id))
		return err_set(err, -EEXIST, "device '%s' is there already", device->id);
	s = find_free(d);
	if (!s)
		return err_set(err, -ENOSPC,
			       "device '%s': all %d slots of the virtual machine are taken",
			       device->id, VM_HOTPLUG_SLOTS);
	r = take_slot(s, device, err);
	if (r < 0)
		return r;
	s->qmp = qmp;
	s->done = done;
	s->userdata = userdata;
	r = d->held ? 0 : run_link(s);
	if (r < 0) {
		release(s);
		return err_set_errno(err, r, "device '%s'", device->id);
	}
	return 0;
}

void qemu_devices_hold(struct qemu_devices *d)
{
	d->held = true;
}

void qemu_devices_go_on(struct qemu_devices *d)
{
	int r;

	if (!d->held)
		return;
	d->held = false;
	for (size_t i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		struct slot *s = &d->slots[i];

		if (s->state != SLOT_ADDING)
			continue;
		r = run_link(s);
		if (r < 0)
			start_undo(s, 0, r, "out of memory, or the VM has gone");
	}
}

/* ---- removing ---- */

static void on_remove_timeout(void *userdata)
{
	struct slot *s = userdata;

	s->state = SLOT_PRESENT;
	loop_source_destroy(TAKE_PTR(s->timer));
	report(s, -ETIMEDOUT, "the guest does not let go of the device");
}

static void on_remove_sent(int code, const char *message, const struct json *answer, void *userdata)
{
	struct slot *s = userdata;

	/*
	 * Gone already, or waiting for the guest. One that is not found has just been ejected by the
	 * guest: QEMU forgets its name first, and tells of it (DEVICE_DELETED) when nothing refers to
	 * it any more.
	 */
	if (s->state != SLOT_REMOVING || code == 0 || code == -ENODEV)
		return;
	s->state = SLOT_PRESENT;
	loop_source_destroy(TAKE_PTR(s->timer));
	report(s, code, message);
}

int qemu_devices_remove(struct qemu_devices *d, struct qmp *qmp, const char *id, vm_done_fn done,
			void *userdata, struct err *err)
{
	struct slot *s = find(d, id);
	struct json *arguments;
	int r;

	if (!s)
		return err_set(err, -ENOENT, "device '%s' is not there", id);
	if (s->state == SLOT_UNDOING && !s->done) {
		/* The guest has let go of it by itself: only what stood behind it has still to go. */
		s->done = done;
		s->userdata = userdata;
		return 0;
	}
	if (s->state != SLOT_PRESENT)
		return err_set(err, -EBUSY, "device '%s' is just being added or removed", id);
	if (!qmp)
		return err_set(err, -EPIPE, "device '%s': the virtual machine has gone", id);
	r = loop_add_timer(d->loop, QEMU_DEVICE_REMOVE_MS, on_remove_timeout, s, &s->timer);
	if (r < 0)
		return err_set_errno(err, r, "device '%s'", id);
	arguments = qemu_device_del_arguments(s);
	r = arguments ? qmp_execute(qmp, "device_del", arguments, -1, QEMU_DEVICE_COMMAND_MS,
				    on_remove_sent, s)
		      : -ENOMEM;
	if (r < 0) {
		loop_source_destroy(TAKE_PTR(s->timer));
		return err_set_errno(err, r, "device '%s'", id);
	}
	s->qmp = qmp;
	s->state = SLOT_REMOVING;
	s->done = done;
	s->userdata = userdata;
	return 0;
}

void qemu_devices_on_event(struct qemu_devices *d, struct qmp *qmp, const char *event,
			   const struct json *data)
{
	const char *name = NULL;

	if (strcmp(event, "DEVICE_DELETED") != 0 || !json_is_object(data))
		return;
	if (json_member_string(data, "data", "device", &name, NULL) != 1)
		return;
	for (size_t i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		struct slot *s = &d->slots[i];
		char own[NAME_BYTES];
		size_t links = 0;

		if ((s->state != SLOT_PRESENT && s->state != SLOT_REMOVING) ||
		    strcmp(qemu_device_name(own, "dev", s), name) != 0)
			continue;
		loop_source_destroy(TAKE_PTR(s->timer));
		while (qemu_device_chain(s)[links].command)
			links++;
		s->qmp = qmp;
		start_undo(s, links, 0, NULL);
		return;
	}
}

/* ---- life ---- */

int qemu_devices_create(struct loop *loop, struct qemu_devices **ret)
{
	struct qemu_devices *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->loop = loop;
	for (unsigned int i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		d->slots[i].number = i;
		d->slots[i].fd = d->slots[i].vhost_fd = -EBADF;
	}
	*ret = d;
	return 0;
}

void qemu_devices_fail(struct qemu_devices *d, int code, const char *message)
{
	for (size_t i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		struct slot *s = &d->slots[i];
		vm_done_fn done = s->done;
		void *userdata = s->userdata;

		if (s->state == SLOT_FREE)
			continue;
		release(s);
		if (done)
			done(code, message, userdata);
	}
}

void qemu_devices_destroy(struct qemu_devices *d)
{
	if (!d)
		return;
	qemu_devices_fail(d, -ECANCELED, "the virtual machine is being destroyed");
	free(d);
}
