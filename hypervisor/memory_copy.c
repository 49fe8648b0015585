/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checksum runs over (offset, content) of every page that has a page of the file behind it and
 * is not all zero, in the order of the file. So it does not depend on which zero pages the file
 * system happens to store.
 */
#include "hypervisor/memory_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "common/fd.h"

struct memory_copy {
	pid_t pid;
	struct loop_source *child;
	memory_copy_done_fn done;
	void *userdata;
};

/* What is done with each run of pages that are not zero, and each page that is; both may be NULL.
 */
struct visitor {
	int (*data)(struct visitor *v, const uint8_t *at, uint64_t offset, uint64_t len);
	int (*zero)(struct visitor *v, uint64_t offset, uint64_t len);
	int fd;
};

static bool is_zero(const uint8_t *page)
{
	const uint64_t *words = (const uint64_t *)(const void *)page;

	for (size_t i = 0; i < MEMORY_COPY_PAGE / sizeof(*words); i += 8)
		if (words[i] | words[i + 1] | words[i + 2] | words[i + 3] | words[i + 4] |
		    words[i + 5] | words[i + 6] | words[i + 7])
			return false;
	return true;
}

/* One stretch that the file stores, from @begin to @end, mapped at @map. */
static int visit_extent(struct visitor *v, const uint8_t *map, uint64_t begin, uint64_t end,
			XXH3_state_t *sum)
{
	uint64_t at = begin, next;
	int r = 0;

	for (; at < end && r == 0; at = next) {
		bool zero = is_zero(map + at);

		for (next = at + MEMORY_COPY_PAGE; next < end && is_zero(map + next) == zero;
		     next += MEMORY_COPY_PAGE)
			;
		if (zero) {
			r = v->zero ? v->zero(v, at, next - at) : 0;
			continue;
		}
		for (uint64_t page = at; page < next; page += MEMORY_COPY_PAGE) {
			XXH3_64bits_update(sum, &page, sizeof(page));
			XXH3_64bits_update(sum, map + page, MEMORY_COPY_PAGE);
		}
		r = v->data ? v->data(v, map + at, at, next - at) : 0;
	}
	return r;
}

static int visit_file(int fd, const uint8_t *map, uint64_t bytes, struct visitor *v,
		      XXH3_state_t *sum)
{
	off_t at = 0, end;
	int r = 0;

	while (r == 0 && (uint64_t)at < bytes) {
		at = lseek(fd, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno; /* no data until the end */
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return -errno;
		/* File systems with small blocks: whole pages. */
		at -= at % MEMORY_COPY_PAGE;
		end += (MEMORY_COPY_PAGE - end % MEMORY_COPY_PAGE) % MEMORY_COPY_PAGE;
		if ((uint64_t)end > bytes)
			end = (off_t)bytes;
		r = visit_extent(v, map, (uint64_t)at, (uint64_t)end, sum);
		at = end;
	}
	return r;
}

static int visit(int fd, uint64_t bytes, struct visitor *v, uint64_t *ret_checksum)
{
	XXH3_state_t sum;
	void *map;
	int r;

	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	XXH3_64bits_reset(&sum);
	r = visit_file(fd, map, bytes, v, &sum);
	*ret_checksum = XXH3_64bits_digest(&sum);
	munmap(map, bytes);
	return r;
}

/* ---- the master ---- */

static int punch(struct visitor *v, uint64_t offset, uint64_t len)
{
	if (fallocate(v->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
		      (off_t)len) < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	return 0;
}

int memory_copy_seal(int fd, uint64_t bytes, uint64_t *ret_checksum)
{
	struct visitor v = { .zero = punch, .fd = fd };

	return visit(fd, bytes, &v, ret_checksum);
}

/* ---- the copy ---- */

static int write_out(struct visitor *v, const uint8_t *at, uint64_t offset, uint64_t len)
{
	while (len > 0) {
		ssize_t n = pwrite(v->fd, at, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		at += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

enum { CHILD_OK, CHILD_WRONG, CHILD_FAILED };

/* A master that shrinks while it is mapped raises SIGBUS, which ends the child: failed. */
static void __attribute__((noreturn))
run_child(pid_t parent, int from, int to, uint64_t bytes, uint64_t checksum)
{
	struct visitor v = { .data = write_out, .fd = to };
	uint64_t sum = 0;
	int r;

	loop_child_reset();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(CHILD_FAILED);
	/* The caller's sockets must not live on in here. */
	if (fd_close_from(0, (const int[]){ from < to ? from : to, from < to ? to : from }, 2) < 0)
		_exit(CHILD_FAILED);
	r = visit(from, bytes, &v, &sum);
	_exit(r < 0 ? CHILD_FAILED : sum != checksum ? CHILD_WRONG : CHILD_OK);
}

static void on_child(pid_t pid, int status, void *userdata)
{
	static const int codes[] = {
		[CHILD_OK] = 0, [CHILD_WRONG] = -EBADMSG, [CHILD_FAILED] = -EIO
	};
	struct memory_copy *c = userdata;
	unsigned int how = WIFEXITED(status) ? (unsigned int)WEXITSTATUS(status) : CHILD_FAILED;

	c->pid = -1;
	loop_source_destroy(TAKE_PTR(c->child));
	c->done(how < ARRAY_SIZE(codes) ? codes[how] : -EIO, c->userdata);
}

static int new_memory(int from, uint64_t bytes, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat st;

	if (fstat(from, &st) < 0)
		return err_set_errno(err, -errno, "saved memory");
	if ((uint64_t)st.st_size != bytes || bytes % MEMORY_COPY_PAGE != 0)
		return err_set(err, -EBADMSG, "saved memory has %lld bytes, not %llu",
			       (long long)st.st_size, (unsigned long long)bytes);
	fd = memfd_create("onggi-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return err_set_errno(err, -errno, "memory for the guest");
	/* Its size is the machine's: whoever has it open cannot take pages away from under another.
	 */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_set_errno(err, -errno, "memory for the guest");
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int memory_copy_start(struct loop *loop, int from, uint64_t bytes, uint64_t checksum,
		      memory_copy_done_fn done, void *userdata, struct memory_copy **ret,
		      int *ret_fd, struct err *err)
{
	_cleanup_(memory_copy_destroy_p) struct memory_copy *c = calloc(1, sizeof(*c));
	_cleanup_close_ int fd = -EBADF;
	pid_t parent = getpid();
	int r;

	if (!c)
		return err_set_errno(err, -ENOMEM, "copy of the saved memory");
	*c = (struct memory_copy){ .pid = -1, .done = done, .userdata = userdata };
	r = new_memory(from, bytes, &fd, err);
	if (r < 0)
		return r;
	c->pid = fork();
	if (c->pid < 0)
		return err_set_errno(err, -errno, "copy of the saved memory");
	if (c->pid == 0)
		run_child(parent, from, fd, bytes, checksum);
	r = loop_add_child(loop, c->pid, on_child, c, &c->child);
	if (r < 0)
		return err_set_errno(err, r, "copy of the saved memory");
	*ret = TAKE_PTR(c);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

void memory_copy_destroy(struct memory_copy *c)
{
	if (!c)
		return;
	loop_source_destroy(c->child);
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(c);
}
