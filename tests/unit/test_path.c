/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/path.h"
#include "tests/unit/check_leaks.h"

/*
 * A folder with a root inside and a canary outside of it:
 *
 *	<top>/canary/secret
 *	<top>/root/
 */
struct world {
	char top[64];
	int topfd;
	int root;
};

static void put(int dirfd, const char *path, const char *text)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static void world_make(struct world *w)
{
	strcpy(w->top, "/tmp/onggi-path-XXXXXX");
	assert_non_null(mkdtemp(w->top));
	w->topfd = open(w->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(w->topfd, "canary", 0755), 0);
	put(w->topfd, "canary/secret", "secret");
	assert_int_equal(mkdirat(w->topfd, "root", 0755), 0);
	w->root = openat(w->topfd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(w->root >= 0);
}

static size_t count_entries(int dirfd, const char *path)
{
	DIR *dir = fdopendir(openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
}

/* Checks that nothing outside of the root has changed. */
static void world_end(struct world *w)
{
	char *text;

	assert_int_equal(io_read_file(w->topfd, "canary/secret", 100, &text, NULL), 0);
	assert_string_equal(text, "secret");
	free(text);
	assert_int_equal(count_entries(w->topfd, "canary"), 1);
	assert_int_equal(count_entries(w->topfd, "."), 2);
	close(w->root);
	close(w->topfd);
	assert_int_equal(path_remove_tree(AT_FDCWD, w->top), 0);
	assert_int_equal(access(w->top, F_OK), -1);
}

/* Whether @fd lies in the root, by the kernel's own account. */
static bool inside(const struct world *w, int fd)
{
	char link[64], path[PATH_MAX], prefix[80];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	assert_true(n > 0);
	path[n] = '\0';
	snprintf(prefix, sizeof(prefix), "%s/root", w->top);
	return strncmp(path, prefix, strlen(prefix)) == 0 &&
	       (path[strlen(prefix)] == '/' || !path[strlen(prefix)]);
}

static void link_to(const struct world *w, const char *target, const char *name)
{
	assert_int_equal(symlinkat(target, w->root, name), 0);
}

/* ---- opening ---- */

static void open_in_root_keeps_links_and_dotdot_inside(void **state)
{
	static const char *const ways[] = {
		"../canary/secret",
		"abs",
		"rel",
		"dir/../../canary/secret",
		"chain",
		"up/canary/secret",
		"../../../../../../../../../../etc/passwd",
		"/../canary/secret",
	};
	struct world w;
	char target[128];
	size_t i;
	int fd;

	world_make(&w);
	snprintf(target, sizeof(target), "%s/canary/secret", w.top);
	link_to(&w, target, "abs");
	link_to(&w, "../canary/secret", "rel");
	link_to(&w, "abs", "chain");
	link_to(&w, "..", "up");
	assert_int_equal(mkdirat(w.root, "dir", 0755), 0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		fd = path_open_in_root(w.root, ways[i], O_RDONLY, 0);
		if (fd != -ENOENT)
			fail_msg("%s: %d", ways[i], fd);
	}
	/* The same names, where they lead inside. */
	assert_int_equal(mkdirat(w.root, "canary", 0755), 0);
	put(w.root, "canary/secret", "inside");
	fd = path_open_in_root(w.root, "rel", O_RDONLY, 0);
	assert_true(fd >= 0 && inside(&w, fd));
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	world_end(&w);
}

static void open_in_root_creates_inside_only(void **state)
{
	struct world w;
	struct stat st;
	int fd;

	world_make(&w);
	link_to(&w, "../canary/new", "escape");
	assert_int_equal(path_open_in_root(w.root, "escape", O_WRONLY | O_CREAT, 0644), -ENOENT);
	assert_int_equal(mkdirat(w.root, "canary", 0755), 0);
	fd = path_open_in_root(w.root, "escape", O_WRONLY | O_CREAT, 0640);
	assert_true(fd >= 0 && inside(&w, fd));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	close(fd);
	world_end(&w);
}

static void open_beneath_refuses_what_leads_out(void **state)
{
	struct world w;
	int fd;

	world_make(&w);
	link_to(&w, "/etc/passwd", "abs");
	link_to(&w, "../canary/secret", "rel");
	assert_int_equal(mkdirat(w.root, "dir", 0755), 0);
	put(w.root, "file", "x");
	link_to(&w, "file", "good");
	assert_int_equal(path_open_beneath(w.root, "abs", O_RDONLY, 0), -EXDEV);
	assert_int_equal(path_open_beneath(w.root, "rel", O_RDONLY, 0), -EXDEV);
	assert_int_equal(path_open_beneath(w.root, "/file", O_RDONLY, 0), -EXDEV);
	assert_int_equal(path_open_beneath(w.root, "..", O_RDONLY, 0), -EXDEV);
	assert_int_equal(path_open_beneath(w.root, "dir/../../canary", O_RDONLY, 0), -EXDEV);
	assert_int_equal(path_open_beneath(w.root, "missing", O_RDONLY, 0), -ENOENT);
	fd = path_open_beneath(w.root, "dir/../good", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	world_end(&w);
}

static void magic_links_are_not_followed(void **state)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(proc >= 0);
	assert_int_equal(path_open_in_root(proc, "self/exe", O_RDONLY, 0), -ELOOP);
	assert_int_equal(path_open_in_root(proc, "self/root/etc", O_RDONLY, 0), -ELOOP);
	assert_int_equal(path_open_beneath(proc, "self/cwd", O_RDONLY, 0), -ELOOP);
}

/* Somebody swaps a folder and a link to the canary for as long as the test runs. */
static pid_t start_swapping(const struct world *w, const char *a, const char *b)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	for (;;)
		if (syscall(SYS_renameat2, w->root, a, w->root, b, 2u /* RENAME_EXCHANGE */) < 0 &&
		    errno != ENOENT)
			_exit(1);
}

static void stop_swapping(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it did not stop by itself */
}

#define RACE_ROUNDS 20000

static void open_in_root_survives_swapped_folders(void **state)
{
	unsigned int i, good = 0;
	struct world w;
	pid_t pid;
	int fd;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "dir", 0755), 0);
	put(w.root, "dir/secret", "decoy");
	link_to(&w, "../canary", "link");
	pid = start_swapping(&w, "dir", "link");
	for (i = 0; i < RACE_ROUNDS; i++) {
		fd = path_open_in_root(w.root, "dir/secret", O_RDONLY, 0);
		if (fd < 0)
			continue;
		good++;
		assert_true(inside(&w, fd) || !"opened outside of the root");
		close(fd);
	}
	stop_swapping(pid);
	assert_true(good > 0);
	world_end(&w);
}

static void mkdir_and_touch_survive_swapped_folders(void **state)
{
	unsigned int i, good = 0;
	struct world w;
	char name[64];
	pid_t pid;
	int fd;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "dir", 0755), 0);
	assert_int_equal(mkdirat(w.root, "dir/sub", 0755), 0);
	link_to(&w, "../canary", "link");
	pid = start_swapping(&w, "dir", "link");
	for (i = 0; i < RACE_ROUNDS / 10; i++) {
		snprintf(name, sizeof(name), "dir/sub/../%u/x", i);
		fd = i % 2 ? path_mkdir_in_root(w.root, name, 0755)
			   : path_touch_in_root(w.root, name, 0644);
		if (fd < 0)
			continue;
		good++;
		assert_true(inside(&w, fd));
		close(fd);
	}
	stop_swapping(pid);
	assert_true(good > 0);
	world_end(&w); /* counts what is in the canary's folder */
}

/* ---- making ---- */

static void mkdir_in_root_makes_parents(void **state)
{
	struct world w;
	struct stat st;
	int fd, again;

	world_make(&w);
	fd = path_mkdir_in_root(w.root, "/a//b/./c/", 0750);
	assert_true(fd >= 0 && inside(&w, fd));
	assert_int_equal(fstatat(w.root, "a/b/c", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	again = path_mkdir_in_root(w.root, "a/b/c", 0700);
	assert_true(again >= 0);
	close(again);
	close(fd);
	world_end(&w);
}

static void mkdir_in_root_of_nothing_is_the_root(void **state)
{
	static const char *const names[] = { "", "/", ".", "..", "../..", "/./.." };
	struct stat here, root;
	struct world w;
	size_t i;
	int fd;

	world_make(&w);
	assert_int_equal(fstat(w.root, &root), 0);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		fd = path_mkdir_in_root(w.root, names[i], 0755);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &here), 0);
		assert_int_equal(here.st_ino, root.st_ino);
		close(fd);
	}
	world_end(&w);
}

/* As in images that ship "/var/run -> /run" and no /run. */
static void mkdir_in_root_makes_the_target_of_a_dangling_link(void **state)
{
	struct world w;
	struct stat st;
	int fd;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "var", 0755), 0);
	link_to(&w, "/run", "var/run");
	link_to(&w, "../../../lock", "var/lock");
	fd = path_mkdir_in_root(w.root, "/var/run/secrets/kubernetes.io", 0755);
	assert_true(fd >= 0 && inside(&w, fd));
	close(fd);
	assert_int_equal(fstatat(w.root, "run/secrets/kubernetes.io", &st, AT_SYMLINK_NOFOLLOW), 0);
	fd = path_mkdir_in_root(w.root, "var/lock/x", 0755);
	assert_true(fd >= 0 && inside(&w, fd));
	close(fd);
	assert_int_equal(fstatat(w.root, "lock/x", &st, AT_SYMLINK_NOFOLLOW), 0);
	world_end(&w);
}

static void mkdir_in_root_refuses_what_it_must(void **state)
{
	char deep[3 * PATH_DEPTH_MAX + 8], *p;
	struct world w;
	int i, fd;

	world_make(&w);
	put(w.root, "file", "x");
	link_to(&w, "file", "to-file");
	link_to(&w, "loop2", "loop1");
	link_to(&w, "loop1", "loop2");
	assert_int_equal(path_mkdir_in_root(w.root, "file", 0755), -ENOTDIR);
	assert_int_equal(path_mkdir_in_root(w.root, "file/x", 0755), -ENOTDIR);
	assert_int_equal(path_mkdir_in_root(w.root, "to-file/x", 0755), -ENOTDIR);
	assert_int_equal(path_mkdir_in_root(w.root, "loop1", 0755), -ELOOP);
	for (p = deep, i = 0; i <= PATH_DEPTH_MAX; i++)
		p += sprintf(p, "d/");
	assert_int_equal(path_mkdir_in_root(w.root, deep, 0755), -ENAMETOOLONG);
	p[-2] = '\0';
	fd = path_mkdir_in_root(w.root, deep, 0755);
	assert_true(fd >= 0);
	close(fd);
	memset(deep, 'n', 300);
	deep[300] = '\0';
	assert_int_equal(path_mkdir_in_root(w.root, deep, 0755), -ENAMETOOLONG);
	assert_int_equal(path_mkdir_in_root(-1, "x", 0755), -EBADF);
	world_end(&w);
}

static void touch_in_root_makes_file_and_parents(void **state)
{
	struct world w;
	struct stat st;
	int fd;

	world_make(&w);
	fd = path_touch_in_root(w.root, "/etc/new/hosts", 0640);
	assert_true(fd >= 0 && inside(&w, fd));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	close(fd);
	assert_int_equal(fstatat(w.root, "etc/new", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	world_end(&w);
}

static void touch_in_root_leaves_what_is_there(void **state)
{
	struct world w;
	struct stat st;
	char *text;
	int fd;

	world_make(&w);
	put(w.root, "file", "kept");
	assert_int_equal(mkfifoat(w.root, "fifo", 0600), 0);
	link_to(&w, "file", "link");
	fd = path_touch_in_root(w.root, "link", 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISREG(st.st_mode) && st.st_size == 4);
	close(fd);
	fd = path_touch_in_root(w.root, "fifo", 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	close(fd);
	assert_int_equal(io_read_file(w.root, "file", 10, &text, NULL), 0);
	assert_string_equal(text, "kept");
	free(text);
	world_end(&w);
}

static void touch_in_root_makes_the_target_of_a_link_inside(void **state)
{
	struct world w;
	struct stat st;
	int fd;

	world_make(&w);
	link_to(&w, "../canary/planted", "resolv.conf");
	fd = path_touch_in_root(w.root, "resolv.conf", 0644);
	assert_true(fd >= 0 && inside(&w, fd));
	close(fd);
	assert_int_equal(fstatat(w.root, "canary/planted", &st, AT_SYMLINK_NOFOLLOW), 0);
	world_end(&w);
}

static void touch_in_root_refuses_directories(void **state)
{
	struct world w;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "dir", 0755), 0);
	put(w.root, "file", "x");
	assert_int_equal(path_touch_in_root(w.root, "dir", 0644), -EISDIR);
	assert_int_equal(path_touch_in_root(w.root, "dir/..", 0644), -EISDIR);
	assert_int_equal(path_touch_in_root(w.root, "", 0644), -EISDIR);
	assert_int_equal(path_touch_in_root(w.root, "file/x", 0644), -ENOTDIR);
	world_end(&w);
}

/* ---- removing ---- */

static void remove_tree_follows_no_links(void **state)
{
	struct world w;
	char target[128];

	world_make(&w);
	snprintf(target, sizeof(target), "%s/canary", w.top);
	assert_int_equal(mkdirat(w.root, "t", 0755), 0);
	link_to(&w, target, "t/abs");
	link_to(&w, "../../canary", "t/rel");
	link_to(&w, "t", "top-link");
	assert_int_equal(path_remove_tree(w.root, "t"), 0);
	assert_int_equal(faccessat(w.root, "t", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	/* A link itself is removed, not what it names. */
	link_to(&w, target, "t");
	assert_int_equal(path_remove_tree(w.root, "t"), 0);
	assert_int_equal(path_remove_tree(w.root, "top-link"), 0);
	world_end(&w);
}

static void remove_tree_takes_everything_but_a_missing_tree(void **state)
{
	struct world w;
	char name[64];
	int i, fd;

	world_make(&w);
	for (i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "t/%d/%d", i % 40, i);
		fd = i % 3 ? path_mkdir_in_root(w.root, name, 0)
			   : path_touch_in_root(w.root, name, 0);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(mkfifoat(w.root, "t/fifo", 0), 0);
	assert_int_equal(path_remove_tree(w.root, "t/"), 0);
	assert_int_equal(faccessat(w.root, "t", F_OK, 0), -1);
	assert_int_equal(path_remove_tree(w.root, "t"), 0);
	assert_int_equal(path_remove_tree(w.root, "t/x/y"), 0);
	assert_int_equal(path_remove_tree(w.root, "."), -EINVAL);
	assert_int_equal(path_remove_tree(w.root, "x/.."), -EINVAL);
	assert_int_equal(path_remove_tree(w.root, ""), 0);
	world_end(&w);
}

/* Deeper than PATH_MAX, than the open files allowed, and than a stack would like. */
static void remove_tree_takes_any_depth(void **state)
{
	struct rlimit before, few;
	struct world w;
	int fd, next, i;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "t", 0755), 0);
	fd = openat(w.root, "t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; i < 5000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0755), 0);
		put(fd, "f", "");
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = 256;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(path_remove_tree(w.root, "t"), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(faccessat(w.root, "t", F_OK, 0), -1);
	world_end(&w);
}

static void remove_tree_crosses_no_mounts(void **state)
{
	struct world w;
	char mount_point[128];
	char *text;
	int status;
	pid_t pid;

	world_make(&w);
	assert_int_equal(mkdirat(w.root, "t", 0755), 0);
	assert_int_equal(mkdirat(w.root, "t/m", 0755), 0);
	snprintf(mount_point, sizeof(mount_point), "%s/root/t/m", w.top);
	pid = fork();
	if (pid == 0) {
		char canary[128];
		int r;

		snprintf(canary, sizeof(canary), "%s/canary", w.top);
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(canary, mount_point, NULL, MS_BIND, NULL) < 0)
			_exit(100);
		r = path_remove_tree(w.root, "t");
		if (r != -EXDEV && r != -EBUSY)
			_exit(1);
		/* Nor is a mount point taken for the top of the tree. */
		r = path_remove_tree(AT_FDCWD, mount_point);
		_exit(r == -EXDEV || r == -EBUSY ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(io_read_file(w.topfd, "canary/secret", 100, &text, NULL), 0);
	free(text);
	world_end(&w);
}

static void remove_tree_survives_swapped_folders(void **state)
{
	struct world w;
	char name[64];
	pid_t pid;
	int i, j;

	world_make(&w);
	link_to(&w, "../canary", "link");
	assert_int_equal(mkdirat(w.root, "t", 0755), 0);
	pid = start_swapping(&w, "t/d", "link");
	for (i = 0; i < 500; i++) {
		close(path_mkdir_in_root(w.root, "t", 0755));
		mkdirat(w.root, "t/d", 0755);
		for (j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "t/d/%d", j);
			mkdirat(w.root, name, 0755);
		}
		path_remove_tree(w.root, "t");
	}
	stop_swapping(pid);
	path_remove_tree(w.root, "t");
	path_remove_tree(w.root, "link");
	/* What the other side made through its own link to the canary is its own business. */
	for (j = 0; j < 3; j++) {
		snprintf(name, sizeof(name), "canary/%d", j);
		unlinkat(w.topfd, name, AT_REMOVEDIR);
	}
	world_end(&w);
}

/* ---- the rest ---- */

static void mkdir_p_applies_the_mode_whatever_the_umask(void **state)
{
	char path[160];
	struct world w;
	struct stat st;
	mode_t before;

	world_make(&w);
	snprintf(path, sizeof(path), "%s/root/a/b//c/", w.top);
	before = umask(077);
	assert_int_equal(path_mkdir_p(path, 0755), 0);
	umask(before);
	assert_int_equal(fstatat(w.root, "a", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(fstatat(w.root, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	/* What is there keeps its own. */
	assert_int_equal(path_mkdir_p(path, 0700), 0);
	assert_int_equal(fstatat(w.root, "a/b/c", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	world_end(&w);
}

static void mkdir_p_refuses_what_is_no_directory(void **state)
{
	char path[160], long_path[PATH_MAX + 8];
	struct world w;

	world_make(&w);
	put(w.root, "file", "x");
	snprintf(path, sizeof(path), "%s/root/file", w.top);
	assert_int_equal(path_mkdir_p(path, 0755), -ENOTDIR);
	snprintf(path, sizeof(path), "%s/root/file/x", w.top);
	assert_int_equal(path_mkdir_p(path, 0755), -ENOTDIR);
	assert_int_equal(path_mkdir_p("", 0755), -ENOENT);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(path_mkdir_p(long_path, 0755), -ENAMETOOLONG);
	world_end(&w);
}

static void ids_are_checked(void **state)
{
	static const char *const good[] = { "a", "A-b_c.d+e", "0", "...", ".a", "-", "+" };
	static const char *const bad[] = { "",	  ".",	      "..",  "a/b", "/",   "a b",
					   "a\n", "\xc3\xa4", "a,b", "a=b", "a:b", "*" };
	char id[257];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		if (!path_id_valid(good[i]))
			fail_msg("refused: '%s'", good[i]);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (path_id_valid(bad[i]))
			fail_msg("accepted: '%s'", bad[i]);
	assert_false(path_id_valid(NULL));
	memset(id, 'a', sizeof(id));
	id[256] = '\0';
	assert_false(path_id_valid(id));
	id[255] = '\0';
	assert_true(path_id_valid(id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(open_in_root_keeps_links_and_dotdot_inside),
		leak_checked(open_in_root_creates_inside_only),
		leak_checked(open_beneath_refuses_what_leads_out),
		leak_checked(magic_links_are_not_followed),
		leak_checked(open_in_root_survives_swapped_folders),
		leak_checked(mkdir_and_touch_survive_swapped_folders),
		leak_checked(mkdir_in_root_makes_parents),
		leak_checked(mkdir_in_root_of_nothing_is_the_root),
		leak_checked(mkdir_in_root_makes_the_target_of_a_dangling_link),
		leak_checked(mkdir_in_root_refuses_what_it_must),
		leak_checked(touch_in_root_makes_file_and_parents),
		leak_checked(touch_in_root_leaves_what_is_there),
		leak_checked(touch_in_root_makes_the_target_of_a_link_inside),
		leak_checked(touch_in_root_refuses_directories),
		leak_checked(remove_tree_follows_no_links),
		leak_checked(remove_tree_takes_everything_but_a_missing_tree),
		leak_checked(remove_tree_takes_any_depth),
		leak_checked(remove_tree_crosses_no_mounts),
		leak_checked(remove_tree_survives_swapped_folders),
		leak_checked(mkdir_p_applies_the_mode_whatever_the_umask),
		leak_checked(mkdir_p_refuses_what_is_no_directory),
		leak_checked(ids_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
