/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/capability.h"
#include "common/io.h"

/* The kernel takes a mapping by one write of less than a page. */
#define MAP_TEXT_MAX 4096u

struct mapping {
	struct oci_id_mapping *ranges;
	size_t n;
};

struct userns {
	int fd;
	struct mapping uids, gids;
};

void userns_destroy(struct userns *u)
{
	if (!u)
		return;
	cleanup_close_p(&u->fd);
	free(u->uids.ranges);
	free(u->gids.ranges);
	free(u);
}

int userns_fd(const struct userns *u)
{
	return u ? u->fd : -EBADF;
}

/* ---- making one ------------------------------------------------------------------------------ */

static int copy_mapping(struct mapping *ret, const struct oci_id_mapping *ranges, size_t n)
{
	ret->ranges = calloc(n, sizeof(*ranges));
	if (!ret->ranges)
		return -ENOMEM;
	memcpy(ret->ranges, ranges, n * sizeof(*ranges));
	ret->n = n;
	return 0;
}

static int write_mapping(pid_t pid, const char *file, const struct mapping *map, struct err *err)
{
	char path[64], text[MAP_TEXT_MAX];
	size_t len = 0;
	int r;

	for (size_t i = 0; i < map->n; i++) {
		const struct oci_id_mapping *m = &map->ranges[i];
		int n = snprintf(text + len, sizeof(text) - len, "%u %u %u\n", m->container_id, m->host_id,
				 m->size);

		if (n < 0 || (size_t)n >= sizeof(text) - len)
			return err_set(err, -EINVAL, "%s: %zu ranges are more than the kernel takes", file,
				       map->n);
		len += (size_t)n;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	r = io_write_file(AT_FDCWD, path, text, len);
	return r < 0 ? err_set_errno(err, r, "%s: the kernel refuses the mapping", file) : 0;
}

static int fill(struct userns *u, pid_t pid, struct err *err)
{
	char path[64];
	int r;

	r = write_mapping(pid, "uid_map", &u->uids, err);
	if (r < 0)
		return r;
	r = write_mapping(pid, "gid_map", &u->gids, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	u->fd = open(path, O_RDONLY | O_CLOEXEC);
	return u->fd < 0 ? err_set_errno(err, -errno, "open it") : 0;
}

/* A namespace begins with a process: one that waits for its end, and gets it at once. No signal is sent for it. */
static int make(struct userns *u, struct err *err)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	int r;

	if (pid == 0) {
		for (;;)
			pause();
	}
	if (pid < 0)
		return err_set_errno(err, -errno, "make it");
	r = fill(u, (pid_t)pid, err);
	kill((pid_t)pid, SIGKILL);
	while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return r;
}

int userns_create(const struct oci_spec *spec, struct userns **ret, struct err *err)
{
	_cleanup_(userns_destroy_p) struct userns *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->fd = -EBADF;
	if (!spec->n_uid_mappings || !spec->n_gid_mappings)
		return err_set(err, -EINVAL, "linux.uidMappings: required by the user namespace, but missing");
	if (copy_mapping(&u->uids, spec->uid_mappings, spec->n_uid_mappings) < 0 ||
	    copy_mapping(&u->gids, spec->gid_mappings, spec->n_gid_mappings) < 0)
		return -ENOMEM;
	r = make(u, err);
	if (r < 0) {
		err_prefix(err, "user namespace");
		return r;
	}
	*ret = TAKE_PTR(u);
	return 0;
}

/* ---- translating ----------------------------------------------------------------------------- */

static int translate(const struct mapping *map, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct oci_id_mapping *m = &map->ranges[i];

		if (id >= m->container_id && id - m->container_id < m->size) {
			*ret = m->host_id + (id - m->container_id);
			return 0;
		}
	}
	return -EINVAL;
}

int userns_uid(const struct userns *u, uint32_t id, uint32_t *ret)
{
	if (u)
		return translate(&u->uids, id, ret);
	*ret = id;
	return 0;
}

int userns_gid(const struct userns *u, uint32_t id, uint32_t *ret)
{
	if (u)
		return translate(&u->gids, id, ret);
	*ret = id;
	return 0;
}

/* One option, as it is or with another number. */
static int translate_option(const struct userns *u, const char *option, char **ret, struct err *err)
{
	const bool uid = strncmp(option, "uid=", 4) == 0, gid = strncmp(option, "gid=", 4) == 0;
	uint64_t id;
	uint32_t mapped;

	/* What is no number is for the kernel to refuse. */
	if ((!uid && !gid) || io_parse_u64(option + 4, UINT32_MAX, &id) < 0) {
		*ret = strdup(option);
		return *ret ? 0 : -ENOMEM;
	}
	if ((uid ? userns_uid : userns_gid)(u, (uint32_t)id, &mapped) < 0)
		return err_set(err, -EINVAL, "option '%s' is not mapped in the user namespace", option);
	return asprintf(ret, "%.4s%u", option, mapped) < 0 ? (*ret = NULL, -ENOMEM) : 0;
}

static int append(char **list, const char *option)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? "," : "", option) < 0)
		return -ENOMEM;
	free(*list);
	*list = longer;
	return 0;
}

int userns_translate(const struct userns *u, const char *options, char **ret, struct err *err)
{
	_cleanup_free_ char *copy = options ? strdup(options) : NULL, *list = NULL;
	char *rest = copy, *option;

	if (options && !copy)
		return -ENOMEM;
	while (u && rest && (option = strsep(&rest, ","))) {
		_cleanup_free_ char *mapped = NULL;
		int r = translate_option(u, option, &mapped, err);

		if (r >= 0)
			r = append(&list, mapped);
		if (r < 0)
			return r;
	}
	*ret = u ? TAKE_PTR(list) : TAKE_PTR(copy);
	return 0;
}

/* ---- using it -------------------------------------------------------------------------------- */

int userns_make_files_as_root(const struct userns *u, struct err *err)
{
	uint64_t permitted;
	uint32_t uid, gid;
	int r;

	if (!u || userns_uid(u, 0, &uid) < 0 || userns_gid(u, 0, &gid) < 0)
		return 0;
	r = capability_permitted(&permitted);
	if (r < 0)
		return err_set_errno(err, r, "read capabilities");
	/* Both return what it was. With root's id the capabilities over files go from the effective set. */
	setfsgid(gid);
	setfsuid(uid);
	return capability_set_effective(permitted, err);
}

int userns_enter(int fd, bool new_mounts, struct err *err)
{
	if (setns(fd, CLONE_NEWUSER) < 0)
		return err_set_errno(err, -errno, "enter the user namespace");
	if (new_mounts && unshare(CLONE_NEWNS) < 0)
		return err_set_errno(err, -errno, "new mount namespace");
	return 0;
}
