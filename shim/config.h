/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the administrator's configuration: /etc/onggi/config.json
 *
 * Shape:    one flat JSON object, the habit of docker's daemon.json; an unknown key or a wrong type
 *           is an error that names file, key and what would be right.
 * Search:   --config, then ONGGI_CONFIG, then /etc/onggi/config.json (which may be missing:
 *           defaults).
 * Source:   docs/configuration.md lists every key.
 */
#ifndef ONGGI_SHIM_CONFIG_H
#define ONGGI_SHIM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

#define CONFIG_PATH_DEFAULT "/etc/onggi/config.json"
#define CONFIG_TEMPLATE_DIR "/run/onggi/templates"
#define CONFIG_BYTES_MAX (64u << 10)
/* "io.onggi." and the name of a key. */
#define CONFIG_ANNOTATION_PREFIX "io.onggi."
/* What an annotation may ask for when the file says nothing of "memory_max_mib". */
#define CONFIG_ANNOTATION_MEMORY_MIB_MAX 8192u

struct config {
	char *path;               /* file that was read; NULL: none, all defaults */
	char *accel;              /* "accel": "kvm" (default), "auto", "tcg" */
	char *driver;             /* "driver": "qemu" */
	char *vmm;                /* "vmm": program of the driver; default /usr/bin/qemu-system-x86_64 */
	char *kernel, *initrd;    /* "kernel", "initrd": default beside the program in a checkout, else in ../lib/onggi */
	char *file_server;        /* "file_server": NULL: the usual places */
	uint32_t memory_mib;      /* "memory_mib": guest memory beside the container's own limit, default 256, 64 to 1 TiB */
	uint32_t memory_max_mib;  /* "memory_max_mib": what a guest may grow to; 0: not given */
	uint32_t vcpus;           /* "vcpus": default 1, 1 to 64 */
	/* "host_overhead_mib": memory on the host that VMM and helpers may need beside the guest's, default 512, 64 to 65536 */
	uint32_t host_overhead_mib;
	uint32_t vcpus_max;       /* "vcpus_max": what a guest may grow to; 0: not given */
	uint32_t boot_timeout_ms; /* "boot_timeout_s" in the file: agent must answer in that time; default 30, 1 to 600 */
	char *template;           /* "template": "on" (default), "off" or NULL: always boot */
	char *template_dir;       /* "template_dir": default CONFIG_TEMPLATE_DIR */
	uint32_t template_clones; /* "template_clones": renew a template after so many; 0: never; default 1000 */
	uint32_t template_hours;  /* "template_hours": or after that time; 0: never; default 24 */
	bool vhost_net;           /* "vhost_net": let the host's kernel move packets where it can; default false */
	bool rootfs_disks;        /* "rootfs_disks": have containerd hand over disks that it would mount; default false */
	bool debug;               /* "debug": verbose logs and guest console */
	uint64_t annotations;     /* "annotations": which keys annotations may change; a set of rows of config.c's table */
};

/*
 * @explicit_path  value of --config, or NULL
 * Returns 0; -ENOENT a file named explicitly is missing; -EINVAL, -EBADMSG, -EFBIG with the reason.
 */
int config_load(const char *explicit_path, struct config **ret, struct err *err);
void config_free(struct config *config);

/*
 * Let the annotations io.onggi.KEY of @spec change what the administrator lets them change:
 * "annotations" of the file, which is empty by default. Tenants write annotations, so only numbers
 * and words of a closed list can be among them, never a path, a program or arguments; other
 * annotations are none of ours.
 * Returns 0; -EPERM a key that may not be changed, -EINVAL a bad value: the text names annotation
 * and remedy.
 */
int config_annotate(struct config *config, const struct oci_spec *spec, struct err *err);

/*
 * Whether kernel and initrd can be read: for who is about to boot a guest. Errnos of access(2);
 * the message names the file and the remedy.
 */
int config_check_guest(const struct config *config, struct err *err);

DEFINE_CLEANUP(struct config *, config_free);

#endif
