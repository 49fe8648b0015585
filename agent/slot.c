/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/slot.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define SLOTS_FOLDER "/sys/bus/pci/slots"
/* "0000:02:00", without the function. */
#define SLOT_ADDRESS_BYTES 10u

/*
 * The PCI address of the device's slot, "0000:02:00", from
 * "../../devices/pci0000:00/0000:00:05.0/0000:02:00.0/virtio3/net/eth0".
 */
static int slot_of(const char *link, char address[SLOT_ADDRESS_BYTES + 1])
{
	char target[256], *virtio;
	ssize_t len;

	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	virtio = strstr(target, "/virtio");
	/* "/0000:02:00.0" before it */
	if (!virtio || virtio - target < 13 || virtio[-13] != '/' || virtio[-2] != '.')
		return -ENODEV;
	memcpy(address, virtio - 12, SLOT_ADDRESS_BYTES);
	address[SLOT_ADDRESS_BYTES] = '\0';
	return 0;
}

int slot_switch_off(const char *link)
{
	char address[SLOT_ADDRESS_BYTES + 1], path[NAME_MAX + 16];
	_cleanup_closedir_ DIR *dir = NULL;
	const struct dirent *entry;
	int r = slot_of(link, address);

	if (r < 0)
		return r;
	dir = opendir(SLOTS_FOLDER);
	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *text = NULL;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/address", entry->d_name);
		if (io_read_file(dirfd(dir), path, 64, &text, NULL) < 0 ||
		    strncmp(text, address, SLOT_ADDRESS_BYTES) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/power", entry->d_name);
		return io_write_file(dirfd(dir), path, "0", 1);
	}
	return -ENODEV;
}
