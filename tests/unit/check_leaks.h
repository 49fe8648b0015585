/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_leaks.h - fail a test that leaves descriptors open or children behind
 *
 * Order: include after cmocka.h; list tests with leak_checked(name).
 */
#ifndef ONGGI_TESTS_CHECK_LEAKS_H
#define ONGGI_TESTS_CHECK_LEAKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

static size_t leaks_fds_before;

static inline size_t leaks_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline int leaks_setup(void **state)
{
	leaks_fds_before = leaks_count_fds();
	return 0;
}

static inline int leaks_teardown(void **state)
{
	size_t now = leaks_count_fds();

	if (now != leaks_fds_before) {
		print_error("open descriptors: %zu before the test, %zu after it\n",
			    leaks_fds_before, now);
		return -1;
	}
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) {
		print_error("the test left a child behind\n");
		return -1;
	}
	return 0;
}

#define leak_checked(test) cmocka_unit_test_setup_teardown(test, leaks_setup, leaks_teardown)

#endif
