/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of a container's root, as far as that needs no disk: the engine tests have the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "agent/disk.h"
#include "agent/mount_fs.h"
#include "agent/slot.h"
#include "tests/unit/check_leaks.h"

static void list_takes_eight_disks_and_copies_all(void **state)
{
	struct disk_list disks = { 0 };
	struct err err = ERR_INIT;
	char serial[] = "root-0-0";

	for (size_t i = 0; i < DISKS_MAX; i++) {
		serial[7] = (char)('0' + i);
		assert_int_equal(disk_list_add(&disks, serial, "ext4", "discard", MS_RDONLY, &err), 0);
	}
	assert_int_equal(disk_list_add(&disks, "root-0-8", "ext4", "", 0, &err), -E2BIG);
	assert_int_equal(disks.n, DISKS_MAX);
	assert_string_equal(disks.list[0].serial, "root-0-0");
	assert_string_equal(disks.list[7].serial, "root-0-7");
	assert_string_equal(disks.list[7].type, "ext4");
	assert_string_equal(disks.list[7].options, "discard");
	assert_int_equal(disks.list[7].flags, MS_RDONLY);
	disk_list_finish(&disks);
	assert_int_equal(disks.n, 0);
	disk_list_finish(&disks);
}

static void serial_numbers_are_checked(void **state)
{
	static const char *const bad[] = { "", "A", "a/b", "..", "a b", "123456789012345678901" };
	struct disk_list disks = { 0 };
	struct err err = ERR_INIT;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(disk_list_add(&disks, bad[i], "ext4", "", 0, &err), -EINVAL);
	assert_int_equal(disk_list_add(&disks, "12345678901234567890", "ext4", "", 0, &err), 0);
	disk_list_finish(&disks);
}

static void what_is_too_long_is_refused(void **state)
{
	char *text = malloc(MOUNT_OPTIONS_MAX + 1);
	struct disk_list disks = { 0 };
	struct err err = ERR_INIT;

	memset(text, 'x', MOUNT_OPTIONS_MAX);
	text[MOUNT_OPTIONS_MAX] = '\0';
	assert_int_equal(disk_list_add(&disks, "d", "ext4", text, 0, &err), -E2BIG);
	assert_int_equal(disk_list_add(&disks, "d", text, "", 0, &err), -E2BIG);
	assert_int_equal(disks.n, 0);
	free(text);
}

static void data_is_of_the_file_system_before_it(void **state)
{
	struct disk_list disks = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(disk_list_add(&disks, "data", "", "", MS_RDONLY, &err), -EINVAL);
	assert_int_equal(disks.n, 0);
	assert_int_equal(disk_list_add(&disks, "meta", "erofs", "", MS_RDONLY, &err), 0);
	assert_int_equal(disk_list_add(&disks, "data", "", "", MS_RDONLY, &err), 0);
	assert_int_equal(disks.n, 2);
	disk_list_finish(&disks);
}

static void disk_that_is_gone_is_given_back_already(void **state)
{
	struct disk_list disks = { 0 };

	assert_int_equal(disk_list_add(&disks, "no-such-disk", "ext4", "", 0, NULL), 0);
	disk_retire(&disks);
	disk_list_finish(&disks);
}

static void what_sits_in_no_slot_has_none_to_be_switched_off(void **state)
{
	assert_int_equal(slot_switch_off("/sys/class/net/lo"), -ENODEV);
	assert_int_equal(slot_switch_off("/sys/class/net/no-such-card"), -ENOENT);
	/* No link at all. */
	assert_int_equal(slot_switch_off("/sys"), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		leak_checked(list_takes_eight_disks_and_copies_all),
		leak_checked(serial_numbers_are_checked),
		leak_checked(what_is_too_long_is_refused),
		leak_checked(data_is_of_the_file_system_before_it),
		leak_checked(disk_that_is_gone_is_given_back_already),
		leak_checked(what_sits_in_no_slot_has_none_to_be_switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
