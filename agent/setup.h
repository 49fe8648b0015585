/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup.h - making a container's processes: from an OCI spec to execve(2)
 *
 * Shape:    struct setup is what a container keeps for as long as it exists (cgroup, namespaces,
 *           seccomp program); struct setup_process is one process on its way to execve and goes
 *           away afterwards.
 * Phases:   1 setup_prepare        in the agent, before any fork: checks the spec, makes the cgroup
 *           2 setup_spawn_init     clone3; the child mounts, pivots, drops privileges, looks the
 *                                  program up, reports "created" and waits
 *           3 setup_process_start  lets it load seccomp and execve
 *           An exec (setup_spawn_exec) has no phase of waiting: it runs through to execve.
 * Waiting:  nothing here blocks on the child. setup_process_fd() becomes readable when the child
 *           has something to say, setup_process_result() then reads it. Time limits are the
 *           caller's: kill the process by its pidfd and destroy the setup_process.
 * Process:  the agent, loop thread only, single-threaded (pid namespaces are entered and left with
 *           setns).
 * Peer:     the child runs next to hostile processes; its messages are bounded and checked.
 * Needs:    prctl(PR_SET_DUMPABLE, 0) in the agent, rootfs_leave_initramfs() before /proc is
 *           mounted, /proc, /sys/fs/cgroup (v2) and /dev (devtmpfs or nodes) of the guest mounted
 *           at these places.
 * Order:    setup_prepare -> setup_spawn_init -> (fd readable) setup_process_result: SETUP_CREATED
 *           -> setup_process_start -> (fd readable) setup_process_result: SETUP_STARTED ->
 *           setup_process_destroy ... setup_destroy.
 * Not here: terminals' masters, pipes, reaping, exit codes: the caller's.
 */
#ifndef ONGGI_AGENT_SETUP_H
#define ONGGI_AGENT_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/cgroup.h"
#include "agent/namespace.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/oci.h"

/* Where the host's folders are mounted in the guest; rootfs and bind sources lie below it. */
#define SETUP_SHARE_PATH "/run/onggi/share"
/* The guest's own memory file system, which containers of a pod share. */
#define SETUP_SHM_PATH "/dev/shm"

/* Where the source of spec->mounts[index] is found in the guest. */
struct setup_mount_source {
	uint32_t index;
	const char *path; /* absolute, below SETUP_SHARE_PATH; or SETUP_SHM_PATH */
	bool has_mounts_below; /* on the host, with flags that are not to be covered by ours */
};

/* A namespace of this container that is shared under a key with others. */
struct setup_shared_namespace {
	enum oci_namespace type;
	const char *key;
};

/*
 * All pointers are borrowed; @spec and @registry must outlive the struct setup, the rest only the
 * call.
 */
struct setup_request {
	const char *container_id; /* path_id_valid() */
	const struct oci_spec *spec;
	const char *rootfs; /* absolute, below SETUP_SHARE_PATH; not looked at with a disk */
	const struct disk_list *disks; /* the root's own; NULL: none */
	const struct setup_mount_source *sources;
	size_t n_sources;
	const struct setup_shared_namespace *shared;
	size_t n_shared;
	struct namespace_registry *registry;
	const char *hook_state;  /* JSON for startContainer hooks; NULL or "": the spec has none */
	const char *share_path;  /* NULL: SETUP_SHARE_PATH */
	const char *cgroup_root; /* NULL: CGROUP_ROOT */
};

struct setup;
struct disk_list;
struct setup_process;

/*
 * Check a spec and make what the container's processes will need: cgroup with its limits and device
 * rules, seccomp program, the container's devpts instance.
 *
 * @ret           released with setup_destroy
 * @ret_warnings  NULL-terminated texts about parts of the spec that are ignored, freed with
 *                json_free_strv; may be empty, never NULL
 *
 * Returns 0; -EINVAL a spec that cannot be applied; -EOPNOTSUPP a feature that is refused by name
 * (both are INVALID_ARGUMENT to the peer); -EEXIST the cgroup is there already; -ENOMEM; another
 * errno from the kernel.
 */
int setup_prepare(const struct setup_request *request, struct setup **ret, char ***ret_warnings,
		  struct err *err);

/*
 * Release descriptors and memory, drop the references to shared namespaces. The cgroup is not
 * removed: use setup_cgroup() before (cgroup_kill, cgroup_remove).
 */
void setup_destroy(struct setup *setup);
DEFINE_CLEANUP(struct setup *, setup_destroy);

/* The disks of its root, borrowed; there may be none. */
const struct disk_list *setup_disks(const struct setup *setup);

/* The container's cgroup, borrowed: freezing, killing, limits, counting. */
struct cgroup *setup_cgroup(struct setup *setup);

/*
 * A terminal from the container's own devpts instance, so that its name means something inside.
 *
 * @ret_master, @ret_slave  both CLOEXEC, both the caller's; the master blocking
 *
 * Works from setup_prepare on, before and after setup_spawn_init. The size is the caller's to set.
 * Returns 0 or a negative errno (-ENOSPC: no terminal left).
 */
int setup_open_terminal(struct setup *setup, int *ret_master, int *ret_slave, struct err *err);

/* Descriptors of the new process, borrowed; the caller closes its copies after the call. */
struct setup_stdio {
	int terminal;    /* slave; -1: none. When given, it becomes 0, 1 and 2 and the rest is not looked at */
	int in, out, err; /* descriptors for 0, 1 and 2; each must be given without a terminal */
};

/*
 * Start the container's init up to "created". Once per struct setup.
 *
 * Returns 0; -EBUSY called before; -ESRCH or -ENOMEM a shared pid namespace whose init is dead;
 * -EAGAIN no more processes; a negative errno from clone3(2).
 */
int setup_spawn_init(struct setup *setup, const struct setup_stdio *stdio, struct setup_process **ret,
		     struct err *err);

/*
 * Start another process in the container's namespaces and cgroup; runs through to execve.
 *
 * @process      borrowed until the call returns
 * @init_pidfd   the container's init, alive
 *
 * Returns 0; -ESRCH init has ended; -EINVAL/-EOPNOTSUPP as in setup_prepare; a negative errno.
 */
int setup_spawn_exec(struct setup *setup, const struct oci_process *process, int init_pidfd,
		     const struct setup_stdio *stdio, struct setup_process **ret, struct err *err);

/* In the agent's pid namespace. The process is a direct child of the agent, which reaps it. */
pid_t setup_process_pid(const struct setup_process *process);
/* Gives the pidfd (CLOEXEC) away; the second call returns -EBADF. */
int setup_process_take_pidfd(struct setup_process *process);

/* To be polled for reading; borrowed, valid until setup_process_destroy. */
int setup_process_fd(const struct setup_process *process);

enum setup_result {
	SETUP_PENDING, /* nothing yet: poll on */
	SETUP_CREATED, /* init waits for setup_process_start; reported once */
	SETUP_STARTED, /* the program runs (or was killed meanwhile: the pidfd tells) */
};

/*
 * What the child has reported. Does not block.
 *
 * Returns 0 with *ret; otherwise the set-up failed, the child has exited or is about to (the caller
 * reaps it) and @err holds the reason with the name of the step, or runc's wording for a program
 * that cannot be run:
 * -ENOENT no such program (NOT_FOUND), -EACCES cannot be executed (PERMISSION_DENIED), any other
 * negative errno; -EPIPE the child died without a word before it was created;
 * -EPROTO a message that no child of ours sends.
 */
int setup_process_result(struct setup_process *process, enum setup_result *ret, struct err *err);

/*
 * Whether the failure that setup_process_result returned was about the program itself (exec: "x":
 * …).
 */
bool setup_process_program_failed(const struct setup_process *process);

/*
 * Let a created init go on to execve. Returns 0; -EINVAL not in state "created"; -EPIPE it has
 * died.
 */
int setup_process_start(struct setup_process *process, struct err *err);

/* A child that still waits notices and exits; one past execve is left alone. NULL is allowed. */
void setup_process_destroy(struct setup_process *process);
DEFINE_CLEANUP(struct setup_process *, setup_process_destroy);

#endif
