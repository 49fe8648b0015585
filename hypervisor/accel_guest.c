/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The image is assembled for the address ACCEL_GUEST_BASE and copied there. Memory of the guest:
 *
 *   0x01000  this image              0x08000  PML4, 0x09000 PDPT, 0x0a000 PD, 0x0b000 PT
 *   0x07000  stack (grows down)      0x0c000  IDT (made by the guest)
 *   0x0d000  stack of ring 3         0x0e000  TSS (zero but for RSP0)
 *   0x1ff000 not mapped
 *
 * Every step does a thing that each x86-64 kernel does before it starts init. An implementation
 * that lacks one stops there (triple fault, emulation failure, endless loop), and the number of the
 * step tells which.
 */
#include "hypervisor/accel_guest.h"

#define STR_(x) #x
#define STR(x) STR_(x)

/* Address of a label in the guest. */
#define AT(label) "(" #label " - accel_guest_start + " STR(ACCEL_GUEST_ADDR) ")"
#define ACCEL_GUEST_ADDR 0x1000
_Static_assert(ACCEL_GUEST_ADDR == ACCEL_GUEST_BASE, "assembler's and C's base address");
_Static_assert(ACCEL_MMIO_ADDR == 0xd0000000u && ACCEL_HOLE_ADDR == 0x1ff000u, "numbers below");
_Static_assert(ACCEL_PORT_STEP == 0xe0 && ACCEL_PORT_STRING == 0xe1, "likewise");
_Static_assert(ACCEL_PORT_RESULT == 0xe4, "likewise");
_Static_assert(ACCEL_LOOP_ROUNDS == 500000, "likewise");
_Static_assert(ACCEL_STEP_DONE == 13, "steps are numbers below");

#define STEP(n) "movb $" #n ", %al\n outb %al, $0xe0\n"
#define RESULT "outl %eax, $0xe4\n"

__asm__(
	".pushsection .rodata.accel_guest, \"a\", @progbits\n"
	".globl accel_guest_start, accel_guest_end\n"
	".balign 16\n"
	"accel_guest_start:\n"

	/* real mode */
	".code16\n"
	"cli\n"
	"xorw %ax, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n movw $0x7000, %sp\n"
	STEP(1)
	"pushw %ax\n popw %bx\n"
	"lgdtl " AT(gdtr) "\n"
	"movl %cr0, %eax\n orl $1, %eax\n movl %eax, %cr0\n"
	"ljmpl $0x08, $" AT(protected) "\n"

	/* protected mode, no paging */
	".code32\n"
	"protected:\n"
	"movw $0x10, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n movl $0x7000, %esp\n"
	STEP(2)
	/*
	 * Page tables: PML4, PDPT and PD have one entry; the PT maps 2 MiB, user accessible, less
	 * the hole.
	 */
	"cld\n movl $0x8000, %edi\n movl $(0x7000 / 4), %ecx\n xorl %eax, %eax\n rep stosl\n"
	"movl $0x9007, 0x8000\n movl $0xa007, 0x9000\n movl $0xb007, 0xa000\n"
	"movl $0xb000, %edi\n movl $0x007, %eax\n movl $511, %ecx\n"
	"1: movl %eax, (%edi)\n addl $0x1000, %eax\n addl $8, %edi\n loop 1b\n"
	/*
	 * MMIO and local APIC: 1 GiB pages are no given, so one PD (at 0xf000) for 3 to 4 GiB, 2
	 * MiB pages.
	 */
	"movl $0xf000, %edi\n movl $1024, %ecx\n xorl %eax, %eax\n rep stosl\n"
	"movl $0xf007, 0x9018\n"
	"movl $0xd0000093, 0xf400\n" /* (0xd0000000 - 3 GiB) / 2 MiB * 8 */
	"movl $0xfee00093, 0xffb8\n" /* (0xfee00000 - 3 GiB) / 2 MiB * 8 */
	"movl %cr4, %eax\n orl $0x620, %eax\n movl %eax, %cr4\n" /* PAE, OSFXSR, OSXMMEXCPT */
	"movl $0x8000, %eax\n movl %eax, %cr3\n"
	"movl $0xc0000080, %ecx\n rdmsr\n orl $0x901, %eax\n wrmsr\n" /* EFER: LME, NXE, SCE */
	/* PG, WP, NE, MP */
	"movl %cr0, %eax\n andl $~0x4, %eax\n orl $0x80010022, %eax\n movl %eax, %cr0\n"
	"ljmpl $0x18, $" AT(long_mode) "\n"

	/* long mode */
	".code64\n"
	"long_mode:\n"
	"movw $0x20, %ax\n movw %ax, %ds\n movw %ax, %es\n movw %ax, %ss\n"
	"movl $0x7000, %esp\n"
	STEP(3)
	"movabsq $0x0123456789abcdef, %rax\n pushq %rax\n popq %rbx\n shrq $32, %rbx\n"
	"movl %ebx, %eax\n" RESULT

	/* IDT: vectors 6 (invalid opcode), 14 (page fault), 64 (timer) */
	STEP(4)
	"movl $" AT(on_invalid) ", %eax\n movl $6, %ecx\n call set_gate\n"
	"movl $" AT(on_fault) ", %eax\n movl $14, %ecx\n call set_gate\n"
	"movl $" AT(on_timer) ", %eax\n movl $64, %ecx\n call set_gate\n"
	"lidt " AT(idtr) "\n"
	"movl $0x7000, 0xe004\n" /* TSS.RSP0 */
	"movw $0x38, %ax\n ltr %ax\n"
	"xorl %r12d, %r12d\n"
	"ud2\n"                      /* handler: r12 += 1, skip */
	"movl 0x1ff000, %eax\n"      /* handler: maps the page, r12 += CR2 */
	"movl %r12d, %eax\n" RESULT

	STEP(5)
	"xorl %eax, %eax\n cpuid\n"
	"movl $0x80000001, %eax\n cpuid\n"
	"movl %edx, %eax\n andl $0x20000800, %eax\n" RESULT /* long mode, SYSCALL */

	STEP(6)
	"movl $0xc0000101, %ecx\n movl $0x12340000, %eax\n xorl %edx, %edx\n wrmsr\n" /* GS base */
	"swapgs\n"
	"movl $0xc0000102, %ecx\n rdmsr\n" RESULT /* kernel GS base: what was GS base */
	"movl $0xc0000081, %ecx\n xorl %eax, %eax\n movl $0x00230018, %edx\n wrmsr\n" /* STAR */
	/* LSTAR */
	"movl $0xc0000082, %ecx\n movl $" AT(on_syscall) ", %eax\n xorl %edx, %edx\n wrmsr\n"
	"movl $0xc0000084, %ecx\n movl $0x200, %eax\n xorl %edx, %edx\n wrmsr\n" /* SFMASK: IF */

	STEP(7)
	"fninit\n"
	"movl $20, %eax\n cvtsi2sd %eax, %xmm0\n movl $22, %eax\n cvtsi2sd %eax, %xmm1\n"
	"addsd %xmm1, %xmm0\n movaps %xmm0, %xmm2\n pxor %xmm0, %xmm0\n"
	"cvttsd2si %xmm2, %eax\n" RESULT

	STEP(8)
	"movl $" AT(text) ", %esi\n movl $(text_end - text), %ecx\n movl $0xe1, %edx\n rep outsb\n"

	STEP(9)
	"movl $0xd0000000, %ebx\n movl (%rbx), %eax\n" RESULT

	STEP(10)
	/* ring 3 by IRETQ, back by SYSCALL */
	"pushq $0x2b\n pushq $0xe000\n pushq $0x002\n pushq $0x33\n pushq $" AT(user) "\n iretq\n"
	"user:\n"
	"movl $0x3333, %ebx\n pushq %rbx\n popq %rax\n"
	"movw %cs, %cx\n andl $3, %ecx\n addl %ecx, %eax\n"
	"syscall\n ud2\n"
	"on_syscall:\n"
	"movl $0x7000, %esp\n" RESULT

	/* local APIC: one shot timer, wait for it in HLT */
	STEP(11)
	"xorl %r13d, %r13d\n"
	"movl $0xfee00000, %ebx\n"
	"movl $0x1ff, 0xf0(%rbx)\n"   /* spurious vector, enabled */
	"movl $0xb, 0x3e0(%rbx)\n"    /* divide by 1 */
	"movl $64, 0x320(%rbx)\n"     /* one shot, vector 64 */
	"movl $100000, 0x380(%rbx)\n"
	"2: cli\n testl %r13d, %r13d\n jnz 3f\n sti\n hlt\n jmp 2b\n"
	"3: movl %r13d, %eax\n" RESULT

	STEP(12)
	"movl $500000, %ecx\n movl $1, %eax\n"
	"4: imull $1664525, %eax, %eax\n addl $1013904223, %eax\n decl %ecx\n jnz 4b\n"
	RESULT
	STEP(13)
	"5: hlt\n jmp 5b\n"

	/* entry of vector ecx at eax; the IDT is at 0xc000 */
	"set_gate:\n"
	"shll $4, %ecx\n"
	"movw %ax, 0xc000(%rcx)\n movw $0x18, 0xc002(%rcx)\n movw $0x8e00, 0xc004(%rcx)\n"
	"shrl $16, %eax\n movw %ax, 0xc006(%rcx)\n ret\n"
	"on_invalid:\n"
	"incl %r12d\n addq $2, (%rsp)\n iretq\n"
	"on_fault:\n" /* error code on top; the PT entry of 0x1ff000 is at 0xbff8 */
	"pushq %rax\n movq %cr2, %rax\n addl %eax, %r12d\n"
	"movl $0x1ff007, 0xbff8\n invlpg 0x1ff000\n popq %rax\n"
	"addq $8, %rsp\n iretq\n"
	"on_timer:\n"
	"incl %r13d\n movl $0, 0xb0(%rbx)\n iretq\n"

	".balign 8\n"
	"gdt:\n"
	".quad 0\n"
	".quad 0x00cf9a000000ffff\n" /* 08 code 32 */
	".quad 0x00cf92000000ffff\n" /* 10 data 32 */
	".quad 0x00af9a000000ffff\n" /* 18 code 64 */
	".quad 0x00cf92000000ffff\n" /* 20 data */
	".quad 0x00cff2000000ffff\n" /* 28 user data */
	".quad 0x00affa000000ffff\n" /* 30 user code 64 */
	".quad 0x00008900e0000067, 0\n" /* 38 TSS at 0xe000 */
	"gdt_end:\n"
	"gdtr: .word gdt_end - gdt - 1\n .long " AT(gdt) "\n .long 0\n"
	"idtr: .word 0xfff\n .quad 0xc000\n"
	"text: .ascii \"" ACCEL_STRING "\"\n"
	"text_end:\n"
	"accel_guest_end:\n"
	".popsection\n"
#ifdef __x86_64__
	".code64\n"
#endif
);
