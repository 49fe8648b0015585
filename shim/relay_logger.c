/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/relay_logger.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "common/fd.h"
#include "common/io.h"
#include "common/loop.h"
#include "common/path.h"
#include "shim/hostcgroup.h"

/* Descriptors of a logger: 0 to 2 are /dev/null. The last tells why it could not be executed. */
enum logger_fd { LOGGER_FD_OUT = 3, LOGGER_FD_ERR, LOGGER_FD_READY, LOGGER_FD_FAILURE, LOGGER_FD_END };

#define N_FDS (LOGGER_FD_END - LOGGER_FD_OUT)

struct logger {
	char *text; /* URI, cut up in place */
	char *argv[2 * RELAY_LOGGER_ARGS_MAX + 2];
	char *envp[4];
};

/* ---- files ---- */

int relay_open_file(const char *uri, struct err *err)
{
	const char *path = uri + strlen("file://"), *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = NULL;
	int fd, r;

	if (path[0] != '/')
		return err_set(err, -EINVAL, "'%s': path of a file must be absolute", uri);
	folder = strndup(path, (size_t)(slash - path));
	if (!folder)
		return -ENOMEM;
	r = folder[0] ? path_mkdir_p(folder, 0755) : 0;
	if (r < 0)
		return err_set_errno(err, r, "folder '%s'", folder);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	return fd < 0 ? err_set_errno(err, -errno, "file '%s'", path) : fd;
}

/* ---- what to execute ---- */

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *found = c ? strchr(digits, c | 0x20) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* "%20" and, in a query, "+" in place: the text only gets shorter. */
static void unescape(char *text, bool query)
{
	char *out = text;

	for (; *text; text++) {
		int high = *text == '%' ? hex_digit(text[1]) : -1, low = high >= 0 ? hex_digit(text[2]) : -1;

		if (low >= 0) {
			*out++ = (char)(high << 4 | low);
			text += 2;
		} else {
			*out++ = query && *text == '+' ? ' ' : *text;
		}
	}
	*out = '\0';
}

static int parse_query(struct logger *l, char *query, struct err *err)
{
	size_t n = 1;
	char *rest, *word, *value;

	for (word = strtok_r(query, "&", &rest); word; word = strtok_r(NULL, "&", &rest)) {
		if (n + 2 >= ARRAY_SIZE(l->argv))
			return err_set(err, -E2BIG, "logger '%s': more than %d arguments", l->argv[0],
				       RELAY_LOGGER_ARGS_MAX);
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		unescape(word, true);
		l->argv[n++] = word;
		if (value && value[0]) {
			unescape(value, true);
			l->argv[n++] = value;
		}
	}
	return 0;
}

static int parse(struct logger *l, const char *uri, const struct relay_logger_place *place, struct err *err)
{
	char *query;

	l->text = strdup(uri);
	if (!l->text)
		return -ENOMEM;
	l->argv[0] = strstr(l->text, "://") + 3;
	query = strchr(l->argv[0], '?');
	if (query)
		*query++ = '\0';
	unescape(l->argv[0], false);
	if (l->argv[0][0] != '/')
		return err_set(err, -EINVAL, "'%s': path of a logger must be absolute", uri);
	l->envp[0] = strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!l->envp[0] || asprintf(&l->envp[1], "CONTAINER_ID=%s", place->id) < 0)
		return l->envp[1] = NULL, -ENOMEM;
	if (asprintf(&l->envp[2], "CONTAINER_NAMESPACE=%s", place->namespace) < 0)
		return l->envp[2] = NULL, -ENOMEM;
	return query ? parse_query(l, query, err) : 0;
}

static void logger_finish(struct logger *l)
{
	for (char **env = l->envp; *env; env++)
		free(*env);
	free(l->text);
}

/* ---- executing it ---- */

static _Noreturn void become_logger(const struct logger *l, const struct relay_logger_place *place, const int fds[N_FDS])
{
	int r;

	loop_child_reset();
	setsid();
	hostcgroup_enter_top();
	r = place->netns_fd >= 0 && setns(place->netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
	if (r >= 0)
		r = fd_move_to(fds, N_FDS, LOGGER_FD_OUT);
	if (r >= 0)
		r = fd_close_from(LOGGER_FD_END, NULL, 0);
	if (r >= 0)
		r = fd_null_stdio();
	if (r >= 0)
		r = fd_set_cloexec(LOGGER_FD_FAILURE, true);
	if (r >= 0) {
		execve(l->argv[0], l->argv, l->envp);
		r = -errno;
	}
	io_write_all(LOGGER_FD_FAILURE, &r, sizeof(r));
	_exit(1);
}

static int fork_logger(const struct logger *l, const struct relay_logger_place *place, const int fds[N_FDS])
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		pid = fork();
		if (pid == 0)
			become_logger(l, place, fds);
		_exit(pid < 0 ? 1 : 0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* The reading end for the logger, the writing one for us, or the other way round. */
static int make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

/* The pipe ends without a word when it is executed. */
static int start(const struct logger *l, const struct relay_logger_place *place, int *ret_out, int *ret_err)
{
	_cleanup_close_ int out_read = -EBADF, out_write = -EBADF, err_read = -EBADF, err_write = -EBADF;
	_cleanup_close_ int ready_read = -EBADF, ready_write = -EBADF, fail_read = -EBADF, fail_write = -EBADF;
	int r, failure = 0;

	if ((r = make_pipe(&out_read, &out_write)) < 0 || (r = make_pipe(&err_read, &err_write)) < 0 ||
	    (r = make_pipe(&ready_read, &ready_write)) < 0 || (r = make_pipe(&fail_read, &fail_write)) < 0 ||
	    (r = fd_set_nonblock(out_write, true)) < 0 || (r = fd_set_nonblock(err_write, true)) < 0)
		return r;
	r = fork_logger(l, place, (const int[N_FDS]){ out_read, err_read, ready_write, fail_write });
	cleanup_close_p(&fail_write);
	if (r < 0)
		return r;
	if (io_read_full(fail_read, &failure, sizeof(failure)) == (ssize_t)sizeof(failure))
		return failure < 0 ? failure : -EIO;
	*ret_out = TAKE_FD(out_write);
	*ret_err = TAKE_FD(err_write);
	return 0;
}

int relay_start_logger(const char *uri, const struct relay_logger_place *place, int *ret_out, int *ret_err,
		       struct err *err)
{
	struct logger l = { 0 };
	int r = parse(&l, uri, place, err);

	if (r >= 0) {
		r = start(&l, place, ret_out, ret_err);
		if (r < 0)
			err_set(err, r, "logger '%s' cannot be executed: errno %d", l.argv[0], -r);
	}
	logger_finish(&l);
	return r;
}
