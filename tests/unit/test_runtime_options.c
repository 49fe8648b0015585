/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/runtime/options.h"
#include "tests/unit/check_leaks.h"

struct values {
	bool flag, other;
	const char *text;
	struct option_list list;
	uint32_t number;
};

static const struct option_row rows[] = {
	{ "flag", 'f', OPTION_FLAG, offsetof(struct values, flag), "a flag" },
	{ "other", 0, OPTION_FLAG, offsetof(struct values, other), NULL },
	{ "text", 't', OPTION_STRING, offsetof(struct values, text), "a text" },
	{ "list", 'l', OPTION_LIST, offsetof(struct values, list), "a list" },
	{ "number", 'n', OPTION_U32, offsetof(struct values, number), "a number" },
	OPTIONS_END,
};

static struct err error;

static int parse(struct values *v, const char *const *argv)
{
	*v = (struct values){ 0 };
	error = (struct err)ERR_INIT;
	return options_parse(rows, (char *const *)argv, v, &error);
}

#define PARSE(v, ...) parse((v), (const char *const[]){ __VA_ARGS__, NULL })

static void value_may_follow_or_be_joined_with_one_or_two_dashes(void **state)
{
	static const char *const forms[][3] = {
		{ "--text", "x" }, { "--text=x" }, { "-text", "x" }, { "-text=x" },
		{ "-t", "x" },     { "-t=x" },     { "--t=x" },
	};
	struct values v;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		assert_true(parse(&v, forms[i]) > 0);
		assert_string_equal(v.text, "x");
	}
}

static void value_may_be_empty_or_look_like_an_option(void **state)
{
	struct values v;

	assert_int_equal(PARSE(&v, "--text="), 1);
	assert_string_equal(v.text, "");
	assert_int_equal(PARSE(&v, "--text", "--flag"), 2);
	assert_string_equal(v.text, "--flag");
	assert_false(v.flag);
	assert_int_equal(PARSE(&v, "--text=a=b"), 1);
	assert_string_equal(v.text, "a=b");
}

static void options_end_at_the_first_argument(void **state)
{
	struct values v;

	assert_int_equal(PARSE(&v, "-f", "id", "--other"), 1);
	assert_true(v.flag);
	assert_false(v.other);
	assert_int_equal(PARSE(&v, "-"), 0);
	assert_int_equal(PARSE(&v, "--", "--other"), 1);
	assert_false(v.other);
}

static void flag_takes_gos_booleans_by_equals_only(void **state)
{
	struct values v;

	assert_int_equal(PARSE(&v, "--flag=false", "--other=T"), 2);
	assert_false(v.flag);
	assert_true(v.other);
	assert_int_equal(PARSE(&v, "--flag", "false"), 1);
	assert_true(v.flag);
	assert_int_equal(PARSE(&v, "--flag=maybe"), -EINVAL);
}

static void list_collects_in_order_and_is_bounded(void **state)
{
	static const char *many[OPTIONS_LIST_MAX + 2];
	struct values v;

	assert_int_equal(PARSE(&v, "-l", "a", "--list=b", "-l=c"), 4);
	assert_int_equal(v.list.n, 3);
	assert_string_equal(v.list.items[1], "b");
	assert_null(v.list.items[3]);
	options_finish(rows, &v);
	assert_null(v.list.items);
	for (size_t i = 0; i <= OPTIONS_LIST_MAX; i++)
		many[i] = "-l=x";
	assert_int_equal(parse(&v, many), -E2BIG);
	options_finish(rows, &v);
}

static void number_out_of_range_or_malformed_is_refused(void **state)
{
	struct values v;

	assert_int_equal(PARSE(&v, "-n", "4294967295"), 2);
	assert_int_equal(v.number, 4294967295u);
	assert_int_equal(PARSE(&v, "-n", "4294967296"), -EINVAL);
	assert_int_equal(PARSE(&v, "-n", "-1"), -EINVAL);
	assert_int_equal(PARSE(&v, "-n", "1x"), -EINVAL);
	assert_int_equal(PARSE(&v, "-n", ""), -EINVAL);
}

static void unknown_option_and_missing_value_have_runcs_words(void **state)
{
	struct values v;

	assert_int_equal(PARSE(&v, "--nope=1"), -EINVAL);
	assert_string_equal(error.text, "flag provided but not defined: -nope");
	assert_int_equal(PARSE(&v, "--text"), -EINVAL);
	assert_string_equal(error.text, "flag needs an argument: -text");
	assert_int_equal(PARSE(&v, "-ft"), -EINVAL);
}

static void help_lists_what_has_a_text(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	options_print_help(rows, out);
	fclose(out);
	assert_non_null(strstr(text, "--text value, -t value"));
	assert_non_null(strstr(text, "--flag, -f"));
	assert_null(strstr(text, "--other"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(value_may_follow_or_be_joined_with_one_or_two_dashes),
		leak_checked(value_may_be_empty_or_look_like_an_option),
		leak_checked(options_end_at_the_first_argument),
		leak_checked(flag_takes_gos_booleans_by_equals_only),
		leak_checked(list_collects_in_order_and_is_bounded),
		leak_checked(number_out_of_range_or_malformed_is_refused),
		leak_checked(unknown_option_and_missing_value_have_runcs_words),
		leak_checked(help_lists_what_has_a_text),
	};

	return cmocka_run_group_tests_name("runtime_options", tests, NULL, NULL);
}
