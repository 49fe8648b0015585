/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One QEMU process, four streams: QMP, console, agent channel (socket pairs; QEMU is given one end
 * of each) and its stderr (a pipe). QEMU listens nowhere. It is started in the jail and dies with
 * the monitor.
 *
 *   create -> RUNNING -> (process ends, or QMP is lost and it is killed) -> EXITED: operations
 *   fail, on_exit
 *
 * To go on from a saved machine, two things run beside each other: QEMU's start up to the end of
 * the QMP negotiation, and the copy of the memory. Then the state is read, the share is plugged,
 * and the guest goes on. What fails on the way kills QEMU, and on_exit tells.
 *
 * Callbacks of the user's may destroy the VM. Each way into this file that may call one is
 * bracketed by enter() and leave(), and a destroy inside is done by the outermost leave().
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/trace.h"
#include "hypervisor/console.h"
#include "hypervisor/jail.h"
#include "hypervisor/memory_copy.h"
#include "hypervisor/qemu_cmdline.h"
#include "hypervisor/qemu_describe.h"
#include "hypervisor/qemu_device.h"
#include "hypervisor/qemu_places.h"
#include "hypervisor/qemu_saved.h"
#include "hypervisor/qmp.h"
#include "hypervisor/tsc.h"
#include "hypervisor/vm.h"
#include "hypervisor/vmm_user.h"

#define CONSOLE_FILE "console.log"
#define STDERR_FILE "vmm.log"
#define PID_FILE "vmm.pid"
#define STDERR_BYTES_MAX (32u << 10)
/* Descriptors of one QEMU: the machine, and for each slot a backend with its eventfds. */
#define NOFILE_MAX 1024
#define MEMLOCK_BYTES_MAX (64u << 10)
#define REASON_BYTES 512
/*
 * From the end of its QMP connection to the end of the process, ms: it ends by itself, or is made
 * to.
 */
#define END_MS 20000

struct qemu_vm {
	struct vm vm;
	struct loop *loop;
	struct loop_source *child, *end_timer;
	pid_t pid; /* -1 once reaped */
	struct qmp *qmp;
	struct qemu_devices *devices;
	struct console *console, *words;
	int agent_fd;
	struct vm_events events;
	void *userdata;
	unsigned int depth;
	bool destroyed;
	char reason[REASON_BYTES]; /* what we know before the process tells */
	bool savable;		   /* its memory is in a file */
	struct qemu_saved *saved;  /* saving, or going on from what was saved */
	vm_done_fn save_done;
	void *save_userdata;
	struct {
		struct memory_copy *copy;
		int memory_fd, state_fd, share_fd; /* share_fd: until it is plugged; -1: none */
		char *share_tag;
	} restore;
};

static struct qemu_vm *qemu_of(struct vm *vm)
{
	return (struct qemu_vm *)vm;
}

static void qemu_free(struct qemu_vm *q)
{
	qmp_destroy(TAKE_PTR(q->qmp));
	qemu_devices_destroy(q->devices);
	qemu_saved_destroy(q->saved);
	memory_copy_destroy(q->restore.copy);
	cleanup_close_p(&q->restore.memory_fd);
	cleanup_close_p(&q->restore.state_fd);
	cleanup_close_p(&q->restore.share_fd);
	free(q->restore.share_tag);
	loop_source_destroy(q->child);
	loop_source_destroy(q->end_timer);
	if (q->pid > 0) {
		kill(q->pid, SIGKILL);
		while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	console_destroy(q->console);
	console_destroy(q->words);
	if (q->agent_fd >= 0)
		close(q->agent_fd);
	free(q);
}

static void enter(struct qemu_vm *q)
{
	q->depth++;
}

static void leave(struct qemu_vm *q)
{
	if (--q->depth == 0 && q->destroyed)
		qemu_free(q);
}

static void qemu_destroy(struct vm *vm)
{
	struct qemu_vm *q = qemu_of(vm);

	if (q->destroyed)
		return;
	q->destroyed = true;
	/*
	 * A destroy inside of free's own callbacks finds the flag set; one inside of others is done
	 * by leave().
	 */
	if (q->depth == 0)
		qemu_free(q);
}

static void kill_vmm(struct qemu_vm *q)
{
	if (q->pid > 0)
		kill(q->pid, SIGKILL);
}

/* ---- the end ---- */

/* Its last words as one line, or what we know ourselves. */
static void build_reason(struct qemu_vm *q, char *buf, size_t size)
{
	size_t len = console_tail(q->words, buf, size);

	while (len > 0 && buf[len - 1] == '\n')
		buf[--len] = '\0';
	if (len == 0) {
		snprintf(buf, size, "%s", q->reason);
		return;
	}
	for (size_t i = 0; i < len; i++)
		if (buf[i] == '\n')
			buf[i] = ';';
}

static void on_child(pid_t pid, int status, void *userdata)
{
	struct qemu_vm *q = userdata;
	char reason[REASON_BYTES];

	enter(q);
	q->pid = -1;
	loop_source_destroy(TAKE_PTR(q->child));
	loop_source_destroy(TAKE_PTR(q->end_timer));
	console_drain(q->console);
	console_drain(q->words);
	build_reason(q, reason, sizeof(reason));
	qemu_devices_fail(q->devices, -EPIPE, "QEMU has ended");
	qmp_destroy(TAKE_PTR(q->qmp));
	if (!q->destroyed && q->events.on_exit)
		q->events.on_exit(&q->vm, status, reason, q->userdata);
	leave(q);
}

/* ---- QMP ---- */

static void on_event(const char *event, const struct json *data, void *userdata)
{
	struct qemu_vm *q = userdata;
	const char *why = NULL;

	enter(q);
	if (strcmp(event, "SHUTDOWN") == 0 && json_is_object(data) &&
	    json_member_string(data, "", "reason", &why, NULL) == 1) {
		snprintf(q->reason, sizeof(q->reason), "QEMU ended because of '%.64s'", why);
		q->reason[console_clean(q->reason, strlen(q->reason))] = '\0';
	}
	qemu_devices_on_event(q->devices, q->qmp, event, data);
	qemu_saved_on_event(q->saved, event, data);
	leave(q);
}

static void on_end_timer(void *userdata)
{
	kill_vmm(userdata);
}

/*
 * Without QMP the VM cannot be managed, and a peer that broke the protocol is not to be trusted: it
 * ends. The connection of a QEMU that is about to exit closes first; it may finish, so that its
 * exit status is its own.
 */
static void on_lost(int code, const char *message, void *userdata)
{
	struct qemu_vm *q = userdata;

	if (code != -EPIPE || !*q->reason)
		snprintf(q->reason, sizeof(q->reason), "%s", message);
	if (code != -EPIPE || loop_add_timer(q->loop, END_MS, on_end_timer, q, &q->end_timer) < 0)
		kill_vmm(q);
}

static int qemu_add_device(struct vm *vm, const struct vm_device *device, vm_done_fn done,
			   void *userdata, struct err *err)
{
	struct qemu_vm *q = qemu_of(vm);

	return qemu_devices_add(q->devices, q->qmp, device, done, userdata, err);
}

static int qemu_remove_device(struct vm *vm, const char *id, vm_done_fn done, void *userdata,
			      struct err *err)
{
	struct qemu_vm *q = qemu_of(vm);

	return qemu_devices_remove(q->devices, q->qmp, id, done, userdata, err);
}

/* ---- saving ---- */

static void on_saved(int code, const char *message, void *userdata)
{
	struct qemu_vm *q = userdata;

	enter(q);
	if (!q->destroyed)
		q->save_done(code, message, q->save_userdata);
	leave(q);
}

static int qemu_save(struct vm *vm, int state_fd, vm_done_fn done, void *userdata, struct err *err)
{
	struct qemu_vm *q = qemu_of(vm);
	int r;

	if (!q->savable)
		return err_set(err, -EOPNOTSUPP, "save the virtual machine: its memory is not in a file");
	if (q->saved)
		return err_set(err, -EBUSY, "save the virtual machine: that is being done");
	if (!q->qmp)
		return err_set(err, -EPIPE, "save the virtual machine: it has gone");
	q->save_done = done;
	q->save_userdata = userdata;
	r = qemu_saved_write(q->loop, q->qmp, state_fd, on_saved, q, &q->saved);
	return r < 0 ? err_set_errno(err, r, "save the virtual machine") : 0;
}

/* ---- going on from what was saved ---- */

/* The sandbox can boot instead, when it has the reason. */
static void restore_failed(struct qemu_vm *q, const char *message)
{
	snprintf(q->reason, sizeof(q->reason), "restore: %s", message);
	kill_vmm(q);
}

static void on_continued(int code, const char *message, const struct json *answer, void *userdata)
{
	trace_mark("guest goes on");
	if (code < 0 && code != -ECANCELED && code != -EPIPE)
		restore_failed(userdata, message);
}

static void let_go_on(struct qemu_vm *q)
{
	int r = qmp_execute(q->qmp, "cont", NULL, -1, QEMU_SAVED_STEP_MS, on_continued, q);

	if (r < 0)
		restore_failed(q, strerror(-r));
}

static void on_share_plugged(int code, const char *message, void *userdata)
{
	struct qemu_vm *q = userdata;

	if (code == -ECANCELED || code == -EPIPE)
		return;
	trace_mark("share plugged");
	if (code < 0)
		restore_failed(q, message);
	else
		let_go_on(q);
}

static void on_state_read(int code, const char *message, void *userdata)
{
	struct vm_device share = { .kind = VM_DEVICE_SHARE, .id = "share" };
	struct qemu_vm *q = userdata;
	struct err err = ERR_INIT;

	trace_mark("state read");
	if (q->destroyed || code == -ECANCELED || code == -EPIPE)
		return;
	if (code < 0) {
		restore_failed(q, message);
		return;
	}
	qemu_devices_go_on(q->devices);
	if (q->restore.share_fd < 0) {
		let_go_on(q);
		return;
	}
	share.fd = q->restore.share_fd;
	share.tag = q->restore.share_tag;
	if (qemu_devices_add(q->devices, q->qmp, &share, on_share_plugged, q, &err) < 0)
		restore_failed(q, err.text);
	cleanup_close_p(&q->restore.share_fd);
}

/* QMP commands wait for the end of the negotiation by themselves. */
static void on_memory_copied(int code, void *userdata)
{
	struct qemu_vm *q = userdata;
	int r = code;

	trace_mark("memory copied");
	enter(q);
	if (r == 0 && q->qmp)
		r = qemu_saved_read(q->loop, q->qmp, q->restore.state_fd, on_state_read, q, &q->saved);
	cleanup_close_p(&q->restore.state_fd);
	if (r == -EBADMSG)
		restore_failed(q, "the saved memory is damaged");
	else if (r < 0)
		restore_failed(q, "the saved memory could not be copied");
	leave(q);
}

static int begin_restore(struct qemu_vm *q, const struct vm_config *config, struct err *err)
{
	const struct vm_saved *from = config->restore;
	uint64_t bytes = vm_config_built_mib(config) << 20;
	char path[48];

	if (from->memory_bytes != bytes)
		return err_set(err, -EBADMSG, "saved machine: %llu bytes of memory, not %llu",
			       (unsigned long long)from->memory_bytes, (unsigned long long)bytes);
	/* Opened anew: the position of a duplicate would be shared with whoever uses it after us. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", from->state_fd);
	q->restore.state_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (q->restore.state_fd < 0)
		return err_set_errno(err, -errno, "saved machine: its state");
	if (config->share_fd >= 0) {
		q->restore.share_fd = fcntl(config->share_fd, F_DUPFD_CLOEXEC, 3);
		q->restore.share_tag = strdup(config->share_tag);
		if (q->restore.share_fd < 0 || !q->restore.share_tag)
			return err_set_errno(err, -ENOMEM, "saved machine: share");
	}
	qemu_devices_hold(q->devices);
	return memory_copy_start(q->loop, from->memory_fd, bytes, from->memory_checksum, on_memory_copied,
				 q, &q->restore.copy, &q->restore.memory_fd, err);
}

/* ---- start ---- */

struct streams {
	int qmp[2], console[2], agent[2], words[2]; /* 0: ours, 1: QEMU's */
};

static void streams_close(struct streams *s)
{
	int *all[] = { s->qmp, s->console, s->agent, s->words };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t end = 0; end < 2; end++)
			if (all[i][end] >= 0)
				close(TAKE_FD(all[i][end]));
}

static int streams_open(struct streams *s, struct err *err)
{
	int *pairs[] = { s->qmp, s->console, s->agent };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) < 0)
			return err_set_errno(err, -errno, "socket pair for QEMU");
	if (pipe2(s->words, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe for QEMU");
	return 0;
}

/* QEMU is neither the file's owner nor in its group. */
static bool others_may(const char *path, mode_t what)
{
	struct stat st;

	return stat(path, &st) == 0 && (st.st_mode & what) == what;
}

static int check_files(const struct vm_config *config, struct err *err)
{
	const struct {
		const char *what, *path;
		int mode;
		mode_t others;
		const char *remedy;
	} files[] = {
		{ "virtual machine monitor", config->vmm_path, X_OK, S_IROTH | S_IXOTH, "execute it: chmod o+rx" },
		{ "guest kernel", config->kernel, R_OK, S_IROTH, "read it: chmod o+r" },
		{ "guest initramfs", config->initrd, R_OK, S_IROTH, "read it: chmod o+r" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *path = files[i].path ? files[i].path : "";

		if (path[0] != '/') /* QEMU runs in another folder */
			return err_set(err, -EINVAL, "%s '%s': not an absolute path", files[i].what,
				       path);
		if (access(path, files[i].mode) < 0)
			return err_set_errno(err, -errno, "%s '%s'", files[i].what, path);
		if (!others_may(path, files[i].others))
			return err_set(err, -EACCES, "%s '%s': a VMM has a user of its own, who may not %s",
				       files[i].what, path, files[i].remedy);
	}
	return 0;
}

static int spawn(struct qemu_vm *q, const struct vm_config *config, struct streams *s,
		 struct err *err)
{
	/* The last one is the share, or the memory of a machine to be saved or restored. */
	int memory = config->restore ? q->restore.memory_fd :
				       config->memory_file ? *config->memory_file : -1;
	const int fds[] = { s->qmp[1], s->console[1], s->agent[1],
			    memory >= 0 ? memory : config->share_fd };
	const struct qemu_cmdline_fds numbers = {
		.qmp = JAIL_FD_FIRST,
		.console = JAIL_FD_FIRST + 1,
		.agent = JAIL_FD_FIRST + 2,
		.share = config->share_fd >= 0 && memory < 0 ? JAIL_FD_FIRST + 3 : -1,
		.memory = memory >= 0 ? JAIL_FD_FIRST + 3 : 0,
	};
	struct jail jail = {
		.path = config->vmm_path,
		.fds = fds,
		.n_fds = fds[3] >= 0 ? 4 : 3,
		.stderr_fd = s->words[1],
		.unshare_flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID,
		.filter = &filter_qemu,
		.nofile_max = NOFILE_MAX,
		.memlock_max_bytes = MEMLOCK_BYTES_MAX,
	};
	struct qemu_places places;
	unsigned int khz = config->accel == VM_ACCEL_TCG ? tsc_khz() : 0;
	char **argv, text[16];
	int r;

	r = vmm_user_set(config, &jail, err);
	if (r == 0)
		r = qemu_cmdline_build(config, &numbers, khz, &argv, err);
	if (r < 0)
		return r;
	jail.argv = argv;
	r = qemu_places_init(&places, config);
	jail.places = places.places;
	jail.n_places = places.n;
	r = r < 0 ? err_set_errno(err, r, "virtual machine") : jail_spawn(&jail, &q->pid, err);
	qemu_places_free(&places);
	qemu_cmdline_free(argv);
	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "%d\n", (int)q->pid);
	r = io_replace_file(config->state_dirfd, PID_FILE, text, strlen(text), 0600);
	return r < 0 ? err_set_errno(err, r, "write '%s'", PID_FILE) : 0;
}

/* Our ends go to those who read them. */
static int attach(struct qemu_vm *q, struct loop *loop, struct streams *s, int dirfd,
		  struct err *err)
{
	const struct qmp_callbacks callbacks = { .on_event = on_event,
						 .on_lost = on_lost,
						 .userdata = q };
	int r;

	r = console_create(loop, s->console[0], dirfd, CONSOLE_FILE, CONSOLE_BYTES_MAX,
			   &q->console);
	if (r < 0)
		return err_set_errno(err, r, "console log '%s'", CONSOLE_FILE);
	s->console[0] = -EBADF;
	r = console_create(loop, s->words[0], dirfd, STDERR_FILE, STDERR_BYTES_MAX, &q->words);
	if (r < 0)
		return err_set_errno(err, r, "log '%s'", STDERR_FILE);
	s->words[0] = -EBADF;
	r = qmp_create(loop, s->qmp[0], &callbacks, &q->qmp);
	if (r < 0)
		return err_set_errno(err, r, "QMP client");
	s->qmp[0] = -EBADF;
	r = fd_set_nonblock(s->agent[0], true);
	if (r < 0)
		return err_set_errno(err, r, "agent channel");
	q->agent_fd = TAKE_FD(s->agent[0]);
	return 0;
}

static int qemu_create(struct loop *loop, const struct vm_config *config,
		       const struct vm_events *events, void *userdata, struct vm **ret,
		       struct err *err)
{
	struct streams s = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct qemu_vm *q;
	int r = check_files(config, err);

	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return err_set_errno(err, -ENOMEM, "virtual machine");
	q->vm.driver = &qemu_driver;
	q->loop = loop;
	q->agent_fd = q->restore.memory_fd = q->restore.state_fd = q->restore.share_fd = -EBADF;
	q->savable = config->memory_file;
	q->pid = -1;
	q->events = *events;
	q->userdata = userdata;
	r = qemu_devices_create(loop, &q->devices);
	if (r == 0)
		r = streams_open(&s, err);
	if (r == 0)
		r = attach(q, loop, &s, config->state_dirfd, err);
	if (r == 0 && config->restore)
		r = begin_restore(q, config, err);
	if (r == 0)
		r = spawn(q, config, &s, err);
	/* QEMU has it, and who fills it. Held here it would outlive them: the guest's memory is to end with its VMM. */
	cleanup_close_p(&q->restore.memory_fd);
	if (r == 0) {
		r = loop_add_child(loop, q->pid, on_child, q, &q->child);
		if (r < 0)
			err_set_errno(err, r, "watch QEMU");
	}
	streams_close(&s);
	if (r < 0) {
		q->destroyed = true;
		qemu_free(q);
		return r;
	}
	*ret = &q->vm;
	return 0;
}

static int qemu_agent_fd(struct vm *vm)
{
	struct qemu_vm *q = qemu_of(vm);

	return q->agent_fd >= 0 ? TAKE_FD(q->agent_fd) : -EBADF;
}

static pid_t qemu_pid(const struct vm *vm)
{
	return ((const struct qemu_vm *)vm)->pid;
}

static size_t qemu_console_tail(struct vm *vm, char *buf, size_t size)
{
	return console_tail(qemu_of(vm)->console, buf, size);
}

const struct vm_driver qemu_driver = {
	.name = "qemu",
	.create = qemu_create,
	.destroy = qemu_destroy,
	.agent_fd = qemu_agent_fd,
	.pid = qemu_pid,
	.add_device = qemu_add_device,
	.remove_device = qemu_remove_device,
	.save = qemu_save,
	.describe = qemu_describe,
	.console_tail = qemu_console_tail,
	.memory_ranges = qemu_memory_ranges,
};
