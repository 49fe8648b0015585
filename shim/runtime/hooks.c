/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/hooks.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/loop.h"
#include "shim/runtime/state_json.h"

#define EXIT_NOT_RUN 127
#define MS_PER_S 1000
/* Of a failed hook's stderr, in the message. */
#define HOOK_STDERR_MAX 512

bool hooks_supported(enum oci_hook_kind kind)
{
	return kind != OCI_HOOK_CREATE_CONTAINER && kind != OCI_HOOK_START_CONTAINER;
}

int hooks_check(const struct oci_spec *spec, struct err *err)
{
	for (int i = 0; i < OCI_HOOK_COUNT; i++)
		if (spec->n_hooks[i] > 0 && !hooks_supported(i))
			return err_set(
				err, -EOPNOTSUPP,
				"field 'hooks.%s': hooks inside of the container's namespaces are not supported",
				oci_hook_name(i));
	return 0;
}

/* A descriptor at the start of @text. */
static int memory_file(const char *text)
{
	int fd = memfd_create("hook", MFD_CLOEXEC);

	if (fd >= 0 && (io_write_all(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		fd = -EIO;
	}
	return fd;
}

static _Noreturn void child_main(const struct oci_hook *hook, const int stdio[3], int netns_fd)
{
	static char *const no_env[] = { NULL };
	char *const just_path[] = { hook->path, NULL };

	loop_child_reset();
	if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) < 0)
		_exit(EXIT_NOT_RUN);
	if (fd_move_to(stdio, 3, 0) < 0 || fd_close_from(STDERR_FILENO + 1, NULL, 0) < 0)
		_exit(EXIT_NOT_RUN);
	execve(hook->path, hook->args ? hook->args : just_path, hook->env ? hook->env : no_env);
	dprintf(STDERR_FILENO, "%s", strerror(errno));
	_exit(EXIT_NOT_RUN);
}

/* Wait for the child, kill it when its time is over. Returns its status, or -ETIMEDOUT. */
static int wait_hook(pid_t pid, int timeout_s)
{
	struct pollfd pfd = { .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int timeout_ms = timeout_s <= 0                   ? -1
			 : timeout_s > INT_MAX / MS_PER_S ? INT_MAX
							  : timeout_s * MS_PER_S;
	bool late = false;
	int status = 0;

	if (pfd.fd >= 0) {
		late = poll(&pfd, 1, timeout_ms) == 0;
		close(pfd.fd);
	}
	if (late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return late ? -ETIMEDOUT : status;
}

static int explain(const struct oci_hook *hook, int status, int stderr_fd, struct err *err)
{
	char text[HOOK_STDERR_MAX] = "";
	ssize_t n;

	if (status == -ETIMEDOUT)
		return err_set(err, status, "hook '%s' did not end in %d s", hook->path,
			       hook->timeout_s);
	if (status == 0)
		return 0;
	n = pread(stderr_fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status))
		return err_set(err, -EIO, "hook '%s' was killed by signal %d: %s", hook->path,
			       WTERMSIG(status), text);
	return err_set(err, -EIO, "hook '%s' failed with exit status %d: %s", hook->path,
		       WEXITSTATUS(status), text);
}

static int run_hook(const struct oci_hook *hook, const char *state, int netns_fd, struct err *err)
{
	_cleanup_close_ int in = memory_file(state), out = open("/dev/null", O_WRONLY | O_CLOEXEC),
			    errors = memory_file("");
	const int stdio[3] = { in, out, errors };
	pid_t pid;

	if (in < 0 || out < 0 || errors < 0)
		return err_set(err, -EIO, "hook '%s': no memory file", hook->path);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		child_main(hook, stdio, netns_fd);
	if (pid < 0)
		return err_set_errno(err, -errno, "fork for hook '%s'", hook->path);
	return explain(hook, wait_hook(pid, hook->timeout_s), errors, err);
}

static int load_spec(const char *bundle, struct oci_spec **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	if (asprintf(&path, "%s/config.json", bundle) < 0)
		return err_set_errno(err, -ENOMEM, "hooks");
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "read '%s'", path);
	return oci_spec_parse(text, len, ret, err);
}

int hooks_run(const struct container_record *record, enum oci_hook_kind kind,
	      enum container_status status, int netns_fd, struct err *err)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	_cleanup_json_ struct json *j = NULL;
	_cleanup_free_ char *state = NULL;
	int r, first = 0;

	r = load_spec(record->bundle, &spec, err);
	if (r < 0 || spec->n_hooks[kind] == 0)
		return r;
	j = state_json(record, status, "");
	state = j ? json_text(j, false) : NULL;
	if (!state)
		return err_set_errno(err, -ENOMEM, "hooks");
	for (size_t i = 0; i < spec->n_hooks[kind]; i++) {
		r = run_hook(&spec->hooks[kind][i], state, netns_fd, first ? NULL : err);
		if (r < 0 && !first) {
			first = r;
			err_prefix(err, "error running %s hook #%zu", oci_hook_name(kind), i);
		}
		if (r < 0 && kind != OCI_HOOK_POSTSTOP)
			break;
	}
	return first;
}
