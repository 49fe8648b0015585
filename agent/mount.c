/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * One entry: open (or make) the target inside the root as an O_PATH descriptor; look where that
 *            descriptor really
 * is and whether something may be mounted there; make the new mount, detached; attach it to the
 * descriptor. Names are looked at once, by the kernel, inside the root. Whoever exchanges folders
 * and links meanwhile changes which of his own folders is covered, and nothing else.
 *
 * /proc is special: the agent and the workload trust what they read there, and write security
 * settings there. So only procfs gets to /proc, and below it only the handful of files that runc
 * allows.
 */
#include "agent/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/copyup.h"
#include "agent/mount_fs.h"
#include "agent/procfs.h"
#include "common/cleanup.h"
#include "common/path.h"

#define TARGET_MODE_DIR 0755
#define TARGET_MODE_FILE 0755

struct request {
	struct mount_tree *tree;
	const struct oci_mount *m;
	const char *source;
	bool open_below;
	enum mount_kind kind;
	char dest[PATH_MAX]; /* cleaned */
	int source_fd;       /* of a bind */
	int target_fd;
};

void mount_tree_finish(struct mount_tree *tree)
{
	cleanup_close_p(&tree->root_fd);
	cleanup_close_p(&tree->share_fd);
	cleanup_close_p(&tree->shm_fd);
	cleanup_close_p(&tree->proc_fd);
	cleanup_close_p(&tree->sys_fd);
	cleanup_close_p(&tree->devpts_fd);
}

/* ---- where ---------------------------------------------------------------------------------- */

int mount_clean_path(const char *path, char *ret, size_t size)
{
	size_t len = 0;

	for (;;) {
		size_t part;

		path += strspn(path, "/");
		part = strcspn(path, "/");
		if (!part)
			break;
		if (part == 2 && strncmp(path, "..", 2) == 0) {
			while (len > 0 && ret[--len] != '/')
				;
		} else if (!(part == 1 && path[0] == '.')) {
			if (len + 1 + part + 1 > size)
				return -ENAMETOOLONG;
			ret[len++] = '/';
			memcpy(ret + len, path, part);
			len += part;
		}
		path += part;
	}
	if (size < 2)
		return -ENAMETOOLONG;
	if (!len)
		ret[len++] = '/';
	ret[len] = '\0';
	return 0;
}

static int path_of_fd(int fd, char ret[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	if (n >= PATH_MAX - 1)
		return -ENAMETOOLONG;
	ret[n] = '\0';
	return 0;
}

int mount_path_of_fd(int root_fd, int fd, char *ret, size_t size)
{
	char root[PATH_MAX], path[PATH_MAX];
	size_t len;
	int r;

	r = path_of_fd(root_fd, root);
	if (r < 0)
		return r;
	r = path_of_fd(fd, path);
	if (r < 0)
		return r;
	len = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return -EXDEV;
	if (snprintf(ret, size, "%s", path[len] ? path + len : "/") >= (int)size)
		return -ENAMETOOLONG;
	return 0;
}

static bool at_or_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

bool mount_proc_file_allowed(const char *path)
{
	static const char *const allowed[] = {
		"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo", "/proc/slabinfo",
		"/proc/stat",    "/proc/swaps",     "/proc/uptime",
		"/proc/sys/kernel/ns_last_pid",     "/proc/sys/crypto/fips_enabled",
	};

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		if (strcmp(path, allowed[i]) == 0)
			return true;
	}
	return false;
}

/* Before anything is made: what the name alone forbids. */
static int check_destination(const struct request *q, struct err *err)
{
	if (strcmp(q->dest, "/") == 0)
		return err_set(err, -EPERM, "nothing can be mounted on '/'");
	if (!at_or_below(q->dest, "/proc"))
		return 0;
	if (strcmp(q->dest, "/proc") == 0) {
		if (q->kind == MOUNT_KIND_PROC)
			return 0;
		return err_set(err, -EPERM, "only procfs can be mounted on /proc");
	}
	if (q->kind == MOUNT_KIND_BIND && mount_proc_file_allowed(q->dest))
		return 0;
	return err_set(err, -EPERM, "'%s' cannot be mounted because it is inside /proc", q->dest);
}

/* These must be what their names say: links in an image would take the mount elsewhere. */
static bool must_be_ordinary(const struct request *q)
{
	return q->kind == MOUNT_KIND_PROC || q->kind == MOUNT_KIND_SYSFS ||
	       strcmp(q->dest, "/dev") == 0 || at_or_below(q->dest, "/sys") ||
	       at_or_below(q->dest, "/proc");
}

/* After it was opened: where the target really is. */
static int check_target(const struct request *q, struct err *err)
{
	char where[PATH_MAX];
	int r;

	r = mount_path_of_fd(q->tree->root_fd, q->target_fd, where, sizeof(where));
	if (r < 0)
		return err_set_errno(err, r, "find the mount point");
	if (must_be_ordinary(q) && strcmp(where, q->dest) != 0)
		return err_set(err, -EPERM, "must be mounted on an ordinary directory, not on '%s'", where);
	if (strcmp(where, "/") == 0)
		return err_set(err, -EPERM, "nothing can be mounted on '/'");
	r = procfs_is(q->target_fd);
	if (r < 0)
		return err_set_errno(err, r, "look at the mount point");
	if (!r && !at_or_below(where, "/proc"))
		return 0;
	/* What is wanted there was checked by name; here the name must be the truth. */
	if (strcmp(where, q->dest) != 0)
		return err_set(err, -EPERM, "cannot be mounted because '%s' is inside /proc", where);
	if (q->kind == MOUNT_KIND_PROC || r)
		return 0;
	return err_set(err, -EPERM, "cannot be mounted because /proc is no procfs");
}

static int open_target(struct request *q, struct err *err)
{
	struct stat st = { .st_mode = S_IFDIR };

	if (q->source_fd >= 0 && fstat(q->source_fd, &st) < 0)
		return err_set_errno(err, -errno, "look at the source");
	if (S_ISDIR(st.st_mode))
		q->target_fd = path_mkdir_in_root(q->tree->root_fd, q->dest, TARGET_MODE_DIR);
	else
		q->target_fd = path_touch_in_root(q->tree->root_fd, q->dest, TARGET_MODE_FILE);
	if (q->target_fd < 0)
		return err_set_errno(err, q->target_fd, "make the mount point");
	return check_target(q, err);
}

/* The guest's own memory, rather than something below the share. */
static bool is_shm(const struct request *q)
{
	return q->source && q->source[0] == '/';
}

/*
 * Folders are asked for as such first: each mount of the host's is one of its own here, made when
 * its place is first used as a folder. Otherwise the place itself would be mounted in the container,
 * and what belongs there would come later, over whatever the specification mounts below.
 */
static int open_source(struct request *q, struct err *err)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	if (is_shm(q)) {
		q->source_fd = fcntl(q->tree->shm_fd, F_DUPFD_CLOEXEC, 0);
		return q->source_fd < 0 ? err_set_errno(err, -errno, "open '%s' of the guest", q->source) : 0;
	}
	if (!q->source || q->tree->share_fd < 0)
		return err_set(err, -EINVAL, "the host shares no folder for its source '%s'",
			       q->m->source ? q->m->source : "");
	q->source_fd = (int)syscall(SYS_openat2, q->tree->share_fd, q->source, &how, sizeof(how));
	if (q->source_fd < 0 && errno == ENOTDIR) {
		how.flags &= ~(uint64_t)O_DIRECTORY;
		q->source_fd = (int)syscall(SYS_openat2, q->tree->share_fd, q->source, &how, sizeof(how));
	}
	if (q->source_fd < 0)
		return err_set_errno(err, -errno, "open its source '%s' in the guest", q->source);
	return 0;
}

/* ---- what ----------------------------------------------------------------------------------- */

static int make_bind(struct request *q, struct err *err)
{
	const uint64_t decided = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				 MOUNT_ATTR_NOEXEC;
	uint64_t set = mount_attr_from_flags(q->m->flags), clear = decided & ~set;
	_cleanup_close_ int fd = mount_clone(q->source_fd, q->m->is_recursive_bind, err);
	int r;

	if (fd < 0)
		return fd;
	/* What an engine mounts for that purpose is as the guest's own: no devices, no programs. */
	if (is_shm(q))
		clear = 0;
	if (q->open_below)
		set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	if ((q->m->flags | q->m->cleared_flags) & (MS_RELATIME | MS_NOATIME | MS_STRICTATIME))
		clear |= MOUNT_ATTR__ATIME;
	if (q->m->cleared_flags & MS_NODIRATIME)
		clear |= MOUNT_ATTR_NODIRATIME & ~set;
	r = mount_change(fd, set, clear, false, err);
	if (r < 0)
		return r;
	return TAKE_FD(fd);
}

/* As mount_new, with the ids in @data seen from the container. */
static int make_fs(const struct request *q, const char *type, const char *prefix, const char *data,
		   uint64_t attr, struct err *err)
{
	_cleanup_free_ char *translated = NULL;
	int r = userns_translate(q->tree->userns, data, &translated, err);

	return r < 0 ? r : mount_new(type, prefix, translated, attr, err);
}

static int make_plain(const struct request *q, const char *type, const char *prefix, const char *data,
		      struct err *err)
{
	return make_fs(q, type, prefix, data, mount_attr_from_flags(q->m->flags), err);
}

static int make_tmpfs(struct request *q, struct err *err)
{
	uint64_t attr = mount_attr_from_flags(q->m->flags);
	_cleanup_close_ int fd = -EBADF, from = -EBADF;
	char prefix[32];
	struct stat st;
	int r;

	/* It takes over the mode of the folder that it covers; the entry's own options come later and win. */
	if (fstat(q->target_fd, &st) < 0)
		return err_set_errno(err, -errno, "look at the mount point");
	snprintf(prefix, sizeof(prefix), "mode=%04o", st.st_mode & 07777);
	if (!q->m->copy_up)
		return make_fs(q, "tmpfs", prefix, q->m->data, attr, err);

	fd = make_fs(q, "tmpfs", prefix, q->m->data, attr & ~(uint64_t)MOUNT_ATTR_RDONLY, err);
	if (fd < 0)
		return fd;
	from = openat(q->target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return err_set_errno(err, -errno, "read the mount point");
	r = copyup_tree(from, fd, err);
	if (r < 0)
		return r;
	r = mount_change(fd, attr & MOUNT_ATTR_RDONLY, 0, false, err);
	return r < 0 ? r : TAKE_FD(fd);
}

static int make_proc(struct request *q, struct err *err)
{
	return make_plain(q, "proc", NULL, q->m->data, err);
}

static int make_sysfs(struct request *q, struct err *err)
{
	return make_plain(q, "sysfs", NULL, q->m->data, err);
}

static int make_devpts(struct request *q, struct err *err)
{
	int r;

	if (q->tree->devpts_fd < 0)
		return make_plain(q, "devpts", NULL, q->m->data, err);
	r = mount_change(q->tree->devpts_fd, mount_attr_from_flags(q->m->flags), 0, false, err);
	return r < 0 ? r : TAKE_FD(q->tree->devpts_fd);
}

static int make_mqueue(struct request *q, struct err *err)
{
	return make_plain(q, "mqueue", NULL, q->m->data, err);
}

/* Options of version 1 (controllers, "name=systemd") say nothing to version 2. */
static int make_cgroup(struct request *q, struct err *err)
{
	bool v2 = q->m->type && strcmp(q->m->type, "cgroup2") == 0;

	return make_plain(q, "cgroup2", NULL, v2 ? q->m->data : NULL, err);
}

static const struct kind {
	const char *types[2];
	int (*make)(struct request *q, struct err *err);
} kinds[MOUNT_KIND_COUNT] = {
	[MOUNT_KIND_BIND] = { { "bind", "rbind" }, make_bind },
	[MOUNT_KIND_TMPFS] = { { "tmpfs" }, make_tmpfs },
	[MOUNT_KIND_PROC] = { { "proc" }, make_proc },
	[MOUNT_KIND_SYSFS] = { { "sysfs" }, make_sysfs },
	[MOUNT_KIND_DEVPTS] = { { "devpts" }, make_devpts },
	[MOUNT_KIND_MQUEUE] = { { "mqueue" }, make_mqueue },
	[MOUNT_KIND_CGROUP] = { { "cgroup", "cgroup2" }, make_cgroup },
};

int mount_kind_of(const struct oci_mount *m, struct err *err)
{
	if (m->is_bind)
		return MOUNT_KIND_BIND;
	for (int kind = 0; m->type && kind < MOUNT_KIND_COUNT; kind++) {
		for (size_t i = 0; i < ARRAY_SIZE(kinds[kind].types); i++) {
			if (kinds[kind].types[i] && strcmp(m->type, kinds[kind].types[i]) == 0)
				return kind;
		}
	}
	return err_set(err, -EOPNOTSUPP, "mount of type '%s' on '%s' is not supported in the guest",
		       m->type ? m->type : "", m->destination);
}

/* ---- all together --------------------------------------------------------------------------- */

/* What later steps must find again. The newest mount at a place is the one that counts. */
static int remember(struct request *q, int mount_fd)
{
	int *slot = strcmp(q->dest, "/proc") == 0 ? &q->tree->proc_fd :
		    strcmp(q->dest, "/sys") == 0  ? &q->tree->sys_fd :
						    NULL;
	int copy;

	if (!slot)
		return 0;
	copy = fcntl(mount_fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	cleanup_close_p(slot);
	*slot = copy;
	return 0;
}

static int attach(struct request *q, int mount_fd, struct err *err)
{
	int r;

	r = mount_change(mount_fd, q->m->rec_attr_set, q->m->rec_attr_clr, true, err);
	if (r < 0)
		return r;
	r = mount_attach(mount_fd, q->target_fd, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < q->m->n_propagation; i++) {
		r = mount_propagate(mount_fd, q->m->propagation[i], err);
		if (r < 0)
			return r;
	}
	return remember(q, mount_fd);
}

static int apply(struct request *q, struct err *err)
{
	_cleanup_close_ int mount_fd = -EBADF;
	int r;

	r = mount_clean_path(q->m->destination, q->dest, sizeof(q->dest));
	if (r < 0)
		return err_set_errno(err, r, "destination");
	r = check_destination(q, err);
	if (r < 0)
		return r;
	if (q->kind == MOUNT_KIND_BIND) {
		r = open_source(q, err);
		if (r < 0)
			return r;
	}
	r = open_target(q, err);
	if (r < 0)
		return r;
	mount_fd = kinds[q->kind].make(q, err);
	if (mount_fd < 0)
		return mount_fd;
	return attach(q, mount_fd, err);
}

int mount_apply(struct mount_tree *tree, const struct oci_mount *m, const char *source, bool open_below,
		struct err *err)
{
	struct request q = { .tree = tree, .m = m, .source = source, .open_below = open_below, .source_fd = -EBADF,
			     .target_fd = -EBADF };
	int r = mount_kind_of(m, err);

	if (r < 0)
		return r;
	q.kind = (enum mount_kind)r;
	r = apply(&q, err);
	cleanup_close_p(&q.source_fd);
	cleanup_close_p(&q.target_fd);
	if (r < 0)
		err_prefix(err, "mount %s on '%s'", m->type ? m->type : "bind", m->destination);
	return r;
}
