/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - reading and writing JSON, with bounds and messages that name the field
 *
 * Shape:    an opaque tree. Readers name a member and its type; a wrong type gives
 *           "field 'process.args': expected an array of strings, got a number".
 * Limits:   JSON_DEPTH_MAX levels; input length is the caller's to bound.
 * Numbers:  64-bit integers are exact; "1.0" is not an integer.
 * Backend:  json-c, which no other file includes.
 */
#ifndef ONGGI_COMMON_JSON_H
#define ONGGI_COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/err.h"

#define JSON_DEPTH_MAX 64

struct json; /* a reference counted value; NULL is JSON's null */

/*
 * Parse exactly one value; only white space may follow.
 * Returns 0, or -EBADMSG with line and reason in @err, -ENOMEM.
 */
int json_parse(const char *text, size_t len, struct json **ret, struct err *err);
struct json *json_ref(struct json *j);
void json_unref(struct json *j);
DEFINE_CLEANUP(struct json *, json_unref);
#define _cleanup_json_ _cleanup_(json_unref_p)

/* The type of @j; all false for NULL, which is null. */
bool json_is_object(const struct json *j);
bool json_is_array(const struct json *j);
bool json_is_string(const struct json *j);
bool json_is_int(const struct json *j);
bool json_is_bool(const struct json *j);
/* "an object", "an array", "a string", "a number", "a boolean", "null" */
const char *json_type_name(const struct json *j);

/* Member @key of object @obj, borrowed; NULL when absent or null. */
struct json *json_get(const struct json *obj, const char *key);
size_t json_array_len(const struct json *arr);
struct json *json_array_at(const struct json *arr, size_t i);

/* Values; borrowed strings live as long as the tree. The caller checked the type. */
const char *json_string(const struct json *j);
size_t json_string_len(const struct json *j); /* may hold NUL bytes: compare with strlen */
int64_t json_int(const struct json *j);
uint64_t json_uint(const struct json *j);
bool json_bool(const struct json *j);

/*
 * Typed members: absent or null leaves *ret untouched and returns 0; present returns 1; a wrong
 * type or a value out of range returns -EINVAL with a message that begins "field '<path>.<key>':
 * …".
 * @path is the dotted name of @obj, "" at the top.
 * Strings with embedded NUL bytes are refused with -EINVAL, an array of more than @max entries with
 * -E2BIG.
 */
int json_member_string(const struct json *obj, const char *path, const char *key, const char **ret,
		       struct err *err);
int json_member_bool(const struct json *obj, const char *path, const char *key, bool *ret,
		     struct err *err);
int json_member_int(const struct json *obj, const char *path, const char *key, int64_t min,
		    int64_t max, int64_t *ret, struct err *err);
int json_member_uint(const struct json *obj, const char *path, const char *key, uint64_t max,
		     uint64_t *ret, struct err *err);
int json_member_object(const struct json *obj, const char *path, const char *key, struct json **ret,
		       struct err *err);
int json_member_array(const struct json *obj, const char *path, const char *key, size_t max,
		      struct json **ret, struct err *err);
/*
 * An array of strings as a new NULL-terminated vector, freed with json_free_strv; at most @max
 * entries. Returns as above, or -ENOMEM.
 */
int json_member_strv(const struct json *obj, const char *path, const char *key, size_t max,
		     char ***ret, struct err *err);
void json_free_strv(char **v);

/*
 * Walk the members of an object: return non-zero to stop, that value is passed on; else
 * json_foreach returns 0.
 */
typedef int (*json_member_fn)(const char *key, struct json *value, void *userdata);
int json_foreach(const struct json *obj, json_member_fn fn, void *userdata);

/*
 * Building. Each setter takes over @value and returns 0 or -ENOMEM (value released then; also for a
 * @value of NULL, so that a constructor may stand in the call: a null cannot be stored).
 */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_string(const char *s);
struct json *json_new_int(int64_t n);
struct json *json_new_uint(uint64_t n);
struct json *json_new_bool(bool b);
int json_set(struct json *obj, const char *key, struct json *value);
int json_append(struct json *arr, struct json *value);

/*
 * Text of a tree: compact on one line, or indented by two spaces. Freed by the caller; NULL: no
 * memory.
 */
char *json_text(const struct json *j, bool pretty);

#endif
