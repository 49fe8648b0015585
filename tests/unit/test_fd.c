/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/cleanup.h"
#include "tests/unit/check_leaks.h"

/* Runs @fn in a child; its return value is the exit code. */
static int in_child(int (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void flags_are_set_and_cleared(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_set_nonblock(fds[0], true), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(fds[0], true), 0);
	assert_int_equal(fd_set_nonblock(fds[0], false), 0);
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_cloexec(fds[0], true), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_set_cloexec(fds[0], false), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(fd_set_nonblock(fds[0], true), -EBADF);
	assert_int_equal(fd_set_cloexec(fds[0], true), -EBADF);
}

static int close_some(void)
{
	const int keep[] = { 30, 25, -1, 25, 40, 3 };
	int i;

	for (i = 20; i <= 40; i++)
		dup2(0, i);
	if (fd_close_from(21, keep, ARRAY_SIZE(keep)) < 0)
		return 1;
	for (i = 20; i <= 40; i++)
		if (is_open(i) != (i == 20 || i == 25 || i == 30 || i == 40))
			return i;
	return fd_close_from(20, NULL, 0) == 0 && !is_open(40) && is_open(0) ? 0 : 2;
}

static void close_from_keeps_what_is_listed(void **state)
{
	assert_int_equal(in_child(close_some), 0);
}

/* Rotates three descriptors within the target range. */
static int move_overlapping(void)
{
	int fds[3], i;
	char text[2];

	for (i = 0; i < 3; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0 || write(p[1], &"abc"[i], 1) != 1)
			return 1;
		dup2(p[0], 50 + (i + 1) % 3);
		fds[i] = 50 + (i + 1) % 3;
	}
	if (fd_move_to(fds, 3, 50) < 0)
		return 2;
	for (i = 0; i < 3; i++)
		if (read(50 + i, text, 1) != 1 || text[0] != "abc"[i] ||
		    fcntl(50 + i, F_GETFD) != 0)
			return 3;
	return 0;
}

static void move_to_copes_with_overlap(void **state)
{
	assert_int_equal(in_child(move_overlapping), 0);
}

static int move_to_its_place(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 60);

	return fd_move_to(&fd, 1, fd) == 0 && fcntl(fd, F_GETFD) == 0 ? 0 : 1;
}

static void move_to_clears_cloexec_also_in_place(void **state)
{
	assert_int_equal(in_child(move_to_its_place), 0);
}

static void move_to_refuses_what_it_must(void **state)
{
	int fds[FD_MOVE_MAX + 1] = { 0 }, bad = 999;

	assert_int_equal(fd_move_to(fds, FD_MOVE_MAX + 1, 100), -EINVAL);
	assert_int_equal(fd_move_to(fds, 1, -1), -EINVAL);
	assert_int_equal(fd_move_to(&bad, 1, 100), -EBADF);
}

static void make_pair(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void descriptors_pass_with_data(void **state)
{
	int pair[2], p[2], got[2] = { -1, -1 };
	size_t n_fds = 99;
	char text[8];

	make_pair(pair);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(fd_send(pair[0], "hey", 3, p, 2), 0);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, 2, &n_fds), 3);
	assert_int_equal(n_fds, 2);
	assert_memory_equal(text, "hey", 3);
	assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(got[1], "z", 1), 1);
	assert_int_equal(read(p[0], text, 1), 1);
	close(got[0]);
	close(got[1]);
	/* Data alone, and the end. */
	assert_int_equal(fd_send(pair[0], "x", 1, NULL, 0), 0);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, 0, &n_fds), 1);
	assert_int_equal(n_fds, 0);
	close(pair[0]);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, 2, &n_fds), 0);
	close(pair[1]);
	close(p[0]);
	close(p[1]);
}

/* Leaks would show in the teardown. */
static void more_descriptors_than_wanted_are_closed(void **state)
{
	int fds[FD_PASS_MAX], got[FD_PASS_MAX], pair[2], i;
	size_t n_fds = 7;
	char text[8];

	make_pair(pair);
	for (i = 0; i < FD_PASS_MAX; i++)
		fds[i] = pair[0];
	assert_int_equal(fd_send(pair[0], "x", 1, fds, 3), 0);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, 2, &n_fds), -E2BIG);
	assert_int_equal(fd_send(pair[0], "x", 1, fds, FD_PASS_MAX), 0);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, 0, &n_fds), -E2BIG);
	assert_int_equal(n_fds, 7);
	assert_int_equal(fd_send(pair[0], "x", 1, fds, FD_PASS_MAX), 0);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, FD_PASS_MAX, &n_fds), 1);
	assert_int_equal(n_fds, FD_PASS_MAX);
	for (i = 0; i < FD_PASS_MAX; i++)
		close(got[i]);
	close(pair[0]);
	close(pair[1]);
}

/* A peer that does not use fd_send, and sends more than one control buffer of ours holds. */
static void more_descriptors_than_any_message_of_ours_are_closed(void **state)
{
	enum { COUNT = 100 };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int) * COUNT)];
	} control;
	struct iovec iov = { .iov_base = (char *)"x", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int pair[2], got[FD_PASS_MAX], fds[COUNT], i;
	size_t n_fds;
	char text[8];

	make_pair(pair);
	for (i = 0; i < COUNT; i++)
		fds[i] = pair[0];
	memset(&control, 0, sizeof(control));
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
	assert_int_equal(fd_receive(pair[1], text, sizeof(text), got, FD_PASS_MAX, &n_fds), -E2BIG);
	close(pair[0]);
	close(pair[1]);
}

static void send_and_receive_report_errors(void **state)
{
	int pair[2], fds[FD_PASS_MAX + 1] = { 0 };
	size_t n_fds;
	char text[8];

	make_pair(pair);
	assert_int_equal(fd_send(pair[0], "", 0, NULL, 0), -EINVAL);
	assert_int_equal(fd_send(pair[0], "x", 1, fds, FD_PASS_MAX + 1), -EINVAL);
	assert_int_equal(fd_receive(pair[0], text, sizeof(text), fds, FD_PASS_MAX + 1, &n_fds),
			 -EINVAL);
	assert_int_equal(fd_set_nonblock(pair[0], true), 0);
	assert_int_equal(fd_receive(pair[0], text, sizeof(text), fds, 0, &n_fds), -EAGAIN);
	close(pair[1]);
	assert_int_equal(fd_send(pair[0], "x", 1, NULL, 0), -EPIPE); /* and no SIGPIPE */
	close(pair[0]);
	assert_int_equal(fd_receive(pair[0], text, sizeof(text), fds, 0, &n_fds), -EBADF);
}

static int null_stdio(void)
{
	struct stat null, st;
	int i;

	if (stat("/dev/null", &null) < 0 || fd_null_stdio() < 0)
		return 10;
	for (i = 0; i <= 2; i++)
		if (fstat(i, &st) < 0 || st.st_rdev != null.st_rdev || fcntl(i, F_GETFD) != 0)
			return 11 + i;
	return 0;
}

static int null_stdio_closed_before(void)
{
	close(0);
	close(1);
	close(2);
	return null_stdio();
}

static void null_stdio_replaces_all_three(void **state)
{
	assert_int_equal(in_child(null_stdio), 0);
	assert_int_equal(in_child(null_stdio_closed_before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(flags_are_set_and_cleared),
		leak_checked(close_from_keeps_what_is_listed),
		leak_checked(move_to_copes_with_overlap),
		leak_checked(move_to_clears_cloexec_also_in_place),
		leak_checked(move_to_refuses_what_it_must),
		leak_checked(descriptors_pass_with_data),
		leak_checked(more_descriptors_than_wanted_are_closed),
		leak_checked(more_descriptors_than_any_message_of_ours_are_closed),
		leak_checked(send_and_receive_report_errors),
		leak_checked(null_stdio_replaces_all_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
