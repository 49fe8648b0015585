/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/program.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/path.h"

/* Engines look for "no such file or directory" in small letters, as Go writes it. */
static const char *reason(int code, char text[128])
{
	snprintf(text, 128, "%s", strerror(-code));
	text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

const char *program_env(char *const env[], const char *key)
{
	const char *value = NULL;
	size_t len = strlen(key);

	for (; env && *env; env++) {
		if (strncmp(*env, key, len) == 0 && (*env)[len] == '=')
			value = *env + len + 1;
	}
	return value;
}

/*
 * Links that procfs has to a process' files lead out of the container as long as we are a copy of
 * the agent: "/proc/self/exe" is the agent's binary. 0, or -EACCES for a path that goes over one.
 */
static int refuse_magic_links(const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 && errno == ELOOP ? -EACCES : 0;
}

/* 0; -EISDIR; -EACCES when nobody may execute it or we may not; what stat(2) says. */
static int executable(const char *path)
{
	struct stat st;
	int r;

	if (stat(path, &st) < 0)
		return -errno;
	r = refuse_magic_links(path);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!(st.st_mode & 0111))
		return -EACCES;
	/* As the user that we are by now; the shells and Go ask the same. */
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && errno != ENOSYS && errno != EINVAL)
		return -errno;
	return 0;
}

static int find_by_name(const char *path, char ret[PATH_MAX], struct err *err)
{
	char text[128];
	int r = executable(path);

	if (r == 0) {
		if (snprintf(ret, PATH_MAX, "%s", path) >= PATH_MAX)
			r = -ENAMETOOLONG;
		else
			return 0;
	}
	if (r == -EISDIR)
		return err_set(err, -EACCES, "exec: \"%s\": is a directory: permission denied", path);
	if (r == -EACCES || r == -EPERM)
		return err_set(err, -EACCES, "exec: \"%s\": permission denied", path);
	return err_set(err, -ENOENT, "exec: \"%s\": stat %s: %s", path, path, reason(r, text));
}

int program_find(const char *name, char *const env[], char ret[PATH_MAX], struct err *err)
{
	const char *path = program_env(env, "PATH");

	if (strchr(name, '/'))
		return find_by_name(name, ret, err);
	while (path && *name) {
		size_t len = strcspn(path, ":");
		int n;

		/* An empty entry is the working folder. */
		n = snprintf(ret, PATH_MAX, "%.*s/%s", len ? (int)len : 1, len ? path : ".", name);
		if (len < PATH_MAX && n < PATH_MAX && executable(ret) == 0)
			return 0;
		path = path[len] ? path + len + 1 : NULL;
	}
	return err_set(err, -ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

int program_exec_error(const char *path, int code, struct err *err)
{
	char text[128];
	int status = code;

	if (code == -EPERM || code == -EISDIR)
		status = -EACCES;
	else if (code == -ENOTDIR || code == -ELOOP)
		status = -ENOENT;
	return err_set(err, status, "exec %s: %s", path, reason(code, text));
}

int program_enter_cwd(int root_fd, const char *cwd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	char where[PATH_MAX], text[128];

	/* Links that procfs has to open files are not followed: /proc/self/fd/7 leads nowhere. */
	fd = path_open_in_root(root_fd, cwd, O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return err_set(err, fd, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
			       reason(fd, text));
	if (fchdir(fd) < 0)
		return err_set(err, -errno, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
			       reason(-errno, text));
	/* The C library turns the kernel's "(unreachable)" into ENOENT; other libraries hand it on. */
	if (!getcwd(where, sizeof(where)) || where[0] != '/')
		return err_set(err, -EPERM, "current working directory is outside of container mount "
			       "namespace root -- possible container breakout detected");
	return 0;
}
