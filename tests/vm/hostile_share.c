/* SPDX-License-Identifier: Apache-2.0 */
/* What the root of a guest, which is not held to any container, tries with the files that the host shares. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/vm/hostile.h"

#define SHARE "/share"
#define DEEP_LEVELS 400

static char where[512]; /* the folder that is tried: "c1/m7" */

static void tell(const char *what, bool done)
{
	hostile_tell("%s %s: %s", where, what, done ? "done" : strerrorname_np(errno));
}

static bool write_file(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	bool done = fd >= 0 && write(fd, "hostile", 7) == 7;
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return done;
}

static bool can_open(const char *name)
{
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* A path that nobody can name in one piece. */
static bool go_deep(void)
{
	for (int i = 0; i < DEEP_LEVELS; i++) {
		if (mkdir("hostile-deep", 0755) < 0 || chdir("hostile-deep") < 0)
			return false;
	}
	return true;
}

static void try_folder(const char *path)
{
	const unsigned char capability[20] = { 0x01, 0, 0, 0x02, 0xff, 0xff, 0xff, 0xff };

	if (chdir(path) < 0)
		return;
	tell("write", write_file("hostile-file"));
	tell("overwrite", write_file("canary"));
	tell("chmod", chmod("canary", 0777) == 0);
	tell("chown", chown("canary", 4242, 4242) == 0);
	tell("unlink", unlink("canary-two") == 0);
	tell("rename", rename("canary-three", "canary-four") == 0);
	tell("setxattr", setxattr("canary", "user.hostile", "x", 1, 0) == 0);
	tell("link", link("canary", "hostile-link") == 0);
	tell("symlink", symlink("/etc/passwd", "hostile-symlink") == 0);
	tell("setuid", write_file("hostile-setuid") && chmod("hostile-setuid", 04755) == 0);
	tell("capability", setxattr("hostile-setuid", "security.capability", capability, sizeof(capability), 0) == 0);
	tell("mknod", mknod("hostile-device", S_IFBLK | 0600, makedev(7, 0)) == 0);
	tell("open-device", can_open("hostile-device"));
	tell("mknod-null", mknod("hostile-null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	tell("open-null", can_open("hostile-null"));
	tell("fifo", mkfifo("hostile-fifo", 0666) == 0);
	tell("deep", go_deep());
	if (chdir("/") < 0)
		abort();
}

static void try_container(const char *name)
{
	char path[300];
	const struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), SHARE "/%.255s", name);
	snprintf(where, sizeof(where), "%.255s", name);
	errno = 0;
	tell("new-folder", mkdirat(AT_FDCWD, SHARE "/hostile", 0755) == 0);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		char inner[600];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%.255s", path, entry->d_name);
		snprintf(where, sizeof(where), "%.255s/%.255s", name, entry->d_name);
		tell("remount", mount(NULL, inner, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
		tell("umount", umount2(inner, MNT_DETACH) == 0);
		try_folder(inner);
	}
	if (dir)
		closedir(dir);
}

void hostile_share(void)
{
	const struct dirent *entry;
	DIR *dir;

	mkdir(SHARE, 0755);
	if (mount("onggi", SHARE, "virtiofs", 0, NULL) < 0)
		hostile_tell("share: %s", strerrorname_np(errno));
	dir = opendir(SHARE);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.')
			try_container(entry->d_name);
	}
	if (dir)
		closedir(dir);
	hostile_tell("share: over");
}
