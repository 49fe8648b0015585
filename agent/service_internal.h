/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_internal.h - what service.c and its topics, service_*.c, share
 *
 * Shape:    service.c has the table of methods. A row says what the request names; that is found
 *           before the handler runs, and the handler's result is answered after it.
 * New one:  a handler in the file of its topic, its prototype below, a row in the table.
 */
#ifndef ONGGI_AGENT_SERVICE_INTERNAL_H
#define ONGGI_AGENT_SERVICE_INTERNAL_H

#include "agent/connection.h"
#include "agent/container.h"
#include "agent/machine.h"
#include "agent/names.h"
#include "agent/network.h"
#include "agent/service.h"
#include "common/err.h"
#include "common/ttrpc.h"

/* Longest path that a request may carry. */
#define SERVICE_PATH_MAX 4096u

struct service {
	struct loop *loop;
	struct container_table *containers;
	struct share *share;
	struct network *network;
	struct names *names;
	struct machine *machine;
	struct connections *connections;
	struct ttrpc_service ttrpc;
	const struct service_hooks *hooks;
	struct ttrpc_call *shutdown_call; /* a Shutdown is under way */
	struct loop_source *shutdown_timer;
	bool shutdown_answered;
};

/* A call as its handler gets it; what outlives the handler is @call alone. */
struct service_call {
	struct service *service;
	struct ttrpc_call *call;
	struct container *container; /* by the request's container_id; NULL unless the row asks for it */
	struct process *process;     /* by its exec_id too; NULL unless the row asks for it */
	struct stdio *stdio;	     /* of that process, or of a connection; NULL unless the row asks for it */
};

/* The handler has answered, or will from a callback. */
#define SERVICE_ANSWERED 1

/*
 * @message  the unpacked request, valid until the return
 *
 * Returns SERVICE_ANSWERED; or 0: to be answered with Empty; or a negative errno with its text in
 * @err: to be answered with the status that suits it.
 */
typedef int (*service_handler)(const struct service_call *c, const void *message, struct err *err);

/* The status that suits a negative errno; the text of @err if it has one (NULL is allowed). */
void service_answer_failure(struct ttrpc_call *call, int code, const struct err *err);
/*
 * A set-up that failed: NOT_FOUND and PERMISSION_DENIED are about the program (@program), and only
 * then. The same errno from another step must not look like a missing container.
 */
void service_answer_setup_failure(struct ttrpc_call *call, int code, const struct err *err, bool program);
void service_answer_empty(struct ttrpc_call *call);
/* Ends a call by what a handler, or its callback, has come to: see service_handler. */
void service_answer(struct ttrpc_call *call, int code, const struct err *err);
/* The same for the call @userdata. */
void service_on_container_done(struct container *c, int code, const struct err *err, void *userdata);

/* service_machine.c */
int service_configure(const struct service_call *c, const void *message, struct err *err);
int service_shutdown(const struct service_call *c, const void *message, struct err *err);

/* service_container.c */
int service_create_container(const struct service_call *c, const void *message, struct err *err);
int service_remove_container(const struct service_call *c, const void *message, struct err *err);
int service_pause_container(const struct service_call *c, const void *message, struct err *err);
int service_resume_container(const struct service_call *c, const void *message, struct err *err);
int service_list_processes(const struct service_call *c, const void *message, struct err *err);

/* service_process.c */
int service_add_process(const struct service_call *c, const void *message, struct err *err);
int service_start_process(const struct service_call *c, const void *message, struct err *err);
int service_signal_process(const struct service_call *c, const void *message, struct err *err);
int service_wait_process(const struct service_call *c, const void *message, struct err *err);
int service_remove_process(const struct service_call *c, const void *message, struct err *err);

/* service_stdio.c */
int service_read_output(const struct service_call *c, const void *message, struct err *err);
int service_write_input(const struct service_call *c, const void *message, struct err *err);
int service_close_input(const struct service_call *c, const void *message, struct err *err);
int service_close_output(const struct service_call *c, const void *message, struct err *err);
int service_open_connection(const struct service_call *c, const void *message, struct err *err);
int service_close_connection(const struct service_call *c, const void *message, struct err *err);
int service_resize_terminal(const struct service_call *c, const void *message, struct err *err);

/* service_network.c */
int service_update_network(const struct service_call *c, const void *message, struct err *err);
int service_serve_names(const struct service_call *c, const void *message, struct err *err);
int service_next_query(const struct service_call *c, const void *message, struct err *err);
int service_answer_query(const struct service_call *c, const void *message, struct err *err);

/* service_resources.c */
int service_update_container(const struct service_call *c, const void *message, struct err *err);
int service_stat_container(const struct service_call *c, const void *message, struct err *err);
int service_wait_oom(const struct service_call *c, const void *message, struct err *err);
int service_update_machine(const struct service_call *c, const void *message, struct err *err);

#endif
