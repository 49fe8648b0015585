/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd's shim is given: its command line and its standard input. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/proto/shim.pb-c.h"
#include "shim/containerd/actions.h"
#include "shim/containerd/bootstrap.h"

static int parse(struct shim_flags *ret, struct err *err, const char *const *words)
{
	char *argv[32];
	int argc = 0;

	argv[argc++] = (char *)(uintptr_t)"shim";
	while (words[argc - 1]) {
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
		argc++;
	}
	argv[argc] = NULL;
	return shim_flags_parse(argc, argv, ret, err);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_flags(void **state)
{
	struct err err = ERR_INIT;
	struct shim_flags f;

	assert_int_equal(parse(&f, &err, WORDS("-namespace", "n", "--address=/a", "-id=i", "-debug", "-bundle", "/b", "start")), 0);
	assert_string_equal(f.namespace, "n");
	assert_string_equal(f.address, "/a");
	assert_string_equal(f.id, "i");
	assert_string_equal(f.bundle, "/b");
	assert_string_equal(f.action, "start");
	assert_true(f.debug);
	assert_int_equal(parse(&f, &err, WORDS("-debug=false", "-v")), 0);
	assert_false(f.debug);
	assert_true(f.version);
	assert_null(f.action);
}

static void test_flags_refused(void **state)
{
	struct err err = ERR_INIT;
	struct shim_flags f;

	assert_int_equal(parse(&f, &err, WORDS("-unknown", "x")), -EINVAL);
	assert_non_null(strstr(err.text, "-unknown"));
	assert_int_equal(parse(&f, &err, WORDS("-id")), -EINVAL);
	assert_int_equal(parse(&f, &err, WORDS("-debug=maybe")), -EINVAL);
	assert_int_equal(parse(&f, &err, WORDS("start", "-id", "x")), -EINVAL);
}

static void test_state_root(void **state)
{
	const struct shim_flags flags[] = {
		{ .namespace = "a", .address = "/x" }, { .namespace = "b", .address = "/x" },
		{ .namespace = "a", .address = "/y" }, { .namespace = "xa", .address = "/" }, { .namespace = "a" },
	};
	char *roots[ARRAY_SIZE(flags)];

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		roots[i] = shim_state_root(&flags[i]);
		assert_non_null(roots[i]);
		/* The longest address: <root>/sandboxes/<name>+100/task.sock in 105 bytes. */
		assert_true(strlen(roots[i]) + strlen("/sandboxes/+100/task.sock") + SHIM_SANDBOX_NAME_MAX <= 105);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(roots[i], roots[j]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		free(roots[i]);
}

/* An Any of @type with @value packed; freed by the caller. */
static size_t pack_any(const char *type, const ProtobufCMessage *value, uint8_t *out)
{
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;
	uint8_t bytes[512];

	any.type_url = (char *)(uintptr_t)type;
	any.value = (ProtobufCBinaryData){ .data = bytes, .len = protobuf_c_message_pack(value, bytes) };
	return containerd__task__v2__any__pack(&any, out);
}

static void test_options(void **state)
{
	static const char *const types[] = { "runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options",
					     "types.containerd.io/runtimeoptions.v1.Options" };
	Containerd__Shim__RuntimeOptions options = CONTAINERD__SHIM__RUNTIME_OPTIONS__INIT;
	struct bootstrap b;
	uint8_t bytes[1024];

	options.config_path = (char *)(uintptr_t)"/etc/other.json";
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		size_t len = pack_any(types[i], &options.base, bytes);

		assert_int_equal(bootstrap_parse(bytes, len, "id", "ns", &b, NULL), 0);
		assert_string_equal(b.config_path, "/etc/other.json");
		bootstrap_finish(&b);
	}
	assert_int_equal(bootstrap_parse("", 0, "id", "ns", &b, NULL), 0);
	assert_null(b.config_path);
	assert_int_equal(bootstrap_parse(bytes, pack_any("somebody.v1.Else", &options.base, bytes), "id", "ns", &b, NULL), 0);
	assert_null(b.config_path);
}

static void test_runc_options(void **state)
{
	Containerd__Shim__RuncOptions options = CONTAINERD__SHIM__RUNC_OPTIONS__INIT;
	struct bootstrap b;
	uint8_t bytes[1024];

	options.systemd_cgroup = true;
	assert_int_equal(bootstrap_parse(bytes, pack_any("containerd.runc.v1.Options", &options.base, bytes), "id", "ns", &b, NULL), 0);
	assert_true(b.systemd_cgroup);
}

/* Both begin alike; only id and namespace tell that it is not an Any. */
static void test_params(void **state)
{
	Containerd__Shim__BootstrapParams params = CONTAINERD__SHIM__BOOTSTRAP_PARAMS__INIT;
	Containerd__Shim__Extension extension = CONTAINERD__SHIM__EXTENSION__INIT, *list[] = { &extension };
	Containerd__Shim__RuntimeOptions options = CONTAINERD__SHIM__RUNTIME_OPTIONS__INIT;
	Containerd__Task__V2__Any any = CONTAINERD__TASK__V2__ANY__INIT;
	uint8_t inner[512], bytes[1024];
	struct bootstrap b;
	size_t len;

	options.config_path = (char *)(uintptr_t)"/etc/third.json";
	any.type_url = (char *)(uintptr_t)"runtimeoptions.v1.Options";
	any.value = (ProtobufCBinaryData){ .data = inner, .len = protobuf_c_message_pack(&options.base, inner) };
	extension.value = &any;
	params.instance_id = (char *)(uintptr_t)"id";
	params.namespace_ = (char *)(uintptr_t)"ns";
	params.extensions = list;
	params.n_extensions = 1;
	len = containerd__shim__bootstrap_params__pack(&params, bytes);
	assert_int_equal(bootstrap_parse(bytes, len, "id", "ns", &b, NULL), 0);
	assert_string_equal(b.config_path, "/etc/third.json");
	bootstrap_finish(&b);
	assert_int_equal(bootstrap_parse(bytes, len, "id", "other", &b, NULL), 0);
	assert_null(b.config_path);
}

static void test_garbage(void **state)
{
	struct err err = ERR_INIT;
	struct bootstrap b;
	uint8_t bytes[64];
	size_t len;

	assert_int_equal(bootstrap_parse("\x0a\xff", 2, "id", "ns", &b, &err), -EBADMSG);
	assert_true(err.text[0]);
	/* An Any around garbage. */
	len = (size_t)snprintf((char *)bytes, sizeof(bytes), "\x0a\x19runtimeoptions.v1.Options\x12\x02\x12\x7f");
	assert_int_equal(bootstrap_parse(bytes, len, "id", "ns", &b, &err), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),	 cmocka_unit_test(test_flags_refused), cmocka_unit_test(test_state_root),
		cmocka_unit_test(test_options),	 cmocka_unit_test(test_runc_options),  cmocka_unit_test(test_params),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
