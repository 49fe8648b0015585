/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/task_hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/io.h"
#include "shim/hooks.h"

/* What the child tells, once. Shorter than a pipe's buffer. */
struct hooks_report {
	int32_t code; /* 0 or a negative errno */
	char text[ERR_TEXT_MAX];
};

struct task_hooks {
	struct task *c;
	pid_t pid;
	int report_fd;
	const enum oci_hook_kind *kinds;
	enum container_status status;
	int netns_fd;
	struct loop_source *child;
	proc_done_fn done;
	void *userdata;
};

/* ---- in the child ---- */

static int run_in_view(const struct task *c, struct err *err)
{
	const struct hooks_place place = { .netns_fd = -EBADF, .cwd = c->record->rootfs };
	int r;

	r = hostshare_enter_view(c->sandbox->share, c->record->id, c->record->rootfs);
	if (r < 0)
		return err_set_errno(err, r, "mount namespace for createContainer hooks");
	return hooks_run(c->record, OCI_HOOK_CREATE_CONTAINER, CONTAINER_CREATING, &place, err);
}

static int run(const struct task_hooks *h, struct err *err)
{
	const struct hooks_place here = { .netns_fd = h->netns_fd };
	int r = 0;

	for (const enum oci_hook_kind *kind = h->kinds; r >= 0 && *kind != OCI_HOOK_COUNT; kind++)
		r = *kind == OCI_HOOK_CREATE_CONTAINER
			    ? run_in_view(h->c, err)
			    : hooks_run(h->c->record, *kind, h->status, &here, err);
	return r;
}

static _Noreturn void child_main(const struct task_hooks *h, int report_fd)
{
	struct hooks_report report = { 0 };
	struct err err = ERR_INIT;

	loop_child_reset();
	/* A group of its own, to be killed with what the hooks have started. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setpgid(0, 0) < 0)
		_exit(EXIT_FAILURE);
	report.code = run(h, &err);
	snprintf(report.text, sizeof(report.text), "%s", err.text);
	io_write_all(report_fd, &report, sizeof(report));
	_exit(EXIT_SUCCESS);
}

/* ---- in the monitor ---- */

static void finish(struct task_hooks *h, enum ttrpc_code code, const char *message)
{
	struct task *c = h->c;

	c->hooks = NULL;
	loop_source_destroy(h->child);
	cleanup_close_p(&h->report_fd);
	h->done(code, message, h->userdata);
	free(h);
	task_unref(c);
}

static void on_child_ended(pid_t pid, int status, void *userdata)
{
	struct task_hooks *h = userdata;
	struct hooks_report report;

	if (io_read_full(h->report_fd, &report, sizeof(report)) != (ssize_t)sizeof(report)) {
		finish(h, TTRPC_INTERNAL, "hooks: their runner was killed");
		return;
	}
	report.text[sizeof(report.text) - 1] = '\0';
	if (report.code < 0)
		finish(h, report.code == -ETIMEDOUT ? TTRPC_DEADLINE_EXCEEDED : TTRPC_INTERNAL,
		       report.text);
	else
		finish(h, TTRPC_OK, "");
}

static int start(struct task_hooks *h)
{
	_cleanup_close_ int write_fd = -EBADF;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	h->report_fd = fds[0];
	write_fd = fds[1];
	h->pid = fork();
	if (h->pid < 0)
		return -errno;
	if (h->pid == 0)
		child_main(h, write_fd);
	r = loop_add_child(h->c->sandbox->loop, h->pid, on_child_ended, h, &h->child);
	if (r < 0) {
		kill(h->pid, SIGKILL);
		while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	return r;
}

void task_run_hooks_of(struct task *c, const enum oci_hook_kind *kinds, enum container_status status,
		       int netns_fd, proc_done_fn done, void *userdata)
{
	struct task_hooks *h;
	int r;

	if (c->hooks || c->creation) {
		done(TTRPC_FAILED_PRECONDITION, "hooks cannot be run now", userdata);
		return;
	}
	h = calloc(1, sizeof(*h));
	if (!h) {
		done(TTRPC_RESOURCE_EXHAUSTED, "out of memory", userdata);
		return;
	}
	h->c = task_ref(c);
	h->report_fd = -EBADF;
	h->kinds = kinds;
	h->status = status;
	h->netns_fd = netns_fd;
	h->done = done;
	h->userdata = userdata;
	c->hooks = h;
	r = start(h);
	if (r < 0)
		finish(h, TTRPC_INTERNAL, "hooks: no process can be made for them");
}

void task_run_hooks(struct task *c, proc_done_fn done, void *userdata)
{
	static const enum oci_hook_kind kinds[] = { OCI_HOOK_CREATE_CONTAINER, OCI_HOOK_COUNT };

	if (c->record->status != CONTAINER_CREATED)
		done(TTRPC_FAILED_PRECONDITION, "hooks of its creation cannot be run now", userdata);
	else
		task_run_hooks_of(c, kinds, CONTAINER_CREATING, -EBADF, done, userdata);
}

void task_hooks_end(struct task_hooks *h)
{
	if (!h)
		return;
	/* The first is for a child that has not made its group yet. */
	kill(h->pid, SIGKILL);
	kill(-h->pid, SIGKILL);
	loop_source_destroy(TAKE_PTR(h->child));
	while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	finish(h, TTRPC_CANCELED, "the container has been removed");
}
