/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/mount_fs.h"
#include "agent/slot.h"
#include "agent/uevent.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/log.h"

#define DISKS_FOLDER "/sys/block"

/* Names of folders: of layers in a tmpfs, and of what an overlay writes to. */
#define LAYER_NAMES "01234567"
_Static_assert(sizeof(LAYER_NAMES) - 1 == DISKS_MAX, "a name for each layer");
#define UPPER "upper"
#define WORK "work"

void disk_list_finish(struct disk_list *disks)
{
	for (size_t i = 0; i < disks->n; i++) {
		free(disks->list[i].type);
		free(disks->list[i].options);
	}
	disks->n = 0;
}

int disk_list_add(struct disk_list *disks, const char *serial, const char *type, const char *options,
		  unsigned long flags, struct err *err)
{
	size_t len = strspn(serial, "abcdefghijklmnopqrstuvwxyz0123456789-");
	struct disk *disk;

	if (disks->n == DISKS_MAX)
		return err_set(err, -E2BIG, "more than %u disks", DISKS_MAX);
	if (!len || len > DISK_SERIAL_MAX || serial[len])
		return err_set(err, -EINVAL, "serial number of a disk: not 1 to %u of [a-z0-9-]", DISK_SERIAL_MAX);
	if (!type[0] && !disks->n)
		return err_set(err, -EINVAL, "disk '%s': of no file system", serial);
	if (strlen(type) > NAME_MAX || strlen(options) >= MOUNT_OPTIONS_MAX)
		return err_set(err, -E2BIG, "disk '%s': its file system has too long options", serial);
	disk = &disks->list[disks->n++];
	*disk = (struct disk){ .type = strdup(type), .options = strdup(options), .flags = flags };
	memcpy(disk->serial, serial, len);
	return disk->type && disk->options ? 0 : -ENOMEM;
}

/* ---- finding ---- */

/* Its name, "vda". -ENOENT: it is not there. */
static int find(const struct disk *disk, char name[NAME_MAX + 1])
{
	_cleanup_closedir_ DIR *dir = opendir(DISKS_FOLDER);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char path[NAME_MAX + sizeof("/serial")];
		_cleanup_free_ char *serial = NULL;

		snprintf(path, sizeof(path), "%s/serial", entry->d_name);
		if (entry->d_name[0] == '.' || io_read_file(dirfd(dir), path, 64, &serial, NULL) < 0 ||
		    strcmp(serial, disk->serial) != 0)
			continue;
		memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
		return 0;
	}
	return -ENOENT;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int wait_for(const struct disk *disk, char name[NAME_MAX + 1], struct err *err)
{
	/* Listen first, then look: one that comes in between is not missed. */
	_cleanup_close_ int events = uevent_open(err);
	const int64_t end = now_ms() + DISK_WAIT_MS;
	struct pollfd wait = { .fd = events, .events = POLLIN };

	if (events < 0)
		return events;
	while (find(disk, name) < 0) {
		int64_t left = end - now_ms();

		if (left <= 0)
			return err_set(err, -ENODEV, "no disk '%s' within %u s", disk->serial,
				       DISK_WAIT_MS / 1000);
		if (poll(&wait, 1, (int)left) > 0)
			uevent_drain(events);
	}
	return 0;
}

/* ---- mounting ---- */

/* @disk's options, and where its data lies. */
static int make_options(const struct disk *disk, const struct disk *end, char options[MOUNT_OPTIONS_MAX],
			struct err *err)
{
	size_t len = (size_t)snprintf(options, MOUNT_OPTIONS_MAX, "%s", disk->options);

	for (const struct disk *data = disk + 1; data < end && !data->type[0]; data++) {
		char name[NAME_MAX + 1];
		int r = wait_for(data, name, err);

		if (r < 0)
			return r;
		len += (size_t)snprintf(options + len, MOUNT_OPTIONS_MAX - len, "%sdevice=/dev/%s", len ? "," : "", name);
		if (len >= MOUNT_OPTIONS_MAX)
			return err_set_errno(err, -E2BIG, "options of disk '%s'", disk->serial);
	}
	return 0;
}

/* @end: behind the last of all disks. Returns the detached mount. */
static int mount_disk(const struct disk *disk, const struct disk *end, struct err *err)
{
	char name[NAME_MAX + 1], path[NAME_MAX + sizeof("/dev/")], options[MOUNT_OPTIONS_MAX];
	int r = wait_for(disk, name, err);

	if (r >= 0)
		r = make_options(disk, end, options, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/dev/%s", name);
	r = mount_new_from(disk->type, path, disk->flags & MS_RDONLY ? "ro" : NULL, options,
			   mount_attr_from_flags(disk->flags), err);
	if (r == -ENODEV)
		return err_set(err, r, "the guest's kernel has no file system '%s'", disk->type);
	if (r < 0)
		err_prefix(err, "disk '%s'", disk->serial);
	return r;
}

/* Returns a descriptor of it. What has that name on a disk may be anything, a link out of it too. */
static int make_folder(int dir, const char *name, struct err *err)
{
	int fd = -1;

	if (mkdirat(dir, name, 0755) == 0 || errno == EEXIST)
		fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set_errno(err, -errno, "folder '%s'", name) : fd;
}

static int attach_layer(const struct disk *disk, const struct disk *end, int top, const char *name, bool upper,
			struct err *err)
{
	_cleanup_close_ int folder = make_folder(top, name, err), mount = -EBADF;
	static const char *const names[] = { UPPER, WORK };
	int r;

	if (folder < 0)
		return folder;
	mount = mount_disk(disk, end, err);
	if (mount < 0)
		return mount;
	r = mount_attach(mount, folder, err);
	for (size_t i = 0; upper && i < 2 && r >= 0; i++) {
		_cleanup_close_ int fd = r = make_folder(mount, names[i], err);
	}
	return r < 0 ? r : 0;
}

/*
 * An overlay takes its layers by path, and no detached ones: they are attached in a tmpfs, and named
 * from there. Returns the overlay's detached mount.
 */
static int mount_layers(const struct disk_list *disks, int cover_fd, struct err *err)
{
	bool upper = !(disks->list[0].flags & MS_RDONLY);
	char options[3 * DISKS_MAX + sizeof("lowerdir=,upperdir=0/" UPPER ",workdir=0/" WORK)] = "lowerdir=";
	_cleanup_close_ int top = mount_new("tmpfs", "mode=0700,size=64k", NULL, 0, err);
	const struct disk *end = disks->list + disks->n;
	size_t len = strlen(options);
	int r;

	if (top < 0)
		return top;
	r = mount_attach(top, cover_fd, err);
	for (size_t i = 0; i < disks->n && r >= 0; i++) {
		const char name[] = { LAYER_NAMES[i], '\0' };

		if (!disks->list[i].type[0])
			continue;
		r = attach_layer(&disks->list[i], end, top, name, upper && i == 0, err);
		if (!upper || i > 0)
			len += (size_t)snprintf(options + len, sizeof(options) - len, "%s%s",
						options[len - 1] == '=' ? "" : ":", name);
	}
	if (r < 0)
		return r;
	if (fchdir(top) < 0)
		return err_set_errno(err, -errno, "enter the folder of layers");
	if (upper)
		snprintf(options + len, sizeof(options) - len, ",upperdir=0/" UPPER ",workdir=0/" WORK);
	return mount_new("overlay", NULL, options, 0, err);
}

/* Whether all but the first hold data of it. */
static bool is_single(const struct disk_list *disks)
{
	size_t i = 1;

	while (i < disks->n && !disks->list[i].type[0])
		i++;
	return i == disks->n;
}

int disk_root(const struct disk_list *disks, int cover_fd, struct err *err)
{
	_cleanup_close_ int root = is_single(disks) ? mount_disk(disks->list, disks->list + disks->n, err)
						    : mount_layers(disks, cover_fd, err);
	int r;

	if (root < 0)
		return root;
	r = mount_attach(root, cover_fd, err);
	return r < 0 ? r : TAKE_FD(root);
}

/* ---- giving back ---- */

static void retire(const struct disk *disk)
{
	char name[NAME_MAX + 1], path[NAME_MAX + sizeof(DISKS_FOLDER "/")];
	int r = find(disk, name), fd;

	if (r < 0)
		return;
	snprintf(path, sizeof(path), "/dev/%s", name);
	/* A file system that is still mounted has it for itself. */
	fd = open(path, O_RDONLY | O_EXCL | O_CLOEXEC);
	if (fd < 0) {
		log_warning("disk '%s' is still in use: %s", disk->serial, strerror(errno));
		return;
	}
	close(fd);
	snprintf(path, sizeof(path), DISKS_FOLDER "/%s", name);
	r = slot_switch_off(path);
	if (r < 0)
		log_warning("switch the slot of disk '%s' off: %s", disk->serial, strerror(-r));
}

void disk_retire(const struct disk_list *disks)
{
	for (size_t i = 0; i < disks->n; i++)
		retire(&disks->list[i]);
}
