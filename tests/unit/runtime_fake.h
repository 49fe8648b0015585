/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_fake.h - onggi-runtime against a monitor whose "guest" is this machine
 *
 * The fake takes the place of sandbox_find_or_launch: a forked child serves Task and Sandbox over a
 * real unix socket, keeps real records on disk, opens the real FIFOs and runs process.args as a
 * child of its own. So everything on this side of the monitor's socket is the real thing: commands,
 * proxy, stdio, signals, exit codes. The command line runs in a child too, with descriptors of the
 * test's choosing.
 */
#ifndef ONGGI_TESTS_RUNTIME_FAKE_H
#define ONGGI_TESTS_RUNTIME_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/json.h"
#include "common/log.h"
#include "common/path.h"
#include "common/proto/sandbox.pb-c.h"
#include "common/proto/task.pb-c.h"
#include "common/ttrpc.h"
#include "shim/monitor.h"
#include "shim/runtime/command.h"

#define FAKE_PROCESSES_MAX 16
#define FAKE_WAITS_MAX 8
/* Longer than this is a hang. */
#define FAKE_TIMEOUT_S 200

/* ---- the monitor ---- */

struct fake_process {
	char id[64], exec_id[128], bundle[256];
	char **argv;
	char *stdio[3]; /* FIFO paths, "" none */
	int fds[3];     /* the guest's ends */
	int keep_in;    /* write end of stdin, until CloseIO */
	pid_t pid;
	struct loop_source *child;
	struct ttrpc_conn *attached;
	struct ttrpc_call *waits[FAKE_WAITS_MAX];
	size_t n_waits;
	bool used, started, ended;
	uint32_t status;
	struct container_record *record; /* of a first process */
};

struct fake {
	struct loop *loop;
	struct ttrpc_server *server;
	struct loop_source *launcher;
	int rootfd;
	char sandbox[64];
	struct fake_process processes[FAKE_PROCESSES_MAX];
};

static struct fake_process *fake_find(struct fake *f, const char *id, const char *exec_id)
{
	for (size_t i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &f->processes[i];

		if (p->used && strcmp(p->id, id) == 0 &&
		    strcmp(p->exec_id, exec_id ? exec_id : "") == 0)
			return p;
	}
	return NULL;
}

static void fake_save(struct fake *f, struct fake_process *p, enum container_status status)
{
	if (!p->record)
		return;
	p->record->status = status;
	p->record->exit_status = p->status;
	if (container_record_save(f->rootfd, p->record, NULL) < 0)
		abort();
}

static void fake_close_fds(struct fake_process *p)
{
	for (int i = 0; i < 3; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
	}
	if (p->keep_in >= 0)
		close(p->keep_in);
	p->keep_in = -1;
}

static void fake_answer_wait(struct fake_process *p, struct ttrpc_call *call)
{
	Containerd__Task__V2__WaitResponse out = CONTAINERD__TASK__V2__WAIT_RESPONSE__INIT;

	out.exit_status = p->status;
	ttrpc_call_reply(call, &out.base);
}

static void fake_end(struct fake *f, struct fake_process *p, uint32_t status)
{
	p->ended = true;
	p->status = status;
	fake_save(f, p, CONTAINER_STOPPED);
	fake_close_fds(p);
	for (size_t i = 0; i < p->n_waits; i++)
		fake_answer_wait(p, p->waits[i]);
	p->n_waits = 0;
}

static struct fake *fake_self;

static void fake_on_child(pid_t pid, int status, void *userdata)
{
	struct fake_process *p = userdata;

	loop_source_destroy(p->child);
	p->child = NULL;
	fake_end(fake_self, p,
		 WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status)
				     : (uint32_t)WEXITSTATUS(status));
}

static int fake_open(const char *path, int flags)
{
	return path[0] ? open(path, flags | O_NONBLOCK | O_CLOEXEC)
		       : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool fake_open_stdio(struct fake_process *p)
{
	p->fds[0] = fake_open(p->stdio[0], O_RDONLY);
	p->keep_in = fake_open(p->stdio[0], O_WRONLY);
	p->fds[1] = fake_open(p->stdio[1], O_WRONLY);
	p->fds[2] = fake_open(p->stdio[2], O_WRONLY);
	for (int i = 0; i < 3; i++)
		if (p->fds[i] >= 0)
			fcntl(p->fds[i], F_SETFL, 0);
	return p->fds[0] >= 0 && p->fds[1] >= 0 && p->fds[2] >= 0;
}

static void fake_child(struct fake_process *p, pid_t monitor)
{
	/* A guest goes with its monitor, and with one that has gone already. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != monitor)
		raise(SIGKILL);
	for (int i = 0; i < 3; i++)
		if (dup2(p->fds[i], i) < 0)
			_exit(126);
	loop_child_reset();
	setpgid(0, 0);
	execvp(p->argv[0], p->argv);
	_exit(127);
}

static struct fake_process *fake_new(struct fake *f, const char *id, const char *exec_id)
{
	for (size_t i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &f->processes[i];

		if (p->used)
			continue;
		*p = (struct fake_process){ .used = true, .fds = { -1, -1, -1 }, .keep_in = -1 };
		snprintf(p->id, sizeof(p->id), "%s", id);
		snprintf(p->exec_id, sizeof(p->exec_id), "%s", exec_id);
		return p;
	}
	abort();
}

static void fake_free(struct fake_process *p)
{
	fake_close_fds(p);
	json_free_strv(p->argv);
	for (int i = 0; i < 3; i++)
		free(p->stdio[i]);
	container_record_free(p->record);
	*p = (struct fake_process){ 0 };
}

/* The command of a process object. */
static char **fake_args(struct json *process)
{
	char **argv = NULL;

	json_member_strv(process, "", "args", 1000, &argv, NULL);
	return argv;
}

static char **fake_container_args(const char *bundle)
{
	_cleanup_json_ struct json *spec = NULL;
	_cleanup_free_ char *text = NULL;
	char path[512];
	size_t len;

	snprintf(path, sizeof(path), "%s/config.json", bundle);
	if (io_read_file(AT_FDCWD, path, 1 << 20, &text, &len) < 0 ||
	    json_parse(text, len, &spec, NULL) < 0)
		return NULL;
	return fake_args(json_get(spec, "process"));
}

static void fake_create(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__CreateTaskRequest *in = request;
	Containerd__Task__V2__CreateTaskResponse out =
		CONTAINERD__TASK__V2__CREATE_TASK_RESPONSE__INIT;
	struct fake *f = userdata;
	struct fake_process *p = fake_new(f, in->id, "");
	struct container_record *record = calloc(1, sizeof(*record));

	p->argv = fake_container_args(in->bundle);
	p->stdio[0] = strdup(in->stdin);
	p->stdio[1] = strdup(in->stdout);
	p->stdio[2] = strdup(in->stderr);
	if (strcmp(p->argv[0], "/no-such-command") == 0 || !fake_open_stdio(p)) {
		free(record);
		fake_free(p);
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"/no-such-command\": executable file not found in $PATH");
		return;
	}
	record->id = strdup(in->id);
	record->sandbox = strdup(f->sandbox);
	record->bundle = strdup(in->bundle);
	record->rootfs = strdup("/rootfs");
	record->oci_version = strdup("1.2.0");
	record->created = strdup("2026-01-02T03:04:05.000000006Z");
	p->record = record;
	fake_save(f, p, CONTAINER_CREATED);
	ttrpc_call_reply(call, &out.base);
}

static void fake_exec(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__ExecProcessRequest *in = request;
	Containerd__Task__V2__Empty out = CONTAINERD__TASK__V2__EMPTY__INIT;
	_cleanup_json_ struct json *process = NULL;
	struct fake_process *p = fake_new(userdata, in->id, in->exec_id);

	if (json_parse((const char *)in->spec->value.data, in->spec->value.len, &process, NULL) < 0)
		abort();
	p->argv = fake_args(process);
	p->stdio[0] = strdup(in->stdin);
	p->stdio[1] = strdup(in->stdout);
	p->stdio[2] = strdup(in->stderr);
	ttrpc_call_reply(call, &out.base);
}

/* A guest that takes its time: while there is a file "slow" in the state root. */
#define FAKE_SLOW_MS 1500

static void fake_answer_start(void *userdata)
{
	Containerd__Task__V2__StartResponse out = CONTAINERD__TASK__V2__START_RESPONSE__INIT;

	ttrpc_call_reply(userdata, &out.base);
}

static void fake_start(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__StartRequest *in = request;
	struct fake *f = userdata;
	struct fake_process *p = fake_find(f, in->id, in->exec_id);
	struct loop_source *late;
	pid_t monitor;

	if (!p) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such process");
		return;
	}
	/* As the monitor: an exec's FIFOs are opened at its start. */
	if (p->exec_id[0] && (strcmp(p->argv[0], "/no-such-command") == 0 || !fake_open_stdio(p))) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND,
				"exec: \"%s\": executable file not found in $PATH", p->argv[0]);
		return;
	}
	monitor = getpid();
	p->pid = fork();
	if (p->pid == 0)
		fake_child(p, monitor);
	/* Here too: a kill may come before the child has got that far. */
	setpgid(p->pid, p->pid);
	for (int i = 0; i < 3; i++) {
		close(p->fds[i]);
		p->fds[i] = -1;
	}
	p->started = true;
	if (loop_add_child(f->loop, p->pid, fake_on_child, p, &p->child) < 0)
		abort();
	fake_save(f, p, CONTAINER_RUNNING);
	if (faccessat(f->rootfd, "slow", F_OK, 0) < 0)
		fake_answer_start(call);
	else if (loop_add_timer(f->loop, FAKE_SLOW_MS, fake_answer_start, call, &late) < 0)
		abort();
}

static void fake_signal(struct fake *f, struct fake_process *p, int signo)
{
	if (p->started && !p->ended)
		kill(signo == SIGKILL ? -p->pid : p->pid, signo);
	else if (!p->ended)
		fake_end(f, p, 128u + (uint32_t)signo);
}

static void fake_kill(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__KillRequest *in = request;
	Containerd__Task__V2__Empty out = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct fake_process *p = fake_find(userdata, in->id, in->exec_id);

	if (!p || p->ended) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "process already finished");
		return;
	}
	fake_signal(userdata, p, (int)in->signal);
	ttrpc_call_reply(call, &out.base);
}

static void fake_wait(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__WaitRequest *in = request;
	struct fake_process *p = fake_find(userdata, in->id, in->exec_id);

	if (!p)
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such process");
	else if (p->ended)
		fake_answer_wait(p, call);
	else if (p->n_waits < FAKE_WAITS_MAX)
		p->waits[p->n_waits++] = call;
	else
		abort();
}

static void fake_quit(void *userdata)
{
	struct fake *f = userdata;

	for (size_t i = 0; i < FAKE_PROCESSES_MAX; i++)
		if (f->processes[i].used)
			return;
	loop_stop(f->loop);
}

static struct loop_source *fake_quit_timer;

static void fake_delete(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__DeleteRequest *in = request;
	Containerd__Task__V2__DeleteResponse out = CONTAINERD__TASK__V2__DELETE_RESPONSE__INIT;
	struct fake_process *p = fake_find(userdata, in->id, in->exec_id);

	if (!p) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such process");
		return;
	}
	if (p->started && !p->ended) {
		ttrpc_call_fail(call, TTRPC_FAILED_PRECONDITION, "still running");
		return;
	}
	out.exit_status = p->status;
	fake_free(p);
	ttrpc_call_reply(call, &out.base);
	loop_timer_set(fake_quit_timer, 20);
}

static void fake_set_paused(struct ttrpc_call *call, const char *id, struct fake *f, bool paused)
{
	Containerd__Task__V2__Empty out = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct fake_process *p = fake_find(f, id, "");

	kill(-p->pid, paused ? SIGSTOP : SIGCONT);
	fake_save(f, p, paused ? CONTAINER_PAUSED : CONTAINER_RUNNING);
	ttrpc_call_reply(call, &out.base);
}

static void fake_pause(struct ttrpc_call *call, const void *request, void *userdata)
{
	fake_set_paused(call, ((const Containerd__Task__V2__PauseRequest *)request)->id, userdata,
			true);
}

static void fake_resume(struct ttrpc_call *call, const void *request, void *userdata)
{
	fake_set_paused(call, ((const Containerd__Task__V2__ResumeRequest *)request)->id, userdata,
			false);
}

/* Whoever waits for it does not wait long. */
static void fake_wait_resumed(struct ttrpc_call *call, const void *request, void *userdata)
{
	static const Onggi__Sandbox__V1__Empty empty = ONGGI__SANDBOX__V1__EMPTY__INIT;
	const Onggi__Sandbox__V1__WaitResumedRequest *in = request;
	struct fake_process *p = fake_find(userdata, in->id, "");

	kill(-p->pid, SIGCONT);
	fake_save(userdata, p, CONTAINER_RUNNING);
	ttrpc_call_reply(call, &empty.base);
}

static void fake_close_io(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__CloseIORequest *in = request;
	Containerd__Task__V2__Empty out = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct fake_process *p = fake_find(userdata, in->id, in->exec_id);

	if (p && p->keep_in >= 0)
		close(p->keep_in);
	if (p)
		p->keep_in = -1;
	ttrpc_call_reply(call, &out.base);
}

/* The size lands in a file beside the records. */
static void fake_resize(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Containerd__Task__V2__ResizePtyRequest *in = request;
	Containerd__Task__V2__Empty out = CONTAINERD__TASK__V2__EMPTY__INIT;
	struct fake *f = userdata;
	char text[64];

	snprintf(text, sizeof(text), "%ux%u", in->width, in->height);
	if (io_replace_file(f->rootfd, "size", text, strlen(text), 0600) < 0)
		abort();
	ttrpc_call_reply(call, &out.base);
}

static void fake_on_gone(struct ttrpc_conn *conn, void *userdata)
{
	struct fake_process *p = userdata;

	if (p->used && !p->ended)
		fake_signal(fake_self, p, SIGKILL);
}

static void fake_attach(struct ttrpc_call *call, const void *request, void *userdata)
{
	const Onggi__Sandbox__V1__AttachRequest *in = request;
	Onggi__Sandbox__V1__Empty out = ONGGI__SANDBOX__V1__EMPTY__INIT;
	struct fake *f = userdata;
	struct fake_process *p = fake_find(f, in->id, in->exec_id);
	pid_t pid = 0;

	if (!p) {
		ttrpc_call_fail(call, TTRPC_NOT_FOUND, "no such process");
		return;
	}
	p->attached = ttrpc_call_conn(call);
	ttrpc_conn_on_gone(p->attached, fake_on_gone, p);
	ttrpc_conn_peer_pid(p->attached, &pid);
	if (p->record && process_id_of(pid, &p->record->proxy) < 0)
		abort();
	fake_save(f, p, CONTAINER_CREATED);
	ttrpc_call_reply(call, &out.base);
}

static void fake_processes(struct ttrpc_call *call, const void *request, void *userdata)
{
	Onggi__Sandbox__V1__ProcessesResponse out = ONGGI__SANDBOX__V1__PROCESSES_RESPONSE__INIT;
	Onggi__Sandbox__V1__Process one = ONGGI__SANDBOX__V1__PROCESS__INIT;
	Onggi__Sandbox__V1__Process *list[] = { &one };

	one.pid = 1;
	one.command = (char *)"sleep \033[2J100";
	out.n_processes = 1;
	out.processes = list;
	ttrpc_call_reply(call, &out.base);
}

#define FAKE_METHOD(name, request, response, handler)                            \
	{                                                                        \
		name, &containerd__task__v2__##request##__descriptor,            \
			&containerd__task__v2__##response##__descriptor, handler \
	}

static const struct ttrpc_method fake_task[] = {
	FAKE_METHOD("Create", create_task_request, create_task_response, fake_create),
	FAKE_METHOD("Exec", exec_process_request, empty, fake_exec),
	FAKE_METHOD("Start", start_request, start_response, fake_start),
	FAKE_METHOD("Kill", kill_request, empty, fake_kill),
	FAKE_METHOD("Wait", wait_request, wait_response, fake_wait),
	FAKE_METHOD("Delete", delete_request, delete_response, fake_delete),
	FAKE_METHOD("Pause", pause_request, empty, fake_pause),
	FAKE_METHOD("Resume", resume_request, empty, fake_resume),
	FAKE_METHOD("CloseIO", close_iorequest, empty, fake_close_io),
	FAKE_METHOD("ResizePty", resize_pty_request, empty, fake_resize),
};
static const struct ttrpc_method fake_sandbox[] = {
	{ "Attach", &onggi__sandbox__v1__attach_request__descriptor,
	  &onggi__sandbox__v1__empty__descriptor, fake_attach },
	{ "Processes", &onggi__sandbox__v1__processes_request__descriptor,
	  &onggi__sandbox__v1__processes_response__descriptor, fake_processes },
	{ "WaitResumed", &onggi__sandbox__v1__wait_resumed_request__descriptor,
	  &onggi__sandbox__v1__empty__descriptor, fake_wait_resumed },
};

/* The launcher's end of a pipe is closed: without a container there is nothing to stay for. */
static void fake_launcher_gone(int fd, unsigned int events, void *userdata)
{
	struct fake *f = userdata;

	loop_source_destroy(f->launcher);
	f->launcher = NULL;
	for (size_t i = 0; i < FAKE_PROCESSES_MAX; i++) {
		if (f->processes[i].used)
			return;
	}
	loop_stop(f->loop);
}

static _Noreturn void fake_main(const char *root, const char *id, int listener, int life_fd)
{
	struct fake f = { .rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	struct ttrpc_service services[] = {
		{ "containerd.task.v2.Task", fake_task, ARRAY_SIZE(fake_task), &f },
		{ "onggi.sandbox.v1.Sandbox", fake_sandbox, ARRAY_SIZE(fake_sandbox), &f },
	};
	char path[256];

	fake_self = &f;
	signal(SIGPIPE, SIG_IGN);
	alarm(2 * FAKE_TIMEOUT_S);
	snprintf(f.sandbox, sizeof(f.sandbox), "%s", id);
	if (loop_create(&f.loop) < 0 ||
	    loop_add_timer(f.loop, 1u << 30, fake_quit, &f, &fake_quit_timer) < 0 ||
	    ttrpc_server_create(f.loop, services, ARRAY_SIZE(services), &f.server) < 0 ||
	    ttrpc_server_listen(f.server, listener) < 0 ||
	    loop_add_fd(f.loop, life_fd, LOOP_READ, fake_launcher_gone, &f, &f.launcher) < 0)
		abort();
	loop_run(f.loop);
	snprintf(path, sizeof(path), "sandboxes/%s", id);
	path_remove_tree(f.rootfd, path);
	_exit(0);
}

static int fake_listen(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(addr.sun_path));
	memcpy(addr.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 16) < 0)
		abort();
	return fd;
}

/* In the place of the real one. */
int sandbox_find_or_launch(const char *state_root, const char *container_id,
			   const struct oci_spec *spec, const struct config *config,
			   struct sandbox_join *ret, struct err *err)
{
	struct sandbox_record record = { .id = (char *)container_id };
	char dir[256], path[300];
	int rootfd = open(state_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), listener, own_net;
	int life[2];
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/sandboxes/%s", state_root, container_id);
	if (mkdir(dir, 0700) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/task.sock", dir);
	listener = fake_listen(path);
	if (pipe2(life, O_CLOEXEC) < 0)
		abort();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* Not ours: an engine waits for the end of these. */
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int i = 0; i < 3; i++)
			dup2(null, i);
		fd_close_from(3, (const int[]){ listener, life[1] }, 2);
		setsid();
		fake_main(state_root, container_id, listener, life[1]);
	}
	close(listener);
	close(life[1]);
	if (pid < 0 || process_id_of(pid, &record.monitor) < 0 ||
	    sandbox_record_save(rootfd, &record, NULL) < 0)
		abort();
	close(rootfd);
	/* A namespace of its own, as the real one makes. */
	own_net = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET) < 0)
		abort();
	ret->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(own_net, CLONE_NEWNET) < 0)
		abort();
	close(own_net);
	ret->id = strdup(container_id);
	ret->socket = strdup(path);
	ret->life_fd = life[0];
	ret->created = true;
	return 0;
}

void sandbox_join_finish(struct sandbox_join *j)
{
	free(j->id);
	free(j->socket);
	cleanup_close_p(&j->netns_fd);
	cleanup_close_p(&j->life_fd);
	*j = (struct sandbox_join){ .netns_fd = -EBADF, .life_fd = -EBADF };
}

void sandbox_sweep(const char *state_root)
{
}

int sandbox_clean_up(const char *state_root, const char *sandbox_id, struct err *err)
{
	_cleanup_close_ int rootfd = open(state_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = NULL;
	char path[256];

	if (sandbox_record_load(rootfd, sandbox_id, &record, NULL) == 0 &&
	    process_id_alive(&record->monitor))
		return 0;
	snprintf(path, sizeof(path), "sandboxes/%s", sandbox_id);
	return path_remove_tree(rootfd, path);
}

/* ---- the command line ---- */

struct world {
	char dir[64], root[96], bundle[96], config[112];
};

static inline void world_write_spec(struct world *w, bool terminal, const char *script)
{
	_cleanup_json_ struct json *spec = NULL;
	_cleanup_free_ char *text = NULL;
	struct json *process, *args = json_new_array();
	char path[160];
	extern const char spec_template[];

	assert_int_equal(json_parse(spec_template, strlen(spec_template), &spec, NULL), 0);
	process = json_get(spec, "process");
	json_append(args, json_new_string(script[0] == '/' ? script : "/bin/sh"));
	if (script[0] != '/') {
		json_append(args, json_new_string("-c"));
		json_append(args, json_new_string(script));
	}
	json_set(process, "args", args);
	json_set(process, "terminal", json_new_bool(terminal));
	text = json_text(spec, true);
	snprintf(path, sizeof(path), "%s/config.json", w->bundle);
	assert_int_equal(io_replace_file(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static inline void world_open(struct world *w)
{
	char path[160], text[400];

	snprintf(w->dir, sizeof(w->dir), "/tmp/onggi-rt-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->root, sizeof(w->root), "%s/root", w->dir);
	snprintf(w->bundle, sizeof(w->bundle), "%s/bundle", w->dir);
	snprintf(w->config, sizeof(w->config), "%s/onggi.json", w->dir);
	assert_int_equal(mkdir(w->bundle, 0700), 0);
	snprintf(path, sizeof(path), "%s/bundle/rootfs", w->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	/* Any files that exist: no guest is booted from them here. */
	snprintf(text, sizeof(text),
		 "{\"kernel\":\"/proc/self/exe\",\"initrd\":\"/proc/self/exe\"}");
	assert_int_equal(io_replace_file(AT_FDCWD, w->config, text, strlen(text), 0600), 0);
	world_write_spec(w, false, "exit 0");
}

/* Nothing may be left: neither records, nor sandboxes, nor processes that were orphaned to us. */
static inline void world_close(struct world *w)
{
	assert_int_equal(path_remove_tree(AT_FDCWD, w->dir), 0);
}

/* Descriptors for the command; -1: /dev/null. */
struct stdio_fds {
	int in, out, err;
};

/* Start "onggi-runtime --root … ARGS" in a child. */
static inline pid_t start_runtime(struct world *w, struct stdio_fds fds, const char *const *args)
{
	char *argv[64] = { (char *)"onggi-runtime", (char *)"--root", w->root, (char *)"--config",
			   w->config };
	int null, n = 5;
	pid_t pid;

	while (*args)
		argv[n++] = (char *)*args++;
	argv[n] = NULL;
	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	alarm(FAKE_TIMEOUT_S);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(fds.in >= 0 ? fds.in : null, 0);
	dup2(fds.out >= 0 ? fds.out : null, 1);
	dup2(fds.err >= 0 ? fds.err : null, 2);
	close(null);
	_exit(command_main(n, argv));
}

static inline int wait_code(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What the last command wrote. */
static char last_out[65536], last_err[65536];

static inline void read_back(int fd, char *ret)
{
	ssize_t n = pread(fd, ret, 65535, 0);

	ret[n > 0 ? n : 0] = '\0';
	close(fd);
}

/* Run a command to its end: its code, output in last_out and last_err. */
static inline int run_args(struct world *w, const char *const *args)
{
	int out = memfd_create("out", 0), errors = memfd_create("err", 0), code;

	code = wait_code(start_runtime(w, (struct stdio_fds){ -1, out, errors }, args));
	read_back(out, last_out);
	read_back(errors, last_err);
	return code;
}

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define runtime_code(w, ...) run_args((w), ARGS(__VA_ARGS__))

#define assert_contains(text, part)                                             \
	do {                                                                    \
		if (!strstr((text), (part)))                                    \
			fail_msg("'%s' does not contain '%s'", (text), (part)); \
	} while (0)

/* The pid in a pid file. */
static inline pid_t read_pid(const char *path)
{
	_cleanup_free_ char *text = NULL;
	uint64_t pid = 0;

	assert_int_equal(io_read_file(AT_FDCWD, path, 32, &text, NULL), 0);
	assert_int_equal(io_parse_u64(text, INT32_MAX, &pid), 0);
	return (pid_t)pid;
}

/* Wait until a file has the wanted content: events of another process have no descriptor here. */
static inline void await_text(const char *path, const char *want)
{
	for (int i = 0; i < FAKE_TIMEOUT_S * 100; i++) {
		_cleanup_free_ char *text = NULL;

		if (io_read_file(AT_FDCWD, path, 4096, &text, NULL) == 0 && strcmp(text, want) == 0)
			return;
		poll(NULL, 0, 10);
	}
	fail_msg("'%s' never held '%s'", path, want);
}

/* Reap what became ours as subreaper (fake monitors); fails when something does not end. */
static inline void reap_all(void)
{
	alarm(FAKE_TIMEOUT_S);
	while (waitpid(-1, NULL, 0) > 0)
		;
	alarm(0);
}

static inline void become_engine(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

#endif
