/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "common/log.h"
#include "common/utf8.h"
#include "tests/unit/check_leaks.h"

static int sink[2];

static void sink_open(enum log_format format, enum log_level max)
{
	assert_int_equal(pipe2(sink, O_CLOEXEC | O_NONBLOCK), 0);
	log_setup(sink[1], format, max, "test");
}

static void sink_close(void)
{
	log_setup(-1, LOG_FORMAT_TEXT, LOG_LEVEL_INFO, "test");
	close(sink[0]);
	close(sink[1]);
}

/* What was written since; empty if nothing. */
static const char *sunk(void)
{
	static char text[4 * LOG_LINE_MAX];
	ssize_t n = read(sink[0], text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void text_names_level_and_component(void **state)
{
	sink_open(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	log_error("no %s", "luck");
	assert_string_equal(sunk(), "error test: no luck\n");
	log_warning("w");
	log_info("i");
	log_debug("d");
	assert_string_equal(sunk(), "warning test: w\ninfo test: i\ndebug test: d\n");
	sink_close();
}

static void json_is_what_engines_parse(void **state)
{
	const char *line, *time = NULL, *msg = NULL, *level = NULL;
	struct json *j = NULL;

	sink_open(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_error("a \"quoted\" \\ text\twith\nlines \x01 and \xff bytes, \xc3\xa4");
	line = sunk();
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
	assert_int_equal(json_parse(line, strlen(line), &j, NULL), 0);
	assert_int_equal(json_member_string(j, "", "level", &level, NULL), 1);
	assert_int_equal(json_member_string(j, "", "msg", &msg, NULL), 1);
	assert_int_equal(json_member_string(j, "", "time", &time, NULL), 1);
	assert_string_equal(level, "error");
	assert_string_equal(
		msg, "a \"quoted\" \\ text\twith\nlines \x01 and \xef\xbf\xbd bytes, \xc3\xa4");
	assert_int_equal(strlen(time), strlen("2026-01-01T00:00:00.000000000Z"));
	assert_int_equal(time[10], 'T');
	json_unref(j);
	sink_close();
}

static void levels_above_the_threshold_are_dropped(void **state)
{
	sink_open(LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
	log_info("no");
	log_debug("no");
	assert_string_equal(sunk(), "");
	log_warning("yes");
	assert_string_equal(sunk(), "warning test: yes\n");
	sink_close();
}

/* What a guest says must not reach a terminal as commands. */
static void control_bytes_are_escaped_in_text(void **state)
{
	sink_open(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_info("\x1b[2J\r\n\x7f\xc2\x9b|\xff|\xc3\xa4");
	assert_string_equal(sunk(), "info test: \\x1b[2J\\x0d\\x0a\\x7f\\u009b|\\xff|\xc3\xa4\n");
	sink_close();
}

static void long_lines_are_cut_but_stay_lines(void **state)
{
	static char big[3 * LOG_LINE_MAX];
	struct json *j = NULL;
	const char *line;

	memset(big, '\x01', sizeof(big) - 1); /* six bytes each in JSON */
	sink_open(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_info("%s", big);
	line = sunk();
	assert_in_range(strlen(line), LOG_LINE_MAX - 128, LOG_LINE_MAX);
	assert_int_equal(json_parse(line, strlen(line), &j, NULL), 0);
	json_unref(j);
	log_setup(sink[1], LOG_FORMAT_TEXT, LOG_LEVEL_INFO, "test");
	log_info("%s", big);
	line = sunk();
	assert_true(strlen(line) <= LOG_LINE_MAX);
	assert_int_equal(line[strlen(line) - 1], '\n');
	sink_close();
}

static void sink_that_takes_nothing_does_not_block_or_change_errno(void **state)
{
	int i;

	sink_open(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	for (i = 0; i < 10000; i++)
		log_info("filling the pipe with lines");
	errno = 42;
	log_info("one more");
	assert_int_equal(errno, 42);
	sink_close();
	signal(SIGPIPE, SIG_IGN);
	sink_open(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	close(sink[0]);
	log_info("nobody reads");
	sink[0] = dup(sink[1]);
	sink_close();
	signal(SIGPIPE, SIG_DFL);
}

static void no_sink_is_fine(void **state)
{
	log_setup(-1, LOG_FORMAT_JSON, LOG_LEVEL_DEBUG, NULL);
	log_error("nowhere");
}

static void utf8_sequences_are_judged_as_rfc_3629_says(void **state)
{
	static const char *const good[] = { "",
					    "a",
					    "\xc2\x80",
					    "\xc3\xa4",
					    "\xe0\xa0\x80",
					    "\xed\x9f\xbf",
					    "\xee\x80\x80",
					    "\xf0\x90\x80\x80",
					    "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xc3",
					   "\xc3(",
					   "\xe0\x9f\xbf",
					   "\xe2\x82",
					   "\xed\xa0\x80",
					   "\xf0\x8f\xbf\xbf",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "\xff",
					   "ok\xfe" };
	char text[] = "a\xffz\xc3\xa4\xe2\x82";
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(utf8_valid(good[i]));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(utf8_valid(bad[i]));
	assert_int_equal(utf8_sequence("\xe2\x82\xac", 3), 3);
	assert_int_equal(utf8_sequence("\xe2\x82\xac", 2), 0);
	assert_int_equal(utf8_sequence("", 0), 0);
	utf8_scrub(text);
	assert_string_equal(text, "a?z\xc3\xa4?" "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(text_names_level_and_component),
		leak_checked(json_is_what_engines_parse),
		leak_checked(levels_above_the_threshold_are_dropped),
		leak_checked(control_bytes_are_escaped_in_text),
		leak_checked(long_lines_are_cut_but_stay_lines),
		leak_checked(sink_that_takes_nothing_does_not_block_or_change_errno),
		leak_checked(no_sink_is_fine),
		leak_checked(utf8_sequences_are_judged_as_rfc_3629_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
