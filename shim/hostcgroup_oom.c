/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hostcgroup_oom.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/loop.h"
#include "shim/hostcgroup_limits.h"

/*
 * What the child's death gives back at least: more than a VMM allocates in the blink that the limit is low.
 */
#define BALLAST_BYTES (32u << 20)
/* By so much the child's score must exceed everybody else's. */
#define SCORE_MARGIN_BYTES (64u << 20)
/* Mapped again and again: resident each time, there once. */
#define PADDING_BYTES (16u << 20)
#define CHUNK_BYTES (1u << 20)
/* Over what is in use, which is a moment old when it is written. */
#define SLACK_BYTES (256u << 10)
/* The usage may have grown between reading and writing. */
#define LIMIT_ATTEMPTS 32
#define NUMBER_BYTES_MAX 64u
#define PROCS_BYTES_MAX (1u << 20)
#define PROCESS_NAME "guest-oom"
#define OOM_SCORE_MAX "1000"

/* Swapping out would put the OOM off. */
static const struct {
	const char *file, *off;
} swap_files[] = {
	{ "memory.swappiness", "0" },
	{ "memory.swap.max", "0" },
};

struct helper {
	const struct hostcgroup_memory_files *files;
	const char *swap_file, *swap_off;
	const char *swap; /* as it was */
	int fd;           /* of the cgroup */
	uint64_t padding; /* what the child needs for its score beside the ballast */
};

static int read_text(int fd, const char *file, char *out, size_t size)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(fd, file, NUMBER_BYTES_MAX, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	snprintf(out, size, "%s", text);
	return 0;
}

static int read_usage(const struct helper *h, uint64_t *ret)
{
	char text[NUMBER_BYTES_MAX] = "";
	int r = read_text(h->fd, h->files->usage, text, sizeof(text));

	return r < 0 ? r : io_parse_u64(text, UINT64_MAX, ret);
}

static int put(int fd, const char *file, const char *text)
{
	return io_write_file(fd, file, text, strlen(text));
}

/* ---- the child that is killed ---- */

static uint64_t resident_bytes(const char *pid)
{
	_cleanup_free_ char *text = NULL;
	char path[64];
	unsigned long long pages = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/statm", pid);
	if (io_read_file(AT_FDCWD, path, 256, &text, NULL) < 0 ||
	    sscanf(text, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * The kernel kills who has the highest score: resident pages and page tables, and for the child the whole limit on
 * top. That is not enough by itself: a VMM may have more pages resident than the cgroup is charged for, because
 * programs and libraries are charged to who read them first, and all of it after a move from another cgroup.
 */
static uint64_t choose_padding(const struct helper *h)
{
	_cleanup_free_ char *procs = NULL;
	uint64_t usage = 0, most = 0, needed;
	char *rest, *pid;

	if (read_usage(h, &usage) < 0 ||
	    io_read_file(h->fd, "cgroup.procs", PROCS_BYTES_MAX, &procs, NULL) < 0)
		return 0;
	rest = procs;
	while ((pid = strsep(&rest, "\n"))) {
		uint64_t bytes = pid[0] ? resident_bytes(pid) : 0;

		most = bytes > most ? bytes : most;
	}
	/* A page table for every 512 pages, and its own for sparse ones. */
	needed = most + most / 256 + SCORE_MARGIN_BYTES;
	return needed > usage ? needed - usage : 0;
}

static void pad(uint64_t bytes)
{
	int fd = memfd_create("padding", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, PADDING_BYTES) < 0)
		_exit(EXIT_FAILURE);
	for (uint64_t got = 0; got < bytes; got += PADDING_BYTES) {
		if (mmap(NULL, PADDING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			 0) == MAP_FAILED)
			_exit(EXIT_FAILURE);
	}
}

static void fill(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(EXIT_FAILURE);
	memset(p, 1, bytes);
}

static _Noreturn void victim(const struct helper *h, int ready, int go)
{
	uint64_t most = 0;
	char byte = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (put(h->fd, "cgroup.procs", "0") < 0 ||
	    put(AT_FDCWD, "/proc/self/oom_score_adj", OOM_SCORE_MAX) < 0)
		_exit(EXIT_FAILURE);
	pad(h->padding);
	fill(BALLAST_BYTES);
	/* All that could be reclaimed for us was in use before. */
	if (read_usage(h, &most) < 0 || io_write_all(ready, &byte, 1) < 0 ||
	    io_read_full(go, &byte, 1) != 1)
		_exit(EXIT_FAILURE);
	for (uint64_t got = 0; got <= most + BALLAST_BYTES; got += CHUNK_BYTES)
		fill(CHUNK_BYTES);
	_exit(EXIT_FAILURE);
}

/* ---- the helper ---- */

static int lower_limit(const struct helper *h)
{
	int r = -EBUSY;

	for (int i = 0; i < LIMIT_ATTEMPTS && r == -EBUSY; i++) {
		char text[NUMBER_BYTES_MAX];
		uint64_t usage = 0;

		r = read_usage(h, &usage);
		if (r < 0)
			break;
		snprintf(text, sizeof(text), "%" PRIu64, usage + SLACK_BYTES);
		r = put(h->fd, h->files->limit, text);
	}
	return r;
}

/* Whether the kernel has killed the child. */
static bool sacrifice(const struct helper *h)
{
	int ready[2], go[2], status = 0, r;
	char byte = 0;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		close(ready[0]);
		close(go[1]);
		victim(h, ready[1], go[0]);
	}
	close(ready[1]);
	close(go[0]);
	if (pid < 0)
		return false;
	r = io_read_full(ready[0], &byte, 1) == 1 ? 0 : -EPIPE;
	if (r == 0)
		/* There may be no such file: without swap. */
		put(h->fd, h->swap_file, h->swap_off);
	if (r == 0)
		r = lower_limit(h);
	if (r == 0)
		io_write_all(go[1], &byte, 1);
	else
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return r == 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static _Noreturn void helper_main(struct helper *h)
{
	char limit[NUMBER_BYTES_MAX] = "";
	bool killed;

	loop_child_reset();
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, PROCESS_NAME);
	/* Who waits for the end of one of the monitor's streams must not wait for us. */
	if (fd_close_from(STDERR_FILENO + 1, &h->fd, 1) < 0 ||
	    read_text(h->fd, h->files->limit, limit, sizeof(limit)) < 0)
		_exit(EXIT_FAILURE);
	h->padding = choose_padding(h);
	killed = sacrifice(h);
	put(h->fd, h->files->limit, limit);
	if (h->swap[0])
		put(h->fd, h->swap_file, h->swap);
	_exit(killed ? 0 : EXIT_FAILURE);
}

int hostcgroup_oom_start(const struct hostcgroup *h, struct hostcgroup_oom *ret, struct err *err)
{
	const struct hostcgroup_dir *d = hostcgroup_find(h, "memory");
	struct helper helper = {
		.files = hostcgroup_memory_files(h),
		.swap_file = swap_files[h->unified].file,
		.swap_off = swap_files[h->unified].off,
		.swap = ret->swap,
	};
	_cleanup_close_ int fd = -EBADF;
	uint64_t usage;
	pid_t pid;
	int r;

	if (!d)
		return err_set(err, -ENOTSUP, "this machine has no memory controller");
	fd = hostcgroup_open_dir(d);
	helper.fd = fd;
	r = fd < 0 ? fd : read_usage(&helper, &usage);
	if (r < 0)
		return err_set_errno(err, r, "cgroup '%s%s': %s", d->mount, d->path,
				     helper.files->usage);
	ret->swap[0] = '\0';
	read_text(fd, helper.swap_file, ret->swap, sizeof(ret->swap));
	pid = fork();
	if (pid == 0)
		helper_main(&helper);
	if (pid < 0)
		return err_set_errno(err, -errno, "fork for an OOM event");
	ret->pid = pid;
	return 0;
}

void hostcgroup_oom_finish(const struct hostcgroup *h, const struct hostcgroup_oom *oom,
			   uint64_t limit_bytes)
{
	const struct hostcgroup_memory_files *files = hostcgroup_memory_files(h);
	const struct hostcgroup_dir *d = hostcgroup_find(h, "memory");
	_cleanup_close_ int fd = d ? hostcgroup_open_dir(d) : -EBADF;
	char text[NUMBER_BYTES_MAX];

	if (fd < 0)
		return;
	snprintf(text, sizeof(text), "%" PRIu64, limit_bytes);
	put(fd, files->limit, limit_bytes ? text : files->unlimited);
	if (oom->swap[0])
		put(fd, swap_files[h->unified].file, oom->swap);
}
