/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypervisor/memory_copy.h"
#include "tests/unit/check_leaks.h"

#define PAGE MEMORY_COPY_PAGE
#define PAGES 512
#define BYTES ((uint64_t)PAGES * PAGE)

struct copy_case {
	struct loop *loop;
	int master, copy, code;
	bool done;
	uint64_t checksum;
};

/* Pages 3, 4, 5 and the last but one hold something; 7 and 8 are written with zeros. */
static void setup_case(struct copy_case *c)
{
	static const unsigned int filled[] = { 3, 4, 5, PAGES - 2 };
	uint8_t page[PAGE] = { 0 };

	*c = (struct copy_case){ .copy = -1, .code = 1 };
	assert_int_equal(loop_create(&c->loop), 0);
	c->master = memfd_create("test", MFD_CLOEXEC);
	assert_true(c->master >= 0);
	assert_int_equal(ftruncate(c->master, (off_t)BYTES), 0);
	assert_int_equal(pwrite(c->master, page, PAGE, 7 * PAGE), PAGE);
	assert_int_equal(pwrite(c->master, page, PAGE, 8 * PAGE), PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(filled); i++) {
		memset(page, (int)filled[i] & 0x7f, PAGE);
		assert_int_equal(pwrite(c->master, page, PAGE, (off_t)filled[i] * PAGE), PAGE);
	}
	assert_int_equal(memory_copy_seal(c->master, BYTES, &c->checksum), 0);
}

static void teardown_case(struct copy_case *c)
{
	close(c->master);
	if (c->copy >= 0)
		close(c->copy);
	loop_destroy(c->loop);
}

static void on_copied(int code, void *userdata)
{
	struct copy_case *c = userdata;

	c->code = code;
	c->done = true;
}

static int run_copy(struct copy_case *c, uint64_t checksum)
{
	_cleanup_(memory_copy_destroy_p) struct memory_copy *copy = NULL;
	struct err err = ERR_INIT;
	int r;

	r = memory_copy_start(c->loop, c->master, BYTES, checksum, on_copied, c, &copy, &c->copy,
			      &err);
	if (r < 0)
		return r;
	while (!c->done)
		assert_int_equal(loop_run_once(c->loop), 0);
	return c->code;
}

static uint64_t stored_pages(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512 / PAGE;
}

static void seal_gives_zero_pages_back(void **state)
{
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(stored_pages(c.master), 4);
	teardown_case(&c);
}

static void checksum_is_of_content_and_place(void **state)
{
	uint8_t page[PAGE] = { 0 }, other[PAGE];
	struct copy_case c;
	uint64_t sum;

	setup_case(&c);
	/* Zeros that are stored again change nothing. */
	assert_int_equal(pwrite(c.master, page, PAGE, 9 * PAGE), PAGE);
	assert_int_equal(memory_copy_seal(c.master, BYTES, &sum), 0);
	assert_int_equal(sum, c.checksum);
	/* The same pages in another order do. */
	assert_int_equal(pread(c.master, page, PAGE, 3 * PAGE), PAGE);
	assert_int_equal(pread(c.master, other, PAGE, 4 * PAGE), PAGE);
	assert_int_equal(pwrite(c.master, page, PAGE, 4 * PAGE), PAGE);
	assert_int_equal(pwrite(c.master, other, PAGE, 3 * PAGE), PAGE);
	assert_int_equal(memory_copy_seal(c.master, BYTES, &sum), 0);
	assert_int_not_equal(sum, c.checksum);
	teardown_case(&c);
}

static void copy_is_equal_sparse_and_separate(void **state)
{
	uint8_t a[PAGE], b[PAGE];
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(run_copy(&c, c.checksum), 0);
	assert_int_equal(stored_pages(c.copy), 4);
	for (unsigned int i = 0; i < PAGES; i++) {
		assert_int_equal(pread(c.master, a, PAGE, (off_t)i * PAGE), PAGE);
		assert_int_equal(pread(c.copy, b, PAGE, (off_t)i * PAGE), PAGE);
		assert_memory_equal(a, b, PAGE);
	}
	/* What one guest writes, neither the master nor another guest sees. */
	memset(a, 0xee, PAGE);
	assert_int_equal(pwrite(c.copy, a, PAGE, 3 * PAGE), PAGE);
	assert_int_equal(pread(c.master, b, PAGE, 3 * PAGE), PAGE);
	assert_int_equal(b[0], 3);
	teardown_case(&c);
}

static void copy_cannot_change_its_size(void **state)
{
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(run_copy(&c, c.checksum), 0);
	assert_int_equal(ftruncate(c.copy, PAGE), -1);
	assert_int_equal(errno, EPERM);
	teardown_case(&c);
}

static void changed_byte_is_found(void **state)
{
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(pwrite(c.master, "x", 1, 4 * PAGE + 17), 1);
	assert_int_equal(run_copy(&c, c.checksum), -EBADMSG);
	teardown_case(&c);
}

static void changed_size_is_found(void **state)
{
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(ftruncate(c.master, (off_t)BYTES - PAGE), 0);
	assert_int_equal(run_copy(&c, c.checksum), -EBADMSG);
	assert_int_equal(c.copy, -1);
	teardown_case(&c);
}

static void destroying_it_early_ends_the_child(void **state)
{
	struct memory_copy *copy = NULL;
	struct err err = ERR_INIT;
	struct copy_case c;

	setup_case(&c);
	assert_int_equal(memory_copy_start(c.loop, c.master, BYTES, c.checksum, on_copied, &c,
					   &copy, &c.copy, &err),
			 0);
	memory_copy_destroy(copy);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_false(c.done);
	teardown_case(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(seal_gives_zero_pages_back),
		leak_checked(checksum_is_of_content_and_place),
		leak_checked(copy_is_equal_sparse_and_separate),
		leak_checked(copy_cannot_change_its_size),
		leak_checked(changed_byte_is_found),
		leak_checked(changed_size_is_found),
		leak_checked(destroying_it_early_ends_the_child),
	};

	return cmocka_run_group_tests_name("memory_copy", tests, NULL, NULL);
}
