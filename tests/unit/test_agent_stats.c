/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent reads of cgroup files and of /proc/net/dev. */
#include "tests/unit/check_leaks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/cgroup_stats.h"
#include "agent/interface_stats.h"
#include "common/io.h"

static void number_files_are_read(void **state)
{
	char dir[] = "/tmp/onggi-stats-XXXXXX";
	static const struct {
		const char *text;
		uint64_t value;
	} cases[] = { { "42\n", 42 }, { "max\n", UINT64_MAX }, { "", 7 }, { "-1\n", 7 }, { "x\n", 7 } };
	int fd;

	assert_non_null(mkdtemp(dir));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cgroup_stats_number(fd, "f", 7), 7);
	assert_null(cgroup_stats_text(fd, "f"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(io_replace_file(fd, "f", cases[i].text, strlen(cases[i].text), 0600), 0);
		assert_int_equal(cgroup_stats_number(fd, "f", 7), cases[i].value);
	}
	unlinkat(fd, "f", 0);
	close(fd);
	rmdir(dir);
}

static void counters_are_read_and_the_rest_passed_over(void **state)
{
	char text[] = "anon 12\nfile 0\n\nbroken\nneg -1\nword x\n long 1\nlast 18446744073709551615";
	Onggi__Agent__V1__Counter out[CGROUP_STATS_MAX];

	assert_int_equal(cgroup_stats_counters(text, out), 3);
	assert_string_equal(out[0].key, "anon");
	assert_int_equal(out[0].value, 12);
	assert_string_equal(out[1].key, "file");
	assert_string_equal(out[2].key, "last");
	assert_int_equal(out[2].value, UINT64_MAX);
}

static void counters_beyond_the_bound_are_left_out(void **state)
{
	Onggi__Agent__V1__Counter out[CGROUP_STATS_MAX];
	char text[4 * 300 + 1];

	for (size_t i = 0; i < 300; i++)
		memcpy(text + 4 * i, "a 1\n", 5);
	assert_int_equal(cgroup_stats_counters(text, out), CGROUP_STATS_MAX);
}

static void disks_are_read(void **state)
{
	char text[] = "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16\nx:y rbytes=1\n7:1 rios=9\n";
	Onggi__Agent__V1__IoStat out[CGROUP_STATS_MAX];

	assert_int_equal(cgroup_stats_io(text, out), 2);
	assert_int_equal(out[0].major, 254);
	assert_int_equal(out[0].read_bytes, 10);
	assert_int_equal(out[0].written_bytes, 20);
	assert_int_equal(out[0].reads, 1);
	assert_int_equal(out[0].writes, 2);
	assert_int_equal(out[1].minor, 1);
	assert_int_equal(out[1].reads, 9);
}

static void interfaces_are_read_without_loopback(void **state)
{
	char text[] =
		"Inter-|   Receive                        |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
		"    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0\n"
		"  eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n"
		"abcdefghijklmnop: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n"
		"  short: 1 2 3\n";
	Onggi__Agent__V1__InterfaceStat out[INTERFACE_STATS_MAX];

	assert_int_equal(interface_stats_parse(text, out), 1);
	assert_string_equal(out[0].name, "eth0");
	assert_int_equal(out[0].rx_bytes, 1000);
	assert_int_equal(out[0].rx_packets, 10);
	assert_int_equal(out[0].rx_errors, 1);
	assert_int_equal(out[0].rx_dropped, 2);
	assert_int_equal(out[0].tx_bytes, 2000);
	assert_int_equal(out[0].tx_packets, 20);
	assert_int_equal(out[0].tx_errors, 3);
	assert_int_equal(out[0].tx_dropped, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(number_files_are_read),
		leak_checked(counters_are_read_and_the_rest_passed_over),
		leak_checked(counters_beyond_the_bound_are_left_out),
		leak_checked(disks_are_read),
		leak_checked(interfaces_are_read_without_loopback),
	};

	return cmocka_run_group_tests_name("agent statistics", tests, NULL, NULL);
}
