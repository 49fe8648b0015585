/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_cases.h - the configurations of tests/unit/oci-cases
 *
 * Shape:    pass-*.json is a whole config.json. fail-*.json is an array of cases: "set" maps dotted names to
 *           values put into pass-runc-spec.json (null removes), "message" is the error that has to come,
 *           "errno" its name, EINVAL when not given.
 * Where:    the programs run from the top of the checkout.
 */
#ifndef ONGGI_TESTS_UNIT_OCI_CASES_H
#define ONGGI_TESTS_UNIT_OCI_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"
#include "common/oci.h"

#define OCI_CASES "tests/unit/oci-cases/"
#define OCI_CASE_BYTES_MAX (1u << 20)

/* Contents of a case file, NUL-terminated; the caller frees. */
static inline char *oci_case_text(const char *name)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	char *text;
	size_t n;

	assert_true(asprintf(&path, "%s%s", OCI_CASES, name) > 0);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s (run from the top of the checkout)", path, strerror(errno));
	text = calloc(1, OCI_CASE_BYTES_MAX);
	assert_non_null(text);
	n = fread(text, 1, OCI_CASE_BYTES_MAX - 1, f);
	assert_true(n > 0 && feof(f));
	return text;
}

static inline struct json *oci_case_json(const char *name)
{
	_cleanup_free_ char *text = oci_case_text(name);
	struct err err = ERR_INIT;
	struct json *json;

	if (json_parse(text, strlen(text), &json, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	return json;
}

struct oci_case_copy {
	struct json *to;
	const char *without;
	size_t len; /* of "without" */
};

static inline int oci_case_copy_member(const char *key, struct json *value, void *userdata)
{
	struct oci_case_copy *copy = userdata;

	if (!value || (strlen(key) == copy->len && !strncmp(key, copy->without, copy->len)))
		return 0;
	return json_set(copy->to, key, json_ref(value));
}

/* A copy of the object @from with @value at the dotted @path; NULL leaves that member out. */
static inline struct json *oci_case_with(const struct json *from, const char *path,
					 struct json *value)
{
	size_t len = strcspn(path, ".");
	struct oci_case_copy copy = { .to = json_new_object(), .without = path, .len = len };
	_cleanup_free_ char *key = strndup(path, len);
	struct json *child;

	assert_non_null(copy.to);
	assert_non_null(key);
	assert_int_equal(json_foreach(from, oci_case_copy_member, &copy), 0);
	child = path[len] ? oci_case_with(json_get(from, key), path + len + 1, value) :
			    json_ref(value);
	if (child)
		assert_int_equal(json_set(copy.to, key, child), 0);
	return copy.to;
}

static inline struct oci_spec *oci_case_parse(const char *text)
{
	struct err err = ERR_INIT;
	struct oci_spec *spec = NULL;
	int r = oci_spec_parse(text, strlen(text), &spec, &err);

	if (r < 0)
		fail_msg("%s", err.text);
	assert_non_null(spec);
	return spec;
}

static inline struct oci_spec *oci_case_load(const char *name)
{
	_cleanup_free_ char *text = oci_case_text(name);

	return oci_case_parse(text);
}

#endif
