/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "common/oci.h"

#define ATIME MOUNT_ATTR__ATIME

/* One option alone and what it has to leave behind. */
struct expected {
	const char *name;
	unsigned long flags, cleared, propagation;
	uint64_t rec_set, rec_clr;
	bool bind, recursive, copy_up;
};

static const struct expected all[] = {
	{ "async", .cleared = MS_SYNCHRONOUS },
	{ "atime", .cleared = MS_NOATIME },
	{ "bind", .flags = MS_BIND, .bind = true },
	{ "defaults" },
	{ "dev", .cleared = MS_NODEV },
	{ "diratime", .cleared = MS_NODIRATIME },
	{ "dirsync", .flags = MS_DIRSYNC },
	{ "exec", .cleared = MS_NOEXEC },
	{ "iversion", .flags = MS_I_VERSION },
	{ "lazytime", .flags = MS_LAZYTIME },
	{ "loud", .cleared = MS_SILENT },
	{ "mand", .flags = MS_MANDLOCK },
	{ "noatime", .flags = MS_NOATIME },
	{ "nodev", .flags = MS_NODEV },
	{ "nodiratime", .flags = MS_NODIRATIME },
	{ "noexec", .flags = MS_NOEXEC },
	{ "noiversion", .cleared = MS_I_VERSION },
	{ "nolazytime", .cleared = MS_LAZYTIME },
	{ "nomand", .cleared = MS_MANDLOCK },
	{ "norelatime", .cleared = MS_RELATIME },
	{ "nostrictatime", .cleared = MS_STRICTATIME },
	{ "nosuid", .flags = MS_NOSUID },
	{ "nosymfollow", .flags = MS_NOSYMFOLLOW },
	{ "private", .propagation = MS_PRIVATE },
	{ "ratime", .rec_clr = ATIME },
	{ "rbind", .flags = MS_BIND | MS_REC, .bind = true, .recursive = true },
	{ "rdev", .rec_clr = MOUNT_ATTR_NODEV },
	{ "rdiratime", .rec_clr = MOUNT_ATTR_NODIRATIME },
	{ "relatime", .flags = MS_RELATIME },
	{ "remount", .flags = MS_REMOUNT },
	{ "rexec", .rec_clr = MOUNT_ATTR_NOEXEC },
	{ "rnoatime", .rec_set = MOUNT_ATTR_NOATIME, .rec_clr = ATIME },
	{ "rnodev", .rec_set = MOUNT_ATTR_NODEV },
	{ "rnodiratime", .rec_set = MOUNT_ATTR_NODIRATIME },
	{ "rnoexec", .rec_set = MOUNT_ATTR_NOEXEC },
	{ "rnorelatime" },
	{ "rnostrictatime", .rec_clr = ATIME },
	{ "rnosuid", .rec_set = MOUNT_ATTR_NOSUID },
	{ "rnosymfollow", .rec_set = MOUNT_ATTR_NOSYMFOLLOW },
	{ "ro", .flags = MS_RDONLY },
	{ "rprivate", .propagation = MS_PRIVATE | MS_REC },
	{ "rrelatime", .rec_clr = ATIME },
	{ "rro", .rec_set = MOUNT_ATTR_RDONLY },
	{ "rrw", .rec_clr = MOUNT_ATTR_RDONLY },
	{ "rshared", .propagation = MS_SHARED | MS_REC },
	{ "rslave", .propagation = MS_SLAVE | MS_REC },
	{ "rstrictatime", .rec_set = MOUNT_ATTR_STRICTATIME, .rec_clr = ATIME },
	{ "rsuid", .rec_clr = MOUNT_ATTR_NOSUID },
	{ "rsymfollow", .rec_clr = MOUNT_ATTR_NOSYMFOLLOW },
	{ "runbindable", .propagation = MS_UNBINDABLE | MS_REC },
	{ "rw", .cleared = MS_RDONLY },
	{ "shared", .propagation = MS_SHARED },
	{ "silent", .flags = MS_SILENT },
	{ "slave", .propagation = MS_SLAVE },
	{ "strictatime", .flags = MS_STRICTATIME },
	{ "suid", .cleared = MS_NOSUID },
	{ "symfollow", .cleared = MS_NOSYMFOLLOW },
	{ "sync", .flags = MS_SYNCHRONOUS },
	{ "tmpcopyup", .copy_up = true },
	{ "unbindable", .propagation = MS_UNBINDABLE },
};

static int parse(struct oci_mount *mount, const char *type, const char *const *options,
		 struct err *err)
{
	memset(mount, 0, sizeof(*mount));
	mount->type = (char *)type;
	mount->options = (char **)options;
	return oci_mount_parse_options(mount, "mounts[0]", err);
}

#define PARSE(mount, ...) parse(mount, NULL, (const char *const[]) { __VA_ARGS__, NULL }, NULL)

static void each_option_has_its_effect_and_no_other(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const struct expected *e = &all[i];
		struct oci_mount m;

		assert_int_equal(PARSE(&m, e->name), 0);
		if (m.flags != e->flags || m.cleared_flags != e->cleared ||
		    m.rec_attr_set != e->rec_set || m.rec_attr_clr != e->rec_clr ||
		    m.is_bind != e->bind || m.is_recursive_bind != e->recursive ||
		    m.copy_up != e->copy_up || m.data || m.n_propagation != (e->propagation != 0) ||
		    m.propagation[0] != e->propagation)
			fail_msg("%s: flags %lx cleared %lx set %llx clr %llx", e->name, m.flags,
				 m.cleared_flags, (unsigned long long)m.rec_attr_set,
				 (unsigned long long)m.rec_attr_clr);
	}
}

static void option_names_are_listed_sorted_and_complete(void **state)
{
	const char *const *names = oci_mount_option_names();

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		assert_non_null(names[i]);
		assert_string_equal(names[i], all[i].name);
		assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
	}
	assert_null(names[ARRAY_SIZE(all)]);
}

static void later_options_win(void **state)
{
	struct oci_mount m;

	assert_int_equal(PARSE(&m, "ro", "nosuid", "rw"), 0);
	assert_int_equal(m.flags, MS_NOSUID);
	assert_int_equal(m.cleared_flags, MS_RDONLY);
	assert_int_equal(PARSE(&m, "rw", "ro"), 0);
	assert_int_equal(m.flags, MS_RDONLY);
	assert_int_equal(m.cleared_flags, 0);
	assert_int_equal(PARSE(&m, "rro", "rrw"), 0);
	assert_int_equal(m.rec_attr_set, 0);
	assert_int_equal(m.rec_attr_clr, MOUNT_ATTR_RDONLY);
	assert_int_equal(PARSE(&m, "rrw", "rro"), 0);
	assert_int_equal(m.rec_attr_set, MOUNT_ATTR_RDONLY);
	assert_int_equal(m.rec_attr_clr, 0);
}

static void recursive_access_times_are_one_choice(void **state)
{
	struct oci_mount m;

	assert_int_equal(PARSE(&m, "rnoatime", "rstrictatime"), 0);
	assert_int_equal(m.rec_attr_set, MOUNT_ATTR_STRICTATIME);
	assert_int_equal(m.rec_attr_clr, ATIME);
	assert_int_equal(PARSE(&m, "rstrictatime", "rrelatime", "rro"), 0);
	assert_int_equal(m.rec_attr_set, MOUNT_ATTR_RDONLY);
	assert_int_equal(m.rec_attr_clr, ATIME);
	assert_int_equal(PARSE(&m, "rnoatime", "ratime"), 0);
	assert_int_equal(m.rec_attr_set, 0);
	assert_int_equal(m.rec_attr_clr, ATIME);
}

static void propagation_keeps_its_order(void **state)
{
	struct oci_mount m;

	assert_int_equal(PARSE(&m, "rslave", "shared"), 0);
	assert_int_equal(m.n_propagation, 2);
	assert_int_equal(m.propagation[0], MS_SLAVE | MS_REC);
	assert_int_equal(m.propagation[1], MS_SHARED);
}

static void unknown_options_become_data(void **state)
{
	struct oci_mount m;

	assert_int_equal(PARSE(&m, "mode=755", "", "ro", "size=65536k", "RO"), 0);
	assert_string_equal(m.data, "mode=755,size=65536k,RO");
	assert_int_equal(m.flags, MS_RDONLY);
	free(m.data);
	assert_int_equal(PARSE(&m, "ro", ""), 0);
	assert_null(m.data);
}

static void type_bind_binds_without_an_option(void **state)
{
	static const char *const options[] = { "ro", NULL };
	struct oci_mount m;

	assert_int_equal(parse(&m, "bind", options, NULL), 0);
	assert_int_equal(m.flags, MS_BIND | MS_RDONLY);
	assert_true(m.is_bind);
	assert_false(m.is_recursive_bind);
	assert_int_equal(parse(&m, "none", NULL, NULL), 0);
	assert_false(m.is_bind);
}

static void idmap_is_refused_by_name(void **state)
{
	static const char *const options[][3] = { { "ro", "idmap" }, { "ro", "ridmap" } };
	struct oci_mount m;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(parse(&m, "bind", options[i], &err), -EOPNOTSUPP);
		assert_non_null(strstr(err.text, "field 'mounts[0].options[1]': "));
		assert_non_null(strstr(err.text, options[i][1]));
	}
}

static void ninth_propagation_option_is_refused(void **state)
{
	struct oci_mount m;

	assert_int_equal(PARSE(&m, "private", "slave", "private", "slave", "private", "slave",
			       "private", "slave"),
			 0);
	assert_int_equal(m.n_propagation, OCI_PROPAGATION_MAX);
	assert_int_equal(PARSE(&m, "private", "slave", "private", "slave", "private", "slave",
			       "private", "slave", "shared"),
			 -E2BIG);
}

static void data_beyond_one_page_is_refused(void **state)
{
	char text[4097];
	struct oci_mount m;

	memset(text, 'x', sizeof(text));
	text[4095] = '\0';
	assert_int_equal(PARSE(&m, text), 0);
	free(m.data);
	text[4095] = 'x';
	text[4096] = '\0';
	assert_int_equal(PARSE(&m, text), -E2BIG);
	free(m.data);
	text[2048] = '\0';
	assert_int_equal(PARSE(&m, text, text), -E2BIG);
	free(m.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_option_has_its_effect_and_no_other),
		cmocka_unit_test(option_names_are_listed_sorted_and_complete),
		cmocka_unit_test(later_options_win),
		cmocka_unit_test(recursive_access_times_are_one_choice),
		cmocka_unit_test(propagation_keeps_its_order),
		cmocka_unit_test(unknown_options_become_data),
		cmocka_unit_test(type_bind_binds_without_an_option),
		cmocka_unit_test(idmap_is_refused_by_name),
		cmocka_unit_test(ninth_propagation_option_is_refused),
		cmocka_unit_test(data_beyond_one_page_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
