/* SPDX-License-Identifier: Apache-2.0 */
/* Mount points in trees that somebody else can write, also while they are looked up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "agent/device.h"
#include "agent/mask.h"
#include "agent/mount.h"
#include "agent/mount_fs.h"
#include "agent/rootfs.h"
#include "tests/unit/agent_world.h"

#define RACES 1000

static struct world world;
static struct mount_tree tree;

static void clean(const char *path, const char *expected)
{
	char text[PATH_MAX];

	assert_int_equal(mount_clean_path(path, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
}

static void paths_are_cleaned(void **state)
{
	char small[4];

	clean("/", "/");
	clean("", "/");
	clean("proc", "/proc");
	clean("//proc///sys/", "/proc/sys");
	clean("/a/./b/../c", "/a/c");
	clean("/../../proc", "/proc");
	clean("/a/..", "/");
	clean("/..a/...", "/..a/...");
	assert_int_equal(mount_clean_path("/abcd", small, sizeof(small)), -ENAMETOOLONG);
}

static void few_files_of_proc_may_be_covered(void **state)
{
	assert_true(mount_proc_file_allowed("/proc/cpuinfo"));
	assert_true(mount_proc_file_allowed("/proc/uptime"));
	assert_false(mount_proc_file_allowed("/proc/self/attr/exec"));
	assert_false(mount_proc_file_allowed("/proc/sys/kernel/core_pattern"));
	assert_false(mount_proc_file_allowed("/proc/sysrq-trigger"));
	assert_false(mount_proc_file_allowed("/proc"));
}

static void flags_become_attributes(void **state)
{
	assert_int_equal(mount_attr_from_flags(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC),
			 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	assert_int_equal(mount_attr_from_flags(MS_RELATIME), 0);
	assert_int_equal(mount_attr_from_flags(MS_NOATIME | MS_STRICTATIME), MOUNT_ATTR_NOATIME);
}

static void unknown_types_are_refused_by_name(void **state)
{
	static const char *const types[] = { "overlay", "nfs", "ext4", "debugfs", "fuse.x", "" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct oci_mount m = { .destination = (char[]){ "/x" }, .type = (char *)(uintptr_t)types[i] };
		struct err err = ERR_INIT;
		char quoted[32];

		assert_int_equal(mount_apply(&tree, &m, NULL, false, &err), -EOPNOTSUPP);
		snprintf(quoted, sizeof(quoted), "'%s'", types[i]);
		assert_non_null(strstr(err.text, quoted));
	}
}

static void bad_option_is_named_by_the_kernel(void **state)
{
	struct oci_mount m = { .destination = (char[]){ "/x" }, .type = (char[]){ "tmpfs" },
			       .data = (char[]){ "size=1m,nonsense=1" } };
	struct err err = ERR_INIT;

	assert_int_equal(mount_apply(&tree, &m, NULL, false, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nonsense"));
	assert_non_null(strstr(err.text, "'/x'"));
}

static void root_cannot_be_covered(void **state)
{
	static const char *const names[] = { "/", "", "/..", "/a/..", "/link-to-root" };

	world_link(&world, "/", "c/rootfs/link-to-root");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct oci_mount m = { .destination = (char *)(uintptr_t)names[i],
				       .type = (char[]){ "tmpfs" } };

		assert_int_equal(mount_apply(&tree, &m, NULL, false, NULL), -EPERM);
	}
}

static void source_cannot_leave_the_share(void **state)
{
	static const char *const sources[] = { "../x", "link", "c/../../x", "/etc" };
	struct oci_mount m = { .destination = (char[]){ "/x" }, .is_bind = true };

	world_link(&world, "/etc", "link");
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		assert_true(mount_apply(&tree, &m, sources[i], false, NULL) < 0);
	assert_int_equal(mount_apply(&tree, &m, NULL, false, NULL), -EINVAL);
	assert_int_equal(mount_apply(&tree, &m, "missing", false, NULL), -ENOENT);
}

static void folder_cannot_cover_a_file_nor_a_file_a_folder(void **state)
{
	struct oci_mount m = { .destination = (char[]){ "/file" }, .is_bind = true };

	world_write(&world, "c/rootfs/file", "");
	world_write(&world, "source-file", "");
	world_mkdir(&world, "c/rootfs/dir");
	assert_int_equal(mount_apply(&tree, &m, "c", false, NULL), -ENOTDIR);
	m.destination = (char[]){ "/dir" };
	assert_int_equal(mount_apply(&tree, &m, "source-file", false, NULL), -EISDIR);
}

static void recursive_attributes_reach_the_submounts(void **state)
{
	struct oci_mount m = { .destination = (char[]){ "/rec" }, .is_bind = true, .is_recursive_bind = true,
			       .rec_attr_set = MOUNT_ATTR_RDONLY };
	char path[PATH_MAX];
	struct statfs fs;
	int fd;

	world_mkdir(&world, "sub/mount");
	snprintf(path, sizeof(path), "%s/sub/mount", world.path);
	assert_int_equal(mount("t", path, "tmpfs", 0, NULL), 0);
	assert_int_equal(mount_apply(&tree, &m, "sub", false, NULL), 0);
	fd = openat(tree.root_fd, "rec/mount", O_PATH | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstatfs(fd, &fs), 0);
	assert_true(fs.f_flags & ST_RDONLY);
	close(fd);
	assert_int_equal(statfs(path, &fs), 0);
	assert_false(fs.f_flags & ST_RDONLY);
}

static void fake_proc_is_no_place_for_files(void **state)
{
	struct oci_mount m = { .destination = (char[]){ "/proc/uptime" }, .is_bind = true };
	struct err err = ERR_INIT;

	/* No procfs is mounted: the folder is the image's own. */
	world_mkdir(&world, "c/rootfs/proc");
	world_write(&world, "uptime", "");
	assert_int_equal(mount_apply(&tree, &m, "uptime", false, &err), -EPERM);
	assert_non_null(strstr(err.text, "no procfs"));
}

static void masked_paths_with_dots_are_refused(void **state)
{
	static const char *const bad[] = { "relative", "/a/../b", "/..", "/a/.." };
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *list[] = { (char *)(uintptr_t)bad[i], NULL };

		assert_int_equal(mask_check(list, "linux.maskedPaths", &err), -EINVAL);
		assert_non_null(strstr(err.text, "linux.maskedPaths[0]"));
	}
	assert_int_equal(mask_check((char *[]){ (char[]){ "/a/..b/c.." }, NULL }, "f", NULL), 0);
	assert_int_equal(mask_check(NULL, "f", NULL), 0);
}

static void null_device_is_looked_at(void **state)
{
	char path[PATH_MAX];
	int fd = mask_open_null(NULL);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_rdev, makedev(1, 3));
	close(fd);
	/* Another device in its place, as long as this test runs. */
	snprintf(path, sizeof(path), "%s/fake", world.path);
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 5)), 0);
	assert_int_equal(mount(path, "/dev/null", NULL, MS_BIND, NULL), 0);
	assert_int_equal(mask_open_null(NULL), -EPERM);
	assert_int_equal(umount("/dev/null"), 0);
}

static void devices_that_do_harm_are_refused(void **state)
{
	assert_true(device_allowed('c', 1, 3));
	assert_true(device_allowed('c', 10, 200));
	assert_true(device_allowed('c', 10, 229));
	assert_false(device_allowed('b', 1, 3));
	assert_false(device_allowed('c', 1, 1));
	assert_false(device_allowed('c', 1, 11));
	assert_false(device_allowed('c', 10, 232));
	assert_false(device_allowed('b', 254, 0));
}

static void privileged_hosts_devices_are_left_out_and_counted(void **state)
{
	struct oci_device devices[] = { { .path = (char[]){ "/dev/sda" }, .type = 'b', .major = 8 },
					{ .path = (char[]){ "/dev/fuse" }, .type = 'c', .major = 10,
					  .minor = 229 } };
	struct oci_device_rule all = { true, 'a', -1, -1, true, true, true };
	struct oci_spec spec = { .devices = devices, .n_devices = 2 };
	struct err err = ERR_INIT;
	size_t skipped = 0;

	assert_int_equal(device_check(&spec, &skipped, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "/dev/sda"));
	spec.resources.devices = &all;
	spec.resources.n_devices = 1;
	assert_int_equal(device_check(&spec, &skipped, NULL), 0);
	assert_int_equal(skipped, 1);
}

static void device_outside_of_dev_is_refused(void **state)
{
	struct oci_device d = { .path = (char[]){ "/dev/../etc/null" }, .type = 'c', .major = 1, .minor = 3 };
	struct oci_spec spec = { .devices = &d, .n_devices = 1 };
	size_t skipped;

	assert_int_equal(device_check(&spec, &skipped, NULL), -EOPNOTSUPP);
}

static void propagation_names_are_checked(void **state)
{
	unsigned long flags = 1;

	assert_int_equal(rootfs_propagation(NULL, &flags, NULL), 0);
	assert_int_equal(flags, 0);
	assert_int_equal(rootfs_propagation("rslave", &flags, NULL), 0);
	assert_int_equal(flags, MS_SLAVE | MS_REC);
	assert_int_equal(rootfs_propagation("sideways", &flags, NULL), -EINVAL);
}

static void root_behind_a_link_is_refused(void **state)
{
	struct mount_tree t = MOUNT_TREE_INIT;

	world_link(&world, "c", "alias");
	t.share_fd = world_open(&world, ".");
	assert_int_equal(rootfs_attach(&t, "alias/rootfs", NULL), -ELOOP);
	assert_int_equal(rootfs_attach(&t, "../etc", NULL), -EXDEV);
	assert_int_equal(rootfs_attach(&t, "nothing", NULL), -ENOENT);
	mount_tree_finish(&t);
}

/* A folder and a link out of the root change places all the time, while mounts are made on the folder. */
static void racing_links_lead_nowhere(void **state)
{
	unsigned int mounted = 0;
	pid_t pid;

	world_mkdir(&world, "canary");
	world_mkdir(&world, "c/rootfs/race/a");
	world_link(&world, "../../../canary", "c/rootfs/race/b");
	pid = fork();
	if (pid == 0) {
		int dir = world_open(&world, "c/rootfs/race");

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			renameat2(dir, "a", dir, "b", RENAME_EXCHANGE);
	}
	for (int i = 0; i < RACES; i++) {
		struct oci_mount m = { .destination = (char[]){ "/race/a/x" }, .type = (char[]){ "tmpfs" } };

		mounted += mount_apply(&tree, &m, NULL, false, NULL) == 0;
		/* Take it off wherever it is, inside. */
		(void)umount2("/proc/self/cwd/race/a/x", MNT_DETACH);
		assert_int_equal(unlinkat(world.fd, "canary/x", AT_REMOVEDIR), -1);
		assert_int_equal(errno, ENOENT);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(mounted > 0);
}

static int enter(void **state)
{
	world_enter(&world);
	world_mkdir(&world, "c/rootfs");
	tree = (struct mount_tree)MOUNT_TREE_INIT;
	tree.share_fd = world_open(&world, ".");
	assert_int_equal(rootfs_attach(&tree, "c/rootfs", NULL), 0);
	assert_int_equal(fchdir(tree.root_fd), 0);
	return 0;
}

static int leave(void **state)
{
	assert_int_equal(chdir("/"), 0);
	mount_tree_finish(&tree);
	world_leave(&world);
	return 0;
}

static int fds_before;

static int count_before(void **state)
{
	fds_before = world_count_fds();
	return 0;
}

static int count_after(void **state)
{
	assert_int_equal(world_count_fds(), fds_before);
	return 0;
}

#define claim(f) cmocka_unit_test_setup_teardown(f, count_before, count_after)

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(paths_are_cleaned),
		claim(few_files_of_proc_may_be_covered),
		claim(flags_become_attributes),
		claim(unknown_types_are_refused_by_name),
		claim(bad_option_is_named_by_the_kernel),
		claim(root_cannot_be_covered),
		claim(source_cannot_leave_the_share),
		claim(folder_cannot_cover_a_file_nor_a_file_a_folder),
		claim(recursive_attributes_reach_the_submounts),
		claim(fake_proc_is_no_place_for_files),
		claim(masked_paths_with_dots_are_refused),
		claim(null_device_is_looked_at),
		claim(devices_that_do_harm_are_refused),
		claim(privileged_hosts_devices_are_left_out_and_counted),
		claim(device_outside_of_dev_is_refused),
		claim(propagation_names_are_checked),
		claim(root_behind_a_link_is_refused),
		claim(racing_links_lead_nowhere),
	};

	return cmocka_run_group_tests_name("agent mounts", tests, enter, leave);
}
