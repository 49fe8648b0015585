/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vm.h - a VM for tests of the monitor: its agent runs in the test's own loop and starts real
 * programs on the host
 *
 * Shape:    a driver and a file server table. "VMM" and "file server" are children that sleep, so
 *           that pids, their deaths and records are real; the channel is a socketpair. Containers
 *           are not confined at all.
 * Order:    fake_vm_init; fake_vm points to the VM while there is one.
 */
#ifndef ONGGI_TESTS_FAKE_VM_H
#define ONGGI_TESTS_FAKE_VM_H

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/json.h"
#include "common/oci.h"
#include "common/proto/agent.pb-c.h"
#include "common/ttrpc.h"
#include "hypervisor/vm.h"
#include "shim/sandbox.h"

#define FAKE_PROCS_MAX 64
#define FAKE_DEVICES_MAX 8

struct fake_proc {
	bool used, started, ended, closed_in;
	char container[64], exec_id[64];
	char **args;
	pid_t pid;
	int in, out[2];
	struct loop_source *child, *out_source[2];
	struct ttrpc_call *read_call[2], *wait_call;
	uint32_t read_max[2];
	uint32_t status;
};

/* A network card, or a disk (no mac); an operation on it ends in the next round of the loop. */
struct fake_device {
	char id[32], mac[18];
	bool used;
	int code;
	struct loop_source *timer;
	vm_done_fn done;
	void *userdata;
	bool leaving;
};

struct fake_vm {
	struct vm vm; /* first */
	struct fake_device devices[FAKE_DEVICES_MAX];
	struct loop *loop;
	struct vm_events events;
	void *userdata;
	pid_t pid;
	struct loop_source *child;
	int channel;
	int unread; /* the agent's end, if it is silent */
	struct ttrpc_server *server;
	struct fake_proc procs[FAKE_PROCS_MAX];
	struct ttrpc_call *held[8]; /* not answered before the end */
	unsigned int n_held;
};

/* What tests look at and turn. */
static struct {
	struct fake_vm *vm;
	unsigned int vms_created, configures, removed_containers;
	char readonly_path[256];
	char last_create_rootfs[256];
	unsigned int last_create_mounts;
	/* the root's disks: what the VM and what the agent was told, of the last one */
	struct {
		unsigned int added, removed, told;
		char id[32], serial[32], type[32], options[64];
		unsigned int flags;
		bool readonly, writable; /* the latter: what the descriptor allows */
		bool in; /* when the container was created */
	} disk;
	char last_keys[8][80];
	unsigned int n_last_keys;
	/* network */
	unsigned int cards_added, cards_removed, network_updates;
	int add_code, remove_code;  /* what the VMM answers */
	const char *network_error;  /* what the agent answers */
	bool hold_network;	    /* UpdateNetwork is not answered */
	unsigned int n_interfaces, n_routes; /* of the last UpdateNetwork */
	char last_address[16];
	bool silent;	     /* the guest does not answer at all */
	bool hold_create;    /* CreateContainer is not answered */
	bool die_when_held;  /* a call that is not answered kills the VMM */
	bool ignore_signals; /* SignalProcess is not answered */
	bool bad_status;     /* WaitProcess answers an impossible status */
	const char *create_error;
	/* limits, statistics, size */
	char last_resources[256];
	const char *update_error, *machine_error;
	unsigned int updates, machine_updates;
	uint64_t machine_mib;		/* as it was last asked for; 0: never */
	uint32_t machine_cpus;
	bool hold_machine;		/* UpdateMachine is not answered */
	struct ttrpc_call *oom_call;	/* WaitOom that waits */
	uint64_t oom_seen;
	uint64_t driver_memory_max_mib; /* what the last VM was built with */
	pid_t files_pid;
} fake;

static inline pid_t fake_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		loop_child_reset();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(0, ~0U, 0);
		for (;;)
			pause();
	}
	return pid;
}

/* ---- processes ---- */

static inline struct fake_proc *fake_find(struct fake_vm *vm, const char *container,
					  const char *exec_id)
{
	for (int i = 0; i < FAKE_PROCS_MAX; i++) {
		struct fake_proc *p = &vm->procs[i];

		if (p->used && !strcmp(p->container, container) && !strcmp(p->exec_id, exec_id))
			return p;
	}
	return NULL;
}

/* In the guest; the monitor may not know yet. */
static inline bool fake_has_ended(const char *container)
{
	return fake_find(fake.vm, container, "")->ended;
}

static inline struct fake_proc *fake_find_or_fail(struct fake_vm *vm, struct ttrpc_call *call,
						  const char *container, const char *exec_id)
{
	struct fake_proc *p = fake_find(vm, container, exec_id);

	if (!p)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no process '%s' in '%s'", exec_id,
				container);
	return p;
}

static inline void fake_answer_wait(struct fake_proc *p)
{
	Onggi__Agent__V1__WaitProcessResponse r = ONGGI__AGENT__V1__WAIT_PROCESS_RESPONSE__INIT;

	if (!p->ended || !p->wait_call)
		return;
	r.exit_status = fake.bad_status ? 70000 : p->status;
	r.exited_at_ns = 1;
	ttrpc_call_reply(TAKE_PTR(p->wait_call), &r.base);
}

static inline void fake_read_ready(int fd, unsigned int events, void *userdata)
{
	Onggi__Agent__V1__ReadOutputResponse r = ONGGI__AGENT__V1__READ_OUTPUT_RESPONSE__INIT;
	struct fake_proc *p = userdata;
	int i = fd == p->out[1];
	static uint8_t data[1 << 20];
	ssize_t n;

	if (!p->read_call[i])
		return;
	n = read(fd, data, p->read_max[i]);
	if (n < 0 && errno == EAGAIN)
		return;
	r.data = (ProtobufCBinaryData){ .data = data, .len = n > 0 ? (size_t)n : 0 };
	r.eof = n <= 0;
	loop_source_set_events(p->out_source[i], 0);
	ttrpc_call_reply(TAKE_PTR(p->read_call[i]), &r.base);
}

static inline void fake_ended(pid_t pid, int status, void *userdata)
{
	struct fake_proc *p = userdata;

	p->ended = true;
	p->status = WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status)
				      : 128u + (uint32_t)WTERMSIG(status);
	fake_answer_wait(p);
}

static inline void fake_free_proc(struct fake_proc *p)
{
	if (!p->used)
		return;
	if (p->pid > 0 && !p->ended) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
	}
	loop_source_destroy(p->child);
	for (int i = 0; i < 2; i++) {
		loop_source_destroy(p->out_source[i]);
		cleanup_close_p(&p->out[i]);
		if (p->read_call[i])
			ttrpc_call_fail(p->read_call[i], TTRPC_CANCELED, "gone");
	}
	if (p->wait_call)
		ttrpc_call_fail(p->wait_call, TTRPC_CANCELED, "gone");
	cleanup_close_p(&p->in);
	json_free_strv(p->args);
	*p = (struct fake_proc){ 0 };
}

static inline struct fake_proc *fake_add(struct fake_vm *vm, const char *container,
					 const char *exec_id, char **args)
{
	for (int i = 0; i < FAKE_PROCS_MAX; i++) {
		struct fake_proc *p = &vm->procs[i];
		size_t n = 0;

		if (p->used)
			continue;
		*p = (struct fake_proc){ .used = true, .in = -EBADF, .out = { -EBADF, -EBADF } };
		snprintf(p->container, sizeof(p->container), "%s", container);
		snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id);
		while (args[n])
			n++;
		p->args = calloc(n + 1, sizeof(char *));
		for (size_t j = 0; j < n; j++)
			p->args[j] = strdup(args[j]);
		return p;
	}
	abort();
}

static inline void fake_start(struct fake_vm *vm, struct fake_proc *p)
{
	int in[2], out[2][2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out[0], O_CLOEXEC) < 0 ||
	    pipe2(out[1], O_CLOEXEC) < 0)
		abort();
	p->pid = fork();
	if (p->pid == 0) {
		loop_child_reset();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], 0);
		dup2(out[0][1], 1);
		dup2(out[1][1], 2);
		execvp(p->args[0], p->args);
		_exit(127);
	}
	close(in[0]);
	p->in = in[1];
	for (int i = 0; i < 2; i++) {
		close(out[i][1]);
		p->out[i] = out[i][0];
		fcntl(p->out[i], F_SETFL, O_NONBLOCK);
		loop_add_fd(vm->loop, p->out[i], p->read_call[i] ? LOOP_READ : 0, fake_read_ready,
			    p, &p->out_source[i]);
	}
	p->started = true;
	loop_add_child(vm->loop, p->pid, fake_ended, p, &p->child);
}

/* ---- methods ---- */

static const Onggi__Agent__V1__Empty fake_empty = ONGGI__AGENT__V1__EMPTY__INIT;

static inline void fake_hold(struct fake_vm *vm, struct ttrpc_call *call)
{
	if (vm->n_held == ARRAY_SIZE(vm->held))
		abort();
	vm->held[vm->n_held++] = call;
	if (fake.die_when_held)
		kill(vm->pid, SIGKILL);
}

static inline void fake_configure(struct ttrpc_call *call, const void *message, void *userdata)
{
	Onggi__Agent__V1__ConfigureResponse r = ONGGI__AGENT__V1__CONFIGURE_RESPONSE__INIT;

	fake.configures++;
	r.version = (char *)"fake";
	r.kernel_release = (char *)"6.1.0-\033fake";
	r.memory_total_bytes = 256 << 20;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_create_container(struct ttrpc_call *call, const void *message,
					 void *userdata)
{
	const Onggi__Agent__V1__CreateContainerRequest *request = message;
	Onggi__Agent__V1__CreateContainerResponse r =
		ONGGI__AGENT__V1__CREATE_CONTAINER_RESPONSE__INIT;
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	struct fake_vm *vm = userdata;

	snprintf(fake.last_create_rootfs, sizeof(fake.last_create_rootfs), "%s", request->rootfs);
	fake.disk.told = (unsigned int)request->n_disks;
	if (request->n_disks) {
		const Onggi__Agent__V1__RootDisk *d = request->disks[request->n_disks - 1];

		snprintf(fake.disk.serial, sizeof(fake.disk.serial), "%s", d->serial);
		snprintf(fake.disk.type, sizeof(fake.disk.type), "%s", d->type);
		snprintf(fake.disk.options, sizeof(fake.disk.options), "%s", d->options);
		fake.disk.flags = d->flags;
		fake.disk.in = fake.disk.added - fake.disk.removed == request->n_disks;
	}
	fake.last_create_mounts = (unsigned int)request->n_mounts;
	fake.n_last_keys = 0;
	for (size_t i = 0; i < request->n_namespaces && i < 8; i++)
		snprintf(fake.last_keys[fake.n_last_keys++], 80, "%s=%s",
			 request->namespaces[i]->type, request->namespaces[i]->key);
	if (fake.hold_create) {
		fake_hold(vm, call);
		return;
	}
	if (fake.create_error) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "%s", fake.create_error);
		return;
	}
	if (oci_spec_parse((const char *)request->spec.data, request->spec.len, &spec, NULL) < 0) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "spec");
		return;
	}
	fake_add(vm, request->container_id, "", spec->process.args);
	r.pid = 2;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_add_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__AddProcessRequest *request = message;
	_cleanup_(oci_process_free_p) struct oci_process *process = NULL;

	if (oci_process_parse((const char *)request->process.data, request->process.len, &process,
			      NULL) < 0) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "process");
		return;
	}
	fake_add(userdata, request->container_id, request->exec_id, process->args);
	ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_start_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	Onggi__Agent__V1__StartProcessResponse r = ONGGI__AGENT__V1__START_PROCESS_RESPONSE__INIT;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);

	if (!p)
		return;
	if (!strcmp(p->args[0], "/nonexistent")) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"/nonexistent\": no such file or directory");
		p->ended = true;
		p->status = 127;
		fake_answer_wait(p);
		return;
	}
	fake_start(userdata, p);
	r.pid = 2;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_signal(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__SignalProcessRequest *request = message;
	struct fake_proc *p;

	if (fake.ignore_signals) {
		fake_hold(userdata, call);
		return;
	}
	p = fake_find_or_fail(userdata, call, request->container_id, request->exec_id);
	if (!p)
		return;
	if (p->ended) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "ended");
		return;
	}
	ttrpc_call_reply(call, &fake_empty.base);
	if (p->pid > 0) {
		kill(p->pid, (int)request->signal);
	} else if (request->signal == SIGKILL) {
		p->ended = true;
		p->status = 137;
		fake_answer_wait(p);
	}
}

static inline void fake_wait(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);

	if (!p)
		return;
	p->wait_call = call;
	fake_answer_wait(p);
}

static inline void fake_read(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ReadOutputRequest *request = message;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);
	int i = request->stream == 2;

	if (!p)
		return;
	p->read_call[i] = call;
	p->read_max[i] = request->max_bytes;
	if (p->out_source[i])
		loop_source_set_events(p->out_source[i], LOOP_READ);
}

static inline void fake_write(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__WriteInputRequest *request = message;
	Onggi__Agent__V1__WriteInputResponse r = ONGGI__AGENT__V1__WRITE_INPUT_RESPONSE__INIT;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);
	ssize_t n;

	if (!p)
		return;
	n = write(p->in, request->data.data, request->data.len > 4096 ? 4096 : request->data.len);
	if (n <= 0) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "closed");
		return;
	}
	r.written = (uint32_t)n;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_close_input(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);

	if (!p)
		return;
	p->closed_in = true;
	cleanup_close_p(&p->in);
	ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_ok(struct ttrpc_call *call, const void *message, void *userdata)
{
	ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_list(struct ttrpc_call *call, const void *message, void *userdata)
{
	Onggi__Agent__V1__ListProcessesResponse r = ONGGI__AGENT__V1__LIST_PROCESSES_RESPONSE__INIT;
	Onggi__Agent__V1__GuestProcess process = ONGGI__AGENT__V1__GUEST_PROCESS__INIT,
				       *list[] = { &process };

	process.pid = 7;
	process.command = (char *)"evil\033[2J";
	r.processes = list;
	r.n_processes = 1;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_remove_process(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__ProcessRef *request = message;
	struct fake_proc *p =
		fake_find_or_fail(userdata, call, request->container_id, request->exec_id);

	if (!p)
		return;
	fake_free_proc(p);
	ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_remove_container(struct ttrpc_call *call, const void *message,
					 void *userdata)
{
	const Onggi__Agent__V1__ContainerRef *request = message;
	struct fake_vm *vm = userdata;

	fake.removed_containers++;
	for (int i = 0; i < FAKE_PROCS_MAX; i++) {
		if (vm->procs[i].used && !strcmp(vm->procs[i].container, request->container_id))
			fake_free_proc(&vm->procs[i]);
	}
	ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_update_container(struct ttrpc_call *call, const void *message,
					 void *userdata)
{
	const Onggi__Agent__V1__UpdateContainerRequest *request = message;

	fake.updates++;
	snprintf(fake.last_resources, sizeof(fake.last_resources), "%.*s",
		 (int)request->resources.len, (const char *)request->resources.data);
	if (fake.update_error)
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "%s", fake.update_error);
	else
		ttrpc_call_reply(call, &fake_empty.base);
}

static inline void fake_stat(struct ttrpc_call *call, const void *message, void *userdata)
{
	Onggi__Agent__V1__StatContainerResponse r =
		ONGGI__AGENT__V1__STAT_CONTAINER_RESPONSE__INIT;

	r.memory_current = 4711;
	r.pids_current = 1;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_answer_oom(uint64_t kills, bool ended)
{
	Onggi__Agent__V1__WaitOomResponse r = ONGGI__AGENT__V1__WAIT_OOM_RESPONSE__INIT;

	r.oom_kills = kills;
	r.ended = ended;
	ttrpc_call_reply(TAKE_PTR(fake.oom_call), &r.base);
}

static inline void fake_wait_oom(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__WaitOomRequest *request = message;

	if (fake.oom_call)
		fake_answer_oom(0, true);
	fake.oom_call = call;
	fake.oom_seen = request->seen;
}

static inline void fake_update_machine(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__UpdateMachineRequest *request = message;
	Onggi__Agent__V1__UpdateMachineResponse r =
		ONGGI__AGENT__V1__UPDATE_MACHINE_RESPONSE__INIT;

	fake.machine_updates++;
	fake.machine_mib = request->memory_bytes >> 20;
	fake.machine_cpus = request->cpus;
	if (fake.hold_machine) {
		fake_hold(userdata, call);
		return;
	}
	if (fake.machine_error) {
		ttrpc_call_fail(call, TTRPC_INVALID_ARGUMENT, "%s", fake.machine_error);
		return;
	}
	r.memory_bytes = request->memory_bytes;
	r.cpus = request->cpus;
	ttrpc_call_reply(call, &r.base);
}

static inline void fake_update_network(struct ttrpc_call *call, const void *message, void *userdata)
{
	const Onggi__Agent__V1__UpdateNetworkRequest *request = message;

	fake.network_updates++;
	fake.n_interfaces = (unsigned int)request->n_interfaces;
	fake.n_routes = (unsigned int)request->n_routes;
	fake.last_address[0] = '\0';
	if (request->n_interfaces && request->interfaces[0]->n_addresses)
		snprintf(fake.last_address, sizeof(fake.last_address), "%u.%u.%u.%u",
			 request->interfaces[0]->addresses[0]->address.data[0],
			 request->interfaces[0]->addresses[0]->address.data[1],
			 request->interfaces[0]->addresses[0]->address.data[2],
			 request->interfaces[0]->addresses[0]->address.data[3]);
	if (fake.hold_network)
		fake_hold(userdata, call);
	else if (fake.network_error)
		ttrpc_call_fail(call, TTRPC_INTERNAL, "%s", fake.network_error);
	else
		ttrpc_call_reply(call, &fake_empty.base);
}

#define FAKE_METHOD(name_, request_, response_, handler_)                      \
	{                                                                      \
		name_, &onggi__agent__v1__##request_##__descriptor,            \
			&onggi__agent__v1__##response_##__descriptor, handler_ \
	}

static const struct ttrpc_method fake_methods[] = {
	FAKE_METHOD("Configure", configure_request, configure_response, fake_configure),
	FAKE_METHOD("CreateContainer", create_container_request, create_container_response,
		    fake_create_container),
	FAKE_METHOD("AddProcess", add_process_request, empty, fake_add_process),
	FAKE_METHOD("StartProcess", process_ref, start_process_response, fake_start_process),
	FAKE_METHOD("SignalProcess", signal_process_request, empty, fake_signal),
	FAKE_METHOD("WaitProcess", process_ref, wait_process_response, fake_wait),
	FAKE_METHOD("ReadOutput", read_output_request, read_output_response, fake_read),
	FAKE_METHOD("WriteInput", write_input_request, write_input_response, fake_write),
	FAKE_METHOD("CloseInput", process_ref, empty, fake_close_input),
	FAKE_METHOD("ResizeTerminal", resize_terminal_request, empty, fake_ok),
	FAKE_METHOD("PauseContainer", container_ref, empty, fake_ok),
	FAKE_METHOD("ResumeContainer", container_ref, empty, fake_ok),
	FAKE_METHOD("ListProcesses", container_ref, list_processes_response, fake_list),
	FAKE_METHOD("RemoveProcess", process_ref, empty, fake_remove_process),
	FAKE_METHOD("RemoveContainer", container_ref, empty, fake_remove_container),
	FAKE_METHOD("UpdateContainer", update_container_request, empty, fake_update_container),
	FAKE_METHOD("StatContainer", container_ref, stat_container_response, fake_stat),
	FAKE_METHOD("WaitOom", wait_oom_request, wait_oom_response, fake_wait_oom),
	FAKE_METHOD("UpdateNetwork", update_network_request, empty, fake_update_network),
	FAKE_METHOD("UpdateMachine", update_machine_request, update_machine_response,
		    fake_update_machine),
};

static struct ttrpc_service fake_service = { .name = "onggi.agent.v1.Agent",
					     .methods = fake_methods,
					     .n_methods = ARRAY_SIZE(fake_methods) };

/* ---- driver ---- */

static inline void fake_vmm_ended(pid_t pid, int status, void *userdata)
{
	struct fake_vm *vm = userdata;

	vm->pid = 0;
	vm->events.on_exit(&vm->vm, status, "fake last words\n", vm->userdata);
}

static inline int fake_vm_create(struct loop *loop, const struct vm_config *config,
				 const struct vm_events *events, void *userdata, struct vm **ret,
				 struct err *err);

/* The operation on it has ended. */
static inline void fake_device_end(struct fake_device *d, int code)
{
	vm_done_fn done = TAKE_PTR(d->done);

	loop_source_destroy(TAKE_PTR(d->timer));
	/* One that could not be added is not there, one that could not be removed is. */
	if (d->leaving == (code == 0))
		d->used = false;
	d->leaving = false;
	if (done)
		done(code, code ? "fake refusal" : "", d->userdata);
}

static inline void fake_device_timer(void *userdata)
{
	struct fake_device *d = userdata;

	fake_device_end(d, d->code);
}

static inline int fake_add_device(struct vm *base, const struct vm_device *device, vm_done_fn done,
				  void *userdata, struct err *err)
{
	struct fake_vm *vm = (struct fake_vm *)base;

	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		struct fake_device *d = &vm->devices[i];

		if (d->used)
			continue;
		*d = (struct fake_device){ .used = true, .code = fake.add_code, .done = done,
					   .userdata = userdata };
		snprintf(d->id, sizeof(d->id), "%s", device->id);
		if (device->kind == VM_DEVICE_DISK) {
			snprintf(fake.disk.id, sizeof(fake.disk.id), "%s", device->id);
			fake.disk.readonly = device->readonly;
			fake.disk.writable = (fcntl(device->fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
			fake.disk.added++;
			return loop_add_timer(vm->loop, 0, fake_device_timer, d, &d->timer);
		}
		snprintf(d->mac, sizeof(d->mac), "%s", device->mac);
		fake.cards_added++;
		return loop_add_timer(vm->loop, 0, fake_device_timer, d, &d->timer);
	}
	return err_set(err, -ENOSPC, "no slot");
}

static inline int fake_remove_device(struct vm *base, const char *id, vm_done_fn done,
				     void *userdata, struct err *err)
{
	struct fake_vm *vm = (struct fake_vm *)base;

	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		struct fake_device *d = &vm->devices[i];

		if (!d->used || strcmp(d->id, id) != 0)
			continue;
		d->leaving = true;
		d->code = fake.remove_code;
		d->done = done;
		d->userdata = userdata;
		if (d->mac[0])
			fake.cards_removed++;
		else
			fake.disk.removed++;
		return loop_add_timer(vm->loop, 0, fake_device_timer, d, &d->timer);
	}
	return err_set(err, -ENOENT, "no such device");
}

static inline void fake_vm_destroy(struct vm *base)
{
	struct fake_vm *vm = (struct fake_vm *)base;

	for (int i = 0; i < FAKE_DEVICES_MAX; i++) {
		if (vm->devices[i].timer)
			fake_device_end(&vm->devices[i], -ECANCELED);
	}
	if (vm->pid > 0) {
		kill(vm->pid, SIGKILL);
		waitpid(vm->pid, NULL, 0);
	}
	loop_source_destroy(vm->child);
	for (int i = 0; i < FAKE_PROCS_MAX; i++)
		fake_free_proc(&vm->procs[i]);
	ttrpc_server_destroy(vm->server);
	if (fake.oom_call)
		ttrpc_call_fail(TAKE_PTR(fake.oom_call), TTRPC_CANCELED, "gone");
	for (unsigned int i = 0; i < vm->n_held; i++)
		ttrpc_call_fail(vm->held[i], TTRPC_CANCELED, "gone");
	cleanup_close_p(&vm->channel);
	cleanup_close_p(&vm->unread);
	fake.vm = NULL;
	free(vm);
}

static inline int fake_vm_agent_fd(struct vm *base)
{
	struct fake_vm *vm = (struct fake_vm *)base;

	return vm->channel < 0 ? -EBADF : TAKE_FD(vm->channel);
}

static inline pid_t fake_vm_pid(const struct vm *base)
{
	return ((const struct fake_vm *)base)->pid;
}

static inline size_t fake_vm_console(struct vm *base, char *buf, size_t size)
{
	return (size_t)snprintf(buf, size, "Kernel panic - not syncing");
}

static inline size_t fake_vm_ranges(uint64_t memory_mib,
				    struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX])
{
	ranges[0] = (struct vm_memory_range){ 0, memory_mib << 20 };
	return 1;
}

static const struct vm_driver fake_driver = {
	.name = "fake",
	.create = fake_vm_create,
	.destroy = fake_vm_destroy,
	.agent_fd = fake_vm_agent_fd,
	.add_device = fake_add_device,
	.remove_device = fake_remove_device,
	.pid = fake_vm_pid,
	.console_tail = fake_vm_console,
	.memory_ranges = fake_vm_ranges,
};

static inline int fake_vm_create(struct loop *loop, const struct vm_config *config,
				 const struct vm_events *events, void *userdata, struct vm **ret,
				 struct err *err)
{
	struct fake_vm *vm = calloc(1, sizeof(*vm));
	int pair[2];

	vm->vm.driver = &fake_driver;
	fake.driver_memory_max_mib = config->memory_max_mib;
	vm->unread = -EBADF;
	vm->loop = loop;
	vm->events = *events;
	vm->userdata = userdata;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	vm->channel = pair[0];
	fake_service.userdata = vm;
	if (ttrpc_server_create(loop, &fake_service, 1, &vm->server) < 0)
		abort();
	if (fake.silent)
		vm->unread = pair[1];
	else if (ttrpc_server_add(vm->server, pair[1], NULL, NULL) < 0)
		abort();
	vm->pid = fake_sleeper();
	if (loop_add_child(loop, vm->pid, fake_vmm_ended, vm, &vm->child) < 0)
		abort();
	fake.vm = vm;
	fake.vms_created++;
	*ret = &vm->vm;
	return 0;
}

/* ---- file server ---- */

struct fake_files {
	struct loop *loop;
	pid_t pid;
	int socket;
	struct loop_source *child;
	file_server_exit_fn on_exit;
	void *userdata;
};

static inline void fake_files_ended(pid_t pid, int status, void *userdata)
{
	struct fake_files *f = userdata;

	f->pid = 0;
	f->on_exit((struct file_server *)f, status, "", f->userdata);
}

static inline int fake_files_create(struct loop *loop, const struct file_server_config *config,
				    file_server_exit_fn on_exit, void *userdata,
				    struct file_server **ret, struct err *err)
{
	struct fake_files *f = calloc(1, sizeof(*f));

	f->loop = loop;
	f->socket = open("/dev/null", O_RDWR | O_CLOEXEC);
	f->on_exit = on_exit;
	f->userdata = userdata;
	*ret = (struct file_server *)f;
	return 0;
}

static inline int fake_files_take_socket(struct file_server *fs)
{
	return TAKE_FD(((struct fake_files *)fs)->socket);
}

static inline int fake_files_start(struct file_server *fs, struct err *err)
{
	struct fake_files *f = (struct fake_files *)fs;

	f->pid = fake.files_pid = fake_sleeper();
	if (loop_add_child(f->loop, f->pid, fake_files_ended, f, &f->child) < 0)
		abort();
	return 0;
}

static inline pid_t fake_files_pid(const struct file_server *fs)
{
	return ((const struct fake_files *)fs)->pid;
}

static inline int fake_files_set_readonly(struct file_server *fs, const char *path, struct err *err)
{
	snprintf(fake.readonly_path, sizeof(fake.readonly_path), "%s", path);
	return 0;
}

static inline void fake_files_destroy(struct file_server *fs)
{
	struct fake_files *f = (struct fake_files *)fs;

	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	loop_source_destroy(f->child);
	cleanup_close_p(&f->socket);
	free(f);
}

static const struct sandbox_files_ops fake_files = {
	.create = fake_files_create,
	.take_socket = fake_files_take_socket,
	.start = fake_files_start,
	.pid = fake_files_pid,
	.set_readonly = fake_files_set_readonly,
	.destroy = fake_files_destroy,
};

#endif
