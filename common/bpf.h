/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf.h - small BPF programs made instruction by instruction, and the system call
 *
 * Limits:   BPF_PROGRAM_INSNS_MAX instructions; the caller's programs are of fixed size.
 * Source:   bpf(2), the kernel's instruction-set.rst.
 */
#ifndef ONGGI_COMMON_BPF_H
#define ONGGI_COMMON_BPF_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

#define BPF_PROGRAM_INSNS_MAX 64

struct bpf_program {
	struct bpf_insn insns[BPF_PROGRAM_INSNS_MAX];
	int n;
};

/* Append one instruction. Aborts when the program is full: its maker has miscounted. */
void bpf_emit(struct bpf_program *p, int code, int dst, int src, int off, int imm);
/*
 * Append: go elsewhere unless the word at @field of the context, which R6 points to, is @value.
 *         Uses R2. Where to is
 * for the caller to fill in: these are JMP32 JNE with a constant.
 */
void bpf_emit_check(struct bpf_program *p, int field, uint32_t value);

/* bpf(2): what it returns, descriptors are CLOEXEC; or a negative errno. */
int bpf_call(int cmd, union bpf_attr *attr);
/*
 * Load @n instructions. @attach  BPF_CGROUP_INET4_CONNECT, …; 0: none. Returns a descriptor or a
 * negative errno.
 */
int bpf_load(enum bpf_prog_type type, enum bpf_attach_type attach, const void *insns, size_t n);

#endif
