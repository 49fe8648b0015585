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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/loop.h"
#include "tests/unit/check_leaks.h"

/* Above what the kernel gives to anybody (PID_MAX_LIMIT). */
#define PID_NEVER 0x400001

struct seen {
	struct loop *loop;
	struct loop_source *source, *other;
	unsigned int calls, other_calls, depth, max_depth;
	int fd, status, signo;
	unsigned int events;
	pid_t pid;
};

static void start(struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	assert_int_equal(loop_create(&seen->loop), 0);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void on_fd(int fd, unsigned int events, void *userdata)
{
	struct seen *seen = userdata;

	seen->fd = fd;
	seen->events = events;
	seen->calls++;
}

static void on_timer(void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
}

static void on_timer_stop(void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
	loop_stop(seen->loop);
}

static void empty_loop_says_so(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(loop_run_once(seen.loop), -EDEADLK);
	loop_destroy(seen.loop);
	loop_destroy(NULL);
}

static void stop_before_run_counts(void **state)
{
	struct seen seen;

	start(&seen);
	loop_stop(seen.loop);
	assert_int_equal(loop_run(seen.loop), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	loop_destroy(seen.loop);
}

static void readable_fd_is_reported_until_read(void **state)
{
	struct seen seen;
	int fds[2];

	start(&seen);
	make_pipe(fds);
	assert_int_equal(loop_add_fd(seen.loop, fds[0], LOOP_READ, on_fd, &seen, &seen.source), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.fd, fds[0]);
	assert_int_equal(seen.events, LOOP_READ);
	loop_source_destroy(seen.source);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(seen.loop);
}

static void hang_up_is_reported_as_readable(void **state)
{
	struct seen seen;
	int fds[2];

	start(&seen);
	make_pipe(fds);
	assert_int_equal(loop_add_fd(seen.loop, fds[0], LOOP_READ, on_fd, &seen, &seen.source), 0);
	close(fds[1]);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.events, LOOP_READ);
	loop_source_destroy(seen.source);
	close(fds[0]);
	loop_destroy(seen.loop);
}

static void source_asleep_reports_nothing_until_woken(void **state)
{
	struct seen seen, timer;
	int fds[2];

	start(&seen);
	timer = seen;
	make_pipe(fds);
	assert_int_equal(loop_add_fd(seen.loop, fds[1], 0, on_fd, &seen, &seen.source), 0);
	assert_int_equal(loop_add_timer(seen.loop, 20, on_timer_stop, &timer, &timer.source), 0);
	assert_int_equal(loop_run(seen.loop), 0);
	assert_int_equal(seen.calls, 0);
	assert_int_equal(loop_source_set_events(seen.source, LOOP_WRITE), 0);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.events, LOOP_WRITE);
	assert_int_equal(loop_source_set_events(seen.source, 0), 0);
	assert_int_equal(loop_run_once(seen.loop), -EDEADLK);
	loop_source_destroy(seen.source);
	loop_source_destroy(timer.source);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(seen.loop);
}

static void fds_that_cannot_be_watched_are_refused(void **state)
{
	struct loop_source *source = NULL;
	struct seen seen;
	int fd;

	start(&seen);
	fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(loop_add_fd(seen.loop, fd, LOOP_READ, on_fd, &seen, &source), -EPERM);
	assert_int_equal(loop_add_fd(seen.loop, -1, LOOP_READ, on_fd, &seen, &source), -EBADF);
	assert_null(source);
	close(fd);
	loop_destroy(seen.loop);
}

static void on_fd_destroy_both(int fd, unsigned int events, void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
	loop_source_destroy(seen->source);
	loop_source_destroy(seen->other);
	seen->source = seen->other = NULL;
}

/* Both are ready; whichever runs first takes the other along, which must not run any more. */
static void callback_may_destroy_itself_and_others_that_are_ready(void **state)
{
	struct seen seen;
	int fds[2];

	start(&seen);
	make_pipe(fds);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(
		loop_add_fd(seen.loop, fds[0], LOOP_READ, on_fd_destroy_both, &seen, &seen.source),
		0);
	assert_int_equal(
		loop_add_fd(seen.loop, fds[1], LOOP_WRITE, on_fd_destroy_both, &seen, &seen.other),
		0);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(loop_run_once(seen.loop), -EDEADLK);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(seen.loop);
}

static void on_fd_put_other_to_sleep(int fd, unsigned int events, void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
	loop_source_set_events(seen->source, 0);
	loop_source_set_events(seen->other, 0);
}

static void source_put_to_sleep_in_the_same_round_does_not_run(void **state)
{
	struct seen seen;
	int fds[2];

	start(&seen);
	make_pipe(fds);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(loop_add_fd(seen.loop, fds[0], LOOP_READ, on_fd_put_other_to_sleep, &seen,
				     &seen.source),
			 0);
	assert_int_equal(loop_add_fd(seen.loop, fds[1], LOOP_WRITE, on_fd_put_other_to_sleep, &seen,
				     &seen.other),
			 0);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	loop_source_destroy(seen.source);
	loop_source_destroy(seen.other);
	close(fds[0]);
	close(fds[1]);
	loop_destroy(seen.loop);
}

static void timer_fires_once_and_not_early(void **state)
{
	uint64_t before = now_ms();
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_add_timer(seen.loop, 50, on_timer, &seen, &seen.source), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	assert_true(now_ms() - before >= 49);
	loop_source_destroy(seen.source);
	loop_destroy(seen.loop);
}

static void timer_can_be_rearmed_and_disarmed(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_add_timer(seen.loop, 3600000, on_timer, &seen, &seen.source), 0);
	assert_int_equal(loop_timer_set(seen.source, 0), 0);
	assert_int_equal(loop_run_once(seen.loop), 0);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(loop_timer_set(seen.source, 0), 0);
	assert_int_equal(loop_timer_disarm(seen.source), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	loop_source_destroy(seen.source);
	loop_destroy(seen.loop);
}

static void on_timer_disarm_other(void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
	loop_timer_disarm(seen->source);
	loop_timer_disarm(seen->other);
}

static void timer_disarmed_in_the_same_round_does_not_fire(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_add_timer(seen.loop, 0, on_timer_disarm_other, &seen, &seen.source),
			 0);
	assert_int_equal(loop_add_timer(seen.loop, 0, on_timer_disarm_other, &seen, &seen.other),
			 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	loop_source_destroy(seen.source);
	loop_source_destroy(seen.other);
	loop_destroy(seen.loop);
}

static void on_timer_run_again(void *userdata)
{
	struct seen *seen = userdata;

	seen->calls++;
	while (seen->other_calls == 0)
		assert_int_equal(loop_run_once(seen->loop), 0);
}

static void on_other(void *userdata)
{
	((struct seen *)userdata)->other_calls++;
}

static void callback_may_run_the_loop(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_add_timer(seen.loop, 0, on_timer_run_again, &seen, &seen.source), 0);
	assert_int_equal(loop_add_timer(seen.loop, 20, on_other, &seen, &seen.other), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.other_calls, 1);
	loop_source_destroy(seen.source);
	loop_source_destroy(seen.other);
	loop_destroy(seen.loop);
}

static void on_signal(const struct signalfd_siginfo *info, void *userdata)
{
	struct seen *seen = userdata;

	seen->signo = (int)info->ssi_signo;
	seen->pid = (pid_t)info->ssi_pid;
	seen->calls++;
	loop_stop(seen->loop);
}

static void signal_arrives_as_an_event(void **state)
{
	struct seen seen;
	sigset_t before;

	sigprocmask(SIG_BLOCK, NULL, &before);
	start(&seen);
	assert_int_equal(loop_add_signal(seen.loop, SIGUSR1, on_signal, &seen, &seen.source), 0);
	assert_int_equal(kill(getpid(), SIGUSR1), 0);
	assert_int_equal(loop_run(seen.loop), 0);
	assert_int_equal(seen.signo, SIGUSR1);
	assert_int_equal(seen.pid, getpid());
	loop_source_destroy(seen.source);
	assert_int_equal(loop_add_signal(seen.loop, 12345, on_signal, &seen, &seen.source),
			 -EINVAL);
	loop_destroy(seen.loop);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void on_child(pid_t pid, int status, void *userdata)
{
	struct seen *seen = userdata;

	seen->pid = pid;
	seen->status = status;
	seen->calls++;
}

static pid_t fork_exit(int code, int signo)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (signo)
			raise(signo);
		_exit(code);
	}
	assert_true(pid > 0);
	return pid;
}

static void end_of_child_is_told_once_and_reaped(void **state)
{
	struct seen seen;
	pid_t pid;

	start(&seen);
	pid = fork_exit(42, 0);
	assert_int_equal(loop_add_child(seen.loop, pid, on_child, &seen, &seen.source), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.pid, pid);
	assert_true(WIFEXITED(seen.status));
	assert_int_equal(WEXITSTATUS(seen.status), 42);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* it was reaped */
	loop_source_destroy(seen.source);
	loop_destroy(seen.loop);
}

static void child_killed_by_a_signal_says_which(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(
		loop_add_child(seen.loop, fork_exit(0, SIGKILL), on_child, &seen, &seen.source), 0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_true(WIFSIGNALED(seen.status));
	assert_int_equal(WTERMSIG(seen.status), SIGKILL);
	loop_source_destroy(seen.source);
	loop_destroy(seen.loop);
}

static void on_child_destroy(pid_t pid, int status, void *userdata)
{
	struct seen *seen = userdata;

	loop_source_destroy(seen->source);
	seen->source = NULL;
	seen->calls++;
}

static void child_source_may_be_destroyed_in_its_callback(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(
		loop_add_child(seen.loop, fork_exit(0, 0), on_child_destroy, &seen, &seen.source),
		0);
	assert_int_equal(loop_run(seen.loop), -EDEADLK);
	assert_int_equal(seen.calls, 1);
	loop_destroy(seen.loop);
}

static void process_that_does_not_exist_is_refused(void **state)
{
	struct seen seen;

	start(&seen);
	assert_int_equal(loop_add_child(seen.loop, PID_NEVER, on_child, &seen, &seen.source), -ESRCH);
	loop_destroy(seen.loop);
}

static void child_reset_gives_signals_back(void **state)
{
	sigset_t all, mask;
	int status, signo;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		struct sigaction action;

		signal(SIGPIPE, SIG_IGN);
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
		loop_child_reset();
		sigprocmask(SIG_BLOCK, NULL, &mask);
		for (signo = 1; signo < NSIG; signo++)
			if (sigismember(&mask, signo) == 1)
				_exit(signo);
		sigaction(SIGPIPE, NULL, &action);
		_exit(action.sa_handler == SIG_DFL ? 0 : 100);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(empty_loop_says_so),
		leak_checked(stop_before_run_counts),
		leak_checked(readable_fd_is_reported_until_read),
		leak_checked(hang_up_is_reported_as_readable),
		leak_checked(source_asleep_reports_nothing_until_woken),
		leak_checked(fds_that_cannot_be_watched_are_refused),
		leak_checked(callback_may_destroy_itself_and_others_that_are_ready),
		leak_checked(source_put_to_sleep_in_the_same_round_does_not_run),
		leak_checked(timer_fires_once_and_not_early),
		leak_checked(timer_can_be_rearmed_and_disarmed),
		leak_checked(timer_disarmed_in_the_same_round_does_not_fire),
		leak_checked(callback_may_run_the_loop),
		leak_checked(signal_arrives_as_an_event),
		leak_checked(end_of_child_is_told_once_and_reaped),
		leak_checked(child_killed_by_a_signal_says_which),
		leak_checked(child_source_may_be_destroyed_in_its_callback),
		leak_checked(process_that_does_not_exist_is_refused),
		leak_checked(child_reset_gives_signals_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
