/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON reader against arbitrary text. What it accepts is valid UTF-8, not too deep, and
 * survives being written.
 */
#include <assert.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct json *j, unsigned int depth);

static int check_member(const char *key, struct json *value, void *userdata)
{
	assert(utf8_valid(key));
	check(value, *(const unsigned int *)userdata);
	return 0;
}

static void check(struct json *j, unsigned int depth)
{
	unsigned int below = depth + 1;
	size_t i;

	assert(json_type_name(j));
	if (json_is_string(j)) {
		assert(json_string_len(j) >= strlen(json_string(j)));
	} else if (json_is_array(j)) {
		assert(depth < JSON_DEPTH_MAX);
		for (i = 0; i < json_array_len(j); i++)
			check(json_array_at(j, i), below);
	} else if (json_is_object(j)) {
		assert(depth < JSON_DEPTH_MAX);
		json_foreach(j, check_member, &below);
	}
}

static void check_members(const struct json *j)
{
	struct err err = ERR_INIT;
	const char *s;
	struct json *o;
	char **v = NULL;
	uint64_t u;
	int64_t n;
	bool b;

	assert(json_member_string(j, "p", "a", &s, &err) <= 0 || utf8_valid(s));
	assert(json_member_int(j, "p", "a", -5, 5, &n, &err) <= 0 || (n >= -5 && n <= 5));
	assert(json_member_uint(j, "p", "a", 5, &u, &err) <= 0 || u <= 5);
	json_member_bool(j, "p", "a", &b, &err);
	json_member_object(j, "p", "a", &o, &err);
	assert(json_member_array(j, "p", "a", 3, &o, &err) <= 0 || json_array_len(o) <= 3);
	if (json_member_strv(j, "p", "a", 3, &v, &err) > 0)
		json_free_strv(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json *j = NULL, *again = NULL;
	char *text, *second;
	struct err err = ERR_INIT;
	int r = json_parse((const char *)data, size, &j, &err);

	if (r < 0) {
		assert(r == -EBADMSG && !j && strncmp(err.text, "line ", 5) == 0);
		return 0;
	}
	check(j, 0);
	check_members(j);
	text = json_text(j, data[0] % 2);
	assert(text);
	if (json_parse(text, strlen(text), &again, &err) < 0)
		__builtin_trap();
	second = json_text(again, data[0] % 2);
	assert(strcmp(text, second) == 0);
	free(text);
	free(second);
	json_unref(j);
	json_unref(again);
	return 0;
}
