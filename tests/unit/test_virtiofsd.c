/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "hypervisor/virtiofsd.h"
#include "tests/unit/check_leaks.h"
#include "tests/unit/vm_rig.h"

static bool has_arg(char **argv, const char *arg)
{
	for (; *argv; argv++)
		if (strcmp(*argv, arg) == 0)
			return true;
	return false;
}

static void flavour_is_told_by_the_version(void **state)
{
	enum file_server_flavour flavour;

	assert_int_equal(
		file_server_flavour_parse("virtiofsd version 7.2.22 (Debian 1:7.2)\n", &flavour),
		0);
	assert_int_equal(flavour, FILE_SERVER_C);
	assert_int_equal(file_server_flavour_parse("virtiofsd 1.10.1\n", &flavour), 0);
	assert_int_equal(flavour, FILE_SERVER_RUST);
	assert_int_equal(file_server_flavour_parse("virtiofsd backend 1.4.0\n", &flavour), 0);
	assert_int_equal(flavour, FILE_SERVER_RUST);
	assert_int_equal(file_server_flavour_parse("", &flavour), -EINVAL);
	assert_int_equal(file_server_flavour_parse("virtiofsd", &flavour), -EINVAL);
	assert_int_equal(file_server_flavour_parse("virtiofsd: unknown option", &flavour), -EINVAL);
}

static void folder_cannot_add_options(void **state)
{
	char **argv;

	assert_int_equal(file_server_argv(FILE_SERVER_C, "/v", "/a,sandbox=none\\b", 3, &argv), 0);
	assert_true(has_arg(argv, "source=/a\\,sandbox=none\\\\b"));
	assert_true(has_arg(argv, "--fd=3"));
	file_server_free_argv(argv);
	assert_int_equal(file_server_argv(FILE_SERVER_RUST, "/v", "/a,sandbox=none", 3, &argv), 0);
	assert_true(has_arg(argv, "--shared-dir=/a,sandbox=none"));
	assert_true(has_arg(argv, "--sandbox=namespace"));
	assert_true(has_arg(argv, "--announce-submounts"));
	assert_false(has_arg(argv, "-f"));
	file_server_free_argv(argv);
}

static int try_create(struct rig *rig, const char *path, const char *dir, struct err *err)
{
	const struct file_server_config config = { .path = path,
						   .dir = dir,
						   .state_dirfd = rig->dirfd };
	struct file_server *fs = NULL;
	int r = file_server_create(rig->loop, &config, NULL, NULL, &fs, err);

	if (r == 0)
		r = file_server_start(fs, err);
	file_server_destroy(fs);
	return r;
}

static void create_refuses_what_is_no_virtiofsd(void **state)
{
	struct rig *rig = rig_setup();
	struct err err = ERR_INIT;

	assert_int_equal(try_create(rig, "/nowhere/virtiofsd", rig->dir, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nowhere/virtiofsd"));
	assert_int_equal(try_create(rig, "/bin/true", rig->dir, &err), -EINVAL);
	assert_non_null(strstr(err.text, "/bin/true"));
	assert_int_equal(try_create(rig, NULL, "relative", &err), -EINVAL);
	assert_int_equal(try_create(rig, NULL, "/nowhere/folder", &err), -ENOENT);
	assert_int_equal(faccessat(rig->dirfd, "virtiofsd.sock", F_OK, 0), -1);
	rig_teardown(rig);
}

/* ---- with a real guest ---- */

struct shared {
	struct rig *rig;
	struct file_server *fs;
	char dir[100];
	bool exited;
	char reason[512];
};

static void on_server_exit(struct file_server *fs, int status, const char *reason, void *userdata)
{
	struct shared *s = userdata;

	s->exited = true;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

/* What the monitor does: a private mount namespace, the folder a shared mount in it. */
static void share(struct shared *s)
{
	struct file_server_config config = { .dir = s->dir };
	struct err err = ERR_INIT;

	s->rig = rig_setup();
	snprintf(s->dir, sizeof(s->dir), "%s/share, with=comma", s->rig->dir);
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mkdir(s->dir, 0755), 0);
	assert_int_equal(mount(s->dir, s->dir, NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, s->dir, NULL, MS_SHARED, NULL), 0);
	config.state_dirfd = s->rig->dirfd;
	if (file_server_create(s->rig->loop, &config, on_server_exit, s, &s->fs, &err) < 0 ||
	    file_server_start(s->fs, &err) < 0)
		fail_msg("%s", err.text);
}

static void boot_with_share(struct shared *s)
{
	_cleanup_close_ int fd = file_server_take_socket(s->fs);
	struct vm_config config = rig_config(s->rig);

	assert_true(fd >= 0);
	assert_int_equal(file_server_take_socket(s->fs), -EBADF);
	config.share_fd = fd;
	config.share_tag = "onggi";
	rig_boot_config(s->rig, &config);
	rig_sh_ok(s->rig, "mount -t virtiofs onggi /mnt");
}

static void unshare_folder(struct shared *s)
{
	vm_destroy(s->rig->vm);
	s->rig->vm = NULL;
	file_server_destroy(s->fs);
	umount2(s->dir, MNT_DETACH);
	rig_teardown(s->rig);
}

static void make_dir(struct shared *s, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void mount_tmpfs(struct shared *s, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, "size=1m"), 0);
}

/* Must succeed at once: nobody of ours keeps it busy. */
static void unmount(struct shared *s, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	assert_int_equal(umount2(path, UMOUNT_NOFOLLOW), 0);
}

static void late_mount_appears_and_can_become_readonly(void **state)
{
	struct shared s = { 0 };
	struct err err = ERR_INIT;

	share(&s);
	boot_with_share(&s);
	make_dir(&s, "late");
	mount_tmpfs(&s, "late");
	make_dir(&s, "late/inner");
	mount_tmpfs(&s, "late/inner");
	rig_sh_ok(
		s.rig,
		"echo one >/mnt/late/file && echo two >/mnt/late/inner/file && stat -f -c %T /mnt/late");
	rig_sh_ok(s.rig, "grep -c ' /mnt/late' /proc/mounts");
	assert_string_equal(s.rig->out, "2\n"); /* announced as mounts of their own */

	assert_int_equal(file_server_set_readonly(s.fs, "late", &err), 0);
	rig_sh_ok(s.rig, "cat /mnt/late/file /mnt/late/inner/file");
	assert_string_equal(s.rig->out, "one\ntwo\n");
	assert_int_not_equal(rig_sh(s.rig, "echo x >>/mnt/late/file"), 0);
	assert_non_null(strstr(s.rig->out, "Read-only file system"));
	assert_int_not_equal(rig_sh(s.rig, "echo x >/mnt/late/inner/new"), 0);
	assert_non_null(strstr(s.rig->out, "Read-only file system"));
	assert_int_not_equal(rig_sh(s.rig, "mount -o remount,rw /mnt/late; rm /mnt/late/file"), 0);
	rig_sh_ok(
		s.rig,
		"echo elsewhere >/mnt/file && chown 1234:5678 /mnt/file && chmod 4711 /mnt/file && "
		"mknod /mnt/fifo p && mknod /mnt/null c 1 3 && stat -c '%u %g %a' /mnt/file");
	assert_string_equal(s.rig->out, "1234 5678 4711\n");
	/* only there, not on our side */
	make_dir(&s, "late/ours");

	rig_sh_ok(s.rig, "echo 2 >/proc/sys/vm/drop_caches");
	vm_destroy(s.rig->vm);
	s.rig->vm = NULL;
	file_server_destroy(s.fs);
	s.fs = NULL;
	unmount(&s, "late/inner");
	unmount(&s, "late");
	unshare_folder(&s);
}

static void set_readonly_wants_a_mount_and_follows_no_link(void **state)
{
	struct shared s = { 0 };
	struct err err = ERR_INIT;

	share(&s);
	boot_with_share(&s);
	make_dir(&s, "dir");
	make_dir(&s, "mount");
	mount_tmpfs(&s, "mount");
	rig_sh_ok(s.rig, "ln -s mount /mnt/link; ln -s / /mnt/root");
	assert_int_equal(file_server_set_readonly(s.fs, "dir", &err), -EINVAL);
	assert_int_equal(file_server_set_readonly(s.fs, "link", &err), -ELOOP);
	assert_int_equal(file_server_set_readonly(s.fs, "root/mount", &err), -ELOOP);
	assert_int_equal(file_server_set_readonly(s.fs, "../../nowhere", &err), -ENOENT);
	assert_int_equal(file_server_set_readonly(s.fs, "nowhere", &err), -ENOENT);
	assert_non_null(strstr(err.text, "nowhere"));
	rig_sh_ok(s.rig, "exec 9>/mnt/mount/open");
	assert_int_equal(file_server_set_readonly(s.fs, "mount", &err), -EBUSY);
	rig_sh_ok(s.rig, "exec 9>&-");
	unshare_folder(&s);
}

static void server_that_ends_is_reported(void **state)
{
	struct shared s = { 0 };
	struct err err = ERR_INIT;

	share(&s);
	kill(file_server_pid(s.fs), SIGKILL);
	rig_wait(s.rig, &s.exited);
	assert_int_equal(file_server_pid(s.fs), -1);
	assert_int_equal(file_server_set_readonly(s.fs, "x", &err), -ESRCH);
	unshare_folder(&s);
}

/* pidfd of the process that serves, once it is there; -1 if it never comes. */
static int inner_pidfd(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	for (int i = 0; i < RIG_LIMIT_MS / 10; i++) {
		_cleanup_free_ char *text = NULL;

		if (io_read_file(AT_FDCWD, path, 256, &text, NULL) == 0 && atoi(text) > 0)
			return (int)syscall(SYS_pidfd_open, atoi(text), 0);
		usleep(10000);
	}
	return -1;
}

static void server_dies_with_its_parent(void **state)
{
	struct shared s = { 0 };
	int pipe_fds[2], inner, outer;
	pid_t parent, pid;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		share(&s);
		pid = file_server_pid(s.fs);
		(void)!write(pipe_fds[1], &pid, sizeof(pid));
		(void)!write(pipe_fds[1], s.rig->dir, sizeof(s.rig->dir));
		loop_run(s.rig->loop);
		_exit(0);
	}
	char dir[64];

	assert_int_equal(read(pipe_fds[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(read(pipe_fds[0], dir, sizeof(dir)), sizeof(dir));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	outer = (int)syscall(SYS_pidfd_open, pid, 0);
	inner = inner_pidfd(pid);
	assert_true(outer >= 0 && inner >= 0);
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(poll(&(struct pollfd){ .fd = outer, .events = POLLIN }, 1, RIG_LIMIT_MS), 1);
	assert_int_equal(poll(&(struct pollfd){ .fd = inner, .events = POLLIN }, 1, RIG_LIMIT_MS), 1);
	close(outer);
	close(inner);
	assert_int_equal(path_remove_tree(AT_FDCWD, dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(flavour_is_told_by_the_version),
		leak_checked(folder_cannot_add_options),
		leak_checked(create_refuses_what_is_no_virtiofsd),
		leak_checked(server_that_ends_is_reported),
		leak_checked(server_dies_with_its_parent),
		leak_checked(late_mount_appears_and_can_become_readonly),
		leak_checked(set_readonly_wants_a_mount_and_follows_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
