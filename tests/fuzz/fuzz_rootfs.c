/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Create request: which of the rootfs mounts that it lists are a disk for the guest, and with what. Nothing is opened
 * or mounted.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include "common/proto/task.pb-c.h"
#include "common/ttrpc_wire.h"
#include "shim/task_disk_plan.h"

#define MOUNTS_MAX 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct task_mount *mounts, size_t n)
{
	struct task_disk_plan plan = { 0 };
	struct err err = ERR_INIT;
	int r = task_disk_plan(mounts, n, &plan, &err);

	assert(r == 0 || r == 1 || r == -ENOMEM || (r < 0 && err.code == r && err.text[0]));
	if (r == 1) {
		assert((n == 1 && plan.n == 1) || plan.n == n - 1);
		assert(plan.n <= TASK_DISKS_MAX);
	} else {
		assert(!plan.n);
	}
	for (size_t i = 0; i < plan.n; i++) {
		const struct task_disk_source *d = &plan.list[i];

		assert(d->source[0] == '/' && d->options && strlen(d->options) < 4096);
		assert(!strcmp(d->type, "ext4") || (!strcmp(d->type, "erofs") && (d->flags & MS_RDONLY)));
		assert(i == 0 || (d->flags & MS_RDONLY));
		assert(!(d->flags & (MS_BIND | MS_REC | MS_REMOUNT | MS_MOVE)));
	}
	task_disk_plan_finish(&plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Containerd__Task__V2__CreateTaskRequest *request = (Containerd__Task__V2__CreateTaskRequest *)
		wire_unpack(&containerd__task__v2__create_task_request__descriptor, data, size);
	struct task_mount mounts[MOUNTS_MAX];

	if (!request)
		return 0;
	for (size_t i = 0; i < request->n_rootfs && i < MOUNTS_MAX; i++) {
		const Containerd__Task__V2__Mount *m = request->rootfs[i];

		mounts[i] = (struct task_mount){ .type = m->type, .source = m->source,
						 .options = m->options, .n_options = m->n_options };
		check(&mounts[i], 1);
	}
	check(mounts, request->n_rootfs < MOUNTS_MAX ? request->n_rootfs : MOUNTS_MAX);
	protobuf_c_message_free_unpacked(&request->base, NULL);
	return 0;
}
