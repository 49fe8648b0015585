/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's size, with plain files in the place of sysfs: what is written to which of them. */
#include "tests/unit/check_leaks.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/machine.h"
#include "common/io.h"
#include "common/path.h"

#define BLOCK (UINT64_C(128) << 20)

static char dir[] = "/tmp/onggi-machine-XXXXXX";
static int dirfd_ = -1;

static void put(const char *path, const char *text)
{
	assert_int_equal(io_replace_file(dirfd_, path, text, strlen(text), 0600), 0);
}

static void has(const char *path, const char *text)
{
	_cleanup_free_ char *got = NULL;

	assert_int_equal(io_read_file(dirfd_, path, 4096, &got, NULL), 0);
	assert_int_equal(strncmp(got, text, strlen(text)), 0);
}

static void block(unsigned int n, const char *state, const char *zone)
{
	char path[64];

	snprintf(path, sizeof(path), "memory/memory%u", n);
	mkdirat(dirfd_, path, 0700);
	snprintf(path, sizeof(path), "memory/memory%u/state", n);
	put(path, state);
	snprintf(path, sizeof(path), "memory/memory%u/valid_zones", n);
	put(path, zone);
}

static void cpu(unsigned int n, const char *online)
{
	char path[64];

	snprintf(path, sizeof(path), "cpu/cpu%u", n);
	mkdirat(dirfd_, path, 0700);
	snprintf(path, sizeof(path), "cpu/cpu%u/online", n);
	put(path, online);
}

/* A guest that booted with two blocks, and with one CPU of three. */
static int setup(void **state)
{
	leaks_setup(state);
	strcpy(strrchr(dir, '-') + 1, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	dirfd_ = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mkdirat(dirfd_, "memory", 0700);
	mkdirat(dirfd_, "cpu", 0700);
	put("memory/block_size_bytes", "8000000\n");
	block(0, "online\n", "none\n");
	block(1, "online\n", "none\n");
	cpu(1, "0\n");
	cpu(2, "0\n");
	return 0;
}

static int teardown(void **state)
{
	path_remove_tree(AT_FDCWD, dir);
	close(dirfd_);
	return leaks_teardown(state);
}

static struct machine_request request(uint64_t blocks, uint32_t cpus)
{
	return (struct machine_request){
		.size = { blocks * BLOCK, cpus },
		.ranges = { { 0, 4 * BLOCK }, { 32 * BLOCK, 8 * BLOCK } },
		.n_ranges = 2,
	};
}

static int apply(uint64_t blocks, uint32_t cpus, struct err *err)
{
	struct machine_request q = request(blocks, cpus);

	*err = (struct err)ERR_INIT;
	return machine_apply(dir, &q, err);
}

static void size_is_counted_in_whole_blocks(void **state)
{
	struct machine_request q = request(0, 0);
	struct machine_size size;

	block(2, "offline\n", "Normal Movable\n");
	machine_look(dir, &q, &size);
	assert_int_equal(size.memory_bytes, 2 * BLOCK);
	assert_int_equal(size.cpus, 1);
	cpu(2, "1\n");
	machine_look(dir, &q, &size);
	assert_int_equal(size.cpus, 2);
}

static void memory_grows_upwards_across_the_hole_movable_first(void **state)
{
	struct err err;

	block(2, "offline\n", "Normal Movable\n");
	block(3, "offline\n", "Normal Movable\n");
	for (unsigned int n = 32; n < 40; n++)
		block(n, "offline\n", "Normal Movable\n");
	assert_int_equal(apply(3, 0, &err), 0);
	has("memory/memory2/state", "online_movable");
	has("memory/memory3/state", "offline");
	/* What the kernel would say now. */
	block(2, "online\n", "Movable\n");
	assert_int_equal(apply(10, 0, &err), 0);
	has("memory/memory3/state", "online_movable");
	has("memory/memory32/state", "online_movable");
	has("memory/memory35/state", "online_movable");
	/* Six of these to two of the others is the ratio: the next is for the kernel. */
	has("memory/memory36/state", "online_kernel");
	has("memory/memory37/state", "online_movable");
	has("memory/memory38/state", "offline");
}

static void machine_that_is_too_small_is_told(void **state)
{
	struct err err;

	block(2, "offline\n", "Normal Movable\n");
	block(3, "offline\n", "Normal Movable\n");
	for (unsigned int n = 32; n < 40; n++)
		block(n, "offline\n", "Normal Movable\n");
	assert_int_equal(apply(13, 0, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "1536 MiB"));
	assert_int_equal(apply(0, 4, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "3 CPUs"));
}

static void kernel_that_cannot_grow_is_told(void **state)
{
	struct err err;

	assert_int_equal(apply(3, 0, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "256 MiB"));
	/* But its memory may be right as it is. */
	assert_int_equal(apply(2, 0, &err), 0);
}

static void block_is_asked_for_by_its_address(void **state)
{
	struct err err;

	put("memory/probe", "                ");
	/* The file is none of the kernel's: the block does not come. */
	assert_int_not_equal(apply(3, 0, &err), 0);
	has("memory/probe", "0x10000000");
}

static void memory_shrinks_from_above(void **state)
{
	struct err err;

	block(2, "online\n", "Movable\n");
	block(3, "offline\n", "Movable\n");
	block(32, "online\n", "Movable\n");
	assert_int_equal(apply(3, 0, &err), 0);
	has("memory/memory32/state", "offline");
	has("memory/memory2/state", "online");
	has("memory/memory1/state", "online");
}

static void cpus_come_from_below_and_go_from_above(void **state)
{
	struct err err;

	assert_int_equal(apply(0, 2, &err), 0);
	has("cpu/cpu1/online", "1");
	has("cpu/cpu2/online", "0");
	cpu(2, "1\n");
	assert_int_equal(apply(0, 2, &err), 0);
	has("cpu/cpu1/online", "1");
	has("cpu/cpu2/online", "0");
	assert_int_equal(apply(0, 1, &err), 0);
	has("cpu/cpu1/online", "0");
}

/* ---- the part that waits ---- */

struct outcome {
	int code, calls;
	struct machine_size size;
};

static void on_done(int code, const struct machine_size *size, const struct err *err, void *userdata)
{
	struct outcome *o = userdata;

	o->code = code;
	o->size = *size;
	o->calls++;
}

static void resize_is_done_by_a_child_and_answered_once(void **state)
{
	_cleanup_(loop_destroy_p) struct loop *loop = NULL;
	_cleanup_(reaper_destroy_p) struct reaper *reaper = NULL;
	_cleanup_(machine_destroy_p) struct machine *m = NULL;
	struct machine_request q = request(2, 3), bad = request(2, 1);
	struct outcome first = { 0 }, second = { 0 };
	struct err err = ERR_INIT;

	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(reaper_create(loop, &reaper), 0);
	assert_int_equal(machine_create(loop, reaper, dir, &m), 0);
	bad.ranges[1].start = 0;
	assert_int_equal(machine_resize(m, &bad, on_done, &first, &err), -EINVAL);
	/* The later one replaces the earlier one, which is told so. */
	assert_int_equal(machine_resize(m, &q, on_done, &first, &err), 0);
	q.size.cpus = 2;
	assert_int_equal(machine_resize(m, &q, on_done, &second, &err), 0);
	assert_int_equal(first.calls, 1);
	assert_int_equal(first.size.cpus, 1);
	while (!second.calls)
		assert_true(loop_run_once(loop) >= 0);
	assert_int_equal(second.code, 0);
	assert_int_equal(second.size.cpus, 2);
	has("cpu/cpu2/online", "0");
	q.size.cpus = 9;
	assert_int_equal(machine_resize(m, &q, on_done, &second, &err), 0);
	while (second.calls < 2)
		assert_true(loop_run_once(loop) >= 0);
	assert_int_equal(second.code, -ENOSPC);
	assert_int_equal(second.size.cpus, 3);
}

static void destruction_answers_who_waits(void **state)
{
	_cleanup_(loop_destroy_p) struct loop *loop = NULL;
	_cleanup_(reaper_destroy_p) struct reaper *reaper = NULL;
	struct machine_request q = request(1, 1);
	struct outcome o = { 0 };
	struct err err = ERR_INIT;
	struct machine *m = NULL;

	assert_int_equal(loop_create(&loop), 0);
	assert_int_equal(reaper_create(loop, &reaper), 0);
	assert_int_equal(machine_create(loop, reaper, dir, &m), 0);
	assert_int_equal(machine_resize(m, &q, on_done, &o, &err), 0);
	machine_destroy(m);
	assert_int_equal(o.code, -ECANCELED);
	assert_int_equal(o.calls, 1);
}

#define machine_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(size_is_counted_in_whole_blocks),
		machine_test(memory_grows_upwards_across_the_hole_movable_first),
		machine_test(machine_that_is_too_small_is_told),
		machine_test(kernel_that_cannot_grow_is_told),
		machine_test(block_is_asked_for_by_its_address),
		machine_test(memory_shrinks_from_above),
		machine_test(cpus_come_from_below_and_go_from_above),
		machine_test(resize_is_done_by_a_child_and_answered_once),
		machine_test(destruction_answers_who_waits),
	};

	return cmocka_run_group_tests_name("agent machine", tests, NULL, NULL);
}
