/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters run in an interpreter of BPF. Those of whole profiles are held against what libseccomp makes of the
 * same rules when it is asked for a plain list: neither the search tree nor what goes first may change an answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "agent/seccomp.h"
#include "common/cleanup.h"
#include "common/io.h"
#include "common/oci.h"

#define BAD UINT32_MAX

static uint32_t jump(const struct sock_filter *i, uint32_t a)
{
	bool taken = BPF_OP(i->code) == BPF_JEQ ? a == i->k :
		     BPF_OP(i->code) == BPF_JGT ? a > i->k :
		     BPF_OP(i->code) == BPF_JGE ? a >= i->k : (a & i->k) != 0;

	return taken ? i->jt : i->jf;
}

/* The action for @data, BAD for a program that the kernel would not take. */
static uint32_t interpret(const struct sock_filter *insns, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &insns[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (i->k % 4 || i->k + 4 > sizeof(*data))
				return BAD;
			memcpy(&a, (const char *)data + i->k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JSET | BPF_K:
			pc += jump(i, a);
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return BAD;
		}
	}
	return BAD;
}

/* ---- rules ----------------------------------------------------------------------------------- */

#define RULES_MAX 32

static struct oci_seccomp_rule rules[RULES_MAX];
static struct oci_seccomp spec;
static struct seccomp_program *program;

#define NAMES(...) ((char **)(uintptr_t)(const char *const[]){ __VA_ARGS__, NULL })
#define TEXT(s) ((char *)(uintptr_t)(s))

static char **const all_archs = (char **)(uintptr_t)(const char *const[]){ "SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
									     "SCMP_ARCH_X32", NULL };

static void begin(const char *default_action, char **architectures)
{
	memset(&spec, 0, sizeof(spec));
	memset(rules, 0, sizeof(rules));
	spec.default_action = TEXT(default_action);
	spec.architectures = architectures;
	spec.rules = rules;
}

static struct oci_seccomp_rule *rule(char **names, const char *action)
{
	struct oci_seccomp_rule *r = &rules[spec.n_rules++];

	r->names = names;
	r->action = TEXT(action);
	return r;
}

static void build(void)
{
	struct err err = ERR_INIT;

	seccomp_program_free(program);
	program = NULL;
	if (seccomp_program_build(&spec, &program, &err) < 0)
		fail_msg("%s", err.text);
}

static uint32_t ask_arch(uint32_t arch, uint32_t nr, uint64_t arg0, uint64_t arg1)
{
	const struct seccomp_data data = { .nr = (int)nr, .arch = arch, .args = { arg0, arg1 } };

	return interpret(seccomp_program_insns(program), seccomp_program_n_insns(program), &data);
}

static uint32_t ask(uint32_t nr, uint64_t arg0, uint64_t arg1)
{
	return ask_arch(AUDIT_ARCH_X86_64, nr, arg0, arg1);
}

#define DENIED(code) (SECCOMP_RET_ERRNO | (code))

static void rules_and_default_hold(void **state)
{
	struct oci_seccomp_rule *r;

	begin("SCMP_ACT_ERRNO", NULL);
	rule(NAMES("read", "write", "no_such_call"), "SCMP_ACT_ALLOW");
	r = rule(NAMES("mkdir"), "SCMP_ACT_ERRNO");
	r->has_errno_ret = true;
	r->errno_ret = 95;
	rule(NAMES("reboot"), "SCMP_ACT_KILL_PROCESS");
	build();
	assert_int_equal(ask(SYS_read, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_write, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_open, 0, 0), DENIED(EPERM));
	assert_int_equal(ask(SYS_mkdir, 0, 0), DENIED(95));
	assert_int_equal(ask(SYS_reboot, 0, 0), SECCOMP_RET_KILL_PROCESS);
}

static void every_action_has_its_return_value(void **state)
{
	static const struct {
		const char *name;
		uint32_t value;
	} actions[] = {
		{ "SCMP_ACT_ERRNO", DENIED(7) },
		{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD },
		{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
		{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD },
		{ "SCMP_ACT_LOG", SECCOMP_RET_LOG },
		{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE | 7 },
		{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP },
	};

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		struct oci_seccomp_rule *r;

		begin("SCMP_ACT_ALLOW", NULL);
		r = rule(NAMES("mkdir"), actions[i].name);
		r->has_errno_ret = true;
		r->errno_ret = 7;
		build();
		assert_int_equal(ask(SYS_mkdir, 0, 0), actions[i].value);
		assert_int_equal(ask(SYS_rmdir, 0, 0), SECCOMP_RET_ALLOW);
		begin(actions[i].name, NULL);
		spec.has_default_errno_ret = true;
		spec.default_errno_ret = 7;
		rule(NAMES("read", "openat2"), "SCMP_ACT_ALLOW");
		build();
		assert_int_equal(ask(SYS_mkdir, 0, 0), actions[i].value);
		assert_int_equal(ask(SYS_read, 0, 0), SECCOMP_RET_ALLOW);
	}
}

static void newer_calls_than_the_profile_knows_give_enosys(void **state)
{
	begin("SCMP_ACT_ERRNO", NULL);
	rule(NAMES("read", "openat2"), "SCMP_ACT_ALLOW");
	build();
	assert_int_equal(ask(SYS_openat2, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_openat2 + 1, 0, 0), DENIED(ENOSYS));
	assert_int_equal(ask(SYS_openat2 - 1, 0, 0), DENIED(EPERM));
	/* The last one that x86 lists has the same number; one that is listed nowhere is not counted. */
	spec.architectures = all_archs;
	rule(NAMES("no_such_call"), "SCMP_ACT_ALLOW");
	build();
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, SYS_openat2, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, SYS_openat2 + 1, 0, 0), DENIED(ENOSYS));
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, 5, 0, 0), DENIED(EPERM));
	assert_int_equal(ask(0x40000000 | (SYS_openat2 + 1), 0, 0), DENIED(EPERM));
	assert_int_equal(ask(UINT32_MAX, 0, 0), DENIED(EPERM));
	begin("SCMP_ACT_LOG", NULL);
	rule(NAMES("read"), "SCMP_ACT_ALLOW");
	build();
	assert_int_equal(ask(SYS_openat2, 0, 0), SECCOMP_RET_LOG);
	begin("SCMP_ACT_ALLOW", NULL);
	rule(NAMES("read"), "SCMP_ACT_ERRNO");
	build();
	assert_int_equal(ask(SYS_openat2, 0, 0), SECCOMP_RET_ALLOW);
}

static void other_architectures_are_killed(void **state)
{
	begin("SCMP_ACT_ALLOW", NULL);
	rule(NAMES("mkdir"), "SCMP_ACT_ERRNO");
	build();
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, 1, 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(ask(0x40000000 | SYS_mkdir, 0, 0), SECCOMP_RET_KILL_THREAD);
	assert_int_equal(ask(UINT32_MAX, 0, 0), SECCOMP_RET_ALLOW);
	spec.architectures = all_archs;
	build();
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, 1, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_arch(AUDIT_ARCH_I386, 39, 0, 0), DENIED(EPERM));
	assert_int_equal(ask(0x40000000 | SYS_mkdir, 0, 0), DENIED(EPERM));
	assert_int_equal(ask(0x40000000 | SYS_read, 0, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask_arch(AUDIT_ARCH_AARCH64, 1, 0, 0), SECCOMP_RET_KILL_THREAD);
}

static void every_comparison_holds_in_64_bits(void **state)
{
	static const struct {
		const char *op;
		uint64_t value, two;
	} ops[] = {
		{ "SCMP_CMP_NE", UINT64_C(0x500000007), 0 }, { "SCMP_CMP_LT", UINT64_C(0x500000007), 0 },
		{ "SCMP_CMP_LE", UINT64_C(0x500000007), 0 }, { "SCMP_CMP_EQ", UINT64_C(0x500000007), 0 },
		{ "SCMP_CMP_GE", UINT64_C(0x500000007), 0 }, { "SCMP_CMP_GT", UINT64_C(0x500000007), 0 },
		{ "SCMP_CMP_MASKED_EQ", UINT64_C(0xf0000000f), UINT64_C(0x500000007) },
	};
	static const uint64_t values[] = {
		0, 6, 7, 8, UINT64_C(0x400000006), UINT64_C(0x400000007), UINT64_C(0x400000008),
		UINT64_C(0x500000006), UINT64_C(0x500000007), UINT64_C(0x500000008), UINT64_C(0x600000007),
		UINT64_C(0x7500000027), UINT64_MAX,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		struct oci_seccomp_arg arg = { 1, ops[i].value, ops[i].two, TEXT(ops[i].op) };
		struct oci_seccomp_rule *r;

		begin("SCMP_ACT_ERRNO", NULL);
		r = rule(NAMES("mkdir"), "SCMP_ACT_ALLOW");
		r->args = &arg;
		r->n_args = 1;
		build();
		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			uint64_t v = values[k], x = ops[i].value;
			bool holds[] = { v != x, v < x, v <= x, v == x, v >= x, v > x,
					 (v & x) == (ops[i].two & x) };

			assert_int_equal(ask(SYS_mkdir, 99, v), holds[i] ? SECCOMP_RET_ALLOW : DENIED(EPERM));
		}
	}
}

static void conditions_on_one_argument_are_alternatives(void **state)
{
	struct oci_seccomp_arg same[] = { { 0, 1, 0, TEXT("SCMP_CMP_EQ") }, { 0, 2, 0, TEXT("SCMP_CMP_EQ") } };
	struct oci_seccomp_arg both[] = { { 0, 1, 0, TEXT("SCMP_CMP_EQ") }, { 1, 2, 0, TEXT("SCMP_CMP_EQ") } };
	struct oci_seccomp_rule *r;

	begin("SCMP_ACT_ERRNO", NULL);
	r = rule(NAMES("mkdir"), "SCMP_ACT_ALLOW");
	r->args = same;
	r->n_args = 2;
	r = rule(NAMES("rmdir"), "SCMP_ACT_ALLOW");
	r->args = both;
	r->n_args = 2;
	build();
	assert_int_equal(ask(SYS_mkdir, 1, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_mkdir, 2, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_mkdir, 3, 0), DENIED(EPERM));
	assert_int_equal(ask(SYS_rmdir, 1, 2), SECCOMP_RET_ALLOW);
	assert_int_equal(ask(SYS_rmdir, 1, 1), DENIED(EPERM));
	assert_int_equal(ask(SYS_rmdir, 2, 2), DENIED(EPERM));
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
	struct oci_seccomp_arg far = { 6, 0, 0, TEXT("SCMP_CMP_EQ") };
	struct oci_seccomp_rule *r;
	struct err err = ERR_INIT;

	begin("SCMP_ACT_NOTIFY", NULL);
	assert_int_equal(seccomp_program_build(&spec, &program, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "SCMP_ACT_NOTIFY"));
	begin("SCMP_ACT_ALLOW", NAMES("SCMP_ARCH_PDP11"));
	assert_int_equal(seccomp_program_build(&spec, &program, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "SCMP_ARCH_PDP11"));
	begin("SCMP_ACT_ALLOW", NULL);
	spec.flags = NAMES("SECCOMP_FILTER_FLAG_NEW_LISTENER");
	assert_int_equal(seccomp_program_build(&spec, &program, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "NEW_LISTENER"));
	begin("SCMP_ACT_ALLOW", NULL);
	spec.listener_path = TEXT("/x");
	assert_int_equal(seccomp_program_build(&spec, &program, &err), -EOPNOTSUPP);
	begin("SCMP_ACT_ALLOW", NULL);
	r = rule(NAMES("mkdir"), "SCMP_ACT_ERRNO");
	r->args = &far;
	r->n_args = 1;
	assert_int_equal(seccomp_program_build(&spec, &program, &err), -EINVAL);
	assert_non_null(strstr(err.text, "linux.seccomp.syscalls[0]"));
}

static void helper_hands_over_what_it_has_made(void **state)
{
	_cleanup_(seccomp_program_free_p) struct seccomp_program *apart = NULL;
	struct err err = ERR_INIT;

	begin("SCMP_ACT_ERRNO", all_archs);
	rule(NAMES("read", "mkdir"), "SCMP_ACT_ALLOW");
	build();
	assert_int_equal(seccomp_program_build_apart(&spec, &apart, &err), 0);
	assert_int_equal(seccomp_program_n_insns(apart), seccomp_program_n_insns(program));
	assert_memory_equal(seccomp_program_insns(apart), seccomp_program_insns(program),
			    seccomp_program_n_insns(program) * sizeof(struct sock_filter));
	spec.default_action = TEXT("SCMP_ACT_NOTIFY");
	assert_int_equal(seccomp_program_build_apart(&spec, &apart, &err), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "linux.seccomp.defaultAction: action 'SCMP_ACT_NOTIFY'"));
}

static void death_of_the_helper_is_reported(void **state)
{
	struct seccomp_program *apart = NULL;
	struct err err = ERR_INIT;
	void (*before)(int) = signal(SIGSEGV, SIG_DFL);

	begin("SCMP_ACT_ALLOW", NULL);
	spec.default_action = (char *)(uintptr_t)16;
	assert_int_equal(seccomp_program_build_apart(&spec, &apart, &err), -EIO);
	assert_non_null(strstr(err.text, "died"));
	assert_null(apart);
	signal(SIGSEGV, before);
}

static void foreign_architectures_are_accepted(void **state)
{
	begin("SCMP_ACT_ALLOW", NAMES("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X"));
	build();
	assert_int_equal(ask(SYS_read, 0, 0), SECCOMP_RET_ALLOW);
}

static void kernel_takes_the_program(void **state)
{
	int status;
	pid_t pid;

	begin("SCMP_ACT_ALLOW", all_archs);
	spec.flags = NAMES("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
			   "SECCOMP_FILTER_FLAG_TSYNC");
	rule(NAMES("mkdir", "socket", "shmget"), "SCMP_ACT_ERRNO");
	rule(NAMES("sync"), "SCMP_ACT_KILL_PROCESS");
	build();
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_program_load(program, NULL) < 0)
			_exit(1);
		if (syscall(SYS_mkdir, "/", 0) != -1 || errno != EPERM)
			_exit(2);
		syscall(SYS_sync);
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* ---- against a plain list -------------------------------------------------------------------- */

static struct sock_filter reference[SECCOMP_INSNS_MAX];
static size_t n_reference;

static uint32_t reference_action(const char *name, bool has_errno, uint32_t code)
{
	if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
		return SCMP_ACT_ALLOW;
	if (strcmp(name, "SCMP_ACT_KILL_PROCESS") == 0)
		return SCMP_ACT_KILL_PROCESS;
	assert_string_equal(name, "SCMP_ACT_ERRNO");
	return SCMP_ACT_ERRNO(has_errno ? code : EPERM);
}

static void add_reference(scmp_filter_ctx ctx, const struct oci_seccomp_rule *r, uint32_t default_action)
{
	static const char *const ops[] = { "", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
					   "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ" };
	uint32_t action = reference_action(r->action, r->has_errno_ret, r->errno_ret);
	struct scmp_arg_cmp args[6];

	if (action == default_action)
		return;
	for (size_t i = 0; i < r->n_args; i++) {
		int op = SCMP_CMP_NE;

		while (strcmp(ops[op], r->args[i].op) != 0)
			op++;
		args[i] = (struct scmp_arg_cmp){ r->args[i].index, (enum scmp_compare)op, r->args[i].value,
						 r->args[i].value_two };
	}
	for (char **name = r->names; *name; name++) {
		int nr = seccomp_syscall_resolve_name(*name);

		if (nr != __NR_SCMP_ERROR)
			assert_int_equal(seccomp_rule_add_array(ctx, action, nr, (unsigned int)r->n_args, args), 0);
	}
}

static void build_reference(const struct oci_seccomp *s)
{
	uint32_t default_action = reference_action(s->default_action, s->has_default_errno_ret,
						   s->default_errno_ret);
	_cleanup_close_ int fd = memfd_create("reference", MFD_CLOEXEC);
	scmp_filter_ctx ctx = seccomp_init(default_action);
	ssize_t n;

	assert_int_equal(seccomp_arch_add(ctx, SCMP_ARCH_X86), 0);
	assert_int_equal(seccomp_arch_add(ctx, SCMP_ARCH_X32), 0);
	for (size_t i = 0; i < s->n_rules; i++)
		add_reference(ctx, &s->rules[i], default_action);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	seccomp_release(ctx);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	n = io_read_full(fd, reference, sizeof(reference));
	assert_true(n > 0);
	n_reference = (size_t)n / sizeof(reference[0]);
}

/* The same answer for every number and for arguments around those that rules are made of. */
static void compare(bool mux)
{
	static const uint64_t args[] = { 0, 1, 2, 16, 38, 40, 0x20000, 0x20008, 0xffffffff,
					 UINT64_C(0x100000010), 0x7e020000, UINT64_MAX };
	static const struct {
		uint32_t arch, bit, newest;
	} archs[] = { { AUDIT_ARCH_X86_64, 0, 334 }, { AUDIT_ARCH_I386, 0, 386 },
		      { AUDIT_ARCH_X86_64, 0x40000000, 334 } };
	unsigned int compared = 0;

	for (size_t a = 0; a < ARRAY_SIZE(archs); a++) {
		for (uint32_t nr = 0; nr <= archs[a].newest + 120; nr++) {
			for (size_t i = 0; i < ARRAY_SIZE(args) * ARRAY_SIZE(args); i++) {
				struct seccomp_data d = { .nr = (int)(nr | archs[a].bit), .arch = archs[a].arch };
				uint32_t ours, theirs;

				d.args[0] = args[i % ARRAY_SIZE(args)];
				d.args[1] = args[i / ARRAY_SIZE(args)];
				d.args[2] = d.args[0];
				/* Arguments of 32-bit programs have no high half. */
				for (int k = 0; archs[a].arch == AUDIT_ARCH_I386 && k < 3; k++)
					d.args[k] = (uint32_t)d.args[k];
				ours = interpret(seccomp_program_insns(program),
						 seccomp_program_n_insns(program), &d);
				theirs = interpret(reference, n_reference, &d);
				/* Rules that compare more than the first argument get lost in socketcall and ipc. */
				if (!mux && archs[a].arch == AUDIT_ARCH_I386 && (nr == 102 || nr == 117))
					continue;
				/* The one wanted difference. */
				if (ours == DENIED(ENOSYS) && nr > 300)
					continue;
				if (ours != theirs)
					fail_msg("arch %zu number %u args %llx %llx: %x, libseccomp %x", a, nr,
						 (unsigned long long)d.args[0],
						 (unsigned long long)d.args[1], ours, theirs);
				compared++;
			}
		}
	}
	assert_true(compared > 100000);
}

static void engines_profiles_answer_as_a_plain_list_does(void **state)
{
	static const char *const files[] = { "tests/unit/oci-cases/pass-docker.json",
					     "tests/unit/oci-cases/pass-podman.json" };

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *text = NULL;
		_cleanup_(oci_spec_free_p) struct oci_spec *s = NULL;
		struct err err = ERR_INIT;
		size_t len;

		assert_int_equal(io_read_file(AT_FDCWD, files[i], OCI_SPEC_BYTES_MAX, &text, &len), 0);
		assert_int_equal(oci_spec_parse(text, len, &s, &err), 0);
		assert_true(s->has_seccomp);
		spec = s->seccomp;
		spec.architectures = all_archs;
		build();
		build_reference(&spec);
		compare(true);
	}
}

static uint64_t random_state = 88172645463325252u;

static uint32_t pick(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 16) % n;
}

static void random_profiles_answer_as_a_plain_list_does(void **state)
{
	static const char *const names[] = {
		"read",   "write",  "open",    "socket", "connect", "bind",   "shmget", "msgsnd", "semop",
		"clone",  "mkdir",  "personality", "ioctl", "mmap", "fcntl",  "accept4", "sendmsg", "setns",
		"prctl",  "ptrace", "arch_prctl", "fcntl64", "mmap2", "getrandom", "openat2", "clone3",
	};
	static const char *const ops[] = { "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
					   "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ" };
	static const uint64_t values[] = { 0, 1, 2, 16, 40, 0x20000, 0xffffffff, 0x7e020000 };

	for (int round = 0; round < 20; round++) {
		struct oci_seccomp_arg args[RULES_MAX][2];
		char *lists[ARRAY_SIZE(names)][2];
		size_t first = 0;

		begin("SCMP_ACT_ERRNO", all_archs);
		/* Each name once: of several rules for one call libseccomp makes what it likes. */
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			struct oci_seccomp_rule *r;

			if (pick(3) == 0)
				continue;
			lists[i][0] = TEXT(names[i]);
			lists[i][1] = NULL;
			r = rule(lists[i], pick(5) ? "SCMP_ACT_ALLOW" : "SCMP_ACT_KILL_PROCESS");
			r->n_args = pick(3);
			r->args = args[spec.n_rules - 1];
			first = pick(2);
			for (size_t k = 0; k < r->n_args; k++)
				r->args[k] = (struct oci_seccomp_arg){ (uint32_t)(first + k),
					values[pick(ARRAY_SIZE(values))], values[pick(ARRAY_SIZE(values))],
					TEXT(ops[pick(ARRAY_SIZE(ops))]) };
		}
		build();
		build_reference(&spec);
		compare(false);
	}
}

static int leave(void **state)
{
	seccomp_program_free(program);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_and_default_hold),
		cmocka_unit_test(every_action_has_its_return_value),
		cmocka_unit_test(newer_calls_than_the_profile_knows_give_enosys),
		cmocka_unit_test(other_architectures_are_killed),
		cmocka_unit_test(every_comparison_holds_in_64_bits),
		cmocka_unit_test(conditions_on_one_argument_are_alternatives),
		cmocka_unit_test(what_is_not_supported_is_refused_by_name),
		cmocka_unit_test(helper_hands_over_what_it_has_made),
		cmocka_unit_test(death_of_the_helper_is_reported),
		cmocka_unit_test(foreign_architectures_are_accepted),
		cmocka_unit_test(kernel_takes_the_program),
		cmocka_unit_test(engines_profiles_answer_as_a_plain_list_does),
		cmocka_unit_test(random_profiles_answer_as_a_plain_list_does),
	};

	return cmocka_run_group_tests_name("agent seccomp", tests, NULL, leave);
}
