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

#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>

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

#define SECCOMP                                                                                      \
	",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":[\"SCMP_ARCH_X86_64\","  \
	"\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\"],\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\","       \
	"\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95},{\"names\":[\"sync\"],"      \
	"\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}"

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

/* ---- user namespaces ------------------------------------------------------------------------- */

#define MAPPED(uid) ",\"uidMappings\":[{\"containerID\":0,\"hostID\":" #uid ",\"size\":65536}]," \
		    "\"gidMappings\":[{\"containerID\":0,\"hostID\":" #uid ",\"size\":65536}]"
static const struct setup_shared_namespace user_key[] = { { OCI_NS_USER, "user1" } };

static void time_namespace_has_the_offsets_of_the_spec(void **state)
{
	struct config c = {
		.args = SH("cut -d. -f1 /proc/uptime | grep -cE '^[0-9]{9,}'; tr -s ' ' < /proc/self/timens_offsets"),
		.namespaces = ",{\"type\":\"pid\"},{\"type\":\"time\"}",
		.linux_ = ",\"timeOffsets\":{\"monotonic\":{\"secs\":7,\"nanosecs\":8},\"boottime\":{\"secs\":500000000}}",
	};
	struct config plain = { .args = SH("tr -s ' ' < /proc/self/timens_offsets") };

	expect_output(&c, "1\nmonotonic 7 8\nboottime 500000000 0\n");
	expect_output(&plain, "monotonic 0 0\nboottime 0 0\n");
}

static void time_offset_that_the_kernel_refuses_is_named(void **state)
{
	struct config c = {
		.namespaces = ",{\"type\":\"time\"}",
		.linux_ = ",\"timeOffsets\":{\"boottime\":{\"secs\":-5000000000}}",
	};

	expect_failure(&c, -ERANGE, "linux.timeOffsets: boottime");
}

static void user_namespace_maps_the_containers_root(void **state)
{
	struct config c = {
		.args = SH("id -u; tr -s ' ' < /proc/self/uid_map; touch /tmp/x; stat -c %u:%g /tmp/x /tmp /dev /dev/null; "
			   "chown 5:6 /tmp/x && stat -c %u:%g /tmp/x; grep CapEff /proc/self/status"),
		.namespaces = ",{\"type\":\"pid\"},{\"type\":\"user\"}", .linux_ = MAPPED(200000),
		.shared = user_key, .n_shared = 1, .caps = "[\"CAP_CHOWN\",\"CAP_SYS_ADMIN\"]",
	};

	assert_int_equal(fchownat(world.fd, "rootfs", 200000, 200000, 0), 0);
	expect_output(&c, "0\n 0 200000 65536\n0:0\n0:0\n0:0\n0:0\n5:6\nCapEff:\t0000000000200001\n");
	assert_int_equal(fchownat(world.fd, "rootfs", 0, 0, 0), 0);
}

static void user_namespace_owns_the_mounts_and_they_are_locked(void **state)
{
	struct config c = {
		.args = SH("mount -t tmpfs none /mnt && echo mounted; umount /tmp 2>/dev/null || echo locked; "
			   "mount -o remount,rw /ro 2>/dev/null; touch /ro/x 2>/dev/null || echo ro"),
		.mounts = ",{\"destination\":\"/ro\",\"type\":\"tmpfs\",\"source\":\"x\",\"options\":[\"ro\"]}",
		.namespaces = ",{\"type\":\"pid\"},{\"type\":\"user\"}", .linux_ = MAPPED(200000),
		.shared = user_key, .n_shared = 1, .caps = "[\"CAP_SYS_ADMIN\"]",
	};

	world_mkdir(&world, "rootfs/mnt");
	world_mkdir(&world, "rootfs/ro");
	expect_output(&c, "mounted\nlocked\nro\n");
}

static void user_namespace_gives_its_own_user_terminal_and_devices(void **state)
{
	struct config c = {
		.args = SH("tty; stat -c %u:%g /dev/pts/0 /dev/fuse"), .terminal = true,
		.user = "{\"uid\":1000,\"gid\":1000}",
		.namespaces = ",{\"type\":\"pid\"},{\"type\":\"user\"}",
		.linux_ = MAPPED(200000) ",\"devices\":[{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,"
			  "\"minor\":229,\"uid\":7,\"gid\":8}]",
		.shared = user_key, .n_shared = 1,
	};

	expect_output(&c, "/dev/pts/0\r\n1000:5\r\n7:8\r\n");
}

static void user_that_is_not_mapped_is_refused(void **state)
{
	struct config c = {
		.user = "{\"uid\":70000,\"gid\":0}", .namespaces = ",{\"type\":\"user\"}",
		.linux_ = MAPPED(200000), .shared = user_key, .n_shared = 1,
	};

	expect_failure(&c, -EINVAL, "process.user.uid 70000 is not mapped");
}

static void mapping_that_the_kernel_refuses_is_named(void **state)
{
	struct config c = {
		.namespaces = ",{\"type\":\"user\"}",
		.linux_ = ",\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":9},{\"containerID\":5,"
			  "\"hostID\":9000,\"size\":9}],\"gidMappings\":[{\"containerID\":0,\"hostID\":0,"
			  "\"size\":9}]",
		.shared = user_key, .n_shared = 1,
	};

	expect_failure(&c, -EINVAL, "uid_map: the kernel refuses the mapping");
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

/* ---- more processes, more containers --------------------------------------------------------- */

static int exec_in(struct container *ct, const char *process, char out[OUTPUT_MAX], struct err *err)
{
	struct setup_stdio stdio = { .terminal = -1, .in = STDIN_FILENO };
	enum setup_result result = SETUP_PENDING;
	struct oci_process *parsed = NULL;
	struct setup_process *p = NULL;
	int fds[2], pidfd, r;

	if (oci_process_parse(process, strlen(process), &parsed, err) < 0)
		fail_msg("%s", err->text);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	stdio.out = stdio.err = fds[1];
	r = setup_spawn_exec(ct->setup, parsed, ct->pidfd, &stdio, &p, err);
	close(fds[1]);
	if (r == 0) {
		pidfd = setup_process_take_pidfd(p);
		r = wait_result(p, &result, err);
		read_output(fds[0], out);
		if (r == 0)
			r = reap(pidfd);
		else
			reap(pidfd);
		close(pidfd);
	}
	close(fds[0]);
	setup_process_destroy(p);
	oci_process_free(parsed);
	return r;
}

static void exec_joins_the_container(void **state)
{
	struct config c = { .args = "[\"sleep\",\"1000\"]", .linux_ = SECCOMP };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/tmp\",\"args\":[\"sh\",\"-c\",\"hostname; pwd; id -u; "
				      "grep -E '^(CapInh|Seccomp):' /proc/self/status; "
				      "ls /proc/self/fd | wc -l; exit 3\"],"
				      "\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":3,\"gid\":3}}", output, &err),
			 3);
	assert_string_equal(output, "jar\n/tmp\n3\nCapInh:\t0000000000000000\nSeccomp:\t2\n4\n");
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"for i in pid uts ipc mnt "
				      "cgroup; do test $(readlink /proc/1/ns/$i) = $(readlink /proc/self/ns/$i)"
				      " || echo $i differs; done\"],\"env\":[\"PATH=/bin\"]}", output, &err), 0);
	assert_string_equal(output, "");
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"nosuch\"],\"env\":[\"PATH=/bin\"]}", output,
				 &err), -ENOENT);
	assert_string_equal(err.text, "exec: \"nosuch\": executable file not found in $PATH");
	assert_true(exec_in(&ct, "{\"cwd\":\"/proc/self/fd/3\",\"args\":[\"true\"],\"env\":[\"PATH=/bin\"]}",
			    output, &err) < 0);
	discard(&ct);
}

static void scheduling_of_an_exec_is_its_own(void **state)
{
	struct config c = { .args = "[\"sleep\",\"1000\"]",
			    .process = ",\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":3}" };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"cut -d' ' -f40,41 /proc/1/stat "
				      "/proc/self/stat\"],\"env\":[\"PATH=/bin\"],"
				      "\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":7}}", output, &err), 0);
	assert_string_equal(output, "3 2\n7 1\n");
	discard(&ct);
}

static void exec_into_a_dead_container_fails(void **state)
{
	struct config c = { 0 };
	struct err err = ERR_INIT;
	static struct container ct;

	if (create(&ct, "c1", "rootfs", &c, &err) < 0 || start(&ct, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(reap(ct.pidfd), 0);
	assert_int_equal(exec_in(&ct, "{\"cwd\":\"/\",\"args\":[\"true\"],\"env\":[\"PATH=/bin\"]}", output,
				 &err), -ESRCH);
	discard(&ct);
}

static void containers_share_namespaces_by_key(void **state)
{
	const struct setup_shared_namespace shared[] = { { OCI_NS_PID, "pod1" }, { OCI_NS_IPC, "pod1" } };
	struct config a = { .args = "[\"sleep\",\"1000\"]", .shared = shared, .n_shared = 2 };
	struct config b = { .args = SH("test $$ != 1 && for n in self/ns/pid 1/ns/pid self/ns/ipc 1/ns/ipc; "
				       "do readlink /proc/$n; done | sort -u | wc -l"),
			    .shared = shared, .n_shared = 2, .caps = "[\"CAP_SYS_PTRACE\"]" };
	struct err err = ERR_INIT;
	static struct container one, two;

	if (create(&one, "one", "rootfs", &a, &err) < 0 || start(&one, &err) < 0)
		fail_msg("%s", err.text);
	if (create(&two, "two", "rootfs", &b, &err) < 0 || start(&two, &err) < 0)
		fail_msg("%s", err.text);
	read_output(two.out, output);
	assert_int_equal(reap(two.pidfd), 0);
	assert_string_equal(output, "2\n");
	discard(&two);
	discard(&one);
}

static void agents_files_are_out_of_reach_while_it_waits(void **state)
{
	const struct setup_shared_namespace shared[] = { { OCI_NS_PID, "pod1" } };
	struct config a = { .args = "[\"sleep\",\"1000\"]", .shared = shared, .n_shared = 1 };
	struct config b = { .shared = shared, .n_shared = 1 };
	struct err err = ERR_INIT;
	static struct container one, two;

	if (create(&one, "one", "rootfs", &a, &err) < 0 || start(&one, &err) < 0)
		fail_msg("%s", err.text);
	if (create(&two, "two", "rootfs", &b, &err) < 0)
		fail_msg("%s", err.text);
	/* Process 2 in the shared pid namespace is the copy of the agent. */
	assert_int_equal(exec_in(&one, "{\"cwd\":\"/\",\"args\":[\"sh\",\"-c\",\"ls /proc/2/fd | wc -l; "
				       "for f in exe root cwd fd/3 fd/0 ns/mnt; do readlink /proc/2/$f; done; "
				       "cat /proc/2/mem /proc/2/environ 2>&1 | grep -c denied\"],"
				       "\"env\":[\"PATH=/bin\"]}", output, &err), 0);
	/* Its own 0, 1, 2 and the socket; none of the links can be read. */
	assert_string_equal(output, "4\n2\n");
	discard(&two);
	discard(&one);
}

/* ---- the world ------------------------------------------------------------------------------- */

static void find_cgroup2(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC) {
			snprintf(cgroup_root, sizeof(cgroup_root), "%s/onggi-test-%d", places[i],
				 (int)getpid());
			assert_int_equal(mkdir(cgroup_root, 0755), 0);
			return;
		}
	}
	fail_msg("no cgroup2 mount");
}

/* The program of the standard device rules stays loaded: before descriptors are counted. */
static void load_standard_rules(void)
{
	static const struct oci_resources none;
	struct cgroup *cg = NULL;

	assert_int_equal(cgroup_create(cgroup_root, "first", &cg, NULL), 0);
	assert_int_equal(cgroup_apply(cg, &none, NULL), 0);
	assert_int_equal(cgroup_remove(cg, NULL), 0);
	cgroup_destroy(cg);
}

static int enter(void **state)
{
	static const char *const applets[] = {
		"sh",   "cat",  "ls",   "id",    "grep",     "stat", "sleep", "true", "readlink", "hostname",
		"pwd",  "wc",   "head", "touch", "mknod",    "mkdir", "sync", "cut",  "tty",      "tr", "chmod",
		"sort", "test", "ionice", "uname",
	};
	char path[PATH_MAX], command[PATH_MAX];

	world_enter(&world);
	find_cgroup2();
	load_standard_rules();
	assert_int_equal(namespace_registry_create(&registry), 0);
	world_mkdir(&world, "rootfs/bin");
	world_mkdir(&world, "rootfs/etc");
	world_mkdir(&world, "rootfs/dev");
	snprintf(command, sizeof(command), "cp /bin/busybox %s/rootfs/bin/busybox", world.path);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
		snprintf(path, sizeof(path), "rootfs/bin/%s", applets[i]);
		world_link(&world, "busybox", path);
	}
	return 0;
}

static int leave(void **state)
{
	char path[PATH_MAX];

	namespace_registry_destroy(registry);
	snprintf(path, sizeof(path), "%s/onggi", cgroup_root);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(cgroup_root), 0);
	world_leave(&world);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
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
	bool failed = false;

	for (size_t i = 0; i < LIVE_MAX; i++) {
		if (live[i]) {
			discard(live[i]);
			failed = true;
		}
	}
	if (failed)
		return 0;
	assert_int_equal(world_count_fds(), fds_before);
	return 0;
}

#define claim(f) cmocka_unit_test_setup_teardown(f, count_before, count_after)

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
		claim(scheduling_of_an_exec_is_its_own),
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
		claim(time_namespace_has_the_offsets_of_the_spec),
		claim(time_offset_that_the_kernel_refuses_is_named),
		claim(user_namespace_maps_the_containers_root),
		claim(user_namespace_owns_the_mounts_and_they_are_locked),
		claim(user_namespace_gives_its_own_user_terminal_and_devices),
		claim(user_that_is_not_mapped_is_refused),
		claim(mapping_that_the_kernel_refuses_is_named),
		claim(missing_program_is_reported_in_runcs_words),
		claim(agents_binary_is_not_run_in_a_container),
		claim(broken_program_fails_at_start),
		claim(same_id_twice_is_refused),
		claim(child_ends_when_the_agent_gives_up),
		claim(exec_joins_the_container),
		claim(exec_into_a_dead_container_fails),
		claim(containers_share_namespaces_by_key),
		claim(agents_files_are_out_of_reach_while_it_waits),
	};

	return cmocka_run_group_tests_name("agent setup", tests, enter, leave);
}
