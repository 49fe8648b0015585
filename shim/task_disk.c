/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_disk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* What a disk's serial number holds. */
#define ID_BYTES 21

struct disk {
	char id[ID_BYTES];
	int fd; /* until it is in */
	char *type, *options;
	unsigned long flags;
	bool in; /* the VM that was told of it may have ended since */
};

struct task_disks {
	size_t n;
	bool plugging;
	struct disk list[TASK_DISKS_MAX];
};

/* ---- the host's side of it ---- */

void task_disks_free(struct task_disks *disks)
{
	for (size_t i = 0; disks && i < disks->n; i++) {
		cleanup_close_p(&disks->list[i].fd);
		free(disks->list[i].type);
		free(disks->list[i].options);
	}
	free(disks);
}

static int open_disk(const struct task_disk_source *source, struct disk *d, struct err *err)
{
	bool readonly = source->flags & MS_RDONLY;
	struct stat st;

	/* Not blocking: whatever else it may be, nobody is waited for. */
	d->fd = open(source->source, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return err_set_errno(err, -errno, "rootfs: disk '%s'", source->source);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, -ENOTBLK, "rootfs: disk '%s' is neither a file nor a block device",
			       source->source);
	d->type = strdup(source->type);
	d->options = strdup(source->options ? source->options : "");
	d->flags = source->flags;
	return d->type && d->options ? 0 : -ENOMEM;
}

int task_disks_open(struct task *c, const struct task_disk_plan *plan, struct err *err)
{
	_cleanup_(task_disks_free_p) struct task_disks *disks = NULL;

	if (c->disks)
		return err_set(err, -EBUSY, "rootfs: there is a disk already");
	disks = calloc(1, sizeof(*disks));
	if (!disks)
		return -ENOMEM;
	for (; disks->n < plan->n; disks->n++)
		disks->list[disks->n].fd = -EBADF;
	for (size_t i = 0; i < plan->n; i++) {
		int r = open_disk(&plan->list[i], &disks->list[i], err);

		if (r < 0)
			return r;
		snprintf(disks->list[i].id, ID_BYTES, "root-%" PRIx32 "-%u", (uint32_t)c->serial,
			 (unsigned int)i % TASK_DISKS_MAX);
	}
	c->disks = TAKE_PTR(disks);
	return 0;
}

size_t task_disks_describe(const struct task *c, Onggi__Agent__V1__RootDisk messages[TASK_DISKS_MAX],
			   Onggi__Agent__V1__RootDisk *list[TASK_DISKS_MAX])
{
	size_t n = c->disks ? c->disks->n : 0;

	for (size_t i = 0; i < n; i++) {
		struct disk *d = &c->disks->list[i];

		onggi__agent__v1__root_disk__init(&messages[i]);
		messages[i].serial = d->id;
		messages[i].type = d->type;
		messages[i].options = d->options;
		messages[i].flags = (uint32_t)d->flags;
		list[i] = &messages[i];
	}
	return n;
}

/* ---- in and out, one after the other ---- */

/* What an operation of the VM's holds. */
struct disk_call {
	struct task *c;
	size_t at; /* the one that is under way */
	proc_done_fn done;
	void *userdata;
};

static struct disk_call *call_create(struct task *c, proc_done_fn done, void *userdata)
{
	struct disk_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	*call = (struct disk_call){ .c = task_ref(c), .done = done, .userdata = userdata };
	return call;
}

static void call_end(struct disk_call *call, enum ttrpc_code code, const char *message)
{
	call->done(code, message, call->userdata);
	task_unref(call->c);
	free(call);
}

static void plug_next(struct disk_call *call);

static void plugged(int code, const char *message, void *userdata)
{
	char words[AGENT_TEXT_MAX], text[AGENT_TEXT_MAX + 64];
	struct disk_call *call = userdata;
	struct task *c = call->c;

	c->disks->list[call->at].in = code == 0;
	call->at++;
	if (code == 0 && call->at < c->disks->n && !c->removed) {
		plug_next(call);
		return;
	}
	c->disks->plugging = false;
	if (c->removed)
		task_disks_abandon(c);
	agent_text(words, sizeof(words), message);
	snprintf(text, sizeof(text), "rootfs: plug a disk in: %s", words);
	if (code == 0)
		call_end(call, TTRPC_OK, "");
	else if (code == -ECANCELED || code == -EPIPE)
		call_end(call, TTRPC_UNAVAILABLE, text); /* the VM has gone, which is told elsewhere */
	else
		call_end(call, ttrpc_code_from_errno(code), text);
}

static void plug_next(struct disk_call *call)
{
	struct disk *d = &call->c->disks->list[call->at];
	struct vm_device device = { .kind = VM_DEVICE_DISK, .id = d->id, .fd = d->fd, .readonly = d->flags & MS_RDONLY };
	struct sandbox *s = call->c->sandbox;
	struct err err = ERR_INIT;
	int r = s->vm ? vm_add_device(s->vm, &device, plugged, call, &err) : -EPIPE;

	/* The VMM has a descriptor of its own: nothing else is to keep the device in use. */
	cleanup_close_p(&d->fd);
	if (r < 0)
		plugged(r, err.text, call);
}

void task_disks_plug(struct task *c, proc_done_fn done, void *userdata)
{
	struct disk_call *call;

	if (!c->disks) {
		done(TTRPC_OK, "", userdata);
		return;
	}
	call = call_create(c, done, userdata);
	if (!call) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	c->disks->plugging = true;
	plug_next(call);
}

static void unplug_next(struct disk_call *call);

static void unplugged(int code, const char *message, void *userdata)
{
	struct disk_call *call = userdata;
	char words[AGENT_TEXT_MAX];

	/* One of a VM that has ended since is not there: -ENOENT. */
	if (code < 0 && code != -ENOENT && code != -ECANCELED && code != -EPIPE) {
		agent_text(words, sizeof(words), message);
		sandbox_log(call->c->sandbox, LOG_LEVEL_WARNING, "container '%s': rootfs: take a disk out: %s",
			    call->c->record->id, words);
	}
	unplug_next(call);
}

static void unplug_next(struct disk_call *call)
{
	struct task_disks *disks = call->c->disks;
	struct vm *vm = call->c->sandbox->vm;
	struct err err = ERR_INIT;

	for (size_t i = 0; vm && i < disks->n; i++) {
		int r;

		if (!disks->list[i].in)
			continue;
		disks->list[i].in = false;
		r = vm_remove_device(vm, disks->list[i].id, unplugged, call, &err);
		if (r < 0)
			unplugged(r, err.text, call);
		return;
	}
	call_end(call, TTRPC_OK, "");
}

void task_disks_unplug(struct task *c, proc_done_fn done, void *userdata)
{
	struct disk_call *call = c->disks ? call_create(c, done, userdata) : NULL;

	/* Without memory they go as those of a container that was given up. */
	if (!call)
		done(TTRPC_OK, "", userdata);
	else
		unplug_next(call);
}

static void left(int code, const char *message, void *userdata)
{
}

void task_disks_abandon(struct task *c)
{
	/* One on its way comes here again when it is in. */
	if (!c->disks || c->disks->plugging)
		return;
	for (size_t i = 0; i < c->disks->n; i++) {
		struct disk *d = &c->disks->list[i];

		if (d->in && c->sandbox->vm)
			vm_remove_device(c->sandbox->vm, d->id, left, NULL, NULL);
		d->in = false;
	}
}
