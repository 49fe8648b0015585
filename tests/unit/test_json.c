/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/json.h"
#include "tests/unit/check_leaks.h"

static struct json *parse(const char *text)
{
	struct err err = ERR_INIT;
	struct json *j = NULL;

	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("'%s': %s", text, err.text);
	return j;
}

static void refuse(const char *text, size_t len)
{
	struct json *j = (struct json *)&refuse;
	struct err err = ERR_INIT;

	if (json_parse(text, len, &j, &err) != -EBADMSG)
		fail_msg("accepted: %.*s", (int)len, text);
	assert_ptr_equal(j, (struct json *)&refuse);
	assert_int_equal(err.code, -EBADMSG);
	assert_non_null(strstr(err.text, "line "));
}

static void parse_takes_every_type(void **state)
{
	_cleanup_json_ struct json *j =
		parse(" {\"s\":\"x\",\"n\":-5,\"b\":true,\"a\":[1,2],\"o\":{},\"z\":null} \n");

	assert_true(json_is_object(j));
	assert_string_equal(json_string(json_get(j, "s")), "x");
	assert_int_equal(json_int(json_get(j, "n")), -5);
	assert_true(json_bool(json_get(j, "b")));
	assert_int_equal(json_array_len(json_get(j, "a")), 2);
	assert_int_equal(json_int(json_array_at(json_get(j, "a"), 1)), 2);
	assert_null(json_array_at(json_get(j, "a"), 2));
	assert_true(json_is_object(json_get(j, "o")));
	assert_null(json_get(j, "z"));
	assert_null(json_get(j, "missing"));
	assert_null(json_get(NULL, "s"));
	assert_null(json_get(json_get(j, "a"), "s"));
}

static void parse_takes_a_bare_number_at_the_end(void **state)
{
	_cleanup_json_ struct json *j = parse("12");

	assert_true(json_is_int(j));
	assert_int_equal(json_int(j), 12);
}

static void parse_takes_null(void **state)
{
	struct json *j = parse("null");

	assert_null(j);
	assert_string_equal(json_type_name(j), "null");
}

static void parse_does_not_read_behind_its_length(void **state)
{
	struct json *j = NULL;

	assert_int_equal(json_parse("[1]garbage", 3, &j, NULL), 0);
	json_unref(j);
	assert_int_equal(json_parse("123456", 3, &j, NULL), 0);
	assert_int_equal(json_int(j), 123);
	json_unref(j);
}

static void parse_refuses_what_is_no_json(void **state)
{
	static const char *const bad[] = {
		"",	      " ",
		"{",	      "[1,",
		"[1,]",	      "{\"a\":}",
		"{\"a\":1,}", "{a:1}",
		"{'a':1}",    "[1] x",
		"[1][2]",     "1 2",
		"\"abc",      "tru",
		"nul",	      "True",
		"NaN",	      "Infinity",
		"-Infinity",  "-1.e5",
		"1e5x",	      "1.5.",
		"-01",	      "00",
		"[-]",	      "// c\n1",
		"/* c */ 1",  "01",
		"-",	      "+1",
		"1.",	      ".5",
		"0x10",	      "\"\\x\"",
		"\"\\u12\"",  "\"a\nb\"",
		"\"\xff\"",   "\"\xc0\x80\"",
		"{\"a\" 1}",  "{\"a'",
		"\"\\",	      "tRUE",
		"\"a\x01\"",  "1e",
		"1e+",	      "--1",
		"1-1",	      "1.2.3",
		"\x0b[]",     "\xef\xbb\xbf[]",
		"[1 2]",      "}",
		"]",	      ",",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i], strlen(bad[i]));
}

static void parse_refuses_nul_bytes(void **state)
{
	refuse("[1]\0", 4);
	refuse("[1]\0[2]", 7);
	refuse("\"a\0b\"", 5);
}

static void parse_names_the_line(void **state)
{
	struct err err = ERR_INIT;
	struct json *j = NULL;

	assert_int_equal(json_parse("{\n\"a\": 1,\n\"b\": oops\n}\n", 22, &j, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "line 3"));
	assert_int_equal(json_parse("{\n}\n\nx", 6, &j, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "line 4"));
}

static void parse_bounds_the_depth(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1) + 2];
	struct json *j = NULL;
	size_t depth;

	for (depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		text[depth] = '1';
		memset(text + depth + 1, ']', depth);
		if (depth == JSON_DEPTH_MAX) {
			assert_int_equal(json_parse(text, 2 * depth + 1, &j, NULL), 0);
			json_unref(j);
		} else {
			refuse(text, 2 * depth + 1);
		}
	}
}

static void integers_of_64_bits_are_exact(void **state)
{
	_cleanup_json_ struct json *j =
		parse("{\"max\":18446744073709551615,\"imax\":9223372036854775807,"
		      "\"min\":-9223372036854775808,\"over\":9223372036854775808}");
	int64_t i = 0;
	uint64_t u = 0;

	assert_int_equal(json_member_uint(j, "", "max", UINT64_MAX, &u, NULL), 1);
	assert_true(u == UINT64_MAX);
	assert_int_equal(json_member_int(j, "", "imax", INT64_MIN, INT64_MAX, &i, NULL), 1);
	assert_true(i == INT64_MAX);
	assert_int_equal(json_member_int(j, "", "min", INT64_MIN, INT64_MAX, &i, NULL), 1);
	assert_true(i == INT64_MIN);
	i = 7;
	assert_int_equal(json_member_int(j, "", "over", INT64_MIN, INT64_MAX, &i, NULL), -EINVAL);
	assert_int_equal(i, 7);
	assert_int_equal(json_member_uint(j, "", "min", UINT64_MAX, &u, NULL), -EINVAL);
}

/* They must not be taken for the largest number that fits. */
static void integers_beyond_64_bits_are_refused(void **state)
{
	static const char *const bad[] = { "{\"n\":18446744073709551616}",
					   "{\"n\":-9223372036854775809}",
					   "{\"n\":99999999999999999999999999}" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refuse(bad[i], strlen(bad[i]));
}

static void fractions_and_exponents_are_no_integers(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"n\":1.0,\"e\":1e3}");
	struct err err = ERR_INIT;
	int64_t n = 7;

	assert_int_equal(json_member_int(j, "process", "n", 0, 10, &n, &err), -EINVAL);
	assert_string_equal(err.text, "field 'process.n': expected an integer, got the number 1.0");
	assert_int_equal(json_member_int(j, "process", "e", 0, 10000, &n, &err), -EINVAL);
	assert_int_equal(n, 7);
}

static void absent_and_null_members_leave_the_default(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"null\":null}");
	static const char *const keys[] = { "null", "absent" };
	const char *s = "default";
	struct json *o = j;
	char **v = NULL;
	bool b = true;
	int64_t n = 5;
	uint64_t u = 6;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		assert_int_equal(json_member_string(j, "", keys[i], &s, NULL), 0);
		assert_int_equal(json_member_bool(j, "", keys[i], &b, NULL), 0);
		assert_int_equal(json_member_int(j, "", keys[i], 0, 1, &n, NULL), 0);
		assert_int_equal(json_member_uint(j, "", keys[i], 1, &u, NULL), 0);
		assert_int_equal(json_member_object(j, "", keys[i], &o, NULL), 0);
		assert_int_equal(json_member_array(j, "", keys[i], 1, &o, NULL), 0);
		assert_int_equal(json_member_strv(j, "", keys[i], 1, &v, NULL), 0);
	}
	assert_string_equal(s, "default");
	assert_true(b && n == 5 && u == 6 && o == j && !v);
}

static void members_of_a_wrong_type_are_named(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"n\":5,\"s\":\"x\",\"b\":true,\"a\":[],\"o\":{}}");
	struct err err = ERR_INIT;
	const char *s = NULL;
	struct json *o = NULL;
	char **v = NULL;
	bool b = false;
	int64_t n = 0;

	assert_int_equal(json_member_string(j, "process", "n", &s, &err), -EINVAL);
	assert_string_equal(err.text, "field 'process.n': expected a string, got a number");
	assert_int_equal(json_member_string(j, "", "b", &s, &err), -EINVAL);
	assert_string_equal(err.text, "field 'b': expected a string, got a boolean");
	assert_int_equal(json_member_bool(j, "", "s", &b, &err), -EINVAL);
	assert_string_equal(err.text, "field 's': expected a boolean, got a string");
	assert_int_equal(json_member_int(j, "", "s", 0, 1, &n, &err), -EINVAL);
	assert_string_equal(err.text, "field 's': expected an integer, got a string");
	assert_int_equal(json_member_object(j, "", "a", &o, &err), -EINVAL);
	assert_string_equal(err.text, "field 'a': expected an object, got an array");
	assert_int_equal(json_member_array(j, "", "o", 1, &o, &err), -EINVAL);
	assert_string_equal(err.text, "field 'o': expected an array, got an object");
	assert_int_equal(json_member_strv(j, "process", "n", 1, &v, &err), -EINVAL);
	assert_string_equal(err.text,
			    "field 'process.n': expected an array of strings, got a number");
	assert_true(!s && !o && !v && !b && n == 0);
}

static void values_out_of_range_are_named(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"n\":5,\"m\":-1}");
	struct err err = ERR_INIT;
	uint64_t u = 9;
	int64_t n = 9;

	assert_int_equal(json_member_int(j, "", "n", 0, 4, &n, &err), -EINVAL);
	assert_string_equal(err.text, "field 'n': 5 is not between 0 and 4");
	assert_int_equal(json_member_int(j, "", "n", 5, 5, &n, &err), 1);
	assert_int_equal(json_member_int(j, "", "n", 6, 9, &n, &err), -EINVAL);
	assert_int_equal(json_member_uint(j, "a.b", "m", 10, &u, &err), -EINVAL);
	assert_string_equal(err.text, "field 'a.b.m': -1 is not between 0 and 10");
	assert_int_equal(json_member_uint(j, "", "n", 4, &u, &err), -EINVAL);
	assert_int_equal(u, 9);
}

static void strings_with_nul_bytes_are_refused(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"s\":\"a\\u0000b\",\"v\":[\"ok\",\"c\\u0000d\"]}");
	struct err err = ERR_INIT;
	const char *s = NULL;
	char **v = NULL;

	assert_int_equal(json_string_len(json_get(j, "s")), 3);
	assert_int_equal(json_member_string(j, "", "s", &s, &err), -EINVAL);
	assert_null(s);
	assert_int_equal(json_member_strv(j, "", "v", 9, &v, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'v[1]'"));
	assert_null(v);
}

static void string_vectors_are_copied_and_bounded(void **state)
{
	_cleanup_json_ struct json *j =
		parse("{\"v\":[\"a\",\"\",\"c\"],\"mixed\":[\"a\",1],\"none\":[]}");
	struct err err = ERR_INIT;
	char **v = NULL;

	assert_int_equal(json_member_strv(j, "", "v", 2, &v, &err), -E2BIG);
	assert_string_equal(err.text, "field 'v': 3 entries, at most 2 are allowed");
	assert_int_equal(json_member_strv(j, "p", "mixed", 2, &v, &err), -EINVAL);
	assert_string_equal(err.text, "field 'p.mixed[1]': expected a string, got a number");
	assert_null(v);
	assert_int_equal(json_member_strv(j, "", "v", 3, &v, &err), 1);
	assert_string_equal(v[0], "a");
	assert_string_equal(v[1], "");
	assert_string_equal(v[2], "c");
	assert_null(v[3]);
	json_free_strv(v);
	assert_int_equal(json_member_strv(j, "", "none", 0, &v, &err), 1);
	assert_null(v[0]);
	json_free_strv(v);
	json_free_strv(NULL);
}

struct walk {
	int n, stop_at;
	char keys[32];
};

static int on_member(const char *key, struct json *value, void *userdata)
{
	struct walk *walk = userdata;

	strncat(walk->keys, key, sizeof(walk->keys) - strlen(walk->keys) - 1);
	return ++walk->n == walk->stop_at ? -77 : 0;
}

static void foreach_walks_in_order_and_stops(void **state)
{
	_cleanup_json_ struct json *j = parse("{\"a\":1,\"b\":null,\"c\":3}");
	struct walk walk = { 0 };

	assert_int_equal(json_foreach(j, on_member, &walk), 0);
	assert_string_equal(walk.keys, "abc");
	walk = (struct walk){ .stop_at = 2 };
	assert_int_equal(json_foreach(j, on_member, &walk), -77);
	assert_string_equal(walk.keys, "ab");
	assert_int_equal(json_foreach(NULL, on_member, &walk), 0);
}

static void built_trees_become_text(void **state)
{
	_cleanup_json_ struct json *o = json_new_object();
	_cleanup_free_ char *compact = NULL;
	_cleanup_free_ char *pretty = NULL;
	struct json *a = json_new_array();

	assert_int_equal(json_append(a, json_new_int(-1)), 0);
	assert_int_equal(json_append(a, json_new_uint(UINT64_MAX)), 0);
	assert_int_equal(json_set(o, "path", json_new_string("/a\"b\\\n")), 0);
	assert_int_equal(json_set(o, "list", a), 0);
	assert_int_equal(json_set(o, "yes", json_new_bool(true)), 0);
	compact = json_text(o, false);
	assert_string_equal(
		compact,
		"{\"path\":\"/a\\\"b\\\\\\n\",\"list\":[-1,18446744073709551615],\"yes\":true}");
	pretty = json_text(o, true);
	assert_non_null(strstr(pretty, "{\n  \"path\": \"/a"));
}

static void failed_constructor_is_reported_by_the_setter(void **state)
{
	_cleanup_json_ struct json *o = json_new_object();
	_cleanup_json_ struct json *a = json_new_array();

	assert_int_equal(json_set(o, "x", NULL), -ENOMEM);
	assert_int_equal(json_append(a, NULL), -ENOMEM);
}

static void references_keep_a_tree(void **state)
{
	struct json *o = parse("{\"a\":{\"b\":1}}"), *a;

	a = json_ref(json_get(o, "a"));
	json_unref(o);
	assert_int_equal(json_int(json_get(a, "b")), 1);
	json_unref(a);
	json_unref(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(parse_takes_every_type),
		leak_checked(parse_takes_a_bare_number_at_the_end),
		leak_checked(parse_takes_null),
		leak_checked(parse_does_not_read_behind_its_length),
		leak_checked(parse_refuses_what_is_no_json),
		leak_checked(parse_refuses_nul_bytes),
		leak_checked(parse_names_the_line),
		leak_checked(parse_bounds_the_depth),
		leak_checked(integers_of_64_bits_are_exact),
		leak_checked(integers_beyond_64_bits_are_refused),
		leak_checked(fractions_and_exponents_are_no_integers),
		leak_checked(absent_and_null_members_leave_the_default),
		leak_checked(members_of_a_wrong_type_are_named),
		leak_checked(values_out_of_range_are_named),
		leak_checked(strings_with_nul_bytes_are_refused),
		leak_checked(string_vectors_are_copied_and_bounded),
		leak_checked(foreach_walks_in_order_and_stops),
		leak_checked(built_trees_become_text),
		leak_checked(failed_constructor_is_reported_by_the_setter),
		leak_checked(references_keep_a_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
