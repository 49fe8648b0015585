/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd.h - the file server of a sandbox: one process that serves one folder to one VM
 *
 * Shape:    starts virtiofsd (QEMU's C program or the Rust one: command lines differ, told apart by --version
 *           output, cached per path) in its own sandbox over @dir alone.
 * Peer:     guest, through vhost-user: the server is taken as lost at some point; it dies with the monitor (PDEATHSIG).
 * Process:  the sandbox monitor; loop thread only.
 */
#ifndef ONGGI_HYPERVISOR_VIRTIOFSD_H
#define ONGGI_HYPERVISOR_VIRTIOFSD_H

#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

struct file_server;

struct file_server_config {
	const char *path;  /* of the program; NULL: the usual places */
	const char *dir;   /* folder to serve, a shared mount so that later mounts below it propagate */
	int state_dirfd;   /* "virtiofsd.log" (bounded) goes here */
};

/* The server has ended by itself. @reason: its last words. Runs at most once. */
typedef void (*file_server_exit_fn)(struct file_server *fs, int status, const char *reason, void *userdata);

/* Returns as soon as the process runs; -ENOENT (names the package to install) when there is no program. */
int file_server_create(struct loop *loop, const struct file_server_config *config, file_server_exit_fn on_exit,
		       void *userdata, struct file_server **ret, struct err *err);
/* A socket connected to the server, for the VMM; the caller owns it. Once. */
int file_server_take_socket(struct file_server *fs);
pid_t file_server_pid(const struct file_server *fs);
/*
 * Make the mount at @path (relative to the served folder) read-only in the server's own mount namespace, with everything below it:
 * from then on no guest can write through it. For a rootfs that needed mount points first.
 * Returns 0 or a negative errno.
 */
int file_server_set_readonly(struct file_server *fs, const char *path, struct err *err);
/* SIGKILL, reaps, frees. NULL allowed. */
void file_server_destroy(struct file_server *fs);
DEFINE_CLEANUP(struct file_server *, file_server_destroy);

#endif
