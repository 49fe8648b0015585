/* SPDX-License-Identifier: Apache-2.0 */
/* What update and events read and print: sizes, durations, flags, statistics. */
#include "tests/unit/check_leaks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/proto/metrics.pb-c.h"
#include "shim/runtime/size.h"
#include "shim/runtime/stats_json.h"
#include "shim/runtime/update_resources.h"
#include "shim/task_stats.h"

static void sizes_are_read_as_runc_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} cases[] = {
		{ "0", 0 },		  { "1024", 1024 },	{ "32b", 32 },
		{ "32B", 32 },		  { "1k", 1024 },	{ "1K", 1024 },
		{ "1kb", 1024 },	  { "1KiB", 1024 },	{ "32 mb", INT64_C(32) << 20 },
		{ "1.5g", INT64_C(3) << 29 }, { "2t", INT64_C(2) << 40 }, { "1p", INT64_C(1) << 50 },
		{ ".5k", 512 },		  { "9223372036854775807", INT64_MAX },
	};
	static const char *const bad[] = { "",	   "k",	   "-1",  "1x",	  "1kx",     "1bb", "1..5", "0x10",
					   "1e3",  " 1",   "1  k",  "1k ", "nan", "inf",    "+1", "." };
	int64_t got;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(size_parse(cases[i].text, &got), 0);
		assert_int_equal(got, cases[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (size_parse(bad[i], &got) != -EINVAL)
			fail_msg("'%s' is taken for %lld", bad[i], (long long)got);
	}
	assert_int_equal(size_parse("9223372036854775808", &got), -ERANGE);
	assert_int_equal(size_parse("8192p", &got), -ERANGE);
}

static void durations_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} cases[] = { { "5s", 5000 },	    { "1m30s", 90000 }, { "250ms", 250 }, { "1.5h", 5400000 },
		      { "0s", 0 },	    { "1us", 1 },	{ "1500000ns", 2 } };
	static const char *const bad[] = { "", "5", "s", "-1s", "5x", "5s5", "1 s" };
	uint64_t got;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(duration_parse(cases[i].text, &got), 0);
		assert_int_equal(got, cases[i].ms);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(duration_parse(bad[i], &got), -EINVAL);
	assert_int_equal(duration_parse("99999999999h", &got), -ERANGE);
}

static void flags_become_the_objects_that_are_named(void **state)
{
	_cleanup_free_ char *nothing = NULL, *text = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(update_resources_from_flags(&(struct update_flags){ 0 }, &nothing, &err), 0);
	assert_string_equal(nothing, "{}");
	assert_int_equal(update_resources_from_flags(
				 &(struct update_flags){ .memory = "64m", .memory_swap = "-1", .cpu_quota = "-1",
							 .cpu_share = "512", .cpuset_cpus = "0-1,3",
							 .pids_limit = "7", .blkio_weight = "10",
							 .kernel_memory = "anything", .cpu_rt_period = "0" },
				 &text, &err),
			 0);
	assert_string_equal(text, "{\"memory\":{\"limit\":67108864,\"swap\":-1},\"cpu\":{\"quota\":-1,\"shares\":512,"
				  "\"cpus\":\"0-1,3\"},\"pids\":{\"limit\":7},\"blockIO\":{\"weight\":10}}");
}

static void flags_that_are_no_limits_are_refused_by_name(void **state)
{
	static const struct {
		struct update_flags flags;
		int code;
		const char *word;
	} cases[] = {
		{ { .memory = "x" }, -EINVAL, "--memory" },
		{ { .memory = "-2" }, -EINVAL, "--memory" },
		{ { .cpu_period = "-1" }, -EINVAL, "--cpu-period" },
		{ { .pids_limit = "1k" }, -EINVAL, "--pids-limit" },
		{ { .cpu_rt_runtime = "1" }, -EOPNOTSUPP, "--cpu-rt-runtime" },
		{ { .mem_bw_schema = "x" }, -EOPNOTSUPP, "--mem-bw-schema" },
		{ { .cpu_idle = "2" }, -EINVAL, "cpu.idle" },
		{ { .blkio_weight = "9" }, -EINVAL, "weight" },
		{ { .cpuset_mems = "../x" }, -EINVAL, "mems" },
	};
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(update_resources_from_flags(&cases[i].flags, &text, &err), cases[i].code);
		assert_non_null(strstr(err.text, cases[i].word));
	}
	assert_null(text);
}

static void file_is_checked_before_it_is_sent(void **state)
{
	char path[] = "/tmp/onggi-update-XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);
	_cleanup_free_ char *text = NULL;
	struct err err = ERR_INIT;
	char *none = NULL;

	assert_int_equal(io_replace_file(AT_FDCWD, path, "{\"memory\":{\"limit\":5}}", 22, 0600), 0);
	assert_int_equal(update_resources_from_file(path, &text, &err), 0);
	assert_string_equal(text, "{\"memory\":{\"limit\":5}}");
	assert_int_equal(io_replace_file(AT_FDCWD, path, "{\"memory\":{\"limit\":\"\"}}", 23, 0600), 0);
	assert_int_equal(update_resources_from_file(path, &none, &err), -EINVAL);
	assert_non_null(strstr(err.text, "memory.limit"));
	assert_non_null(strstr(err.text, path));
	assert_int_equal(io_replace_file(AT_FDCWD, path, "{", 1, 0600), 0);
	assert_int_equal(update_resources_from_file(path, &none, &err), -EBADMSG);
	unlink(path);
	assert_int_equal(update_resources_from_file(path, &none, &err), -ENOENT);
}

/* ---- statistics ---- */

static void counter(Onggi__Agent__V1__Counter *c, const char *key, uint64_t value)
{
	onggi__agent__v1__counter__init(c);
	c->key = (char *)(uintptr_t)key;
	c->value = value;
}

static struct json *shown(const Onggi__Agent__V1__StatContainerResponse *answer)
{
	_cleanup_free_ void *packed = NULL;
	struct json *json = NULL;
	struct err err = ERR_INIT;
	size_t len = 0;

	assert_int_equal(task_stats_pack(answer, &packed, &len), 0);
	assert_int_equal(stats_json("c1", packed, len, &json, &err), 0);
	return json;
}

static void statistics_are_shown_as_runc_shows_them(void **state)
{
	Onggi__Agent__V1__StatContainerResponse a = ONGGI__AGENT__V1__STAT_CONTAINER_RESPONSE__INIT;
	Onggi__Agent__V1__Counter counters[4], *memory[] = { &counters[0], &counters[1] },
						*cpu[] = { &counters[2] }, *events[] = { &counters[3] };
	Onggi__Agent__V1__IoStat io = ONGGI__AGENT__V1__IO_STAT__INIT, *ios[] = { &io };
	Onggi__Agent__V1__InterfaceStat net = ONGGI__AGENT__V1__INTERFACE_STAT__INIT, *nets[] = { &net };
	_cleanup_json_ struct json *json = NULL;
	_cleanup_free_ char *text = NULL;

	counter(&counters[0], "file", 11);
	counter(&counters[1], "workingset_refault_file", 5);
	counter(&counters[2], "usage_usec", 12);
	counter(&counters[3], "max", 3);
	a.memory_current = 100;
	a.memory_max = 200;
	a.memory_peak = 150;
	a.memory_swap_max = UINT64_MAX;
	a.pids_current = 2;
	a.pids_max = UINT64_MAX;
	a.memory_stat = memory;
	a.n_memory_stat = 2;
	a.cpu_stat = cpu;
	a.memory_events = events;
	a.n_cpu_stat = a.n_memory_events = a.n_io = a.n_interfaces = 1;
	io.major = 254;
	io.written_bytes = 9;
	a.io = ios;
	net.name = (char *)"e\033th0";
	net.rx_bytes = 7;
	a.interfaces = nets;
	json = shown(&a);
	text = json_text(json, false);
	assert_non_null(strstr(text, "{\"type\":\"stats\",\"id\":\"c1\",\"data\":{\"cpu\":{\"usage\":{\"total\":12000,"
				     "\"kernel\":0,\"user\":0},\"throttling\":{}}"));
	assert_non_null(strstr(text, "\"memory\":{\"cache\":11,\"usage\":{\"limit\":200,\"usage\":100,\"max\":150,"
				     "\"failcnt\":3},\"swap\":{\"limit\":18446744073709551615,\"usage\":100,"
				     "\"failcnt\":0}"));
	assert_non_null(strstr(text, "\"file\":11,"));
	assert_non_null(strstr(text, "\"workingset_refault\":5,"));
	assert_null(strstr(text, "usage_limit"));
	assert_non_null(strstr(text, "\"pids\":{\"current\":2}"));
	assert_non_null(strstr(text, "{\"major\":254,\"op\":\"Write\",\"value\":9}"));
	assert_non_null(strstr(text, "\"network_interfaces\":[{\"Name\":\"e?th0\",\"RxBytes\":7,"));
}

static void statistics_that_are_too_many_or_malformed_are_refused(void **state)
{
	Onggi__Agent__V1__StatContainerResponse a = ONGGI__AGENT__V1__STAT_CONTAINER_RESPONSE__INIT;
	struct json *json = NULL;
	struct err err = ERR_INIT;
	void *packed = NULL;
	size_t len;

	a.n_io = TASK_STATS_ENTRIES_MAX + 1;
	assert_int_equal(task_stats_pack(&a, &packed, &len), -E2BIG);
	assert_int_equal(stats_json("c1", "\xff\xff\xff", 3, &json, &err), -EBADMSG);
	/* An empty message is a container of which nothing is known. */
	assert_int_equal(stats_json("c1", "", 0, &json, &err), 0);
	json_unref(json);
}

static void oom_is_shown_as_runc_shows_it(void **state)
{
	_cleanup_json_ struct json *json = oom_json("c1");
	_cleanup_free_ char *text = json_text(json, false);

	assert_string_equal(text, "{\"type\":\"oom\",\"id\":\"c1\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(sizes_are_read_as_runc_reads_them),
		leak_checked(durations_are_read_as_go_reads_them),
		leak_checked(flags_become_the_objects_that_are_named),
		leak_checked(flags_that_are_no_limits_are_refused_by_name),
		leak_checked(file_is_checked_before_it_is_sent),
		leak_checked(statistics_are_shown_as_runc_shows_them),
		leak_checked(statistics_that_are_too_many_or_malformed_are_refused),
		leak_checked(oom_is_shown_as_runc_shows_it),
	};

	return cmocka_run_group_tests_name("update and events", tests, NULL, NULL);
}
