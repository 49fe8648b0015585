/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/seccomp.h"

#include <ctype.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/io.h"

#define ARGS_MAX 6u

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

static int add_architectures(scmp_filter_ctx ctx, char *const *names, struct err *err)
{
	static const char prefix[] = "SCMP_ARCH_";

	for (size_t i = 0; names && names[i]; i++) {
		char lower[32] = "";
		uint32_t token = 0;
		int r;

		if (strncmp(names[i], prefix, sizeof(prefix) - 1) == 0) {
			const char *name = names[i] + sizeof(prefix) - 1;

			for (size_t k = 0; name[k] && k < sizeof(lower) - 1; k++)
				lower[k] = (char)tolower((unsigned char)name[k]);
			token = seccomp_arch_resolve_name(lower);
		}
		if (!token)
			return err_set(err, -EOPNOTSUPP, "linux.seccomp.architectures[%zu]: '%s' is not known",
				       i, names[i]);
		r = seccomp_arch_add(ctx, token);
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

	*ret = 0;
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

/* libseccomp takes one comparison per argument; several of one argument mean "any of them", as in runc. */
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

static int export_program(scmp_filter_ctx ctx, unsigned int flags, struct seccomp_program **ret,
			  struct err *err)
{
	_cleanup_close_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	_cleanup_(seccomp_program_free_p) struct seccomp_program *program = NULL;
	struct stat st;
	size_t n;
	int r;

	if (fd < 0)
		return err_set_errno(err, -errno, "linux.seccomp: memfd");
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return err_set_errno(err, r, "linux.seccomp: generate the filter");
	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, -errno, "linux.seccomp: memfd");
	n = (size_t)st.st_size / sizeof(struct sock_filter);
	if (!n || n > SECCOMP_INSNS_MAX)
		return err_set(err, -E2BIG, "linux.seccomp: the filter of %zu instructions exceeds %u", n,
			       SECCOMP_INSNS_MAX);
	program = malloc(sizeof(*program) + n * sizeof(struct sock_filter));
	if (!program)
		return -ENOMEM;
	program->flags = flags;
	program->n = (unsigned short)n;
	if (io_read_full(fd, program->insns, n * sizeof(struct sock_filter)) !=
	    (ssize_t)(n * sizeof(struct sock_filter)))
		return err_set(err, -EIO, "linux.seccomp: read the filter");
	*ret = TAKE_PTR(program);
	return 0;
}

int seccomp_program_build(const struct oci_seccomp *spec, struct seccomp_program **ret, struct err *err)
{
	_cleanup_(release_context) scmp_filter_ctx ctx = NULL;
	uint32_t default_action;
	unsigned int flags;
	int r;

	if (spec->listener_path && *spec->listener_path)
		return err_set(err, -EOPNOTSUPP, "linux.seccomp.listenerPath is not supported in the guest");
	r = resolve_action("linux.seccomp.defaultAction", spec->default_action,
			   spec->has_default_errno_ret, spec->default_errno_ret, &default_action, err);
	if (r < 0)
		return r;
	r = resolve_flags(spec->flags, &flags, err);
	if (r < 0)
		return r;
	ctx = seccomp_init(default_action);
	if (!ctx)
		return -ENOMEM;
	r = add_architectures(ctx, spec->architectures, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < spec->n_rules; i++) {
		r = add_rule(ctx, &spec->rules[i], default_action, err);
		if (r < 0) {
			err_prefix(err, "linux.seccomp.syscalls[%zu]", i);
			return r;
		}
	}
	return export_program(ctx, flags, ret, err);
}

void seccomp_program_free(struct seccomp_program *program)
{
	free(program);
}

size_t seccomp_program_n_insns(const struct seccomp_program *program)
{
	return program->n;
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
