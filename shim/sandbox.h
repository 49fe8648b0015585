/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - one VM, its file server and its agent, and the containers in it
 *
 * Shape:    struct sandbox is the monitor's state. The VM runs while a container is created or
 *           running; a container that is created later in the same sandbox starts it anew.
 * Peer:     VMM, file server and agent: the end or misbehaviour of any of them ends the VM and
 *           every process in it with status 137. Texts from the guest are cut and stripped of
 *           control characters.
 * Process:  the sandbox monitor; loop thread only.
 * Order:    sandbox_create -> (services) -> on_empty -> sandbox_destroy.
 * Not here: containers (task.h), processes (proc.h), the services (services.h).
 */
#ifndef ONGGI_SHIM_SANDBOX_H
#define ONGGI_SHIM_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/ttrpc.h"
#include "hypervisor/hypervisor.h"
#include "hypervisor/template.h"
#include "hypervisor/virtiofsd.h"
#include "shim/config.h"
#include "shim/hostshare.h"
#include "shim/machine_size.h"
#include "shim/state.h"

/*
 * How long the agent may take; a guest that does not answer in that time is given up where noted.
 */
#define AGENT_CREATE_TIMEOUT_MS 120000
#define AGENT_START_TIMEOUT_MS 60000
#define AGENT_SIGNAL_TIMEOUT_MS 10000 /* given up when it was SIGKILL */
#define AGENT_QUERY_TIMEOUT_MS 10000
#define AGENT_REMOVE_TIMEOUT_MS 30000 /* given up */

/* Longest text of the guest that goes into a message or the log. */
#define AGENT_TEXT_MAX 1024
#define SANDBOX_CONTAINERS_MAX 512
/* monitor.log ends with a note when it would grow beyond. */
#define SANDBOX_LOG_BYTES_MAX (1u << 20)

#define SANDBOX_SHARE_TAG "onggi"
/* Where the agent mounts the share. */
#define SANDBOX_GUEST_SHARE "/run/onggi/share"
/* The guest's own memory file system. */
#define SANDBOX_GUEST_SHM "/dev/shm"

/* The file server as a table, so that tests can do without one. */
struct sandbox_files_ops {
	int (*create)(struct loop *loop, const struct file_server_config *config,
		      file_server_exit_fn on_exit, void *userdata, struct file_server **ret,
		      struct err *err);
	int (*take_socket)(struct file_server *fs);
	int (*start)(struct file_server *fs, struct err *err);
	pid_t (*pid)(const struct file_server *fs);
	int (*set_readonly)(struct file_server *fs, const char *path, struct err *err);
	void (*destroy)(struct file_server *fs);
};
extern const struct sandbox_files_ops sandbox_virtiofsd;

struct sandbox_options {
	const char *root; /* state root, absolute */
	const char *id;
	const char *cri_sandbox_id; /* NULL: none */
	uint64_t netns_dev, netns_ino;
	const char *netns_path; /* NULL: none */
	bool network; /* the caller lives in that namespace: reproduce it in the guest */
	const struct config *config; /* borrowed for the sandbox's life */
	/* what the first guest boots with; further ones by what their containers need */
	unsigned int vcpus;
	uint64_t memory_mib;
	struct machine_need pod; /* what all containers together may use, known before they are */
	const struct vm_driver *driver;	       /* borrowed */
	const struct sandbox_files_ops *files; /* borrowed */
	/* Where containerd hears of events (shim/containerd/); NULL: the command line creates, and tidies up. */
	struct publisher *publisher;
	int host_netns_fd; /* borrowed; with a publisher: where its hooks run */
};

enum sandbox_phase {
	SANDBOX_DOWN,	 /* no VM */
	SANDBOX_BOOTING, /* agent has not answered yet */
	SANDBOX_READY,
};

/*
 * VMM, file server and channel end together, whoever was to blame. Whose word counts, the most
 * credible first.
 */
enum sandbox_witness {
	WITNESS_FILES_FAILED, /* the VMM cannot go on without it, and complains of that */
	WITNESS_VMM,
	WITNESS_FILES_ENDED, /* without an error, as it does when its VMM has gone */
	WITNESS_CHANNEL,
};

struct task;
struct sandbox_network;
struct sandbox_forward;
struct publisher;
struct sandbox_machine_waiter; /* sandbox_machine.c */

/* How large the guest is, and is to be: sandbox_machine.h. */
struct sandbox_machine {
	struct machine_bounds bounds;
	struct machine_size built; /* the VM itself */
	struct machine_size boot;  /* what its guest began with */
	struct machine_size now;   /* in use, as the agent says */
	struct machine_size target;
	bool under_way;
	uint64_t serial; /* of the last call */
	struct sandbox_machine_waiter *waiters;
};

struct sandbox {
	struct loop *loop;
	struct sandbox_options options; /* strings are the sandbox's own copies */
	char *root, *id, *dir;		/* dir: absolute path of the sandbox's folder */
	enum vm_accel accel;
	int rootfd, dirfd;
	struct loop_source *watch; /* sandbox_watch.h */
	struct sandbox_record *record;
	struct hostshare *share;
	enum sandbox_phase phase;
	struct vm *vm;
	struct file_server *files;
	struct ttrpc_client *agent;
	struct sandbox_dns *dns; /* NULL: no container needs it */
	struct sandbox_network *network; /* NULL: none is wanted */
	struct sandbox_forward *forward; /* NULL: no pod, or not possible */
	/* what the agent said of its guest; kernel is sanitized */
	char guest_kernel[65];
	uint64_t guest_memory_total, guest_memory_free;
	struct sandbox_machine machine;
	/* May be set by who made it: the memory limit of @c has killed something (c->oom_kills). */
	void (*on_oom)(struct task *c, void *userdata);
	void *oom_userdata;
	struct task *containers;
	unsigned int n_containers;
	uint64_t next_serial;
	struct loop_source *work, *idle;
	char *lost_reason; /* the VM is to be given up */
	char *suspicion;   /* the same, but somebody may know better why */
	enum sandbox_witness witness; /* whose word the suspicion is */
	struct loop_source *grace;    /* for others to come with a better one */
	bool vmm_ended, files_ended;
	bool restored;       /* the VM goes on from a template */
	bool restore_failed; /* that went wrong once: boot from now on */
	bool wants_template; /* none was there, or an old one */
	char template_name[TEMPLATE_NAME_BYTES];
	char *last_loss; /* why the last VM was given up; NULL: none was, or another has started */
	size_t log_bytes;
	bool shutdown_asked; /* by Task.Shutdown, when nothing was left */
	bool finished; /* nothing is left of it on disk */
	void (*on_empty)(void *userdata);
	void *userdata;
};

/*
 * Register the sandbox: from here on others find its record. The folder sandboxes/<id> must exist.
 *
 * @on_empty  the last container is gone (or none came in MONITOR_IDLE_TIMEOUT_MS) and so is
 *            everything on disk; deferred, runs once
 *
 * Returns 0; -ENOMEM; errnos of opening the folders and of writing the record.
 */
int sandbox_create(struct loop *loop, const struct sandbox_options *options,
		   void (*on_empty)(void *userdata), void *userdata, struct sandbox **ret,
		   struct err *err);
/*
 * Set up its share and network, and start the VM, which boots meanwhile. After a failure, whose
 * reason is that of hostshare.h, sandbox_network.h or vm_create: sandbox_destroy.
 */
int sandbox_start(struct sandbox *s, struct err *err);
/*
 * End all processes (137, recorded), tell who waits, end the VM and remove the folder. NULL
 * allowed. The records of containers stay.
 */
void sandbox_shut_down(struct sandbox *s);
/* Nothing will be created after all: end it unless it holds a container. */
void sandbox_abandon(struct sandbox *s);
/* The same as sandbox_shut_down, and free. NULL allowed. */
void sandbox_destroy(struct sandbox *s);
DEFINE_CLEANUP(struct sandbox *, sandbox_destroy);

/*
 * A VM runs or begins to boot. task_guest_ready or task_guest_lost of each container follows.
 * -EPIPE: the last one is just being given up; errors of vm_create.
 */
int sandbox_need_vm(struct sandbox *s, struct err *err);

/* Give up the VM: every process ends with 137. Deferred; the first reason counts. */
void sandbox_give_up(struct sandbox *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The same after a moment (at once, when both VMM and file server have ended), with the reason of a
 * more credible witness if one comes meanwhile.
 */
void sandbox_suspect(struct sandbox *s, enum sandbox_witness witness, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Forget suspicions: the VM they are about is gone. */
void sandbox_clear_suspicion(struct sandbox *s);

/*
 * A container or process has changed its state: see (deferred) whether the VM or the monitor is
 * still needed.
 */
void sandbox_settle(struct sandbox *s);

/*
 * If no container is left: end the VM and remove the folder, now. For the answer to the last Delete
 * to be true.
 */
void sandbox_finish_if_empty(struct sandbox *s);

/* A line of monitor.log, until SANDBOX_LOG_BYTES_MAX are in it. */
void sandbox_log(struct sandbox *s, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define AGENT_SERVICE "onggi.agent.v1.Agent"

/*
 * Call the agent. @done runs exactly once; at once with TTRPC_UNAVAILABLE when there is no agent.
 * @timeout_ms  0: none
 */
void agent_call(struct sandbox *s, const char *method, const ProtobufCMessage *request,
		const ProtobufCMessageDescriptor *response, uint64_t timeout_ms, ttrpc_done_fn done,
		void *userdata);

/* Whether a call ended because the connection did, which is dealt with elsewhere. */
bool agent_code_is_loss(enum ttrpc_code code);

/*
 * Copy a text of the guest: at most @size - 1 bytes of UTF-8, NUL-terminated. Control characters and what is no UTF-8
 * are replaced. @out may be @text itself.
 */
void agent_text(char *out, size_t size, const char *text);

#endif
