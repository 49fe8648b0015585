/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_world.h - a mount namespace and a folder of its own for a test program of the agent's modules
 *
 * Shape:    world_enter puts the process into a new mount namespace, with a tmpfs at world->path. Mounts vanish
 *           with the process; world_leave removes the folder.
 * Needs:    root.
 */
#ifndef ONGGI_TESTS_AGENT_WORLD_H
#define ONGGI_TESTS_AGENT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

struct world {
	char path[64];
	int fd;
};

static inline void world_enter(struct world *w)
{
	strcpy(w->path, "/tmp/onggi-test-XXXXXX");
	assert_non_null(mkdtemp(w->path));
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
	assert_int_equal(mount("world", w->path, "tmpfs", 0, "mode=0755"), 0);
	w->fd = open(w->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->fd >= 0);
}

static inline void world_leave(struct world *w)
{
	close(w->fd);
	assert_int_equal(umount2(w->path, MNT_DETACH), 0);
	assert_int_equal(rmdir(w->path), 0);
}

/* All of these take paths relative to the world. */
static inline void world_mkdir(struct world *w, const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *c = copy + 1;; c++) {
		char end = *c;

		if (end && end != '/')
			continue;
		*c = '\0';
		if (mkdirat(w->fd, copy, 0755) < 0)
			assert_int_equal(errno, EEXIST);
		*c = end;
		if (!end)
			break;
	}
}

static inline void world_write(struct world *w, const char *path, const char *text)
{
	int fd = openat(w->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void world_link(struct world *w, const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, w->fd, path), 0);
}

static inline int world_open(struct world *w, const char *path)
{
	int fd = openat(w->fd, path, O_PATH | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline bool world_exists(struct world *w, const char *path)
{
	struct stat st;

	return fstatat(w->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline int world_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

#endif
