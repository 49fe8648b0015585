/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "agent/cgroup_update.h"

static const struct oci_resources now = {
	.has_memory_limit = true, .memory_limit = 100, .has_cpu_quota = true, .cpu_quota = 50,
	.has_cpu_period = true,   .cpu_period = 200,
};

static void zeros_leave_things_as_they_are(void **state)
{
	struct oci_resources u = {
		.has_memory_limit = true, .has_memory_swap = true, .has_memory_reservation = true,
		.has_cpu_shares = true,   .has_cpu_quota = true,   .has_cpu_period = true,
		.has_pids_limit = true,
	};

	cgroup_update_complete(&u, &now);
	assert_false(u.has_memory_limit || u.has_memory_swap || u.has_memory_reservation);
	assert_false(u.has_cpu_shares || u.has_cpu_quota || u.has_cpu_period || u.has_pids_limit);
}

static void quota_and_period_are_completed_from_each_other(void **state)
{
	struct oci_resources quota = { .has_cpu_quota = true, .cpu_quota = 70 };
	struct oci_resources period = { .has_cpu_period = true, .cpu_period = 1000 };
	struct oci_resources none = { .has_cpu_quota = true, .cpu_quota = 70 };

	cgroup_update_complete(&quota, &now);
	assert_true(quota.has_cpu_period);
	assert_int_equal(quota.cpu_period, 200);
	cgroup_update_complete(&period, &now);
	assert_true(period.has_cpu_quota);
	assert_int_equal(period.cpu_quota, 50);
	cgroup_update_complete(&none, &(struct oci_resources){ 0 });
	assert_false(none.has_cpu_period);
}

static void swap_is_completed_by_the_memory_limit_that_holds(void **state)
{
	struct oci_resources swap = { .has_memory_swap = true, .memory_swap = 300 };
	struct oci_resources endless = { .has_memory_swap = true, .memory_swap = -1 };

	cgroup_update_complete(&swap, &now);
	assert_true(swap.has_memory_limit);
	assert_int_equal(swap.memory_limit, 100);
	cgroup_update_complete(&endless, &now);
	assert_false(endless.has_memory_limit);
}

static void device_rules_are_dropped(void **state)
{
	struct oci_resources u = { .n_devices = 1 };

	u.devices = calloc(1, sizeof(*u.devices));
	cgroup_update_complete(&u, &now);
	assert_int_equal(u.n_devices, 0);
	assert_null(u.devices);
}

static void what_was_updated_holds_for_the_next(void **state)
{
	struct oci_resources held = now, next = { .has_cpu_period = true, .cpu_period = 7 };

	cgroup_update_remember(&held, &(struct oci_resources){ .has_cpu_quota = true, .cpu_quota = -1 });
	assert_int_equal(held.cpu_quota, -1);
	assert_int_equal(held.cpu_period, 200);
	assert_int_equal(held.memory_limit, 100);
	cgroup_update_complete(&next, &held);
	assert_int_equal(next.cpu_quota, -1);
	cgroup_update_remember(&held, &(struct oci_resources){ .has_memory_limit = true, .memory_limit = 9 });
	assert_int_equal(held.memory_limit, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_leave_things_as_they_are),
		cmocka_unit_test(quota_and_period_are_completed_from_each_other),
		cmocka_unit_test(swap_is_completed_by_the_memory_limit_that_holds),
		cmocka_unit_test(device_rules_are_dropped),
		cmocka_unit_test(what_was_updated_holds_for_the_next),
	};

	return cmocka_run_group_tests_name("agent cgroup update", tests, NULL, NULL);
}
