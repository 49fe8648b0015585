/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/reaper.h"

static struct loop *loop;
static struct reaper *reaper;

static int setup(void **state)
{
	return loop_create(&loop) < 0 || reaper_create(loop, &reaper) < 0;
}

static int teardown(void **state)
{
	reaper_destroy(reaper);
	loop_destroy(loop);
	return 0;
}

struct end {
	unsigned int n;
	int status;
};

static void on_end(pid_t pid, int status, void *userdata)
{
	struct end *end = userdata;

	end->n++;
	end->status = status;
}

static pid_t spawn(int code)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(code);
	assert_true(pid > 0);
	return pid;
}

static void run_until(const unsigned int *n, unsigned int want)
{
	while (*n < want)
		assert_int_equal(loop_run_once(loop), 0);
}

static void watched_child_is_told_with_its_status(void **state)
{
	struct end end = { 0 };
	pid_t pid = spawn(7);

	assert_int_equal(reaper_watch(reaper, pid, on_end, &end), 0);
	assert_int_equal(reaper_watch(reaper, pid, on_end, &end), -EEXIST);
	run_until(&end.n, 1);
	assert_int_equal(WEXITSTATUS(end.status), 7);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* it was reaped */
}

static void more_children_than_one_batch_are_all_told(void **state)
{
	struct end end = { 0 };

	for (unsigned int i = 0; i < 2 * REAPER_BATCH_MAX + 3; i++)
		assert_int_equal(reaper_watch(reaper, spawn(0), on_end, &end), 0);
	run_until(&end.n, 2 * REAPER_BATCH_MAX + 3);
}

static void orphans_and_forgotten_children_vanish(void **state)
{
	struct end forgotten = { 0 }, last = { 0 };
	int fds[2];
	char byte;
	pid_t pid;

	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0)
			_exit(0); /* an orphan: ends and becomes ours */
		_exit(0);
	}
	assert_int_equal(reaper_watch(reaper, pid, on_end, &forgotten), 0);
	reaper_forget(reaper, pid);
	reaper_forget(reaper, pid);
	close(fds[1]);
	/* End of file: child and grandchild are dead. */
	assert_int_equal(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	assert_int_equal(reaper_watch(reaper, spawn(0), on_end, &last), 0);
	run_until(&last.n, 1);
	while (waitpid(-1, NULL, WNOHANG) == 0)
		assert_int_equal(loop_run_once(loop), 0);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(forgotten.n, 0);
}

static void watch_again(pid_t pid, int status, void *userdata)
{
	on_end(pid, status, userdata);
	if (((struct end *)userdata)->n < 3)
		assert_int_equal(reaper_watch(reaper, spawn(0), watch_again, userdata), 0);
}

static void callback_may_watch_another(void **state)
{
	struct end end = { 0 };

	assert_int_equal(reaper_watch(reaper, spawn(0), watch_again, &end), 0);
	run_until(&end.n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(watched_child_is_told_with_its_status, setup, teardown),
		cmocka_unit_test_setup_teardown(more_children_than_one_batch_are_all_told, setup, teardown),
		cmocka_unit_test_setup_teardown(orphans_and_forgotten_children_vanish, setup, teardown),
		cmocka_unit_test_setup_teardown(callback_may_watch_another, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
