/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A table row reads one member; rows for plain values, vectors, objects, lists of objects and string maps are
 * all served by the functions of this file, so that counts, ranges and messages are treated alike everywhere.
 * Topics with rules of their own (namespaces, capabilities, mount options) add functions of the same type.
 *
 * An absent member and a null one are the same, as in the Go structures that define the format. An empty
 * string means "not given" unless the row requires one: Go writers leave zero values in.
 */
#include "common/oci_parse.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void *at(void *base, size_t offset)
{
	return (char *)base + offset;
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* A name that does not fit ends in dots. */
static void cut(struct oci_path *name, int len)
{
	if (len < 0 || (size_t)len >= sizeof(name->text))
		memcpy(name->text + sizeof(name->text) - 4, "...", 4);
}

struct oci_path oci_path_member(const char *path, const char *key)
{
	struct oci_path ret;

	cut(&ret, snprintf(ret.text, sizeof(ret.text), "%s%s%s", path, *path ? "." : "", key));
	return ret;
}

struct oci_path oci_path_index(const char *path, size_t i)
{
	struct oci_path ret;

	cut(&ret, snprintf(ret.text, sizeof(ret.text), "%s[%zu]", path, i));
	return ret;
}

struct oci_shown oci_show(const char *s)
{
	struct oci_shown ret;
	size_t n = strnlen(s, sizeof(ret.text) - sizeof("..."));

	for (size_t i = 0; i < n; i++)
		ret.text[i] = is_control((unsigned char)s[i]) ? '?' : s[i];
	snprintf(ret.text + n, sizeof(ret.text) - n, "%s", s[n] ? "..." : "");
	return ret;
}

int oci_refuse(struct oci_parse *p, int code, const char *path, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(p->err, code, "field '%s': %s", oci_show(path).text, text);
}

int oci_no_memory(struct oci_parse *p)
{
	return err_set(p->err, -ENOMEM, "out of memory");
}

int oci_note_ignored(struct oci_parse *p, const char *path)
{
	if (p->n_ignored == OCI_IGNORED_MAX)
		return 0;
	if (!p->ignored) {
		p->ignored = calloc(OCI_IGNORED_MAX + 1, sizeof(*p->ignored));
		if (!p->ignored)
			return oci_no_memory(p);
	}
	p->ignored[p->n_ignored] = strdup(oci_show(path).text);
	if (!p->ignored[p->n_ignored])
		return oci_no_memory(p);
	p->n_ignored++;
	return 0;
}

int oci_name_index(const char *const *names, const char *name)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

const char *oci_element_string(struct oci_parse *p, const struct json *element, const char *path)
{
	if (!json_is_string(element)) {
		oci_refuse(p, -EINVAL, path, "expected a string, got %s", json_type_name(element));
		return NULL;
	}
	if (strlen(json_string(element)) != json_string_len(element)) {
		oci_refuse(p, -EINVAL, path, "the string holds a NUL byte");
		return NULL;
	}
	return json_string(element);
}

struct unknown_walk {
	struct oci_parse *p;
	const char *path;
	const struct oci_member *members;
};

static int note_unknown(const char *key, struct json *value, void *userdata)
{
	struct unknown_walk *w = userdata;

	for (const struct oci_member *m = w->members; m->key; m++)
		if (!strcmp(m->key, key))
			return 0;
	return oci_note_ignored(w->p, oci_path_member(w->path, key).text);
}

int oci_parse_members(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *members, void *base)
{
	struct unknown_walk walk = { .p = p, .path = path, .members = members };
	int r;

	if (!json_is_object(obj))
		return oci_refuse(p, -EINVAL, *path ? path : "(top)", "expected an object, got %s",
				  json_type_name(obj));
	for (const struct oci_member *m = members; m->key; m++) {
		r = m->put(p, obj, path, m, base);
		if (r < 0)
			return r;
		if (r == 0 && (m->flags & OCI_M_REQUIRED))
			return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
					  "required, but missing");
		if (r > 0 && (m->flags & OCI_M_HAS))
			*(bool *)at(base, m->has) = true;
	}
	return json_foreach(obj, note_unknown, &walk);
}

static int check_string(struct oci_parse *p, const char *path, const struct oci_member *m,
			const char *s)
{
	if ((m->flags & OCI_M_ABSOLUTE) && s[0] != '/')
		return oci_refuse(p, -EINVAL, path, "must be an absolute path, got '%s'",
				  oci_show(s).text);
	return 0;
}

int oci_put_string(struct oci_parse *p, const struct json *obj, const char *path,
		   const struct oci_member *m, void *base)
{
	char **dest = at(base, m->offset);
	struct oci_path name;
	const char *s = NULL;
	int r;

	r = json_member_string(obj, path, m->key, &s, p->err);
	if (r <= 0)
		return r;
	name = oci_path_member(path, m->key);
	if (!*s && !(m->flags & OCI_M_REQUIRED))
		return 0;
	if (!*s)
		return oci_refuse(p, -EINVAL, name.text, "must not be empty");
	r = check_string(p, name.text, m, s);
	if (r < 0)
		return r;
	*dest = strdup(s);
	return *dest ? 1 : oci_no_memory(p);
}

int oci_put_name(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base)
{
	const char *s;
	int r;

	r = oci_put_string(p, obj, path, m, base);
	if (r <= 0)
		return r;
	s = *(char **)at(base, m->offset);
	if (oci_name_index(m->names, s) < 0)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "'%s' is not supported", oci_show(s).text);
	return 1;
}

int oci_put_bool(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base)
{
	return json_member_bool(obj, path, m->key, at(base, m->offset), p->err);
}

int oci_put_int(struct oci_parse *p, const struct json *obj, const char *path,
		const struct oci_member *m, void *base)
{
	void *dest = at(base, m->offset);
	int64_t n = 0;
	int r;

	r = json_member_int(obj, path, m->key, m->min, m->max, &n, p->err);
	if (r <= 0)
		return r;
	/* The range of the row fits the width, so the two's complement of the low bytes is the value. */
	switch (m->size) {
	case sizeof(uint16_t):
		*(uint16_t *)dest = (uint16_t)n;
		break;
	case sizeof(uint32_t):
		*(uint32_t *)dest = (uint32_t)n;
		break;
	default:
		assert(m->size == sizeof(int64_t));
		*(int64_t *)dest = n;
	}
	return 1;
}

int oci_put_u64(struct oci_parse *p, const struct json *obj, const char *path,
		const struct oci_member *m, void *base)
{
	return json_member_uint(obj, path, m->key, UINT64_MAX, at(base, m->offset), p->err);
}

int oci_put_strv(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base)
{
	char ***dest = at(base, m->offset);
	struct oci_path name;
	int r;

	r = json_member_strv(obj, path, m->key, (size_t)m->max, dest, p->err);
	if (r <= 0)
		return r;
	name = oci_path_member(path, m->key);
	for (size_t i = 0; (*dest)[i]; i++) {
		r = check_string(p, oci_path_index(name.text, i).text, m, (*dest)[i]);
		if (r < 0)
			return r;
	}
	return 1;
}

int oci_put_object(struct oci_parse *p, const struct json *obj, const char *path,
		   const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct json *child;
	int r;

	r = json_member_object(obj, path, m->key, &child, p->err);
	if (r <= 0)
		return r;
	r = oci_parse_members(p, child, name.text, m->members, at(base, m->offset));
	if (r == 0 && m->check)
		r = m->check(p, at(base, m->offset), name.text);
	return r < 0 ? r : 1;
}

int oci_each_element(struct oci_parse *p, const struct json *obj, const char *path,
		     const struct oci_member *m, oci_element_fn fn, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct json *arr;
	int r;

	r = json_member_array(obj, path, m->key, (size_t)m->max, &arr, p->err);
	if (r <= 0)
		return r;
	for (size_t i = 0; i < json_array_len(arr); i++) {
		r = fn(p, json_array_at(arr, i), oci_path_index(name.text, i).text, base);
		if (r < 0)
			return r;
	}
	return 1;
}

int oci_put_list(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key), item;
	size_t *count = at(base, m->count);
	void **dest = at(base, m->offset);
	struct json *arr;
	size_t n;
	int r;

	r = json_member_array(obj, path, m->key, (size_t)m->max, &arr, p->err);
	if (r <= 0)
		return r;
	n = json_array_len(arr);
	if (n == 0)
		return 1;
	*dest = calloc(n, m->size);
	if (!*dest)
		return oci_no_memory(p);
	for (size_t i = 0; i < n; i++) {
		/* Counted before it is read, so that a failure half way releases it too. */
		*count = i + 1;
		item = oci_path_index(name.text, i);
		r = oci_parse_members(p, json_array_at(arr, i), item.text, m->members,
				      at(*dest, i * m->size));
		if (r == 0 && m->check)
			r = m->check(p, at(*dest, i * m->size), item.text);
		if (r < 0)
			return r;
	}
	return 1;
}

struct pairs_walk {
	struct oci_parse *p;
	const char *path;
	struct oci_string_pair *pairs;
	size_t n, max;
};

static int count_pair(const char *key, struct json *value, void *userdata)
{
	struct pairs_walk *w = userdata;

	if (++w->max > (size_t)OCI_LIST_MAX)
		return oci_refuse(w->p, -E2BIG, w->path, "more than %u entries", OCI_LIST_MAX);
	return 0;
}

static int add_pair(const char *key, struct json *value, void *userdata)
{
	struct pairs_walk *w = userdata;
	struct oci_string_pair *pair;
	const char *s = "";

	if (!*key)
		return oci_refuse(w->p, -EINVAL, w->path, "a key must not be empty");
	if (value)
		s = oci_element_string(w->p, value, oci_path_member(w->path, key).text);
	if (!s)
		return -EINVAL;
	assert(w->n < w->max);
	pair = &w->pairs[w->n++];
	pair->key = strdup(key);
	pair->value = strdup(s);
	return pair->key && pair->value ? 0 : oci_no_memory(w->p);
}

int oci_put_pairs(struct oci_parse *p, const struct json *obj, const char *path,
		  const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct oci_string_pair **dest = at(base, m->offset);
	struct pairs_walk walk = { .p = p, .path = name.text };
	struct json *child;
	int r;

	r = json_member_object(obj, path, m->key, &child, p->err);
	if (r <= 0)
		return r;
	r = json_foreach(child, count_pair, &walk);
	if (r < 0)
		return r;
	if (walk.max == 0)
		return 1;
	*dest = walk.pairs = calloc(walk.max, sizeof(*walk.pairs));
	if (!walk.pairs)
		return oci_no_memory(p);
	r = json_foreach(child, add_pair, &walk);
	*(size_t *)at(base, m->count) = walk.n;
	return r < 0 ? r : 1;
}

void oci_pairs_free(struct oci_string_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(pairs[i].key);
		free(pairs[i].value);
	}
	free(pairs);
}

int oci_put_ignored(struct oci_parse *p, const struct json *obj, const char *path,
		    const struct oci_member *m, void *base)
{
	int r;

	if (!json_get(obj, m->key))
		return 0;
	r = oci_note_ignored(p, oci_path_member(path, m->key).text);
	return r < 0 ? r : 1;
}
