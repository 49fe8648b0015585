/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/err.h"
#include "tests/unit/check_leaks.h"

static void set_records_code_and_text(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(err_set(&err, -EPROTO, "frame of %d bytes exceeds %d", 5, 4), -EPROTO);
	assert_int_equal(err.code, -EPROTO);
	assert_string_equal(err.text, "frame of 5 bytes exceeds 4");
	assert_int_equal(err_set(&err, -EINVAL, "x"), -EINVAL);
	assert_string_equal(err.text, "x");
}

static void set_errno_appends_the_reason(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(err_set_errno(&err, -ENOENT, "open '%s'", "/x"), -ENOENT);
	assert_string_equal(err.text, "open '/x': No such file or directory");
}

static void prefix_puts_text_before(void **state)
{
	struct err err = ERR_INIT;

	err_set(&err, -EIO, "inner");
	assert_int_equal(err_prefix(&err, "middle %d", 1), -EIO);
	assert_int_equal(err_prefix(&err, "outer"), -EIO);
	assert_string_equal(err.text, "outer: middle 1: inner");
}

static void null_is_accepted(void **state)
{
	assert_int_equal(err_set(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_set_errno(NULL, -EIO, "x"), -EIO);
	assert_int_equal(err_prefix(NULL, "x"), 0);
}

/* Bytes behind the record must stay as they are. */
static void long_texts_are_cut(void **state)
{
	struct {
		struct err err;
		char guard[8];
	} s = { .err = ERR_INIT, .guard = "guard" };
	char big[2 * ERR_TEXT_MAX];

	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&s.err, -EIO, "%s", big);
	assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
	err_set_errno(&s.err, -EIO, "%s", big);
	assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
	err_prefix(&s.err, "%s", big);
	assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
	err_set(&s.err, -EIO, "tail");
	err_prefix(&s.err, "%.*s", ERR_TEXT_MAX - 4, big);
	assert_int_equal(strlen(s.err.text), ERR_TEXT_MAX - 1);
	assert_string_equal(s.err.text + ERR_TEXT_MAX - 4, ": t");
	assert_string_equal(s.guard, "guard");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(set_records_code_and_text),
		leak_checked(set_errno_appends_the_reason),
		leak_checked(prefix_puts_text_before),
		leak_checked(null_is_accepted),
		leak_checked(long_texts_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
