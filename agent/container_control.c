/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/container_control.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/cgroup_stats.h"
#include "agent/cgroup_update.h"
#include "agent/container_internal.h"

#define SIGNAL_MAX 64

/* ---- signals ---- */

/* @pid was just seen in the container's cgroup; the pidfd pins it from here on. */
static int signal_pid(pid_t pid, int signo)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return errno == ESRCH ? 0 : -errno;
	if (syscall(SYS_pidfd_send_signal, fd, signo, NULL, 0) < 0 && errno != ESRCH)
		return -errno;
	return 0;
}

int container_signal_all(struct container *c, int signo, struct err *err)
{
	struct cgroup *cg = setup_cgroup(c->setup);
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	int rc;

	if (signo < 0 || signo > SIGNAL_MAX)
		return err_set(err, -EINVAL, "signal %d is not in 0 to %d", signo, SIGNAL_MAX);
	if (signo == SIGKILL)
		return cgroup_kill(cg, err);
	rc = cgroup_pids(cg, &pids, &n, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++) {
		int r = signal_pid(pids[i], signo);

		if (r < 0 && rc >= 0)
			rc = err_set_errno(err, r, "send signal %d to process %d", signo, (int)pids[i]);
	}
	return rc;
}

/* ---- freezing ---- */

static void freeze_answer(struct container *c, int code, const struct err *err)
{
	container_done_fn done = c->freeze_done;

	c->freeze_done = NULL;
	if (c->freeze_timer)
		loop_timer_disarm(c->freeze_timer);
	if (done)
		done(c, code, err, c->freeze_userdata);
}

void container_freeze_settle(struct container *c, bool frozen)
{
	if (!c->freeze_done || frozen != c->freeze_want)
		return;
	c->paused = frozen;
	freeze_answer(c, 0, NULL);
}

void container_freeze_cancel(struct container *c)
{
	struct err err = ERR_INIT;

	err_set(&err, -ECANCELED, "container '%s' has ended", c->id);
	freeze_answer(c, -ECANCELED, &err);
}

static void freeze_timeout(void *userdata)
{
	struct container *c = userdata;
	struct err err = ERR_INIT;

	if (c->freeze_want)
		(void)cgroup_freeze(setup_cgroup(c->setup), false, NULL);
	err_set(&err, -ETIMEDOUT, "container '%s' was not %s within %u s", c->id,
		c->freeze_want ? "frozen" : "thawed", CONTAINER_FREEZE_TIMEOUT_MS / 1000);
	freeze_answer(c, -ETIMEDOUT, &err);
}

int container_pause(struct container *c, bool paused, container_done_fn done, void *userdata, struct err *err)
{
	struct cgroup_state state;
	int rc;

	if (c->removing || process_state(c->init) == PROCESS_STOPPED)
		return err_set(err, -EBUSY, "container '%s' has ended", c->id);
	if (c->freeze_done)
		return err_set(err, -EBUSY, "container '%s' is being paused or resumed", c->id);
	if (c->paused == paused)
		return err_set(err, -EBUSY, "container '%s' is %s", c->id,
			       paused ? "paused already" : "not paused");
	rc = c->freeze_timer ?
		     loop_timer_set(c->freeze_timer, CONTAINER_FREEZE_TIMEOUT_MS) :
		     loop_add_timer(c->table->loop, CONTAINER_FREEZE_TIMEOUT_MS, freeze_timeout, c,
				    &c->freeze_timer);
	if (rc < 0)
		return err_set_errno(err, rc, "pause container '%s'", c->id);
	rc = cgroup_freeze(setup_cgroup(c->setup), paused, err);
	if (rc >= 0)
		rc = cgroup_state(setup_cgroup(c->setup), &state, err);
	if (rc < 0) {
		loop_timer_disarm(c->freeze_timer);
		return rc;
	}
	c->freeze_want = paused;
	c->freeze_done = done;
	c->freeze_userdata = userdata;
	container_freeze_settle(c, state.frozen);
	return 0;
}

/* ---- limits ---- */

/* What is in use is reclaimed when it can be, and somebody is killed when it cannot: some rather know before. */
static int check_memory(const struct container *c, const struct oci_resources *update, struct err *err)
{
	uint64_t usage;

	if (!update->check_before_update || !update->has_memory_limit || update->memory_limit < 0)
		return 0;
	usage = cgroup_stats_number(cgroup_fd(setup_cgroup(c->setup)), "memory.current", 0);
	if ((uint64_t)update->memory_limit >= usage)
		return 0;
	return err_set(err, -EBUSY, "unable to set memory limit to %" PRId64 " (current usage: %" PRIu64 ")",
		       update->memory_limit, usage);
}

int container_update(struct container *c, const char *resources, size_t len, struct err *err)
{
	_cleanup_(oci_resources_free_p) struct oci_resources *update = NULL;
	int rc;

	if (container_has_ended(c))
		return err_set(err, -EBUSY, "container '%s' has ended", c->id);
	rc = oci_resources_parse(resources, len, &update, err);
	if (rc < 0)
		return rc;
	cgroup_update_complete(update, &c->spec->resources);
	rc = check_memory(c, update, err);
	if (rc >= 0)
		rc = cgroup_apply(setup_cgroup(c->setup), update, err);
	if (rc >= 0)
		cgroup_update_remember(&c->spec->resources, update);
	return rc;
}

/* ---- listing ---- */

/* The name is the workload's own choice: only printable bytes go out. */
static void read_command(pid_t pid, char command[CONTAINER_COMMAND_MAX])
{
	_cleanup_close_ int fd = -EBADF;
	char path[32];
	ssize_t n;

	command[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, command, CONTAINER_COMMAND_MAX - 1);
	if (n < 0)
		n = 0;
	command[n] = '\0';
	command[strcspn(command, "\n")] = '\0';
	for (char *p = command; *p; p++) {
		if (!isprint((unsigned char)*p))
			*p = '?';
	}
}

static const char *exec_id_of(const struct container *c, pid_t pid)
{
	for (const struct container_exec *e = c->execs; e; e = e->next) {
		if (process_pid(e->process) == pid && process_state(e->process) != PROCESS_STOPPED)
			return process_exec_id(e->process);
	}
	return "";
}

int container_tasks(struct container *c, struct container_task **ret, size_t *ret_n, struct err *err)
{
	_cleanup_free_ struct container_task *tasks = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t n = 0;
	int rc;

	rc = cgroup_pids(setup_cgroup(c->setup), &pids, &n, err);
	if (rc < 0)
		return rc;
	tasks = calloc(n ? n : 1, sizeof(*tasks));
	if (!tasks)
		return err_set_errno(err, -ENOMEM, "list container '%s'", c->id);
	for (size_t i = 0; i < n; i++) {
		tasks[i].pid = pids[i];
		tasks[i].exec_id = exec_id_of(c, pids[i]);
		read_command(pids[i], tasks[i].command);
	}
	*ret = TAKE_PTR(tasks);
	*ret_n = n;
	return 0;
}
