/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mount_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/cleanup.h"

/* The kernel's reason for a refused option waits in the context: "e tmpfs: Unknown parameter 'x'". */
static void read_fs_message(int fs, char *text, size_t size)
{
	ssize_t n = read(fs, text, size - 1);

	if (n < 0)
		n = 0;
	text[n] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	if (n > 2 && text[1] == ' ')
		memmove(text, text + 2, (size_t)n - 1);
}

static int fs_error(int fs, int code, const char *type, const char *what, struct err *err)
{
	char reason[256];

	read_fs_message(fs, reason, sizeof(reason));
	if (reason[0])
		return err_set(err, code, "file system '%s': %s: %s", type, what, reason);
	return err_set_errno(err, code, "file system '%s': %s", type, what);
}

static int set_option(int fs, const char *type, char *option, struct err *err)
{
	char *value = strchr(option, '=');
	int r;

	if (value) {
		*value++ = '\0';
		r = fsconfig(fs, FSCONFIG_SET_STRING, option, value, 0);
	} else {
		r = fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	}
	if (r < 0)
		return fs_error(fs, -errno, type, option, err);
	return 0;
}

static int set_options(int fs, const char *type, const char *options, struct err *err)
{
	char copy[MOUNT_OPTIONS_MAX];
	char *rest = copy, *option;

	if (!options)
		return 0;
	if (strlen(options) >= sizeof(copy))
		return err_set(err, -E2BIG, "file system '%s': options of more than %u bytes", type,
			       MOUNT_OPTIONS_MAX - 1);
	memcpy(copy, options, strlen(options) + 1);
	while ((option = strsep(&rest, ","))) {
		int r;

		if (!*option)
			continue;
		r = set_option(fs, type, option, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mount_new(const char *type, const char *prefix, const char *data, uint64_t attr, struct err *err)
{
	/* What "mount -t type type" shows as its source. */
	return mount_new_from(type, type, prefix, data, attr, err);
}

int mount_new_from(const char *type, const char *source, const char *prefix, const char *data, uint64_t attr,
		   struct err *err)
{
	_cleanup_close_ int fs = -EBADF;
	int fd, r;

	fs = fsopen(type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return err_set_errno(err, -errno, "file system '%s'", type);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return fs_error(fs, -errno, type, "source", err);
	r = set_options(fs, type, prefix, err);
	if (r < 0)
		return r;
	r = set_options(fs, type, data, err);
	if (r < 0)
		return r;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fs_error(fs, -errno, type, "create", err);
	fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)attr);
	if (fd < 0)
		return fs_error(fs, -errno, type, "mount", err);
	return fd;
}

int mount_clone(int fd, bool recursive, struct err *err)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	int clone;

	if (recursive)
		flags |= AT_RECURSIVE;
	clone = open_tree(fd, "", flags);
	if (clone < 0)
		return err_set_errno(err, -errno, "copy a mount");
	return clone;
}

int mount_attach(int mount_fd, int target_fd, struct err *err)
{
	if (move_mount(mount_fd, "", target_fd, "",
		       MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_set_errno(err, -errno, "attach a mount");
	return 0;
}

int mount_change(int mount_fd, uint64_t set, uint64_t clear, bool recursive, struct err *err)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clear };
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	/* The access time mode is a number, not a bit: the kernel wants the whole field cleared with it. */
	attr.attr_clr &= ~attr.attr_set;
	if ((set | clear) & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	if (!attr.attr_set && !attr.attr_clr)
		return 0;
	if (mount_setattr(mount_fd, "", flags, &attr, sizeof(attr)) < 0)
		return err_set_errno(err, -errno, "set the attributes of a mount");
	return 0;
}

int mount_propagate(int mount_fd, unsigned long propagation, struct err *err)
{
	struct mount_attr attr = { .propagation = propagation & ~(unsigned long)MS_REC };
	unsigned int flags = AT_EMPTY_PATH | (propagation & MS_REC ? AT_RECURSIVE : 0);

	if (mount_setattr(mount_fd, "", flags, &attr, sizeof(attr)) < 0)
		return err_set_errno(err, -errno, "set the propagation of a mount");
	return 0;
}

static const struct {
	unsigned long flag;
	uint64_t attr;
} attr_of_flag[] = {
	{ MS_RDONLY, MOUNT_ATTR_RDONLY },
	{ MS_NOSUID, MOUNT_ATTR_NOSUID },
	{ MS_NODEV, MOUNT_ATTR_NODEV },
	{ MS_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ MS_NODIRATIME, MOUNT_ATTR_NODIRATIME },
	{ MS_NOATIME, MOUNT_ATTR_NOATIME },
	{ MS_STRICTATIME, MOUNT_ATTR_STRICTATIME },
#ifdef MOUNT_ATTR_NOSYMFOLLOW
	{ 256 /* MS_NOSYMFOLLOW */, MOUNT_ATTR_NOSYMFOLLOW },
#endif
};

uint64_t mount_attr_from_flags(unsigned long flags)
{
	uint64_t attr = 0;

	for (size_t i = 0; i < ARRAY_SIZE(attr_of_flag); i++) {
		if (flags & attr_of_flag[i].flag)
			attr |= attr_of_flag[i].attr;
	}
	/* Of two access time modes noatime is the stronger wish; both at once are no value of the field. */
	if (attr & MOUNT_ATTR_NOATIME)
		attr &= ~(uint64_t)MOUNT_ATTR_STRICTATIME;
	return attr;
}
