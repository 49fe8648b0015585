/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The server is handed a listening socket. It is bound to a name in the sandbox's folder (0700),
 * connected to at once by ourselves, and the name removed: there is no moment at which somebody
 * else could connect. The connected end becomes QEMU's.
 *
 * Both flavours build their sandbox themselves: new mount, pid and network namespace, pivot_root
 * into the served folder, capabilities down to those that serving files of many owners needs, a
 * seccomp list. They fork for it: our child waits, its child ("inner") serves. The inner process
 * asks for SIGTERM when its parent dies, and sees the end of the connection when QEMU dies.
 */
#include "hypervisor/virtiofsd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/io.h"
#include "hypervisor/console.h"
#include "hypervisor/jail.h"

#define LOG_FILE "virtiofsd.log"
#define LOG_BYTES_MAX (32u << 10)
#define SOCKET_FILE "virtiofsd.sock"
#define VERSION_BYTES_MAX 4096
#define REASON_BYTES 512
#define ARGS_MAX 32
#define INNER_MAX 4
/* For the inner process to vanish after SIGKILL, ms; it may sit in a disk operation. */
#define INNER_GONE_MS 5000
/*
 * A descriptor per file that the guest's cache knows: as many as the system lets one process have.
 */
#define NOFILE_MAX (1u << 20)
#define MEMLOCK_BYTES_MAX (64u << 10)

#define CAP(name) (UINT64_C(1) << CAP_##name)
/*
 * Serving files of many owners; SYS_ADMIN and SETPCAP to build the sandbox, dropped by the server
 * itself.
 */
#define SERVER_CAPS                                                                                \
	(CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(SETGID) | CAP(SETUID) |  \
	 CAP(MKNOD) | CAP(SETFCAP) | CAP(SETPCAP) | CAP(SYS_ADMIN))

static const char *const usual_places[] = {
	"/usr/lib/qemu/virtiofsd",
	"/usr/libexec/virtiofsd",
	"/usr/lib/virtiofsd",
	"/usr/bin/virtiofsd",
};

struct file_server {
	pid_t pid; /* -1 once reaped */
	struct loop_source *child;
	struct console *log;
	const char *path, *dir; /* borrowed until it is started */
	struct loop *loop;
	int socket_fd, listen_fd; /* -1: taken */
	int words_fd;		  /* its stderr */
	dev_t dev; /* of the served folder */
	ino_t ino;
	file_server_exit_fn on_exit;
	void *userdata;
};

/* ---- command line ---- */

struct args {
	char *v[ARGS_MAX + 1];
	size_t n;
	bool failed;
};

static void add(struct args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct args *args, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (args->failed || args->n == ARGS_MAX || vasprintf(&args->v[args->n], fmt, ap) < 0)
		args->failed = true;
	else
		args->n++;
	va_end(ap);
}

/* Option lists of the C program: "\," is a comma, "\\" a backslash. */
static char *escape(const char *text)
{
	char *escaped = malloc(2 * strlen(text) + 1), *out = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			*out++ = '\\';
		*out++ = *text;
	}
	*out = '\0';
	return escaped;
}

/*
 * xattr: images have file capabilities. announce_submounts: each mount below is a file system of
 * its own to the guest, as inode numbers of two may be equal. No thread pool: requests are answered
 * where they are read, the fastest way for one guest. Locks stay in the guest: a lock taken on the
 * host would be a way to stall others.
 *
 * Cache: "always" with a timeout of a second. The guest keeps pages from one open to the next, so
 * that a program is not read again at each exec (a fifth of the time), asks for attributes anew
 * after a second and then drops pages whose modification time or size has changed: what the host
 * changes is seen within a second, as with "auto".
 */
static void add_c(struct args *a, const char *dir, int fd)
{
	add(a, "-f");
	add(a, "--fd=%d", fd);
	add(a, "--thread-pool-size=0");
	add(a, "--rlimit-nofile=0");
	add(a, "-o");
	add(a, "source=%s", dir);
	add(a, "-o");
	add(a,
	    "sandbox=namespace,cache=always,timeout=1,xattr,announce_submounts,no_posix_lock,"
	    "no_flock,log_level=err");
}

static void add_rust(struct args *a, const char *dir, int fd)
{
	add(a, "--fd=%d", fd);
	add(a, "--shared-dir=%s", dir);
	add(a, "--sandbox=namespace");
	add(a, "--seccomp=kill");
	add(a, "--cache=auto");
	add(a, "--xattr");
	add(a, "--announce-submounts");
	add(a, "--inode-file-handles=never");
	add(a, "--thread-pool-size=0");
	add(a, "--rlimit-nofile=0");
	add(a, "--log-level=error");
}

int file_server_argv(enum file_server_flavour flavour, const char *path, const char *dir, int fd,
		     char ***ret)
{
	_cleanup_free_ char *escaped = flavour == FILE_SERVER_C ? escape(dir) : NULL;
	struct args a = { .n = 0 };
	char **argv;

	if (flavour == FILE_SERVER_C && !escaped)
		return -ENOMEM;
	add(&a, "%s", path);
	if (flavour == FILE_SERVER_C)
		add_c(&a, escaped, fd);
	else
		add_rust(&a, dir, fd);
	argv = calloc(ARGS_MAX + 1, sizeof(*argv));
	if (!argv || a.failed) {
		for (size_t i = 0; i < a.n; i++)
			free(a.v[i]);
		free(argv);
		return -ENOMEM;
	}
	memcpy(argv, a.v, a.n * sizeof(*argv));
	*ret = argv;
	return 0;
}

void file_server_free_argv(char **argv)
{
	if (!argv)
		return;
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}

/* ---- which one ---- */

/*
 * C: "virtiofsd version 7.2.22 (…)"; Rust: "virtiofsd 1.10.1", earlier "virtiofsd backend 1.4.0".
 */
int file_server_flavour_parse(const char *text, enum file_server_flavour *ret)
{
	const char *rest = text;

	if (strncmp(rest, "virtiofsd ", 10) != 0)
		return -EINVAL;
	rest += 10;
	if (strncmp(rest, "version ", 8) == 0) {
		*ret = FILE_SERVER_C;
		return 0;
	}
	if (strncmp(rest, "backend ", 8) == 0)
		rest += 8;
	if (*rest < '0' || *rest > '9')
		return -EINVAL;
	*ret = FILE_SERVER_RUST;
	return 0;
}

static int find_program(const char *wanted, const char **ret, struct err *err)
{
	if (wanted) {
		if (access(wanted, X_OK) < 0)
			return err_set_errno(err, -errno, "file server '%s'", wanted);
		*ret = wanted;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(usual_places); i++) {
		if (access(usual_places[i], X_OK) == 0) {
			*ret = usual_places[i];
			return 0;
		}
	}
	return err_set(err, -ENOENT,
		       "file server: no virtiofsd at '%s', '%s', '%s' or '%s'; install the package "
		       "qemu-system-common (Debian 12) or virtiofsd",
		       usual_places[0], usual_places[1], usual_places[2], usual_places[3]);
}

/* Wait for @pid's end, at most @limit_ms, then kill it; reaps. */
static int reap_in_time(pid_t pid, int limit_ms)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int r;

	do {
		r = poll(&poll_fd, 1, limit_ms);
	} while (r < 0 && errno == EINTR);
	if (r <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r > 0 ? 0 : -ETIMEDOUT;
}

static int ask_version(const char *path, char *buf, size_t size, struct err *err)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	char name[] = "virtiofsd", option[] = "--version";
	char *const argv[] = { name, option, NULL };
	struct jail jail = { .path = path, .argv = argv, .stdout_too = true, .nofile_max = 64 };
	int fds[2], r;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe");
	in = fds[0];
	out = fds[1];
	jail.stderr_fd = out;
	r = jail_spawn(&jail, &pid, err);
	if (r < 0)
		return r;
	close(TAKE_FD(out));
	r = reap_in_time(pid, FILE_SERVER_VERSION_MS);
	if (r < 0)
		return err_set(err, r, "file server '%s': --version does not end within %d ms",
			       path, FILE_SERVER_VERSION_MS);
	/*
	 * All of it is in the pipe by now: 64 KiB fit, and one who writes more would not have
	 * ended.
	 */
	n = io_read_full(in, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	return 0;
}

static int find_flavour(const char *path, enum file_server_flavour *ret, struct err *err)
{
	char text[VERSION_BYTES_MAX];
	int r = ask_version(path, text, sizeof(text), err);

	if (r < 0)
		return r;
	if (file_server_flavour_parse(text, ret) < 0)
		return err_set(
			err, -EINVAL,
			"file server '%s': its --version does not say that it is a virtiofsd",
			path);
	return 0;
}

/* ---- socket ---- */

static int make_sockets(int dirfd, int *ret_listen, int *ret_connected, struct err *err)
{
	_cleanup_close_ int listen_fd = -EBADF, connected = -EBADF;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r = 0;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" SOCKET_FILE, dirfd);
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || connected < 0)
		return err_set_errno(err, -errno, "socket of the file server");
	if (unlinkat(dirfd, SOCKET_FILE, 0) < 0 && errno != ENOENT)
		return err_set_errno(err, -errno, "remove '%s'", SOCKET_FILE);
	if (bind(listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_set_errno(err, -errno, "socket of the file server: bind");
	if (listen(listen_fd, 1) < 0 ||
	    connect(connected, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	if (unlinkat(dirfd, SOCKET_FILE, 0) < 0 && r == 0)
		r = -errno;
	if (r < 0)
		return err_set_errno(err, r, "socket of the file server");
	*ret_listen = TAKE_FD(listen_fd);
	*ret_connected = TAKE_FD(connected);
	return 0;
}

/* ---- life ---- */

static void on_child(pid_t pid, int status, void *userdata)
{
	struct file_server *fs = userdata;
	char reason[REASON_BYTES];
	size_t len;

	fs->pid = -1;
	loop_source_destroy(TAKE_PTR(fs->child));
	console_drain(fs->log);
	len = console_tail(fs->log, reason, sizeof(reason));
	while (len > 0 && reason[len - 1] == '\n')
		reason[--len] = '\0';
	if (fs->on_exit)
		fs->on_exit(fs, status, reason, fs->userdata);
}

static int spawn(struct file_server *fs, enum file_server_flavour flavour, struct err *err)
{
	struct jail jail = {
		.path = fs->path,
		.fds = &fs->listen_fd,
		.n_fds = 1,
		.stderr_fd = fs->words_fd,
		.unshare_flags = CLONE_NEWIPC | CLONE_NEWUTS,
		/*
		 * It makes files as the guest's user, who may have capabilities that the server knows
		 * nothing of; the guest's kernel has checked what that user may do.
		 */
		.caps_of_any_uid = true,
		.keep_caps = SERVER_CAPS,
		.filter = &filter_file_server,
		.nofile_max = NOFILE_MAX,
		.memlock_max_bytes = MEMLOCK_BYTES_MAX,
	};
	char **argv;
	int r = file_server_argv(flavour, fs->path, fs->dir, JAIL_FD_FIRST, &argv);

	if (r < 0)
		return err_set_errno(err, r, "file server");
	jail.argv = argv;
	r = jail_spawn(&jail, &fs->pid, err);
	file_server_free_argv(argv);
	return r;
}

static int prepare(struct file_server *fs, const struct file_server_config *config, struct err *err)
{
	_cleanup_close_ int words_in = -EBADF;
	int fds[2], r;

	r = find_program(config->path, &fs->path, err);
	if (r < 0)
		return r;
	r = make_sockets(config->state_dirfd, &fs->listen_fd, &fs->socket_fd, err);
	if (r < 0)
		return r;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe for the file server");
	words_in = fds[0];
	fs->words_fd = fds[1];
	r = console_create(fs->loop, words_in, config->state_dirfd, LOG_FILE, LOG_BYTES_MAX, &fs->log);
	if (r < 0)
		return err_set_errno(err, r, "log '%s'", LOG_FILE);
	words_in = -EBADF;
	return 0;
}

int file_server_create(struct loop *loop, const struct file_server_config *config,
		       file_server_exit_fn on_exit, void *userdata, struct file_server **ret,
		       struct err *err)
{
	struct file_server *fs;
	struct stat st;
	int r;

	if (!config->dir || config->dir[0] != '/')
		return err_set(err, -EINVAL, "file server: folder '%s' is not an absolute path",
			       config->dir ? config->dir : "");
	if (stat(config->dir, &st) < 0)
		return err_set_errno(err, -errno, "file server: folder '%s'", config->dir);
	fs = calloc(1, sizeof(*fs));
	if (!fs)
		return err_set_errno(err, -ENOMEM, "file server");
	fs->pid = -1;
	fs->socket_fd = fs->listen_fd = fs->words_fd = -EBADF;
	fs->loop = loop;
	fs->dir = config->dir;
	fs->on_exit = on_exit;
	fs->userdata = userdata;
	fs->dev = st.st_dev;
	fs->ino = st.st_ino;
	r = prepare(fs, config, err);
	if (r < 0) {
		file_server_destroy(fs);
		return r;
	}
	*ret = fs;
	return 0;
}

int file_server_start(struct file_server *fs, struct err *err)
{
	enum file_server_flavour flavour;
	int r = find_flavour(fs->path, &flavour, err);

	if (r >= 0)
		r = spawn(fs, flavour, err);
	if (r < 0)
		return r;
	/* So that the end of either is seen by the other. */
	cleanup_close_p(&fs->listen_fd);
	cleanup_close_p(&fs->words_fd);
	r = loop_add_child(fs->loop, fs->pid, on_child, fs, &fs->child);
	return r < 0 ? err_set_errno(err, r, "watch the file server") : 0;
}

int file_server_take_socket(struct file_server *fs)
{
	return fs->socket_fd >= 0 ? TAKE_FD(fs->socket_fd) : -EBADF;
}

pid_t file_server_pid(const struct file_server *fs)
{
	return fs->pid;
}

/* ---- the process inside ---- */

/*
 * pidfds of the server's children, at most INNER_MAX. Their pids cannot be reused while the server
 * lives and waits.
 */
static size_t open_inner(pid_t pid, int *fds)
{
	_cleanup_free_ char *text = NULL;
	char path[64], *rest, *word;
	size_t n = 0;

	if (pid <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (io_read_file(AT_FDCWD, path, 256, &text, NULL) < 0)
		return 0;
	for (word = strtok_r(text, " \n", &rest); word && n < INNER_MAX;
	     word = strtok_r(NULL, " \n", &rest)) {
		uint64_t child;

		if (io_parse_u64(word, INT32_MAX, &child) < 0)
			continue;
		fds[n] = (int)syscall(SYS_pidfd_open, (pid_t)child, 0);
		if (fds[n] >= 0)
			n++;
	}
	return n;
}

/*
 * In a child of ours, in the namespace of a server that may be hostile: nothing is run from there,
 * links are not followed, and the only change is one that takes rights away. Returns 0 or a
 * positive errno.
 */
static int readonly_inside(const struct file_server *fs, int pidfd, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	struct stat st;
	int root, fd;

	if (setns(pidfd, CLONE_NEWNS) < 0)
		return errno;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || fstat(root, &st) < 0)
		return errno;
	if (st.st_dev != fs->dev || st.st_ino != fs->ino)
		return ESRCH; /* its root is still the host's */
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0)
		return errno;
	return mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? errno
											    : 0;
}

int file_server_set_readonly(struct file_server *fs, const char *path, struct err *err)
{
	int inner[INNER_MAX], status = 0;
	size_t n = open_inner(fs->pid, inner);
	pid_t pid;

	if (n == 0)
		return err_set(err, -ESRCH, "file server: it does not serve yet, or has ended");
	pid = fork();
	if (pid == 0)
		_exit(readonly_inside(fs, inner[0], path));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < n; i++)
		close(inner[i]);
	if (pid < 0)
		return err_set_errno(err, -errno, "file server: fork");
	if (!WIFEXITED(status))
		return err_set(err, -EPROTO, "file server: helper ended with wait status 0x%x",
			       (unsigned int)status);
	if (WEXITSTATUS(status) != 0)
		return err_set_errno(err, -WEXITSTATUS(status), "file server: make '%s' read-only",
				     path);
	return 0;
}

void file_server_destroy(struct file_server *fs)
{
	int inner[INNER_MAX];
	size_t n;

	if (!fs)
		return;
	loop_source_destroy(fs->child);
	n = open_inner(fs->pid, inner);
	if (fs->pid > 0) {
		kill(fs->pid, SIGKILL);
		while (waitpid(fs->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	for (size_t i = 0; i < n; i++) {
		struct pollfd poll_fd = { .fd = inner[i], .events = POLLIN };

		syscall(SYS_pidfd_send_signal, inner[i], SIGKILL, NULL, 0);
		poll(&poll_fd, 1, INNER_GONE_MS);
		close(inner[i]);
	}
	console_destroy(fs->log);
	cleanup_close_p(&fs->socket_fd);
	cleanup_close_p(&fs->listen_fd);
	cleanup_close_p(&fs->words_fd);
	free(fs);
}
