/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Jumps of BPF go forward only, so the program is written from its end to its beginning: what a
 * jump leads to is in place when the jump is written, and its distance known. A conditional jump
 * reaches 255 instructions; where that is too near, it goes around an unconditional one.
 */
#include "agent/seccomp_compile.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/cleanup.h"

#define NEAR_MAX 255u
#define ARG_LOW(arg) ((uint32_t)offsetof(struct seccomp_data, args) + 8 * (arg))
#define ARG_HIGH(arg) (ARG_LOW(arg) + 4)

/* A range of numbers up to the next leaf's start: an action, or entries with conditions. */
struct leaf {
	uint32_t start;
	uint32_t action;                     /* when no entry matches */
	const struct seccomp_entry *entries; /* NULL: none */
	size_t n_entries;
};

struct leaves {
	struct leaf *list;
	size_t n;
};

struct output {
	struct sock_filter *insns;
	size_t pos; /* of the first instruction that is written */
	bool full;
};

/* ---- writing backwards ----------------------------------------------------------------------- */

static size_t put(struct output *o, uint16_t code, uint32_t k, size_t to_true, size_t to_false)
{
	size_t next = o->pos;

	if (!o->pos || to_true - next > NEAR_MAX || to_false - next > NEAR_MAX) {
		o->full = true;
		return next;
	}
	o->insns[--o->pos] = (struct sock_filter){ .code = code, .k = k, .jt = (uint8_t)(to_true - next),
						   .jf = (uint8_t)(to_false - next) };
	return o->pos;
}

static size_t put_plain(struct output *o, uint16_t code, uint32_t k)
{
	return put(o, code, k, o->pos, o->pos);
}

static size_t put_return(struct output *o, uint32_t action)
{
	return put_plain(o, BPF_RET | BPF_K, action);
}

static size_t put_load(struct output *o, uint32_t offset)
{
	return put_plain(o, BPF_LD | BPF_W | BPF_ABS, offset);
}

/* "If <test> go to @target, else go on with what was written last." */
static size_t put_branch(struct output *o, uint16_t test, uint32_t k, size_t target)
{
	uint16_t code = BPF_JMP | BPF_K | test;
	size_t go_on = o->pos, far;

	if (target - o->pos <= NEAR_MAX)
		return put(o, code, k, target, go_on);
	far = put_plain(o, BPF_JMP | BPF_JA, (uint32_t)(target - go_on));
	return put(o, code, k, far, go_on);
}

/* ---- comparisons ----------------------------------------------------------------------------- */

/*
 * 64 bits are compared as two halves. @pass and @fail are near: a chain of conditions is short. For
 * the order relations: high > value's: @above; high < value's: @below; equal: the test of the low
 * half decides.
 */
static void put_order(struct output *o, const struct seccomp_condition *c, uint16_t low_test, bool low_passes,
		      size_t above, size_t below, size_t pass, size_t fail)
{
	uint32_t high = (uint32_t)(c->value >> 32), low = (uint32_t)c->value;
	size_t next;

	put(o, BPF_JMP | BPF_K | low_test, low, low_passes ? pass : fail, low_passes ? fail : pass);
	next = put_load(o, ARG_LOW(c->arg));
	if (c->narrow)
		return;
	next = put(o, BPF_JMP | BPF_K | BPF_JEQ, high, next, below);
	put(o, BPF_JMP | BPF_K | BPF_JGT, high, above, next);
	put_load(o, ARG_HIGH(c->arg));
}

static void put_equal(struct output *o, const struct seccomp_condition *c, size_t equal, size_t differs)
{
	bool masked = c->op == SECCOMP_OP_MASKED_EQ;
	uint64_t value = masked ? c->value_two & c->value : c->value;
	size_t next;

	put(o, BPF_JMP | BPF_K | BPF_JEQ, (uint32_t)value, equal, differs);
	if (masked)
		put_plain(o, BPF_ALU | BPF_AND | BPF_K, (uint32_t)c->value);
	next = put_load(o, ARG_LOW(c->arg));
	if (c->narrow)
		return;
	put(o, BPF_JMP | BPF_K | BPF_JEQ, (uint32_t)(value >> 32), next, differs);
	if (masked)
		put_plain(o, BPF_ALU | BPF_AND | BPF_K, (uint32_t)(c->value >> 32));
	put_load(o, ARG_HIGH(c->arg));
}

/* Falls through to what was written last when it holds, goes to @fail when not. */
static void put_condition(struct output *o, const struct seccomp_condition *c, size_t fail)
{
	size_t pass = o->pos;

	switch (c->op) {
	case SECCOMP_OP_EQ:
	case SECCOMP_OP_MASKED_EQ:
		put_equal(o, c, pass, fail);
		break;
	case SECCOMP_OP_NE:
		put_equal(o, c, fail, pass);
		break;
	case SECCOMP_OP_GT:
		put_order(o, c, BPF_JGT, true, pass, fail, pass, fail);
		break;
	case SECCOMP_OP_GE:
		put_order(o, c, BPF_JGE, true, pass, fail, pass, fail);
		break;
	case SECCOMP_OP_LT:
		put_order(o, c, BPF_JGE, false, fail, pass, pass, fail);
		break;
	case SECCOMP_OP_LE:
		put_order(o, c, BPF_JGT, false, fail, pass, pass, fail);
		break;
	default:
		o->full = true;
	}
}

static size_t put_leaf(struct output *o, const struct leaf *leaf)
{
	size_t fail = put_return(o, leaf->action);

	for (size_t i = leaf->n_entries; i-- > 0;) {
		const struct seccomp_entry *e = &leaf->entries[i];

		put_return(o, e->action);
		for (size_t k = e->n_conditions; k-- > 0;)
			put_condition(o, &e->conditions[k], fail);
		fail = o->pos;
	}
	return o->pos;
}

/* The search: depth is the logarithm of the number of leaves. */
static size_t put_tree(struct output *o, const struct leaf *leaves, size_t n)
{
	size_t half = n / 2, right;

	if (n == 1)
		return put_leaf(o, leaves);
	right = put_tree(o, leaves + half, n - half);
	put_tree(o, leaves, half);
	return put_branch(o, BPF_JGE, leaves[half].start, right);
}

/* ---- numbers to ranges ----------------------------------------------------------------------- */

static int compare_entries(const void *a, const void *b)
{
	const struct seccomp_entry *x = a, *y = b;

	if (x->nr != y->nr)
		return x->nr < y->nr ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Neighbours that say the same become one. */
static void add_leaf(struct leaves *l, struct leaf leaf)
{
	struct leaf *last = l->n ? &l->list[l->n - 1] : NULL;

	if (last && last->start == leaf.start) {
		l->n--;
		last = l->n ? last - 1 : NULL;
	}
	if (last && !last->n_entries && !leaf.n_entries && last->action == leaf.action)
		return;
	l->list[l->n++] = leaf;
}

/* The leaf of one number, whose entries are @e[0] to @e[n - 1]. */
static struct leaf leaf_of_number(const struct seccomp_entry *e, size_t n, uint32_t other)
{
	for (size_t i = 0; i < n; i++) {
		if (!e[i].n_conditions)
			return (struct leaf){ .start = e->nr, .action = e[i].action };
	}
	return (struct leaf){ .start = e->nr, .action = other, .entries = e, .n_entries = n };
}

/* Leaves of one space, whose entries are @e[0] to @e[n - 1]. */
static void add_space(struct leaves *l, const struct seccomp_space *space, const struct seccomp_entry *e,
		      size_t n, bool ends_with_last)
{
	add_leaf(l, (struct leaf){ .start = space->start, .action = n ? space->other : space->beyond });
	for (size_t i = 0; i < n;) {
		size_t same = 1;
		uint32_t nr = e[i].nr;

		while (i + same < n && e[i + same].nr == nr)
			same++;
		add_leaf(l, leaf_of_number(e + i, same, space->other));
		i += same;
		if (i < n)
			add_leaf(l, (struct leaf){ .start = nr + 1, .action = space->other });
		else if (!ends_with_last)
			add_leaf(l, (struct leaf){ .start = nr + 1, .action = space->beyond });
	}
}

static int put_section(struct output *o, struct seccomp_section *s)
{
	_cleanup_free_ struct leaf *list = calloc(2 * s->n_entries + 2 * SECCOMP_SPACES_MAX, sizeof(*list));
	struct leaves l = { .list = list };
	size_t from = 0;

	if (!list)
		return -ENOMEM;
	if (s->n_entries)
		qsort(s->entries, s->n_entries, sizeof(*s->entries), compare_entries);
	for (size_t i = 0; i < s->n_spaces; i++) {
		size_t to = from;
		bool last = i + 1 == s->n_spaces;

		while (to < s->n_entries && (last || s->entries[to].nr < s->spaces[i + 1].start))
			to++;
		add_space(&l, &s->spaces[i], s->entries + from, to - from,
			  to > from && s->entries[to - 1].nr == UINT32_MAX);
		from = to;
	}
	put_tree(o, l.list, l.n);
	put_load(o, offsetof(struct seccomp_data, nr));
	return 0;
}

int seccomp_compile(struct seccomp_policy *policy, struct sock_filter *insns, size_t max,
		    struct sock_filter **ret)
{
	struct output o = { .insns = insns, .pos = max };

	/* Last, and so written first: what belongs to no section. */
	put_return(&o, policy->foreign);
	for (size_t i = policy->n_sections; i-- > 0;) {
		size_t next = o.pos, section;
		int r = put_section(&o, &policy->sections[i]);

		if (r < 0)
			return r;
		section = o.pos;
		/* Past the section when the architecture is another one: far, so around a jump. */
		put_plain(&o, BPF_JMP | BPF_JA, (uint32_t)(next - section));
		put(&o, BPF_JMP | BPF_K | BPF_JEQ, policy->sections[i].audit_arch, section, o.pos);
	}
	put_load(&o, offsetof(struct seccomp_data, arch));
	if (o.full)
		return -E2BIG;
	*ret = insns + o.pos;
	return (int)(max - o.pos);
}
