/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The record says first what will be made, then it is made: a folder that two creators find missing counts as made
 * for both, which does no harm, since a cgroup that is in use cannot be removed.
 *
 * Controllers of version 2 are handed down to the parent of the container's cgroup, as far as the
 * kernel lets them: a parent that an engine keeps processes in refuses.
 */
#include "shim/hostcgroup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "common/path.h"
#include "shim/hostcgroup_path.h"
#include "shim/hostcgroup_systemd.h"

/* An other creator may remove an empty parent that it made. */
#define MKDIR_ATTEMPTS 8
#define SMALL_FILE_BYTES_MAX 65536u
#define PROCS_BYTES_MAX (1u << 20)
#define MOVE_ROUNDS_MAX 8
#define FOLDER_MODE 0755

int hostcgroup_open_dir(const struct hostcgroup_dir *d)
{
	_cleanup_close_ int mount = open(d->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (mount < 0)
		return -errno;
	return path_open_beneath(mount, d->path[1] ? d->path + 1 : ".", O_RDONLY | O_DIRECTORY, 0);
}

const struct hostcgroup_dir *hostcgroup_find(const struct hostcgroup *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->unified ? h->dirs[i].controllers[0] == '\0'
			       : hostcgroup_has_controller(h->dirs[i].controllers, name))
			return &h->dirs[i];
	}
	return NULL;
}

static int dir_error(struct err *err, int r, const struct hostcgroup_dir *d, const char *what)
{
	return err_set_errno(err, r, "cgroup '%s%s': %s", d->mount, d->path, what);
}

/* ---- making ---- */

/* A new cpuset of version 1 has no CPUs, and nobody may enter. */
static int inherit_cpuset(int parent, int fd)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *own = NULL, *text = NULL;
		int r;

		r = io_read_file(fd, files[i], SMALL_FILE_BYTES_MAX, &own, NULL);
		if (r >= 0 && own[strspn(own, " \n")] != '\0')
			continue;
		if (r >= 0)
			r = io_read_file(parent, files[i], SMALL_FILE_BYTES_MAX, &text, NULL);
		if (r >= 0)
			r = io_write_file(fd, files[i], text, strlen(text));
		if (r < 0)
			return r;
	}
	return 0;
}

/* Each by itself: what cannot be had must not hinder the rest. */
static void hand_down_controllers(int fd)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *name, line[64];

	if (io_read_file(fd, "cgroup.controllers", SMALL_FILE_BYTES_MAX, &text, NULL) < 0)
		return;
	rest = text;
	while ((name = strsep(&rest, " \n"))) {
		int n = snprintf(line, sizeof(line), "+%s", name);

		if (name[0] && n > 0 && (size_t)n < sizeof(line))
			io_write_file(fd, "cgroup.subtree_control", line, (size_t)n);
	}
}

struct walk {
	const struct hostcgroup *h;
	const struct hostcgroup_dir *d;
	bool make;
	uint64_t missing; /* components that were not there */
};

/* One component further, which is made if wanted. */
static int step(struct walk *w, int parent, const char *name, int *ret_fd)
{
	bool cpuset = hostcgroup_has_controller(w->d->controllers, "cpuset");
	int fd, r = 0;

	if (w->make) {
		if (w->h->unified)
			hand_down_controllers(parent);
		if (mkdirat(parent, name, FOLDER_MODE) < 0 && errno != EEXIST)
			return -errno;
	}
	fd = path_open_beneath(parent, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	if (w->make && cpuset)
		r = inherit_cpuset(parent, fd);
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* From the mount point down. Without making, the walk ends at what is missing. */
static int walk_dir(struct walk *w)
{
	_cleanup_close_ int fd = open(w->d->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *copy = strdup(w->d->path);
	char *rest = copy, *name;
	int r = 0;

	if (fd < 0)
		return -errno;
	if (!copy)
		return -ENOMEM;
	while ((name = strsep(&rest, "/"))) {
		int next = -EBADF;

		if (!name[0])
			continue;
		r = w->missing > 0 ? -ENOENT : step(w, fd, name, &next);
		if (r == -ENOENT && !w->make) {
			w->missing++;
			continue;
		}
		if (r < 0)
			return r;
		close(fd);
		fd = next;
	}
	return 0;
}

/* "PID PID …" of a folder as text; at most PROCS_BYTES_MAX. */
static int read_procs(const struct hostcgroup_dir *d, char **ret)
{
	_cleanup_close_ int fd = hostcgroup_open_dir(d);

	return fd < 0 ? fd : io_read_file(fd, "cgroup.procs", PROCS_BYTES_MAX, ret, NULL);
}

/* What is there already: it may be the engine's, but then nobody lives in it. */
static int look(struct hostcgroup *h, struct err *err)
{
	for (size_t i = 0; i < h->n; i++) {
		struct hostcgroup_dir *d = &h->dirs[i];
		struct walk w = { .h = h, .d = d };
		_cleanup_free_ char *procs = NULL;
		int r = walk_dir(&w);

		if (r < 0)
			return dir_error(err, r, d, "look for it");
		/* Slices are systemd's own. */
		d->made = h->unit && w.missing > 1 ? 1 : w.missing;
		if (w.missing > 0)
			continue;
		r = read_procs(d, &procs);
		if (r < 0)
			return dir_error(err, r, d, "cgroup.procs");
		if (procs[0])
			return err_set(err, -EBUSY,
				       "container's cgroup '%s%s' is not empty: process %.*s is in it",
				       d->mount, d->path, (int)strcspn(procs, "\n"), procs);
	}
	return 0;
}

static int make(const struct hostcgroup *h, struct err *err)
{
	for (size_t i = 0; i < h->n; i++) {
		struct walk w = { .h = h, .d = &h->dirs[i], .make = true };
		int r = -ENOENT;

		for (int n = 0; n < MKDIR_ATTEMPTS && r == -ENOENT; n++)
			r = walk_dir(&w);
		if (r < 0)
			return dir_error(err, r, w.d, "make it");
	}
	return 0;
}

/* ---- entering, leaving, moving ---- */

static int move_to_fd(int fd, const char *pid)
{
	return io_write_file(fd, "cgroup.procs", pid, strlen(pid));
}

int hostcgroup_enter(const struct hostcgroup *h, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < h->n; i++) {
		_cleanup_close_ int fd = hostcgroup_open_dir(&h->dirs[i]);
		int r = fd < 0 ? fd : move_to_fd(fd, "0");

		if (r < 0 && result == 0)
			result = dir_error(err, r, &h->dirs[i], "enter it");
	}
	return result;
}

void hostcgroup_enter_top(void)
{
	struct hostcgroup_mounts mounts = { 0 };

	if (hostcgroup_mounts_read(&mounts, NULL) < 0)
		return;
	for (size_t i = 0; i < mounts.n; i++) {
		_cleanup_close_ int fd =
			open(mounts.list[i].mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0)
			move_to_fd(fd, "0");
	}
	hostcgroup_mounts_finish(&mounts);
}

void hostcgroup_leave(struct hostcgroup_origin *origin)
{
	for (size_t i = 0; i < origin->n; i++) {
		if (origin->fds[i] < 0)
			continue;
		move_to_fd(origin->fds[i], "0");
		cleanup_close_p(&origin->fds[i]);
	}
	origin->n = 0;
}

static void remember_origin(const struct hostcgroup_mounts *mounts, struct hostcgroup_origin *origin)
{
	for (size_t i = 0; i < mounts->n; i++) {
		struct hostcgroup_dir d = { .mount = mounts->list[i].mount,
					    .path = mounts->list[i].own };
		int fd = hostcgroup_open_dir(&d);

		/* Removed meanwhile, or outside of what is mounted: then the top. */
		if (fd < 0)
			fd = open(d.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		origin->fds[origin->n++] = fd < 0 ? -EBADF : fd;
	}
}

bool hostcgroup_holds(const struct hostcgroup *h, pid_t pid)
{
	_cleanup_free_ char *procs = NULL;
	char *rest, *line;

	if (h->n == 0 || read_procs(&h->dirs[0], &procs) < 0)
		return false;
	rest = procs;
	while ((line = strsep(&rest, "\n"))) {
		uint64_t n = 0;

		if (io_parse_u64(line, INT32_MAX, &n) == 0 && n == (uint64_t)pid)
			return true;
	}
	return false;
}

static int move_dir(const struct hostcgroup_dir *from, int to)
{
	int result = 0;

	/* A process may fork while it is moved. */
	for (int round = 0; round < MOVE_ROUNDS_MAX; round++) {
		_cleanup_free_ char *procs = NULL;
		char *rest, *pid;
		int r = read_procs(from, &procs);

		if (r < 0 || !procs[0])
			return r;
		result = 0;
		rest = procs;
		while ((pid = strsep(&rest, "\n"))) {
			r = pid[0] ? move_to_fd(to, pid) : 0;
			if (r < 0 && r != -ESRCH)
				result = r;
		}
	}
	return result;
}

int hostcgroup_move_all(const struct hostcgroup *from, const struct hostcgroup *to, struct err *err)
{
	int result = 0;

	for (size_t i = 0; i < from->n; i++) {
		for (size_t j = 0; j < to->n; j++) {
			_cleanup_close_ int fd = -EBADF;
			int r;

			if (strcmp(from->dirs[i].mount, to->dirs[j].mount) != 0)
				continue;
			fd = hostcgroup_open_dir(&to->dirs[j]);
			r = fd < 0 ? fd : move_dir(&from->dirs[i], fd);
			if (r < 0 && result == 0)
				result = dir_error(err, r, &to->dirs[j], "move processes there");
		}
	}
	return result;
}

/* ---- all of it ---- */

static int add_dir(struct hostcgroup *h, const struct hostcgroup_mount *m,
		   const struct hostcgroup_path *path)
{
	struct hostcgroup_dir *d = &h->dirs[h->n++];
	const char *own = path->relative && strcmp(m->own, "/") != 0 ? m->own : "";

	d->controllers = strdup(m->controllers);
	d->mount = strdup(m->mount);
	if (asprintf(&d->path, "%s%s", own, path->path) < 0)
		d->path = NULL;
	return d->controllers && d->mount && d->path ? 0 : -ENOMEM;
}

static int plan(const struct hostcgroup_mounts *mounts, struct hostcgroup_path *path,
		struct hostcgroup **ret)
{
	_cleanup_(hostcgroup_free_p) struct hostcgroup *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->unified = mounts->unified;
	h->unit = TAKE_PTR(path->unit);
	for (size_t i = 0; i < mounts->n; i++) {
		if (add_dir(h, &mounts->list[i], path) < 0)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(h);
	return 0;
}

/*
 * Before there is a record: a scope of that name that is not ours must not be stopped, and ours goes by itself if we
 * are killed now, as nobody else is in it.
 */
static int start_scope(const struct hostcgroup_options *options, const struct hostcgroup *h,
		       const char *slice, struct err *err)
{
	int r;

	if (!h->unit)
		return 0;
	r = hostcgroup_systemd_start(h->unit, slice, options->id, options->limits, h->unified, err);
	if (r == -ETIMEDOUT)
		hostcgroup_systemd_stop(h->unit, NULL);
	return r;
}

static int build(int rootfd, const struct hostcgroup_options *options, const struct hostcgroup *h,
		 struct err *err)
{
	int r;

	r = hostcgroup_record_save(rootfd, options->id, h, err);
	if (r == 0)
		r = make(h, err);
	return r == 0 ? hostcgroup_enter(h, err) : r;
}

static int create(int rootfd, const struct hostcgroup_options *options,
		  const struct hostcgroup_mounts *mounts, struct hostcgroup_path *path,
		  struct hostcgroup **ret, struct hostcgroup_origin *origin, struct err *err)
{
	_cleanup_(hostcgroup_free_p) struct hostcgroup *h = NULL;
	struct hostcgroup_origin before = HOSTCGROUP_ORIGIN_INIT;
	int r;

	r = plan(mounts, path, &h);
	if (r < 0)
		return err_set_errno(err, r, "cgroups");
	r = look(h, err);
	if (r < 0)
		return r;
	remember_origin(mounts, &before);
	r = start_scope(options, h, path->slice, err);
	if (r == 0) {
		r = build(rootfd, options, h, err);
		if (r < 0) {
			hostcgroup_leave(&before);
			hostcgroup_remove(rootfd, options->id, NULL);
		}
	}
	if (r < 0) {
		hostcgroup_leave(&before);
		return r;
	}
	*origin = before;
	*ret = TAKE_PTR(h);
	return 0;
}

int hostcgroup_create(int rootfd, const struct hostcgroup_options *options, struct hostcgroup **ret,
		      struct hostcgroup_origin *origin, struct err *err)
{
	struct hostcgroup_mounts mounts = { 0 };
	struct hostcgroup_path path = { 0 };
	int r;

	r = hostcgroup_path_parse(options->cgroups_path, options->systemd, options->id,
				  options->state_root, &path, err);
	if (r == 0)
		r = hostcgroup_mounts_read(&mounts, err);
	if (r == 0)
		r = create(rootfd, options, &mounts, &path, ret, origin, err);
	hostcgroup_mounts_finish(&mounts);
	hostcgroup_path_finish(&path);
	return r;
}
