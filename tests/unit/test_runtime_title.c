/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "shim/runtime/title.h"
#include "tests/unit/check_leaks.h"

static const char *longest[3];

/* In a child, so that the test keeps its own title. Returns the child's exit code. */
static int in_child(int (*look)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(look());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool cmdline_is(const char *want, size_t want_len)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	return io_read_file(AT_FDCWD, "/proc/self/cmdline", 65536, &text, &len) == 0 &&
	       len == want_len && !memcmp(text, want, len);
}

static int look_at_short(void)
{
	static const char want[] = "jar:\0sh\0-c\0echo ) 1 2";
	const char *const args[] = { "sh", "-c", "echo ) 1 2", NULL };
	char *home = getenv("PATH");

	if (title_set("jar:", (char *const *)args, NULL) < 0)
		return 1;
	if (!cmdline_is(want, sizeof(want)))
		return 2;
	/* What else the kernel knows of the process' memory is as it was. */
	if (!home || getenv("PATH") != home )
		return 3;
	return title_set("again", (char *const *)args + 3, NULL) < 0 || !cmdline_is("again", 6);
}

static void title_replaces_the_arguments(void **state)
{
	assert_int_equal(in_child(look_at_short), 0);
}

static int look_at_long(void)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (title_set("jar:", (char *const *)longest, NULL) < 0 ||
	    io_read_file(AT_FDCWD, "/proc/self/cmdline", 65536, &text, &len) < 0)
		return 1;
	return len != TITLE_BYTES_MAX || text[len - 1] != '\0';
}

static void title_longer_than_a_page_is_cut(void **state)
{
	_cleanup_free_ char *word = malloc(2 * TITLE_BYTES_MAX);

	assert_non_null(word);
	memset(word, 'x', 2 * TITLE_BYTES_MAX - 1);
	word[2 * TITLE_BYTES_MAX - 1] = '\0';
	longest[0] = word;
	longest[1] = "more";
	assert_int_equal(in_child(look_at_long), 0);
	/* Just as long as the page: "jar:" and the word, each with its NUL. */
	word[TITLE_BYTES_MAX - 6] = '\0';
	assert_int_equal(in_child(look_at_long), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(title_replaces_the_arguments),
		leak_checked(title_longer_than_a_page_is_cut),
	};

	return cmocka_run_group_tests_name("runtime_title", tests, NULL, NULL);
}
