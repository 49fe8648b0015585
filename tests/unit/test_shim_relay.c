/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <cmocka.h>

#include "common/loop.h"
#include "shim/relay.h"
#include "tests/unit/own_clock.h"

/* Rounds of the loop after which nothing moves any more; a round moves a piece of RELAY_CHUNK_BYTES or of a FIFO. */
#define ROUNDS 200

/* A guest whose process has @total bytes to say and takes input @appetite bytes at a time. */
struct guest {
	struct loop *loop;
	struct relay *io;
	struct loop_source *answer_timer;
	char dir[64], path[RELAY_STREAMS][96];
	size_t total, said;
	uint32_t asked;
	bool mute; /* leaves requests unanswered */
	bool stuck; /* leaves input unanswered */
	bool deaf; /* goes on to write whatever it hears, as to a terminal */
	bool input_closed, drained;
	unsigned int outputs_closed;
	unsigned int requests;
	size_t appetite;
	char input[1 << 20];
	size_t input_len;
	size_t write_pending;
	struct loop_source *write_timer;
	int fds_before;
};

static char pattern(size_t i)
{
	return (char)((i * 2654435761u) >> 13);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void answer(void *userdata)
{
	struct guest *g = userdata;
	static char data[RELAY_CHUNK_BYTES];
	size_t n = g->total - g->said;

	if (n > g->asked)
		n = g->asked;
	for (size_t i = 0; i < n; i++)
		data[i] = pattern(g->said + i);
	g->said += n;
	g->asked = 0;
	assert_int_equal(relay_output(g->io, RELAY_STDOUT, data, n, g->said == g->total), 0);
}

static void op_read(enum relay_stream stream, uint32_t max, void *userdata)
{
	struct guest *g = userdata;

	if (stream == RELAY_STDERR) {
		relay_output(g->io, stream, NULL, 0, true);
		return;
	}
	assert_int_equal(g->asked, 0);
	g->asked = max;
	g->requests++;
	if (!g->mute)
		loop_timer_set(g->answer_timer, 0);
}

static void input_answer(void *userdata)
{
	struct guest *g = userdata;

	assert_int_equal(relay_input_taken(g->io, g->write_pending, false), 0);
}

static void op_write(const void *data, size_t len, void *userdata)
{
	struct guest *g = userdata;
	size_t n = g->appetite && len > g->appetite ? g->appetite : len;

	assert_true(g->input_len + n <= sizeof(g->input));
	memcpy(g->input + g->input_len, data, n);
	g->input_len += n;
	g->write_pending = n;
	if (!g->stuck)
		loop_timer_set(g->write_timer, 0);
}

static void op_close_input(void *userdata)
{
	struct guest *g = userdata;

	assert_false(g->input_closed);
	g->input_closed = true;
}

/* What the agent does: the request in flight is answered with the end, and so are later ones. */
static void op_close_output(enum relay_stream stream, void *userdata)
{
	struct guest *g = userdata;

	assert_int_equal(stream, RELAY_STDOUT);
	g->outputs_closed++;
	if (!g->deaf)
		g->total = g->said;
}

static void op_drained(void *userdata)
{
	struct guest *g = userdata;

	assert_false(g->drained);
	g->drained = true;
}

static const struct relay_ops ops = {
	.read = op_read,
	.write = op_write,
	.close_input = op_close_input,
	.close_output = op_close_output,
	.drained = op_drained,
};

static int setup(void **state)
{
	static const char *const names[] = { "in", "out", "err" };
	struct guest *g = calloc(1, sizeof(*g));

	signal(SIGPIPE, SIG_IGN);
	clock_stop();
	g->fds_before = count_fds();
	assert_int_equal(loop_create(&g->loop), 0);
	strcpy(g->dir, "/tmp/onggi-stdio-XXXXXX");
	assert_non_null(mkdtemp(g->dir));
	for (int i = 0; i < RELAY_STREAMS; i++) {
		snprintf(g->path[i], sizeof(g->path[i]), "%s/%s", g->dir, names[i]);
		assert_int_equal(mkfifo(g->path[i], 0600), 0);
	}
	assert_int_equal(loop_add_timer(g->loop, 0, answer, g, &g->answer_timer), 0);
	assert_int_equal(loop_timer_disarm(g->answer_timer), 0);
	assert_int_equal(loop_add_timer(g->loop, 0, input_answer, g, &g->write_timer), 0);
	assert_int_equal(loop_timer_disarm(g->write_timer), 0);
	*state = g;
	return 0;
}

static int teardown(void **state)
{
	struct guest *g = *state;

	relay_destroy(g->io);
	loop_source_destroy(g->answer_timer);
	loop_source_destroy(g->write_timer);
	loop_destroy(g->loop);
	for (int i = 0; i < RELAY_STREAMS; i++)
		unlink(g->path[i]);
	rmdir(g->dir);
	clock_run();
	assert_int_equal(count_fds(), g->fds_before);
	free(g);
	return 0;
}

static void open_io(struct guest *g, bool with_input)
{
	struct relay_config config = { .paths = { with_input ? g->path[0] : NULL, g->path[1],
						  g->path[2] } };
	struct err err = ERR_INIT;

	assert_int_equal(relay_create(g->loop, &config, &ops, g, &g->io, &err), 0);
}

static int open_reader(struct guest *g)
{
	int fd = open(g->path[1], O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void nothing(void *userdata)
{
	*(bool *)userdata = true;
}

/* One round of the loop, whether or not something is ready. */
static void turn(struct guest *g)
{
	struct loop_source *timer;
	bool over = false;

	assert_int_equal(loop_add_timer(g->loop, 0, nothing, &over, &timer), 0);
	while (!over)
		assert_true(loop_run_once(g->loop) >= 0);
	loop_source_destroy(timer);
}

/* Everything that is ready, with all that comes of it: guest, relay and reader are this one process. */
static void settle(struct guest *g)
{
	for (int i = 0; i < ROUNDS; i++)
		turn(g);
}

/* The clock stands but for this. */
static void run_for(struct guest *g, uint64_t ms)
{
	settle(g);
	clock_ahead_ms += (int64_t)ms;
	settle(g);
}

/* Read what there is; false at end of file. */
static bool read_and_check(int fd, size_t *got, size_t at_most)
{
	char data[8192];
	ssize_t n = read(fd, data, at_most < sizeof(data) ? at_most : sizeof(data));

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return true;
	}
	for (ssize_t i = 0; i < n; i++)
		assert_int_equal(data[i], pattern(*got + (size_t)i));
	*got += (size_t)n;
	return n > 0;
}

static void ten_megabytes_arrive_byte_exact(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 10 << 20;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	while (read_and_check(fd, &got, SIZE_MAX)) {
		turn(g);
		if (g->said == g->total)
			relay_process_ended(g->io);
	}
	assert_int_equal(got, g->total);
	assert_true(g->drained);
	close(fd);
}

static void slow_reader_holds_up_requests_and_loses_nothing(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	unsigned int requests;
	int fd;

	g->total = 3 << 20;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 50);
	requests = g->requests;
	assert_true(g->said <= RELAY_CHUNK_BYTES + RELAY_LOW_WATER_BYTES + (64 << 10));
	run_for(g, 50);
	assert_int_equal(g->requests, requests);
	/* The process is gone, its reader is not: no time limit for that one. */
	relay_process_ended(g->io);
	run_for(g, RELAY_SILENCE_MS + 300);
	assert_false(g->drained);
	while (read_and_check(fd, &got, SIZE_MAX))
		turn(g);
	assert_int_equal(got, g->total);
	assert_true(g->drained);
	close(fd);
}

static void exit_waits_until_the_last_byte_is_in_the_fifo(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 200 << 10;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	relay_process_ended(g->io);
	run_for(g, 50);
	assert_false(g->drained);
	while (!g->drained) {
		read_and_check(fd, &got, SIZE_MAX);
		turn(g);
	}
	while (read_and_check(fd, &got, SIZE_MAX))
		;
	assert_int_equal(got, g->total);
	close(fd);
}

static void reader_that_left_may_return_while_the_process_runs(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 1 << 20;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 20);
	read_and_check(fd, &got, 1000);
	close(fd);
	run_for(g, 20);
	fd = open_reader(g);
	while (got < g->total) {
		read_and_check(fd, &got, SIZE_MAX);
		turn(g);
	}
	relay_process_ended(g->io);
	settle(g);
	assert_true(g->drained);
	close(fd);
}

static void vanished_reader_delays_the_exit_by_a_bound_only(void **state)
{
	struct guest *g = *state;
	int fd;

	g->total = 1 << 20;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 20);
	close(fd);
	relay_process_ended(g->io);
	run_for(g, RELAY_READER_RETURN_MS - 1000);
	assert_false(g->drained);
	run_for(g, 1500);
	assert_true(g->drained);
}

static void vanished_reader_that_returns_gets_what_was_left(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 300 << 10;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 20);
	close(fd);
	relay_process_ended(g->io);
	run_for(g, 100);
	assert_false(g->drained);
	fd = open_reader(g);
	while (got < g->total) {
		assert_true(read_and_check(fd, &got, SIZE_MAX));
		turn(g);
	}
	close(fd);
}

static void short_output_without_any_reader_is_kept_for_a_while(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 100;
	open_io(g, false);
	relay_start(g->io);
	relay_process_ended(g->io);
	run_for(g, 100);
	assert_false(g->drained);
	fd = open_reader(g);
	read_and_check(fd, &got, SIZE_MAX);
	assert_int_equal(got, 100);
	close(fd);
}

static void output_held_open_by_another_process_ends_after_silence(void **state)
{
	struct guest *g = *state;
	int fd;

	g->total = 1;
	g->mute = true;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 10);
	relay_process_ended(g->io);
	run_for(g, RELAY_SILENCE_MS / 2);
	assert_false(g->drained);
	run_for(g, RELAY_SILENCE_MS);
	assert_true(g->drained);
	/* The late answer is dropped. */
	answer(g);
	close(fd);
}

/* On a machine that has much else to do. */
static void output_of_a_guest_that_stood_still_for_seconds_is_whole(void **state)
{
	struct guest *g = *state;
	size_t got = 0;
	int fd;

	g->total = 100;
	g->mute = true;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	relay_process_ended(g->io);
	run_for(g, 8000);
	assert_false(g->drained);
	answer(g);
	read_and_check(fd, &got, SIZE_MAX);
	assert_int_equal(got, 100);
	assert_true(g->drained);
	close(fd);
}

static void guest_is_told_once_when_the_owner_of_an_output_has_left(void **state)
{
	struct guest *g = *state;
	size_t said;
	int fd;

	g->total = 3 << 20;
	open_io(g, false);
	fd = open_reader(g);
	relay_set_owned(g->io);
	relay_start(g->io);
	run_for(g, 20);
	said = g->said;
	assert_int_equal(g->outputs_closed, 0);
	close(fd);
	run_for(g, 50);
	assert_int_equal(g->outputs_closed, 1);
	assert_true(g->said <= said + RELAY_CHUNK_BYTES);
	relay_process_ended(g->io);
	assert_true(g->drained);
}

static void output_of_an_owner_who_left_is_fetched_and_dropped(void **state)
{
	struct guest *g = *state;
	int fd;

	g->total = 3 << 20;
	g->deaf = true;
	open_io(g, false);
	fd = open_reader(g);
	relay_set_owned(g->io);
	relay_start(g->io);
	run_for(g, 20);
	assert_true(g->said < g->total);
	close(fd);
	run_for(g, 50);
	assert_int_equal(g->said, g->total);
	relay_process_ended(g->io);
	assert_true(g->drained);
}

static void abandon_ends_at_once(void **state)
{
	struct guest *g = *state;
	int fd;

	g->total = 1 << 20;
	open_io(g, true);
	fd = open_reader(g);
	relay_start(g->io);
	run_for(g, 10);
	relay_abandon(g->io);
	assert_true(g->drained);
	relay_process_ended(g->io);
	g->mute = true;
	close(fd);
}

static void note_comes_after_the_output_and_before_the_end(void **state)
{
	struct guest *g = *state;
	char text[64];
	struct relay_config config = { .paths = { NULL, g->path[1], g->path[2] }, .terminal = true };
	int fd;

	g->mute = true;
	assert_int_equal(relay_create(g->loop, &config, &ops, g, &g->io, NULL), 0);
	fd = open_reader(g);
	relay_start(g->io);
	g->asked = 0;
	assert_int_equal(relay_output(g->io, RELAY_STDOUT, "out", 3, false), 0);
	relay_note(g->io, "note");
	relay_abandon(g->io);
	assert_int_equal(read(fd, text, sizeof(text)), 9);
	assert_memory_equal(text, "outnote\r\n", 9);
	assert_int_equal(read(fd, text, sizeof(text)), 0);
	close(fd);
}

static void note_does_not_wait_for_a_stuck_reader(void **state)
{
	static char fill[4096];
	struct guest *g = *state;
	int fd, extra;

	g->mute = true;
	open_io(g, false);
	fd = open(g->path[2], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	extra = open(g->path[2], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	while (write(extra, fill, sizeof(fill)) > 0)
		;
	relay_note(g->io, "note");
	relay_abandon(g->io);
	assert_true(g->drained);
	close(fd);
	close(extra);
}

static void guest_that_answers_too_much_ends_the_stream(void **state)
{
	struct guest *g = *state;
	char *huge = calloc(1, RELAY_CHUNK_BYTES + 1);
	int fd;

	g->mute = true;
	g->total = 1;
	open_io(g, false);
	fd = open_reader(g);
	relay_start(g->io);
	assert_int_equal(relay_output(g->io, RELAY_STDOUT, huge, RELAY_CHUNK_BYTES + 1, false),
			 -EPROTO);
	relay_process_ended(g->io);
	assert_true(g->drained);
	assert_int_equal(read(fd, huge, 1), 0);
	close(fd);
	free(huge);
}

static void guest_that_answers_unasked_ends_the_stream(void **state)
{
	struct guest *g = *state;

	open_io(g, false);
	assert_int_equal(relay_output(g->io, RELAY_STDOUT, "x", 1, false), -EPROTO);
}

static void input_arrives_whole_and_ends_after_close_io(void **state)
{
	struct guest *g = *state;
	static char data[300 << 10];
	size_t sent = 0;
	int fd;

	g->mute = true;
	g->appetite = 777;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	open_io(g, true);
	fd = open(g->path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	relay_start(g->io);
	while (sent < sizeof(data)) {
		ssize_t n = write(fd, data + sent, sizeof(data) - sent);

		if (n > 0)
			sent += (size_t)n;
		turn(g);
	}
	close(fd);
	run_for(g, 300);
	assert_false(g->input_closed);
	relay_close_input(g->io);
	while (!g->input_closed)
		turn(g);
	assert_int_equal(g->input_len, sizeof(data));
	assert_memory_equal(g->input, data, sizeof(data));
}

static void input_before_start_is_not_taken(void **state)
{
	struct guest *g = *state;
	int fd;

	g->mute = true;
	open_io(g, true);
	fd = open(g->path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(write(fd, "hello", 5), 5);
	run_for(g, 20);
	assert_int_equal(g->input_len, 0);
	relay_start(g->io);
	run_for(g, 20);
	assert_int_equal(g->input_len, 5);
	close(fd);
}

static void process_without_input_gets_end_of_file(void **state)
{
	struct guest *g = *state;

	g->mute = true;
	open_io(g, false);
	assert_false(g->input_closed);
	relay_start(g->io);
	assert_true(g->input_closed);
}

static void writer_gets_epipe_when_the_process_reads_no_more(void **state)
{
	struct guest *g = *state;
	int fd;

	g->mute = true;
	g->stuck = true;
	open_io(g, true);
	fd = open(g->path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	relay_start(g->io);
	while (g->input_len == 0)
		turn(g);
	relay_input_taken(g->io, 0, true);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(fd);
}

static void guest_that_takes_more_than_given_loses_its_input(void **state)
{
	struct guest *g = *state;
	int fd;

	g->mute = true;
	g->stuck = true;
	open_io(g, true);
	fd = open(g->path[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), 1);
	relay_start(g->io);
	while (g->input_len == 0)
		turn(g);
	assert_int_equal(relay_input_taken(g->io, 2, false), -EPROTO);
	close(fd);
}

static int try_path(struct guest *g, const char *path, struct err *err)
{
	struct relay_config config = { .paths = { NULL, path, NULL } };

	return relay_create(g->loop, &config, &ops, g, &g->io, err);
}

static void path_that_is_no_fifo_is_refused_by_name(void **state)
{
	struct guest *g = *state;
	struct err err = ERR_INIT;

	assert_int_equal(try_path(g, "/dev/null", &err), -EINVAL);
	assert_non_null(strstr(err.text, "'/dev/null' is no FIFO"));
	assert_int_equal(try_path(g, "binary:///bin/logger", &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "'binary'"));
	assert_int_equal(try_path(g, "relative", &err), -EINVAL);
	assert_int_equal(try_path(g, "/nonexistent/fifo", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/fifo"));
	assert_null(g->io);
}

#define CLAIM(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(ten_megabytes_arrive_byte_exact),
		CLAIM(slow_reader_holds_up_requests_and_loses_nothing),
		CLAIM(exit_waits_until_the_last_byte_is_in_the_fifo),
		CLAIM(reader_that_left_may_return_while_the_process_runs),
		CLAIM(vanished_reader_delays_the_exit_by_a_bound_only),
		CLAIM(vanished_reader_that_returns_gets_what_was_left),
		CLAIM(short_output_without_any_reader_is_kept_for_a_while),
		CLAIM(output_held_open_by_another_process_ends_after_silence),
		CLAIM(output_of_a_guest_that_stood_still_for_seconds_is_whole),
		CLAIM(guest_is_told_once_when_the_owner_of_an_output_has_left),
		CLAIM(output_of_an_owner_who_left_is_fetched_and_dropped),
		CLAIM(abandon_ends_at_once),
		CLAIM(note_comes_after_the_output_and_before_the_end),
		CLAIM(note_does_not_wait_for_a_stuck_reader),
		CLAIM(guest_that_answers_too_much_ends_the_stream),
		CLAIM(guest_that_answers_unasked_ends_the_stream),
		CLAIM(input_arrives_whole_and_ends_after_close_io),
		CLAIM(input_before_start_is_not_taken),
		CLAIM(process_without_input_gets_end_of_file),
		CLAIM(writer_gets_epipe_when_the_process_reads_no_more),
		CLAIM(guest_that_takes_more_than_given_loses_its_input),
		CLAIM(path_that_is_no_fifo_is_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
