/* SPDX-License-Identifier: Apache-2.0 */
#include "common/bpf.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void bpf_emit(struct bpf_program *p, int code, int dst, int src, int off, int imm)
{
	assert(p->n < BPF_PROGRAM_INSNS_MAX);
	p->insns[p->n++] = (struct bpf_insn){
		.code = (uint8_t)code,
		.dst_reg = (uint8_t)(dst & 15),
		.src_reg = (uint8_t)(src & 15),
		.off = (int16_t)off,
		.imm = imm,
	};
}

void bpf_emit_check(struct bpf_program *p, int field, uint32_t value)
{
	bpf_emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, field, 0);
	bpf_emit(p, BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, (int32_t)value);
}

int bpf_call(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

int bpf_load(enum bpf_prog_type type, enum bpf_attach_type attach, const void *insns, size_t n)
{
	static const char license[] = "Apache-2.0";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = type;
	attr.expected_attach_type = attach;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t)license;
	return bpf_call(BPF_PROG_LOAD, &attr);
}
