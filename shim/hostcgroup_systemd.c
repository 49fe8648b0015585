/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hostcgroup_systemd.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "common/io.h"
#include "common/loop.h"

#define LIBRARY "libsystemd.so.0"
#define SERVICE "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define US_PER_S UINT64_C(1000000)
#define US_PER_MS UINT64_C(1000)

/* ---- the library ---- */

#define FUNCTIONS(X)                                                                          \
	X(sd_bus_open_system)                                                                 \
	X(sd_bus_flush_close_unref)                                                           \
	X(sd_bus_match_signal)                                                                \
	X(sd_bus_message_new_method_call)                                                     \
	X(sd_bus_message_append)                                                              \
	X(sd_bus_message_append_array)                                                        \
	X(sd_bus_message_open_container)                                                      \
	X(sd_bus_message_close_container)                                                     \
	X(sd_bus_message_read)                                                                \
	X(sd_bus_message_unref)                                                               \
	X(sd_bus_call)                                                                        \
	X(sd_bus_call_method)                                                                 \
	X(sd_bus_error_free)                                                                  \
	X(sd_bus_process)                                                                     \
	X(sd_bus_wait)

struct library {
#define MEMBER(name) __typeof__(&name) name;
	FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Stays loaded: the process ends soon. */
static int load_library(struct library *ret, struct err *err)
{
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return err_set(err, -ENOTSUP,
			       "option --systemd-cgroup: %s; install the package libsystemd0", dlerror());
#define RESOLVE(name)                                                                         \
	ret->name = (__typeof__(ret->name))dlsym(handle, #name);                              \
	if (!ret->name)                                                                       \
		return err_set(err, -ENOTSUP, "option --systemd-cgroup: " LIBRARY " lacks " #name);
	FUNCTIONS(RESOLVE)
#undef RESOLVE
	return 0;
}

/* ---- what is to be done, in the child ---- */

struct request {
	const char *unit, *slice, *id;
	const struct hostcgroup_limits *limits;
	bool unified;
	uint32_t pid; /* to be put into the scope */
};

struct client {
	struct library lib;
	sd_bus *bus;
	char job[256];    /* the one that is waited for */
	char result[32];  /* "" until it is done */
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int bus_error(struct err *err, int r, const char *what, const sd_bus_error *error)
{
	return err_set(err, -EREMOTEIO, "systemd: %s: %s", what,
		       error->message ? error->message : strerror(-r));
}

static int connect_bus(struct client *c, struct err *err)
{
	int r = load_library(&c->lib, err);

	if (r < 0)
		return r;
	r = c->lib.sd_bus_open_system(&c->bus);
	if (r == -ENOENT)
		return err_set(err, -ENOTSUP,
			       "option --systemd-cgroup: there is no system bus; use the 'cgroupfs' driver "
			       "where systemd does not run");
	if (r < 0)
		return err_set(err, -ENOTSUP,
			       "option --systemd-cgroup: the system bus cannot be reached: %s; use "
			       "the 'cgroupfs' driver where systemd does not run",
			       strerror(-r));
	return 0;
}

static int append_uint64(struct client *c, sd_bus_message *m, const char *name, uint64_t value)
{
	return c->lib.sd_bus_message_append(m, "(sv)", name, "t", value);
}

static int append_limits(struct client *c, sd_bus_message *m, const struct request *q)
{
	const struct hostcgroup_limits *l = q->limits;
	uint64_t period = l && l->cpu_period_us ? l->cpu_period_us : HOSTCGROUP_PERIOD_DEFAULT_US;
	uint64_t quota = l && l->cpu_quota_us ? l->cpu_quota_us * US_PER_S / period : UINT64_MAX;
	int r;

	if (!l)
		return 0;
	r = append_uint64(c, m, q->unified ? "MemoryMax" : "MemoryLimit",
			  l->memory_bytes ? l->memory_bytes : UINT64_MAX);
	if (r >= 0)
		r = append_uint64(c, m, "CPUQuotaPerSecUSec", quota);
	if (r >= 0 && l->cpu_shares)
		r = append_uint64(c, m, q->unified ? "CPUWeight" : "CPUShares",
				  q->unified ? hostcgroup_weight_of_shares(l->cpu_shares)
					     : l->cpu_shares);
	if (r >= 0)
		r = append_uint64(c, m, "TasksMax", l->pids ? l->pids : UINT64_MAX);
	return r;
}

static int append_bool(struct client *c, sd_bus_message *m, const char *name, bool value)
{
	return c->lib.sd_bus_message_append(m, "(sv)", name, "b", (int)value);
}

static int append_pids(struct client *c, sd_bus_message *m, const struct request *q)
{
	int r = c->lib.sd_bus_message_open_container(m, 'r', "sv");

	if (r >= 0)
		r = c->lib.sd_bus_message_append(m, "s", "PIDs");
	if (r >= 0)
		r = c->lib.sd_bus_message_open_container(m, 'v', "au");
	if (r >= 0)
		r = c->lib.sd_bus_message_append_array(m, 'u', &q->pid, sizeof(q->pid));
	if (r >= 0)
		r = c->lib.sd_bus_message_close_container(m);
	return r >= 0 ? c->lib.sd_bus_message_close_container(m) : r;
}

static int append_properties(struct client *c, sd_bus_message *m, const struct request *q)
{
	char description[512];
	int r;

	snprintf(description, sizeof(description), "onggi sandbox of container %s", q->id);
	if ((r = c->lib.sd_bus_message_append(m, "(sv)", "Description", "s", description)) < 0 ||
	    (r = c->lib.sd_bus_message_append(m, "(sv)", "Slice", "s", q->slice)) < 0 ||
	    (r = append_bool(c, m, "Delegate", true)) < 0 ||
	    (r = append_bool(c, m, "DefaultDependencies", false)) < 0 ||
	    (r = append_bool(c, m, "MemoryAccounting", true)) < 0 ||
	    (r = append_bool(c, m, "CPUAccounting", true)) < 0 ||
	    (r = append_bool(c, m, "TasksAccounting", true)) < 0 ||
	    (r = append_limits(c, m, q)) < 0)
		return r;
	return append_pids(c, m, q);
}

static int start_message(struct client *c, const struct request *q, sd_bus_message **ret)
{
	sd_bus_message *m = NULL;
	int r;

	r = c->lib.sd_bus_message_new_method_call(c->bus, &m, SERVICE, OBJECT, MANAGER,
						  "StartTransientUnit");
	if (r >= 0)
		r = c->lib.sd_bus_message_append(m, "ss", q->unit, "replace");
	if (r >= 0)
		r = c->lib.sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_properties(c, m, q);
	if (r >= 0)
		r = c->lib.sd_bus_message_close_container(m);
	if (r >= 0)
		r = c->lib.sd_bus_message_append(m, "a(sa(sv))", 0u);
	if (r >= 0)
		*ret = m;
	else
		c->lib.sd_bus_message_unref(m);
	return r;
}

static int job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *path, *unit, *result;
	struct client *c = userdata;
	uint32_t number;

	if (c->lib.sd_bus_message_read(m, "uoss", &number, &path, &unit, &result) < 0)
		return 0;
	if (!strcmp(path, c->job))
		snprintf(c->result, sizeof(c->result), "%s", result);
	return 0;
}

static int wait_for_job(struct client *c, struct err *err)
{
	int64_t end = now_ms() + HOSTCGROUP_SYSTEMD_TIMEOUT_MS;

	while (!c->result[0]) {
		int64_t left = end - now_ms();
		int r = c->lib.sd_bus_process(c->bus, NULL);

		if (r == 0 && left > 0)
			r = c->lib.sd_bus_wait(c->bus, (uint64_t)left * US_PER_MS);
		if (r < 0)
			return err_set_errno(err, r, "systemd: wait for the scope");
		if (left <= 0)
			return err_set(err, -ETIMEDOUT, "systemd has not started the scope in %d ms",
				       HOSTCGROUP_SYSTEMD_TIMEOUT_MS);
	}
	if (strcmp(c->result, "done") != 0)
		return err_set(err, -EREMOTEIO, "systemd: start of the scope: %s", c->result);
	return 0;
}

/* Signals wait in the queue while a call is answered: none of our job is missed after it. */
static int do_start(struct client *c, const struct request *q, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL, *reply = NULL;
	const char *job = NULL;
	int r;

	r = c->lib.sd_bus_match_signal(c->bus, NULL, SERVICE, OBJECT, MANAGER, "JobRemoved",
				       job_removed, c);
	if (r >= 0)
		r = start_message(c, q, &m);
	if (r >= 0)
		r = c->lib.sd_bus_call(c->bus, m, HOSTCGROUP_SYSTEMD_TIMEOUT_MS * US_PER_MS, &error,
				       &reply);
	if (r >= 0)
		r = c->lib.sd_bus_message_read(reply, "o", &job);
	if (r < 0)
		r = bus_error(err, r, "start the scope", &error);
	else
		snprintf(c->job, sizeof(c->job), "%s", job);
	c->lib.sd_bus_error_free(&error);
	c->lib.sd_bus_message_unref(m);
	c->lib.sd_bus_message_unref(reply);
	return r < 0 ? r : wait_for_job(c, err);
}

static int do_stop(struct client *c, const struct request *q, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	/* Both fail when it went by itself, its last process having ended. */
	c->lib.sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "StopUnit", &error, NULL, "ss",
				  q->unit, "replace");
	c->lib.sd_bus_error_free(&error);
	c->lib.sd_bus_call_method(c->bus, SERVICE, OBJECT, MANAGER, "ResetFailedUnit", &error, NULL,
				  "s", q->unit);
	c->lib.sd_bus_error_free(&error);
	return 0;
}

static int do_set_limits(struct client *c, const struct request *q, struct err *err)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *m = NULL;
	int r;

	r = c->lib.sd_bus_message_new_method_call(c->bus, &m, SERVICE, OBJECT, MANAGER,
						  "SetUnitProperties");
	if (r >= 0)
		r = c->lib.sd_bus_message_append(m, "sb", q->unit, 1);
	if (r >= 0)
		r = c->lib.sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_limits(c, m, q);
	if (r >= 0)
		r = c->lib.sd_bus_message_close_container(m);
	if (r >= 0)
		r = c->lib.sd_bus_call(c->bus, m, 0, &error, NULL);
	if (r < 0)
		r = bus_error(err, r, "set the scope's limits", &error);
	c->lib.sd_bus_error_free(&error);
	c->lib.sd_bus_message_unref(m);
	return r;
}

/* ---- the child ---- */

typedef int (*action_fn)(struct client *c, const struct request *q, struct err *err);

static _Noreturn void child_main(action_fn action, const struct request *q, int report_fd)
{
	struct client c = { 0 };
	struct err err = ERR_INIT;
	int r;

	loop_child_reset();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = connect_bus(&c, &err);
	if (r == 0)
		r = action(&c, q, &err);
	if (r < 0 && err.code == 0)
		err_set_errno(&err, r, "systemd");
	if (report_fd >= 0)
		io_write_all(report_fd, &err, sizeof(err));
	if (c.bus)
		c.lib.sd_bus_flush_close_unref(c.bus);
	_exit(r < 0 ? EXIT_FAILURE : 0);
}

static int call(action_fn action, const struct request *q, struct err *err)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct err report = ERR_INIT;
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "systemd: pipe");
	in = fds[0];
	out = fds[1];
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return err_set_errno(err, -errno, "systemd: fork");
	if (pid == 0)
		child_main(action, q, out);
	cleanup_close_p(&out);
	n = io_read_full(in, &report, sizeof(report));
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(report))
		return err_set(err, -EPIPE, "systemd: the process that speaks to it has died");
	report.text[sizeof(report.text) - 1] = '\0';
	return report.code < 0 ? err_set(err, report.code, "%s", report.text) : 0;
}

int hostcgroup_systemd_start(const char *unit, const char *slice, const char *id,
			     const struct hostcgroup_limits *limits, bool unified, struct err *err)
{
	struct request q = { .unit = unit, .slice = slice, .id = id, .limits = limits,
			     .unified = unified, .pid = (uint32_t)getpid() };

	return call(do_start, &q, err);
}

int hostcgroup_systemd_stop(const char *unit, struct err *err)
{
	struct request q = { .unit = unit };

	return call(do_stop, &q, err);
}

pid_t hostcgroup_systemd_set_limits(const char *unit, const struct hostcgroup_limits *limits,
				    bool unified)
{
	struct request q = { .unit = unit, .limits = limits, .unified = unified };
	pid_t pid = fork();

	if (pid == 0)
		child_main(do_set_limits, &q, -EBADF);
	return pid < 0 ? -errno : pid;
}
