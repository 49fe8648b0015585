/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setup_internal.h - between the agent's side of the set-up (setup.c) and the child's
 * (setup_child.c)
 *
 * Wire:     a SOCK_SEQPACKET pair. Child to agent: one struct setup_message per packet. Agent to
 *           child: one byte, "go on". End of file in either direction means that the other is gone,
 *           or past execve.
 */
#ifndef ONGGI_AGENT_SETUP_INTERNAL_H
#define ONGGI_AGENT_SETUP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/cgroup.h"
#include "agent/disk.h"
#include "agent/namespace.h"
#include "agent/seccomp.h"
#include "agent/setup.h"
#include "common/err.h"
#include "common/oci.h"

struct setup {
	const struct oci_spec *spec;  /* borrowed */
	char *share_path;
	char *rootfs;                 /* relative to share_path; NULL: it is on disks */
	struct disk_list disks;
	char **sources;               /* one per mount, relative to share_path; NULL: none */
	bool *open_below;             /* one per mount: see struct setup_mount_source */
	struct cgroup *cgroup;
	struct namespace_plan plan;
	struct seccomp_program *seccomp; /* NULL: the spec has none */
	char *hook_state;             /* JSON object for startContainer hooks; NULL: there are none */
	int devpts_fd;                /* the container's devpts instance */
	pid_t init_pid;               /* 0 until it is spawned */
};

enum setup_message_kind {
	SETUP_MESSAGE_CREATED = 1,
	SETUP_MESSAGE_FAILED = 2,
};

struct setup_message {
	uint32_t kind;
	int32_t code;     /* negative errno of a failure */
	uint32_t program; /* 1: the failure is about the program to be run */
	uint32_t text_len;
	char text[ERR_TEXT_MAX];
};

/* What the child gets to know; all of it borrowed from the agent it is a copy of. */
struct setup_child {
	const struct setup *setup;
	const struct oci_process *process;
	const struct setup_stdio *stdio;
	int init_pidfd; /* of an exec; -1: this is the container's init */
	int sock;
};

/* The child's whole life. */
_Noreturn void setup_child_main(const struct setup_child *child);

#endif
