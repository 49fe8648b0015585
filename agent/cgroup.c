/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Everything is done below one directory descriptor. The container may make folders of its own in
 * there (with a writable mount of its cgroup), so walks below are bounded in depth and number; the
 * kernel is told the same bounds when the cgroup is made.
 */
#include "agent/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "agent/cgroup_device.h"
#include "agent/cgroup_limits.h"
#include "common/io.h"
#include "common/path.h"

#define PARENT "onggi"
#define CONTROLLERS_MAX 1024u
/* What the container may make below; the walks here go a little further. */
#define DEPTH_MAX 64u
#define DESCENDANTS_MAX 4096u
#define PROCS_BYTES_MAX (16u * CGROUP_PIDS_MAX)
#define EVENTS_BYTES_MAX 4096u

struct cgroup {
	int root_fd;   /* the cgroup2 mount */
	int parent_fd; /* …/onggi */
	int fd;
	int events_fd; /* inotify, -1 until asked for */
	int device_fd; /* the device program that is attached, -1 */
	bool standard_devices; /* it is the standard one */
	char id[NAME_MAX + 1];
};

/* Made before any container needs it, for the first one; no container is called so. */
#define SPARE_ID "~spare"
static struct cgroup *spare;
static const char *spare_root;

static int open_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int write_text(int dirfd, const char *file, const char *text)
{
	return io_write_file(dirfd, file, text, strlen(text));
}

/* Hand every controller there is to the children of @dirfd. One that is busy elsewhere is left out. */
static int enable_controllers(int dirfd)
{
	_cleanup_free_ char *list = NULL;
	char *rest, *name;
	int r;

	r = io_read_file(dirfd, "cgroup.controllers", CONTROLLERS_MAX, &list, NULL);
	if (r < 0)
		return r;
	rest = list;
	while ((name = strsep(&rest, " \n"))) {
		char word[64];

		if (*name && snprintf(word, sizeof(word), "+%s", name) < (int)sizeof(word))
			(void)write_text(dirfd, "cgroup.subtree_control", word);
	}
	return 0;
}

static int open_parent(struct cgroup *cg, const char *root, struct err *err)
{
	struct statfs fs;
	int r;

	cg->root_fd = open_dir(AT_FDCWD, root);
	if (cg->root_fd < 0)
		return err_set_errno(err, cg->root_fd, "cgroup: open '%s'", root);
	if (fstatfs(cg->root_fd, &fs) < 0)
		return err_set_errno(err, -errno, "cgroup: look at '%s'", root);
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return err_set(err, -ENOTSUP, "cgroup: '%s' is not of version 2", root);
	if (mkdirat(cg->root_fd, PARENT, 0755) < 0 && errno != EEXIST)
		return err_set_errno(err, -errno, "cgroup: make '%s/%s'", root, PARENT);
	cg->parent_fd = open_dir(cg->root_fd, PARENT);
	if (cg->parent_fd < 0)
		return err_set_errno(err, cg->parent_fd, "cgroup: open '%s/%s'", root, PARENT);
	r = enable_controllers(cg->root_fd);
	if (r >= 0)
		r = enable_controllers(cg->parent_fd);
	if (r < 0)
		return err_set_errno(err, r, "cgroup: controllers of '%s'", root);
	return 0;
}

static int open_own(struct cgroup *cg, struct err *err)
{
	char number[16];
	int r;

	if (mkdirat(cg->parent_fd, cg->id, 0755) < 0)
		return err_set_errno(err, -errno, "cgroup: make '%s/%s'", PARENT, cg->id);
	cg->fd = open_dir(cg->parent_fd, cg->id);
	if (cg->fd < 0)
		return err_set_errno(err, cg->fd, "cgroup: open '%s/%s'", PARENT, cg->id);
	snprintf(number, sizeof(number), "%u", DEPTH_MAX);
	r = write_text(cg->fd, "cgroup.max.depth", number);
	snprintf(number, sizeof(number), "%u", DESCENDANTS_MAX);
	if (r >= 0)
		r = write_text(cg->fd, "cgroup.max.descendants", number);
	if (r < 0)
		return err_set_errno(err, r, "cgroup: bounds of '%s/%s'", PARENT, cg->id);
	return 0;
}

static int create(const char *root, const char *id, struct cgroup **ret, struct err *err)
{
	_cleanup_(cgroup_destroy_p) struct cgroup *cg = calloc(1, sizeof(*cg));
	int r;

	if (!cg)
		return -ENOMEM;
	cg->root_fd = cg->parent_fd = cg->fd = cg->events_fd = cg->device_fd = -EBADF;
	memcpy(cg->id, id, strlen(id) + 1);
	r = open_parent(cg, root, err);
	if (r < 0)
		return r;
	r = open_own(cg, err);
	if (r < 0) {
		/* -EEXIST: it is another's. */
		if (cg->fd >= 0)
			(void)unlinkat(cg->parent_fd, cg->id, AT_REMOVEDIR);
		return r;
	}
	*ret = TAKE_PTR(cg);
	return 0;
}

void cgroup_destroy(struct cgroup *cg)
{
	if (!cg)
		return;
	cleanup_close_p(&cg->root_fd);
	cleanup_close_p(&cg->parent_fd);
	cleanup_close_p(&cg->fd);
	cleanup_close_p(&cg->events_fd);
	cleanup_close_p(&cg->device_fd);
	free(cg);
}

/* ---- the container's own folders ------------------------------------------------------------- */

/* Called for every cgroup below, deepest first, with its parent. */
typedef int (*visit_fn)(int parent_fd, const char *name, int fd, void *userdata);

static int walk(int fd, unsigned int depth, unsigned int *budget, visit_fn visit, void *userdata)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int copy, r;

	if (depth > DEPTH_MAX + 1)
		return -ELOOP;
	copy = open_dir(fd, ".");
	if (copy < 0)
		return copy;
	dir = fdopendir(copy);
	if (!dir) {
		close(copy);
		return -ENOMEM;
	}
	while ((errno = 0, entry = readdir(dir))) {
		_cleanup_close_ int child = -EBADF;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (!(*budget)--)
			return -E2BIG;
		child = open_dir(fd, entry->d_name);
		if (child == -ENOENT)
			continue;
		if (child < 0)
			return child;
		r = walk(child, depth + 1, budget, visit, userdata);
		if (r < 0)
			return r;
		r = visit(fd, entry->d_name, child, userdata);
		if (r < 0)
			return r;
	}
	/* A folder that went away while it was read has nothing left in it. */
	return errno == ENOENT || errno == ENODEV ? 0 : -errno;
}

static int walk_below(const struct cgroup *cg, visit_fn visit, void *userdata)
{
	unsigned int budget = DESCENDANTS_MAX + 1;

	return walk(cg->fd, 0, &budget, visit, userdata);
}

static int remove_visit(int parent_fd, const char *name, int fd, void *userdata)
{
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int cgroup_remove(struct cgroup *cg, struct err *err)
{
	int r = walk_below(cg, remove_visit, NULL);

	if (r >= 0 && unlinkat(cg->parent_fd, cg->id, AT_REMOVEDIR) < 0)
		r = errno == ENOENT ? 0 : -errno;
	if (r == -ENOENT || r == -ENODEV)
		r = 0;
	if (r < 0)
		return err_set_errno(err, r, "cgroup: remove '%s/%s'", PARENT, cg->id);
	return 0;
}

int cgroup_fd(const struct cgroup *cg)
{
	return cg->fd;
}

/* The cgroup that @pid is in, as long as it is ours or below. */
static int open_of_pid(const struct cgroup *cg, pid_t pid, struct err *err)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_free_ char *text = NULL;
	char file[32], prefix[NAME_MAX + 32], *line, *end;
	int fd, r;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", (int)pid);
	r = io_read_file(AT_FDCWD, file, 16 * PATH_MAX, &text, NULL);
	if (r < 0)
		return err_set_errno(err, r, "cgroup: read '%s'", file);
	snprintf(prefix, sizeof(prefix), "0::/%s/%s/", PARENT, cg->id);
	line = strstr(text, prefix);
	if (!line || (line != text && line[-1] != '\n'))
		return err_set(err, -ESRCH, "cgroup: process %d has left '%s/%s'", (int)pid, PARENT, cg->id);
	line += strlen(prefix);
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	fd = (int)syscall(SYS_openat2, cg->fd, line, &how, sizeof(how));
	if (fd < 0)
		return err_set_errno(err, -errno, "cgroup: open '%s' of the container", line);
	return fd;
}

int cgroup_open_for_exec(const struct cgroup *cg, pid_t pid, struct err *err)
{
	_cleanup_free_ char *controllers = NULL;
	size_t len = 0;
	int r;

	r = io_read_file(cg->fd, "cgroup.subtree_control", CONTROLLERS_MAX, &controllers, &len);
	if (r < 0)
		return err_set_errno(err, r, "cgroup: read the controllers of '%s/%s'", PARENT, cg->id);
	if (strspn(controllers, " \n") != len)
		return open_of_pid(cg, pid, err);
	r = fcntl(cg->fd, F_DUPFD_CLOEXEC, 3);
	return r < 0 ? err_set_errno(err, -errno, "cgroup: duplicate") : r;
}

/* ---- limits ---------------------------------------------------------------------------------- */

static int apply_devices(struct cgroup *cg, const struct oci_resources *resources, struct err *err)
{
	_cleanup_free_ struct cgroup_device_program *program = NULL;
	int r;

	r = cgroup_device_generate(resources->devices, resources->n_devices, &program, err);
	if (r < 0 || (cg->standard_devices && program->is_standard))
		return r;
	r = cgroup_device_attach(cg->fd, program, &cg->device_fd, err);
	if (r >= 0)
		cg->standard_devices = program->is_standard;
	return r;
}

static int write_setting(struct cgroup *cg, const struct cgroup_setting *s, struct err *err)
{
	int r = write_text(cg->fd, s->file, s->value);

	if (s->optional && (r == -ENOENT || r == -EINVAL || r == -ERANGE))
		return 0;
	if (r == -ENOENT)
		return err_set(err, -EOPNOTSUPP, "cgroup: the guest has no '%s' (to be set to '%s')", s->file,
			       s->value);
	return r < 0 ? err_set_errno(err, r, "cgroup: set '%s' to '%s'", s->file, s->value) : 0;
}

/*
 * What is refused at first is tried again after the rest: some values are bounded by others (a burst
 * by the quota, the weight by idle), and whether they grow or shrink decides who has to go first.
 */
static int write_settings(struct cgroup *cg, const struct cgroup_settings *settings, struct err *err)
{
	bool again[CGROUP_SETTINGS_MAX] = { false };
	int r;

	for (size_t i = 0; i < settings->n; i++) {
		r = write_setting(cg, &settings->entries[i], err);
		if (r < 0 && r != -EINVAL)
			return r;
		again[i] = r < 0;
	}
	for (size_t i = 0; i < settings->n; i++) {
		r = again[i] ? write_setting(cg, &settings->entries[i], err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_apply(struct cgroup *cg, const struct oci_resources *resources, struct err *err)
{
	_cleanup_free_ struct cgroup_settings *settings = malloc(sizeof(*settings));
	int r;

	if (!settings)
		return -ENOMEM;
	r = cgroup_limits_convert(resources, settings, err);
	if (r < 0)
		return r;
	r = write_settings(cg, settings, err);
	if (r < 0)
		return r;
	/* An update without device rules leaves them as they are. */
	if (cg->device_fd >= 0 && !resources->n_devices)
		return 0;
	return apply_devices(cg, resources, err);
}

/* ---- making one ------------------------------------------------------------------------------- */

int cgroup_create(const char *root, const char *id, struct cgroup **ret, struct err *err)
{
	if (!path_id_valid(id) || strlen(id) > NAME_MAX)
		return err_set(err, -EINVAL, "cgroup: '%s' may not name a folder", id);
	if (!spare || strcmp(root, spare_root) != 0)
		return create(root, id, ret, err);
	*ret = TAKE_PTR(spare);
	return 0;
}

int cgroup_prepare(const char *root, struct err *err)
{
	static const struct oci_resources nothing;
	_cleanup_(cgroup_destroy_p) struct cgroup *cg = NULL;
	int r = create(root, SPARE_ID, &cg, err);

	if (r < 0)
		return r;
	r = apply_devices(cg, &nothing, err);
	if (r >= 0)
		r = cgroup_events_fd(cg, err);
	if (r < 0) {
		(void)cgroup_remove(cg, NULL);
		return r;
	}
	spare = TAKE_PTR(cg);
	spare_root = root;
	return 0;
}

/* ---- freezing, killing, counting ------------------------------------------------------------- */

int cgroup_freeze(struct cgroup *cg, bool frozen, struct err *err)
{
	int r = write_text(cg->fd, "cgroup.freeze", frozen ? "1" : "0");

	if (r < 0)
		return err_set_errno(err, r, "cgroup: %s '%s/%s'", frozen ? "freeze" : "thaw", PARENT, cg->id);
	return 0;
}

int cgroup_kill(struct cgroup *cg, struct err *err)
{
	int r = write_text(cg->fd, "cgroup.kill", "1");

	if (r < 0)
		return err_set_errno(err, r, "cgroup: kill '%s/%s'", PARENT, cg->id);
	return 0;
}

/* The number after "@key " in the flat keyed @text; 0 when it is not there. */
static uint64_t keyed_value(const char *text, const char *key)
{
	size_t len = strlen(key);

	while (text && *text) {
		if (strncmp(text, key, len) == 0 && text[len] == ' ')
			return strtoull(text + len + 1, NULL, 10);
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return 0;
}

int cgroup_state(struct cgroup *cg, struct cgroup_state *ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(cg->fd, "cgroup.events", EVENTS_BYTES_MAX, &text, NULL);

	if (r < 0)
		return err_set_errno(err, r, "cgroup: events of '%s/%s'", PARENT, cg->id);
	ret->populated = keyed_value(text, "populated") != 0;
	ret->frozen = keyed_value(text, "frozen") != 0;
	return 0;
}

int cgroup_events_fd(struct cgroup *cg, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	char path[64];

	if (cg->events_fd >= 0)
		return cg->events_fd;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
		return err_set_errno(err, -errno, "cgroup: inotify");
	snprintf(path, sizeof(path), "/proc/self/fd/%d/cgroup.events", cg->fd);
	if (inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return err_set_errno(err, -errno, "cgroup: watch '%s/%s'", PARENT, cg->id);
	/* Without the controller there is no such file, and nothing to watch. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d/memory.events", cg->fd);
	if (inotify_add_watch(fd, path, IN_MODIFY) < 0 && errno != ENOENT)
		return err_set_errno(err, -errno, "cgroup: watch '%s/%s'", PARENT, cg->id);
	cg->events_fd = TAKE_FD(fd);
	return cg->events_fd;
}

void cgroup_events_drain(struct cgroup *cg)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	/* One read takes what there is: equal events are merged. */
	while (cg->events_fd >= 0 && read(cg->events_fd, buffer, sizeof(buffer)) == sizeof(buffer))
		;
}

int cgroup_oom_kills(struct cgroup *cg, uint64_t *ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(cg->fd, "memory.events", EVENTS_BYTES_MAX, &text, NULL);

	/* Without the controller nothing is killed by it. */
	if (r == -ENOENT) {
		*ret = 0;
		return 0;
	}
	if (r < 0)
		return err_set_errno(err, r, "cgroup: memory events of '%s/%s'", PARENT, cg->id);
	*ret = keyed_value(text, "oom_kill");
	return 0;
}

struct pid_list {
	pid_t *pids;
	size_t n;
};

static int read_pids(int fd, struct pid_list *list)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	int r;

	r = io_read_file(fd, "cgroup.procs", PROCS_BYTES_MAX, &text, NULL);
	/* Gone, or a threaded cgroup, whose processes its parent lists. */
	if (r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return r;
	rest = text;
	while ((line = strsep(&rest, "\n")) && list->n < CGROUP_PIDS_MAX) {
		uint64_t pid;

		if (io_parse_u64(line, INT_MAX, &pid) >= 0 && pid > 0)
			list->pids[list->n++] = (pid_t)pid;
	}
	return 0;
}

static int pids_visit(int parent_fd, const char *name, int fd, void *userdata)
{
	return read_pids(fd, userdata);
}

int cgroup_pids(struct cgroup *cg, pid_t **ret, size_t *ret_n, struct err *err)
{
	_cleanup_free_ pid_t *pids = malloc(CGROUP_PIDS_MAX * sizeof(*pids));
	struct pid_list list = { .pids = pids };
	int r;

	if (!pids)
		return -ENOMEM;
	r = read_pids(cg->fd, &list);
	if (r >= 0)
		r = walk_below(cg, pids_visit, &list);
	if (r < 0)
		return err_set_errno(err, r, "cgroup: processes of '%s/%s'", PARENT, cg->id);
	*ret = TAKE_PTR(pids);
	*ret_n = list.n;
	return 0;
}
