/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "common/oci.h"

static void capabilities_0_to_40_have_names_that_lead_back(void **state)
{
	for (int i = 0; i <= 40; i++) {
		const char *name = oci_capability_name(i);

		assert_non_null(name);
		assert_int_equal(oci_capability_number(name), i);
		assert_int_equal(oci_capability_number(name + strlen("CAP_")), i);
	}
	assert_null(oci_capability_name(41));
	assert_null(oci_capability_name(-1));
}

static void capability_names_ignore_case_and_prefix(void **state)
{
	assert_int_equal(oci_capability_number("CAP_NET_ADMIN"), 12);
	assert_int_equal(oci_capability_number("cap_net_admin"), 12);
	assert_int_equal(oci_capability_number("Net_Admin"), 12);
	assert_int_equal(oci_capability_number("CHECKPOINT_RESTORE"), 40);
}

static void capability_names_that_are_none_give_minus_1(void **state)
{
	static const char *const names[] = {
		"", "CAP_", "CAP_NET", "CAP_NET_ADMINX", "CAP_CAP_KILL", "ALL", "12"
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(oci_capability_number(names[i]), -1);
}

static void all_16_rlimits_are_known_by_their_exact_name(void **state)
{
	static const char *const names[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = "RLIMIT_CPU",	       [RLIMIT_FSIZE] = "RLIMIT_FSIZE",
		[RLIMIT_DATA] = "RLIMIT_DATA",	       [RLIMIT_STACK] = "RLIMIT_STACK",
		[RLIMIT_CORE] = "RLIMIT_CORE",	       [RLIMIT_RSS] = "RLIMIT_RSS",
		[RLIMIT_NPROC] = "RLIMIT_NPROC",       [RLIMIT_NOFILE] = "RLIMIT_NOFILE",
		[RLIMIT_MEMLOCK] = "RLIMIT_MEMLOCK",   [RLIMIT_AS] = "RLIMIT_AS",
		[RLIMIT_LOCKS] = "RLIMIT_LOCKS",       [RLIMIT_SIGPENDING] = "RLIMIT_SIGPENDING",
		[RLIMIT_MSGQUEUE] = "RLIMIT_MSGQUEUE", [RLIMIT_NICE] = "RLIMIT_NICE",
		[RLIMIT_RTPRIO] = "RLIMIT_RTPRIO",     [RLIMIT_RTTIME] = "RLIMIT_RTTIME",
	};

	for (int i = 0; i < RLIM_NLIMITS; i++)
		assert_int_equal(oci_rlimit_number(names[i]), i);
	assert_int_equal(oci_rlimit_number("rlimit_cpu"), -1);
	assert_int_equal(oci_rlimit_number("CPU"), -1);
	assert_int_equal(oci_rlimit_number(""), -1);
}

static void signals_are_known_by_name_with_or_without_prefix(void **state)
{
	char name[32];

	/* The C library's own abbreviations are the check on the table. */
	for (int i = 1; i <= 31; i++) {
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(i));
		assert_int_equal(oci_signal_number(name), i);
		assert_int_equal(oci_signal_number(name + 3), i);
	}
	assert_int_equal(oci_signal_number("sigterm"), SIGTERM);
	assert_int_equal(oci_signal_number("hup"), SIGHUP);
	assert_int_equal(oci_signal_number("SIGIO"), SIGIO);
	assert_int_equal(oci_signal_number("CLD"), SIGCHLD);
	assert_int_equal(oci_signal_number("IOT"), SIGABRT);
}

static void signals_are_known_by_number_0_to_64(void **state)
{
	char name[16];

	for (int i = 0; i <= 64; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(oci_signal_number(name), i);
	}
	assert_int_equal(oci_signal_number("09"), 9);
}

static void real_time_signals_count_from_either_end(void **state)
{
	assert_int_equal(oci_signal_number("SIGRTMIN"), 34);
	assert_int_equal(oci_signal_number("SIGRTMIN+3"), 37);
	assert_int_equal(oci_signal_number("rtmin+30"), 64);
	assert_int_equal(oci_signal_number("SIGRTMAX"), 64);
	assert_int_equal(oci_signal_number("RTMAX-1"), 63);
	assert_int_equal(oci_signal_number("RTMAX-30"), 34);
	assert_int_equal(SIGRTMIN, 34);
}

static void signals_that_are_none_give_einval(void **state)
{
	static const char *const names[] = {
		"",	      "SIG",	   "SIGFOO",
		"65",	      "-1",	   "1x",
		"999",	      "+1",	   " 9",
		"SIGSIGTERM", "RTMIN+31",  "RTMIN-1",
		"RTMAX+1",    "RTMAX-31",  "RTMIN+",
		"RTMIN+x",    "RTMIN+1x",  "RTMIN+001",
		"SIG9",	      "RTMINIMUM", "SIGTERMSIGTERMSIGTERM",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (oci_signal_number(names[i]) != -EINVAL)
			fail_msg("'%s' gives %d", names[i], oci_signal_number(names[i]));
}

static void namespaces_have_the_names_of_the_specification(void **state)
{
	static const struct {
		const char *name;
		int flag;
	} wanted[OCI_NS_COUNT] = {
		[OCI_NS_PID] = { "pid", CLONE_NEWPID },
		[OCI_NS_NETWORK] = { "network", CLONE_NEWNET },
		[OCI_NS_MOUNT] = { "mount", CLONE_NEWNS },
		[OCI_NS_IPC] = { "ipc", CLONE_NEWIPC },
		[OCI_NS_UTS] = { "uts", CLONE_NEWUTS },
		[OCI_NS_USER] = { "user", CLONE_NEWUSER },
		[OCI_NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP },
		[OCI_NS_TIME] = { "time", 0x80 },
	};

	for (int i = 0; i < OCI_NS_COUNT; i++) {
		assert_string_equal(oci_namespace_name((enum oci_namespace)i), wanted[i].name);
		assert_int_equal(oci_namespace_flag((enum oci_namespace)i), wanted[i].flag);
	}
	assert_null(oci_namespace_name(OCI_NS_COUNT));
	assert_int_equal(oci_namespace_flag(OCI_NS_COUNT), 0);
}

static void hooks_have_the_names_of_the_specification(void **state)
{
	static const char *const wanted[OCI_HOOK_COUNT] = { "prestart",	       "createRuntime",
							    "createContainer", "startContainer",
							    "poststart",       "poststop" };

	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		assert_string_equal(oci_hook_name((enum oci_hook_kind)i), wanted[i]);
	assert_null(oci_hook_name(OCI_HOOK_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities_0_to_40_have_names_that_lead_back),
		cmocka_unit_test(capability_names_ignore_case_and_prefix),
		cmocka_unit_test(capability_names_that_are_none_give_minus_1),
		cmocka_unit_test(all_16_rlimits_are_known_by_their_exact_name),
		cmocka_unit_test(signals_are_known_by_name_with_or_without_prefix),
		cmocka_unit_test(signals_are_known_by_number_0_to_64),
		cmocka_unit_test(real_time_signals_count_from_either_end),
		cmocka_unit_test(signals_that_are_none_give_einval),
		cmocka_unit_test(namespaces_have_the_names_of_the_specification),
		cmocka_unit_test(hooks_have_the_names_of_the_specification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
