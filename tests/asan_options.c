/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into the onggi-runtime of `make check-asan`: where the sanitizers write what they find. Monitors start with an
 * environment of their own and with no stderr that anybody reads, so that ASAN_OPTIONS reaches proxies and commands alone.
 */
#ifndef SANITIZER_LOGS
#define SANITIZER_LOGS "/tmp"
#endif

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
	return "detect_leaks=1:log_path=" SANITIZER_LOGS "/asan";
}

const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:log_path=" SANITIZER_LOGS "/ubsan";
}
