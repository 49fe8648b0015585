/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the decision for KVM or emulation comes about. The tests run in a mount namespace of their own, where
 * /dev is an empty tmpfs: what /dev/kvm is, each test says. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/json.h"
#include "hypervisor/accel.h"
#include "tests/unit/check_leaks.h"

#define KVM "/dev/kvm"
#define CACHE "/dev/cache"
#define CACHE_FILE CACHE "/" ACCEL_CACHE_FILE
#define REMEDY "set '\"accel\": \"auto\"' in the configuration file"
/* What a probe says that finds a file which is no KVM. */
#define NO_KVM "KVM_GET_API_VERSION"

static int real_kvm = -EBADF; /* O_PATH; the machine's own, if it has one */
static char boot_id[64];

static int group_setup(void **state)
{
	char *text = NULL;

	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", sizeof(boot_id), &text, NULL) < 0)
		return -1;
	snprintf(boot_id, sizeof(boot_id), "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
	real_kvm = open(KVM, O_PATH | O_CLOEXEC);
	signal(SIGIO, SIG_IGN); /* of the leases below */
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/dev", "tmpfs", 0, "mode=0755") < 0) {
		print_error("a mount namespace: %s\n", strerror(errno));
		return -1;
	}
	return 0;
}

static void write_file(const char *path, const char *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static void empty_dev(void)
{
	unlink(KVM);
	unlink(CACHE_FILE);
	rmdir(CACHE_FILE);
	unlink(CACHE);
	rmdir(CACHE);
}

static void kvm_is_a_plain_file(void)
{
	empty_dev();
	write_file(KVM, "", 0, 0600);
}

/* An open of /dev/kvm does not come back: somebody has a lease on it. Returns what holds it. */
static int lease_kvm(void)
{
	int fd = open(KVM, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	return fd;
}

static int kvm_hangs(void)
{
	kvm_is_a_plain_file();
	return lease_kvm();
}

/* An open of the file makes the kernel ask for its lease, which is told as if it was given up already. */
static bool nobody_has_opened(int lease)
{
	return fcntl(lease, F_GETLEASE) == F_WRLCK;
}

static void cache_holds(const char *text, size_t len)
{
	assert_true(mkdir(CACHE, 0700) == 0 || errno == EEXIST);
	write_file(CACHE_FILE, text, len, 0600);
}

static void cache_says(const char *id, bool works, const char *reason)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"bootId\": \"%s\", \"works\": %s, \"reason\": \"%s\"}", id,
		 works ? "true" : "false", reason);
	cache_holds(text, strlen(text));
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The policy "kvm" is refused, with @words in the message and the remedy. */
static void assert_refused(const char *cache_dir, const char *words)
{
	enum vm_accel accel = VM_ACCEL_TCG;
	struct err err = ERR_INIT;

	assert_int_equal(accel_choose(ACCEL_POLICY_KVM, cache_dir, &accel, &err), -ENODEV);
	assert_int_equal(err.code, -ENODEV);
	if (!strstr(err.text, words) || !strstr(err.text, REMEDY))
		fail_msg("'%s' does not say '%s' and '%s'", err.text, words, REMEDY);
}

/* The policy "auto" takes emulation, and says why. */
static void assert_emulates(const char *cache_dir, const char *words)
{
	enum vm_accel accel = VM_ACCEL_KVM;
	struct err err = ERR_INIT;

	assert_int_equal(accel_choose(ACCEL_POLICY_AUTO, cache_dir, &accel, &err), 0);
	assert_int_equal(accel, VM_ACCEL_TCG);
	if (!strstr(err.text, words) || strstr(err.text, REMEDY))
		fail_msg("'%s' does not say '%s', or gives a remedy that is taken already", err.text, words);
}

static void assert_kvm(enum accel_policy policy)
{
	enum vm_accel accel = VM_ACCEL_TCG;
	struct err err = ERR_INIT;

	if (accel_choose(policy, CACHE, &accel, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(accel, VM_ACCEL_KVM);
	assert_int_equal(err.code, 0);
}

static void assert_probe(const char *path, int code, const char *words)
{
	struct err err = ERR_INIT;

	assert_int_equal(accel_probe_kvm(path, &err), code);
	assert_int_equal(err.code, code);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

/* ---- claims: policies ---- */

static void policy_words_are_three_and_exact(void **state)
{
	static const char *const others[] = { "", "KVM", "kvm ", " auto", "tc", "tcgx", "none" };
	enum accel_policy policy = ACCEL_POLICY_TCG;

	assert_int_equal(accel_policy_parse("kvm", &policy), 0);
	assert_int_equal(policy, ACCEL_POLICY_KVM);
	assert_int_equal(accel_policy_parse("auto", &policy), 0);
	assert_int_equal(policy, ACCEL_POLICY_AUTO);
	assert_int_equal(accel_policy_parse("tcg", &policy), 0);
	assert_int_equal(policy, ACCEL_POLICY_TCG);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(accel_policy_parse(others[i], &policy), -EINVAL);
	assert_int_equal(policy, ACCEL_POLICY_TCG);
}

static void policy_tcg_does_not_look_at_kvm(void **state)
{
	enum vm_accel accel = VM_ACCEL_KVM;
	struct err err = ERR_INIT;
	int lease = kvm_hangs();

	assert_int_equal(accel_choose(ACCEL_POLICY_TCG, CACHE, &accel, &err), 0);
	assert_true(nobody_has_opened(lease));
	assert_int_equal(accel, VM_ACCEL_TCG);
	assert_int_equal(err.code, 0);
	assert_int_equal(access(CACHE, F_OK), -1);
	close(lease);
}

/* ---- claims: the probe ---- */

static void missing_device_is_named_and_not_cached(void **state)
{
	empty_dev();
	assert_probe(KVM, -ENOENT, "'/dev/kvm'");
	assert_refused(CACHE, "this machine has no KVM");
	assert_emulates(CACHE, "this machine has no KVM");
	assert_int_equal(access(CACHE_FILE, F_OK), -1);
}

static void file_that_is_no_kvm_is_found_out_and_not_cached(void **state)
{
	kvm_is_a_plain_file();
	assert_probe(KVM, -ENODEV, NO_KVM);
	assert_refused(CACHE, NO_KVM);
	assert_emulates(CACHE, NO_KVM);
	unlink(KVM);
	assert_int_equal(mkfifo(KVM, 0600), 0);
	assert_probe(KVM, -ENODEV, NO_KVM);
	assert_probe("/dev", -EISDIR, "'/dev'");
	assert_int_equal(access(CACHE_FILE, F_OK), -1);
}

/* Exit status of a child that may not open /dev/kvm: 0 as claimed. No cmocka there. */
static int unprivileged_child(void)
{
	struct err err = ERR_INIT;
	enum vm_accel accel;

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 10;
	if (accel_probe_kvm(KVM, &err) != -EACCES)
		return 11;
	if (accel_choose(ACCEL_POLICY_KVM, CACHE, &accel, &err) != -ENODEV)
		return 12;
	return strstr(err.text, "no permission to use KVM") && strstr(err.text, REMEDY) ? 0 : 13;
}

static void lack_of_permission_is_told_even_if_kvm_is_known_to_work(void **state)
{
	int status;
	pid_t pid;

	kvm_is_a_plain_file();
	cache_says(boot_id, true, "");
	assert_int_equal(chmod(CACHE, 0755), 0);
	assert_int_equal(chmod(CACHE_FILE, 0644), 0);
	pid = fork();
	if (pid == 0)
		_exit(unprivileged_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void probe_that_does_not_end_is_killed_after_its_limit(void **state)
{
	int lease = kvm_hangs();
	int64_t start = now_ms();

	assert_probe(KVM, -ETIMEDOUT, "not done after 3000 ms");
	assert_true(now_ms() - start >= ACCEL_PROBE_LIMIT_MS - 1);
	assert_false(nobody_has_opened(lease));
	close(lease);
}

/* Whatever this machine has: the verdict is one of those listed, and comes. */
static void probe_of_this_machine_gives_a_verdict(void **state)
{
	static const int codes[] = { 0, -ENODEV, -ENOEXEC, -ETIMEDOUT, -ENOENT, -EACCES, -EPERM, -ENXIO };
	struct err err = ERR_INIT;
	bool listed = false;
	char path[64];
	int code;

	/* Without a KVM the path is one of nothing. */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), real_kvm);
	code = accel_probe_kvm(path, &err);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		listed |= codes[i] == code;
	if (!listed || (code != 0) != (err.text[0] != '\0'))
		fail_msg("code %d, '%s'", code, err.text);
	assert_int_equal(err.code, code);
	print_message("this machine: %s\n", code ? err.text : "KVM works");
}

/* ---- claims: the cache ---- */

static void verdict_is_kept_for_this_boot(void **state)
{
	struct json *root = NULL;
	const char *id = NULL;
	bool works = true;
	int lease = kvm_hangs();
	struct stat st;
	char *text;
	size_t len;

	assert_refused(CACHE, "cannot run an ordinary kernel");
	assert_int_equal(stat(CACHE, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(stat(CACHE_FILE, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(io_read_file(AT_FDCWD, CACHE_FILE, 8192, &text, &len), 0);
	assert_int_equal(json_parse(text, len, &root, NULL), 0);
	assert_int_equal(json_member_string(root, "", "bootId", &id, NULL), 1);
	assert_string_equal(id, boot_id);
	assert_int_equal(json_member_bool(root, "", "works", &works, NULL), 1);
	assert_false(works);
	json_unref(root);
	free(text);
	/* It is not asked again, and what was found is told again. */
	close(lease);
	lease = lease_kvm();
	assert_refused(CACHE, "not done after 3000 ms");
	assert_emulates(CACHE, "not done after 3000 ms");
	assert_true(nobody_has_opened(lease));
	close(lease);
}

static void cache_that_cannot_be_written_costs_nothing_but_time(void **state)
{
	int lease = kvm_hangs();

	write_file(CACHE, "", 0, 0600); /* no folder */
	assert_emulates(CACHE, "cannot run an ordinary kernel");
	close(lease);
}

static void cached_verdicts_are_believed(void **state)
{
	kvm_is_a_plain_file();
	cache_says(boot_id, true, "");
	assert_kvm(ACCEL_POLICY_KVM);
	assert_kvm(ACCEL_POLICY_AUTO);
	cache_says(boot_id, false, "%s%n of before");
	assert_refused(CACHE, "%s%n of before");
	assert_emulates(CACHE, "%s%n of before");
}

static void verdict_of_another_boot_is_not_used(void **state)
{
	char other[sizeof(boot_id)];

	memcpy(other, boot_id, sizeof(other));
	other[0] = other[0] == '0' ? '1' : '0';
	kvm_is_a_plain_file();
	cache_says(other, true, "");
	assert_refused(CACHE, NO_KVM);
	cache_says("", true, "");
	assert_refused(CACHE, NO_KVM);
}

static void cache_is_not_used_without_a_folder_or_a_device(void **state)
{
	kvm_is_a_plain_file();
	cache_says(boot_id, true, "");
	assert_refused(NULL, NO_KVM);
	assert_refused("/dev/no/such/folder", NO_KVM);
	assert_int_equal(unlink(KVM), 0);
	assert_refused(CACHE, "this machine has no KVM");
}

static void unusable_cache_is_as_none(void **state)
{
	static const char *const forms[] = {
		"", "{", "[]", "null", "true", "{\"works\": true, \"reason\": \"\"}", "{\"bootId\": \"%s\"}",
		"{\"bootId\": \"%s\", \"works\": \"true\"}", "{\"bootId\": \"%s\", \"works\": 1}",
		"{\"bootId\": \"%s\", \"works\": true, \"reason\": 7}", "{\"bootId\": [\"%s\"], \"works\": true}",
		"{\"bootId\": \"%s\\u0000\", \"works\": true}", "{\"bootId\": \"%s\", \"works\": true} x",
	};
	char text[9000];

	kvm_is_a_plain_file();
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const char *at = strstr(forms[i], "%s");
		int before = at ? (int)(at - forms[i]) : (int)strlen(forms[i]);

		snprintf(text, sizeof(text), "%.*s%s%s", before, forms[i], at ? boot_id : "", at ? at + 2 : "");
		cache_holds(text, strlen(text));
		assert_refused(CACHE, NO_KVM);
	}
	/* Right, but too long. */
	memset(text, ' ', sizeof(text));
	snprintf(text, sizeof(text), "{\"bootId\": \"%s\", \"works\": true}", boot_id);
	text[strlen(text)] = ' ';
	cache_holds(text, sizeof(text));
	assert_refused(CACHE, NO_KVM);
	/* The same, short enough: it was the length. */
	cache_holds(text, 8000);
	assert_kvm(ACCEL_POLICY_KVM);
	unlink(CACHE_FILE);
	assert_int_equal(mkdir(CACHE_FILE, 0700), 0);
	assert_refused(CACHE, NO_KVM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(policy_words_are_three_and_exact),
		leak_checked(policy_tcg_does_not_look_at_kvm),
		leak_checked(missing_device_is_named_and_not_cached),
		leak_checked(file_that_is_no_kvm_is_found_out_and_not_cached),
		leak_checked(lack_of_permission_is_told_even_if_kvm_is_known_to_work),
		leak_checked(probe_that_does_not_end_is_killed_after_its_limit),
		leak_checked(probe_of_this_machine_gives_a_verdict),
		leak_checked(verdict_is_kept_for_this_boot),
		leak_checked(cache_that_cannot_be_written_costs_nothing_but_time),
		leak_checked(cached_verdicts_are_believed),
		leak_checked(verdict_of_another_boot_is_not_used),
		leak_checked(cache_is_not_used_without_a_folder_or_a_device),
		leak_checked(unusable_cache_is_as_none),
	};

	return cmocka_run_group_tests_name("accel", tests, group_setup, NULL);
}
