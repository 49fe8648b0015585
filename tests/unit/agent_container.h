/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_container.h - a container's life by the functions of agent/setup.h, for test_agent_setup.c
 *
 * Shape:    config.json is put together from the parts that a test varies; create, start, reap and discard walk
 *           a container through its life with poll(2) in place of the agent's loop.
 */
#ifndef ONGGI_TESTS_AGENT_CONTAINER_H
#define ONGGI_TESTS_AGENT_CONTAINER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent/setup.h"
#include "common/json.h"
#include "tests/unit/agent_world.h"

#define WAIT_MS 20000
#define OUTPUT_MAX 65536u

static struct world world;
static struct namespace_registry *registry;
static char cgroup_root[128];

/* Parts of config.json that the tests vary. NULL: the usual ones. */
struct config {
	const char *args;      /* JSON array */
	const char *process;   /* further members of "process", with a leading comma */
	const char *mounts;    /* further mounts, with a leading comma */
	const char *linux_;    /* further members of "linux", with a leading comma */
	const char *top;       /* further members at the top, with a leading comma */
	const char *caps;      /* JSON array for all but inheritable and ambient */
	const char *ambient;   /* further members of "capabilities", with a leading comma */
	const char *user;      /* JSON object */
	const char *cwd;
	const char *namespaces; /* further ones, with a leading comma */
	bool readonly, no_proc, no_dev, terminal;
	const struct setup_mount_source *sources;
	size_t n_sources;
	const struct setup_shared_namespace *shared;
	size_t n_shared;
};

static char *make_config(const struct config *c)
{
	char *text;

	assert_true(asprintf(&text,
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\",\"readonly\":%s},"
		"\"hostname\":\"jar\",\"process\":{\"cwd\":\"%s\",\"args\":%s,\"user\":%s,"
		"\"terminal\":%s,\"env\":[\"PATH=/bin\"],"
		"\"capabilities\":{\"bounding\":%s,\"effective\":%s,\"permitted\":%s%s}%s},"
		"\"mounts\":[{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}%s%s%s],"
		"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"uts\"}%s,"
		"{\"type\":\"ipc\"},{\"type\":\"network\"}]%s}%s}",
		c->readonly ? "true" : "false", c->cwd ? c->cwd : "/", c->args ? c->args : "[\"true\"]",
		c->user ? c->user : "{\"uid\":0,\"gid\":0}", c->terminal ? "true" : "false",
		c->caps ? c->caps : "[]", c->caps ? c->caps : "[]", c->caps ? c->caps : "[]",
		c->ambient ? c->ambient : "", c->process ? c->process : "",
		c->no_proc ? "" : ",{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}",
		c->no_dev ? "" : ",{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
		"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
		"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":"
		"[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]}",
		c->mounts ? c->mounts : "", c->namespaces ? c->namespaces : ",{\"type\":\"pid\"}",
		c->linux_ ? c->linux_ : "", c->top ? c->top : "") > 0);
	return text;
}

struct container {
	struct oci_spec *spec;
	struct setup *setup;
	struct setup_process *init;
	char **warnings;
	int pidfd, out, master;
};

/* Those that a failed test leaves behind are ended after it. */
#define LIVE_MAX 4
static struct container *live[LIVE_MAX];

static void live_set(struct container *from, struct container *to)
{
	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (live[i] == from) {
			live[i] = to;
			return;
		}
	}
}

static int wait_result(struct setup_process *p, enum setup_result *ret, struct err *err)
{
	struct pollfd pfd = { .fd = setup_process_fd(p), .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	return setup_process_result(p, ret, err);
}

static int prepare(struct container *ct, const char *id, const char *rootfs, const struct config *c,
		   struct err *err)
{
	_cleanup_free_ char *text = make_config(c);
	char path[PATH_MAX];
	struct setup_request request = {
		.container_id = id,
		.rootfs = path,
		.sources = c->sources,
		.n_sources = c->n_sources,
		.shared = c->shared,
		.n_shared = c->n_shared,
		.registry = registry,
		.share_path = world.path,
		.cgroup_root = cgroup_root,
	};

	*ct = (struct container){ .pidfd = -EBADF, .out = -EBADF, .master = -EBADF };
	live_set(NULL, ct);
	if (oci_spec_parse(text, strlen(text), &ct->spec, err) < 0)
		fail_msg("%s\n%s", err->text, text);
	request.spec = ct->spec;
	snprintf(path, sizeof(path), "%s/%s", world.path, rootfs);
	return setup_prepare(&request, &ct->setup, &ct->warnings, err);
}

/* Up to "created". Standard output and error go to ct->out. */
static int create(struct container *ct, const char *id, const char *rootfs, const struct config *c,
		  struct err *err)
{
	struct setup_stdio stdio = { .terminal = -1 };
	enum setup_result result = SETUP_PENDING;
	int slave = -EBADF, out[2], r;

	r = prepare(ct, id, rootfs, c, err);
	if (r < 0)
		return r;
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	ct->out = out[0];
	stdio.in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	stdio.out = stdio.err = out[1];
	if (c->terminal) {
		assert_int_equal(setup_open_terminal(ct->setup, &ct->master, &slave, err), 0);
		stdio.terminal = slave;
	}
	r = setup_spawn_init(ct->setup, &stdio, &ct->init, err);
	close(stdio.in);
	close(out[1]);
	if (slave >= 0)
		close(slave);
	if (r < 0)
		return r;
	ct->pidfd = setup_process_take_pidfd(ct->init);
	r = wait_result(ct->init, &result, err);
	if (r == 0)
		assert_int_equal(result, SETUP_CREATED);
	return r;
}

static int start(struct container *ct, struct err *err)
{
	enum setup_result result = SETUP_PENDING;
	int r = setup_process_start(ct->init, err);

	if (r < 0)
		return r;
	r = wait_result(ct->init, &result, err);
	if (r == 0)
		assert_int_equal(result, SETUP_STARTED);
	return r;
}

static int reap(int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static void discard(struct container *ct)
{
	struct err err = ERR_INIT;
	struct pollfd pfd;
	struct cgroup_state state = { .populated = true };

	if (ct->setup && setup_cgroup(ct->setup)) {
		struct cgroup *cg = setup_cgroup(ct->setup);

		pfd = (struct pollfd){ .fd = cgroup_events_fd(cg, &err), .events = POLLIN };
		assert_int_equal(cgroup_kill(cg, &err), 0);
		while (cgroup_state(cg, &state, &err) == 0 && state.populated) {
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
			assert_true(poll(&pfd, 1, WAIT_MS) >= 0);
			cgroup_events_drain(cg);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (cgroup_remove(cg, &err) < 0)
			fail_msg("%s", err.text);
	}
	live_set(ct, NULL);
	setup_process_destroy(ct->init);
	setup_destroy(ct->setup);
	json_free_strv(ct->warnings);
	oci_spec_free(ct->spec);
	cleanup_close_p(&ct->pidfd);
	cleanup_close_p(&ct->out);
	cleanup_close_p(&ct->master);
}

static void read_output(int fd, char output[OUTPUT_MAX])
{
	size_t n = 0;

	while (n < OUTPUT_MAX - 1) {
		ssize_t k = read(fd, output + n, OUTPUT_MAX - 1 - n);

		if (k <= 0)
			break;
		n += (size_t)k;
	}
	output[n] = '\0';
}

/* A whole life. Returns the exit code; a failure of the set-up fails the test. */
static int run_in(const char *rootfs, const struct config *c, char output[OUTPUT_MAX])
{
	struct err err = ERR_INIT;
	static struct container ct;
	int status;

	if (create(&ct, "c1", rootfs, c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	read_output(c->terminal ? ct.master : ct.out, output);
	status = reap(ct.pidfd);
	discard(&ct);
	return status;
}

#define SH(script) "[\"sh\",\"-c\",\"" script "\"]"

static char output[OUTPUT_MAX];

/* The script's output, which has to be exactly @expected; it has to end well. */
static void expect_output(const struct config *c, const char *expected)
{
	int status = run_in("rootfs", c, output);

	assert_string_equal(output, expected);
	assert_int_equal(status, 0);
}

/* Creating has to fail with @code and a text that holds @text. */
static void expect_failure_in(const char *rootfs, const struct config *c, int code, const char *text)
{
	struct err err = ERR_INIT;
	static struct container ct;
	int r = create(&ct, "c1", rootfs, c, &err);

	if (r >= 0)
		fail_msg("creating succeeded, expected: %s", text);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not hold '%s'", err.text, text);
	assert_int_equal(r, code);
	discard(&ct);
}

static void expect_failure(const struct config *c, int code, const char *text)
{
	expect_failure_in("rootfs", c, code, text);
}

#endif
