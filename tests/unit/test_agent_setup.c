/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole containers from spec to exit, on the machine that builds: as root, in a mount namespace of its own, with
 * busybox as the image. The guest's kernel and version 2 controllers are for the tests in virtual machines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "tests/unit/agent_container.h"

/* ---- what a container sees ------------------------------------------------------------------- */

static void program_runs_with_its_exit_code(void **state)
{
	struct config c = { .args = SH("echo hello; exit 7") };

	assert_int_equal(run_in("rootfs", &c, output), 7);
	assert_string_equal(output, "hello\n");
}

static void init_is_pid_1_and_alone(void **state)
{
	struct config c = { .args = SH("echo $$; set -- /proc/[0-9]*; echo $#") };

	expect_output(&c, "1\n1\n");
}

static void hostname_is_set(void **state)
{
	struct config c = { .args = "[\"hostname\"]" };

	expect_output(&c, "jar\n");
}

static void no_descriptor_is_left_over(void **state)
{
	/* Of the shell, so not as its last command; and no pipeline, an end of which it would hold. */
	struct config c = { .args = SH("ls /proc/1/fd; true") };

	expect_output(&c, "0\n1\n2\n");
}

static void only_the_specs_mounts_are_there(void **state)
{
	struct config c = { .args = SH("cut -d ' ' -f 5 /proc/self/mountinfo | sort") };

	expect_output(&c, "/\n/dev\n/dev/pts\n/proc\n/tmp\n");
}

static void devices_are_there_and_work(void **state)
{
	struct config c = { .args = SH("cd /dev; ls | tr '\\\\n' ' '; echo; echo x > null; "
				       "head -c 2 zero | wc -c; readlink ptmx; readlink fd; readlink stdout; "
				       "stat -c %a null; echo x > full || echo full") };

	assert_int_equal(run_in("rootfs", &c, output), 0);
	assert_non_null(strstr(output, "fd full null ptmx pts random stderr stdin stdout tty urandom zero \n"
				       "2\npts/ptmx\n/proc/self/fd\n/proc/self/fd/1\n666\n"));
	assert_non_null(strstr(output, "full\n"));
}

static void without_a_dev_mount_the_image_is_not_written_to(void **state)
{
	struct config c = { .args = "[\"stat\",\"-f\",\"-c\",\"%T\",\"/dev\"]", .no_dev = true };

	expect_output(&c, "tmpfs\n");
	assert_false(world_exists(&world, "rootfs/dev/null"));
}

static void readonly_root_is_readonly_and_tmpfs_is_not(void **state)
{
	struct config c = { .args = SH("touch /x 2>/dev/null || echo ro; touch /tmp/x && echo rw"),
			    .readonly = true };

	expect_output(&c, "ro\nrw\n");
}

static void masked_and_readonly_paths_hold(void **state)
{
	struct config c = {
		.args = SH("cat /proc/timer_list | wc -c; ls /proc/fs | wc -l; "
			   "echo 1 2>&- > /proc/sys/kernel/panic; echo $?; cat /etc/secret | wc -c"),
		.linux_ = ",\"maskedPaths\":[\"/proc/timer_list\",\"/proc/fs\",\"/etc/secret\","
			  "\"/does/not/exist\"],\"readonlyPaths\":[\"/proc/sys\",\"/nor/this\"]",
	};

	world_write(&world, "rootfs/etc/secret", "secret");
	expect_output(&c, "0\n0\n1\n0\n");
}

static void tmpfs_can_be_filled_with_what_it_covers(void **state)
{
	struct config c = {
		.args = SH("cat /full/a/file; readlink /full/link; stat -c %a:%u /full/a/file; "
			   "touch /full/new && echo rw; stat -f -c %T /full"),
		.mounts = ",{\"destination\":\"/full\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
			  "\"options\":[\"tmpcopyup\"]}",
	};

	world_mkdir(&world, "rootfs/full/a");
	world_write(&world, "rootfs/full/a/file", "text\n");
	assert_int_equal(fchownat(world.fd, "rootfs/full/a/file", 7, 8, 0), 0);
	assert_int_equal(fchmodat(world.fd, "rootfs/full/a/file", 04755, 0), 0);
	world_link(&world, "/nowhere", "rootfs/full/link");
	expect_output(&c, "text\n/nowhere\n4755:7\nrw\ntmpfs\n");
	assert_false(world_exists(&world, "rootfs/full/new"));
}

static void binds_come_with_their_flags(void **state)
{
	char dir[PATH_MAX], file[PATH_MAX];
	const struct setup_mount_source sources[] = { { 4, dir }, { 5, file } };
	struct config c = {
		.args = SH("cat /vol/x /file; echo y > /vol/y; echo z 2>&- > /file; echo $?; "
			   "grep -c ' /file ro,.*nosuid' /proc/self/mountinfo"),
		.mounts = ",{\"destination\":\"/vol\",\"type\":\"bind\",\"source\":\"/a\",\"options\":"
			  "[\"rbind\",\"rw\",\"rprivate\"]},{\"destination\":\"/file\",\"type\":\"bind\","
			  "\"source\":\"/b\",\"options\":[\"bind\",\"ro\",\"nosuid\"]}",
		.sources = sources,
		.n_sources = 2,
	};

	snprintf(dir, sizeof(dir), "%s/volume", world.path);
	snprintf(file, sizeof(file), "%s/volume/x", world.path);
	world_mkdir(&world, "volume");
	world_write(&world, "volume/x", "x\n");
	expect_output(&c, "x\nx\n1\n1\n");
	assert_true(world_exists(&world, "volume/y"));
}

static void cgroup_mount_shows_the_containers_own(void **state)
{
	struct config c = {
		.args = SH("cat /sys/fs/cgroup/cgroup.procs; cat /proc/self/cgroup | grep ^0; "
			   "mkdir /sys/fs/cgroup/x 2>&- || echo ro"),
		.mounts = ",{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":"
			  "[\"ro\"]},{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":"
			  "\"cgroup\",\"options\":[\"ro\",\"nosuid\"]}",
	};

	assert_int_equal(run_in("rootfs", &c, output), 0);
	assert_memory_equal(output, "1\n", 2);
	assert_non_null(strstr(output, "\n0::/\n"));
	assert_non_null(strstr(output, "\nro\n"));
}

static void mqueue_is_that_of_the_ipc_namespace(void **state)
{
	struct config c = {
		.args = "[\"stat\",\"-f\",\"-c\",\"%t\",\"/dev/mqueue\"]",
		.mounts = ",{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\"}",
	};

	expect_output(&c, "19800202\n");
}

static void working_folder_is_made(void **state)
{
	struct config c = { .args = "[\"pwd\"]", .cwd = "/made/for/me" };

	expect_output(&c, "/made/for/me\n");
}

/* ---- privileges ------------------------------------------------------------------------------ */

static void capabilities_are_exact(void **state)
{
	struct config c = {
		.args = "[\"grep\",\"^Cap\",\"/proc/self/status\"]",
		.caps = "[\"CAP_CHOWN\",\"CAP_KILL\"]",
	};

	expect_output(&c, "CapInh:\t0000000000000000\nCapPrm:\t0000000000000021\n"
			  "CapEff:\t0000000000000021\nCapBnd:\t0000000000000021\n"
			  "CapAmb:\t0000000000000000\n");
}

static void user_has_no_capabilities_unless_ambient(void **state)
{
	struct config c = {
		.args = SH("grep -E '^(CapPrm|CapEff|CapBnd|Uid|Gid|Groups)' /proc/self/status; umask; "
			   "echo $HOME"),
		.caps = "[\"CAP_CHOWN\"]",
		.user = "{\"uid\":1000,\"gid\":1001,\"additionalGids\":[5,6],\"umask\":63}",
	};

	world_write(&world, "rootfs/etc/passwd", "root:x:0:0::/root:/bin/sh\nme:x:1000:1001::/home/me:/\n");
	expect_output(&c, "Uid:\t1000\t1000\t1000\t1000\nGid:\t1001\t1001\t1001\t1001\nGroups:\t5 6 \n"
			  "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
			  "CapBnd:\t0000000000000001\n0077\n/home/me\n");
}

static void ambient_capabilities_reach_the_user(void **state)
{
	struct config c = {
		.args = "[\"grep\",\"-E\",\"^Cap(Inh|Eff|Amb)\",\"/proc/self/status\"]",
		.user = "{\"uid\":1000,\"gid\":1000}",
		.caps = "[\"CAP_CHOWN\"]",
		.ambient = ",\"inheritable\":[\"CAP_CHOWN\"],\"ambient\":[\"CAP_CHOWN\",\"CAP_KILL\"]",
	};

	expect_output(&c, "CapInh:\t0000000000000001\nCapEff:\t0000000000000001\n"
			  "CapAmb:\t0000000000000001\n");
}

static void fifo_as_passwd_does_not_stop_the_start(void **state)
{
	struct config c = { .args = SH("echo $HOME") };

	unlinkat(world.fd, "rootfs/etc/passwd", 0);
	assert_int_equal(mkfifoat(world.fd, "rootfs/etc/passwd", 0644), 0);
	expect_output(&c, "/\n");
	assert_int_equal(unlinkat(world.fd, "rootfs/etc/passwd", 0), 0);
}

static void seccomp_filter_holds_without_no_new_privs(void **state)
{
	struct config c = {
		.args = SH("grep -E '^(Seccomp|NoNewPrivs|CapEff):' /proc/self/status; mkdir /tmp/x; sync"),
		.linux_ = SECCOMP,
	};

	assert_int_equal(run_in("rootfs", &c, output), 128 + SIGSYS);
	assert_non_null(strstr(output, "CapEff:\t0000000000000000\n"));
	assert_non_null(strstr(output, "NoNewPrivs:\t0\nSeccomp:\t2\n"));
	assert_non_null(strstr(output, "Operation not supported"));
}

static void seccomp_filter_holds_with_no_new_privs(void **state)
{
	struct config c = {
		.args = SH("grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; mkdir /tmp/x || true"),
		.linux_ = SECCOMP,
		.process = ",\"noNewPrivileges\":true",
		.user = "{\"uid\":1,\"gid\":1}",
	};

	assert_int_equal(run_in("rootfs", &c, output), 0);
	assert_non_null(strstr(output, "NoNewPrivs:\t1\nSeccomp:\t2\n"));
	assert_non_null(strstr(output, "Operation not supported"));
}

static void limits_and_oom_score_are_set(void **state)
{
	struct config c = {
		.args = SH("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj"),
		.process = ",\"oomScoreAdj\":100,\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":99,"
			   "\"hard\":111},{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":0}]",
	};

	expect_output(&c, "99\n111\n0\n100\n");
}

/* The fields 19, 40 and 41 of stat: nice, real time priority, policy. */
static void scheduling_is_applied(void **state)
{
	char want[64];
	struct config c = {
		.args = SH("cut -d' ' -f19,40,41 /proc/self/stat; ionice -p $$"),
		.process = ",\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":5},"
			   "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_IDLE\",\"priority\":0}",
		.user = "{\"uid\":1,\"gid\":1}",
	};

	expect_output(&c, "5 0 3\nidle\n");
	c.process = ",\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":3},"
		    "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":6}";
	/* A real time process has no use for a nice value and keeps the one it came with. */
	snprintf(want, sizeof(want), "%d 3 2\nrealtime: prio 6\n", getpriority(PRIO_PROCESS, 0));
	expect_output(&c, want);
}

static void scheduling_that_the_kernel_refuses_is_named(void **state)
{
	struct config c = { .process = ",\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":5,"
				       "\"deadline\":4,\"period\":3}" };

	expect_failure(&c, -EINVAL, "process.scheduler");
}

static void personality_is_applied(void **state)
{
	struct config c = { .args = SH("uname -m"), .linux_ = ",\"personality\":{\"domain\":\"LINUX32\"}" };

	expect_output(&c, "i686\n");
	c.linux_ = ",\"personality\":{\"domain\":\"LINUX\"}";
	expect_output(&c, "x86_64\n");
}

static void sysctl_of_the_ipc_namespace_is_set(void **state)
{
	struct config c = { .args = "[\"cat\",\"/proc/sys/kernel/shmmni\"]",
			    .linux_ = ",\"sysctl\":{\"kernel.shmmni\":\"1234\"}" };

	expect_output(&c, "1234\n");
}

static void device_rules_forbid_other_devices(void **state)
{
	struct config c = {
		.args = SH("mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg 2>&1 | grep -c permitted; "
			   "echo x > /dev/null && echo null"),
		.caps = "[\"CAP_MKNOD\",\"CAP_DAC_OVERRIDE\"]",
		.linux_ = ",\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}",
	};

	expect_output(&c, "1\nnull\n");
}

/* ---- terminal -------------------------------------------------------------------------------- */

static void terminal_is_the_containers_own(void **state)
{
	struct config c = { .args = SH("tty; test -t 1 && echo tty; ls -l /dev/console | cut -c1; "
				       "stat -c %t:%T /dev/console"), .terminal = true };

	assert_int_equal(run_in("rootfs", &c, output), 0);
	assert_string_equal(output, "/dev/pts/0\r\ntty\r\nc\r\n88:0\r\n");
}

/* ---- evil images ----------------------------------------------------------------------------- */

static void links_for_proc_sys_and_dev_are_refused(void **state)
{
	struct config c = { .mounts = ",{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"s\"}" };
	static const char *const names[] = { "proc", "sys", "dev" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];

		snprintf(path, sizeof(path), "evil%zu", i);
		world_mkdir(&world, path);
		snprintf(path, sizeof(path), "evil%zu/etc", i);
		world_mkdir(&world, path);
		snprintf(path, sizeof(path), "evil%zu/%s", i, names[i]);
		world_link(&world, "etc", path);
		snprintf(path, sizeof(path), "evil%zu", i);
		expect_failure_in(path, &c, -EPERM, "ordinary directory");
	}
}

static void link_for_dev_without_a_mount_is_refused(void **state)
{
	struct config c = { .no_dev = true };

	expect_failure_in("evil2", &c, -EPERM, "/dev must be an ordinary directory");
	assert_false(world_exists(&world, "evil2/etc/null"));
}

static void nothing_is_mounted_inside_proc(void **state)
{
	struct config c = { .mounts = ",{\"destination\":\"/proc/sys\",\"type\":\"tmpfs\",\"source\":\"t\"}" };

	expect_failure(&c, -EPERM, "inside /proc");
	c.mounts = ",{\"destination\":\"/proc/../proc/self/attr\",\"type\":\"tmpfs\",\"source\":\"t\"}";
	expect_failure(&c, -EPERM, "inside /proc");
	c.mounts = ",{\"destination\":\"/proc\",\"type\":\"tmpfs\",\"source\":\"t\"}";
	expect_failure(&c, -EPERM, "only procfs");
	world_link(&world, "/proc/sys", "rootfs/trap");
	c.mounts = ",{\"destination\":\"/trap\",\"type\":\"tmpfs\",\"source\":\"t\"}";
	expect_failure(&c, -EPERM, "inside /proc");
	c.mounts = ",{\"destination\":\"/trap/kernel\",\"type\":\"tmpfs\",\"source\":\"t\"}";
	expect_failure(&c, -EPERM, "inside /proc");
}

static void links_out_of_the_root_stay_inside(void **state)
{
	struct config c = {
		.args = "[\"stat\",\"-f\",\"-c\",\"%T\",\"/canary\"]",
		.mounts = ",{\"destination\":\"/out\",\"type\":\"tmpfs\",\"source\":\"t\"}",
	};

	world_mkdir(&world, "canary");
	world_link(&world, "../../../../canary", "rootfs/out");
	expect_output(&c, "tmpfs\n");
	assert_true(world_exists(&world, "rootfs/canary"));
}

static void image_with_a_fake_null_masks_with_the_real_one(void **state)
{
	struct config c = {
		.args = SH("stat -c %t:%T /etc/secret; cat /etc/hostname2; chmod 0 /etc/secret 2>&- || echo no"),
		.linux_ = ",\"maskedPaths\":[\"/etc/secret\"]",
		.no_dev = true,
	};

	world_write(&world, "rootfs/etc/hostname2", "canary\n");
	world_link(&world, "/etc/hostname2", "rootfs/dev/null");
	expect_output(&c, "1:3\ncanary\nno\n");
	assert_int_equal(unlinkat(world.fd, "rootfs/dev/null", 0), 0);
}

static void working_folder_cannot_be_a_descriptor(void **state)
{
	char cwd[64];
	struct config c = { .cwd = cwd };

	for (int fd = 3; fd < 64; fd++) {
		struct err err = ERR_INIT;
		static struct container ct;

		snprintf(cwd, sizeof(cwd), "/proc/self/fd/%d", fd);
		assert_true(create(&ct, "c1", "rootfs", &c, &err) < 0);
		discard(&ct);
	}
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void unsupported_parts_are_refused_by_name(void **state)
{
	static const struct {
		struct config c;
		int code;
		const char *text;
	} cases[] = {
		{ { .mounts = ",{\"destination\":\"/x\",\"type\":\"nfs\",\"source\":\"s\"}" }, -EOPNOTSUPP,
		  "type 'nfs'" },
		{ { .mounts = ",{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/s\",\"options\":"
			      "[\"bind\"]}" }, -EINVAL, "mounts[4]" },
		{ { .linux_ = ",\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":8,\"minor\":0}]" },
		  -EOPNOTSUPP, "/dev/sda" },
		{ { .linux_ = ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\","
			      "\"syscalls\":[{\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\"}]}" }, -EOPNOTSUPP,
		  "linux.seccomp.listenerPath" },
		{ { .linux_ = ",\"resources\":{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,"
			      "\"rate\":9}]}}" }, -EOPNOTSUPP, "throttleReadBpsDevice" },
		{ { .user = "{\"uid\":2147483648,\"gid\":0}" }, -EINVAL, "2147483648" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect_failure(&cases[i].c, cases[i].code, cases[i].text);
}

static void missing_program_is_reported_in_runcs_words(void **state)
{
	struct config c = { .args = "[\"nosuch\"]" };

	expect_failure(&c, -ENOENT, "exec: \"nosuch\": executable file not found in $PATH");
	c.args = "[\"/bin/nosuch\"]";
	expect_failure(&c, -ENOENT, "exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory");
	c.args = "[\"/etc\"]";
	expect_failure(&c, -EACCES, "exec: \"/etc\": is a directory: permission denied");
}

static void agents_binary_is_not_run_in_a_container(void **state)
{
	struct config c = { .args = "[\"/proc/self/exe\"]" };

	expect_failure(&c, -EACCES, "exec: \"/proc/self/exe\": permission denied");
	world_link(&world, "/proc/self/exe", "rootfs/bin/evil");
	c.args = "[\"evil\"]";
	expect_failure(&c, -ENOENT, "exec: \"evil\": executable file not found in $PATH");
}

static void broken_program_fails_at_start(void **state)
{
	struct config c = { .args = "[\"/bin/garbage\"]" };
	struct err err = ERR_INIT;
	static struct container ct;

	world_write(&world, "rootfs/bin/garbage", "\1\2\3");
	assert_int_equal(create(&ct, "c1", "rootfs", &c, &err), 0);
	assert_int_equal(start(&ct, &err), -ENOEXEC);
	assert_string_equal(err.text, "exec /bin/garbage: exec format error");
	assert_true(setup_process_program_failed(ct.init));
	discard(&ct);
}

static void same_id_twice_is_refused(void **state)
{
	struct config c = { 0 };
	struct err err = ERR_INIT;
	static struct container a, b;

	assert_int_equal(prepare(&a, "c1", "rootfs", &c, &err), 0);
	assert_int_equal(prepare(&b, "c1", "rootfs", &c, &err), -EEXIST);
	discard(&b);
	discard(&a);
}

static void child_ends_when_the_agent_gives_up(void **state)
{
	struct config c = { 0 };
	struct err err = ERR_INIT;
	static struct container ct;

	assert_int_equal(create(&ct, "c1", "rootfs", &c, &err), 0);
	setup_process_destroy(TAKE_PTR(ct.init));
	assert_int_equal(reap(ct.pidfd), 1);
	discard(&ct);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(program_runs_with_its_exit_code),
		claim(init_is_pid_1_and_alone),
		claim(hostname_is_set),
		claim(no_descriptor_is_left_over),
		claim(only_the_specs_mounts_are_there),
		claim(devices_are_there_and_work),
		claim(without_a_dev_mount_the_image_is_not_written_to),
		claim(readonly_root_is_readonly_and_tmpfs_is_not),
		claim(masked_and_readonly_paths_hold),
		claim(tmpfs_can_be_filled_with_what_it_covers),
		claim(binds_come_with_their_flags),
		claim(cgroup_mount_shows_the_containers_own),
		claim(mqueue_is_that_of_the_ipc_namespace),
		claim(working_folder_is_made),
		claim(capabilities_are_exact),
		claim(user_has_no_capabilities_unless_ambient),
		claim(ambient_capabilities_reach_the_user),
		claim(fifo_as_passwd_does_not_stop_the_start),
		claim(seccomp_filter_holds_without_no_new_privs),
		claim(seccomp_filter_holds_with_no_new_privs),
		claim(limits_and_oom_score_are_set),
		claim(scheduling_is_applied),
		claim(scheduling_that_the_kernel_refuses_is_named),
		claim(personality_is_applied),
		claim(sysctl_of_the_ipc_namespace_is_set),
		claim(device_rules_forbid_other_devices),
		claim(terminal_is_the_containers_own),
		claim(links_for_proc_sys_and_dev_are_refused),
		claim(link_for_dev_without_a_mount_is_refused),
		claim(nothing_is_mounted_inside_proc),
		claim(links_out_of_the_root_stay_inside),
		claim(image_with_a_fake_null_masks_with_the_real_one),
		claim(working_folder_cannot_be_a_descriptor),
		claim(unsupported_parts_are_refused_by_name),
		claim(missing_program_is_reported_in_runcs_words),
		claim(agents_binary_is_not_run_in_a_container),
		claim(broken_program_fails_at_start),
		claim(same_id_twice_is_refused),
		claim(child_ends_when_the_agent_gives_up),
	};

	return cmocka_run_group_tests_name("agent setup", tests, enter, leave);
}
