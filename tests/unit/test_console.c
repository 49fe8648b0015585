/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a console, whatever a guest writes to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/io.h"
#include "hypervisor/console.h"
#include "tests/unit/check_leaks.h"

/* Longer than this is a hang. */
#define GUARD_MS 200000
#define MARKER "\n[... onggi: output left out here ...]\n"
#define FLOOD_BYTES (10u << 20)

struct rig {
	char dir[32];
	int dirfd;
	int reader; /* the console's, for looking at */
	int writer; /* what the guest writes to; non-blocking */
	struct loop *loop;
	struct loop_source *guard;
	struct console *console;
};

static void on_guard(void *userdata)
{
	fail_msg("nothing happens");
}

static void rig_start(struct rig *r, size_t max_bytes)
{
	int fds[2];

	memset(r, 0, sizeof(*r));
	snprintf(r->dir, sizeof(r->dir), "/tmp/console-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->dirfd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(r->dirfd >= 0);
	assert_int_equal(loop_create(&r->loop), 0);
	assert_int_equal(loop_add_timer(r->loop, GUARD_MS, on_guard, r, &r->guard), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	r->reader = fds[0];
	r->writer = fds[1];
	assert_int_equal(fd_set_nonblock(r->writer, true), 0);
	assert_int_equal(console_create(r->loop, fds[0], r->dirfd, "log", max_bytes, &r->console), 0);
}

static void rig_stop(struct rig *r)
{
	console_destroy(r->console);
	loop_source_destroy(r->guard);
	loop_destroy(r->loop);
	if (r->writer >= 0)
		close(r->writer);
	unlinkat(r->dirfd, "log", 0);
	close(r->dirfd);
	assert_int_equal(rmdir(r->dir), 0);
}

static size_t log_size(struct rig *r)
{
	struct stat st;

	assert_int_equal(fstatat(r->dirfd, "log", &st, AT_SYMLINK_NOFOLLOW), 0);
	return (size_t)st.st_size;
}

/* Write @len bytes while the loop runs; after each round the file is at most @max_bytes long. */
static void write_through(struct rig *r, const char *data, size_t len, size_t max_bytes)
{
	while (len > 0) {
		ssize_t n = write(r->writer, data, len);

		if (n < 0)
			assert_int_equal(errno, EAGAIN);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
		loop_run_once(r->loop);
		assert_in_range(log_size(r), 0, max_bytes);
	}
}

/* Bytes that the guest wrote and nobody has read yet. */
static int unread(struct rig *r)
{
	int n = -1;

	assert_int_equal(ioctl(r->reader, FIONREAD, &n), 0);
	return n;
}

static void drain_all(struct rig *r)
{
	while (unread(r) > 0)
		console_drain(r->console);
}

static void say(struct rig *r, const char *text)
{
	write_through(r, text, strlen(text), CONSOLE_BYTES_MAX);
	console_drain(r->console);
}

/* The file; the caller frees it. */
static char *log_text(struct rig *r, size_t *ret_len)
{
	char *text = NULL;

	assert_int_equal(io_read_file(r->dirfd, "log", CONSOLE_BYTES_MAX, &text, ret_len), 0);
	return text;
}

/* Lines "line 00000000\n" … of 14 bytes each. */
static char *numbered_lines(size_t n)
{
	char *text = malloc(n * 14 + 1);

	assert_non_null(text);
	for (size_t i = 0; i < n; i++) {
		char line[32];

		assert_int_equal(snprintf(line, sizeof(line), "line %08zu\n", i), 14);
		memcpy(text + 14 * i, line, 15);
	}
	return text;
}

/* ---- claims: the file ---- */

static void short_output_is_kept_byte_by_byte(void **state)
{
	static const char bytes[] = "\x1b[31mred\0\xff\r\n\ttext";
	struct rig r;
	size_t len;
	char *text;

	rig_start(&r, CONSOLE_BYTES_MIN);
	write_through(&r, bytes, sizeof(bytes), CONSOLE_BYTES_MIN);
	drain_all(&r);
	text = log_text(&r, &len);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(text, bytes, sizeof(bytes));
	free(text);
	rig_stop(&r);
}

static void output_up_to_the_limit_is_kept_whole(void **state)
{
	char *lines = numbered_lines(2000), *text;
	struct rig r;
	size_t len;

	rig_start(&r, CONSOLE_BYTES_MIN);
	write_through(&r, lines, CONSOLE_BYTES_MIN, CONSOLE_BYTES_MIN);
	drain_all(&r);
	text = log_text(&r, &len);
	assert_int_equal(len, CONSOLE_BYTES_MIN);
	assert_memory_equal(text, lines, CONSOLE_BYTES_MIN);
	free(text);
	free(lines);
	rig_stop(&r);
}

static void long_output_keeps_its_beginning_and_its_end_in_order(void **state)
{
	static const size_t limits[] = { CONSOLE_BYTES_MIN, 50000, CONSOLE_BYTES_MAX };
	const size_t total = 14 * 40000;
	char *lines = numbered_lines(40000), *text, *marker;

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		size_t head = limits[i] / 4, len, end;
		struct rig r;

		rig_start(&r, limits[i]);
		write_through(&r, lines, total, limits[i]);
		drain_all(&r);
		text = log_text(&r, &len);
		assert_in_range(len, limits[i] / 2, limits[i]);
		assert_memory_equal(text, lines, head);
		marker = text + head;
		assert_memory_equal(marker, MARKER, strlen(MARKER));
		end = len - head - strlen(MARKER);
		assert_in_range(end, limits[i] / 4, limits[i]);
		assert_memory_equal(marker + strlen(MARKER), lines + total - end, end);
		free(text);
		rig_stop(&r);
	}
	free(lines);
}

static void flood_of_ten_megabytes_stays_bounded(void **state)
{
	char *flood = malloc(FLOOD_BYTES), tail[64];
	struct rig r;

	assert_non_null(flood);
	memset(flood, 'x', FLOOD_BYTES);
	memcpy(flood + FLOOD_BYTES - 5, "\nend\n", 5);
	rig_start(&r, 64u << 10);
	write_through(&r, flood, FLOOD_BYTES, 64u << 10);
	drain_all(&r);
	assert_in_range(log_size(&r), 1, 64u << 10);
	console_tail(r.console, tail, sizeof(tail));
	assert_string_equal(tail, "end\n");
	free(flood);
	rig_stop(&r);
}

/* The writer may be faster than the reader: no round takes in everything there is. */
static void one_round_and_one_drain_take_a_bounded_part(void **state)
{
	const int written = 10 * CONSOLE_BYTES_MIN, size = 4 * written;
	char *data = calloc(1, (size_t)written);
	int before;
	struct rig r;

	assert_non_null(data);
	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(setsockopt(r.writer, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), 0);
	assert_int_equal(write(r.writer, data, (size_t)written), written);
	loop_run_once(r.loop);
	before = unread(&r);
	assert_in_range(before, written - 4096, written - 1);
	console_drain(r.console);
	assert_in_range(before - unread(&r), CONSOLE_BYTES_MIN, 2 * CONSOLE_BYTES_MIN + 4096);
	free(data);
	rig_stop(&r);
}

static void file_replaces_an_older_one_and_is_private(void **state)
{
	struct console *second;
	struct stat st;
	struct rig r;
	size_t len;
	char *text;
	int fds[2];

	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(fstatat(r.dirfd, "log", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	say(&r, "old text");
	assert_int_equal(fchmodat(r.dirfd, "log", 0644, 0), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(console_create(r.loop, fds[0], r.dirfd, "log", CONSOLE_BYTES_MIN, &second), 0);
	assert_int_equal(write(fds[1], "new", 3), 3);
	console_drain(second);
	text = log_text(&r, &len);
	assert_string_equal(text, "new");
	free(text);
	assert_int_equal(fstatat(r.dirfd, "log", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	console_destroy(second);
	close(fds[1]);
	rig_stop(&r);
}

static void symbolic_link_in_place_of_the_file_is_refused(void **state)
{
	struct console *console = NULL;
	struct rig r;
	int fds[2];

	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(symlinkat("/etc/passwd", r.dirfd, "link"), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(console_create(r.loop, fds[0], r.dirfd, "link", CONSOLE_BYTES_MIN, &console), -ELOOP);
	assert_null(console);
	close(fds[0]); /* not taken over */
	close(fds[1]);
	unlinkat(r.dirfd, "link", 0);
	rig_stop(&r);
}

static void create_refuses_limits_out_of_range_and_says_what_open_says(void **state)
{
	struct console *console = NULL;
	struct rig r;
	int fds[2];

	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(console_create(r.loop, fds[0], r.dirfd, "a", CONSOLE_BYTES_MIN - 1, &console), -EINVAL);
	assert_int_equal(console_create(r.loop, fds[0], r.dirfd, "a", CONSOLE_BYTES_MAX + 1, &console), -EINVAL);
	assert_int_equal(faccessat(r.dirfd, "a", F_OK, 0), -1);
	assert_int_equal(console_create(r.loop, fds[0], r.dirfd, "no/a", CONSOLE_BYTES_MIN, &console), -ENOENT);
	assert_null(console);
	close(fds[0]);
	close(fds[1]);
	rig_stop(&r);
	console_destroy(NULL);
}

static void end_of_the_writer_is_no_busy_loop_and_the_text_stays(void **state)
{
	char tail[64];
	struct rig r;

	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(write(r.writer, "last words", 10), 10);
	close(TAKE_FD(r.writer));
	for (int i = 0; i < 3; i++)
		console_drain(r.console);
	assert_int_equal(loop_run_once(r.loop), 0);
	/* Only the guard is left: without it there is nothing to wait for. */
	loop_source_destroy(TAKE_PTR(r.guard));
	assert_int_equal(loop_run_once(r.loop), -EDEADLK);
	assert_int_equal(console_tail(r.console, tail, sizeof(tail)), 10);
	assert_string_equal(tail, "last words");
	rig_stop(&r);
}

/* ---- claims: the tail ---- */

static void tail_replaces_what_a_terminal_would_obey(void **state)
{
	static const char said[] = "a\x1b[2Jb\a\r\n\tc\0d\x9b\xc3\xa4\x7f\n";
	char tail[128];
	struct rig r;

	rig_start(&r, CONSOLE_BYTES_MIN);
	write_through(&r, said, sizeof(said) - 1, CONSOLE_BYTES_MIN);
	drain_all(&r);
	assert_int_equal(console_tail(r.console, tail, sizeof(tail)), sizeof(said) - 2);
	assert_string_equal(tail, "a?[2Jb?\n c?d????\n");
	rig_stop(&r);
}

static void tail_begins_at_a_line_and_fits(void **state)
{
	char tail[20];
	struct rig r;

	rig_start(&r, CONSOLE_BYTES_MIN);
	assert_int_equal(console_tail(r.console, tail, sizeof(tail)), 0);
	assert_string_equal(tail, "");
	say(&r, "one\ntwo\nthree\nfour\nfive\n");
	memset(tail, 'z', sizeof(tail));
	assert_int_equal(console_tail(r.console, tail, sizeof(tail)), 16);
	assert_string_equal(tail, "three\nfour\nfive\n");
	/* A single line longer than the buffer: its end. */
	say(&r, "0123456789012345678901234567890123456789");
	assert_int_equal(console_tail(r.console, tail, sizeof(tail)), 19);
	assert_string_equal(tail, "1234567890123456789");
	assert_int_equal(console_tail(r.console, tail, 1), 0);
	assert_string_equal(tail, "");
	assert_int_equal(console_tail(r.console, tail, 0), 0);
	rig_stop(&r);
}

static void clean_leaves_nothing_but_printable_text(void **state)
{
	char data[256], cr[] = "\r\r\r";
	size_t len;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)i;
	len = console_clean(data, sizeof(data));
	assert_int_equal(len, 255); /* but the carriage return */
	for (size_t i = 0; i < len; i++)
		assert_true(data[i] == '\n' || (data[i] >= ' ' && data[i] <= '~'));
	assert_int_equal(console_clean(cr, 3), 0);
	assert_int_equal(console_clean(NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(short_output_is_kept_byte_by_byte),
		leak_checked(output_up_to_the_limit_is_kept_whole),
		leak_checked(long_output_keeps_its_beginning_and_its_end_in_order),
		leak_checked(flood_of_ten_megabytes_stays_bounded),
		leak_checked(one_round_and_one_drain_take_a_bounded_part),
		leak_checked(file_replaces_an_older_one_and_is_private),
		leak_checked(symbolic_link_in_place_of_the_file_is_refused),
		leak_checked(create_refuses_limits_out_of_range_and_says_what_open_says),
		leak_checked(end_of_the_writer_is_no_busy_loop_and_the_text_stays),
		leak_checked(tail_replaces_what_a_terminal_would_obey),
		leak_checked(tail_begins_at_a_line_and_fits),
		leak_checked(clean_leaves_nothing_but_printable_text),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
