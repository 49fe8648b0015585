/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_rootfs.h"

#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common/oci.h"
#include "shim/task_disk.h"

static int mount_parsed(const struct oci_mount *m, const char *target)
{
	unsigned long all = MS_BIND | MS_REC;

	if (!m->is_bind)
		return mount(m->source, target, m->type, m->flags, m->data) < 0 ? -errno : 0;
	if (mount(m->source, target, NULL, m->flags & all, NULL) < 0)
		return -errno;
	/* Flags of a bind mount count only in a second call. */
	if ((m->flags & ~all) && mount(NULL, target, NULL, m->flags | MS_BIND | MS_REMOUNT, NULL) < 0)
		return -errno;
	return 0;
}

static int mount_one(const struct task_mount *mount, const char *target, struct err *err)
{
	_cleanup_free_ char **options = calloc(mount->n_options + 1, sizeof(*options));
	struct oci_mount m = {
		.type = (char *)(uintptr_t)mount->type,
		.source = (char *)(uintptr_t)mount->source,
		.options = options,
	};
	int r;

	if (!options)
		return -ENOMEM;
	for (size_t i = 0; i < mount->n_options; i++)
		options[i] = mount->options[i];
	r = oci_mount_parse_options(&m, "rootfs", err);
	if (r >= 0) {
		r = mount_parsed(&m, target);
		if (r < 0)
			err_set_errno(err, r, "rootfs: mount '%s' of type '%s' on '%s'", mount->source,
				      mount->type, target);
	}
	free(m.data);
	return r;
}

/* createContainer hooks are promised the container's root as it will be. */
static int take_disks(struct task *c, const struct task_disk_plan *plan, struct err *err)
{
	if (c->hook_kinds & (1u << OCI_HOOK_CREATE_CONTAINER))
		return err_set(err, -EOPNOTSUPP,
			       "rootfs: createContainer hooks cannot see '%s', which the guest alone mounts",
			       plan->list[0].source);
	return task_disks_open(c, plan, err);
}

struct mount_args {
	struct task *c;
	const struct task_mount *mounts;
	size_t n;
	const char *target;
	struct err *err;
};

/* In the monitor's own mount namespace: in the caller's they would be seen, and would stay. */
static int mount_all(void *userdata)
{
	const struct mount_args *args = userdata;

	for (size_t i = 0; i < args->n; i++) {
		int r = mount_one(&args->mounts[i], args->target, args->err);

		if (r < 0)
			return r;
		args->c->rootfs_mounts++;
	}
	return 0;
}

int task_rootfs_mount(struct task *c, const struct task_mount *mounts, size_t n, struct err *err)
{
	_cleanup_(task_disk_plan_finish) struct task_disk_plan plan = { 0 };
	_cleanup_free_ char *target = NULL;
	int r;

	if (n == 0)
		return 0;
	r = task_disk_plan(mounts, n, &plan, err);
	if (r != 0)
		return r < 0 ? r : take_disks(c, &plan, err);
	if (asprintf(&target, "%s/rootfs", c->record->bundle) < 0)
		return target = NULL, -ENOMEM;
	if (mkdir(target, 0711) < 0 && errno != EEXIST)
		return err_set_errno(err, -errno, "folder '%s'", target);
	return hostshare_run_home(c->sandbox->share, mount_all, &(struct mount_args){ c, mounts, n, target, err });
}

void task_rootfs_unmount(struct task *c)
{
	_cleanup_free_ char *target = NULL;

	if (!c->rootfs_mounts)
		return;
	if (asprintf(&target, "%s/rootfs", c->record->bundle) < 0) {
		target = NULL;
		return;
	}
	for (; c->rootfs_mounts > 0; c->rootfs_mounts--)
		umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW);
}
