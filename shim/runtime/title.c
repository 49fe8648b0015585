/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/title.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

#define STAT_BYTES_MAX 4096
#define STAT_FIRST_AFTER_NAME 3 /* number of the field that follows the name, see proc(5) */
#define STAT_FIELDS 51

/* Numbers of fields in /proc/PID/stat, as in proc(5). */
enum {
	STAT_START_CODE = 26,
	STAT_END_CODE = 27,
	STAT_START_STACK = 28,
	STAT_START_DATA = 45,
	STAT_END_DATA = 46,
	STAT_START_BRK = 47,
	STAT_ENV_START = 50,
	STAT_ENV_END = 51,
};

/* The kernel wants the whole map of a process at once: what it has now. */
static int read_map(struct prctl_mm_map *map, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	unsigned long long field[STAT_FIELDS + 1] = { 0 };
	char *at, *word, *rest;
	int i = STAT_FIRST_AFTER_NAME, r;

	r = io_read_file(AT_FDCWD, "/proc/self/stat", STAT_BYTES_MAX, &text, NULL);
	if (r < 0)
		return err_set_errno(err, r, "read '/proc/self/stat'");
	/* The name is in parentheses and may hold anything. */
	at = strrchr(text, ')');
	for (word = at ? strtok_r(at + 1, " \n", &rest) : NULL; word && i <= STAT_FIELDS; i++) {
		field[i] = strtoull(word, NULL, 10);
		word = strtok_r(NULL, " \n", &rest);
	}
	if (i <= STAT_FIELDS)
		return err_set(err, -EPROTO, "'/proc/self/stat' has %d fields", i - 1);
	*map = (struct prctl_mm_map){
		.start_code = field[STAT_START_CODE],
		.end_code = field[STAT_END_CODE],
		.start_data = field[STAT_START_DATA],
		.end_data = field[STAT_END_DATA],
		.start_brk = field[STAT_START_BRK],
		.brk = (uintptr_t)sbrk(0),
		.start_stack = field[STAT_START_STACK],
		.env_start = field[STAT_ENV_START],
		.env_end = field[STAT_ENV_END],
		.exe_fd = (__u32)-1,
	};
	return 0;
}

/* Append @word and its NUL. Returns whether all of it fits. */
static bool append(char *page, size_t *len, const char *word)
{
	size_t n = strnlen(word, TITLE_BYTES_MAX - 1 - *len);

	memcpy(page + *len, word, n);
	*len += n;
	page[(*len)++] = '\0';
	return word[n] == '\0' && *len < TITLE_BYTES_MAX;
}

int title_set(const char *name, char *const args[], struct err *err)
{
	struct prctl_mm_map map;
	size_t len = 0;
	char *page;
	int r;

	r = read_map(&map, err);
	if (r < 0)
		return r;
	page = mmap(NULL, TITLE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return err_set_errno(err, -errno, "a page for the title");
	for (bool more = append(page, &len, name); more && *args; args++)
		more = append(page, &len, *args);
	map.arg_start = (uintptr_t)page;
	map.arg_end = (uintptr_t)page + len;
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) < 0) {
		r = errno == EINVAL ? -EOPNOTSUPP : -errno;
		munmap(page, TITLE_BYTES_MAX);
		return err_set_errno(err, r, "set the title of the process");
	}
	return 0;
}
