/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shim/machine_size.h"

#define MIB UINT64_C(1048576)

static const struct machine_size base = { 256, 1 }, endless = { UINT64_MAX, UINT32_MAX };

static struct machine_size size_of(const struct machine_need *needs, size_t n)
{
	return machine_size_for(&base, &endless, needs, n);
}

static void containers_without_limits_add_nothing(void **state)
{
	struct machine_size s = size_of(NULL, 0);

	assert_int_equal(s.memory_mib, 256);
	assert_int_equal(s.vcpus, 1);
	s = size_of((struct machine_need[]){ { 0 }, { 0 } }, 2);
	assert_int_equal(s.memory_mib, 256);
}

static void memory_limits_add_up_to_whole_blocks(void **state)
{
	struct machine_size s = size_of(&(struct machine_need){ .memory_bytes = 1 }, 1);

	assert_int_equal(s.memory_mib, 384);
	s = size_of((struct machine_need[]){ { .memory_bytes = 100 * MIB }, { .memory_bytes = 28 * MIB } }, 2);
	assert_int_equal(s.memory_mib, 384);
	s = size_of((struct machine_need[]){ { .memory_bytes = 100 * MIB }, { .memory_bytes = 28 * MIB + 1 } }, 2);
	assert_int_equal(s.memory_mib, 512);
}

static void quotas_add_up_to_whole_cpus(void **state)
{
	struct machine_need half = { .cpu_quota_us = 50000 };
	struct machine_need bit = { .cpu_quota_us = 1, .cpu_period_us = 1000000 };

	assert_int_equal(size_of(&half, 1).vcpus, 1);
	assert_int_equal(size_of((struct machine_need[]){ half, half }, 2).vcpus, 1);
	assert_int_equal(size_of((struct machine_need[]){ half, half, bit }, 3).vcpus, 2);
	assert_int_equal(size_of(&(struct machine_need){ 300, 3000, 1000 }, 1).vcpus, 3);
}

static void absurd_limits_do_not_overflow(void **state)
{
	struct machine_need all = { INT64_MAX, INT64_MAX, 1 };
	struct machine_size s = size_of((struct machine_need[]){ all, all, all }, 3);

	assert_int_equal(s.memory_mib, 1u << 20);
	assert_int_equal(s.vcpus, 64);
	all.cpu_period_us = UINT64_MAX;
	assert_int_equal(size_of(&all, 1).vcpus, 1);
}

static void maximum_is_kept_but_never_below_the_base(void **state)
{
	struct machine_need big = { .memory_bytes = 4096 * MIB, .cpu_quota_us = 800000 };
	struct machine_size max = { 1000, 2 }, small = { 64, 1 };
	struct machine_size s = machine_size_for(&base, &max, &big, 1);

	assert_int_equal(s.memory_mib, 1000);
	assert_int_equal(s.vcpus, 2);
	s = machine_size_for(&base, &small, &big, 1);
	assert_int_equal(s.memory_mib, 256);
}

static void update_names_what_changes(void **state)
{
	struct machine_need need = { .memory_bytes = 5, .cpu_quota_us = 6, .cpu_period_us = 7 };

	machine_need_update(&need, &(struct oci_resources){ .has_memory_limit = true });
	assert_int_equal(need.memory_bytes, 5);
	machine_need_update(&need, &(struct oci_resources){ .has_memory_limit = true, .memory_limit = 9,
							     .has_cpu_quota = true, .cpu_quota = -1 });
	assert_int_equal(need.memory_bytes, 9);
	assert_int_equal(need.cpu_quota_us, 0);
	assert_int_equal(need.cpu_period_us, 7);
	machine_need_update(&need, &(struct oci_resources){ .has_memory_limit = true, .memory_limit = -1 });
	assert_int_equal(need.memory_bytes, 0);
}

static void larger_need_is_chosen_for_each_kind(void **state)
{
	struct machine_need a = { .memory_bytes = 10, .cpu_quota_us = 100000 };
	struct machine_need b = { .memory_bytes = 5, .cpu_quota_us = 20000, .cpu_period_us = 10000 };
	struct machine_need both = machine_need_larger(&a, &b);

	assert_int_equal(both.memory_bytes, 10);
	assert_int_equal(both.cpu_quota_us, 20000);
	assert_int_equal(both.cpu_period_us, 10000);
}

static void configuration_bounds_boot_and_room(void **state)
{
	struct config config = { .memory_mib = 256, .vcpus = 1, .memory_max_mib = 640, .vcpus_max = 1 };
	struct machine_bounds bounds;
	struct machine_size built;

	machine_bounds_of(&config, &bounds);
	built = machine_size_built(&bounds, &base);
	assert_int_equal(built.memory_mib, 640);
	assert_int_equal(built.vcpus, 1);
	assert_int_equal(bounds.boot_max.memory_mib, 640);
	config.memory_max_mib = config.vcpus_max = 0;
	machine_bounds_of(&config, &bounds);
	built = machine_size_built(&bounds, &base);
	assert_true(built.memory_mib > 256 && built.memory_mib <= MACHINE_ROOM_MIB);
	assert_true(built.vcpus >= 1 && built.vcpus <= (unsigned int)sysconf(_SC_NPROCESSORS_ONLN));
	/* What is asked for at the start is not limited by the room that is made by default. */
	built = machine_size_built(&bounds, &(struct machine_size){ 100000, 1 });
	assert_int_equal(built.memory_mib, 100000);
}

/* As engines write "no limit": the largest numbers there are. */
static void limit_above_the_hosts_memory_makes_no_machine_above_it(void **state)
{
	const struct machine_need need = { .memory_bytes = INT64_MAX };
	struct config config = { .memory_mib = 256, .vcpus = 1 };
	uint64_t host_mib = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / MIB;
	struct machine_bounds bounds;
	struct machine_size size;

	machine_bounds_of(&config, &bounds);
	size = machine_size_for(&bounds.base, &bounds.boot_max, &need, 1);
	assert_true(size.memory_mib <= host_mib);
	assert_true(size.memory_mib > host_mib - MACHINE_BLOCK_MIB);
}

/* Annotations as JSON members. */
static struct machine_need need_of(const char *annotations)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;
	char text[1024];

	snprintf(text, sizeof(text), "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"annotations\":{%s}}", annotations);
	if (oci_spec_parse(text, strlen(text), &spec, &err) < 0)
		fail_msg("%s", err.text);
	return machine_need_of_pod(spec);
}

#define SANDBOX "\"io.kubernetes.cri.container-type\":\"sandbox\","
#define OF_POD(key, value) "\"io.kubernetes.cri.sandbox-" key "\":\"" value "\""

static void pod_needs_what_its_annotations_say(void **state)
{
	struct machine_need need = need_of(SANDBOX OF_POD("memory", "536870912") "," OF_POD("cpu-quota", "200000") ","
					   OF_POD("cpu-period", "100000") "," OF_POD("cpu-shares", "9999"));

	assert_int_equal(need.memory_bytes, 512 * MIB);
	assert_int_equal(size_of(&need, 1).memory_mib, 768);
	assert_int_equal(size_of(&need, 1).vcpus, 2);
}

static void pod_without_a_quota_gets_the_cpus_it_asked_for(void **state)
{
	struct machine_need need = need_of(SANDBOX OF_POD("cpu-shares", "3000") "," OF_POD("cpu-quota", "0"));

	assert_int_equal(size_of(&need, 1).vcpus, 3);
	need = need_of(SANDBOX OF_POD("cpu-shares", "2"));
	assert_int_equal(size_of(&need, 1).vcpus, 1);
	need = need_of(SANDBOX OF_POD("cpu-shares", "9223372036854775807"));
	assert_int_equal(size_of(&need, 1).vcpus, 64);
}

static void annotations_that_say_nothing_sensible_add_nothing(void **state)
{
	static const char *const texts[] = {
		"\"a\":\"b\"",
		/* of a container in the pod: the sandbox has told already */
		"\"io.kubernetes.cri.container-type\":\"container\"," OF_POD("memory", "536870912"),
		OF_POD("memory", "536870912"),
		SANDBOX OF_POD("memory", "-1") "," OF_POD("cpu-quota", "-1") "," OF_POD("cpu-shares", "x"),
		SANDBOX OF_POD("memory", "99999999999999999999") "," OF_POD("cpu-quota", "1e9"),
		SANDBOX OF_POD("memory", "") "," OF_POD("cpu-period", "0"),
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct machine_need need = need_of(texts[i]);

		assert_int_equal(size_of(&need, 1).memory_mib, 256);
		assert_int_equal(size_of(&need, 1).vcpus, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers_without_limits_add_nothing),
		cmocka_unit_test(memory_limits_add_up_to_whole_blocks),
		cmocka_unit_test(quotas_add_up_to_whole_cpus),
		cmocka_unit_test(absurd_limits_do_not_overflow),
		cmocka_unit_test(maximum_is_kept_but_never_below_the_base),
		cmocka_unit_test(update_names_what_changes),
		cmocka_unit_test(larger_need_is_chosen_for_each_kind),
		cmocka_unit_test(configuration_bounds_boot_and_room),
		cmocka_unit_test(limit_above_the_hosts_memory_makes_no_machine_above_it),
		cmocka_unit_test(pod_needs_what_its_annotations_say),
		cmocka_unit_test(pod_without_a_quota_gets_the_cpus_it_asked_for),
		cmocka_unit_test(annotations_that_say_nothing_sensible_add_nothing),
	};

	return cmocka_run_group_tests_name("machine size", tests, NULL, NULL);
}
