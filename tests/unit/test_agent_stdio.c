/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/stdio.h"

static struct loop *loop;
static struct stdio *s;
static struct setup_stdio child; /* duplicates, the program's own */

/* What the last answers were. */
static struct {
	char data[STDIO_CHUNK_MAX];
	size_t len;
	unsigned int reads, eofs, writes;
	int code;
	size_t written;
} got;

static void on_read(const void *data, size_t len, bool eof, void *userdata)
{
	if (len)
		memcpy(got.data, data, len);
	got.len = len;
	got.reads++;
	got.eofs += eof;
}

static void on_write(int code, size_t written, void *userdata)
{
	got.code = code;
	got.written = written;
	got.writes++;
}

static void close_child(void)
{
	int *fds[] = { &child.terminal, &child.in, &child.out, &child.err };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		cleanup_close_p(fds[i]);
}

static int setup(void **state)
{
	memset(&got, 0, sizeof(got));
	signal(SIGPIPE, SIG_IGN);
	return loop_create(&loop) < 0 || stdio_create(loop, &s) < 0;
}

static int setup_pipes(void **state)
{
	struct setup_stdio ends;

	if (setup(state) || stdio_open_pipes(s, NULL) < 0)
		return -1;
	stdio_child_ends(s, &ends);
	child = (struct setup_stdio){ .terminal = -1, .in = dup(ends.in), .out = dup(ends.out), .err = dup(ends.err) };
	stdio_spawned(s);
	return 0;
}

static int setup_terminal(void **state)
{
	struct setup_stdio ends;
	struct termios raw = { 0 };
	int master, slave;

	cfmakeraw(&raw);
	if (setup(state) || openpty(&master, &slave, NULL, &raw, NULL) < 0 ||
	    stdio_open_terminal(s, master, slave, NULL) < 0)
		return -1;
	stdio_child_ends(s, &ends);
	child = (struct setup_stdio){ .terminal = dup(ends.terminal), .in = -1, .out = -1, .err = -1 };
	stdio_spawned(s);
	return 0;
}

static int teardown(void **state)
{
	close_child();
	stdio_destroy(s);
	loop_destroy(loop);
	return 0;
}

/* Rounds of the loop until *n answers have come. */
static void run_until(const unsigned int *n, unsigned int want)
{
	while (*n < want)
		assert_int_equal(loop_run_once(loop), 0);
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void read_waits_until_there_is_something(void **state)
{
	assert_int_equal(stdio_read(s, STDIO_OUT, 100, on_read, NULL), 0);
	assert_int_equal(got.reads, 0);
	assert_int_equal(stdio_read(s, STDIO_OUT, 100, on_read, NULL), -EBUSY);
	put(child.out, "hello");
	run_until(&got.reads, 1);
	assert_int_equal(got.len, 5);
	assert_memory_equal(got.data, "hello", 5);
	assert_int_equal(got.eofs, 0);
}

static void streams_do_not_mix(void **state)
{
	put(child.err, "e");
	put(child.out, "o");
	assert_int_equal(stdio_read(s, STDIO_ERR, 100, on_read, NULL), 0);
	assert_memory_equal(got.data, "e", 1);
	assert_int_equal(stdio_read(s, STDIO_OUT, 100, on_read, NULL), 0);
	assert_memory_equal(got.data, "o", 1);
}

static void read_never_gives_more_than_asked(void **state)
{
	put(child.out, "abcdef");
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.len, 4);
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.len, 2);
	assert_int_equal(stdio_read(s, STDIO_OUT, 0, on_read, NULL), -EINVAL);
	assert_int_equal(stdio_read(s, STDIO_OUT, STDIO_CHUNK_MAX + 1, on_read, NULL), -EINVAL);
}

static void stream_ends_when_its_writers_close(void **state)
{
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	put(child.out, "x");
	cleanup_close_p(&child.out);
	run_until(&got.reads, 1);
	assert_int_equal(got.eofs, 0);
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.eofs, 1);
	assert_int_equal(got.len, 0);
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.eofs, 2);
}

static void ended_stream_is_drained_though_a_writer_is_left(void **state)
{
	put(child.out, "abcdef");
	stdio_ended(s);
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.len, 4);
	assert_int_equal(got.eofs, 0);
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.len, 2);
	assert_int_equal(got.eofs, 1);
}

static void end_answers_reads_that_wait(void **state)
{
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(stdio_read(s, STDIO_ERR, 4, on_read, NULL), 0);
	stdio_ended(s);
	assert_int_equal(got.reads, 2);
	assert_int_equal(got.eofs, 2);
}

static void closed_output_breaks_the_writers_pipe(void **state)
{
	put(child.out, "never read");
	stdio_close_output(s, STDIO_OUT);
	assert_int_equal(write(child.out, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	put(child.err, "e");
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	assert_int_equal(got.eofs, 1);
	assert_int_equal(got.len, 0);
	assert_int_equal(stdio_read(s, STDIO_ERR, 4, on_read, NULL), 0);
	assert_int_equal(got.eofs, 1);
	assert_memory_equal(got.data, "e", 1);
}

static void closing_output_ends_the_waiting_read(void **state)
{
	assert_int_equal(stdio_read(s, STDIO_ERR, 4, on_read, NULL), 0);
	stdio_close_output(s, STDIO_OUT);
	assert_int_equal(got.reads, 0);
	stdio_close_output(s, STDIO_ERR);
	assert_int_equal(got.reads, 1);
	assert_int_equal(got.eofs, 1);
	stdio_close_output(s, STDIO_ERR);
	assert_int_equal(got.reads, 1);
	stdio_ended(s);
	assert_int_equal(got.reads, 1);
}

static void closing_output_leaves_a_terminal_as_it_is(void **state)
{
	stdio_close_output(s, STDIO_OUT);
	put(child.terminal, "still here");
	assert_int_equal(stdio_read(s, STDIO_OUT, 100, on_read, NULL), 0);
	run_until(&got.reads, 1);
	assert_int_equal(got.eofs, 0);
	assert_int_equal(got.len, 10);
}

static void a_mebibyte_fits_before_anybody_reads(void **state)
{
	_cleanup_free_ char *data = calloc(1, STDIO_PIPE_BYTES);

	assert_int_equal(fcntl(child.out, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(write(child.out, data, STDIO_PIPE_BYTES), STDIO_PIPE_BYTES);
	assert_int_equal(stdio_read(s, STDIO_OUT, STDIO_CHUNK_MAX, on_read, NULL), 0);
	assert_int_equal(got.len, STDIO_PIPE_BYTES);
}

static void write_is_taken_at_once_while_there_is_room(void **state)
{
	char buf[8];

	assert_int_equal(stdio_write(s, "hello", 5, on_write, NULL), 0);
	assert_int_equal(got.writes, 1);
	assert_int_equal(got.written, 5);
	assert_int_equal(read(child.in, buf, sizeof(buf)), 5);
	assert_int_equal(stdio_write(s, "", 0, on_write, NULL), -EINVAL);
}

/* Fill the pipe; returns how many bytes went in. */
static size_t fill_input(void)
{
	static char data[STDIO_CHUNK_MAX];
	size_t filled = 0;
	unsigned int before;

	do {
		before = got.writes;
		assert_int_equal(stdio_write(s, data, sizeof(data), on_write, NULL), 0);
		if (got.writes > before)
			filled += got.written;
	} while (got.writes > before);
	return filled;
}

static void full_pipe_makes_a_write_wait_for_its_reader(void **state)
{
	size_t filled = fill_input();
	_cleanup_free_ char *buf = malloc(filled);
	unsigned int before = got.writes;

	assert_int_equal(stdio_write(s, "x", 1, on_write, NULL), -EBUSY);
	assert_int_equal(read(child.in, buf, filled), filled);
	run_until(&got.writes, before + 1);
	assert_int_equal(got.code, 0);
	assert_in_range(got.written, 1, STDIO_WRITE_COPY_MAX);
}

static void close_comes_after_what_was_offered(void **state)
{
	size_t filled = fill_input(), total = 0;
	unsigned int before = got.writes;
	char buf[4096];
	ssize_t n;

	stdio_close_input(s);
	while (got.writes == before) {
		n = read(child.in, buf, sizeof(buf));
		assert_true(n > 0);
		total += (size_t)n;
		assert_int_equal(loop_run_once(loop), 0);
	}
	assert_int_equal(got.code, 0);
	assert_int_equal(got.written, STDIO_WRITE_COPY_MAX);
	while ((n = read(child.in, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(total, filled + STDIO_WRITE_COPY_MAX);
	assert_int_equal(stdio_write(s, "x", 1, on_write, NULL), -EPIPE);
}

static void write_without_a_reader_fails(void **state)
{
	cleanup_close_p(&child.in);
	assert_int_equal(stdio_write(s, "x", 1, on_write, NULL), 0);
	assert_int_equal(got.code, -EPIPE);
}

static void reader_that_leaves_ends_the_waiting_write(void **state)
{
	unsigned int before;

	fill_input();
	before = got.writes;
	cleanup_close_p(&child.in);
	run_until(&got.writes, before + 1);
	assert_int_equal(got.code, -EPIPE);
}

static void destroy_answers_everybody(void **state)
{
	unsigned int before;

	fill_input();
	before = got.writes;
	assert_int_equal(stdio_read(s, STDIO_OUT, 4, on_read, NULL), 0);
	stdio_destroy(s);
	s = NULL;
	assert_int_equal(got.reads, 1);
	assert_int_equal(got.eofs, 1);
	assert_int_equal(got.writes, before + 1);
	assert_int_equal(got.code, -ECANCELED);
}

static void terminal_survives_being_closed_and_reopened(void **state)
{
	char name[64];

	assert_int_equal(ttyname_r(child.terminal, name, sizeof(name)), 0);
	assert_int_equal(stdio_read(s, STDIO_OUT, 10, on_read, NULL), 0);
	cleanup_close_p(&child.terminal);
	child.terminal = open(name, O_RDWR | O_NOCTTY);
	assert_true(child.terminal >= 0);
	put(child.terminal, "still");
	run_until(&got.reads, 1);
	assert_int_equal(got.eofs, 0);
	assert_int_equal(got.len, 5);
}

static void terminal_is_drained_to_its_last_byte(void **state)
{
	size_t total = 0;

	for (int i = 0; i < 30; i++)
		put(child.terminal, "0123456789012345678901234567890123456789012345678901234567890123456789");
	cleanup_close_p(&child.terminal);
	stdio_ended(s);
	while (!got.eofs) {
		assert_int_equal(stdio_read(s, STDIO_OUT, 1000, on_read, NULL), 0);
		total += got.len;
	}
	assert_int_equal(total, 2100);
}

static void terminal_has_one_line_for_everything(void **state)
{
	char buf[8];

	assert_int_equal(stdio_read(s, STDIO_ERR, 10, on_read, NULL), 0);
	assert_int_equal(got.eofs, 1);
	stdio_close_input(s);
	assert_int_equal(stdio_write(s, "in", 2, on_write, NULL), 0);
	assert_int_equal(read(child.terminal, buf, sizeof(buf)), 2);
}

static void resize_is_for_terminals(void **state)
{
	struct winsize size;

	assert_int_equal(stdio_resize(s, 90, 30), 0);
	assert_int_equal(ioctl(child.terminal, TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_col, 90);
	assert_int_equal(size.ws_row, 30);
}

static void pipes_have_no_size(void **state)
{
	assert_int_equal(stdio_resize(s, 90, 30), -ENOTTY);
}

#define PIPE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_pipes, teardown)
#define TERMINAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_terminal, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PIPE_TEST(read_waits_until_there_is_something),
		PIPE_TEST(streams_do_not_mix),
		PIPE_TEST(read_never_gives_more_than_asked),
		PIPE_TEST(stream_ends_when_its_writers_close),
		PIPE_TEST(ended_stream_is_drained_though_a_writer_is_left),
		PIPE_TEST(end_answers_reads_that_wait),
		PIPE_TEST(closed_output_breaks_the_writers_pipe),
		PIPE_TEST(closing_output_ends_the_waiting_read),
		PIPE_TEST(a_mebibyte_fits_before_anybody_reads),
		PIPE_TEST(write_is_taken_at_once_while_there_is_room),
		PIPE_TEST(full_pipe_makes_a_write_wait_for_its_reader),
		PIPE_TEST(close_comes_after_what_was_offered),
		PIPE_TEST(write_without_a_reader_fails),
		PIPE_TEST(reader_that_leaves_ends_the_waiting_write),
		PIPE_TEST(destroy_answers_everybody),
		TERMINAL_TEST(terminal_survives_being_closed_and_reopened),
		TERMINAL_TEST(terminal_is_drained_to_its_last_byte),
		TERMINAL_TEST(terminal_has_one_line_for_everything),
		TERMINAL_TEST(closing_output_leaves_a_terminal_as_it_is),
		TERMINAL_TEST(resize_is_for_terminals),
		PIPE_TEST(pipes_have_no_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
