/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/seccomp.h"

#include <ctype.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"

#define ARGS_MAX 6u
#define X32_BIT 0x40000000u

struct seccomp_program {
	unsigned int flags; /* SECCOMP_FILTER_FLAG_* */
	unsigned short n;
	struct sock_filter insns[];
};

static void release_context(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

enum action_kind { ACTION_PLAIN, ACTION_ERRNO, ACTION_TRACE, ACTION_REFUSED };

static const struct {
	const char *name;
	enum action_kind kind;
	uint32_t action;
} actions[] = {
	{ "SCMP_ACT_ALLOW", ACTION_PLAIN, SCMP_ACT_ALLOW },
	{ "SCMP_ACT_ERRNO", ACTION_ERRNO, 0 },
	{ "SCMP_ACT_KILL", ACTION_PLAIN, SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", ACTION_PLAIN, SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", ACTION_PLAIN, SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_LOG", ACTION_PLAIN, SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", ACTION_REFUSED, 0 },
	{ "SCMP_ACT_TRACE", ACTION_TRACE, 0 },
	{ "SCMP_ACT_TRAP", ACTION_PLAIN, SCMP_ACT_TRAP },
};

static int resolve_action(const char *field, const char *name, bool has_errno, uint32_t errno_ret,
			  uint32_t *ret, struct err *err)
{
	uint32_t value = has_errno ? errno_ret & 0xffff : EPERM;

	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(name, actions[i].name) != 0)
			continue;
		if (actions[i].kind == ACTION_REFUSED)
			break;
		*ret = actions[i].kind == ACTION_ERRNO ? SCMP_ACT_ERRNO(value) :
		       actions[i].kind == ACTION_TRACE ? SCMP_ACT_TRACE(value) :
							 actions[i].action;
		return 0;
	}
	return err_set(err, -EOPNOTSUPP, "%s: action '%s' is not supported in the guest", field, name);
}

static const struct {
	const char *name;
	enum scmp_compare op;
} compares[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE }, { "SCMP_CMP_LT", SCMP_CMP_LT }, { "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ }, { "SCMP_CMP_GE", SCMP_CMP_GE }, { "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static int resolve_arg(const struct oci_seccomp_arg *arg, struct scmp_arg_cmp *ret, struct err *err)
{
	if (arg->index >= ARGS_MAX)
		return err_set(err, -EINVAL, "args.index %u exceeds %u", arg->index, ARGS_MAX - 1);
	for (size_t i = 0; i < ARRAY_SIZE(compares); i++) {
		if (strcmp(arg->op, compares[i].name) == 0) {
			*ret = (struct scmp_arg_cmp){ arg->index, compares[i].op, arg->value,
						      arg->value_two };
			return 0;
		}
	}
	return err_set(err, -EOPNOTSUPP, "args.op '%s' is not supported", arg->op);
}

/*
 * Those whose programs a guest can run. Another one that a profile lists needs no rules:
 * libseccomp's filters kill what comes from an architecture that they do not hold.
 */
static const struct architecture {
	const char *name;
	uint32_t native, token, audit;
	uint32_t number_end; /* first number that belongs to another one; 0: none does */
} architectures[] = {
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, X32_BIT },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86_64, SCMP_ARCH_X86, AUDIT_ARCH_I386, 0 },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X86_64, SCMP_ARCH_X32, 0, 0 },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, 0 },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_AARCH64, SCMP_ARCH_ARM, AUDIT_ARCH_ARM, 0 },
};

static bool architecture_known(const char *name)
{
	static const char prefix[] = "SCMP_ARCH_";
	char lower[32] = "";

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	name += sizeof(prefix) - 1;
	for (size_t i = 0; i < sizeof(lower) - 1 && name[i]; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	return seccomp_arch_resolve_name(lower) != 0;
}

/* libseccomp has put in the guest's own, whether it is listed or not. */
static int add_architectures(scmp_filter_ctx ctx, char *const *names, struct err *err)
{
	for (size_t i = 0; names && names[i]; i++) {
		size_t k = 0;
		int r;

		if (!architecture_known(names[i]))
			return err_set(err, -EOPNOTSUPP,
				       "linux.seccomp.architectures[%zu]: '%s' is not known", i,
				       names[i]);
		while (k < ARRAY_SIZE(architectures) && strcmp(names[i], architectures[k].name) != 0)
			k++;
		if (k == ARRAY_SIZE(architectures) || architectures[k].native != seccomp_arch_native())
			continue;
		r = seccomp_arch_add(ctx, architectures[k].token);
		if (r < 0 && r != -EEXIST)
			return err_set_errno(err, r, "linux.seccomp.architectures[%zu]: '%s'", i, names[i]);
	}
	return 0;
}

static int resolve_flags(char *const *names, unsigned int *ret, struct err *err)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} flags[] = {
		{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
		{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
		{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
		/* Without a listener nobody waits for a notification. */
		{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 0 },
	};

	/* As runc takes it. */
	*ret = names ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; names && names[i]; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(flags) && strcmp(names[i], flags[k].name) != 0)
			k++;
		if (k == ARRAY_SIZE(flags))
			return err_set(err, -EOPNOTSUPP, "linux.seccomp.flags[%zu]: '%s' is not supported", i,
				       names[i]);
		*ret |= flags[k].flag;
	}
	return 0;
}

/*
 * libseccomp takes one comparison per argument; several of one argument mean "any of them", as in
 * runc.
 */
static bool compares_twice(const struct scmp_arg_cmp *args, size_t n)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (seen & 1u << args[i].arg)
			return true;
		seen |= 1u << args[i].arg;
	}
	return false;
}

static int add_call(scmp_filter_ctx ctx, uint32_t action, int nr, const struct scmp_arg_cmp *args, size_t n)
{
	if (!compares_twice(args, n))
		return seccomp_rule_add_array(ctx, action, nr, (unsigned int)n, args);
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add_array(ctx, action, nr, 1, &args[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_rule(scmp_filter_ctx ctx, const struct oci_seccomp_rule *rule, uint32_t default_action,
		    struct err *err)
{
	struct scmp_arg_cmp args[2 * ARGS_MAX];
	uint32_t action;
	int r;

	r = resolve_action("action", rule->action, rule->has_errno_ret, rule->errno_ret, &action, err);
	if (r < 0)
		return r;
	/* Says what is so anyway; libseccomp would refuse it. */
	if (action == default_action)
		return 0;
	if (rule->n_args > ARRAY_SIZE(args))
		return err_set(err, -EINVAL, "args: more than %zu entries", ARRAY_SIZE(args));
	for (size_t i = 0; i < rule->n_args; i++) {
		r = resolve_arg(&rule->args[i], &args[i], err);
		if (r < 0)
			return r;
	}
	for (char **name = rule->names; name && *name; name++) {
		int nr = seccomp_syscall_resolve_name(*name);

		if (nr == __NR_SCMP_ERROR)
			continue;
		r = add_call(ctx, action, nr, args, rule->n_args);
		if (r < 0)
			return err_set_errno(err, r == -EFAULT ? -EINVAL : r, "'%s'", *name);
	}
	return 0;
}

/* ---- newer calls ----------------------------------------------------------------------------- */

/*
 * A profile that refuses what it does not list knows nothing of calls that are newer than itself.
 * Programs must get the answer of an old kernel there, or they don't fall back on older calls. As
 * runc does it, a few instructions are put in front of libseccomp's.
 */
static bool refuses(uint32_t default_action)
{
	uint32_t kind = default_action & SECCOMP_RET_ACTION_FULL;

	return kind != SECCOMP_RET_ALLOW && kind != SECCOMP_RET_LOG && kind != SECCOMP_RET_TRACE;
}

/* The highest number that the profile lists for @token; -1: none. */
static int newest_listed(const struct oci_seccomp *spec, uint32_t token)
{
	int newest = -1;

	for (size_t i = 0; i < spec->n_rules; i++) {
		for (char **name = spec->rules[i].names; name && *name; name++) {
			int nr = seccomp_syscall_resolve_name_arch(token, *name);

			if (nr > newest)
				newest = nr;
		}
	}
	return newest;
}

/* As struct sock_filter has them, with a name for "on to libseccomp's program". */
#define TO_PROGRAM UINT8_MAX
#define PREFIX_MAX (1 + 5 * ARRAY_SIZE(architectures))
_Static_assert(PREFIX_MAX < TO_PROGRAM, "jumps over the prefix fit 8 bits");

static size_t prefix_architecture(const struct architecture *a, uint32_t newest, struct sock_filter *insns)
{
	const struct sock_filter
		is_arch = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, a->audit, 0, 0),
		load_nr = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		is_other = BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, a->number_end, TO_PROGRAM, 0),
		is_newer = BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest, 0, TO_PROGRAM),
		refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	size_t n = 0;

	insns[n++] = is_arch;
	insns[n++] = load_nr;
	if (a->number_end)
		insns[n++] = is_other;
	insns[n++] = is_newer;
	insns[n++] = refuse;
	insns[0].jf = (uint8_t)(n - 1);
	return n;
}

/* Returns how many instructions were put into @insns, 0: nothing has to go first. */
static size_t make_prefix(scmp_filter_ctx ctx, const struct oci_seccomp *spec, struct sock_filter *insns)
{
	const struct sock_filter load_arch =
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	size_t n = 0;

	insns[n++] = load_arch;
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
		const struct architecture *a = &architectures[i];
		int newest;

		if (!a->audit || seccomp_arch_exist(ctx, a->token) < 0)
			continue;
		newest = newest_listed(spec, a->token);
		if (newest >= 0)
			n += prefix_architecture(a, (uint32_t)newest, insns + n);
	}
	for (size_t i = 0; i < n; i++) {
		if (insns[i].jt == TO_PROGRAM)
			insns[i].jt = (uint8_t)(n - i - 1);
		if (insns[i].jf == TO_PROGRAM)
			insns[i].jf = (uint8_t)(n - i - 1);
	}
	return n;
}

/* ---- the program ----------------------------------------------------------------------------- */

/* libseccomp writes to descriptors only. Returns how many instructions wait in *ret_fd. */
static ssize_t generate(scmp_filter_ctx ctx, int *ret_fd, struct err *err)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return err_set_errno(err, -errno, "linux.seccomp: memfd");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return err_set_errno(err, r, "linux.seccomp: generate the filter");
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, -errno, "linux.seccomp: memfd");
	*ret_fd = TAKE_FD(fd);
	return st.st_size / (off_t)sizeof(struct sock_filter);
}

static int export_program(scmp_filter_ctx ctx, const struct sock_filter *prefix, size_t n_prefix,
			  struct seccomp_program **ret, struct err *err)
{
	_cleanup_(seccomp_program_free_p) struct seccomp_program *program = NULL;
	_cleanup_close_ int fd = -EBADF;
	ssize_t n = generate(ctx, &fd, err);
	size_t size;

	if (n < 0)
		return (int)n;
	if (!n || (size_t)n > SECCOMP_INSNS_MAX - n_prefix)
		return err_set(err, -E2BIG, "linux.seccomp: the filter of %zu instructions exceeds %u",
			       (size_t)n + n_prefix, SECCOMP_INSNS_MAX);
	size = (size_t)n * sizeof(struct sock_filter);
	program = malloc(sizeof(*program) + n_prefix * sizeof(struct sock_filter) + size);
	if (!program)
		return -ENOMEM;
	program->n = (unsigned short)((size_t)n + n_prefix);
	memcpy(program->insns, prefix, n_prefix * sizeof(struct sock_filter));
	if (io_read_full(fd, program->insns + n_prefix, size) != (ssize_t)size)
		return err_set(err, -EIO, "linux.seccomp: read the filter");
	*ret = TAKE_PTR(program);
	return 0;
}

static int add_rules(scmp_filter_ctx ctx, const struct oci_seccomp *spec, uint32_t default_action,
		     struct err *err)
{
	for (size_t i = 0; i < spec->n_rules; i++) {
		int r = add_rule(ctx, &spec->rules[i], default_action, err);

		if (r < 0) {
			err_prefix(err, "linux.seccomp.syscalls[%zu]", i);
			return r;
		}
	}
	return 0;
}

static int build_program(const struct oci_seccomp *spec, uint32_t default_action,
			 struct seccomp_program **ret, struct err *err)
{
	_cleanup_(release_context) scmp_filter_ctx ctx = seccomp_init(default_action);
	struct sock_filter prefix[PREFIX_MAX];
	size_t n_prefix = 0;
	int r;

	if (!ctx)
		return -ENOMEM;
	/* A search tree in place of a list: faster for every system call. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r < 0)
		return err_set_errno(err, r, "linux.seccomp: choose a search tree");
	r = add_architectures(ctx, spec->architectures, err);
	if (r >= 0)
		r = add_rules(ctx, spec, default_action, err);
	if (r < 0)
		return r;
	if (refuses(default_action))
		n_prefix = make_prefix(ctx, spec, prefix);
	return export_program(ctx, prefix, n_prefix, ret, err);
}

int seccomp_program_build(const struct oci_seccomp *spec, struct seccomp_program **ret, struct err *err)
{
	uint32_t default_action;
	unsigned int flags;
	int r;

	if (spec->listener_path && *spec->listener_path)
		return err_set(err, -EOPNOTSUPP, "linux.seccomp.listenerPath is not supported in the guest");
	r = resolve_action("linux.seccomp.defaultAction", spec->default_action,
			   spec->has_default_errno_ret, spec->default_errno_ret, &default_action, err);
	if (r >= 0)
		r = resolve_flags(spec->flags, &flags, err);
	if (r >= 0)
		r = build_program(spec, default_action, ret, err);
	if (r < 0)
		return r;
	(*ret)->flags = flags;
	return 0;
}

/* ---- apart ----------------------------------------------------------------------------------- */

/* What the helper leaves behind, in memory that it shares. */
struct result {
	int code; /* stays 1 when it dies */
	struct err err;
	struct seccomp_program program;
};
#define RESULT_BYTES (sizeof(struct result) + SECCOMP_INSNS_MAX * sizeof(struct sock_filter))

static size_t program_size(const struct seccomp_program *program)
{
	return sizeof(*program) + program->n * sizeof(program->insns[0]);
}

static void result_unmap(struct result **result)
{
	if (*result != MAP_FAILED)
		munmap(*result, RESULT_BYTES);
}

_Noreturn static void helper_main(const struct oci_seccomp *spec, struct result *result)
{
	struct seccomp_program *program;
	int code = seccomp_program_build(spec, &program, &result->err);

	if (code >= 0)
		memcpy(&result->program, program, program_size(program));
	result->code = code;
	_exit(0);
}

static int run_helper(const struct oci_seccomp *spec, struct result *result, struct err *err)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		helper_main(spec, result);
	if (pid < 0)
		return err_set_errno(err, -errno, "linux.seccomp: make a process");
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return err_set_errno(err, -errno, "linux.seccomp: wait for the filter");
	}
	if (result->code > 0)
		return err_set(err, -EIO, "linux.seccomp: the process that made the filter died (status %d)",
			       status);
	return 0;
}

int seccomp_program_build_apart(const struct oci_seccomp *spec, struct seccomp_program **ret,
				struct err *err)
{
	_cleanup_(result_unmap) struct result *result =
		mmap(NULL, RESULT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct seccomp_program *program;
	int r;

	if (result == MAP_FAILED)
		return -ENOMEM;
	result->code = 1;
	r = run_helper(spec, result, err);
	if (r < 0)
		return r;
	if (result->code < 0)
		return err_set(err, result->code, "%s", result->err.text);
	program = malloc(program_size(&result->program));
	if (!program)
		return -ENOMEM;
	memcpy(program, &result->program, program_size(&result->program));
	*ret = program;
	return 0;
}

void seccomp_program_free(struct seccomp_program *program)
{
	free(program);
}

size_t seccomp_program_n_insns(const struct seccomp_program *program)
{
	return program->n;
}

const void *seccomp_program_insns(const struct seccomp_program *program)
{
	return program->insns;
}

int seccomp_program_load(const struct seccomp_program *program, struct err *err)
{
	struct sock_fprog filter = {
		.len = program->n,
		.filter = (struct sock_filter *)(uintptr_t)program->insns,
	};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program->flags, &filter) < 0)
		return err_set_errno(err, -errno, "load the system call filter");
	return 0;
}
