/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/io.h"
#include "shim/hostshare.h"

struct place {
	char dir[64], source[96], state[96];
	int dirfd;
	struct hostshare *share;
	int fds_before;
};

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	char path[128];

	p->fds_before = count_fds();
	strcpy(p->dir, "/tmp/onggi-share-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->source, sizeof(p->source), "%s/source", p->dir);
	snprintf(p->state, sizeof(p->state), "%s/state", p->dir);
	assert_int_equal(mkdir(p->source, 0755), 0);
	assert_int_equal(mkdir(p->state, 0700), 0);
	snprintf(path, sizeof(path), "%s/sub", p->source);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/file", p->source);
	assert_int_equal(io_replace_file(AT_FDCWD, path, "data", 4, 0644), 0);
	p->dirfd = open(p->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(hostshare_create(p->dirfd, p->state, &p->share, &err), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128], path[128];
	struct stat st;

	hostshare_destroy(p->share);
	snprintf(path, sizeof(path), "%s/shared", p->state);
	assert_int_equal(stat(path, &st), -1);
	close(p->dirfd);
	assert_int_equal(count_fds(), p->fds_before);
	snprintf(command, sizeof(command), "rm -rf --one-file-system %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

/* ---- what a file server would see ---- */

struct probe {
	struct place *p;
	const char *name; /* below the shared folder */
	int flags;
};

static int probe_open(void *userdata)
{
	struct probe *probe = userdata;
	char path[256];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", hostshare_path(probe->p->share), probe->name);
	fd = open(path, probe->flags | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	return r;
}

static int try_open(struct place *p, const char *name, int flags)
{
	return hostshare_run(p->share, probe_open, &(struct probe){ p, name, flags });
}

static struct err err;

static int attach(struct place *p, const char *name, const struct hostshare_source *source)
{
	err = (struct err)ERR_INIT;
	return hostshare_attach(p->share, "c1", name, source, &err);
}

static void rootfs_appears_in_the_share_only(void **state)
{
	struct place *p = *state;
	char path[192];
	struct stat st;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(
		attach(p, "rootfs",
		       &(struct hostshare_source){ .path = p->source, .is_directory = true }),
		0);
	assert_int_equal(try_open(p, "c1/rootfs/file", O_RDWR), 0);
	assert_int_equal(try_open(p, "c1/rootfs/new", O_RDWR | O_CREAT), 0);
	snprintf(path, sizeof(path), "%s/shared/c1/rootfs/file", p->state);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(errno, ENOENT);
}

static void nobody_behind_the_share_can_write_to_its_top(void **state)
{
	struct place *p = *state;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(try_open(p, "new", O_RDWR | O_CREAT), -EROFS);
	assert_int_equal(try_open(p, "c1/new", O_RDWR | O_CREAT), -EROFS);
}

static void readonly_source_cannot_be_written(void **state)
{
	struct place *p = *state;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(
		attach(p, "m0", &(struct hostshare_source){ .path = p->source, .readonly = true }),
		0);
	assert_int_equal(try_open(p, "c1/m0/file", O_RDONLY), 0);
	assert_int_equal(try_open(p, "c1/m0/file", O_RDWR), -EROFS);
	assert_int_equal(try_open(p, "c1/m0/new", O_RDWR | O_CREAT), -EROFS);
}

static void readonly_reaches_mounts_below_when_asked_to(void **state)
{
	struct place *p = *state;
	char sub[128];

	snprintf(sub, sizeof(sub), "%s/sub", p->source);
	assert_int_equal(mount("tmpfs", sub, "tmpfs", 0, NULL), 0);
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(attach(p, "m0",
				&(struct hostshare_source){
					.path = p->source, .recursive = true, .readonly_below = true }),
			 0);
	assert_int_equal(try_open(p, "c1/m0/sub/new", O_RDWR | O_CREAT), -EROFS);
	assert_int_equal(try_open(p, "c1/m0/new", O_RDWR | O_CREAT), -EROFS);
	/* As runc means "rbind,ro": the top alone. */
	assert_int_equal(attach(p, "m2",
				&(struct hostshare_source){
					.path = p->source, .recursive = true, .readonly = true }),
			 0);
	assert_int_equal(try_open(p, "c1/m2/new", O_RDWR | O_CREAT), -EROFS);
	assert_int_equal(try_open(p, "c1/m2/sub/new", O_RDWR | O_CREAT), 0);
	assert_int_equal(hostshare_has_mounts_below(p->share, "c1", "m2"), 1);
	assert_int_equal(attach(p, "m3", &(struct hostshare_source){ .path = p->source }), 0);
	assert_int_equal(hostshare_has_mounts_below(p->share, "c1", "m3"), 0);
	/* The source itself is as it was. */
	assert_int_equal(
		attach(p, "m1", &(struct hostshare_source){ .path = p->source, .recursive = true }),
		0);
	assert_int_equal(try_open(p, "c1/m1/sub/new", O_RDWR | O_CREAT), 0);
	hostshare_remove_container(p->share, "c1");
	assert_int_equal(umount(sub), 0);
}

static void mounts_below_stay_out_of_a_plain_bind(void **state)
{
	struct place *p = *state;
	char path[160], sub[128];

	snprintf(sub, sizeof(sub), "%s/sub", p->source);
	assert_int_equal(mount("tmpfs", sub, "tmpfs", 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/inner", sub);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(attach(p, "m0", &(struct hostshare_source){ .path = p->source }), 0);
	assert_int_equal(try_open(p, "c1/m0/sub/inner", O_RDONLY), -ENOENT);
	assert_int_equal(
		attach(p, "m1", &(struct hostshare_source){ .path = p->source, .recursive = true }),
		0);
	assert_int_equal(try_open(p, "c1/m1/sub/inner", O_RDONLY), 0);
	assert_int_equal(umount2(sub, MNT_DETACH), 0);
}

static void what_was_mounted_after_the_share_began_is_seen(void **state)
{
	struct place *p = *state;
	char path[128];

	assert_int_equal(mount("tmpfs", p->source, "tmpfs", 0, NULL), 0);
	snprintf(path, sizeof(path), "%s/late", p->source);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(attach(p, "rootfs",
				&(struct hostshare_source){ .path = p->source, .recursive = true }),
			 0);
	assert_int_equal(try_open(p, "c1/rootfs/late", O_RDONLY), 0);
	assert_int_equal(umount2(p->source, MNT_DETACH), 0);
}

static void single_file_is_shared(void **state)
{
	struct place *p = *state;
	char path[128];

	snprintf(path, sizeof(path), "%s/file", p->source);
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(
		attach(p, "m3", &(struct hostshare_source){ .path = path, .readonly = true }), 0);
	assert_int_equal(try_open(p, "c1/m3", O_RDONLY), 0);
	assert_int_equal(try_open(p, "c1/m3", O_RDWR), -EROFS);
	assert_int_equal(attach(p, "rootfs",
				&(struct hostshare_source){ .path = path, .is_directory = true }),
			 -ENOTDIR);
}

static void removal_leaves_the_source_alone(void **state)
{
	struct place *p = *state;
	char path[192];
	struct stat st;
	int fd;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(attach(p, "rootfs", &(struct hostshare_source){ .path = p->source }), 0);
	/* A file that stays open must not hold up the removal. */
	snprintf(path, sizeof(path), "%s/file", p->source);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	hostshare_remove_container(p->share, "c1");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(try_open(p, "c1", O_RDONLY), -ENOENT);
	snprintf(path, sizeof(path), "%s/shared/c1", p->state);
	assert_int_equal(stat(path, &st), -1);
	close(fd);
	hostshare_remove_container(p->share, "c1");
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
}

static void missing_source_is_named(void **state)
{
	struct place *p = *state;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(
		attach(p, "m0", &(struct hostshare_source){ .path = "/nonexistent/volume" }),
		-ENOENT);
	assert_non_null(strstr(err.text, "'/nonexistent/volume': No such file or directory"));
}

static void container_cannot_be_added_twice_or_by_a_path(void **state)
{
	struct place *p = *state;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(hostshare_add_container(p->share, "c1", &err), -EEXIST);
	assert_int_equal(hostshare_add_container(p->share, "../c1", &err), -EINVAL);
	hostshare_remove_container(p->share, "..");
	assert_int_equal(try_open(p, "c1", O_RDONLY), 0);
}

static void launcher_sees_none_of_the_mounts(void **state)
{
	struct place *p = *state;
	_cleanup_free_ char *mounts = NULL;

	assert_int_equal(hostshare_add_container(p->share, "c1", &err), 0);
	assert_int_equal(attach(p, "rootfs", &(struct hostshare_source){ .path = p->source }), 0);
	assert_true(io_read_file(AT_FDCWD, "/proc/self/mountinfo", 1 << 20, &mounts, NULL) >= 0);
	assert_null(strstr(mounts, p->state));
}

#define CLAIM(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(rootfs_appears_in_the_share_only),
		CLAIM(nobody_behind_the_share_can_write_to_its_top),
		CLAIM(readonly_source_cannot_be_written),
		CLAIM(readonly_reaches_mounts_below_when_asked_to),
		CLAIM(mounts_below_stay_out_of_a_plain_bind),
		CLAIM(what_was_mounted_after_the_share_began_is_seen),
		CLAIM(single_file_is_shared),
		CLAIM(removal_leaves_the_source_alone),
		CLAIM(missing_source_is_named),
		CLAIM(container_cannot_be_added_twice_or_by_a_path),
		CLAIM(launcher_sees_none_of_the_mounts),
	};

	/* Mounts of the tests are nobody else's business. */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("mount namespace for the tests (they need root)");
		return 1;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
