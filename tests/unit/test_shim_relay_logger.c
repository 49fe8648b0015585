/* SPDX-License-Identifier: Apache-2.0 */
/* Output that goes to a file, or to a program that logs it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "common/path.h"
#include "shim/relay_logger.h"
#include "tests/unit/check_leaks.h"

#define TEXT_MAX 4096
/* Longer than this is a hang. */
#define LIMIT_MS 200000

struct place {
	char dir[64];
	char script[96]; /* path of a program */
	char uri[256];
	char report[96]; /* FIFO that the program writes to */
	int report_fd;
};

static const struct relay_logger_place nowhere = { .id = "c1", .namespace = "space", .netns_fd = -EBADF };

static void place_begin(struct place *p)
{
	signal(SIGPIPE, SIG_IGN);
	strcpy(p->dir, "/tmp/onggi-logger-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->report, sizeof(p->report), "%s/report", p->dir);
	assert_int_equal(mkfifo(p->report, 0600), 0);
	p->report_fd = open(p->report, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(p->report_fd >= 0);
	snprintf(p->script, sizeof(p->script), "%s/logger", p->dir);
}

static void place_end(struct place *p)
{
	close(p->report_fd);
	assert_int_equal(path_remove_tree(AT_FDCWD, p->dir), 0);
}

/* A program whose output goes to the report, with @query in its URI. */
static void write_logger(struct place *p, const char *commands, const char *query)
{
	char text[1024];

	snprintf(text, sizeof(text), "#!/bin/sh\nexec >%s\n%s\n", p->report, commands);
	assert_int_equal(io_replace_file(AT_FDCWD, p->script, text, strlen(text), 0755), 0);
	snprintf(p->uri, sizeof(p->uri), "binary://%s%s", p->script, query);
}

/* All of the report, to its end. */
static void read_report(struct place *p, char text[TEXT_MAX])
{
	struct pollfd wait = { .fd = p->report_fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	/* Nobody has opened it yet: no event. Then data, and the end. */
	for (;;) {
		assert_int_equal(poll(&wait, 1, LIMIT_MS), 1);
		n = read(p->report_fd, text + len, TEXT_MAX - 1 - len);
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
}

static void start(struct place *p, int *ret_out, int *ret_err)
{
	struct err err = ERR_INIT;
	int r = relay_start_logger(p->uri, &nowhere, ret_out, ret_err, &err);

	if (r < 0)
		fail_msg("%s", err.text);
}

static void say(int fd, const char *text)
{
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

/* ---- file:// ---- */

static void file_is_appended_to_and_made_with_its_folders(void **state)
{
	char uri[160], *text = NULL;
	struct err err = ERR_INIT;
	struct place p;
	struct stat st;
	int fd;

	place_begin(&p);
	snprintf(uri, sizeof(uri), "file://%s/new/folder/log", p.dir);
	for (int i = 0; i < 2; i++) {
		fd = relay_open_file(uri, &err);
		assert_true(fd >= 0);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		say(fd, i ? "two\n" : "one\n");
		close(fd);
	}
	assert_int_equal(io_read_file(AT_FDCWD, uri + strlen("file://"), 100, &text, NULL), 0);
	assert_string_equal(text, "one\ntwo\n");
	assert_int_equal(stat(uri + strlen("file://"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	free(text);
	place_end(&p);
}

static void file_that_cannot_be_opened_is_named(void **state)
{
	struct err err = ERR_INIT;
	char uri[160];
	struct place p;

	place_begin(&p);
	assert_int_equal(relay_open_file("file://relative", &err), -EINVAL);
	assert_non_null(strstr(err.text, "absolute"));
	snprintf(uri, sizeof(uri), "file://%s", p.dir);
	assert_int_equal(relay_open_file(uri, &err), -EISDIR);
	assert_non_null(strstr(err.text, p.dir));
	snprintf(uri, sizeof(uri), "file://%s/report/log", p.dir);
	assert_int_equal(relay_open_file(uri, &err), -ENOTDIR);
	assert_non_null(strstr(err.text, "report"));
	place_end(&p);
}

/* Nobody reads: the monitor must not wait for it. */
static void fifo_without_a_reader_is_refused(void **state)
{
	struct err err = ERR_INIT;
	char path[96], uri[160];
	struct place p;

	place_begin(&p);
	snprintf(path, sizeof(path), "%s/unread", p.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(uri, sizeof(uri), "file://%s", path);
	assert_int_equal(relay_open_file(uri, &err), -ENXIO);
	place_end(&p);
}

/* ---- binary:// ---- */

static void logger_gets_arguments_environment_and_both_outputs(void **state)
{
	char text[TEXT_MAX];
	struct place p;
	int out, err;

	place_begin(&p);
	write_logger(&p, "printf '%s|' \"$@\" \"$CONTAINER_ID\" \"$CONTAINER_NAMESPACE\"; cat <&3; cat <&4",
		     "?key=a%20value&empty=&plus=1+2&odd=%zz&flag");
	start(&p, &out, &err);
	assert_true(fcntl(out, F_GETFD) & FD_CLOEXEC && fcntl(out, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(err, F_GETFD) & FD_CLOEXEC && fcntl(err, F_GETFL) & O_NONBLOCK);
	say(out, "out\n");
	say(err, "err\n");
	close(out);
	close(err);
	read_report(&p, text);
	assert_string_equal(text, "key|a value|empty|plus|1 2|odd|%zz|flag|c1|space|out\nerr\n");
	place_end(&p);
}

static void logger_has_no_other_descriptors_and_is_nobody_s_child(void **state)
{
	char text[TEXT_MAX];
	struct place p;
	int out, err;

	place_begin(&p);
	/* The shell's own ones are above 9. */
	write_logger(&p, "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done;"
			 "readlink /proc/$$/fd/0; cat <&3", "");
	start(&p, &out, &err);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	close(out);
	close(err);
	read_report(&p, text);
	assert_string_equal(text, "0\n1\n2\n3\n4\n5\n/dev/null\n");
	place_end(&p);
}

static void logger_that_ends_leaves_a_broken_pipe(void **state)
{
	char text[TEXT_MAX];
	struct place p;
	int out, err;

	place_begin(&p);
	write_logger(&p, "exit 0", "");
	start(&p, &out, &err);
	read_report(&p, text);
	/* The report's end is closed some time before the process is over. */
	assert_int_equal(poll(&(struct pollfd){ .fd = out, .events = 0 }, 1, LIMIT_MS), 1);
	assert_int_equal(write(out, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(out);
	close(err);
	place_end(&p);
}

static void assert_refused(const char *uri, int code, const char *text)
{
	struct err err = ERR_INIT;
	int out = -7, error = -7;

	assert_int_equal(relay_start_logger(uri, &nowhere, &out, &error, &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, text))
		fail_msg("'%s' is not in '%s'", text, err.text);
	/* Engines take these words for those about a container's program. */
	assert_null(strstr(err.text, "No such file"));
	assert_int_equal(out, -7);
	assert_int_equal(error, -7);
}

static void logger_that_cannot_run_is_named(void **state)
{
	char many[2048] = "binary:///bin/true?", *end = many + strlen(many);
	struct place p;

	place_begin(&p);
	assert_refused("binary:///no/such/logger?x=y", -ENOENT, "'/no/such/logger'");
	assert_refused("binary://relative", -EINVAL, "absolute");
	assert_refused("binary://", -EINVAL, "absolute");
	write_logger(&p, "exit 0", "");
	assert_int_equal(chmod(p.script, 0644), 0);
	assert_refused(p.uri, -EACCES, p.script);
	for (int i = 0; i <= RELAY_LOGGER_ARGS_MAX; i++)
		end += sprintf(end, "a%d=1&", i);
	assert_refused(many, -E2BIG, "/bin/true");
	place_end(&p);
}

static void logger_takes_as_many_arguments_as_are_promised(void **state)
{
	char query[2048] = "?", *end = query + 1, text[TEXT_MAX];
	struct place p;
	int out, err;

	place_begin(&p);
	for (int i = 0; i < RELAY_LOGGER_ARGS_MAX; i++)
		end += sprintf(end, "a=1&");
	write_logger(&p, "echo $#; cat <&3", "");
	assert_true(strlen(p.uri) + strlen(query) < sizeof(query));
	memmove(query + strlen(p.uri), query, strlen(query) + 1);
	memcpy(query, p.uri, strlen(p.uri));
	assert_int_equal(relay_start_logger(query, &nowhere, &out, &err, NULL), 0);
	close(out);
	close(err);
	read_report(&p, text);
	assert_int_equal(atoi(text), 2 * RELAY_LOGGER_ARGS_MAX);
	place_end(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		leak_checked(file_is_appended_to_and_made_with_its_folders),
		leak_checked(file_that_cannot_be_opened_is_named),
		leak_checked(fifo_without_a_reader_is_refused),
		leak_checked(logger_gets_arguments_environment_and_both_outputs),
		leak_checked(logger_has_no_other_descriptors_and_is_nobody_s_child),
		leak_checked(logger_that_ends_leaves_a_broken_pipe),
		leak_checked(logger_that_cannot_run_is_named),
		leak_checked(logger_takes_as_many_arguments_as_are_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
