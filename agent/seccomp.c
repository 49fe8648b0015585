/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/seccomp.h"

#include <ctype.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/seccomp_compile.h"

#define ARGS_MAX 6u
#define CONDITIONS_MAX (2 * ARGS_MAX)
/* Per architecture: a few hundred names, in a few rules each. */
#define ENTRIES_MAX 65536u
#define X32_BIT 0x40000000u

struct seccomp_program {
	unsigned int flags; /* SECCOMP_FILTER_FLAG_* */
	unsigned short n;
	struct sock_filter insns[];
};

/* ---- words to numbers ------------------------------------------------------------------------ */

enum action_kind { ACTION_PLAIN, ACTION_ERRNO, ACTION_TRACE, ACTION_REFUSED };

static const struct {
	const char *name;
	enum action_kind kind;
	uint32_t action;
} actions[] = {
	{ "SCMP_ACT_ALLOW", ACTION_PLAIN, SECCOMP_RET_ALLOW },
	{ "SCMP_ACT_ERRNO", ACTION_ERRNO, 0 },
	{ "SCMP_ACT_KILL", ACTION_PLAIN, SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", ACTION_PLAIN, SECCOMP_RET_KILL_PROCESS },
	{ "SCMP_ACT_KILL_THREAD", ACTION_PLAIN, SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_LOG", ACTION_PLAIN, SECCOMP_RET_LOG },
	{ "SCMP_ACT_NOTIFY", ACTION_REFUSED, 0 },
	{ "SCMP_ACT_TRACE", ACTION_TRACE, 0 },
	{ "SCMP_ACT_TRAP", ACTION_PLAIN, SECCOMP_RET_TRAP },
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
		*ret = actions[i].kind == ACTION_ERRNO ? SECCOMP_RET_ERRNO | value :
		       actions[i].kind == ACTION_TRACE ? SECCOMP_RET_TRACE | value :
							 actions[i].action;
		return 0;
	}
	return err_set(err, -EOPNOTSUPP, "%s: action '%s' is not supported in the guest", field, name);
}

static const char *const op_names[SECCOMP_OP_COUNT] = {
	[SECCOMP_OP_NE] = "SCMP_CMP_NE", [SECCOMP_OP_LT] = "SCMP_CMP_LT",
	[SECCOMP_OP_LE] = "SCMP_CMP_LE", [SECCOMP_OP_EQ] = "SCMP_CMP_EQ",
	[SECCOMP_OP_GE] = "SCMP_CMP_GE", [SECCOMP_OP_GT] = "SCMP_CMP_GT",
	[SECCOMP_OP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
};

static int resolve_arg(const struct oci_seccomp_arg *arg, struct seccomp_condition *ret, struct err *err)
{
	if (arg->index >= ARGS_MAX)
		return err_set(err, -EINVAL, "args.index %u exceeds %u", arg->index, ARGS_MAX - 1);
	for (int op = 0; op < SECCOMP_OP_COUNT; op++) {
		if (strcmp(arg->op, op_names[op]) == 0) {
			*ret = (struct seccomp_condition){ arg->index, (enum seccomp_op)op, arg->value,
							   arg->value_two };
			return 0;
		}
	}
	return err_set(err, -EOPNOTSUPP, "args.op '%s' is not supported", arg->op);
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

/* ---- the rules of each architecture ---------------------------------------------------------- */

/* Those whose programs a guest can run. The x32 one shares its audit number with x86_64. */
static const struct architecture {
	const char *name;
	uint32_t token, audit;
	bool is_32bit, has_mux;
} architectures[] = {
	{ "SCMP_ARCH_X86_64", SCMP_ARCH_X86_64, AUDIT_ARCH_X86_64, false, false },
	{ "SCMP_ARCH_X86", SCMP_ARCH_X86, AUDIT_ARCH_I386, true, true },
	{ "SCMP_ARCH_X32", SCMP_ARCH_X32, AUDIT_ARCH_X86_64, true, false },
	{ "SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64, AUDIT_ARCH_AARCH64, false, false },
	{ "SCMP_ARCH_ARM", SCMP_ARCH_ARM, AUDIT_ARCH_ARM, true, false },
};

#define SECTIONS_MAX ARRAY_SIZE(architectures)

/*
 * On x86 libseccomp knows socket calls as -100 - n and those of System V IPC as -200 - n, where n
 * is the first argument of socketcall(2) and ipc(2). Most have a number of their own by now, too.
 */
static const struct {
	int pseudo;
	uint32_t direct; /* 0: none */
} mux_direct[] = {
	{ -101, 359 }, { -102, 361 }, { -103, 362 }, { -104, 363 }, { -106, 367 }, { -107, 368 },
	{ -108, 360 }, { -111, 369 }, { -112, 371 }, { -113, 373 }, { -114, 366 }, { -115, 365 },
	{ -116, 370 }, { -117, 372 }, { -118, 364 }, { -119, 337 }, { -120, 345 }, { -202, 393 },
	{ -203, 394 }, { -211, 400 }, { -212, 401 }, { -213, 399 }, { -214, 402 }, { -221, 397 },
	{ -222, 398 }, { -223, 395 }, { -224, 396 },
};

#define MUX_SOCKETCALL 102u
#define MUX_IPC 117u
#define MUX_CALLS_MAX 25

struct section {
	const struct architecture *arch;
	bool with_x32;
	struct seccomp_entry *entries;
	size_t n, size;
};

struct builder {
	uint32_t default_action;
	struct section sections[SECTIONS_MAX];
	size_t n_sections;
	struct seccomp_condition *conditions; /* of all rules: 64 bits wide, then 32 bits wide */
	size_t n_conditions;
	struct seccomp_condition mux[MUX_CALLS_MAX];
};

static void builder_finish(struct builder *b)
{
	for (size_t i = 0; i < b->n_sections; i++)
		free(b->sections[i].entries);
	free(b->conditions);
}

static int add_entry(struct section *s, const struct seccomp_entry *entry)
{
	if (s->n == s->size) {
		size_t size = s->size ? 2 * s->size : 512;
		struct seccomp_entry *grown;

		if (size > ENTRIES_MAX)
			return -E2BIG;
		grown = realloc(s->entries, size * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		s->entries = grown;
		s->size = size;
	}
	s->entries[s->n++] = *entry;
	return 0;
}

static int add_section(struct builder *b, const struct architecture *arch)
{
	for (size_t i = 0; i < b->n_sections; i++) {
		if (b->sections[i].arch->audit != arch->audit)
			continue;
		b->sections[i].with_x32 |= arch->token == SCMP_ARCH_X32;
		return 0;
	}
	b->sections[b->n_sections++] = (struct section){ .arch = arch };
	return 0;
}

/* The guest's own comes first, whether it is listed or not. */
static int add_architectures(struct builder *b, char *const *names, struct err *err)
{
	static const char prefix[] = "SCMP_ARCH_";

	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++) {
		if (architectures[i].token == seccomp_arch_native())
			add_section(b, &architectures[i]);
	}
	if (!b->n_sections)
		return err_set(err, -EOPNOTSUPP, "linux.seccomp: not supported on this processor");
	for (size_t i = 0; names && names[i]; i++) {
		char lower[32] = "";
		size_t k = 0;

		while (k < ARRAY_SIZE(architectures) && strcmp(names[i], architectures[k].name) != 0)
			k++;
		if (k < ARRAY_SIZE(architectures)) {
			add_section(b, &architectures[k]);
			continue;
		}
		/* One that no program of the guest has needs no rules. */
		for (k = 0; k < sizeof(lower) - 1 && strncmp(names[i], prefix, sizeof(prefix) - 1) == 0 &&
			    names[i][sizeof(prefix) - 1 + k]; k++)
			lower[k] = (char)tolower((unsigned char)names[i][sizeof(prefix) - 1 + k]);
		if (!seccomp_arch_resolve_name(lower))
			return err_set(err, -EOPNOTSUPP, "linux.seccomp.architectures[%zu]: '%s' is not known",
				       i, names[i]);
	}
	return 0;
}

/* Several comparisons of one argument mean "any of them", as in runc; of several arguments "all of them". */
static bool compares_twice(const struct seccomp_condition *c, size_t n)
{
	unsigned int seen = 0;

	for (size_t i = 0; i < n; i++) {
		if (seen & 1u << c[i].arg)
			return true;
		seen |= 1u << c[i].arg;
	}
	return false;
}

static int add_number(struct section *s, struct seccomp_entry e)
{
	size_t n = e.n_conditions;

	if (!compares_twice(e.conditions, n))
		return add_entry(s, &e);
	e.n_conditions = 1;
	for (; n > 0; n--, e.conditions++) {
		int r = add_entry(s, &e);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_pseudo(struct builder *b, struct section *s, int nr, struct seccomp_entry e)
{
	int call = nr <= -200 ? -200 - nr : -100 - nr, r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(mux_direct); i++) {
		if (mux_direct[i].pseudo == nr) {
			e.nr = mux_direct[i].direct;
			r = add_number(s, e);
		}
	}
	if (r < 0 || call <= 0 || call >= MUX_CALLS_MAX)
		return r;
	/* What the rule compares is behind a pointer there: as libseccomp does, the call is taken as a whole. */
	e.nr = nr <= -200 ? MUX_IPC : MUX_SOCKETCALL;
	e.conditions = &b->mux[call];
	e.n_conditions = 1;
	return add_entry(s, &e);
}

static int add_name(struct builder *b, struct section *s, uint32_t token, const char *name,
		    struct seccomp_entry e)
{
	int nr = seccomp_syscall_resolve_name_arch(token, name);

	if (nr >= 0) {
		e.nr = (uint32_t)nr;
		return add_number(s, e);
	}
	/* Unknown, or of another architecture. */
	if (!s->arch->has_mux || nr == __NR_SCMP_ERROR || nr <= -300)
		return 0;
	return add_pseudo(b, s, nr, e);
}

/* @wide, @narrow: the rule's conditions for 64 and for 32 bits. */
static int add_names(struct builder *b, const struct oci_seccomp_rule *rule, struct seccomp_entry e,
		     const struct seccomp_condition *wide, const struct seccomp_condition *narrow)
{
	int r = 0;

	for (size_t i = 0; i < b->n_sections; i++) {
		struct section *s = &b->sections[i];

		for (char **name = rule->names; r >= 0 && name && *name; name++) {
			e.conditions = s->arch->is_32bit ? narrow : wide;
			r = add_name(b, s, s->arch->token, *name, e);
			e.conditions = narrow;
			if (r >= 0 && s->with_x32)
				r = add_name(b, s, SCMP_ARCH_X32, *name, e);
		}
	}
	return r;
}

static int add_rule(struct builder *b, const struct oci_seccomp_rule *rule, uint32_t order, struct err *err)
{
	struct seccomp_condition *wide = b->conditions + b->n_conditions, *narrow = wide + rule->n_args;
	struct seccomp_entry e = { .order = order, .n_conditions = rule->n_args };
	int r;

	r = resolve_action("action", rule->action, rule->has_errno_ret, rule->errno_ret, &e.action, err);
	if (r < 0)
		return r;
	/* Says what is so anyway. */
	if (e.action == b->default_action)
		return 0;
	if (rule->n_args > CONDITIONS_MAX)
		return err_set(err, -EINVAL, "args: more than %u entries", CONDITIONS_MAX);
	for (size_t i = 0; i < rule->n_args; i++) {
		r = resolve_arg(&rule->args[i], &wide[i], err);
		if (r < 0)
			return r;
		narrow[i] = wide[i];
		narrow[i].narrow = true;
	}
	b->n_conditions += 2 * rule->n_args;
	r = add_names(b, rule, e, wide, narrow);
	return r < 0 ? err_set_errno(err, r, "rules") : 0;
}

static int add_rules(struct builder *b, const struct oci_seccomp *spec, struct err *err)
{
	size_t n_args = 0;

	for (size_t i = 0; i < spec->n_rules; i++)
		n_args += spec->rules[i].n_args;
	b->conditions = calloc(2 * n_args + 1, sizeof(*b->conditions));
	if (!b->conditions)
		return -ENOMEM;
	for (uint32_t i = 0; i < MUX_CALLS_MAX; i++)
		b->mux[i] = (struct seccomp_condition){ .op = SECCOMP_OP_EQ, .value = i };
	for (size_t i = 0; i < spec->n_rules; i++) {
		int r = add_rule(b, &spec->rules[i], (uint32_t)i, err);

		if (r < 0) {
			err_prefix(err, "linux.seccomp.syscalls[%zu]", i);
			return r;
		}
	}
	return 0;
}

/* ---- the program ----------------------------------------------------------------------------- */

/*
 * A profile that refuses what it does not list knows nothing of calls that are newer than itself.
 * Programs must get the answer of an old kernel there, or they don't fall back on older calls. (As
 * in runc.)
 */
static uint32_t action_for_newer(uint32_t default_action)
{
	switch (default_action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
		return default_action;
	default:
		return SECCOMP_RET_ERRNO | ENOSYS;
	}
}

static void fill_section(const struct section *from, uint32_t other, struct seccomp_section *to)
{
	const uint32_t foreign = SECCOMP_RET_KILL_THREAD, beyond = action_for_newer(other);

	*to = (struct seccomp_section){ .audit_arch = from->arch->audit, .entries = from->entries,
					.n_entries = from->n };
	to->spaces[to->n_spaces++] = (struct seccomp_space){ 0, other, beyond };
	if (from->arch->audit != AUDIT_ARCH_X86_64)
		return;
	if (from->with_x32) {
		to->spaces[to->n_spaces++] = (struct seccomp_space){ X32_BIT, other, beyond };
		return;
	}
	to->spaces[to->n_spaces++] = (struct seccomp_space){ X32_BIT, foreign, foreign };
	/* -1: a tracer has the call skipped. */
	to->spaces[to->n_spaces++] = (struct seccomp_space){ UINT32_MAX, other, other };
}

static int compile(const struct builder *b, unsigned int flags, struct seccomp_program **ret, struct err *err)
{
	_cleanup_free_ struct sock_filter *buffer = calloc(SECCOMP_INSNS_MAX, sizeof(*buffer));
	struct seccomp_section sections[SECTIONS_MAX];
	struct seccomp_policy policy = { .foreign = SECCOMP_RET_KILL_THREAD, .sections = sections,
					 .n_sections = b->n_sections };
	struct seccomp_program *program;
	struct sock_filter *insns;
	int n;

	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < b->n_sections; i++)
		fill_section(&b->sections[i], b->default_action, &sections[i]);
	n = seccomp_compile(&policy, buffer, SECCOMP_INSNS_MAX, &insns);
	if (n == -E2BIG)
		return err_set(err, n, "linux.seccomp: the filter exceeds %u instructions", SECCOMP_INSNS_MAX);
	if (n < 0)
		return n;
	program = malloc(sizeof(*program) + (size_t)n * sizeof(*insns));
	if (!program)
		return -ENOMEM;
	program->flags = flags;
	program->n = (unsigned short)n;
	memcpy(program->insns, insns, (size_t)n * sizeof(*insns));
	*ret = program;
	return 0;
}

int seccomp_program_build(const struct oci_seccomp *spec, struct seccomp_program **ret, struct err *err)
{
	_cleanup_(builder_finish) struct builder b = { 0 };
	unsigned int flags;
	int r;

	if (spec->listener_path && *spec->listener_path)
		return err_set(err, -EOPNOTSUPP, "linux.seccomp.listenerPath is not supported in the guest");
	r = resolve_action("linux.seccomp.defaultAction", spec->default_action,
			   spec->has_default_errno_ret, spec->default_errno_ret, &b.default_action, err);
	if (r < 0)
		return r;
	r = resolve_flags(spec->flags, &flags, err);
	if (r < 0)
		return r;
	r = add_architectures(&b, spec->architectures, err);
	if (r < 0)
		return r;
	r = add_rules(&b, spec, err);
	if (r < 0)
		return r;
	return compile(&b, flags, ret, err);
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
