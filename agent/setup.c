/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * clone3 makes the child in its cgroup and its new namespaces at once; a pid namespace that exists
 * already is entered by the agent for the length of that call. The child (setup_child.c) then works
 * through its steps and reports over a socket pair; closing of the socket by execve is the report
 * of success.
 */
#include "agent/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/mount.h"
#include "agent/mount_fs.h"
#include "agent/setup_internal.h"
#include "agent/support.h"
#include "common/json.h"
#include "common/path.h"

#define DEVPTS_OPTIONS "newinstance,ptmxmode=0666,mode=0620,gid=5"

enum process_state {
	PROCESS_CREATING, /* init, before "created" */
	PROCESS_CREATED,
	PROCESS_STARTING, /* on its way to execve */
	PROCESS_DONE,
};

struct setup_process {
	enum process_state state;
	pid_t pid;
	int pidfd, sock;
	bool program_failed;
};

/* ---- prepare --------------------------------------------------------------------------------- */

/* The part of @path below @share, or NULL. */
static const char *below_share(const char *share, const char *path)
{
	size_t len = strlen(share);

	if (strncmp(path, share, len) != 0 || path[len] != '/')
		return NULL;
	path += len + strspn(path + len, "/");
	return *path ? path : NULL;
}

static int copy_paths(struct setup *s, const struct setup_request *q, struct err *err)
{
	const char *share = q->share_path ? q->share_path : SETUP_SHARE_PATH;
	const char *rootfs = q->disks ? NULL : below_share(share, q->rootfs);

	if (!rootfs && !q->disks)
		return err_set(err, -EINVAL, "root folder '%s' is not below '%s'", q->rootfs, share);
	s->share_path = strdup(share);
	s->rootfs = rootfs ? strdup(rootfs) : NULL;
	s->sources = calloc(q->spec->n_mounts + 1, sizeof(*s->sources));
	s->open_below = calloc(q->spec->n_mounts + 1, sizeof(*s->open_below));
	if (!s->share_path || (rootfs && !s->rootfs) || !s->sources || !s->open_below)
		return -ENOMEM;
	for (size_t i = 0; q->disks && i < q->disks->n; i++) {
		const struct disk *d = &q->disks->list[i];
		int r = disk_list_add(&s->disks, d->serial, d->type, d->options, d->flags, err);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < q->n_sources; i++) {
		const struct setup_mount_source *source = &q->sources[i];
		bool shm = !strcmp(source->path, SETUP_SHM_PATH);
		const char *path = shm ? source->path : below_share(share, source->path);

		if (source->index >= q->spec->n_mounts || s->sources[source->index])
			return err_set(err, -EINVAL, "source for mounts[%u]: no such mount, or given twice",
				       source->index);
		if (!path)
			return err_set(err, -EINVAL, "source '%s' of mounts[%u] is not below '%s'",
				       source->path, source->index, share);
		s->open_below[source->index] = source->has_mounts_below;
		s->sources[source->index] = strdup(path);
		if (!s->sources[source->index])
			return -ENOMEM;
	}
	for (size_t i = 0; i < q->spec->n_mounts; i++) {
		const struct oci_mount *m = &q->spec->mounts[i];

		if (m->is_bind && !s->sources[i])
			return err_set(err, -EINVAL, "mounts[%zu]: the host shares no folder for '%s', the "
				       "source of '%s'", i, m->source ? m->source : "", m->destination);
	}
	return 0;
}

static int ref_namespaces(struct setup *s, const struct setup_request *q, struct err *err)
{
	for (size_t i = 0; i < q->n_shared; i++) {
		const struct setup_shared_namespace *shared = &q->shared[i];
		int r;

		/* These are the virtual machine's and each container's own, respectively. */
		if (shared->type == OCI_NS_NETWORK || shared->type == OCI_NS_CGROUP)
			continue;
		if ((unsigned int)shared->type >= OCI_NS_COUNT || s->plan.shared[shared->type])
			return err_set(err, -EINVAL, "shared namespace '%s': its type is unknown or given twice",
				       shared->key);
		r = namespace_shared_ref(q->registry, shared->type, shared->key,
					 &s->plan.shared[shared->type], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Made here and not in the child, so that terminals can be had from it without looking into the container. */
static int make_devpts(struct setup *s, struct err *err)
{
	const char *options = DEVPTS_OPTIONS;
	_cleanup_free_ char *translated = NULL;
	int r;

	for (size_t i = 0; i < s->spec->n_mounts; i++) {
		if (mount_kind_of(&s->spec->mounts[i], NULL) == MOUNT_KIND_DEVPTS) {
			options = s->spec->mounts[i].data;
			break;
		}
	}
	r = userns_translate(s->plan.user, options, &translated, err);
	if (r >= 0)
		r = s->devpts_fd = mount_new("devpts", NULL, translated, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
					     err);
	if (r < 0) {
		err_prefix(err, "terminals of the container");
		return r;
	}
	return 0;
}

static int make_cgroup(struct setup *s, const struct setup_request *q, struct err *err)
{
	int r;

	r = cgroup_create(q->cgroup_root ? q->cgroup_root : CGROUP_ROOT, q->container_id, &s->cgroup, err);
	if (r < 0)
		return r;
	r = cgroup_apply(s->cgroup, &s->spec->resources, err);
	if (r < 0)
		(void)cgroup_remove(s->cgroup, NULL);
	return r;
}

static int copy_hook_state(struct setup *s, const struct setup_request *q, struct err *err)
{
	if (!q->spec->n_hooks[OCI_HOOK_START_CONTAINER])
		return 0;
	if (!q->hook_state || !q->hook_state[0])
		return err_set(err, -EINVAL, "no state for startContainer hooks");
	s->hook_state = strdup(q->hook_state);
	return s->hook_state ? 0 : -ENOMEM;
}

static int prepare(struct setup *s, const struct setup_request *q, struct support_warnings *warnings,
		   struct err *err)
{
	int r;

	r = support_check(q->spec, warnings, err);
	if (r < 0)
		return r;
	r = copy_hook_state(s, q, err);
	if (r < 0)
		return r;
	r = copy_paths(s, q, err);
	if (r < 0)
		return r;
	r = ref_namespaces(s, q, err);
	if (r >= 0)
		r = namespace_plan_user(&s->plan, s->spec, err);
	if (r < 0)
		return r;
	if (q->spec->has_seccomp) {
		r = seccomp_program_build_apart(&q->spec->seccomp, &s->seccomp, err);
		if (r < 0)
			return r;
	}
	r = make_devpts(s, err);
	if (r < 0)
		return r;
	/* Last, because it is the one thing that outlives setup_destroy. */
	return make_cgroup(s, q, err);
}

int setup_prepare(const struct setup_request *request, struct setup **ret, char ***ret_warnings,
		  struct err *err)
{
	_cleanup_(setup_destroy_p) struct setup *s = calloc(1, sizeof(*s));
	struct support_warnings warnings = { 0 };
	int r;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->spec = request->spec;
	s->devpts_fd = -EBADF;
	r = prepare(s, request, &warnings, err);
	if (r < 0) {
		json_free_strv(warnings.texts);
		return r == -ENOMEM ? err_set(err, r, "out of memory") : r;
	}
	*ret = TAKE_PTR(s);
	*ret_warnings = warnings.texts;
	return 0;
}

void setup_destroy(struct setup *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->sources && i < s->spec->n_mounts; i++)
		free(s->sources[i]);
	free(s->sources);
	free(s->open_below);
	free(s->share_path);
	free(s->rootfs);
	disk_list_finish(&s->disks);
	cgroup_destroy(s->cgroup);
	namespace_plan_finish(&s->plan);
	seccomp_program_free(s->seccomp);
	free(s->hook_state);
	cleanup_close_p(&s->devpts_fd);
	free(s);
}

const struct disk_list *setup_disks(const struct setup *s)
{
	return &s->disks;
}

struct cgroup *setup_cgroup(struct setup *s)
{
	return s->cgroup;
}

int setup_open_terminal(struct setup *s, int *ret_master, int *ret_slave, struct err *err)
{
	_cleanup_close_ int master = openat(s->devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_close_ int slave = -EBADF;
	int unlock = 0;

	if (master < 0)
		return err_set_errno(err, -errno, "open a terminal");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set_errno(err, -errno, "unlock a terminal");
	/* By the master, not by a name. */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set_errno(err, -errno, "open the other end of a terminal");
	*ret_master = TAKE_FD(master);
	*ret_slave = TAKE_FD(slave);
	return 0;
}

/* ---- spawn ----------------------------------------------------------------------------------- */

void setup_process_destroy(struct setup_process *p)
{
	if (!p)
		return;
	cleanup_close_p(&p->pidfd);
	cleanup_close_p(&p->sock);
	free(p);
}

static int process_new(enum process_state state, struct setup_process **ret, int *ret_child_sock,
		       struct err *err)
{
	struct setup_process *p = calloc(1, sizeof(*p));
	int pair[2];

	if (!p)
		return err_set(err, -ENOMEM, "out of memory");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		int code = -errno;

		free(p);
		return err_set_errno(err, code, "socket pair");
	}
	p->state = state;
	p->pidfd = -EBADF;
	p->sock = pair[0];
	*ret_child_sock = pair[1];
	*ret = p;
	return 0;
}

static int clone_child(struct setup_process *p, uint64_t flags, int cgroup_fd,
		       const struct setup_child *child, struct err *err)
{
	int pidfd = -EBADF;
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid;

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)(unsigned int)cgroup_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		setup_child_main(child);
	if (pid < 0)
		return err_set_errno(err, -errno, "make a process");
	p->pid = (pid_t)pid;
	p->pidfd = pidfd;
	return 0;
}

/*
 * @cgroup_fd  where the new process is born; negative: in the agent's
 *
 * As clone_child, the new process being born in the pid namespace that @where (a namespace, or the
 * pidfd of a process in it) stands for; -1: in the agent's or in a new one.
 */
static int clone_in_pid_namespace(struct setup_process *p, uint64_t flags, int cgroup_fd, int where,
				  const struct setup_child *child, struct err *err)
{
	int r;

	if (where < 0)
		return clone_child(p, flags, cgroup_fd, child, err);
	r = namespace_enter_pid(where, err);
	if (r < 0)
		return r;
	r = clone_child(p, flags, cgroup_fd, child, err);
	/* With further children in the wrong namespace there is nothing to go on with. */
	if (namespace_leave_pid(NULL) < 0)
		abort();
	return r;
}

/* A child that has ended already has no namespaces to be found, but it has said why. */
static int last_words(struct setup_process *p, int code, struct err *err)
{
	struct err said = ERR_INIT;
	enum setup_result result;
	int r = setup_process_result(p, &result, &said);

	if (r >= 0 || r == -EPIPE || !err)
		return code;
	*err = said;
	return r;
}

int setup_spawn_init(struct setup *s, const struct setup_stdio *stdio, struct setup_process **ret,
		     struct err *err)
{
	_cleanup_(setup_process_destroy_p) struct setup_process *p = NULL;
	_cleanup_close_ int sock = -EBADF;
	struct setup_child child = { .setup = s, .process = &s->spec->process, .stdio = stdio,
				     .init_pidfd = -EBADF };
	int r;

	if (s->init_pid)
		return err_set(err, -EBUSY, "the container has its first process already");
	r = process_new(PROCESS_CREATING, &p, &sock, err);
	if (r < 0)
		return r;
	child.sock = sock;
	namespace_plan_fill(&s->plan, s->spec);
	if (s->spec->namespaces[OCI_NS_TIME].present) {
		r = namespace_enter_time(s->spec, err);
		if (r < 0)
			return r;
	}
	/* The container may not open its root's disks, so that who does joins it afterwards. */
	r = clone_in_pid_namespace(p, s->plan.clone_flags, s->disks.n ? -EBADF : cgroup_fd(s->cgroup),
				   namespace_plan_pid_fd(&s->plan), &child, err);
	if (s->spec->namespaces[OCI_NS_TIME].present && namespace_leave_time(NULL) < 0)
		abort();
	if (r < 0)
		return r;
	s->init_pid = p->pid;
	r = namespace_plan_adopt(&s->plan, p->pid, err);
	if (r < 0) {
		/* Nobody will hear of it: it must not stay behind as a child that waits. */
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
		return last_words(p, r, err);
	}
	*ret = TAKE_PTR(p);
	return 0;
}

int setup_spawn_exec(struct setup *s, const struct oci_process *process, int init_pidfd,
		     const struct setup_stdio *stdio, struct setup_process **ret, struct err *err)
{
	_cleanup_(setup_process_destroy_p) struct setup_process *p = NULL;
	_cleanup_close_ int sock = -EBADF, cgroup = -EBADF;
	struct setup_child child = { .setup = s, .process = process, .stdio = stdio,
				     .init_pidfd = init_pidfd };
	struct support_warnings warnings = { 0 };
	int r;

	r = support_check_process(process, &warnings, err);
	json_free_strv(warnings.texts);
	if (r < 0)
		return r;
	cgroup = cgroup_open_for_exec(s->cgroup, s->init_pid, err);
	if (cgroup < 0)
		return cgroup;
	r = process_new(PROCESS_STARTING, &p, &sock, err);
	if (r < 0)
		return r;
	child.sock = sock;
	r = clone_in_pid_namespace(p, 0, cgroup, init_pidfd, &child, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

/* ---- what the child says --------------------------------------------------------------------- */

pid_t setup_process_pid(const struct setup_process *p)
{
	return p->pid;
}

int setup_process_take_pidfd(struct setup_process *p)
{
	return TAKE_FD(p->pidfd);
}

int setup_process_fd(const struct setup_process *p)
{
	return p->sock;
}

bool setup_process_program_failed(const struct setup_process *p)
{
	return p->program_failed;
}

static int take_end(struct setup_process *p, enum setup_result *ret, struct err *err)
{
	if (p->state != PROCESS_STARTING)
		return err_set(err, -EPIPE, "the container's first process ended while it was set up");
	p->state = PROCESS_DONE;
	*ret = SETUP_STARTED;
	return 0;
}

static int take_message(struct setup_process *p, struct setup_message *m, size_t len,
			enum setup_result *ret, struct err *err)
{
	if (len != sizeof(*m))
		return err_set(err, -EPROTO, "message of %zu bytes during the set-up", len);
	if (m->kind == SETUP_MESSAGE_CREATED && p->state == PROCESS_CREATING) {
		p->state = PROCESS_CREATED;
		*ret = SETUP_CREATED;
		return 0;
	}
	if (m->kind != SETUP_MESSAGE_FAILED || m->code >= 0 || m->text_len >= sizeof(m->text))
		return err_set(err, -EPROTO, "message %u during the set-up", m->kind);
	p->state = PROCESS_DONE;
	p->program_failed = m->program;
	m->text[m->text_len] = '\0';
	return err_set(err, m->code, "%s", m->text);
}

int setup_process_result(struct setup_process *p, enum setup_result *ret, struct err *err)
{
	struct setup_message m;
	ssize_t n;

	do
		n = recv(p->sock, &m, sizeof(m), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		*ret = SETUP_PENDING;
		return 0;
	}
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return take_end(p, ret, err);
	if (n < 0)
		return err_set_errno(err, -errno, "read the report of the set-up");
	return take_message(p, &m, (size_t)n, ret, err);
}

int setup_process_start(struct setup_process *p, struct err *err)
{
	if (p->state != PROCESS_CREATED)
		return err_set(err, -EINVAL, "the process does not wait to be started");
	if (send(p->sock, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
		return err_set(err, -EPIPE, "the container's first process has ended");
	p->state = PROCESS_STARTING;
	return 0;
}
