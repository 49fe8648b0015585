/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/machine.h"
#include "common/io.h"

#define VALUE_MAX 64u
#define PATH_BYTES 96u
/* Largest number of a CPU that is tried. */
#define CPUS_MAX 512u

enum block_state { BLOCK_ABSENT, BLOCK_OFFLINE, BLOCK_KERNEL, BLOCK_MOVABLE };

struct walk {
	int dirfd; /* sysfs */
	uint64_t block_bytes;
	uint64_t kernel_bytes, movable_bytes; /* in use */
};

/* ---- small files ---- */

static int read_value(int dirfd, const char *path, char value[VALUE_MAX])
{
	_cleanup_free_ char *text = NULL;
	/* A page is what sysfs hands out at most. */
	int r = io_read_file(dirfd, path, 4096, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	snprintf(value, VALUE_MAX, "%s", text);
	return 0;
}

static int write_value(int dirfd, const char *path, const char *value)
{
	return io_write_file(dirfd, path, value, strlen(value));
}

/* ---- memory ---- */

static void block_path(char path[PATH_BYTES], uint64_t block, const char *file)
{
	snprintf(path, PATH_BYTES, "memory/memory%" PRIu64 "/%s", block, file);
}

static enum block_state block_state(const struct walk *w, uint64_t block)
{
	char path[PATH_BYTES], value[VALUE_MAX];

	block_path(path, block, "state");
	if (read_value(w->dirfd, path, value) < 0)
		return BLOCK_ABSENT;
	if (strcmp(value, "online") != 0)
		return BLOCK_OFFLINE;
	block_path(path, block, "valid_zones");
	return read_value(w->dirfd, path, value) >= 0 && strncmp(value, "Movable", 7) == 0 ? BLOCK_MOVABLE :
											     BLOCK_KERNEL;
}

/* -EOPNOTSUPP: a kernel without memory blocks. */
static int walk_open(struct walk *w, const char *sysfs)
{
	char value[VALUE_MAX];
	int r;

	*w = (struct walk){ .dirfd = open(sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	if (w->dirfd < 0)
		return -errno;
	r = read_value(w->dirfd, "memory/block_size_bytes", value);
	if (r >= 0)
		w->block_bytes = strtoull(value, NULL, 16);
	return w->block_bytes ? 0 : -EOPNOTSUPP;
}

/* Calls @fn for each whole block of the ranges, upwards or downwards, until it returns non-zero. */
typedef int (*block_fn)(struct walk *w, uint64_t block, void *userdata);

static int for_each_block(struct walk *w, const struct machine_request *q, bool down, block_fn fn,
			  void *userdata)
{
	int r = 0;

	for (size_t i = 0; i < q->n_ranges && r == 0; i++) {
		const struct machine_range *range = &q->ranges[down ? q->n_ranges - 1 - i : i];
		uint64_t first = (range->start + w->block_bytes - 1) / w->block_bytes;
		uint64_t end = (range->start + range->length) / w->block_bytes;

		for (uint64_t n = first; n < end && r == 0; n++)
			r = fn(w, down ? end - 1 - (n - first) : n, userdata);
	}
	return r;
}

static int count_block(struct walk *w, uint64_t block, void *userdata)
{
	enum block_state state = block_state(w, block);

	if (state == BLOCK_KERNEL)
		w->kernel_bytes += w->block_bytes;
	if (state == BLOCK_MOVABLE)
		w->movable_bytes += w->block_bytes;
	return 0;
}

struct change {
	uint64_t wanted; /* bytes */
	struct err *err;
};

static uint64_t in_use(const struct walk *w)
{
	return w->kernel_bytes + w->movable_bytes;
}

static int add_block(struct walk *w, uint64_t block, struct err *err)
{
	char address[32];
	int r;

	snprintf(address, sizeof(address), "0x%" PRIx64, block * w->block_bytes);
	r = write_value(w->dirfd, "memory/probe", address);
	if (r == -ENOENT)
		return err_set(err, -EOPNOTSUPP,
			       "the guest's kernel takes no memory by its address (no memory/probe): its %" PRIu64
			       " MiB are all it can have; the kernel of 'make guest-kernel' can grow",
			       in_use(w) >> 20);
	return r < 0 ? err_set_errno(err, r, "add the memory at %s", address) : 0;
}

static int grow_block(struct walk *w, uint64_t block, void *userdata)
{
	struct change *c = userdata;
	bool movable = w->movable_bytes + w->block_bytes <= MACHINE_MOVABLE_RATIO * w->kernel_bytes;
	enum block_state state = block_state(w, block);
	char path[PATH_BYTES];
	int r;

	if (in_use(w) >= c->wanted)
		return 1;
	if (state == BLOCK_ABSENT) {
		r = add_block(w, block, c->err);
		if (r < 0)
			return r;
	} else if (state != BLOCK_OFFLINE) {
		return 0;
	}
	block_path(path, block, "state");
	r = write_value(w->dirfd, path, movable ? "online_movable" : "online_kernel");
	if (r < 0)
		return err_set_errno(c->err, r, "take memory block %" PRIu64 " into use", block);
	*(movable ? &w->movable_bytes : &w->kernel_bytes) += w->block_bytes;
	return 0;
}

static int grow_memory(struct walk *w, const struct machine_request *q, struct err *err)
{
	struct change c = { q->size.memory_bytes, err };
	int r;

	/* Else the kernel would take them into use itself, and not as movable ones. */
	(void)write_value(w->dirfd, "memory/auto_online_blocks", "offline");
	r = for_each_block(w, q, false, grow_block, &c);
	if (r < 0)
		return r;
	if (in_use(w) < c.wanted)
		return err_set(err, -ENOSPC, "the machine has %" PRIu64 " MiB, not %" PRIu64, in_use(w) >> 20,
			       c.wanted >> 20);
	return 0;
}

/* What is in use and cannot be moved stays: the next one below may go. */
static int shrink_block(struct walk *w, uint64_t block, void *userdata)
{
	struct change *c = userdata;
	enum block_state state = block_state(w, block);
	char path[PATH_BYTES];

	if (in_use(w) - w->block_bytes < c->wanted)
		return 1;
	if (state != BLOCK_MOVABLE && state != BLOCK_KERNEL)
		return 0;
	block_path(path, block, "state");
	if (write_value(w->dirfd, path, "offline") >= 0)
		*(state == BLOCK_MOVABLE ? &w->movable_bytes : &w->kernel_bytes) -= w->block_bytes;
	return 0;
}

static int apply_memory(const char *sysfs, const struct machine_request *q, struct err *err)
{
	struct walk w;
	int r;

	r = walk_open(&w, sysfs);
	if (r >= 0) {
		for_each_block(&w, q, false, count_block, NULL);
		if (in_use(&w) < q->size.memory_bytes)
			r = grow_memory(&w, q, err);
		else
			(void)for_each_block(&w, q, true, shrink_block,
					     &(struct change){ q->size.memory_bytes, err });
	} else {
		err_set_errno(err, r, "the guest's kernel has no memory blocks");
	}
	cleanup_close_p(&w.dirfd);
	return r < 0 ? r : 0;
}

/* ---- CPUs ---- */

/* The first one cannot be given up and has no file. Returns 0 not in use, 1, or -ENOENT. */
static int cpu_in_use(int dirfd, unsigned int cpu)
{
	char path[PATH_BYTES], value[VALUE_MAX];
	int r;

	if (cpu == 0)
		return 1;
	snprintf(path, sizeof(path), "cpu/cpu%u/online", cpu);
	r = read_value(dirfd, path, value);
	return r < 0 ? r : value[0] == '1';
}

/* *ret_there: all there are. */
static unsigned int count_cpus(int dirfd, unsigned int *ret_there)
{
	unsigned int used = 0, there = 0;
	int r;

	for (; there < CPUS_MAX && (r = cpu_in_use(dirfd, there)) >= 0; there++)
		used += r > 0;
	*ret_there = there;
	return used;
}

static int set_cpu(int dirfd, unsigned int cpu, bool online)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "cpu/cpu%u/online", cpu);
	return write_value(dirfd, path, online ? "1" : "0");
}

static int apply_cpus(const char *sysfs, uint32_t wanted, struct err *err)
{
	_cleanup_close_ int dirfd = open(sysfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	unsigned int there, used;

	if (dirfd < 0)
		return err_set_errno(err, -errno, "open '%s'", sysfs);
	used = count_cpus(dirfd, &there);
	for (unsigned int cpu = there; cpu-- > 1 && used > wanted;)
		used -= cpu_in_use(dirfd, cpu) > 0 && set_cpu(dirfd, cpu, false) >= 0;
	for (unsigned int cpu = 1; cpu < there && used < wanted; cpu++)
		used += cpu_in_use(dirfd, cpu) == 0 && set_cpu(dirfd, cpu, true) >= 0;
	if (used < wanted)
		return err_set(err, -ENOSPC, "the guest has %u CPUs, not %u", used, wanted);
	return 0;
}

/* ---- both ---- */

int machine_apply(const char *sysfs, const struct machine_request *q, struct err *err)
{
	int r = 0;

	if (q->size.memory_bytes)
		r = apply_memory(sysfs, q, err);
	if (r >= 0 && q->size.cpus)
		r = apply_cpus(sysfs, q->size.cpus, err);
	return r;
}

void machine_look(const char *sysfs, const struct machine_request *q, struct machine_size *ret)
{
	struct walk w;
	unsigned int there;

	*ret = (struct machine_size){ .cpus = 1 };
	if (walk_open(&w, sysfs) >= 0)
		for_each_block(&w, q, false, count_block, NULL);
	ret->memory_bytes = in_use(&w);
	if (w.dirfd >= 0)
		ret->cpus = count_cpus(w.dirfd, &there);
	cleanup_close_p(&w.dirfd);
}
