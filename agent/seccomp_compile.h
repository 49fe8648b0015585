/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp_compile.h - a list of system calls and actions as a BPF program for seccomp(2)
 *
 * Shape:    pure. One section per architecture, in it a binary search over ranges of system call
 *           numbers that are treated alike, at its leaves an action or comparisons of arguments.
 * Why:      libseccomp takes 40 million instructions for an engine's usual profile, which an
 *           emulated guest feels at every start; its programs search one number after the other.
 * Source:   seccomp(2), BPF as in the kernel's Documentation/networking/filter.rst.
 * Not here: names of system calls and architectures (seccomp.c).
 */
#ifndef ONGGI_AGENT_SECCOMP_COMPILE_H
#define ONGGI_AGENT_SECCOMP_COMPILE_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum seccomp_op {
	SECCOMP_OP_NE,
	SECCOMP_OP_LT,
	SECCOMP_OP_LE,
	SECCOMP_OP_EQ,
	SECCOMP_OP_GE,
	SECCOMP_OP_GT,
	SECCOMP_OP_MASKED_EQ, /* (argument & value) == value_two */
	SECCOMP_OP_COUNT,
};

struct seccomp_condition {
	uint32_t arg; /* 0 to 5 */
	enum seccomp_op op;
	uint64_t value, value_two;
	bool narrow; /* 32 bits: the upper half of the argument is not looked at */
};

/* One system call of one rule. All conditions must hold. */
struct seccomp_entry {
	uint32_t nr;
	uint32_t order; /* of rules for the same number: the smallest that matches wins */
	uint32_t action; /* SECCOMP_RET_* with data */
	const struct seccomp_condition *conditions;
	size_t n_conditions; /* 0: wins over every entry with conditions */
};

/* Numbers from @start to the next space; the first of a section starts at 0. */
struct seccomp_space {
	uint32_t start;
	uint32_t other;  /* action for numbers in between those of entries */
	uint32_t beyond; /* action for numbers past the last entry */
};

#define SECCOMP_SPACES_MAX 3u

struct seccomp_section {
	uint32_t audit_arch;
	struct seccomp_entry *entries; /* sorted in place */
	size_t n_entries;
	struct seccomp_space spaces[SECCOMP_SPACES_MAX];
	size_t n_spaces;
};

struct seccomp_policy {
	uint32_t foreign; /* action for an architecture without a section */
	struct seccomp_section *sections;
	size_t n_sections;
};

/*
 * @insns, @max  where the program goes; it is put at the end of the array: *ret points to its
 *               beginning
 *
 * Returns the number of instructions; -E2BIG more than @max; -ENOMEM.
 */
int seccomp_compile(struct seccomp_policy *policy, struct sock_filter *insns, size_t max,
		    struct sock_filter **ret);

#endif
