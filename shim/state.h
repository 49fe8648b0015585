/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - what is on disk about sandboxes and containers
 *
 * Layout below the root (--root, default /run/onggi), every folder 0700, every file written by
 * rename:
 *
 *   lock                           flock(2): taken for the moments in which a sandbox is chosen or removed
 *   cache/                         verdicts that hold for one boot of the host
 *   sandboxes/<sandbox>/state.json who runs it: struct sandbox_record
 *                       task.sock  the monitor's Task and Sandbox services
 *                       console.log, virtiofsd.log, vmm.pid, monitor.log (bounded)
 *                       shared/    mount point of the shared folder (mounts exist in the monitor's namespace only)
 *   containers/<id>/state.json     struct container_record
 *                   io/            FIFOs of the proxies
 *
 * The container's folder is made by who creates it (mkdir is the reservation of the id), its record
 * by the monitor from then on. A process in a record is named by pid and start time, so that a
 * reused pid is never taken for it.
 */
#ifndef ONGGI_SHIM_STATE_H
#define ONGGI_SHIM_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"

#define STATE_ROOT_DEFAULT "/run/onggi"

struct process_id {
	pid_t pid;           /* 0: none */
	uint64_t start_time; /* field 22 of /proc/<pid>/stat, clock ticks since boot */
};
/* Of a process that is there. Returns 0 or -ESRCH. */
int process_id_of(pid_t pid, struct process_id *ret);
/*
 * Whether it can still do something: one that is on its way out, or a zombie, cannot. So who has
 * seen a process' socket close finds it dead, although the kernel may be freeing its memory for a
 * while yet. Of a process with threads the first one decides.
 */
bool process_id_alive(const struct process_id *p);
/*
 * Wait by pidfd until nothing of it is left but a zombie, at most @timeout_ms. 0 also when it was
 * gone. -ETIMEDOUT.
 */
int process_id_wait(const struct process_id *p, uint64_t timeout_ms);
/*
 * SIGKILL it and wait for its end by pidfd, at most @timeout_ms. 0 also when it was gone.
 * -ETIMEDOUT.
 */
int process_id_kill(const struct process_id *p, uint64_t timeout_ms);

struct sandbox_record {
	char *id;
	struct process_id monitor, vmm, file_server;
	uint64_t netns_dev, netns_ino; /* identity of the network namespace; 0, 0: none */
	char *netns_path;              /* under which its engine knows it; NULL: it is the sandbox's own */
	char *cri_sandbox_id;          /* NULL: none */
};

enum container_status {
	CONTAINER_CREATING,
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_STOPPED,
};
/* "creating", … as in the state of the specification. */
const char *container_status_name(enum container_status status);

struct container_record {
	char *id, *sandbox, *bundle, *rootfs, *oci_version;
	enum container_status status;
	struct process_id proxy;
	pid_t stand_in;         /* shown where there is no proxy; of the moment, not kept on disk */
	char *created;          /* RFC3339 with nanoseconds, UTC */
	uint32_t exit_status;
	char *lost_reason;      /* why its VM or monitor was lost, one line; NULL: they were not */
	char **annotations;     /* key, value, key, value, …, NULL */
	unsigned int hook_kinds; /* bit 1 << kind: it has hooks of that kind, and RECORD_HOOKS_KNOWN; 0: not known */
};
#define RECORD_HOOKS_KNOWN (1u << 31)

/* Open (and make) a root: its descriptor. -ENOTDIR, -EACCES … with the path in @err. */
int state_open_root(const char *path, int *ret_fd, struct err *err);
/*
 * Exclusive lock of the root; released by closing. Waits at most STATE_LOCK_TIMEOUT_MS: -ETIMEDOUT.
 */
#define STATE_LOCK_TIMEOUT_MS 30000
int state_lock(int rootfd, int *ret_fd, struct err *err);

/*
 * Records. Loading: -ENOENT "sandbox '<id>' does not exist"; -EINVAL no valid id, or a field of
 * another type; -EBADMSG no JSON object; -EFBIG; -ENOMEM. Saving, whole or not at all: -EFBIG,
 * -ENOMEM, errnos of io_replace_file.
 */
int sandbox_record_load(int rootfd, const char *id, struct sandbox_record **ret, struct err *err);
int sandbox_record_save(int rootfd, const struct sandbox_record *r, struct err *err);
void sandbox_record_free(struct sandbox_record *r);
DEFINE_CLEANUP(struct sandbox_record *, sandbox_record_free);

/* The same; "container '<id>' does not exist". */
int container_record_load(int rootfd, const char *id, struct container_record **ret, struct err *err);
int container_record_save(int rootfd, const struct container_record *r, struct err *err);
void container_record_free(struct container_record *r);
DEFINE_CLEANUP(struct container_record *, container_record_free);

/*
 * Names in containers/ or sandboxes/ (@kind), sorted, NULL-terminated; freed with
 * state_free_names. -ENOMEM; errnos of openat(2), readdir(3).
 */
int state_list(int rootfd, const char *kind, char ***ret);
void state_free_names(char **names);
DEFINE_CLEANUP(char **, state_free_names);

#endif
