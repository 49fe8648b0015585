/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each kind of device is made of in QEMU. Slot N owns the names dev-N, net-N, disk-N, chr-N,
 * fd-N, vhost-N there; nothing is made from the caller's id.
 */
#include "hypervisor/qemu_device_internal.h"

#include <stdio.h>

#include "hypervisor/qemu_cmdline.h"

/* fdset numbers are N + this, so that none is 0. */
#define FDSET_FIRST 1
#define LINKS_MAX 4

/* ---- arguments: small objects from format strings ---- */

const char *qemu_device_name(char buf[static NAME_BYTES], const char *prefix, const struct slot *s)
{
	snprintf(buf, NAME_BYTES, "%s-%u", prefix, s->number);
	return buf;
}

/* {"key": "prefix-N"} */
static struct json *one_name(const char *key, const char *prefix, const struct slot *s)
{
	_cleanup_json_ struct json *j = json_new_object();
	char name[NAME_BYTES];

	if (!j || json_set(j, key, json_new_string(qemu_device_name(name, prefix, s))) < 0)
		return NULL;
	return TAKE_PTR(j);
}

static int set_string(struct json *j, const char *key, const char *value)
{
	return json_set(j, key, json_new_string(value));
}

static struct json *args_fdname(const struct slot *s)
{
	return one_name("fdname", "fd", s);
}

static struct json *args_fdset(const struct slot *s)
{
	_cleanup_json_ struct json *j = json_new_object();

	if (!j || json_set(j, "fdset-id", json_new_uint(FDSET_FIRST + s->number)) < 0)
		return NULL;
	return TAKE_PTR(j);
}

static struct json *args_vhost_fdname(const struct slot *s)
{
	return one_name("fdname", "vhost", s);
}

static struct json *args_netdev(const struct slot *s)
{
	_cleanup_json_ struct json *j = one_name("id", "net", s);
	char name[NAME_BYTES];

	if (!j || set_string(j, "type", "tap") < 0 ||
	    set_string(j, "fd", qemu_device_name(name, "fd", s)) < 0)
		return NULL;
	if (s->vhost && (json_set(j, "vhost", json_new_bool(true)) < 0 ||
			 set_string(j, "vhostfd", qemu_device_name(name, "vhost", s)) < 0))
		return NULL;
	return TAKE_PTR(j);
}

static struct json *args_netdev_del(const struct slot *s)
{
	return one_name("id", "net", s);
}

/*
 * The image is what its bytes are: a format found in them (qcow2 with a backing file) would be the
 * guest's choice.
 */
static struct json *args_blockdev(const struct slot *s)
{
	_cleanup_json_ struct json *j = one_name("node-name", "disk", s), *file = json_new_object();
	char path[32];

	snprintf(path, sizeof(path), "/dev/fdset/%u", FDSET_FIRST + s->number);
	if (!j || !file || set_string(file, "driver", s->block ? "host_device" : "file") < 0 ||
	    set_string(file, "filename", path) < 0 ||
	    (s->readonly && set_string(file, "locking", "off") < 0))
		return NULL;
	if (set_string(j, "driver", "raw") < 0 ||
	    json_set(j, "read-only", json_new_bool(s->readonly)) < 0 ||
	    set_string(j, "discard", "unmap") < 0 || json_set(j, "file", TAKE_PTR(file)) < 0)
		return NULL;
	return TAKE_PTR(j);
}

static struct json *args_blockdev_del(const struct slot *s)
{
	return one_name("node-name", "disk", s);
}

static struct json *args_chardev(const struct slot *s)
{
	_cleanup_json_ struct json *j = one_name("id", "chr", s), *addr = json_new_object(),
				   *data = json_new_object(), *socket = json_new_object(),
				   *backend = json_new_object();
	char name[NAME_BYTES];

	if (!j || !addr || !data || !socket || !backend)
		return NULL;
	/*
	 * {"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "fd-N"}}, "server":
	 * false}}
	 */
	if (set_string(data, "str", qemu_device_name(name, "fd", s)) < 0 ||
	    set_string(addr, "type", "fd") < 0 || json_set(addr, "data", TAKE_PTR(data)) < 0 ||
	    json_set(socket, "addr", TAKE_PTR(addr)) < 0 ||
	    json_set(socket, "server", json_new_bool(false)) < 0 ||
	    set_string(backend, "type", "socket") < 0 ||
	    json_set(backend, "data", TAKE_PTR(socket)) < 0 ||
	    json_set(j, "backend", TAKE_PTR(backend)) < 0)
		return NULL;
	return TAKE_PTR(j);
}

static struct json *args_chardev_del(const struct slot *s)
{
	return one_name("id", "chr", s);
}

/* {"driver": …, "id": "dev-N", "bus": "slotN", key: value, …} */
static struct json *args_device(const struct slot *s)
{
	_cleanup_json_ struct json *j = one_name("id", "dev", s);
	char bus[NAME_BYTES], backend[NAME_BYTES], serial[QEMU_DEVICE_SERIAL_MAX + 1];
	int r;

	snprintf(bus, sizeof(bus), QEMU_CMDLINE_BUS_FORMAT, s->number);
	if (!j || set_string(j, "bus", bus) < 0)
		return NULL;
	switch (s->kind) {
	case VM_DEVICE_NIC:
		r = set_string(j, "driver", "virtio-net-pci") < 0 ||
		    set_string(j, "mac", s->mac) < 0 || set_string(j, "romfile", "") < 0 ||
		    set_string(j, "netdev", qemu_device_name(backend, "net", s)) < 0;
		break;
	case VM_DEVICE_DISK:
		snprintf(serial, sizeof(serial), "%.*s", QEMU_DEVICE_SERIAL_MAX, s->id);
		r = set_string(j, "driver", "virtio-blk-pci") < 0 ||
		    set_string(j, "serial", serial) < 0 ||
		    set_string(j, "drive", qemu_device_name(backend, "disk", s)) < 0;
		break;
	case VM_DEVICE_SHARE:
		r = set_string(j, "driver", "vhost-user-fs-pci") < 0 ||
		    set_string(j, "tag", s->tag) < 0 ||
		    set_string(j, "chardev", qemu_device_name(backend, "chr", s)) < 0;
		break;
	default:
		r = 1;
	}
	return r ? NULL : TAKE_PTR(j);
}

struct json *qemu_device_del_arguments(const struct slot *s)
{
	return one_name("id", "dev", s);
}

/* ---- chains ---- */

/* A NIC whose packets the host's kernel moves has a chain of its own. */
#define CHAIN_VHOST_NIC (VM_DEVICE_SHARE + 1)

static const struct link chains[][LINKS_MAX + 1] = {
	[VM_DEVICE_DISK] = {
		{ "add-fd", args_fdset, WITH_FD, "remove-fd", args_fdset },
		{ "blockdev-add", args_blockdev, NO_FD, "blockdev-del", args_blockdev_del },
		/* The image is open: the set goes when it is closed. */
		{ "remove-fd", args_fdset, NO_FD, NULL, NULL },
		{ "device_add", args_device, NO_FD, NULL, NULL },
	},
	[VM_DEVICE_NIC] = {
		{ "getfd", args_fdname, WITH_FD, "closefd", args_fdname },
		{ "netdev_add", args_netdev, NO_FD, "netdev_del", args_netdev_del },
		{ "device_add", args_device, NO_FD, NULL, NULL },
	},
	[CHAIN_VHOST_NIC] = {
		{ "getfd", args_fdname, WITH_FD, "closefd", args_fdname },
		{ "getfd", args_vhost_fdname, WITH_VHOST_FD, "closefd", args_vhost_fdname },
		{ "netdev_add", args_netdev, NO_FD, "netdev_del", args_netdev_del },
		{ "device_add", args_device, NO_FD, NULL, NULL },
	},
	[VM_DEVICE_SHARE] = {
		{ "getfd", args_fdname, WITH_FD, "closefd", args_fdname },
		{ "chardev-add", args_chardev, NO_FD, "chardev-remove", args_chardev_del },
		{ "device_add", args_device, NO_FD, NULL, NULL },
	},
};
_Static_assert(ARRAY_SIZE(chains) == CHAIN_VHOST_NIC + 1, "one chain per kind, and vhost's");

const struct link *qemu_device_chain(const struct slot *s)
{
	return chains[s->vhost ? CHAIN_VHOST_NIC : s->kind];
}
