/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd.h - the file server of a sandbox: one process that serves one folder to one VM
 *
 * Shape:    starts virtiofsd (QEMU's C program or the Rust one: command lines differ, told apart by
 *           what --version prints) in its own sandbox over @dir alone.
 * Peer:     guest, through vhost-user: the server is taken as lost at some point; it dies with the
 *           monitor (PDEATHSIG).
 * Process:  the sandbox monitor; loop thread only.
 * Source:   docs/tools/virtiofsd.rst of QEMU 7.2; the README of the Rust virtiofsd 1.x.
 */
#ifndef ONGGI_HYPERVISOR_VIRTIOFSD_H
#define ONGGI_HYPERVISOR_VIRTIOFSD_H

#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

/* Time limit for the program to print its version, ms. */
#define FILE_SERVER_VERSION_MS 20000

struct file_server;

struct file_server_config {
	const char *path; /* of the program; NULL: the usual places */
	/* Folder to serve, absolute; a shared mount, so that later mounts below it propagate. */
	const char *dir;
	int state_dirfd; /* "virtiofsd.log" (bounded) goes here */
};

/* The server has ended by itself. @reason: its last words. Runs at most once. */
typedef void (*file_server_exit_fn)(struct file_server *fs, int status, const char *reason,
				    void *userdata);

/*
 * Find the program and make the socket: a VMM can be started with that before the server runs, so
 * that both come up at the same time. path and dir of @config are borrowed until file_server_start.
 * -ENOENT (names the package to install) when there is no program, -EINVAL @dir is not absolute;
 * errnos of socket, openat.
 */
int file_server_create(struct loop *loop, const struct file_server_config *config,
		       file_server_exit_fn on_exit, void *userdata, struct file_server **ret,
		       struct err *err);
/*
 * Returns as soon as the process runs (a quick "--version" run of the same program comes before, at
 * most FILE_SERVER_VERSION_MS). -EINVAL the program is no virtiofsd, -ETIMEDOUT its --version does
 * not end; errnos of fork.
 */
int file_server_start(struct file_server *fs, struct err *err);
/* A socket connected to the server, for the VMM; the caller owns it. Once, then -EBADF. */
int file_server_take_socket(struct file_server *fs);
pid_t file_server_pid(const struct file_server *fs);
/*
 * Make the mount at @path (relative to the served folder, no symbolic links) read-only in the
 * server's own mount namespace, with everything below it: from then on no guest can write through
 * it. For a rootfs that needed mount points first.
 *
 * Returns 0; -ESRCH the server has not built its sandbox yet or is gone; -EBUSY the guest holds a
 * file open for writing; -EINVAL no mount is there; others of openat2(2), setns(2),
 * mount_setattr(2).
 */
int file_server_set_readonly(struct file_server *fs, const char *path, struct err *err);
/*
 * SIGKILL, reaps, waits for the process inside the sandbox too (its mounts would keep ours busy),
 * frees. NULL allowed.
 */
void file_server_destroy(struct file_server *fs);
DEFINE_CLEANUP(struct file_server *, file_server_destroy);

/* ---- parts of it, for the tests ---- */

enum file_server_flavour { FILE_SERVER_C, FILE_SERVER_RUST };

/* From what --version prints; -EINVAL it is neither. */
int file_server_flavour_parse(const char *text, enum file_server_flavour *ret);

/*
 * Arguments for @dir with the listening socket as descriptor @fd; freed with file_server_free_argv.
 * -ENOMEM.
 */
int file_server_argv(enum file_server_flavour flavour, const char *path, const char *dir, int fd,
		     char ***ret);
void file_server_free_argv(char **argv);

#endif
