/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/namespace.h"
#include "agent/procfs.h"
#include "agent/sysctl.h"
#include "common/cleanup.h"
#include "common/io.h"

static struct oci_spec spec;

static int path_of(const char *key, char path[SYSCTL_PATH_MAX])
{
	return sysctl_path(&spec, key, path, NULL);
}

static void names_become_paths(void **state)
{
	static const char *const cases[][2] = {
		{ "net.ipv4.ip_forward", "net/ipv4/ip_forward" },
		{ "net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding" },
		{ "net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding" },
		{ "kernel.shmmax", "kernel/shmmax" },
		{ "fs.mqueue.msg_max", "fs/mqueue/msg_max" },
		{ "kernel.domainname", "kernel/domainname" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[SYSCTL_PATH_MAX];

		assert_int_equal(path_of(cases[i][0], path), 0);
		assert_string_equal(path, cases[i][1]);
	}
}

static void malformed_names_are_refused(void **state)
{
	static const char *const bad[] = {
		"", ".", "net.", ".net", "net..ipv4", "net/../kernel/core_pattern", "net.ipv4+x", "net.ipv4=1",
		"net.ipv4,x", "net.a\nb", "net//x", "/net/ipv4", "net/ipv4/", "net.ipv4./x", "net/./x",
		"net.//.x", "net.ipv4 x",
	};
	char path[SYSCTL_PATH_MAX], longest[SYSCTL_PATH_MAX + 8] = "net.";

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(path_of(bad[i], path), -EINVAL);
	memset(longest + 4, 'a', SYSCTL_PATH_MAX);
	assert_int_equal(path_of(longest, path), -EINVAL);
}

static void settings_of_the_whole_kernel_are_refused(void **state)
{
	static const char *const bad[] = { "kernel.core_pattern", "vm.overcommit_memory", "fs.file-max",
					   "kernel.hostname", "kernel.shmmaxx", "kernel.shm", "fs.mqueue" };
	char path[SYSCTL_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(path_of(bad[i], path), -EOPNOTSUPP);
}

static void setting_needs_its_namespace(void **state)
{
	char path[SYSCTL_PATH_MAX];

	spec.namespaces[OCI_NS_IPC].present = false;
	assert_int_equal(path_of("kernel.shmmax", path), -EOPNOTSUPP);
	spec.namespaces[OCI_NS_IPC].present = true;
	assert_int_equal(path_of("kernel.shmmax", path), 0);
}

static void smuggled_values_are_refused(void **state)
{
	static char key[] = "net.ipv4.ip_forward";
	static const struct {
		const char *value;
		int result;
	} cases[] = {
		{ "1", 0 },          { "1 2\t3", 0 },           { "8080,9000-9010", 0 }, { "1\n2", -EINVAL },
		{ "1\r", -EINVAL },  { "1+kernel.x=2", -EINVAL }, { "a=b", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct oci_string_pair pair = { key, (char *)(uintptr_t)cases[i].value };
		struct oci_spec s = spec;

		s.sysctl = &pair;
		s.n_sysctl = 1;
		assert_int_equal(sysctl_check(&s, NULL), cases[i].result);
	}
}

/* ---- procfs ---------------------------------------------------------------------------------- */

static void look_alike_of_proc_is_refused(void **state)
{
	assert_int_equal(mount("fake", "/proc", "tmpfs", 0, NULL), 0);
	assert_int_equal(procfs_open(NULL), -ENOTSUP);
	assert_int_equal(umount("/proc"), 0);
}

static void covered_files_of_proc_are_not_written(void **state)
{
	int proc = procfs_open(NULL);

	assert_true(proc >= 0);
	/* As CVE-2025-52881 has it: another file of procfs, or a foreign one, in place of the one that is meant. */
	assert_int_equal(mount("/proc/self/comm", "/proc/sys/kernel/shmmni", NULL, MS_BIND, NULL), 0);
	assert_int_equal(procfs_write(proc, "sys/kernel/shmmni", "4096", 4), -EXDEV);
	assert_int_equal(umount("/proc/sys/kernel/shmmni"), 0);
	assert_int_equal(procfs_write(proc, "sys/../version/x", "1", 1), -ENOTDIR);
	assert_int_equal(procfs_write(proc, "self/cwd/x", "1", 1), -ELOOP);
	assert_int_equal(procfs_write(proc, "../etc/x", "1", 1), -EXDEV);
	assert_int_equal(procfs_write(proc, "self/comm", "renamed", 7), 0);
	close(proc);
}

/* ---- shared namespaces ----------------------------------------------------------------------- */

static void same_key_is_the_same_entry(void **state)
{
	struct namespace_registry *registry;
	struct namespace_shared *a, *b, *c, *d;

	assert_int_equal(namespace_registry_create(&registry), 0);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, "pod:1", &a, NULL), 0);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, "pod:1", &b, NULL), 0);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_UTS, "pod:1", &c, NULL), 0);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, "pod:2", &d, NULL), 0);
	assert_ptr_equal(a, b);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, d);
	namespace_shared_unref(a);
	namespace_shared_unref(b);
	namespace_shared_unref(c);
	namespace_shared_unref(d);
	namespace_registry_destroy(registry);
}

static void bad_keys_and_types_are_refused(void **state)
{
	static const char *const bad[] = { "", "Pod", "a/b", "a b", "a\n" };
	char longest[NAMESPACE_KEY_MAX + 2];
	struct namespace_registry *registry;
	struct namespace_shared *s;

	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(namespace_registry_create(&registry), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, bad[i], &s, NULL), -EINVAL);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, longest, &s, NULL), -EINVAL);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_MOUNT, "k", &s, NULL), -EOPNOTSUPP);
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_COUNT, "k", &s, NULL), -EOPNOTSUPP);
	namespace_registry_destroy(registry);
}

static void registry_is_bounded(void **state)
{
	struct namespace_shared *entries[NAMESPACE_SHARED_MAX], *s;
	struct namespace_registry *registry;
	char key[16];

	assert_int_equal(namespace_registry_create(&registry), 0);
	for (size_t i = 0; i < NAMESPACE_SHARED_MAX; i++) {
		snprintf(key, sizeof(key), "k%zu", i);
		assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, key, &entries[i], NULL), 0);
	}
	assert_int_equal(namespace_shared_ref(registry, OCI_NS_IPC, "more", &s, NULL), -ENOSPC);
	for (size_t i = 0; i < NAMESPACE_SHARED_MAX; i++)
		namespace_shared_unref(entries[i]);
	namespace_registry_destroy(registry);
}

static void plan_makes_what_the_spec_lists(void **state)
{
	struct namespace_plan plan = { 0 };
	struct oci_spec s = { 0 };

	namespace_plan_fill(&plan, &s);
	assert_int_equal(plan.clone_flags, CLONE_NEWNS);
	s.namespaces[OCI_NS_PID].present = true;
	s.namespaces[OCI_NS_NETWORK].present = true;
	s.namespaces[OCI_NS_UTS].present = true;
	s.namespaces[OCI_NS_TIME].present = true;
	namespace_plan_fill(&plan, &s);
	assert_int_equal(plan.clone_flags, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS);
}

static int enter(void **state)
{
	for (int i = 0; i < OCI_NS_COUNT; i++)
		spec.namespaces[i].present = true;
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
	return 0;
}

/* A card may come after the container has been made: its settings wait for the start. */
static void settings_of_cards_are_for_the_start(void **state)
{
	static struct oci_string_pair sysctl[] = {
		{ (char *)"net.ipv4.conf.all.rp_filter", (char *)"2" },
		{ (char *)"net.ipv4.conf.eth0.rp_filter", (char *)"1" },
		{ (char *)"net/ipv6/neigh/eth0/ucast_solicit", (char *)"7" },
		{ (char *)"net.ipv4.conf.lo.rp_filter", (char *)"2" },
	};
	const struct oci_spec cards = { .sysctl = sysctl, .n_sysctl = ARRAY_SIZE(sysctl) };
	const struct oci_spec none = { 0 };
	_cleanup_close_ int proc_fd = procfs_open(NULL);
	_cleanup_free_ char *text = NULL, *neigh = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(sysctl_apply(proc_fd, &cards, NULL), 0);
	assert_int_equal(sysctl_apply_cards(&cards, &err), -ENXIO);
	assert_string_equal(err.text, "linux.sysctl: the guest's kernel has no setting 'net.ipv4.conf.eth0.rp_filter'");
	assert_int_equal(system("ip link add eth0 type veth peer name other"), 0);
	assert_int_equal(sysctl_apply_cards(&cards, NULL), 0);
	assert_int_equal(io_read_file(AT_FDCWD, "/proc/sys/net/ipv4/conf/eth0/rp_filter", 8, &text, NULL), 0);
	assert_string_equal(text, "1\n");
	assert_int_equal(io_read_file(AT_FDCWD, "/proc/sys/net/ipv6/neigh/eth0/ucast_solicit", 8, &neigh, NULL), 0);
	assert_string_equal(neigh, "7\n");
	assert_int_equal(sysctl_apply_cards(&none, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_paths),
		cmocka_unit_test(malformed_names_are_refused),
		cmocka_unit_test(settings_of_the_whole_kernel_are_refused),
		cmocka_unit_test(setting_needs_its_namespace),
		cmocka_unit_test(smuggled_values_are_refused),
		cmocka_unit_test(look_alike_of_proc_is_refused),
		cmocka_unit_test(covered_files_of_proc_are_not_written),
		cmocka_unit_test(same_key_is_the_same_entry),
		cmocka_unit_test(bad_keys_and_types_are_refused),
		cmocka_unit_test(registry_is_bounded),
		cmocka_unit_test(plan_makes_what_the_spec_lists),
		cmocka_unit_test(settings_of_cards_are_for_the_start),
	};

	return cmocka_run_group_tests_name("agent sysctl, procfs and namespaces", tests, enter, NULL);
}
