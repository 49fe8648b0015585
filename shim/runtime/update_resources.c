/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/update_resources.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"
#include "common/oci.h"
#include "shim/runtime/size.h"

enum value_kind {
	VALUE_SIZE,	/* bytes with a unit, or -1 */
	VALUE_SIGNED,	/* a number, or -1 */
	VALUE_UNSIGNED, /* a number */
	VALUE_TEXT,
	VALUE_NONE, /* there is no such thing in a guest: 0 and nothing only */
	VALUE_IGNORED,
};

static const struct flag {
	const char *name, *object, *key;
	enum value_kind kind;
	size_t offset;
} flags_table[] = {
#define FLAG(name, object, key, kind, member)                                     \
	{                                                                         \
		name, object, key, kind, offsetof(struct update_flags, member)     \
	}
	FLAG("memory", "memory", "limit", VALUE_SIZE, memory),
	FLAG("memory-swap", "memory", "swap", VALUE_SIZE, memory_swap),
	FLAG("memory-reservation", "memory", "reservation", VALUE_SIZE, memory_reservation),
	FLAG("kernel-memory", "memory", "kernel", VALUE_IGNORED, kernel_memory),
	FLAG("kernel-memory-tcp", "memory", "kernelTCP", VALUE_IGNORED, kernel_memory_tcp),
	FLAG("cpu-period", "cpu", "period", VALUE_UNSIGNED, cpu_period),
	FLAG("cpu-quota", "cpu", "quota", VALUE_SIGNED, cpu_quota),
	FLAG("cpu-burst", "cpu", "burst", VALUE_UNSIGNED, cpu_burst),
	FLAG("cpu-share", "cpu", "shares", VALUE_UNSIGNED, cpu_share),
	FLAG("cpu-idle", "cpu", "idle", VALUE_UNSIGNED, cpu_idle),
	FLAG("cpu-rt-period", "cpu", "realtimePeriod", VALUE_NONE, cpu_rt_period),
	FLAG("cpu-rt-runtime", "cpu", "realtimeRuntime", VALUE_NONE, cpu_rt_runtime),
	FLAG("cpuset-cpus", "cpu", "cpus", VALUE_TEXT, cpuset_cpus),
	FLAG("cpuset-mems", "cpu", "mems", VALUE_TEXT, cpuset_mems),
	FLAG("pids-limit", "pids", "limit", VALUE_SIGNED, pids_limit),
	FLAG("blkio-weight", "blockIO", "weight", VALUE_UNSIGNED, blkio_weight),
	FLAG("l3-cache-schema", "intelRdt", "l3CacheSchema", VALUE_NONE, l3_cache_schema),
	FLAG("mem-bw-schema", "intelRdt", "memBwSchema", VALUE_NONE, mem_bw_schema),
#undef FLAG
};

static int parse_signed(const char *text, bool units, int64_t *ret)
{
	uint64_t value;
	int r;

	if (strcmp(text, "-1") == 0) {
		*ret = -1;
		return 0;
	}
	if (units)
		return size_parse(text, ret);
	r = io_parse_u64(text, INT64_MAX, &value);
	if (r >= 0)
		*ret = (int64_t)value;
	return r;
}

/* Returns 1 with *ret, 0 nothing to say, or a negative errno. */
static int flag_value(const struct flag *flag, const char *text, struct json **ret, struct err *err)
{
	int64_t number = 0;
	int r;

	if (flag->kind == VALUE_IGNORED || !*text)
		return 0;
	if (flag->kind == VALUE_NONE)
		return strcmp(text, "0") == 0 ?
			       0 :
			       err_set(err, -EOPNOTSUPP,
				       "--%s: not supported, the guest's kernel has nothing like it",
				       flag->name);
	if (flag->kind == VALUE_TEXT) {
		*ret = json_new_string(text);
		return 1;
	}
	r = parse_signed(text, flag->kind == VALUE_SIZE, &number);
	if (r < 0 || (number < 0 && flag->kind == VALUE_UNSIGNED))
		return err_set(err, -EINVAL, "invalid value for --%s: '%.64s'", flag->name, text);
	*ret = json_new_int(number);
	return 1;
}

static int set_member(struct json *top, const struct flag *flag, struct json *value)
{
	struct json *object = json_get(top, flag->object);
	int r;

	if (!object) {
		r = json_set(top, flag->object, json_new_object());
		object = json_get(top, flag->object);
		if (r < 0) {
			json_unref(value);
			return r;
		}
	}
	return json_set(object, flag->key, value);
}

/* The agent would refuse it as well, after the guest had been grown. */
static int check(const char *text, size_t len, struct err *err)
{
	_cleanup_(oci_resources_free_p) struct oci_resources *parsed = NULL;

	return oci_resources_parse(text, len, &parsed, err);
}

int update_resources_from_flags(const struct update_flags *flags, char **ret, struct err *err)
{
	_cleanup_json_ struct json *top = json_new_object();
	_cleanup_free_ char *text = NULL;
	int r = top ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(flags_table) && r >= 0; i++) {
		const struct flag *flag = &flags_table[i];
		const char *given = *(const char *const *)((const char *)flags + flag->offset);
		struct json *value = NULL;

		r = given ? flag_value(flag, given, &value, err) : 0;
		if (r > 0)
			r = set_member(top, flag, value);
	}
	if (r < 0)
		return r == -ENOMEM ? err_set_errno(err, r, "resources") : r;
	text = json_text(top, false);
	if (!text)
		return err_set_errno(err, -ENOMEM, "resources");
	r = check(text, strlen(text), err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 0;
}

int update_resources_from_file(const char *path, char **ret, struct err *err)
{
	bool standard_input = strcmp(path, "-") == 0;
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r;

	r = standard_input ? io_read_fd(STDIN_FILENO, UPDATE_RESOURCES_MAX, &text, &len) :
			     io_read_file(AT_FDCWD, path, UPDATE_RESOURCES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "resources from '%s'", path);
	r = check(text, len, err);
	if (r < 0)
		return err_prefix(err, "resources from '%s'", path), r;
	*ret = TAKE_PTR(text);
	return 0;
}
