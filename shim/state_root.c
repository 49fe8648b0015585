/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/loop.h"
#include "common/path.h"
#include "shim/state.h"

/* Entries of one kind that state_list reads; a root with more is broken. */
#define STATE_ENTRIES_MAX 65536u

static int open_kind_folders(int rootfd, const char *path, struct err *err)
{
	static const char *const kinds[] = { "sandboxes", "containers" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (mkdirat(rootfd, kinds[i], 0700) < 0 && errno != EEXIST)
			return err_set_errno(err, -errno, "state folder '%s/%s'", path, kinds[i]);
	}
	return 0;
}

int state_open_root(const char *path, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	r = path_mkdir_p(path, 0700);
	if (r < 0)
		return err_set_errno(err, r, "state folder '%s'", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, -errno, "state folder '%s'", path);
	/* Who can write here can name processes to be killed. */
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return err_set(
			err, -EACCES,
			"state folder '%s': must belong to uid %u and be writable by nobody else",
			path, geteuid());
	r = open_kind_folders(fd, path, err);
	if (r < 0)
		return r;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/*
 * Wait for the lock in a child: the lock belongs to the open file description, which both share,
 * and waiting for a child can be given a limit.
 */
static int wait_for_lock(int fd)
{
	_cleanup_close_ int pidfd = -EBADF;
	struct pollfd p;
	int status, r;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		loop_child_reset();
		while (flock(fd, LOCK_EX) < 0) {
			if (errno != EINTR)
				_exit(1);
		}
		_exit(0);
	}
	pidfd = pidfd_open(pid, 0);
	p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	r = pidfd < 0 ? -errno : 0;
	while (r == 0 && poll(&p, 1, STATE_LOCK_TIMEOUT_MS) < 0) {
		if (errno != EINTR)
			r = -errno;
	}
	if (r < 0 || !(p.revents & POLLIN))
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return r;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ETIMEDOUT;
}

int state_lock(int rootfd, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	fd = openat(rootfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set_errno(err, -errno, "lock of the state folder");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set_errno(err, -errno, "lock of the state folder");
		r = wait_for_lock(fd);
		if (r < 0)
			return err_set_errno(err, r, "lock of the state folder");
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int append_name(char ***names, size_t *n, const char *name)
{
	char **grown;

	if (*n >= STATE_ENTRIES_MAX)
		return -E2BIG;
	grown = reallocarray(*names, *n + 2, sizeof(**names));
	if (!grown)
		return -ENOMEM;
	*names = grown;
	grown[*n] = strdup(name);
	if (!grown[*n])
		return -ENOMEM;
	grown[++*n] = NULL;
	return 0;
}

int state_list(int rootfd, const char *kind, char ***ret)
{
	_cleanup_(state_free_names_p) char **names = NULL;
	_cleanup_closedir_ DIR *dir = NULL;
	_cleanup_close_ int fd = -EBADF;
	struct dirent *entry;
	size_t n = 0;
	int r;

	names = calloc(1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	fd = openat(rootfd, kind, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	TAKE_FD(fd);
	while ((entry = readdir(dir))) {
		if (!path_id_valid(entry->d_name))
			continue;
		r = append_name(&names, &n, entry->d_name);
		if (r < 0)
			return r;
	}
	qsort(names, n, sizeof(*names), compare_names);
	*ret = TAKE_PTR(names);
	return 0;
}

void state_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}
