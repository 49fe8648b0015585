/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: a "struct json" is json-c's object under another name, never defined; the
 * casts below are the whole of the disguise. json-c is lenient even when told to be strict
 * (apostrophes for quotes, a NUL byte ends the text, numbers too large become the largest), so
 * json_scan looks first.
 */
#include "common/json.h"

#include <inttypes.h>
/* json-c has a type called json_bool; ours is a function. */
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_bool
#include <stdio.h>
#include <string.h>

#include "common/json_scan.h"

/* Room for a dotted field name in a message. */
#define FIELD_NAME_MAX 256
/* Longer texts do not fit json-c's lengths; far above every bound of our callers. */
#define JSON_TEXT_MAX (1u << 30)

static struct json_object *object_of(const struct json *j)
{
	return (struct json_object *)j;
}

static struct json *json_of(struct json_object *o)
{
	return (struct json *)o;
}

static size_t line_of(const char *text, size_t offset)
{
	size_t line = 1, i;

	for (i = 0; i < offset; i++)
		line += text[i] == '\n';
	return line;
}

static void tokener_free_p(struct json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

int json_parse(const char *text, size_t len, struct json **ret, struct err *err)
{
	_cleanup_(tokener_free_p) struct json_tokener *tok = NULL;
	enum json_tokener_error reason;
	struct json_object *o, *end;
	const char *wrong;
	size_t offset = 0;

	if (len > JSON_TEXT_MAX)
		return err_set(err, -EBADMSG, "json text of %zu bytes exceeds %u", len,
			       JSON_TEXT_MAX);
	wrong = json_scan(text, len, &offset);
	if (wrong)
		return err_set(err, -EBADMSG, "line %zu: %s", line_of(text, offset), wrong);
	/* json-c counts scalars as a level, too. */
	tok = json_tokener_new_ex(JSON_DEPTH_MAX + 2);
	if (!tok)
		return err_set(err, -ENOMEM, "no memory for json");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tok, text, (int)len);
	reason = json_tokener_get_error(tok);
	offset = json_tokener_get_parse_end(tok);
	if (reason == json_tokener_continue) {
		/* A number at the very end is only complete when something follows. */
		end = json_tokener_parse_ex(tok, "\n", 1);
		reason = json_tokener_get_error(tok);
		if (reason == json_tokener_success)
			o = end;
		offset = len;
	}
	if (reason == json_tokener_continue)
		return err_set(err, -EBADMSG, "line %zu: the text ends too early",
			       line_of(text, len));
	if (reason != json_tokener_success)
		return err_set(err, -EBADMSG, "line %zu: %s", line_of(text, offset),
			       json_tokener_error_desc(reason));
	if (offset < len && strspn(text + offset, " \t\r\n") < len - offset) {
		json_object_put(o);
		return err_set(err, -EBADMSG, "line %zu: more text after the value",
			       line_of(text, offset));
	}
	*ret = json_of(o);
	return 0;
}

struct json *json_ref(struct json *j)
{
	return json_of(json_object_get(object_of(j)));
}

void json_unref(struct json *j)
{
	json_object_put(object_of(j));
}

bool json_is_object(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_object);
}

bool json_is_array(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_array);
}

bool json_is_string(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_string);
}

bool json_is_int(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_int);
}

bool json_is_bool(const struct json *j)
{
	return json_object_is_type(object_of(j), json_type_boolean);
}

const char *json_type_name(const struct json *j)
{
	static const char *const names[] = {
		[json_type_null] = "null",     [json_type_boolean] = "a boolean",
		[json_type_double] = "a number", [json_type_int] = "a number",
		[json_type_object] = "an object", [json_type_array] = "an array",
		[json_type_string] = "a string",
	};

	return names[json_object_get_type(object_of(j))];
}

struct json *json_get(const struct json *obj, const char *key)
{
	struct json_object *value;

	if (!json_is_object(obj) || !json_object_object_get_ex(object_of(obj), key, &value))
		return NULL;
	return json_of(value);
}

size_t json_array_len(const struct json *arr)
{
	return json_is_array(arr) ? json_object_array_length(object_of(arr)) : 0;
}

struct json *json_array_at(const struct json *arr, size_t i)
{
	return i < json_array_len(arr) ? json_of(json_object_array_get_idx(object_of(arr), i))
				       : NULL;
}

const char *json_string(const struct json *j)
{
	return json_object_get_string(object_of(j));
}

size_t json_string_len(const struct json *j)
{
	return (size_t)json_object_get_string_len(object_of(j));
}

int64_t json_int(const struct json *j)
{
	return json_object_get_int64(object_of(j));
}

uint64_t json_uint(const struct json *j)
{
	return json_object_get_uint64(object_of(j));
}

bool json_bool(const struct json *j)
{
	return json_object_get_boolean(object_of(j));
}

/* ---- typed members ---- */

static const char *field_name(char name[FIELD_NAME_MAX], const char *path, const char *key)
{
	snprintf(name, FIELD_NAME_MAX, "%s%s%s", path, *path ? "." : "", key);
	return name;
}

static int wrong_type(const char *path, const char *key, const char *wanted, const struct json *got,
		      struct err *err)
{
	char name[FIELD_NAME_MAX];

	if (json_object_is_type(object_of(got), json_type_double))
		return err_set(err, -EINVAL, "field '%s': expected %s, got the number %s",
			       field_name(name, path, key), wanted, json_string(got));
	return err_set(err, -EINVAL, "field '%s': expected %s, got %s", field_name(name, path, key),
		       wanted, json_type_name(got));
}

int json_member_string(const struct json *obj, const char *path, const char *key, const char **ret,
		       struct err *err)
{
	const struct json *value = json_get(obj, key);
	char name[FIELD_NAME_MAX];

	if (!value)
		return 0;
	if (!json_is_string(value))
		return wrong_type(path, key, "a string", value, err);
	if (strlen(json_string(value)) != json_string_len(value))
		return err_set(err, -EINVAL, "field '%s': the string holds a NUL byte",
			       field_name(name, path, key));
	*ret = json_string(value);
	return 1;
}

int json_member_bool(const struct json *obj, const char *path, const char *key, bool *ret,
		     struct err *err)
{
	const struct json *value = json_get(obj, key);

	if (!value)
		return 0;
	if (!json_is_bool(value))
		return wrong_type(path, key, "a boolean", value, err);
	*ret = json_bool(value);
	return 1;
}

int json_member_int(const struct json *obj, const char *path, const char *key, int64_t min,
		    int64_t max, int64_t *ret, struct err *err)
{
	const struct json *value = json_get(obj, key);
	char name[FIELD_NAME_MAX];
	int64_t n;

	if (!value)
		return 0;
	if (!json_is_int(value))
		return wrong_type(path, key, "an integer", value, err);
	n = json_int(value);
	/* json-c cuts what is above INT64_MAX to it. */
	if (n < min || n > max || json_uint(value) > INT64_MAX)
		return err_set(err, -EINVAL,
			       "field '%s': %s is not between %" PRId64 " and %" PRId64,
			       field_name(name, path, key), json_string(value), min, max);
	*ret = n;
	return 1;
}

int json_member_uint(const struct json *obj, const char *path, const char *key, uint64_t max,
		     uint64_t *ret, struct err *err)
{
	const struct json *value = json_get(obj, key);
	char name[FIELD_NAME_MAX];

	if (!value)
		return 0;
	if (!json_is_int(value))
		return wrong_type(path, key, "an integer", value, err);
	if (json_int(value) < 0 || json_uint(value) > max)
		return err_set(err, -EINVAL, "field '%s': %s is not between 0 and %" PRIu64,
			       field_name(name, path, key), json_string(value), max);
	*ret = json_uint(value);
	return 1;
}

int json_member_object(const struct json *obj, const char *path, const char *key, struct json **ret,
		       struct err *err)
{
	struct json *value = json_get(obj, key);

	if (!value)
		return 0;
	if (!json_is_object(value))
		return wrong_type(path, key, "an object", value, err);
	*ret = value;
	return 1;
}

static int member_array(const struct json *obj, const char *path, const char *key, size_t max,
			const char *wanted, struct json **ret, struct err *err)
{
	struct json *value = json_get(obj, key);
	char name[FIELD_NAME_MAX];

	if (!value)
		return 0;
	if (!json_is_array(value))
		return wrong_type(path, key, wanted, value, err);
	if (json_array_len(value) > max)
		return err_set(err, -E2BIG, "field '%s': %zu entries, at most %zu are allowed",
			       field_name(name, path, key), json_array_len(value), max);
	*ret = value;
	return 1;
}

int json_member_array(const struct json *obj, const char *path, const char *key, size_t max,
		      struct json **ret, struct err *err)
{
	return member_array(obj, path, key, max, "an array", ret, err);
}

static void free_strv_p(char ***v)
{
	json_free_strv(*v);
}

int json_member_strv(const struct json *obj, const char *path, const char *key, size_t max,
		     char ***ret, struct err *err)
{
	_cleanup_(free_strv_p) char **v = NULL;
	char name[FIELD_NAME_MAX];
	const struct json *entry;
	struct json *arr = NULL;
	size_t i, n;
	int r;

	r = member_array(obj, path, key, max, "an array of strings", &arr, err);
	if (r <= 0)
		return r;
	n = json_array_len(arr);
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return err_set(err, -ENOMEM, "no memory for field '%s'",
			       field_name(name, path, key));
	for (i = 0; i < n; i++) {
		entry = json_array_at(arr, i);
		if (!json_is_string(entry))
			return err_set(err, -EINVAL, "field '%s[%zu]': expected a string, got %s",
				       field_name(name, path, key), i, json_type_name(entry));
		if (strlen(json_string(entry)) != json_string_len(entry))
			return err_set(err, -EINVAL, "field '%s[%zu]': the string holds a NUL byte",
				       field_name(name, path, key), i);
		v[i] = strdup(json_string(entry));
		if (!v[i])
			return err_set(err, -ENOMEM, "no memory for field '%s'",
				       field_name(name, path, key));
	}
	*ret = TAKE_PTR(v);
	return 1;
}

void json_free_strv(char **v)
{
	size_t i;

	for (i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

int json_foreach(const struct json *obj, json_member_fn fn, void *userdata)
{
	struct json_object_iterator it, end;
	int r = 0;

	if (!json_is_object(obj))
		return 0;
	it = json_object_iter_begin(object_of(obj));
	end = json_object_iter_end(object_of(obj));
	for (; r == 0 && !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		r = fn(json_object_iter_peek_name(&it), json_of(json_object_iter_peek_value(&it)),
		       userdata);
	return r;
}

/* ---- building ---- */

struct json *json_new_object(void)
{
	return json_of(json_object_new_object());
}

struct json *json_new_array(void)
{
	return json_of(json_object_new_array());
}

struct json *json_new_string(const char *s)
{
	return json_of(json_object_new_string(s));
}

struct json *json_new_int(int64_t n)
{
	return json_of(json_object_new_int64(n));
}

struct json *json_new_uint(uint64_t n)
{
	return json_of(json_object_new_uint64(n));
}

struct json *json_new_bool(bool b)
{
	return json_of(json_object_new_boolean(b));
}

int json_set(struct json *obj, const char *key, struct json *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(object_of(obj), key, object_of(value)) == 0)
		return 0;
	json_unref(value);
	return -ENOMEM;
}

int json_append(struct json *arr, struct json *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_array_add(object_of(arr), object_of(value)) == 0)
		return 0;
	json_unref(value);
	return -ENOMEM;
}

char *json_text(const struct json *j, bool pretty)
{
	int flags = JSON_C_TO_STRING_NOSLASHESCAPE;
	const char *text;

	flags |=
		pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN;
	text = json_object_to_json_string_ext(object_of(j), flags);
	return text ? strdup(text) : NULL;
}
