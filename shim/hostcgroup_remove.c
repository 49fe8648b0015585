/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing cgroups. A process that is ending keeps its cgroup busy: it is waited for by pidfd, and in
 * version 2 by the event of the cgroup itself.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>

#include "common/io.h"
#include "common/path.h"
#include "shim/hostcgroup.h"
#include "shim/hostcgroup_path.h"
#include "shim/hostcgroup_systemd.h"

#define PROCS_BYTES_MAX (1u << 20)
#define EVENTS_BYTES_MAX 4096u
/* Cgroups below a container's: only what somebody else made. */
#define CHILDREN_DEPTH_MAX 16

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static int left_ms(int64_t deadline)
{
	int64_t left = deadline - now_ms();

	return left > 0 ? (int)left : 0;
}

static void wait_pid(pid_t pid, int64_t deadline)
{
	_cleanup_close_ int fd = pid > 0 ? pidfd_open(pid, 0) : -EBADF;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 || pid == getpid())
		return;
	while (poll(&p, 1, left_ms(deadline)) < 0 && errno == EINTR)
		;
}

static void wait_procs(int fd, int64_t deadline)
{
	_cleanup_free_ char *procs = NULL;
	char *rest, *line;

	if (io_read_file(fd, "cgroup.procs", PROCS_BYTES_MAX, &procs, NULL) < 0)
		return;
	rest = procs;
	while ((line = strsep(&rest, "\n"))) {
		uint64_t pid = 0;

		if (io_parse_u64(line, INT32_MAX, &pid) == 0)
			wait_pid((pid_t)pid, deadline);
	}
}

/* Version 2 tells, even of processes that cannot be seen from here. */
static void wait_events(int fd, int64_t deadline)
{
	_cleanup_close_ int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd p = { .fd = events, .events = POLLPRI };

	while (events >= 0 && left_ms(deadline) > 0) {
		_cleanup_free_ char *text = NULL;

		if (lseek(events, 0, SEEK_SET) < 0 ||
		    io_read_fd(events, EVENTS_BYTES_MAX, &text, NULL) < 0 ||
		    strstr(text, "populated 0"))
			return;
		if (poll(&p, 1, left_ms(deadline)) < 0 && errno != EINTR)
			return;
	}
}

static int remove_children(int fd, int depth, int64_t deadline);

/* @name below @parent, and what is below that. -ENOENT counts as done. */
static int remove_one(int parent, const char *name, int depth, int64_t deadline)
{
	int r = 0;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	for (int attempt = 0; attempt < 2; attempt++) {
		_cleanup_close_ int fd =
			path_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);

		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		r = remove_children(fd, depth + 1, deadline);
		wait_procs(fd, deadline);
		wait_events(fd, deadline);
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		r = -errno;
	}
	return r;
}

static int remove_children(int fd, int depth, int64_t deadline)
{
	_cleanup_closedir_ DIR *dir = NULL;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
	struct dirent *entry;

	dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir) {
		cleanup_close_p(&copy);
		return -errno;
	}
	while (depth <= CHILDREN_DEPTH_MAX && (entry = readdir(dir))) {
		int r;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		r = remove_one(fd, entry->d_name, depth, deadline);
		if (r < 0)
			result = r;
	}
	return result;
}

/* The folder itself with what is below, then those parents that were made for it and are empty. */
static int remove_dir(const struct hostcgroup_dir *d, int64_t deadline)
{
	_cleanup_close_ int mount = open(d->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *path = strdup(d->path);
	uint64_t made = d->made;
	int result = 0;

	if (mount < 0 || !path)
		return mount < 0 ? 0 : -ENOMEM;
	/* Others put theirs beside ours in our own parent: the last one takes it away. */
	if (made == 1 && !strncmp(path, HOSTCGROUP_DEFAULT_PARENT "/",
				  strlen(HOSTCGROUP_DEFAULT_PARENT "/")) &&
	    !strchr(path + strlen(HOSTCGROUP_DEFAULT_PARENT "/"), '/'))
		made = 2;
	for (uint64_t i = 0; i < made; i++) {
		char *slash = strrchr(path, '/');
		_cleanup_close_ int parent = -EBADF;
		char *name = slash + 1;

		*slash = '\0';
		parent = path_open_beneath(mount, path[0] ? path + 1 : ".", O_RDONLY | O_DIRECTORY,
					   0);
		if (parent >= 0 && i == 0)
			result = remove_one(parent, name, 0, deadline);
		else if (parent >= 0)
			unlinkat(parent, name, AT_REMOVEDIR);
		if (slash == path)
			break;
	}
	return result;
}

int hostcgroup_remove(int rootfd, const char *id, struct err *err)
{
	_cleanup_(hostcgroup_free_p) struct hostcgroup *h = NULL;
	int64_t deadline = now_ms() + HOSTCGROUP_REMOVE_TIMEOUT_MS;
	_cleanup_free_ char *record = NULL;
	int r, result = 0;

	r = hostcgroup_load(rootfd, id, &h, NULL);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_set_errno(err, r, "cgroup record of container '%s'", id);
	if (h->unit)
		hostcgroup_systemd_stop(h->unit, NULL);
	for (size_t i = 0; i < h->n; i++) {
		const struct hostcgroup_dir *d = &h->dirs[i];

		r = remove_dir(d, deadline);
		if (r < 0 && result == 0)
			result = err_set_errno(err, r, "remove cgroup '%s%s'", d->mount, d->path);
	}
	if (asprintf(&record, "containers/%s/cgroup.json", id) < 0)
		record = NULL;
	else
		unlinkat(rootfd, record, 0);
	return result;
}
