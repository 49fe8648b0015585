/* SPDX-License-Identifier: Apache-2.0 */
/* Who a VMM runs as. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypervisor/vmm_user.h"
#include "tests/unit/check_leaks.h"

static void number_is_looked_up_in_all_lines_of_a_map(void **state)
{
	static const struct {
		const char *map;
		uint32_t id;
		bool is_there;
	} cases[] = {
		{ "         0          0 4294967295\n", 0x70000001, true },
		{ "         0     100000      65536\n", 0x70000001, false },
		{ "0 0 1\n1 100000 65536\n1879048192 5 4194304\n", 0x70000000, true },
		{ "0 0 1\n1 100000 65536\n1879048192 5 4194304\n", 0x703fffff, true },
		{ "0 0 1\n1 100000 65536\n1879048192 5 4194304\n", 0x70400000, false },
		{ "0 0 1\n1 100000 65536\n1879048192 5 4194304\n", 65536, true },
		{ "0 0 1\n1 100000 65536\n1879048192 5 4194304\n", 65537, false },
		{ "4294967290 0 10\n", 4294967295, true },
		{ "", 0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(vmm_user_is_mapped(cases[i].map, cases[i].id), cases[i].is_there);
}

static void number_is_the_callers_process_id_above_everybody_elses(void **state)
{
	const struct vm_config config = { .accel = VM_ACCEL_TCG };
	struct jail jail = { .user = 1 };

	assert_int_equal(vmm_user_set(&config, &jail, NULL), 0);
	assert_int_equal(jail.user, VMM_USER_FIRST + (uint32_t)getpid());
	assert_false(jail.with_group);
	assert_true(VMM_USER_FIRST + VMM_USER_COUNT - 1 <= INT32_MAX);
}

static void memory_of_a_machine_to_be_saved_becomes_its_own(void **state)
{
	int fd = memfd_create("memory", MFD_CLOEXEC);
	const struct vm_config config = { .accel = VM_ACCEL_TCG, .memory_file = &fd };
	struct jail jail = { 0 };
	struct stat st;

	assert_int_equal(vmm_user_set(&config, &jail, NULL), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_uid, jail.user);
	close(fd);
}

/* A device may be opened by everybody, by a group, or by its owner alone. */
static void group_of_a_device_is_told(void **state)
{
	char path[] = "/tmp/vmm-user-XXXXXX";
	gid_t group = 7;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(vmm_user_device_group(path, &group), 0);
	assert_int_equal(fchown(fd, 0, 107), 0);
	assert_int_equal(fchmod(fd, 0660), 0);
	assert_int_equal(vmm_user_device_group(path, &group), 1);
	assert_int_equal(group, 107);
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(vmm_user_device_group(path, &group), -EACCES);
	close(fd);
	unlink(path);
	assert_int_equal(vmm_user_device_group(path, &group), -ENOENT);
}

/* Exit status of a child that may not change users: 0 as claimed. */
static int child_of_another_user(void)
{
	const struct vm_config config = { .accel = VM_ACCEL_TCG };
	struct jail jail = { .user = 1 };

	if (setresuid(65534, 65534, 65534) < 0)
		return 10;
	return vmm_user_set(&config, &jail, NULL) == 0 && jail.user == 0 ? 0 : 11;
}

static void who_may_not_change_users_stays_what_it_is(void **state)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(child_of_another_user());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(number_is_looked_up_in_all_lines_of_a_map),
		leak_checked(number_is_the_callers_process_id_above_everybody_elses),
		leak_checked(memory_of_a_machine_to_be_saved_becomes_its_own),
		leak_checked(group_of_a_device_is_told),
		leak_checked(who_may_not_change_users_stays_what_it_is),
	};

	return cmocka_run_group_tests_name("vmm_user", tests, NULL, NULL);
}
