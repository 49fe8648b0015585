/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The child is a copy of the agent that works through the steps of a table, up to execve. Until it
 * gives its capabilities up it is stronger than the container it enters, so:
 *   Should:  hold no descriptor but those it needs; touch the container's files by descriptor only;
 *            say which step failed and why.
 *   Mustn't: be dumpable (/proc/<pid>/exe, /root and memory would be open to the container's root);
 *            read names in the container's /proc or /dev; return.
 * The filter of system calls comes last. Without no_new_privs it takes CAP_SYS_ADMIN to load one,
 * which is kept in the permitted set alone till then; after it only capset and execve are called.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/capability.h"
#include "agent/device.h"
#include "agent/disk.h"
#include "agent/mask.h"
#include "agent/mount.h"
#include "agent/procfs.h"
#include "agent/program.h"
#include "agent/rlimit.h"
#include "agent/rootfs.h"
#include "agent/scheduling.h"
#include "agent/setup_internal.h"
#include "agent/sysctl.h"
#include "agent/user.h"
#include "common/fd.h"
#include "common/hook.h"
#include "common/io.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/path.h"

#define EXIT_SETUP_FAILED 1
#define STDIO_COUNT 3

struct state {
	const struct setup_child *child;
	const struct setup *setup;
	const struct oci_spec *spec;
	const struct oci_process *process;
	struct mount_tree tree;
	int proc_fd; /* the guest's own procfs */
	int root_fd; /* the container's root, once entered */
	int userns_fd; /* borrowed; -1: the guest's */
	struct capability_sets caps;
	uint64_t extra_caps; /* kept until the filter is loaded */
	char **env;
	char program[PATH_MAX];
	bool program_failed;
};

/* ---- both kinds ------------------------------------------------------------------------------ */

static int step_descriptors(struct state *s, struct err *err)
{
	const struct setup_stdio *io = s->child->stdio;
	const int wanted[STDIO_COUNT] = {
		io->terminal >= 0 ? io->terminal : io->in,
		io->terminal >= 0 ? io->terminal : io->out,
		io->terminal >= 0 ? io->terminal : io->err,
	};
	int keep[OCI_NS_COUNT + 6], r;
	size_t n;

	/* They may lie where they are to go: first copies out of the way, then into place. */
	int copies[STDIO_COUNT];

	for (int i = 0; i < STDIO_COUNT; i++) {
		copies[i] = fcntl(wanted[i], F_DUPFD_CLOEXEC, STDIO_COUNT);
		if (copies[i] < 0)
			return err_set_errno(err, -errno, "standard descriptor %d", i);
	}
	for (int i = 0; i < STDIO_COUNT; i++) {
		if (dup2(copies[i], i) < 0)
			return err_set_errno(err, -errno, "standard descriptor %d", i);
	}
	n = namespace_plan_fds(&s->setup->plan, keep);
	keep[n++] = s->child->sock;
	if (s->setup->devpts_fd >= 0)
		keep[n++] = s->setup->devpts_fd;
	if (s->child->init_pidfd >= 0)
		keep[n++] = s->child->init_pidfd;
	if (s->userns_fd >= 0)
		keep[n++] = s->userns_fd;
	if (s->setup->disks.n)
		keep[n++] = cgroup_fd(s->setup->cgroup);
	r = fd_close_from(STDIO_COUNT, keep, n);
	return r < 0 ? err_set_errno(err, r, "close descriptors") : 0;
}

static int step_session(struct state *s, struct err *err)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "become undumpable");
	umask(0);
	if (setsid() < 0)
		return err_set_errno(err, -errno, "start a session");
	if (s->child->stdio->terminal >= 0 && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		return err_set_errno(err, -errno, "take the terminal");
	/* The agent's keys are not the container's. A kernel without keys has none to hide. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
		return err_set_errno(err, -errno, "start a session keyring");
	return 0;
}

static int step_procfs(struct state *s, struct err *err)
{
	s->proc_fd = procfs_open(err);
	if (s->proc_fd < 0)
		return s->proc_fd;
	return rlimit_apply_oom_score(s->proc_fd, s->process, err);
}

/* ---- a container's init ---------------------------------------------------------------------- */

static int step_namespaces(struct state *s, struct err *err)
{
	int r = namespace_plan_join(&s->setup->plan, err);

	if (r < 0)
		return r;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_set_errno(err, -errno, "new cgroup namespace");
	return 0;
}

static int step_names(struct state *s, struct err *err)
{
	const char *host = s->spec->hostname, *domain = s->spec->domainname;

	if (host && *host && sethostname(host, strlen(host)) < 0)
		return err_set_errno(err, -errno, "hostname '%s'", host);
	if (domain && *domain && setdomainname(domain, strlen(domain)) < 0)
		return err_set_errno(err, -errno, "domainname '%s'", domain);
	return 0;
}

static int step_sysctl(struct state *s, struct err *err)
{
	int r = sysctl_open_low_ports(s->proc_fd, s->spec, err);

	return r < 0 ? r : sysctl_apply(s->proc_fd, s->spec, err);
}

static int open_share(struct state *s, struct err *err)
{
	int r = rootfs_isolate(err);

	if (r < 0)
		return r;
	s->tree.share_fd = open(s->setup->share_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->tree.share_fd < 0)
		return err_set_errno(err, -errno, "open '%s'", s->setup->share_path);
	/* Where there is none nobody will ask for it. */
	s->tree.shm_fd = open(SETUP_SHM_PATH, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

/* The rules for devices of the container's cgroup are for the container: it is joined after this. */
static int step_disks(struct state *s, struct err *err)
{
	int r;

	if (!s->setup->disks.n)
		return 0;
	r = open_share(s, err);
	if (r < 0)
		return r;
	s->tree.root_fd = disk_root(&s->setup->disks, s->tree.share_fd, err);
	if (s->tree.root_fd < 0)
		return s->tree.root_fd;
	r = io_write_file(cgroup_fd(s->setup->cgroup), "cgroup.procs", "0", 1);
	return r < 0 ? err_set_errno(err, r, "join the container's cgroup") : 0;
}

static int step_rootfs(struct state *s, struct err *err)
{
	/* Disks have been mounted over it since. */
	int r = s->setup->disks.n ? 0 : open_share(s, err);

	if (r < 0)
		return r;
	s->tree.devpts_fd = s->setup->devpts_fd;
	s->tree.userns = s->setup->plan.user;
	r = userns_make_files_as_root(s->tree.userns, err);
	if (r < 0 || s->setup->disks.n)
		return r;
	return rootfs_attach(&s->tree, s->setup->rootfs, err);
}

static int step_mounts(struct state *s, struct err *err)
{
	for (size_t i = 0; i < s->spec->n_mounts; i++) {
		int r = mount_apply(&s->tree, &s->spec->mounts[i], s->setup->sources[i],
				    s->setup->open_below[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether the container's own devpts is mounted in it: the first devpts entry takes it. */
static bool has_devpts(const struct state *s)
{
	return s->tree.devpts_fd < 0;
}

static int step_devices(struct state *s, struct err *err)
{
	int r;

	if (!device_setup_wanted(s->spec))
		return 0;
	r = device_setup(&s->tree, s->spec, err);
	if (r < 0 || s->child->stdio->terminal < 0 || !has_devpts(s))
		return r;
	r = device_bind_console(&s->tree, STDIN_FILENO, err);
	if (r < 0)
		err_prefix(err, "/dev/console");
	return r;
}

static int step_paths(struct state *s, struct err *err)
{
	int r = mask_make_readonly(&s->tree, s->spec->readonly_paths, err);

	return r < 0 ? r : mask_paths(&s->tree, s->spec->masked_paths, err);
}

static int step_pivot(struct state *s, struct err *err)
{
	int r = rootfs_pivot(&s->tree, err);

	if (r < 0)
		return r;
	s->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return err_set_errno(err, -errno, "open the container's root");
	return 0;
}

/* A working folder that the image lacks is made, as runc does it. */
static int step_make_cwd(struct state *s, struct err *err)
{
	_cleanup_close_ int fd = path_mkdir_in_root(s->root_fd, s->process->cwd, 0755);

	if (fd < 0 && fd != -EROFS && fd != -EEXIST)
		return err_set_errno(err, fd, "mkdir cwd '%s'", s->process->cwd);
	return 0;
}

static int step_finish_rootfs(struct state *s, struct err *err)
{
	int r = rootfs_finish(&s->tree, s->spec, err);

	mount_tree_finish(&s->tree);
	return r;
}

/* ---- an exec --------------------------------------------------------------------------------- */

static int step_join(struct state *s, struct err *err)
{
	if (setns(s->child->init_pidfd, namespace_exec_flags(s->spec)) < 0)
		return err_set_errno(err, -errno, "join the container's namespaces");
	s->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return err_set_errno(err, -errno, "open the container's root");
	return 0;
}

/* ---- privileges ------------------------------------------------------------------------------ */

static int step_environment(struct state *s, struct err *err)
{
	const char *given = program_env(s->process->env, "HOME");
	char home[USER_HOME_MAX], *entry;
	size_t n = 0;

	while (s->process->env && s->process->env[n])
		n++;
	s->env = calloc(n + 2, sizeof(*s->env));
	if (!s->env)
		return err_set(err, -ENOMEM, "out of memory");
	if (n)
		memcpy(s->env, s->process->env, n * sizeof(*s->env));
	if (given && *given)
		return 0;
	user_home(s->root_fd, s->process->user.uid, home);
	if (asprintf(&entry, "HOME=%s", home) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	/* An empty one is replaced where it stands: the first of two would win in most programs. */
	for (size_t i = 0; i < n; i++) {
		if (strcmp(s->env[i], "HOME=") == 0)
			s->env[i] = entry;
	}
	if (!given)
		s->env[n] = entry;
	return 0;
}

/* So that the user can open /dev/stdout and the like. What cannot change hands stays as it is. */
static int step_stdio_owner(struct state *s, struct err *err)
{
	uint32_t uid;

	if (userns_uid(s->setup->plan.user, s->process->user.uid, &uid) < 0)
		return err_set(err, -EINVAL, "process.user.uid %u is not mapped in the user namespace",
			       s->process->user.uid);
	for (int fd = 0; fd < STDIO_COUNT; fd++) {
		struct stat st;

		if (fstat(fd, &st) < 0)
			return err_set_errno(err, -errno, "look at descriptor %d", fd);
		if (st.st_uid == uid ||
		    (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
			continue;
		if (fchown(fd, uid, st.st_gid) < 0 && errno != EINVAL && errno != EPERM &&
		    errno != EROFS)
			return err_set_errno(err, -errno, "give descriptor %d to user %u", fd,
					     s->process->user.uid);
	}
	return 0;
}

static int step_cwd(struct state *s, struct err *err)
{
	return program_enter_cwd(s->root_fd, s->process->cwd, err);
}

/* Nothing of the guest's or of the agent's is held while the container's other processes look on. */
static int step_close(struct state *s, struct err *err)
{
	const int keep[] = { s->child->sock, s->userns_fd };
	int r = fd_close_from(STDIO_COUNT, keep, s->userns_fd >= 0 ? 2 : 1);

	s->proc_fd = s->root_fd = -EBADF;
	return r < 0 ? err_set_errno(err, r, "close descriptors") : 0;
}

static int step_rlimits(struct state *s, struct err *err)
{
	return rlimit_apply(s->process, err);
}

static int step_scheduling(struct state *s, struct err *err)
{
	return scheduling_apply(s->process, err);
}

static int step_personality(struct state *s, struct err *err)
{
	if (s->spec->has_personality && personality(s->spec->personality) < 0)
		return err_set_errno(err, -errno, "linux.personality");
	return 0;
}

/*
 * Here, because before it the limits of the guest apply to what is set, and after it the container's
 * users are known by its own numbers.
 */
static int step_user_namespace(struct state *s, struct err *err)
{
	int r;

	if (s->userns_fd < 0)
		return 0;
	r = userns_enter(s->userns_fd, s->child->init_pidfd < 0, err);
	close(s->userns_fd);
	s->userns_fd = -EBADF;
	return r;
}

static int step_user(struct state *s, struct err *err)
{
	uint64_t permitted;
	int r;

	r = capability_permitted(&permitted);
	if (r < 0)
		return err_set_errno(err, r, "read capabilities");
	s->caps = capability_plan(&s->process->capabilities, permitted);
	if (s->setup->seccomp && !s->process->no_new_privileges)
		s->extra_caps = UINT64_C(1) << CAP_SYS_ADMIN;
	r = capability_drop_bounding(s->caps.bounding, err);
	if (r < 0)
		return r;
	r = capability_keep(true, err);
	if (r < 0)
		return r;
	r = user_apply(&s->process->user, err);
	return r < 0 ? r : capability_keep(false, err);
}

static int step_capabilities(struct state *s, struct err *err)
{
	int r = capability_apply(&s->caps, s->extra_caps, err);

	if (r < 0)
		return r;
	/* A change of user makes a process dumpable or not as the system's setting has it. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "stay undumpable");
	if (s->process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set_errno(err, -errno, "no_new_privs");
	return 0;
}

static int step_program(struct state *s, struct err *err)
{
	int r = program_find(s->process->args[0], s->env, s->program, err);

	s->program_failed = r < 0;
	return r;
}

/* ---- reports --------------------------------------------------------------------------------- */

/* write(2), because a filter of system calls that is loaded by then lets it pass more surely than send(2). */
static void report(struct state *s, enum setup_message_kind kind, const struct err *err)
{
	struct setup_message m = { .kind = kind, .program = s->program_failed };

	if (err) {
		m.code = err->code < 0 ? err->code : -EIO;
		m.text_len = (uint32_t)strnlen(err->text, sizeof(m.text) - 1);
		memcpy(m.text, err->text, m.text_len);
	}
	while (write(s->child->sock, &m, sizeof(m)) < 0 && errno == EINTR)
		;
}

static int step_wait(struct state *s, struct err *err)
{
	char go;
	ssize_t n;

	report(s, SETUP_MESSAGE_CREATED, NULL);
	do
		n = read(s->child->sock, &go, 1);
	while (n < 0 && errno == EINTR);
	/* The agent has given this container up: there is nobody to tell. */
	if (n != 1)
		_exit(EXIT_SETUP_FAILED);
	return 0;
}

/* The state as the container sees itself: with the pid of this process in its namespace. */
static int state_for_hooks(const char *text, char **ret)
{
	_cleanup_json_ struct json *state = NULL;
	int r = json_parse(text, strlen(text), &state, NULL);

	if (r < 0)
		return r;
	if (!json_is_object(state))
		return -EINVAL;
	r = json_set(state, "pid", json_new_int(getpid()));
	if (r < 0)
		return r;
	*ret = json_text(state, false);
	return *ret ? 0 : -ENOMEM;
}

/* With the user and the capabilities of the container, as runc does it, and not yet with its filter. */
static int step_hooks(struct state *s, struct err *err)
{
	const enum oci_hook_kind kind = OCI_HOOK_START_CONTAINER;
	struct hook_context context = { 0 };
	_cleanup_free_ char *state = NULL;
	int r;

	if (!s->setup->hook_state)
		return 0;
	r = state_for_hooks(s->setup->hook_state, &state);
	if (r < 0)
		return err_set_errno(err, r, "state for startContainer hooks");
	context.state = state;
	return hook_run_all(s->spec->hooks[kind], s->spec->n_hooks[kind], oci_hook_name(kind),
			    &context, err);
}

static int step_exec(struct state *s, struct err *err)
{
	int r;

	if (close_range(STDIO_COUNT, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "mark descriptors");
	if (s->setup->seccomp) {
		if (s->extra_caps) {
			r = capability_set_effective(s->extra_caps | s->caps.effective, err);
			if (r < 0)
				return r;
		}
		r = seccomp_program_load(s->setup->seccomp, err);
		if (r < 0)
			return r;
		if (s->extra_caps) {
			r = capability_finish(&s->caps, err);
			if (r < 0)
				return r;
		}
	}
	execve(s->program, s->process->args, s->env);
	s->program_failed = true;
	return program_exec_error(s->program, -errno, err);
}

/* ---- the table ------------------------------------------------------------------------------- */

enum who { INIT = 1, EXEC = 2, BOTH = INIT | EXEC };

static const struct step {
	const char *name;
	int (*run)(struct state *s, struct err *err);
	enum who who;
} steps[] = {
	{ "descriptors", step_descriptors, BOTH },
	{ "session", step_session, BOTH },
	{ "procfs", step_procfs, BOTH },
	{ "root", step_disks, INIT },
	{ "namespaces", step_namespaces, INIT },
	{ "names", step_names, INIT },
	{ "sysctl", step_sysctl, INIT },
	{ "root", step_rootfs, INIT },
	{ "mounts", step_mounts, INIT },
	{ "devices", step_devices, INIT },
	{ "paths", step_paths, INIT },
	{ "pivot", step_pivot, INIT },
	{ "working folder", step_make_cwd, INIT },
	{ "root flags", step_finish_rootfs, INIT },
	{ "join", step_join, EXEC },
	{ "environment", step_environment, BOTH },
	{ "stdio", step_stdio_owner, BOTH },
	{ "working folder", step_cwd, BOTH },
	{ "descriptors", step_close, BOTH },
	{ "limits", step_rlimits, BOTH },
	{ "scheduling", step_scheduling, BOTH },
	{ "personality", step_personality, BOTH },
	{ "user namespace", step_user_namespace, BOTH },
	{ "user", step_user, BOTH },
	{ "capabilities", step_capabilities, BOTH },
	{ "program", step_program, BOTH },
	{ "wait", step_wait, INIT },
	{ "hooks", step_hooks, INIT },
	{ "exec", step_exec, BOTH },
};

_Noreturn void setup_child_main(const struct setup_child *child)
{
	struct err err = ERR_INIT;
	struct state s = {
		.child = child,
		.setup = child->setup,
		.spec = child->setup->spec,
		.process = child->process,
		.tree = MOUNT_TREE_INIT,
		.proc_fd = -EBADF,
		.root_fd = -EBADF,
		.userns_fd = userns_fd(child->setup->plan.user),
	};
	enum who me = child->init_pidfd < 0 ? INIT : EXEC;

	loop_child_reset();
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		int r;

		if (!(steps[i].who & me))
			continue;
		r = steps[i].run(&s, &err);
		if (r >= 0)
			continue;
		if (!err.code)
			err_set_errno(&err, r, "failed");
		/* Engines know runc's words for a program by their beginning. */
		if (!s.program_failed)
			err_prefix(&err, "%s", steps[i].name);
		report(&s, SETUP_MESSAGE_FAILED, &err);
		_exit(EXIT_SETUP_FAILED);
	}
	_exit(EXIT_SETUP_FAILED);
}
