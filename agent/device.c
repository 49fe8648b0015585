/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/mount_fs.h"
#include "common/cleanup.h"
#include "common/path.h"

#define DEVICE_MODE 0666

struct node {
	const char *name; /* below /dev */
	uint32_t major, minor;
	bool standard; /* every container has it */
};

static const struct node nodes[] = {
	{ "null", 1, 3, true },     { "zero", 1, 5, true },      { "full", 1, 7, true },
	{ "random", 1, 8, true },   { "urandom", 1, 9, true },   { "tty", 5, 0, true },
	{ "console", 5, 1, false }, { "ptmx", 5, 2, false },     { "fuse", 10, 229, false },
	{ "net/tun", 10, 200, false },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },         { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },   { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },
};

bool device_allowed(char type, int64_t major, int64_t minor)
{
	if (type != 'c' && type != 'u')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		if (nodes[i].major == major && nodes[i].minor == minor)
			return true;
	}
	return false;
}

/* What follows "/dev/" in the cleaned path, or NULL. */
static const char *name_below_dev(const char *path, char clean[PATH_MAX])
{
	if (mount_clean_path(path, clean, PATH_MAX) < 0 || strncmp(clean, "/dev/", 5) != 0)
		return NULL;
	return clean + 5;
}

static bool all_devices_allowed(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->resources.n_devices; i++) {
		const struct oci_device_rule *r = &spec->resources.devices[i];

		if (r->allow && r->type == 'a' && r->major < 0 && r->minor < 0)
			return true;
	}
	return false;
}

static bool makes(const struct oci_device *d)
{
	return d->type == 'p' || device_allowed(d->type, d->major, d->minor);
}

int device_check(const struct oci_spec *spec, size_t *ret_skipped, struct err *err)
{
	bool privileged = all_devices_allowed(spec);
	size_t skipped = 0;

	for (size_t i = 0; i < spec->n_devices; i++) {
		const struct oci_device *d = &spec->devices[i];
		char clean[PATH_MAX];

		if (!makes(d) && privileged) {
			skipped++;
			continue;
		}
		if (!makes(d))
			return err_set(err, -EOPNOTSUPP,
				       "linux.devices[%zu]: device '%s' (%c %lld:%lld) is the host's: it does "
				       "not exist in the virtual machine", i, d->path, d->type,
				       (long long)d->major, (long long)d->minor);
		if (!name_below_dev(d->path, clean))
			return err_set(err, -EOPNOTSUPP, "linux.devices[%zu]: '%s' is not below /dev", i,
				       d->path);
	}
	*ret_skipped = skipped;
	return 0;
}

bool device_setup_wanted(const struct oci_spec *spec)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		char clean[PATH_MAX];

		if (spec->mounts[i].is_bind &&
		    mount_clean_path(spec->mounts[i].destination, clean, sizeof(clean)) == 0 &&
		    strcmp(clean, "/dev") == 0)
			return false;
	}
	return true;
}

/*
 * The folder /dev inside the root, and not what a link of that name points to. On anything but a
 * tmpfs of the container nodes would be written into the image: then a tmpfs is put there first.
 */
static int open_dev(const struct mount_tree *tree, struct err *err)
{
	_cleanup_close_ int fd = path_mkdir_in_root(tree->root_fd, "/dev", 0755);
	_cleanup_close_ int mount_fd = -EBADF;
	struct stat root, dev;
	char where[PATH_MAX];
	int r;

	if (fd < 0)
		return err_set_errno(err, fd, "open /dev");
	r = mount_path_of_fd(tree->root_fd, fd, where, sizeof(where));
	if (r < 0 || strcmp(where, "/dev") != 0)
		return err_set(err, -EPERM, "/dev must be an ordinary directory");
	if (fstat(tree->root_fd, &root) < 0 || fstat(fd, &dev) < 0)
		return err_set_errno(err, -errno, "look at /dev");
	if (root.st_dev != dev.st_dev)
		return TAKE_FD(fd);
	mount_fd = mount_new("tmpfs", "mode=0755,size=64k", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
			     err);
	if (mount_fd < 0)
		return mount_fd;
	r = mount_attach(mount_fd, fd, err);
	return r < 0 ? r : TAKE_FD(mount_fd);
}

/* Opens the folder of @path below /dev, making it; *ret_name is the last component. */
static int open_parent(int dev_fd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return fcntl(dev_fd, F_DUPFD_CLOEXEC, 3);
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	return path_mkdir_in_root(dev_fd, parent, 0755);
}

static bool same_node(int dir, const char *name, mode_t mode, dev_t rdev)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_mode & S_IFMT) == (mode & S_IFMT) && (S_ISFIFO(mode) || st.st_rdev == rdev);
}

static int make_node(const struct userns *userns, int dev_fd, const char *path, mode_t mode, dev_t rdev,
		     uint32_t uid, uint32_t gid)
{
	const char *name;
	_cleanup_close_ int dir = open_parent(dev_fd, path, &name);
	int r;

	if (dir < 0)
		return dir;
	/* Without a mapping nobody in the container could own it: then it stays with the guest's. */
	r = userns_uid(userns, uid, &uid);
	if (r >= 0)
		r = userns_gid(userns, gid, &gid);
	if (r < 0)
		uid = gid = 0;
	/* The umask is 0 during the set-up. */
	if (mknodat(dir, name, mode, rdev) < 0) {
		if (errno != EEXIST || !same_node(dir, name, mode, rdev))
			return -errno;
	}
	if (fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int make_standard(const struct userns *userns, int dev_fd, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		int r;

		if (!nodes[i].standard)
			continue;
		r = make_node(userns, dev_fd, nodes[i].name, S_IFCHR | DEVICE_MODE,
			      makedev(nodes[i].major, nodes[i].minor), 0, 0);
		if (r < 0)
			return err_set_errno(err, r, "make /dev/%s", nodes[i].name);
	}
	return 0;
}

static int make_from_spec(const struct userns *userns, int dev_fd, const struct oci_spec *spec,
			  struct err *err)
{
	for (size_t i = 0; i < spec->n_devices; i++) {
		const struct oci_device *d = &spec->devices[i];
		mode_t mode = d->has_mode ? (mode_t)d->file_mode & 07777 : DEVICE_MODE;
		dev_t rdev = d->type == 'p' ? 0 : makedev((unsigned int)d->major, (unsigned int)d->minor);
		char clean[PATH_MAX];
		const char *name = name_below_dev(d->path, clean);
		int r;

		/* Two are made otherwise: a link, and a bind of the terminal. What is not ours was counted. */
		if (!makes(d) || !name || strcmp(name, "ptmx") == 0 || strcmp(name, "console") == 0)
			continue;
		r = make_node(userns, dev_fd, name, mode | (d->type == 'p' ? S_IFIFO : S_IFCHR), rdev,
			      d->uid, d->gid);
		if (r < 0)
			return err_set_errno(err, r, "linux.devices[%zu]: make '%s'", i, d->path);
	}
	return 0;
}

static int make_links(int dev_fd, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		/* A file of that name is the image's or the spec's own choice. */
		if (symlinkat(links[i].target, dev_fd, links[i].name) < 0 && errno != EEXIST)
			return err_set_errno(err, -errno, "link /dev/%s", links[i].name);
	}
	return 0;
}

int device_setup(const struct mount_tree *tree, const struct oci_spec *spec, struct err *err)
{
	_cleanup_close_ int dev_fd = open_dev(tree, err);
	int r;

	if (dev_fd < 0)
		return dev_fd;
	r = make_standard(tree->userns, dev_fd, err);
	if (r < 0)
		return r;
	r = make_from_spec(tree->userns, dev_fd, spec, err);
	if (r < 0)
		return r;
	return make_links(dev_fd, err);
}

int device_bind_console(const struct mount_tree *tree, int slave, struct err *err)
{
	_cleanup_close_ int dev_fd = open_dev(tree, err);
	_cleanup_close_ int target = -EBADF, clone = -EBADF;

	if (dev_fd < 0)
		return dev_fd;
	clone = mount_clone(slave, false, err);
	if (clone < 0)
		return clone;
	target = openat(dev_fd, "console", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target < 0 && errno == EEXIST)
		target = openat(dev_fd, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return err_set_errno(err, -errno, "make /dev/console");
	return mount_attach(clone, target, err);
}
