/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/namespace.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"

struct namespace_shared {
	struct namespace_registry *registry; /* NULL: slot is free */
	enum oci_namespace type;
	char key[NAMESPACE_KEY_MAX + 1];
	unsigned int refs;
	int fd; /* -1: no container has started with it yet */
	struct userns *user; /* in place of fd, for that type; made by the first who needs it */
};

struct namespace_registry {
	struct namespace_shared entries[NAMESPACE_SHARED_MAX];
};

/* Names below /proc/<pid>/ns of the types that can be shared; they exist as soon as clone3 has returned. */
static const char *const shared_file[OCI_NS_COUNT] = {
	[OCI_NS_PID] = "pid",
	[OCI_NS_IPC] = "ipc",
	[OCI_NS_UTS] = "uts",
	[OCI_NS_USER] = "user",
};

int namespace_registry_create(struct namespace_registry **ret)
{
	struct namespace_registry *registry = calloc(1, sizeof(*registry));

	if (!registry)
		return -ENOMEM;
	for (size_t i = 0; i < NAMESPACE_SHARED_MAX; i++)
		registry->entries[i].fd = -EBADF;
	*ret = registry;
	return 0;
}

void namespace_registry_destroy(struct namespace_registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < NAMESPACE_SHARED_MAX; i++)
		assert(!registry->entries[i].registry);
	free(registry);
}

static bool key_valid(const char *key)
{
	size_t len = strlen(key);

	if (len < 1 || len > NAMESPACE_KEY_MAX)
		return false;
	for (; *key; key++) {
		if (!islower((unsigned char)*key) && !isdigit((unsigned char)*key) && *key != ':')
			return false;
	}
	return true;
}

static int open_own(enum oci_namespace type, int *ret, struct err *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", shared_file[type]);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_set_errno(err, -errno, "open '%s'", path) : 0;
}

int namespace_shared_ref(struct namespace_registry *registry, enum oci_namespace type, const char *key,
			 struct namespace_shared **ret, struct err *err)
{
	struct namespace_shared *unused = NULL;
	int r;

	if ((unsigned int)type >= OCI_NS_COUNT || !shared_file[type])
		return err_set(err, -EOPNOTSUPP, "a shared %s namespace is not supported in the guest",
			       (unsigned int)type < OCI_NS_COUNT ? oci_namespace_name(type) : "unknown");
	if (!key_valid(key))
		return err_set(err, -EINVAL, "'%s' is no key of a shared namespace", key);
	for (size_t i = 0; i < NAMESPACE_SHARED_MAX; i++) {
		struct namespace_shared *s = &registry->entries[i];

		if (!s->registry) {
			unused = unused ? unused : s;
		} else if (s->type == type && strcmp(s->key, key) == 0) {
			s->refs++;
			*ret = s;
			return 0;
		}
	}
	if (!unused)
		return err_set(err, -ENOSPC, "more than %u shared namespaces", NAMESPACE_SHARED_MAX);
	if (!strcmp(key, NAMESPACE_KEY_OWN) && (r = open_own(type, &unused->fd, err)) < 0)
		return r;
	unused->registry = registry;
	unused->type = type;
	memcpy(unused->key, key, strlen(key) + 1);
	unused->refs = 1;
	*ret = unused;
	return 0;
}

void namespace_shared_unref(struct namespace_shared *shared)
{
	if (!shared)
		return;
	assert(shared->refs > 0);
	if (--shared->refs > 0)
		return;
	cleanup_close_p(&shared->fd);
	userns_destroy(TAKE_PTR(shared->user));
	shared->registry = NULL;
}

int namespace_plan_user(struct namespace_plan *plan, const struct oci_spec *spec, struct err *err)
{
	struct namespace_shared *shared = plan->shared[OCI_NS_USER];
	int r;

	if (!spec->namespaces[OCI_NS_USER].present)
		return 0;
	if (!shared)
		return err_set(err, -EINVAL, "linux.namespaces: the user namespace comes without a key");
	/* Who joins one may have any mappings in his specification: those of the first count. */
	if (!shared->user) {
		r = userns_create(spec, &shared->user, err);
		if (r < 0)
			return r;
	}
	plan->user = shared->user;
	return 0;
}

void namespace_plan_fill(struct namespace_plan *plan, const struct oci_spec *spec)
{
	static const enum oci_namespace fresh[] = { OCI_NS_PID, OCI_NS_IPC, OCI_NS_UTS };

	plan->clone_flags = CLONE_NEWNS;
	for (size_t i = 0; i < ARRAY_SIZE(fresh); i++) {
		const struct namespace_shared *shared = plan->shared[fresh[i]];

		if (shared ? shared->fd < 0 : spec->namespaces[fresh[i]].present)
			plan->clone_flags |= (uint64_t)oci_namespace_flag(fresh[i]);
	}
}

void namespace_plan_finish(struct namespace_plan *plan)
{
	for (size_t i = 0; i < OCI_NS_COUNT; i++) {
		namespace_shared_unref(plan->shared[i]);
		plan->shared[i] = NULL;
	}
}

int namespace_plan_adopt(struct namespace_plan *plan, pid_t pid, struct err *err)
{
	for (size_t i = 0; i < OCI_NS_COUNT; i++) {
		struct namespace_shared *shared = plan->shared[i];
		char path[64];

		if (!shared || shared->fd >= 0 || i == OCI_NS_USER)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, shared_file[i]);
		shared->fd = open(path, O_RDONLY | O_CLOEXEC);
		if (shared->fd < 0)
			return err_set_errno(err, -errno, "open the new %s namespace",
					     oci_namespace_name((enum oci_namespace)i));
	}
	return 0;
}

int namespace_plan_pid_fd(const struct namespace_plan *plan)
{
	const struct namespace_shared *shared = plan->shared[OCI_NS_PID];

	return shared ? shared->fd : -EBADF;
}

int namespace_enter_pid(int fd, struct err *err)
{
	if (setns(fd, CLONE_NEWPID) < 0)
		return err_set_errno(err, -errno, "join the container's pid namespace");
	return 0;
}

int namespace_leave_pid(struct err *err)
{
	_cleanup_close_ int fd = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWPID) < 0)
		return err_set_errno(err, -errno, "return to the agent's pid namespace");
	return 0;
}

static int write_offset(const char *clock, const struct oci_time_offset *offset, struct err *err)
{
	char text[96];
	int n, r;

	if (!offset->present)
		return 0;
	n = snprintf(text, sizeof(text), "%s %lld %u\n", clock, (long long)offset->secs, offset->nanosecs);
	r = io_write_file(AT_FDCWD, "/proc/self/timens_offsets", text, (size_t)n);
	return r < 0 ? err_set_errno(err, r, "linux.timeOffsets: %s", clock) : 0;
}

int namespace_enter_time(const struct oci_spec *spec, struct err *err)
{
	int r;

	/* It is that of children alone, and takes its offsets until the first of them is born. */
	if (unshare(oci_namespace_flag(OCI_NS_TIME)) < 0)
		return err_set_errno(err, -errno, "new time namespace");
	r = write_offset("monotonic", &spec->monotonic_offset, err);
	if (r >= 0)
		r = write_offset("boottime", &spec->boottime_offset, err);
	/* With further children at the wrong time there is nothing to go on with. */
	if (r < 0 && namespace_leave_time(NULL) < 0)
		abort();
	return r;
}

int namespace_leave_time(struct err *err)
{
	_cleanup_close_ int fd = open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, oci_namespace_flag(OCI_NS_TIME)) < 0)
		return err_set_errno(err, -errno, "return to the agent's time namespace");
	return 0;
}

int namespace_plan_join(const struct namespace_plan *plan, struct err *err)
{
	for (size_t i = 0; i < OCI_NS_COUNT; i++) {
		const struct namespace_shared *shared = plan->shared[i];

		/* The pid namespace was entered before the fork. */
		if (!shared || shared->fd < 0 || i == OCI_NS_PID)
			continue;
		if (setns(shared->fd, oci_namespace_flag((enum oci_namespace)i)) < 0)
			return err_set_errno(err, -errno, "join the shared %s namespace '%s'",
					     oci_namespace_name((enum oci_namespace)i), shared->key);
	}
	return 0;
}

size_t namespace_plan_fds(const struct namespace_plan *plan, int fds[OCI_NS_COUNT])
{
	size_t n = 0;

	for (size_t i = 0; i < OCI_NS_COUNT; i++) {
		if (plan->shared[i] && plan->shared[i]->fd >= 0)
			fds[n++] = plan->shared[i]->fd;
	}
	return n;
}

int namespace_exec_flags(const struct oci_spec *spec)
{
	int time = spec->namespaces[OCI_NS_TIME].present ? oci_namespace_flag(OCI_NS_TIME) : 0;

	return CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | time;
}
