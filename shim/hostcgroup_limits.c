/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hostcgroup_limits.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "common/io.h"

/* Room for what is being allocated while a limit is lowered to about what is in use. */
#define MEMORY_MARGIN_BYTES (64u << 20)
#define SHARES_DEFAULT 1024u
#define NUMBER_BYTES_MAX 64u
#define CPUSET_BYTES_MAX 65536u

static const struct hostcgroup_memory_files memory_files[] = {
	{ "memory.limit_in_bytes", "memory.usage_in_bytes", "-1" },
	{ "memory.max", "memory.current", "max" },
};

const struct hostcgroup_memory_files *hostcgroup_memory_files(const struct hostcgroup *h)
{
	return &memory_files[h->unified];
}

void hostcgroup_limits_finish(struct hostcgroup_limits *l)
{
	free(l->cpuset_cpus);
	free(l->cpuset_mems);
	*l = (struct hostcgroup_limits){ 0 };
}

uint64_t hostcgroup_weight_of_shares(uint64_t shares)
{
	if (shares == 0)
		return 0;
	shares = shares < 2 ? 2 : shares > HOSTCGROUP_SHARES_MAX ? HOSTCGROUP_SHARES_MAX : shares;
	return 1 + (shares - 2) * 9999 / (HOSTCGROUP_SHARES_MAX - 2);
}

/* ---- writing one file ---- */

struct target {
	const struct hostcgroup *h;
	const struct hostcgroup_dir *d;
	int fd;
	struct err *err;
};

/* A file that is not there belongs to something this kernel was built without. */
static int put(const struct target *t, const char *file, const char *text)
{
	int r = io_write_file(t->fd, file, text, strlen(text));

	if (r == 0 || r == -ENOENT)
		return 0;
	return err_set_errno(t->err, r, "cgroup '%s%s': write '%s' to %s", t->d->mount, t->d->path,
			     text, file);
}

static int put_number(const struct target *t, const char *file, uint64_t n, const char *none)
{
	char text[NUMBER_BYTES_MAX];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	return put(t, file, n > 0 ? text : none);
}

static int get_number(int fd, const char *file, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(fd, file, NUMBER_BYTES_MAX, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return io_parse_u64(text, UINT64_MAX, ret);
}

/* ---- each limit ---- */

static int apply_memory(const struct target *t, const struct hostcgroup_limits *l)
{
	const struct hostcgroup_memory_files *files = hostcgroup_memory_files(t->h);
	uint64_t used = 0, limit = l->memory_bytes;

	if (limit > 0 && get_number(t->fd, files->usage, &used) == 0 &&
	    limit < used + MEMORY_MARGIN_BYTES)
		limit = used + MEMORY_MARGIN_BYTES;
	return put_number(t, files->limit, limit, files->unlimited);
}

static int apply_quota(const struct target *t, const struct hostcgroup_limits *l)
{
	uint64_t period = l->cpu_period_us ? l->cpu_period_us : HOSTCGROUP_PERIOD_DEFAULT_US;
	char text[NUMBER_BYTES_MAX];
	int r;

	if (!t->h->unified) {
		/* Each must be possible with the other as it is: without a quota any period is. */
		r = put(t, "cpu.cfs_quota_us", "-1");
		if (r == 0)
			r = put_number(t, "cpu.cfs_period_us", period, "");
		return r == 0 ? put_number(t, "cpu.cfs_quota_us", l->cpu_quota_us, "-1") : r;
	}
	if (l->cpu_quota_us)
		snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64, l->cpu_quota_us, period);
	else
		snprintf(text, sizeof(text), "max %" PRIu64, period);
	return put(t, "cpu.max", text);
}

static int apply_shares(const struct target *t, const struct hostcgroup_limits *l)
{
	uint64_t shares = l->cpu_shares ? l->cpu_shares : SHARES_DEFAULT;

	if (!t->h->unified)
		return put_number(t, "cpu.shares", shares, "");
	return put_number(t, "cpu.weight", l->cpu_shares ? hostcgroup_weight_of_shares(shares) : 100,
			  "");
}

static int apply_pids(const struct target *t, const struct hostcgroup_limits *l)
{
	return put_number(t, "pids.max", l->pids, "max");
}

/* BFQ's file is there when that scheduler is; the other is what everything else has. */
static int apply_blkio(const struct target *t, const struct hostcgroup_limits *l)
{
	uint64_t weight = l->blkio_weight ? l->blkio_weight : 500;
	int r;

	if (!t->h->unified) {
		r = put_number(t, "blkio.bfq.weight", weight, "");
		return r == 0 ? put_number(t, "blkio.weight", weight, "") : r;
	}
	r = put_number(t, "io.bfq.weight", weight, "");
	/* 10..1000 to 1..10000 */
	return r == 0 ? put_number(t, "io.weight", 1 + (weight - 10) * 9999 / 990, "") : r;
}

/* What the parent has, which is the widest that is possible. */
static int put_cpuset(const struct target *t, const char *file, const char *value)
{
	_cleanup_close_ int parent = -EBADF;
	_cleanup_free_ char *text = NULL;
	char from[64];

	if (value)
		return put(t, file, value);
	/* Empty would mean the same in version 2, but is refused while somebody is in it. */
	snprintf(from, sizeof(from), "%s%s", file, t->h->unified ? ".effective" : "");
	parent = openat(t->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || io_read_file(parent, from, CPUSET_BYTES_MAX, &text, NULL) < 0)
		return 0;
	return put(t, file, text);
}

static int apply_cpus(const struct target *t, const struct hostcgroup_limits *l)
{
	return put_cpuset(t, "cpuset.cpus", l->cpuset_cpus);
}

static int apply_mems(const struct target *t, const struct hostcgroup_limits *l)
{
	return put_cpuset(t, "cpuset.mems", l->cpuset_mems);
}

/* ---- the table ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static int take_text(char **member, const char *value)
{
	char *copy = value ? strdup(value) : NULL;

	if (value && !copy)
		return -ENOMEM;
	free(*member);
	*member = copy;
	return 0;
}

#define SAME(name, ...)                                                                       \
	static bool same_##name(const struct hostcgroup_limits *a,                            \
				const struct hostcgroup_limits *b)                            \
	{                                                                                     \
		return __VA_ARGS__;                                                           \
	}
SAME(memory, a->memory_bytes == b->memory_bytes)
SAME(quota, a->cpu_quota_us == b->cpu_quota_us && a->cpu_period_us == b->cpu_period_us)
SAME(shares, a->cpu_shares == b->cpu_shares)
SAME(pids, a->pids == b->pids)
SAME(blkio, a->blkio_weight == b->blkio_weight)
SAME(cpus, same_text(a->cpuset_cpus, b->cpuset_cpus))
SAME(mems, same_text(a->cpuset_mems, b->cpuset_mems))
#undef SAME

static const struct {
	const char *controller;
	bool (*same)(const struct hostcgroup_limits *a, const struct hostcgroup_limits *b);
	int (*apply)(const struct target *t, const struct hostcgroup_limits *l);
} table[] = {
	{ "memory", same_memory, apply_memory }, { "cpu", same_quota, apply_quota },
	{ "cpu", same_shares, apply_shares },	 { "pids", same_pids, apply_pids },
	{ "blkio", same_blkio, apply_blkio },	 { "cpuset", same_cpus, apply_cpus },
	{ "cpuset", same_mems, apply_mems },
};

static int apply_row(const struct hostcgroup *h, size_t row, const struct hostcgroup_limits *wanted,
		     struct err *err)
{
	struct target t = { .h = h, .d = hostcgroup_find(h, table[row].controller), .err = err };
	_cleanup_close_ int fd = -EBADF;

	if (!t.d)
		return 0;
	fd = hostcgroup_open_dir(t.d);
	if (fd < 0)
		return err_set_errno(err, fd, "cgroup '%s%s'", t.d->mount, t.d->path);
	t.fd = fd;
	return table[row].apply(&t, wanted);
}

int hostcgroup_limits_apply(const struct hostcgroup *h, const struct hostcgroup_limits *wanted,
			    struct hostcgroup_limits *applied, struct err *err)
{
	struct hostcgroup_limits now = *wanted;
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int r = table[i].same(wanted, applied) ? 0 : apply_row(h, i, wanted, result ? NULL : err);

		if (r < 0 && result == 0)
			result = r;
	}
	now.cpuset_cpus = applied->cpuset_cpus;
	now.cpuset_mems = applied->cpuset_mems;
	if (take_text(&now.cpuset_cpus, wanted->cpuset_cpus) < 0 ||
	    take_text(&now.cpuset_mems, wanted->cpuset_mems) < 0)
		result = result ? result : -ENOMEM;
	*applied = now;
	return result;
}
