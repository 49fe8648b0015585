/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The rules are those of cgroup version 1: each adds rights to a device, or takes them away, and
 * the later one wins, right by right. The program goes through them from the last to the first with
 * the rights that are asked for in a register: a matching rule that refuses one of them ends with
 * "no"; one that allows takes its rights out of the register, and when none is left the answer is
 * "yes". Past the first rule: "no".
 *
 * Rules that can decide nothing are left out: those that a later one covers, and refusals with nothing
 * but refusals before them. What engines give by default comes down to the standard rules that way, so
 * that one program, loaded once, serves those containers.
 *
 *   r2 type   r3 rights still to be decided   r4 major   r5 minor   r0 answer
 */
#include "agent/cgroup_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/bpf.h"
#include "common/cleanup.h"

#define RIGHTS_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define ANY (-1)
/* A rule makes at most 8 instructions; the prologue and the last answer are 8. */
#define INSNS_PER_RULE 8u
#define EDGE_INSNS 8u

_Static_assert(sizeof(struct cgroup_device_insn) == sizeof(struct bpf_insn), "laid out alike");

struct rule {
	bool allow;
	int type; /* BPF_DEVCG_DEV_*, ANY */
	int64_t major, minor;
	uint32_t rights;
};

#define STANDARD(ma, mi) { true, BPF_DEVCG_DEV_CHAR, (ma), (mi), RIGHTS_ALL }

/* What every container may do, as in runc: make any node, use these. */
static const struct rule standard[] = {
	{ true, BPF_DEVCG_DEV_CHAR, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	{ true, BPF_DEVCG_DEV_BLOCK, ANY, ANY, BPF_DEVCG_ACC_MKNOD },
	STANDARD(1, 3), STANDARD(1, 5), STANDARD(1, 7), STANDARD(1, 8), STANDARD(1, 9),
	STANDARD(5, 0), STANDARD(5, 1), STANDARD(5, 2), STANDARD(136, ANY),
};

static void emit(struct cgroup_device_program *p, int code, int dst, int src, int off, int imm)
{
	p->insns[p->n++] = (struct cgroup_device_insn){
		.code = (uint8_t)code,
		.regs = (uint8_t)(dst | src << 4),
		.off = (int16_t)off,
		.imm = imm,
	};
}

static void emit_answer(struct cgroup_device_program *p, bool allow)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_prologue(struct cgroup_device_program *p)
{
	emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 0, 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, 4, 0);
	emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, 8, 0);
}

/* Returns whether the rule decides everything, so that what comes after it could never be reached. */
static bool emit_rule(struct cgroup_device_program *p, const struct rule *r)
{
	const struct {
		int reg;
		int64_t value;
	} tests[] = { { BPF_REG_2, r->type }, { BPF_REG_4, r->major }, { BPF_REG_5, r->minor } };
	size_t jumps[ARRAY_SIZE(tests)], n_jumps = 0;

	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		if (tests[i].value == ANY)
			continue;
		jumps[n_jumps++] = p->n;
		emit(p, BPF_JMP | BPF_JNE | BPF_K, tests[i].reg, 0, 0, (int)tests[i].value);
	}
	if (!n_jumps && r->rights == RIGHTS_ALL) {
		emit_answer(p, r->allow);
		return true;
	}
	if (r->allow) {
		emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_3, 0, 0, (int)(RIGHTS_ALL & ~r->rights));
		emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 2, 0);
	} else {
		emit(p, BPF_JMP | BPF_JSET | BPF_K, BPF_REG_3, 0, 1, (int)r->rights);
		emit(p, BPF_JMP | BPF_JA, 0, 0, 2, 0);
	}
	emit_answer(p, r->allow);
	for (size_t i = 0; i < n_jumps; i++)
		p->insns[jumps[i]].off = (int16_t)(p->n - jumps[i] - 1);
	return false;
}

/* Returns 1 with *ret, 0 a rule that no device matches, or a negative errno. */
static int convert_rule(const struct oci_device_rule *rule, size_t i, struct rule *ret, struct err *err)
{
	ret->allow = rule->allow;
	ret->major = rule->major < 0 ? ANY : rule->major;
	ret->minor = rule->minor < 0 ? ANY : rule->minor;
	ret->rights = (rule->mknod ? BPF_DEVCG_ACC_MKNOD : 0u) | (rule->read ? BPF_DEVCG_ACC_READ : 0u) |
		      (rule->write ? BPF_DEVCG_ACC_WRITE : 0u);
	switch (rule->type) {
	case 'a':
		ret->type = ANY;
		break;
	case 'b':
		ret->type = BPF_DEVCG_DEV_BLOCK;
		break;
	case 'c':
		ret->type = BPF_DEVCG_DEV_CHAR;
		break;
	default:
		return err_set(err, -EINVAL, "linux.resources.devices[%zu].type: '%c' is none of a, b, c", i,
			       rule->type);
	}
	/* Numbers of devices have 12 and 20 bits. */
	return ret->rights && ret->major <= INT32_MAX && ret->minor <= INT32_MAX;
}

/* The rules that count, in the order of their tests: from the last to the first. */
struct rule_list {
	size_t n;
	bool complete; /* the last one decides everything */
	struct rule rules[];
};

static bool field_covers(int64_t a, int64_t b)
{
	return a == ANY || a == b;
}

static bool rule_covers(const struct rule *a, const struct rule *b)
{
	return field_covers(a->type, b->type) && field_covers(a->major, b->major) &&
	       field_covers(a->minor, b->minor) && (a->rights & b->rights) == b->rights;
}

static void list_add(struct rule_list *list, const struct rule *rule)
{
	static const struct rule everything = { .type = ANY, .major = ANY, .minor = ANY, .rights = RIGHTS_ALL };

	for (size_t i = 0; i < list->n; i++) {
		if (rule_covers(&list->rules[i], rule))
			return;
	}
	list->rules[list->n++] = *rule;
	list->complete = rule_covers(rule, &everything);
}

static int list_fill(struct rule_list *list, const struct oci_device_rule *rules, size_t n_rules,
		     struct err *err)
{
	for (size_t i = ARRAY_SIZE(standard); i-- > 0;)
		list_add(list, &standard[i]);
	for (size_t i = n_rules; i-- > 0 && !list->complete;) {
		struct rule rule;
		int r = convert_rule(&rules[i], i, &rule, err);

		if (r < 0)
			return r;
		if (r)
			list_add(list, &rule);
	}
	/* What comes past them is a refusal as well. */
	while (list->n && !list->rules[list->n - 1].allow)
		list->n--;
	return 0;
}

static struct cgroup_device_program *program_new(const struct rule_list *list)
{
	struct cgroup_device_program *p;
	bool decided = false;

	p = malloc(sizeof(*p) + (EDGE_INSNS + INSNS_PER_RULE * list->n) * sizeof(p->insns[0]));
	if (!p)
		return NULL;
	p->n = 0;
	/* These are the first ones, and none covers another. */
	p->is_standard = list->n == ARRAY_SIZE(standard);
	emit_prologue(p);
	for (size_t i = 0; i < list->n; i++)
		decided = emit_rule(p, &list->rules[i]);
	if (!decided)
		emit_answer(p, false);
	return p;
}

int cgroup_device_generate(const struct oci_device_rule *rules, size_t n_rules,
			   struct cgroup_device_program **ret, struct err *err)
{
	_cleanup_free_ struct rule_list *list = NULL;
	int r;

	if (n_rules > CGROUP_DEVICE_RULES_MAX)
		return err_set(err, -E2BIG, "linux.resources.devices: more than %u rules",
			       CGROUP_DEVICE_RULES_MAX);
	list = calloc(1, sizeof(*list) + (ARRAY_SIZE(standard) + n_rules) * sizeof(list->rules[0]));
	if (!list)
		return -ENOMEM;
	r = list_fill(list, rules, n_rules, err);
	if (r < 0)
		return r;
	*ret = program_new(list);
	return *ret ? 0 : -ENOMEM;
}

struct machine {
	uint32_t ctx[3];
	uint64_t reg[6];
};

static bool jump_taken(int op, uint64_t value, int32_t imm)
{
	switch (op) {
	case BPF_JA:
		return true;
	case BPF_JNE:
		return value != (uint64_t)(int64_t)imm;
	default: /* BPF_JSET */
		return value & (uint64_t)(int64_t)imm;
	}
}

/* One instruction of the few kinds that emit_* make. Returns 1 at the end, -EPROTO for any other kind. */
static int step(struct machine *m, const struct cgroup_device_insn *i, size_t *pc)
{
	int dst = i->regs & 15, src = i->regs >> 4;

	if (dst > 5 || src > 5)
		return -EPROTO;
	switch (i->code) {
	case BPF_LDX | BPF_MEM | BPF_W:
		if (i->off < 0 || i->off > 8 || i->off % 4)
			return -EPROTO;
		m->reg[dst] = m->ctx[i->off / 4];
		return 0;
	case BPF_ALU64 | BPF_MOV | BPF_X:
		m->reg[dst] = m->reg[src];
		return 0;
	case BPF_ALU64 | BPF_MOV | BPF_K:
		m->reg[dst] = (uint64_t)(int64_t)i->imm;
		return 0;
	case BPF_ALU | BPF_AND | BPF_K:
		m->reg[dst] = (uint32_t)m->reg[dst] & (uint32_t)i->imm;
		return 0;
	case BPF_ALU | BPF_RSH | BPF_K:
		m->reg[dst] = (uint32_t)m->reg[dst] >> i->imm;
		return 0;
	case BPF_JMP | BPF_JA:
	case BPF_JMP | BPF_JNE | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_K:
		if (i->off < 0)
			return -EPROTO;
		if (jump_taken(BPF_OP(i->code), m->reg[dst], i->imm))
			*pc += (size_t)i->off;
		return 0;
	case BPF_JMP | BPF_EXIT:
		return 1;
	default:
		return -EPROTO;
	}
}

int cgroup_device_run(const struct cgroup_device_program *program, uint32_t access_type, uint32_t major,
		      uint32_t minor)
{
	struct machine m = { .ctx = { access_type, major, minor } };

	for (size_t pc = 0; pc < program->n; pc++) {
		int r = step(&m, &program->insns[pc], &pc);

		if (r < 0)
			return r;
		if (r)
			return m.reg[0] <= 1 ? (int)m.reg[0] : -EPROTO;
	}
	return -EPROTO;
}

/* The program of the standard rules, once it was needed. */
static int standard_fd = -EBADF;

/* A descriptor of the loaded program for the caller. */
static int obtain(const struct cgroup_device_program *program)
{
	int fd;

	if (!program->is_standard)
		return bpf_load(BPF_PROG_TYPE_CGROUP_DEVICE, 0, program->insns, program->n);
	if (standard_fd < 0) {
		fd = bpf_load(BPF_PROG_TYPE_CGROUP_DEVICE, 0, program->insns, program->n);
		if (fd < 0)
			return fd;
		standard_fd = fd;
	}
	fd = fcntl(standard_fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

int cgroup_device_attach(int cgroup_fd, const struct cgroup_device_program *program, int *prog_fd,
			 struct err *err)
{
	_cleanup_close_ int fd = obtain(program);
	union bpf_attr attr;
	int r;

	if (fd < 0)
		return err_set_errno(err, fd, "load the device rules");
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup_fd;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (*prog_fd >= 0) {
		attr.attach_flags |= BPF_F_REPLACE;
		attr.replace_bpf_fd = (uint32_t)*prog_fd;
	}
	r = bpf_call(BPF_PROG_ATTACH, &attr);
	if (r < 0)
		return err_set_errno(err, r, "attach the device rules");
	cleanup_close_p(prog_fd);
	*prog_fd = TAKE_FD(fd);
	return 0;
}
