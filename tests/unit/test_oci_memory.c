/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every allocation that the parser makes fails in turn: each time the answer is -ENOMEM and nothing is left
 * behind. calloc, strdup and asprintf of this program stand before the C library's; only calls from our own
 * code fail, since the JSON library's are not the subject.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

#include "oci_cases.h"

static struct {
	long countdown; /* allocations until the one that fails; 0: none fails */
	bool failed;
} torture;

extern char __executable_start, etext;

static bool is_ours(const void *caller)
{
	return (const char *)caller >= &__executable_start && (const char *)caller < &etext;
}

static bool fails(const void *caller)
{
	if (!torture.countdown || !is_ours(caller) || --torture.countdown)
		return false;
	torture.failed = true;
	errno = ENOMEM;
	return true;
}

void *calloc(size_t n, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (!real)
		real = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	return fails(__builtin_return_address(0)) ? NULL : real(n, size);
}

char *strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = fails(__builtin_return_address(0)) ? NULL : malloc(size);

	return copy ? memcpy(copy, s, size) : NULL;
}

int asprintf(char **ret, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fails(__builtin_return_address(0)))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

/* What asprintf is called with _FORTIFY_SOURCE. */
int __asprintf_chk(char **ret, int flag, const char *fmt, ...);
int __asprintf_chk(char **ret, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fails(__builtin_return_address(0)))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(ret, fmt, ap);
	va_end(ap);
	return n;
}

typedef int (*parse_fn)(const char *text, size_t len, struct err *err);

static int parse_spec(const char *text, size_t len, struct err *err)
{
	struct oci_spec *spec = NULL;
	int r = oci_spec_parse(text, len, &spec, err);

	assert_true((r == 0) == (spec != NULL));
	oci_spec_free(spec);
	return r;
}

static int parse_process(const char *text, size_t len, struct err *err)
{
	struct oci_process *process = NULL;
	int r = oci_process_parse(text, len, &process, err);

	assert_true((r == 0) == (process != NULL));
	oci_process_free(process);
	return r;
}

static int parse_resources(const char *text, size_t len, struct err *err)
{
	struct oci_resources *resources = NULL;
	int r = oci_resources_parse(text, len, &resources, err);

	assert_true((r == 0) == (resources != NULL));
	oci_resources_free(resources);
	return r;
}

/* Fail the first, the second, … allocation until a parse needs no more; returns how many there were. */
static long fail_each(parse_fn parse, const char *text)
{
	for (long n = 1;; n++) {
		struct err err = ERR_INIT;
		int r;

		torture.countdown = n;
		torture.failed = false;
		r = parse(text, strlen(text), &err);
		torture.countdown = 0;
		if (!torture.failed) {
			assert_int_equal(r, 0);
			return n - 1;
		}
		if (r != -ENOMEM || err.code != -ENOMEM)
			fail_msg("allocation %ld: got %d '%s'", n, r, err.text);
	}
}

static void each_failed_allocation_of_a_spec_is_enomem(void **state)
{
	static const char *const files[] = { "pass-docker.json", "pass-podman.json",
					     "pass-every-member.json" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = oci_case_text(files[i]);

		assert_true(fail_each(parse_spec, text) > 50);
	}
}

static char *member_text(const char *file, const char *outer, const char *inner)
{
	_cleanup_json_ struct json *config = oci_case_json(file);
	const struct json *member = json_get(config, outer);

	return json_text(inner ? json_get(member, inner) : member, false);
}

static void each_failed_allocation_of_a_process_is_enomem(void **state)
{
	_cleanup_free_ char *text = member_text("pass-every-member.json", "process", NULL);

	assert_true(fail_each(parse_process, text) > 5);
}

static void each_failed_allocation_of_resources_is_enomem(void **state)
{
	_cleanup_free_ char *text = member_text("pass-podman.json", "linux", "resources");
	_cleanup_free_ char *more = member_text("pass-every-member.json", "linux", "resources");

	assert_true(fail_each(parse_resources, text) > 5);
	assert_true(fail_each(parse_resources, more) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failed_allocation_of_a_spec_is_enomem),
		cmocka_unit_test(each_failed_allocation_of_a_process_is_enomem),
		cmocka_unit_test(each_failed_allocation_of_resources_is_enomem),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
