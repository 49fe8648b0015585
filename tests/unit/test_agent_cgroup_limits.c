/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "agent/cgroup_limits.h"
#include "common/cleanup.h"

static struct cgroup_settings settings;

static const char *value_of(const char *file)
{
	for (size_t i = 0; i < settings.n; i++) {
		if (strcmp(settings.entries[i].file, file) == 0)
			return settings.entries[i].value;
	}
	return "(not set)";
}

static void convert(const struct oci_resources *r)
{
	struct err err = ERR_INIT;

	if (cgroup_limits_convert(r, &settings, &err) < 0)
		fail_msg("%s", err.text);
}

static void refuse(const struct oci_resources *r, int code, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(cgroup_limits_convert(r, &settings, &err), code);
	assert_non_null(strstr(err.text, text));
}

static void nothing_given_sets_nothing(void **state)
{
	convert(&(struct oci_resources){ 0 });
	assert_int_equal(settings.n, 0);
}

static void shares_become_a_weight(void **state)
{
	assert_int_equal(cgroup_weight_from_shares(0), 0);
	assert_int_equal(cgroup_weight_from_shares(1), 1);
	assert_int_equal(cgroup_weight_from_shares(2), 1);
	assert_int_equal(cgroup_weight_from_shares(1024), 39);
	assert_int_equal(cgroup_weight_from_shares(262144), 10000);
	assert_int_equal(cgroup_weight_from_shares(UINT64_MAX), 10000);
}

static void blkio_weight_becomes_an_io_weight(void **state)
{
	assert_int_equal(cgroup_io_weight_from_blkio(0), 0);
	assert_int_equal(cgroup_io_weight_from_blkio(10), 1);
	assert_int_equal(cgroup_io_weight_from_blkio(500), 4950);
	assert_int_equal(cgroup_io_weight_from_blkio(1000), 10000);
	convert(&(struct oci_resources){ .blkio_weight = 10 });
	assert_string_equal(value_of("io.weight"), "default 1");
}

static void swap_is_what_exceeds_the_memory_limit(void **state)
{
	convert(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = 1000,
					 .has_memory_swap = true, .memory_swap = 3000 });
	assert_string_equal(value_of("memory.max"), "1000");
	assert_string_equal(value_of("memory.swap.max"), "2000");
	convert(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = 1000,
					 .has_memory_swap = true, .memory_swap = 1000 });
	assert_string_equal(value_of("memory.swap.max"), "0");
	convert(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = 1000,
					 .has_memory_swap = true, .memory_swap = -1 });
	assert_string_equal(value_of("memory.swap.max"), "max");
	convert(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = 1000 });
	assert_string_equal(value_of("memory.swap.max"), "(not set)");
	convert(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = -1 });
	assert_string_equal(value_of("memory.max"), "max");
	assert_string_equal(value_of("memory.swap.max"), "max");
}

static void swap_below_the_memory_limit_is_refused(void **state)
{
	refuse(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = 1000,
					.has_memory_swap = true, .memory_swap = 999 }, -EINVAL, "memory.swap");
	refuse(&(struct oci_resources){ .has_memory_swap = true, .memory_swap = 999 }, -EINVAL, "memory.swap");
	refuse(&(struct oci_resources){ .has_memory_limit = true, .memory_limit = -1,
					.has_memory_swap = true, .memory_swap = 5 }, -EINVAL, "memory.swap");
}

static void reservation_is_memory_low(void **state)
{
	convert(&(struct oci_resources){ .has_memory_reservation = true, .memory_reservation = 4096 });
	assert_string_equal(value_of("memory.low"), "4096");
	convert(&(struct oci_resources){ .has_memory_reservation = true, .memory_reservation = 0 });
	assert_int_equal(settings.n, 0);
}

static void hugepage_limits_hold_for_reservations_too(void **state)
{
	char size[] = "2MB", larger[] = "1GB";
	struct oci_hugepage_limit limits[] = { { size, 4194304 }, { larger, 0 } };

	convert(&(struct oci_resources){ .hugepage_limits = limits, .n_hugepage_limits = 2 });
	assert_int_equal(settings.n, 4);
	assert_string_equal(value_of("hugetlb.2MB.max"), "4194304");
	assert_string_equal(value_of("hugetlb.2MB.rsvd.max"), "4194304");
	assert_string_equal(value_of("hugetlb.1GB.max"), "0");
	assert_string_equal(value_of("hugetlb.1GB.rsvd.max"), "0");
	for (size_t i = 0; i < settings.n; i++)
		assert_true(settings.entries[i].optional);
}

static void limits_of_the_hosts_devices_are_refused_by_name(void **state)
{
	static const char *const names[OCI_IO_COUNT] = { "throttleReadBpsDevice", "throttleWriteBpsDevice",
							 "throttleReadIOPSDevice", "throttleWriteIOPSDevice" };
	struct oci_io_limit limit = { .major = 8, .rate = 1 };
	struct oci_io_weight weight = { .major = 8, .weight = 10 };

	for (size_t i = 0; i < OCI_IO_COUNT; i++) {
		struct oci_resources r = { 0 };

		r.io_limits[i] = &limit;
		r.n_io_limits[i] = 1;
		refuse(&r, -EOPNOTSUPP, names[i]);
	}
	refuse(&(struct oci_resources){ .io_weights = &weight, .n_io_weights = 1 }, -EOPNOTSUPP, "weightDevice");
}

static void oom_killer_cannot_be_switched_off(void **state)
{
	refuse(&(struct oci_resources){ .disable_oom_killer = true }, -EOPNOTSUPP, "disableOOMKiller");
}

static void quota_and_period_become_one_file(void **state)
{
	convert(&(struct oci_resources){ .has_cpu_quota = true, .cpu_quota = 5000 });
	assert_string_equal(value_of("cpu.max"), "5000 100000");
	convert(&(struct oci_resources){ .has_cpu_quota = true, .cpu_quota = -1, .has_cpu_period = true,
					 .cpu_period = 50000 });
	assert_string_equal(value_of("cpu.max"), "max 50000");
	convert(&(struct oci_resources){ .has_cpu_period = true, .cpu_period = 2000 });
	assert_string_equal(value_of("cpu.max"), "max 2000");
	convert(&(struct oci_resources){ .has_cpu_quota = true, .cpu_quota = 0 });
	assert_string_equal(value_of("cpu.max"), "(not set)");
	convert(&(struct oci_resources){ .has_cpu_quota = true, .cpu_quota = 5000, .has_cpu_burst = true,
					 .cpu_burst = 100 });
	assert_string_equal(settings.entries[1].file, "cpu.max.burst");
	assert_string_equal(settings.entries[1].value, "100");
}

static void idle_group_has_no_weight(void **state)
{
	convert(&(struct oci_resources){ .has_cpu_shares = true, .cpu_shares = 1024, .has_cpu_idle = true,
					 .cpu_idle = 1 });
	assert_string_equal(value_of("cpu.weight"), "(not set)");
	assert_string_equal(value_of("cpu.idle"), "1");
}

static void pids_limit_of_zero_or_less_is_none(void **state)
{
	convert(&(struct oci_resources){ .has_pids_limit = true, .pids_limit = 7 });
	assert_string_equal(value_of("pids.max"), "7");
	convert(&(struct oci_resources){ .has_pids_limit = true, .pids_limit = 0 });
	assert_string_equal(value_of("pids.max"), "max");
	convert(&(struct oci_resources){ .has_pids_limit = true, .pids_limit = -1 });
	assert_string_equal(value_of("pids.max"), "max");
}

static void unified_takes_known_files_only(void **state)
{
	char *good[] = { (char[]){ "memory.high=5" }, (char[]){ "cpu.max=1 2" }, NULL };
	static const char *const bad[] = { "cgroup.procs=1",   "cgroup.freeze=1",      "../x=1", "memory.max",
					   "a/memory.max=1",   "cgroup.subtree_control=-memory", "=1" };

	convert(&(struct oci_resources){ .unified = good });
	assert_string_equal(value_of("memory.high"), "5");
	assert_string_equal(value_of("cpu.max"), "1 2");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char *list[] = { (char *)(uintptr_t)bad[i], NULL };

		refuse(&(struct oci_resources){ .unified = list }, -EOPNOTSUPP, "unified");
	}
}

static void value_that_is_too_long_is_refused(void **state)
{
	char text[CGROUP_VALUE_MAX + 16] = "cpuset.cpus=";
	char *list[] = { text, NULL };

	memset(text + 12, '1', CGROUP_VALUE_MAX);
	refuse(&(struct oci_resources){ .unified = list }, -EINVAL, "cpuset.cpus");
	refuse(&(struct oci_resources){ .cpuset_cpus = text + 12 }, -EINVAL, "cpuset.cpus");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given_sets_nothing),
		cmocka_unit_test(shares_become_a_weight),
		cmocka_unit_test(blkio_weight_becomes_an_io_weight),
		cmocka_unit_test(swap_is_what_exceeds_the_memory_limit),
		cmocka_unit_test(swap_below_the_memory_limit_is_refused),
		cmocka_unit_test(reservation_is_memory_low),
		cmocka_unit_test(hugepage_limits_hold_for_reservations_too),
		cmocka_unit_test(limits_of_the_hosts_devices_are_refused_by_name),
		cmocka_unit_test(oom_killer_cannot_be_switched_off),
		cmocka_unit_test(quota_and_period_become_one_file),
		cmocka_unit_test(idle_group_has_no_weight),
		cmocka_unit_test(pids_limit_of_zero_or_less_is_none),
		cmocka_unit_test(unified_takes_known_files_only),
		cmocka_unit_test(value_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests_name("agent cgroup limits", tests, NULL, NULL);
}
