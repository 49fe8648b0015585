/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The child runs the guest (accel_probe.c) and writes its struct err into a pipe. The parent waits
 * on a pidfd with a time limit. A child that outlives it is killed; the step it was in is known
 * from a page of shared memory. Verdicts about code that ran or did not are kept for this boot of
 * the host; a /dev/kvm that does not open is looked at each time, for that is cheap and an
 * administrator may just have changed it.
 */
#include "hypervisor/accel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/io.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/path.h"
#include "hypervisor/accel_probe.h"

#define KVM_PATH "/dev/kvm"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_MAX 64
#define CACHE_BYTES_MAX 8192
#define REMEDY                                                                                     \
	"; to run guests by emulation, which is no security boundary, "                            \
	"set '\"accel\": \"auto\"' in the configuration file"

static const char *const policy_words[] = {
	[ACCEL_POLICY_KVM] = "kvm",
	[ACCEL_POLICY_AUTO] = "auto",
	[ACCEL_POLICY_TCG] = "tcg",
};

int accel_policy_parse(const char *word, enum accel_policy *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(policy_words); i++) {
		if (strcmp(word, policy_words[i]) == 0) {
			*ret = (enum accel_policy)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void __attribute__((noreturn))
probe_child(const char *kvm_path, pid_t parent, int out, uint32_t *progress)
{
	struct err err = ERR_INIT;

	loop_child_reset();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	fd_close_from(0, &out, 1);
	accel_probe_run(kvm_path, progress, &err);
	io_write_all(out, &err, sizeof(err));
	_exit(0);
}

/* Wait for the child, at most ACCEL_PROBE_LIMIT_MS, and reap it in any case. */
static int probe_wait(pid_t pid, uint32_t *progress, struct err *err)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int status, r = -1;

	if (pidfd >= 0) {
		do {
			r = poll(&poll_fd, 1, ACCEL_PROBE_LIMIT_MS);
		} while (r < 0 && errno == EINTR);
	}
	if (r <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pidfd < 0)
		return err_set_errno(err, -errno, "watch the KVM probe");
	if (r == 0)
		return err_set(err, -ETIMEDOUT, "%s: not done after %d ms",
			       accel_step_name(__atomic_load_n(progress, __ATOMIC_RELAXED)),
			       ACCEL_PROBE_LIMIT_MS);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(err, -EPROTO, "%s: the probe ended with wait status 0x%x",
			       accel_step_name(__atomic_load_n(progress, __ATOMIC_RELAXED)),
			       (unsigned int)status);
	return 0;
}

int accel_probe_kvm(const char *kvm_path, struct err *err)
{
	_cleanup_close_ int in = -EBADF, out = -EBADF;
	struct err answer = ERR_INIT;
	pid_t pid, parent = getpid();
	uint32_t *progress;
	int fds[2], r;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "pipe");
	in = fds[0];
	out = fds[1];
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			-1, 0);
	if (progress == MAP_FAILED)
		return err_set_errno(err, -ENOMEM, "memory of the KVM probe");
	pid = fork();
	if (pid == 0)
		probe_child(kvm_path, parent, out, progress);
	if (pid < 0) {
		r = err_set_errno(err, -errno, "fork");
		goto out_unmap;
	}
	close(TAKE_FD(out));
	r = probe_wait(pid, progress, err);
	if (r == 0 && io_read_full(in, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		r = err_set(err, -EPROTO, "the KVM probe gave no answer");
	if (r == 0 && answer.code != 0) {
		answer.text[sizeof(answer.text) - 1] = '\0';
		r = err_set(err, answer.code, "%s", answer.text);
	}
out_unmap:
	munmap(progress, sizeof(*progress));
	return r;
}

static int read_boot_id(char *buf, size_t size)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(AT_FDCWD, BOOT_ID_PATH, BOOT_ID_MAX, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) >= size)
		return -EOVERFLOW;
	memcpy(buf, text, strlen(text) + 1);
	return 0;
}

/*
 * Returns 1 and the verdict (*ret_code 0 or -ENOEXEC, text in @reason), or 0: nothing usable is
 * cached.
 */
static int cache_load(const char *cache_dir, int *ret_code, struct err *reason)
{
	_cleanup_json_ struct json *root = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int dirfd = -EBADF;
	const char *boot_id = NULL, *why = "";
	char now[BOOT_ID_MAX];
	bool works = false;
	size_t len;

	dirfd = open(cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0 || io_read_file(dirfd, ACCEL_CACHE_FILE, CACHE_BYTES_MAX, &text, &len) < 0)
		return 0;
	if (json_parse(text, len, &root, NULL) < 0 || !json_is_object(root) ||
	    read_boot_id(now, sizeof(now)) < 0)
		return 0;
	if (json_member_string(root, "", "bootId", &boot_id, NULL) != 1 ||
	    strcmp(boot_id, now) != 0)
		return 0;
	if (json_member_bool(root, "", "works", &works, NULL) != 1 ||
	    json_member_string(root, "", "reason", &why, NULL) < 0)
		return 0;
	*ret_code = works ? 0 : err_set(reason, -ENOEXEC, "%s", why);
	return 1;
}

/* A cache that cannot be written costs time, nothing else: no error. */
static void cache_store(const char *cache_dir, int code, const struct err *reason)
{
	_cleanup_json_ struct json *root = json_new_object();
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int dirfd = -EBADF;
	char now[BOOT_ID_MAX];

	if (!root || read_boot_id(now, sizeof(now)) < 0 || path_mkdir_p(cache_dir, 0700) < 0)
		return;
	if (json_set(root, "bootId", json_new_string(now)) < 0 ||
	    json_set(root, "works", json_new_bool(code == 0)) < 0 ||
	    json_set(root, "reason", json_new_string(reason->text)) < 0)
		return;
	text = json_text(root, true);
	dirfd = open(cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (text && dirfd >= 0)
		io_replace_file(dirfd, ACCEL_CACHE_FILE, text, strlen(text), 0600);
}

static int kvm_verdict(const char *cache_dir, struct err *reason)
{
	int code;

	/* Whether we may open it is no matter of the machine, and not cached. */
	if (access(KVM_PATH, R_OK | W_OK) == 0 && cache_dir && cache_load(cache_dir, &code, reason))
		return code;
	code = accel_probe_kvm(KVM_PATH, reason);
	if (cache_dir && (code == 0 || code == -ENOEXEC || code == -ETIMEDOUT))
		cache_store(cache_dir, code, reason);
	return code;
}

/* What was found, for a person. */
static int explain(int code, const struct err *reason, const char *remedy, struct err *err)
{
	switch (code) {
	case -ENOENT:
	case -ENXIO:
		return err_set(err, -ENODEV, "this machine has no KVM: %s%s", reason->text, remedy);
	case -EACCES:
	case -EPERM:
		return err_set(err, -ENODEV, "no permission to use KVM: %s%s", reason->text,
			       remedy);
	case -ENOEXEC:
	case -ETIMEDOUT:
		return err_set(
			err, -ENODEV,
			"KVM does not work here: '%s' opens, but it cannot run an ordinary "
			       "kernel: %s%s",
			KVM_PATH, reason->text, remedy);
	default:
		return err_set(err, -ENODEV, "KVM does not work here: %s%s", reason->text, remedy);
	}
}

int accel_choose(enum accel_policy policy, const char *cache_dir, enum vm_accel *ret,
		 struct err *err)
{
	struct err reason = ERR_INIT;
	int code;

	if (policy == ACCEL_POLICY_TCG) {
		*ret = VM_ACCEL_TCG;
		return 0;
	}
	code = kvm_verdict(cache_dir, &reason);
	if (code == 0) {
		*ret = VM_ACCEL_KVM;
		return 0;
	}
	code = explain(code, &reason, policy == ACCEL_POLICY_KVM ? REMEDY : "", err);
	if (policy == ACCEL_POLICY_KVM)
		return code;
	*ret = VM_ACCEL_TCG;
	return 0;
}
