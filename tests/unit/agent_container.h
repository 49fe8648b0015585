/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_container.h - a container's life by the functions of agent/setup.h, for test_agent_setup*.c
 *
 * Shape:    config.json is put together from the parts that a test varies; create, start, reap and discard walk
 *           a container through its life with poll(2) in place of the agent's loop.
 * Order:    enter and leave around a program's tests, claim() for each of them.
 */
#ifndef ONGGI_TESTS_AGENT_CONTAINER_H
#define ONGGI_TESTS_AGENT_CONTAINER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "agent/setup.h"
#include "common/json.h"
#include "tests/unit/agent_world.h"

#define WAIT_MS 200000
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

#define SECCOMP                                                                                      \
	",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\","  \
	"\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\","       \
	"\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95},{\"names\":[\"sync\"],"      \
	"\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}"

static inline char *make_config(const struct config *c)
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

static inline void live_set(struct container *from, struct container *to)
{
	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (live[i] == from) {
			live[i] = to;
			return;
		}
	}
}

static inline int wait_result(struct setup_process *p, enum setup_result *ret, struct err *err)
{
	struct pollfd pfd = { .fd = setup_process_fd(p), .events = POLLIN };

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	return setup_process_result(p, ret, err);
}

static inline int prepare(struct container *ct, const char *id, const char *rootfs, const struct config *c,
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
static inline int create(struct container *ct, const char *id, const char *rootfs, const struct config *c,
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

static inline int start(struct container *ct, struct err *err)
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

static inline int reap(int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { 0 };

	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
	return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

static inline void discard(struct container *ct)
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

static inline void read_output(int fd, char output[OUTPUT_MAX])
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
static inline int run_in(const char *rootfs, const struct config *c, char output[OUTPUT_MAX])
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
static inline void expect_output(const struct config *c, const char *expected)
{
	int status = run_in("rootfs", c, output);

	assert_string_equal(output, expected);
	assert_int_equal(status, 0);
}

/* Creating has to fail with @code and a text that holds @text. */
static inline void expect_failure_in(const char *rootfs, const struct config *c, int code, const char *text)
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

static inline void expect_failure(const struct config *c, int code, const char *text)
{
	expect_failure_in("rootfs", c, code, text);
}

/* ---- the world ------------------------------------------------------------------------------- */

static inline void find_cgroup2(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
			snprintf(cgroup_root, sizeof(cgroup_root), "%s/onggi-test-%d", places[i],
				 (int)getpid());
			assert_int_equal(mkdir(cgroup_root, 0755), 0);
			return;
		}
	}
	fail_msg("no cgroup2 mount");
}

/* The program of the standard device rules stays loaded: before descriptors are counted. */
static inline void load_standard_rules(void)
{
	static const struct oci_resources none;
	struct cgroup *cg = NULL;

	assert_int_equal(cgroup_create(cgroup_root, "first", &cg, NULL), 0);
	assert_int_equal(cgroup_apply(cg, &none, NULL), 0);
	assert_int_equal(cgroup_remove(cg, NULL), 0);
	cgroup_destroy(cg);
}

static inline int enter(void **state)
{
	static const char *const applets[] = {
		"sh",   "cat",  "ls",   "id",    "grep",     "stat", "sleep", "true", "readlink", "hostname",
		"pwd",  "wc",   "head", "touch", "mknod",    "mkdir", "sync", "cut",  "tty",      "tr", "chmod",
		"sort", "test", "ionice", "uname",
	};
	char path[PATH_MAX], command[PATH_MAX];

	world_enter(&world);
	find_cgroup2();
	load_standard_rules();
	assert_int_equal(namespace_registry_create(&registry), 0);
	world_mkdir(&world, "rootfs/bin");
	world_mkdir(&world, "rootfs/etc");
	world_mkdir(&world, "rootfs/dev");
	snprintf(command, sizeof(command), "cp /bin/busybox %s/rootfs/bin/busybox", world.path);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		snprintf(path, sizeof(path), "rootfs/bin/%s", applets[i]);
		world_link(&world, "busybox", path);
	}
	return 0;
}

static inline int leave(void **state)
{
	char path[PATH_MAX];

	namespace_registry_destroy(registry);
	snprintf(path, sizeof(path), "%s/onggi", cgroup_root);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(cgroup_root), 0);
	world_leave(&world);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

static int fds_before;

static inline int count_before(void **state)
{
	fds_before = world_count_fds();
	return 0;
}

static inline int count_after(void **state)
{
	bool failed = false;

	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (live[i]) {
			discard(live[i]);
			failed = true;
		}
	}
	if (failed)
		return 0;
	assert_int_equal(world_count_fds(), fds_before);
	return 0;
}

#define claim(f) cmocka_unit_test_setup_teardown(f, count_before, count_after)

#endif
