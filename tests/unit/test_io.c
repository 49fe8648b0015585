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
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/path.h"
#include "tests/unit/check_leaks.h"

static int memory_file(const char *text, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void write_all_and_read_full_pass_more_than_a_pipe_holds(void **state)
{
	const size_t len = 1000000;
	_cleanup_free_ char *in = malloc(len);
	_cleanup_free_ char *out = calloc(1, len + 1);
	int fds[2], status;
	size_t i;
	pid_t pid;

	for (i = 0; i < len; i++)
		in[i] = (char)(i * 31);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		_exit(io_write_all(fds[1], in, len) == 0 ? 0 : 1);
	close(fds[1]);
	assert_int_equal(io_read_full(fds[0], out, len + 1), len);
	assert_memory_equal(in, out, len);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void write_all_reports_errors(void **state)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	assert_int_equal(io_write_all(fds[1], "x", 1), -EPIPE);
	close(fds[1]);
	assert_int_equal(io_write_all(fds[1], "x", 1), -EBADF);
	assert_int_equal(io_write_all(-1, "", 0), 0);
	signal(SIGPIPE, SIG_DFL);
}

static void read_full_stops_at_the_end(void **state)
{
	int fd = memory_file("abc", 3);
	char text[8];

	assert_int_equal(io_read_full(fd, text, 2), 2);
	assert_int_equal(io_read_full(fd, text, 8), 1);
	assert_int_equal(io_read_full(fd, text, 8), 0);
	close(fd);
	assert_int_equal(io_read_full(fd, text, 8), -EBADF);
}

static void read_fd_takes_exactly_the_bound(void **state)
{
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 10000 };
	size_t i, len;
	char *text, *data;
	int fd;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		text = malloc(sizes[i] + 1);
		memset(text, 'x', sizes[i]);
		fd = memory_file(text, sizes[i]);
		assert_int_equal(io_read_fd(fd, sizes[i], &data, &len), 0);
		assert_int_equal(len, sizes[i]);
		assert_memory_equal(data, text, sizes[i]);
		assert_int_equal(data[len], '\0');
		free(data);
		data = NULL;
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		if (sizes[i] > 0)
			assert_int_equal(io_read_fd(fd, sizes[i] - 1, &data, &len), -EFBIG);
		assert_null(data);
		close(fd);
		free(text);
	}
}

static void endless_files_are_bounded(void **state)
{
	char *data = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, "/dev/zero", 100000, &data, NULL), -EFBIG);
	assert_null(data);
}

static void read_file_reads_what_stat_calls_empty(void **state)
{
	char *data;
	size_t len;

	assert_int_equal(io_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, &len), 0);
	assert_true(len > 100);
	free(data);
	assert_int_equal(io_read_file(AT_FDCWD, "/nonexistent", 10, &data, &len), -ENOENT);
	assert_int_equal(io_read_file(AT_FDCWD, "/proc", 10, &data, &len), -EISDIR);
	assert_int_equal(io_read_fd(0, SIZE_MAX, &data, &len), -EINVAL);
}

struct folder {
	char path[64];
	int fd;
};

static void folder_make(struct folder *f)
{
	strcpy(f->path, "/tmp/onggi-io-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->fd >= 0);
}

static size_t folder_entries(const struct folder *f)
{
	DIR *dir = opendir(f->path);
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void folder_end(struct folder *f)
{
	close(f->fd);
	assert_int_equal(path_remove_tree(AT_FDCWD, f->path), 0);
}

static void write_file_creates_nothing(void **state)
{
	struct folder f;

	folder_make(&f);
	assert_int_equal(io_write_file(f.fd, "missing", "x", 1), -ENOENT);
	assert_int_equal(folder_entries(&f), 0);
	assert_int_equal(io_replace_file(f.fd, "there", "old", 3, 0600), 0);
	assert_int_equal(io_write_file(f.fd, "there", "n", 1), 0);
	folder_end(&f);
	assert_int_equal(io_write_file(AT_FDCWD, "/dev/full", "x", 1), -ENOSPC);
}

static void replace_file_sets_text_and_mode_exactly(void **state)
{
	struct folder f;
	struct stat st;
	mode_t before = umask(077);
	char *data;

	folder_make(&f);
	assert_int_equal(io_replace_file(f.fd, "file", "first", 5, 0644), 0);
	assert_int_equal(io_replace_file(f.fd, "file", "second one", 10, 0664), 0);
	umask(before);
	assert_int_equal(io_read_file(f.fd, "file", 100, &data, NULL), 0);
	assert_string_equal(data, "second one");
	free(data);
	assert_int_equal(fstatat(f.fd, "file", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0664);
	assert_int_equal(folder_entries(&f), 1);
	folder_end(&f);
}

static void replace_file_replaces_a_link_not_its_target(void **state)
{
	struct folder f;
	char *data;

	folder_make(&f);
	assert_int_equal(io_replace_file(f.fd, "target", "kept", 4, 0600), 0);
	assert_int_equal(symlinkat("target", f.fd, "link"), 0);
	assert_int_equal(io_replace_file(f.fd, "link", "new", 3, 0600), 0);
	assert_int_equal(io_read_file(f.fd, "target", 100, &data, NULL), 0);
	assert_string_equal(data, "kept");
	free(data);
	folder_end(&f);
}

static void replace_file_that_fails_leaves_nothing(void **state)
{
	struct folder f;
	char *data;

	folder_make(&f);
	assert_int_equal(mkdirat(f.fd, "dir", 0700), 0);
	assert_int_equal(io_replace_file(f.fd, "dir", "x", 1, 0600), -EISDIR);
	assert_int_equal(io_replace_file(f.fd, "missing/file", "x", 1, 0600), -ENOENT);
	assert_int_equal(folder_entries(&f), 1);
	assert_int_equal(io_read_file(f.fd, "file", 100, &data, NULL), -ENOENT);
	folder_end(&f);
}

static void numbers_are_parsed_whole_or_not_at_all(void **state)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "+1", "-1", "0x1", "1a", "1.0", "a", "\n"
	};
	uint64_t n = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (io_parse_u64(bad[i], UINT64_MAX, &n) != -EINVAL)
			fail_msg("accepted: '%s'", bad[i]);
	assert_int_equal(io_parse_u64(NULL, 1, &n), -EINVAL);
	assert_int_equal(io_parse_u64("18446744073709551616", UINT64_MAX, &n), -ERANGE);
	assert_int_equal(io_parse_u64("99999999999999999999999", UINT64_MAX, &n), -ERANGE);
	assert_int_equal(io_parse_u64("11", 10, &n), -ERANGE);
	assert_int_equal(n, 77);
	assert_int_equal(io_parse_u64("18446744073709551615", UINT64_MAX, &n), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(io_parse_u64("0010", 10, &n), 0);
	assert_int_equal(n, 10);
	/* A letter after too many digits is no number either. */
	assert_int_equal(io_parse_u64("99999999999999999999999x", UINT64_MAX, &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(write_all_and_read_full_pass_more_than_a_pipe_holds),
		leak_checked(write_all_reports_errors),
		leak_checked(read_full_stops_at_the_end),
		leak_checked(read_fd_takes_exactly_the_bound),
		leak_checked(endless_files_are_bounded),
		leak_checked(read_file_reads_what_stat_calls_empty),
		leak_checked(write_file_creates_nothing),
		leak_checked(replace_file_sets_text_and_mode_exactly),
		leak_checked(replace_file_replaces_a_link_not_its_target),
		leak_checked(replace_file_that_fails_leaves_nothing),
		leak_checked(numbers_are_parsed_whole_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
