/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hypervisor.h - a virtual machine, whichever program runs it
 *
 * Shape:    struct vm behind a table of functions (struct vm_driver). Everything that takes time is
 *           asynchronous: a done callback on the loop.
 * Peer:     the VMM process, taken as hostile once the guest runs.
 * Process:  the sandbox monitor; loop thread only.
 * Order:    vm_create -> (vm_agent_fd, agent talks) -> vm_add_device … -> vm_destroy; on_exit when the
 *           VMM ends before.
 * Not here: the accelerator probe (accel.h), the file server (virtiofsd.h), confinement (jail.h).
 */
#ifndef ONGGI_HYPERVISOR_HYPERVISOR_H
#define ONGGI_HYPERVISOR_HYPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

enum vm_accel { VM_ACCEL_KVM, VM_ACCEL_TCG };
/* "kvm", "tcg" */
const char *vm_accel_name(enum vm_accel accel);

/*
 * Slots behind PCIe root ports that devices can be hot-plugged into later. Under TCG the first
 * costs a cold boot some 50 ms, each further one 5.
 */
#define VM_HOTPLUG_SLOTS 8

/* A machine that was saved (vm_save): what template.h keeps. */
struct vm_saved {
	int memory_fd; /* O_RDONLY; never written, never mapped by a VMM: each gets a copy */
	int state_fd;  /* O_RDONLY, position 0 */
	uint64_t memory_bytes, memory_checksum; /* memory_copy.h */
};

struct vm_config {
	const char *name;       /* for messages and the process title, [A-Za-z0-9_.+-] */
	const char *vmm_path;   /* e.g. /usr/bin/qemu-system-x86_64 */
	const char *kernel, *initrd; /* absolute paths, like vmm_path */
	const char *extra_cmdline; /* appended to the kernel command line; may be NULL */
	enum vm_accel accel;
	/*
	 * What the guest boots with, and what the machine has beside it for the guest to take into
	 * use later (hot-plug within the guest, by vm_memory_ranges). 0, or less than the former: no
	 * more than that. What is not in use costs next to nothing.
	 */
	unsigned int vcpus;      /* 1 to 64 */
	unsigned int vcpus_max;  /* to 64 */
	uint64_t memory_mib;     /* 64 to 1 TiB */
	uint64_t memory_max_mib; /* to 1 TiB */
	bool debug;             /* verbose guest console */
	/*
	 * Connected vhost-user socket of the file server, or -1. Borrowed: the driver passes a
	 * duplicate to the VMM. @share_tag is the virtiofs tag.
	 */
	int share_fd;
	const char *share_tag;
	/* Folder of the sandbox (0700): console log, pid file. The driver creates
	 * "console.log", "vmm.log" (the VMM's stderr) and "vmm.pid" in it. */
	int state_dirfd;
	/*
	 * NULL: boot. Else go on from there, with a machine of the same vm_describe; the share is
	 * plugged into a slot before the guest runs. Descriptors are borrowed until vm_create
	 * returns. When it cannot be done, the VMM ends and on_exit says why.
	 */
	const struct vm_saved *restore;
	/*
	 * NULL, or a file (O_RDWR, of vm_config_built_mib) that is to be the guest's memory, so that the
	 * machine can be saved. Borrowed. Such a machine has no share.
	 */
	const int *memory_file;
};

enum vm_device_kind { VM_DEVICE_DISK, VM_DEVICE_NIC, VM_DEVICE_SHARE };

struct vm_device {
	enum vm_device_kind kind;
	const char *id;      /* 1 to 31 bytes of [a-z0-9-], unique in the VM */
	/*
	 * Disk image or block device (of any access mode when @readonly, else O_RDWR), tap (IFF_VNET_HDR), or
	 * vhost-user socket; borrowed, duplicated. The guest finds a disk by its serial number, the
	 * first 20 bytes of @id.
	 */
	int fd;
	bool readonly;       /* disks */
	const char *mac;     /* NICs, "02:…" */
	/*
	 * NICs: /dev/vhost-net, open for reading and writing, so that the host's kernel moves the
	 * packets; borrowed, duplicated. 0 or less: the VMM does it.
	 */
	int vhost_fd;
	const char *tag;     /* shares */
};

/* Memory of the machine itself, of which the guest boots with memory_mib. */
static inline uint64_t vm_config_built_mib(const struct vm_config *c)
{
	return c->memory_max_mib > c->memory_mib ? c->memory_max_mib : c->memory_mib;
}

struct vm;

struct vm_events {
	/*
	 * The VMM has ended. @status: wait(2) status. @reason: what is known, e.g. its last words
	 * on stderr; may be empty. Runs once; no other callback follows.
	 */
	void (*on_exit)(struct vm *vm, int status, const char *reason, void *userdata);
};

typedef void (*vm_done_fn)(int code, const char *message, void *userdata);

/* Memory of the machine: physical addresses, in bytes. */
struct vm_memory_range {
	uint64_t start, length;
};
#define VM_MEMORY_RANGES_MAX 4

struct vm_driver {
	const char *name; /* "qemu" */
	int (*create)(struct loop *loop, const struct vm_config *config,
		      const struct vm_events *events, void *userdata, struct vm **ret,
		      struct err *err);
	void (*destroy)(struct vm *vm);
	int (*agent_fd)(struct vm *vm);
	pid_t (*pid)(const struct vm *vm);
	int (*add_device)(struct vm *vm, const struct vm_device *device, vm_done_fn done,
			  void *userdata, struct err *err);
	int (*remove_device)(struct vm *vm, const char *id, vm_done_fn done, void *userdata,
			     struct err *err);
	/* The two may be NULL: no templates with this driver. */
	int (*save)(struct vm *vm, int state_fd, vm_done_fn done, void *userdata, struct err *err);
	int (*describe)(const struct vm_config *config, char **ret, struct err *err);
	size_t (*console_tail)(struct vm *vm, char *buf, size_t size);
	/* NULL: its machines do not grow. */
	size_t (*memory_ranges)(uint64_t memory_mib,
				struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX]);
};

/* NULL-terminated table; vm_driver_find returns NULL for an unknown name. */
extern const struct vm_driver *const vm_drivers[];
const struct vm_driver *vm_driver_find(const char *name);

/*
 * Start a VM. Returns as soon as the VMM process runs; the guest boots meanwhile, and on_exit tells
 * if the VMM could not start (its words in @reason). All callbacks may destroy the VM.
 *
 * @config  copied as far as needed
 * @events  copied
 *
 * Returns 0; -ENOENT no VMM, kernel or initrd (the message names the path); -EINVAL; other errnos
 * of fork and pipes.
 */
int vm_create(const struct vm_driver *driver, struct loop *loop, const struct vm_config *config,
	      const struct vm_events *events, void *userdata, struct vm **ret, struct err *err);
/*
 * Kills the VMM if it still runs and waits for its end (bounded by the kernel's SIGKILL). NULL
 * allowed.
 */
void vm_destroy(struct vm *vm);
DEFINE_CLEANUP(struct vm *, vm_destroy);

/*
 * The monitor's end of the guest channel (virtio-serial port "onggi.agent"), a stream socket,
 * non-blocking. The caller takes it over; a second call returns -EBADF. Bytes written before the
 * guest opened its port wait.
 */
int vm_agent_fd(struct vm *vm);
pid_t vm_pid(const struct vm *vm);

/*
 * Hot-plug and unplug. @done runs once the device is plugged (the guest sees it some milliseconds
 * later) or gone, or with a negative errno: -EREMOTEIO the VMM refused, -ETIMEDOUT, -EPIPE the VM
 * has ended, -ECANCELED it is being destroyed. To remove takes the guest 5 s by itself (Linux waits
 * after the "attention button"), but no time if the guest writes 0 to the slot's power file in
 * /sys/bus/pci/slots.
 *
 * Both return 0, or (then @done does not run) -EINVAL, -EEXIST, -ENOSPC no slot is free, -ENOENT no
 * such device, -EBUSY it is being added or removed, -EPIPE the VM has ended, -ENOMEM.
 */
int vm_add_device(struct vm *vm, const struct vm_device *device, vm_done_fn done, void *userdata,
		  struct err *err);
int vm_remove_device(struct vm *vm, const char *id, vm_done_fn done, void *userdata,
		     struct err *err);

/*
 * Stop the guest and write everything but its memory to @state_fd (borrowed; O_WRONLY or O_RDWR).
 * The VM is good for nothing afterwards but to be destroyed. @done: 0; errors as for devices.
 *
 * Returns 0, or (then @done does not run) -EOPNOTSUPP the driver cannot, or there was no
 * memory_file; -EBUSY it is being saved; -EPIPE; -ENOMEM.
 */
int vm_save(struct vm *vm, int state_fd, vm_done_fn done, void *userdata, struct err *err);

/*
 * Everything that makes a machine what it is, as text: a saved one fits a configuration exactly if
 * this is the same for both. Names, descriptors and the share are not part of it. The caller frees
 * *ret.
 *
 * Returns 0; -EOPNOTSUPP; as vm_create.
 */
int vm_describe(const struct vm_driver *driver, const struct vm_config *config, char **ret,
		struct err *err);

/*
 * Where the driver's machine with @memory_mib has its memory, upwards. Returns the number of
 * ranges; 0: a guest cannot take memory into use later.
 */
size_t vm_memory_ranges(const struct vm_driver *driver, uint64_t memory_mib,
			struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX]);

/*
 * The last bytes of the guest's console as printable text (control characters replaced),
 * NUL-terminated. Returns its length.
 */
size_t vm_console_tail(struct vm *vm, char *buf, size_t size);

#endif
