/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp.h - client of one VM's QEMU Machine Protocol socket
 *
 * Shape:    JSON objects, one a line, over a unix stream socket; commands are queued, one is in
 *           flight.
 * Peer:     the VMM, untrusted once the guest runs. A line that is not what the protocol allows
 *           here ends the connection. Limits: QMP_LINE_MAX, QMP_EVENTS_MAX, QMP_QUEUE_MAX,
 *           QMP_STALE_MAX.
 * Process:  the sandbox monitor; loop thread only; nothing blocks.
 * Order:    qmp_create (negotiates by itself) -> qmp_execute … -> qmp_destroy.
 * Source:   QEMU docs/interop/qmp-spec, sections 2.2 to 2.4.
 * Not here: choosing devices (qemu_device.h), the command line (qemu_cmdline.h).
 */
#ifndef ONGGI_HYPERVISOR_QMP_H
#define ONGGI_HYPERVISOR_QMP_H

#include <stdint.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/loop.h"

/*
 * Longest line in either direction, bytes without the newline. QEMU's answers to our commands have
 * some hundred.
 */
#define QMP_LINE_MAX (64u << 10)
/*
 * Events within QMP_EVENT_WINDOW_MS; more is taken for an attack. QEMU itself limits those that
 * guests can cause.
 */
#define QMP_EVENTS_MAX 1000u
#define QMP_EVENT_WINDOW_MS 1000u
/* Commands that wait. */
#define QMP_QUEUE_MAX 256u
/* Commands that timed out and whose answer may still come. */
#define QMP_STALE_MAX 8u
/* From creation to the end of the negotiation; a starved machine may need seconds. */
#define QMP_NEGOTIATE_MS 30000u

struct qmp;

/*
 * End of a command. @code 0: @answer is the value of "return", borrowed for the call. Else @answer
 * is NULL and @message says why: -EREMOTEIO the command failed, QEMU's words; -ENODEV the same
 * for want of the device that it names; -ETIMEDOUT; -EPIPE,
 * -EPROTO connection lost; -ECANCELED the client is destroyed. Runs exactly once per accepted
 * command, never from within qmp_execute.
 */
typedef void (*qmp_done_fn)(int code, const char *message, const struct json *answer,
			    void *userdata);

struct qmp_callbacks {
	/* An event; @data (may be NULL) is borrowed. May be NULL. */
	void (*on_event)(const char *event, const struct json *data, void *userdata);
	/*
	 * The connection is lost (-EPIPE closed by the peer, -EPROTO it broke the protocol,
	 * -ETIMEDOUT no negotiation), after all commands have failed. Once.
	 */
	void (*on_lost)(int code, const char *message, void *userdata);
	void *userdata;
};

/*
 * @fd  connected stream socket, made non-blocking; taken over on success
 *
 * Returns 0, -ENOMEM, errnos of fcntl(2).
 */
int qmp_create(struct loop *loop, int fd, const struct qmp_callbacks *callbacks, struct qmp **ret);
/* Allowed inside every callback; NULL allowed. Commands still there end with -ECANCELED. */
void qmp_destroy(struct qmp *qmp);
DEFINE_CLEANUP(struct qmp *, qmp_destroy);

/*
 * Queue a command.
 *
 * @command    name, e.g. "device_add"
 * @arguments  object or NULL; taken over in any case
 * @fd         descriptor to pass with it (SCM_RIGHTS), duplicated at once; -1: none
 * @timeout_ms milliseconds from the moment it is sent, > 0
 * @done       may be NULL
 *
 * Returns 0, or (then @done does not run) -ENOMEM, -EMSGSIZE longer than QMP_LINE_MAX, -ENOBUFS the
 * queue is full, -EPIPE the connection is lost, errnos of dup.
 */
int qmp_execute(struct qmp *qmp, const char *command, struct json *arguments, int fd,
		uint64_t timeout_ms, qmp_done_fn done, void *userdata);

#endif
