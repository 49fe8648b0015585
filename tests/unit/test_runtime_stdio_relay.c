/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/io.h"
#include "shim/runtime/stdio_relay.h"
#include "tests/unit/check_leaks.h"

struct rig {
	struct loop *loop;
	struct stdio_relay *relay;
	struct loop_source *tick;
	unsigned int inputs_ended, outputs_ended;
};

static void on_input_ended(void *userdata)
{
	((struct rig *)userdata)->inputs_ended++;
}

static void on_outputs_ended(void *userdata)
{
	((struct rig *)userdata)->outputs_ended++;
}

static void on_tick(void *userdata)
{
}

/* One round of the loop that comes back when it is the test's turn to move something. */
static void turn(struct rig *rig)
{
	assert_int_equal(loop_timer_set(rig->tick, 2), 0);
	assert_int_equal(loop_run_once(rig->loop), 0);
}

static const struct stdio_relay_ops ops = { on_input_ended, on_outputs_ended };

static void rig_open(struct rig *rig)
{
	*rig = (struct rig){ 0 };
	assert_int_equal(loop_create(&rig->loop), 0);
	assert_int_equal(loop_add_timer(rig->loop, 0, on_tick, NULL, &rig->tick), 0);
	assert_int_equal(stdio_relay_create(rig->loop, &ops, rig, &rig->relay), 0);
}

static void rig_close(struct rig *rig)
{
	stdio_relay_destroy(rig->relay);
	loop_source_destroy(rig->tick);
	loop_destroy(rig->loop);
}

struct ends {
	int read, write;
};

static struct ends make_pipe(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	return (struct ends){ fds[0], fds[1] };
}

/* A FIFO as the monitor has it: our end non-blocking. */
static struct ends make_fifo(bool ours_reads)
{
	struct ends e = make_pipe();

	assert_int_equal(fd_set_nonblock(ours_reads ? e.read : e.write, true), 0);
	return e;
}

static void output_waits_for_a_slow_reader_and_loses_nothing(void **state)
{
	enum { TOTAL = 1000000 };
	struct ends fifo = make_fifo(true), out = make_pipe();
	struct rig rig;
	size_t got = 0, put = 0;
	unsigned char buffer[4096];

	fcntl(fifo.write, F_SETFL, O_NONBLOCK);
	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, fifo.read), 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	while (got < TOTAL) {
		while (put < TOTAL) {
			size_t want = TOTAL - put < sizeof(buffer) ? TOTAL - put : sizeof(buffer);
			ssize_t n;

			for (size_t i = 0; i < want; i++)
				buffer[i] = (unsigned char)((put + i) * 31);
			n = write(fifo.write, buffer, want);
			if (n < 0)
				break;
			put += (size_t)n;
		}
		if (put == TOTAL && fifo.write >= 0) {
			close(fifo.write);
			fifo.write = -1;
		}
		if (!rig.outputs_ended)
			turn(&rig);
		/* A little at a time. */
		struct pollfd p = { .fd = out.read, .events = POLLIN };

		if (poll(&p, 1, 0) == 1) {
			ssize_t n = read(out.read, buffer, 1000);

			for (ssize_t i = 0; i < n; i++)
				assert_int_equal(buffer[i],
						 (unsigned char)((got + (size_t)i) * 31));
			got += (size_t)n;
		}
	}
	while (!rig.outputs_ended)
		turn(&rig);
	assert_int_equal(rig.outputs_ended, 1);
	/* Our copy is closed: end of file. */
	assert_int_equal(read(out.read, buffer, 1), 0);
	close(out.read);
	rig_close(&rig);
}

static void outputs_end_only_when_both_have(void **state)
{
	struct ends out_fifo = make_fifo(true), err_fifo = make_fifo(true), out = make_pipe(),
		    err = make_pipe();
	struct rig rig;

	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, out_fifo.read), 0);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_ERR, err.write, err_fifo.read), 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	close(out_fifo.write);
	for (int i = 0; i < 3; i++)
		turn(&rig);
	assert_int_equal(rig.outputs_ended, 0);
	close(err_fifo.write);
	while (!rig.outputs_ended)
		turn(&rig);
	close(out.read);
	close(err.read);
	rig_close(&rig);
}

static void fifo_that_its_writer_never_opened_ends_when_told(void **state)
{
	char dir[] = "/tmp/onggi-relay-XXXXXX", path[64];
	struct ends out = make_pipe();
	struct rig rig;
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, fd), 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	turn(&rig);
	assert_int_equal(rig.outputs_ended, 0);
	stdio_relay_writer_gone(rig.relay);
	while (!rig.outputs_ended)
		turn(&rig);
	close(out.read);
	rig_close(&rig);
	unlink(path);
	rmdir(dir);
}

static void reader_that_closes_ends_the_stream_and_closes_the_fifo(void **state)
{
	struct ends fifo = make_fifo(true), out = make_pipe();
	struct rig rig;

	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, fifo.read), 0);
	close(out.read);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	assert_int_equal(io_write_all(fifo.write, "x", 1), 0);
	while (!rig.outputs_ended)
		turn(&rig);
	assert_int_equal(io_write_all(fifo.write, "x", 1), -EPIPE);
	close(fifo.write);
	rig_close(&rig);
}

/* Feed stdin from @fd; what arrives in the FIFO until its end. */
static size_t feed(int fd, char *ret, size_t size)
{
	struct ends fifo = make_fifo(false);
	struct rig rig;
	size_t got = 0;
	ssize_t n = 1;

	fcntl(fifo.read, F_SETFL, O_NONBLOCK);
	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_IN, fd, fifo.write), 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	while (n != 0) {
		if (!rig.inputs_ended)
			turn(&rig);
		while ((n = read(fifo.read, ret + got, size - got)) > 0)
			got += (size_t)n;
	}
	while (!rig.inputs_ended)
		turn(&rig);
	close(fifo.read);
	rig_close(&rig);
	return got;
}

static void stdin_of_every_kind_arrives_with_its_end(void **state)
{
	enum { SIZE = 300000 };
	char *buffer = malloc(SIZE + 1);
	int file = memfd_create("in", MFD_CLOEXEC), pair[2];
	struct ends p = make_pipe();

	assert_int_equal(ftruncate(file, SIZE), 0);
	assert_int_equal(feed(file, buffer, SIZE + 1), SIZE);
	assert_int_equal(feed(open("/dev/null", O_RDONLY | O_CLOEXEC), buffer, SIZE), 0);
	assert_int_equal(io_write_all(p.write, "abc", 3), 0);
	close(p.write);
	assert_int_equal(feed(p.read, buffer, SIZE), 3);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(io_write_all(pair[0], "abcd", 4), 0);
	close(pair[0]);
	assert_int_equal(feed(pair[1], buffer, SIZE), 4);
	free(buffer);
}

static void stdin_that_was_closed_before_is_just_ended(void **state)
{
	char byte;

	assert_int_equal(feed(-EBADF, &byte, 1), 0);
}

static void nonblock_is_never_set_on_a_shared_description(void **state)
{
	struct ends fifo = make_fifo(true), out = make_pipe();
	int shared = fcntl(out.write, F_DUPFD_CLOEXEC, 0);
	struct rig rig;

	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, fifo.read), 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	turn(&rig);
	assert_int_equal(fcntl(shared, F_GETFL) & O_NONBLOCK, 0);
	close(shared);
	close(fifo.write);
	close(out.read);
	rig_close(&rig);
}

/* A full disk is the user's to mend, and no reason to end who writes: it is no reader that has gone. */
static void what_a_full_device_refuses_is_dropped_counted_and_told(void **state)
{
	struct ends fifo = make_fifo(true);
	uint64_t lost = 0;
	struct rig rig;

	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT,
					 open("/dev/full", O_WRONLY | O_CLOEXEC), fifo.read),
			 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(io_write_all(fifo.write, "x", 1), 0);
	while (stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost) == 0)
		turn(&rig);
	assert_int_equal(io_write_all(fifo.write, "yz", 2), 0);
	close(fifo.write);
	while (!rig.outputs_ended)
		turn(&rig);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost), -ENOSPC);
	assert_int_equal(lost, 3);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_ERR, &lost), 0);
	rig_close(&rig);
}

static void file_that_has_room_again_gets_what_comes_later(void **state)
{
	struct rlimit limit, old;
	struct ends fifo = make_fifo(true);
	int file = memfd_create("out", MFD_CLOEXEC);
	uint64_t lost = 0;
	char text[16] = "";
	struct rig rig;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){ 2, old.rlim_max };
	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, fcntl(file, F_DUPFD_CLOEXEC, 0),
					 fifo.read),
			 0);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(io_write_all(fifo.write, "abc", 3), 0);
	while (stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost) == 0)
		turn(&rig);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(io_write_all(fifo.write, "de", 2), 0);
	close(fifo.write);
	while (!rig.outputs_ended)
		turn(&rig);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost), -EFBIG);
	assert_int_equal(lost, 1);
	assert_int_equal(pread(file, text, sizeof(text) - 1, 0), 4);
	assert_string_equal(text, "abde");
	close(file);
	rig_close(&rig);
}

static void reader_that_closes_is_no_failure_to_tell(void **state)
{
	struct ends out_fifo = make_fifo(true), err_fifo = make_fifo(true), out = make_pipe();
	uint64_t lost = 0;
	struct rig rig;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig_open(&rig);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_OUT, out.write, out_fifo.read), 0);
	assert_int_equal(stdio_relay_add(rig.relay, STDIO_RELAY_ERR, pair[0], err_fifo.read), 0);
	close(out.read);
	close(pair[1]);
	assert_int_equal(stdio_relay_start(rig.relay), 0);
	assert_int_equal(io_write_all(out_fifo.write, "x", 1), 0);
	assert_int_equal(io_write_all(err_fifo.write, "x", 1), 0);
	while (!rig.outputs_ended)
		turn(&rig);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_OUT, &lost), 0);
	assert_int_equal(stdio_relay_unwritten(rig.relay, STDIO_RELAY_ERR, &lost), 0);
	close(out_fifo.write);
	close(err_fifo.write);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(output_waits_for_a_slow_reader_and_loses_nothing),
		leak_checked(outputs_end_only_when_both_have),
		leak_checked(fifo_that_its_writer_never_opened_ends_when_told),
		leak_checked(reader_that_closes_ends_the_stream_and_closes_the_fifo),
		leak_checked(stdin_of_every_kind_arrives_with_its_end),
		leak_checked(stdin_that_was_closed_before_is_just_ended),
		leak_checked(nonblock_is_never_set_on_a_shared_description),
		leak_checked(what_a_full_device_refuses_is_dropped_counted_and_told),
		leak_checked(file_that_has_room_again_gets_what_comes_later),
		leak_checked(reader_that_closes_is_no_failure_to_tell),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(200); /* longer is a hang */
	return cmocka_run_group_tests_name("runtime_stdio_relay", tests, NULL, NULL);
}
