/* SPDX-License-Identifier: Apache-2.0 */
/* Containers with user and time namespaces, from spec to exit. */
#include "tests/unit/agent_container.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		claim(time_namespace_has_the_offsets_of_the_spec),
		claim(time_offset_that_the_kernel_refuses_is_named),
		claim(user_namespace_maps_the_containers_root),
		claim(user_namespace_owns_the_mounts_and_they_are_locked),
		claim(user_namespace_gives_its_own_user_terminal_and_devices),
		claim(user_that_is_not_mapped_is_refused),
		claim(mapping_that_the_kernel_refuses_is_named),
	};

	return cmocka_run_group_tests_name("agent setup, namespaces", tests, enter, leave);
}
