/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Two things must be over before a process counts as stopped: the agent has told its end, and its
 * output has been delivered (relay.h). They come in any order; proc_proc_advance looks at both. While a
 * start is being answered neither counts, so that nobody hears of an end before the begin.
 */
#include "shim/proc_internal.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#include "common/trace.h"
#include "shim/containerd/events.h"
#include "shim/sandbox_cgroup.h"
#include "shim/sandbox_dns.h"
#include "shim/sandbox_network.h"

#define SIGNAL_MAX 64
#define EXIT_NOT_FOUND 127
#define EXIT_NOT_PERMITTED 126
#define EXIT_NOT_STARTED 255

/* ---- life ---- */

int proc_create(struct task *c, const struct proc_config *config, struct proc **ret,
		struct err *err)
{
	_cleanup_(proc_unref_p) struct proc *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->refs = 1;
	p->container = task_ref(c);
	p->terminal = config->io.terminal;
	p->exec_id = strdup(config->exec_id);
	if (!p->exec_id)
		return -ENOMEM;
	for (int i = 0; i < RELAY_STREAMS; i++) {
		p->paths[i] = strdup(config->io.paths[i] ? config->io.paths[i] : "");
		if (!p->paths[i])
			return -ENOMEM;
	}
	r = relay_create(c->sandbox->loop, &config->io, &proc_relay_ops, p, &p->io, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

struct proc *proc_ref(struct proc *p)
{
	p->refs++;
	return p;
}

void proc_unref(struct proc *p)
{
	if (!p || --p->refs > 0)
		return;
	relay_destroy(p->io);
	for (size_t i = 0; i < p->n_waiters; i++)
		p->waiters[i].forget(p->waiters[i].userdata);
	free(p->waiters);
	for (int i = 0; i < RELAY_STREAMS; i++)
		free(p->paths[i]);
	free(p->exec_id);
	task_unref(p->container);
	free(p);
}

bool proc_is_init(const struct proc *p)
{
	return p->exec_id[0] == '\0';
}

pid_t proc_host_pid(const struct proc *p)
{
	/*
	 * The monitor lives in the sandbox's network namespace, which is what engines look for
	 * behind this pid.
	 */
	return p->host_pid > 0 ? p->host_pid : getpid();
}

const char *proc_name(const struct proc *p, char *buf, size_t size)
{
	const char *id = p->container->record->id;

	if (proc_is_init(p))
		snprintf(buf, size, "container '%s'", id);
	else
		snprintf(buf, size, "process '%s' of container '%s'", p->exec_id, id);
	return buf;
}

/* ---- calls to the agent ---- */

struct proc_call *proc_call_create(struct proc *p, proc_done_fn done, void *userdata)
{
	struct proc_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->p = proc_ref(p);
	call->done = done;
	call->userdata = userdata;
	return call;
}

void proc_call_free(struct proc_call *call)
{
	proc_unref(call->p);
	free(call);
}

static void call_done(struct proc_call *call, enum ttrpc_code code, const char *message)
{
	char text[AGENT_TEXT_MAX];

	if (!call->done)
		return;
	agent_text(text, sizeof(text), message);
	call->done(code, text, call->userdata);
}

Onggi__Agent__V1__ProcessRef proc_agent_ref(const struct proc *p)
{
	Onggi__Agent__V1__ProcessRef ref = ONGGI__AGENT__V1__PROCESS_REF__INIT;

	ref.container_id = p->container->record->id;
	ref.exec_id = p->exec_id;
	return ref;
}

/* ---- the end ---- */

static void answer_waiters(struct proc *p)
{
	struct process_waiters_taken {
		struct proc_waiter *list;
		size_t n;
	} taken = { p->waiters, p->n_waiters };

	p->waiters = NULL;
	p->n_waiters = 0;
	for (size_t i = 0; i < taken.n; i++)
		taken.list[i].fn(p, taken.list[i].userdata);
	free(taken.list);
}

void proc_advance(struct proc *p)
{
	if (!p->ended || p->state == PROC_STARTING || p->state == PROC_STOPPED)
		return;
	/* Runs relay_drained, perhaps at once, which comes back here. */
	relay_process_ended(p->io);
	if (!relay_drained(p->io) || p->state == PROC_STOPPED)
		return;
	p->state = PROC_STOPPED;
	task_proc_stopped(p);
	answer_waiters(p);
}

static void set_ended(struct proc *p, uint32_t exit_status)
{
	if (p->ended)
		return;
	p->ended = true;
	p->exit_status = exit_status;
	/* The host's own clock: the guest's word would be shown to engines. */
	clock_gettime(CLOCK_REALTIME, &p->exited_at);
}

void proc_end_now(struct proc *p, uint32_t exit_status)
{
	if (p->state == PROC_STOPPED)
		return;
	proc_ref(p);
	if (p->state == PROC_STARTING)
		p->state = PROC_RUNNING;
	set_ended(p, exit_status);
	relay_abandon(p->io);
	proc_advance(p);
	proc_unref(p);
}

void proc_lost(struct proc *p, const char *reason)
{
	char name[PROC_NAME_MAX], text[PROC_NAME_MAX + AGENT_TEXT_MAX];

	if (p->state != PROC_STOPPED && !p->ended && !p->tells_loss) {
		snprintf(text, sizeof(text), "onggi: %s has ended, the virtual machine was lost: %s",
			 proc_name(p, name, sizeof(name)), reason);
		relay_note(p->io, text);
	}
	proc_end_now(p, PROC_STATUS_KILLED);
}

/* Engines learn of an OOM from the host's cgroup, and must before they learn of the end. */
static void end_told(void *userdata)
{
	struct proc_call *call = userdata;

	set_ended(call->p, call->exit_status);
	proc_advance(call->p);
	proc_call_free(call);
}

static void wait_answered(enum ttrpc_code code, const char *message, const void *response,
			  void *userdata)
{
	const Onggi__Agent__V1__WaitProcessResponse *answer = response;
	struct proc_call *call = userdata;
	struct proc *p = call->p;
	char text[AGENT_TEXT_MAX];

	if (code != TTRPC_OK) {
		agent_text(text, sizeof(text), message);
		/* The end of something that was deleted meanwhile may be unknown, or its removal be under way. */
		if (!agent_code_is_loss(code) && code != TTRPC_DATA_LOSS && !p->removed && p->state != PROC_STOPPED)
			sandbox_give_up(proc_sandbox(p), "the agent cannot tell a process's end: %s",
					text);
	} else if (answer->exit_status > PROC_STATUS_MAX) {
		sandbox_give_up(proc_sandbox(p), "the agent tells an impossible exit status %u",
				answer->exit_status);
	} else {
		call->exit_status = answer->exit_status;
		if (answer->oom_killed)
			event_oom(p->container);
		if (answer->oom_killed)
			task_cgroup_show_oom(p->container, end_told, call);
		else
			end_told(call);
		return;
	}
	proc_call_free(call);
}

static void wait_for_end(struct proc *p)
{
	Onggi__Agent__V1__ProcessRef ref = proc_agent_ref(p);
	struct proc_call *call = proc_call_create(p, NULL, NULL);

	if (!call) {
		sandbox_give_up(proc_sandbox(p), "out of memory");
		return;
	}
	agent_call(proc_sandbox(p), "WaitProcess", &ref.base,
		   &onggi__agent__v1__wait_process_response__descriptor, 0, wait_answered, call);
}

/* ---- operations ---- */

void proc_set_created(struct proc *p)
{
	p->state = PROC_CREATED;
	if (!proc_is_init(p)) {
		/* Nothing runs yet, and if its proxy is gone nothing will. */
		if (p->orphan)
			proc_end_now(p, PROC_STATUS_KILLED);
		return;
	}
	wait_for_end(p);
}

static uint32_t exit_status_of_failure(enum ttrpc_code code)
{
	if (code == TTRPC_NOT_FOUND)
		return EXIT_NOT_FOUND;
	return code == TTRPC_PERMISSION_DENIED ? EXIT_NOT_PERMITTED : EXIT_NOT_STARTED;
}

static void start_answered(enum ttrpc_code code, const char *message, const void *response,
			   void *userdata)
{
	struct proc_call *call = userdata;
	struct proc *p = call->p;

	if (p->state != PROC_STARTING) {
		call_done(call, TTRPC_UNAVAILABLE,
			  "the process was ended while it was being started");
	} else if (code == TTRPC_OK) {
		trace_mark("process started in the guest");
		p->state = PROC_RUNNING;
		p->ran = true;
		task_proc_running(p);
		call_done(call, TTRPC_OK, "");
		relay_start(p->io);
		if (!proc_is_init(p))
			wait_for_end(p);
		proc_advance(p);
	} else {
		/*
		 * An init that could not run has ended: the agent tells so in answer to
		 * WaitProcess.
		 */
		p->state = PROC_CREATED;
		call_done(call, code, message);
		if (proc_is_init(p))
			proc_advance(p);
		else if (!agent_code_is_loss(code))
			proc_end_now(p, exit_status_of_failure(code));
	}
	proc_call_free(call);
}

static const char *refuse_start(const struct proc *p)
{
	static const char *const reasons[] = {
		[PROC_CREATING] = "it is being created",
		[PROC_STARTING] = "it is being started",
		[PROC_RUNNING] = "it is running already",
		[PROC_STOPPED] = "it has stopped",
	};
	const struct proc *init = p->container->init;

	if (p->state != PROC_CREATED || p->ended)
		return p->ended ? reasons[PROC_STOPPED] : reasons[p->state];
	if (!proc_is_init(p) && (init->ended || init->state == PROC_STOPPED))
		return "its container has stopped";
	return NULL;
}

static void ask_start(struct proc_call *call)
{
	Onggi__Agent__V1__ProcessRef ref = proc_agent_ref(call->p);

	/* Hooks have time limits of their own, or none. */
	agent_call(proc_sandbox(call->p), "StartProcess", &ref.base,
		   &onggi__agent__v1__start_process_response__descriptor,
		   proc_is_init(call->p) && call->p->container->start_hooks
			   ? 0
			   : AGENT_START_TIMEOUT_MS,
		   start_answered, call);
}

/* Engines may have configured the network after create, so it is looked at again. */
static void network_settled(enum ttrpc_code code, const char *message, void *userdata)
{
	struct proc_call *call = userdata;
	struct proc *p = call->p;
	char text[AGENT_TEXT_MAX], name[PROC_NAME_MAX];

	if (code == TTRPC_OK && p->state == PROC_STARTING) {
		ask_start(call);
		return;
	}
	if (p->state == PROC_STARTING) {
		p->state = PROC_CREATED;
		snprintf(text, sizeof(text), "start %s: network: %s",
			 proc_name(p, name, sizeof(name)), message);
		call_done(call, code, text);
		proc_advance(p);
		/* As runc's: engines expect that what could not be started has ended. */
		proc_signal(p, SIGKILL, true, NULL, NULL);
	} else {
		call_done(call, TTRPC_UNAVAILABLE,
			  "the process was ended while it was being started");
	}
	proc_call_free(call);
}

void proc_start(struct proc *p, proc_done_fn done, void *userdata)
{
	char name[PROC_NAME_MAX], text[AGENT_TEXT_MAX];
	const char *reason = refuse_start(p);
	struct proc_call *call;

	if (reason) {
		snprintf(text, sizeof(text), "cannot start %s: %s",
			 proc_name(p, name, sizeof(name)), reason);
		done(TTRPC_FAILED_PRECONDITION, text, userdata);
		return;
	}
	call = proc_call_create(p, done, userdata);
	if (!call) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	p->state = PROC_STARTING;
	sandbox_dns_look(proc_sandbox(p), p->container->resolv_fd);
	if (proc_is_init(p))
		sandbox_network_settle(proc_sandbox(p)->network, network_settled, call);
	else
		ask_start(call);
}

/* The words that engines look for in the message of a kill that came too late. */
static const char *words_for_gone(const struct proc *p)
{
	return proc_is_init(p) ? "container not running" : "process already finished";
}

static void signal_answered(enum ttrpc_code code, const char *message, const void *response,
			    void *userdata)
{
	struct proc_call *call = userdata;

	if (code == TTRPC_NOT_FOUND)
		message = words_for_gone(call->p);
	if (code == TTRPC_DEADLINE_EXCEEDED && call->signal == SIGKILL)
		sandbox_give_up(proc_sandbox(call->p), "the guest does not carry out a kill");
	call_done(call, code, message);
	proc_call_free(call);
}

static void send_signal(struct proc *p, uint32_t signal, bool all, proc_done_fn done,
			void *userdata)
{
	Onggi__Agent__V1__SignalProcessRequest request =
		ONGGI__AGENT__V1__SIGNAL_PROCESS_REQUEST__INIT;
	struct proc_call *call = proc_call_create(p, done, userdata);

	if (!call) {
		if (done)
			done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	call->signal = signal;
	request.container_id = p->container->record->id;
	request.exec_id = p->exec_id;
	request.signal = signal;
	request.all = all;
	agent_call(proc_sandbox(p), "SignalProcess", &request.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_SIGNAL_TIMEOUT_MS, signal_answered,
		   call);
}

void proc_signal(struct proc *p, uint32_t signal, bool all, proc_done_fn done, void *userdata)
{
	enum ttrpc_code code = TTRPC_OK;
	const char *text = "";

	if (signal > SIGNAL_MAX) {
		code = TTRPC_INVALID_ARGUMENT;
		text = "no such signal";
	} else if (p->state == PROC_STOPPED || (p->ended && signal != SIGKILL)) {
		code = TTRPC_NOT_FOUND;
		text = words_for_gone(p);
	} else if (p->ended) {
		/* Only its output is left, and who kills does not want to wait for that. */
		proc_end_now(p, PROC_STATUS_KILLED);
	} else if (p->state == PROC_CREATING || (p->state == PROC_CREATED && !proc_is_init(p))) {
		code = TTRPC_FAILED_PRECONDITION;
		text = "the process has not been started";
	} else {
		send_signal(p, signal, all, done, userdata);
		return;
	}
	if (done)
		done(code, text, userdata);
}

static void resize_answered(enum ttrpc_code code, const char *message, const void *response,
			    void *userdata)
{
	call_done(userdata, code, message);
	proc_call_free(userdata);
}

void proc_resize(struct proc *p, uint32_t columns, uint32_t rows, proc_done_fn done, void *userdata)
{
	Onggi__Agent__V1__ResizeTerminalRequest request =
		ONGGI__AGENT__V1__RESIZE_TERMINAL_REQUEST__INIT;
	struct proc_call *call;

	if (!p->terminal) {
		done(TTRPC_FAILED_PRECONDITION, "the process has no terminal", userdata);
		return;
	}
	if (p->ended || p->state == PROC_CREATING || columns > UINT16_MAX || rows > UINT16_MAX) {
		done(TTRPC_FAILED_PRECONDITION,
		     "the process's terminal cannot be resized now, or not to that size", userdata);
		return;
	}
	call = proc_call_create(p, done, userdata);
	if (!call) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	request.container_id = p->container->record->id;
	request.exec_id = p->exec_id;
	request.columns = columns;
	request.rows = rows;
	agent_call(proc_sandbox(p), "ResizeTerminal", &request.base,
		   &onggi__agent__v1__empty__descriptor, AGENT_QUERY_TIMEOUT_MS, resize_answered,
		   call);
}

/* Whoever asked over a connection that is gone would be kept until the process's end. */
static void forget_gone_waiters(struct proc *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n_waiters; i++) {
		struct proc_waiter *w = &p->waiters[i];

		if (w->is_gone && w->is_gone(w->userdata))
			w->forget(w->userdata);
		else
			p->waiters[kept++] = *w;
	}
	p->n_waiters = kept;
}

int proc_wait(struct proc *p, const struct proc_waiter *w)
{
	struct proc_waiter *grown;

	if (p->state == PROC_STOPPED) {
		w->fn(p, w->userdata);
		return 0;
	}
	forget_gone_waiters(p);
	grown = reallocarray(p->waiters, p->n_waiters + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	p->waiters = grown;
	grown[p->n_waiters++] = *w;
	return 0;
}

void proc_proxy_gone(struct proc *p)
{
	if (p->state == PROC_STOPPED || p->orphan)
		return;
	proc_ref(p);
	p->orphan = true;
	sandbox_log(proc_sandbox(p), LOG_LEVEL_INFO,
		    "who stood for a process of container '%s' has ended: kill it",
		    p->container->record->id);
	/* Its reader was the same process. */
	relay_abandon(p->io);
	if (p->state == PROC_CREATING && proc_is_init(p))
		task_create_cancel(p->container);
	else if (p->state == PROC_CREATED && !proc_is_init(p))
		proc_end_now(p, PROC_STATUS_KILLED);
	else if (p->state != PROC_CREATING && !p->ended)
		proc_signal(p, SIGKILL, proc_is_init(p), NULL, NULL);
	proc_unref(p);
}
