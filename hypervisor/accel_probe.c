/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The image of accel_guest.c is loaded into a VM of one vCPU, 2 MiB of memory and the in-kernel
 * interrupt controllers. Each step announces itself through an I/O port and reports a value; the
 * first exit that is not the expected one ends the probe. The kernel's answer to instructions that
 * it cannot run is KVM_EXIT_INTERNAL_ERROR (emulation failure) or KVM_EXIT_SHUTDOWN (triple fault);
 * that it may also be silence is why the caller keeps a time limit.
 */
#include "hypervisor/accel_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "common/cleanup.h"

/* Most exits of the whole run; the guest needs about fifty. */
#define EXITS_MAX 1000
/* Entries of the CPUID table asked for. */
#define CPUID_ENTRIES 256
/* Guest-physical place for the three pages that KVM wants on Intel CPUs. */
#define TSS_ADDR 0xfffbd000u

static const struct {
	const char *name;
	uint32_t result;
} steps[] = {
	[ACCEL_STEP_NONE] = { "the first instruction", 0 },
	[ACCEL_STEP_REAL] = { "real mode", 0 },
	[ACCEL_STEP_PROTECTED] = { "protected mode", 0 },
	[ACCEL_STEP_LONG] = { "page tables and long mode", 0x01234567 },
	[ACCEL_STEP_EXCEPTION] = { "invalid opcode and page fault", ACCEL_HOLE_ADDR + 1 },
	[ACCEL_STEP_CPUID] = { "CPUID", 0x20000800 },
	[ACCEL_STEP_MSR] = { "model specific registers", 0x12340000 },
	[ACCEL_STEP_FPU] = { "SSE instructions", 42 },
	[ACCEL_STEP_STRING_IO] = { "string output", 0 },
	[ACCEL_STEP_MMIO] = { "memory mapped input", ACCEL_MMIO_VALUE },
	[ACCEL_STEP_USER] = { "user mode and SYSCALL", 0x3336 },
	[ACCEL_STEP_INTERRUPT] = { "timer interrupt", 1 },
	[ACCEL_STEP_LOOP] = { "a loop of two million instructions", 0 /* computed */ },
	[ACCEL_STEP_DONE] = { "the end", 0 },
};
_Static_assert(sizeof(steps) / sizeof(steps[0]) == ACCEL_STEP_COUNT, "one entry per step");

struct probe {
	int kvm_fd, vm_fd, vcpu_fd;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_size;
	enum accel_step step;
	bool reported; /* the step's result was right */
	char string[sizeof(ACCEL_STRING)];
	size_t string_len;
	volatile uint32_t *progress;
};

const char *accel_step_name(enum accel_step step)
{
	return step < ACCEL_STEP_COUNT ? steps[step].name : "an unknown step";
}

uint32_t accel_step_result(enum accel_step step)
{
	uint32_t x = 1;

	if (step != ACCEL_STEP_LOOP)
		return step < ACCEL_STEP_COUNT ? steps[step].result : 0;
	for (unsigned int i = 0; i < ACCEL_LOOP_ROUNDS; i++)
		x = x * 1664525u + 1013904223u;
	return x;
}

static int probe_ioctl(int fd, unsigned long request, const char *name, unsigned long arg,
		       struct err *err)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		return err_set(err, -ENODEV, "%s: %s", name, strerror(errno));
	return r;
}

#define PROBE_IOCTL(fd, request, arg, err) \
	probe_ioctl(fd, request, #request, (unsigned long)(arg), err)

static int open_vm(struct probe *p, const char *kvm_path, struct err *err)
{
	int r;

	p->kvm_fd = open(kvm_path, O_RDWR | O_CLOEXEC);
	if (p->kvm_fd < 0)
		return err_set_errno(err, -errno, "open '%s'", kvm_path);
	r = PROBE_IOCTL(p->kvm_fd, KVM_GET_API_VERSION, 0, err);
	if (r < 0)
		return r;
	if (r != KVM_API_VERSION)
		return err_set(err, -ENODEV, "KVM API version %d instead of %d", r,
			       KVM_API_VERSION);
	p->vm_fd = PROBE_IOCTL(p->kvm_fd, KVM_CREATE_VM, 0, err);
	if (p->vm_fd < 0)
		return p->vm_fd;
	r = PROBE_IOCTL(p->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDR, err);
	if (r < 0)
		return r;
	return PROBE_IOCTL(p->vm_fd, KVM_CREATE_IRQCHIP, 0, err);
}

static int load_memory(struct probe *p, struct err *err)
{
	struct kvm_userspace_memory_region region = {
		.slot = 0,
		.guest_phys_addr = 0,
		.memory_size = ACCEL_GUEST_MEMORY,
	};
	/* cppcheck-suppress comparePointers ; two labels of one image */
	const size_t image_len = (size_t)(accel_guest_end - accel_guest_start);

	p->memory = mmap(NULL, ACCEL_GUEST_MEMORY, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED) {
		p->memory = NULL;
		return err_set_errno(err, -ENOMEM, "memory of the probe");
	}
	memcpy(p->memory + ACCEL_GUEST_BASE, accel_guest_start, image_len);
	region.userspace_addr = (uint64_t)(uintptr_t)p->memory;
	return PROBE_IOCTL(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &region, err);
}

/* The guest sees the CPU that KVM offers, as under QEMU's "-cpu host". */
static int set_cpuid(struct probe *p, struct err *err)
{
	size_t size = sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2);
	_cleanup_free_ struct kvm_cpuid2 *cpuid = calloc(1, size);
	int r;

	if (!cpuid)
		return err_set_errno(err, -ENOMEM, "CPUID table");
	cpuid->nent = CPUID_ENTRIES;
	r = PROBE_IOCTL(p->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid, err);
	if (r < 0)
		return r;
	return PROBE_IOCTL(p->vcpu_fd, KVM_SET_CPUID2, cpuid, err);
}

static int create_vcpu(struct probe *p, struct err *err)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = { .rip = ACCEL_GUEST_BASE, .rflags = 2 };
	int r;

	p->vcpu_fd = PROBE_IOCTL(p->vm_fd, KVM_CREATE_VCPU, 0, err);
	if (p->vcpu_fd < 0)
		return p->vcpu_fd;
	r = PROBE_IOCTL(p->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0, err);
	if (r < 0)
		return r;
	p->run_size = (size_t)r;
	p->run = mmap(NULL, p->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, p->vcpu_fd, 0);
	if (p->run == MAP_FAILED) {
		p->run = NULL;
		return err_set_errno(err, -ENODEV, "map the vCPU");
	}
	r = set_cpuid(p, err);
	if (r < 0)
		return r;
	r = PROBE_IOCTL(p->vcpu_fd, KVM_GET_SREGS, &sregs, err);
	if (r < 0)
		return r;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	r = PROBE_IOCTL(p->vcpu_fd, KVM_SET_SREGS, &sregs, err);
	if (r < 0)
		return r;
	return PROBE_IOCTL(p->vcpu_fd, KVM_SET_REGS, &regs, err);
}

static int wrong(struct probe *p, const char *what, unsigned long long value, struct err *err)
{
	return err_set(err, -ENOEXEC, "%s: %s (0x%llx)", accel_step_name(p->step), what, value);
}

/* A step begins; the one before must have given its result. */
static int on_step(struct probe *p, unsigned int next, struct err *err)
{
	if (next != p->step + 1)
		return wrong(p, "a step out of order follows", next, err);
	if (accel_step_result(p->step) && !p->reported)
		return wrong(p, "no result", 0, err);
	if (p->step == ACCEL_STEP_STRING_IO && strcmp(p->string, ACCEL_STRING) != 0)
		return wrong(p, "other bytes than those sent", p->string_len, err);
	p->step = (enum accel_step)next;
	p->reported = false;
	if (p->progress)
		*p->progress = next;
	return p->step == ACCEL_STEP_DONE;
}

static int on_io(struct probe *p, struct err *err)
{
	const struct kvm_run *run = p->run;
	const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
	uint32_t value;

	if (run->io.direction != KVM_EXIT_IO_OUT)
		return wrong(p, "input from a port", run->io.port, err);
	if (run->io.port == ACCEL_PORT_STEP && run->io.size == 1)
		return on_step(p, data[0], err);
	if (run->io.port == ACCEL_PORT_STRING && run->io.size == 1) {
		for (uint32_t i = 0; i < run->io.count && p->string_len < sizeof(p->string) - 1;
		     i++)
			p->string[p->string_len++] = (char)data[i];
		return 0;
	}
	if (run->io.port != ACCEL_PORT_RESULT || run->io.size != 4)
		return wrong(p, "output to an unknown port", run->io.port, err);
	memcpy(&value, data, sizeof(value));
	if (value != accel_step_result(p->step))
		return wrong(p, "a wrong result", value, err);
	p->reported = true;
	return 0;
}

static int on_mmio(struct probe *p, struct err *err)
{
	const uint32_t value = ACCEL_MMIO_VALUE;

	if (p->run->mmio.phys_addr != ACCEL_MMIO_ADDR || p->run->mmio.is_write ||
	    p->run->mmio.len != sizeof(value))
		return wrong(p, "access to unmapped memory", p->run->mmio.phys_addr, err);
	memcpy(p->run->mmio.data, &value, sizeof(value));
	return 0;
}

static int on_internal_error(struct probe *p, struct err *err)
{
	if (p->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		return wrong(p, "KVM gave up with an emulation failure", p->run->internal.suberror,
			     err);
	return wrong(p, "KVM gave up with an internal error", p->run->internal.suberror, err);
}

/* Returns 1 at the end of the guest, 0 to go on. */
static int handle_exit(struct probe *p, struct err *err)
{
	switch (p->run->exit_reason) {
	case KVM_EXIT_IO:
		return on_io(p, err);
	case KVM_EXIT_MMIO:
		return on_mmio(p, err);
	case KVM_EXIT_SHUTDOWN:
		return wrong(p, "the vCPU shut down, as by a triple fault", p->run->exit_reason,
			     err);
	case KVM_EXIT_FAIL_ENTRY:
		return wrong(p, "the vCPU cannot be entered",
			     p->run->fail_entry.hardware_entry_failure_reason, err);
	case KVM_EXIT_INTERNAL_ERROR:
		return on_internal_error(p, err);
	default:
		return wrong(p, "an unexpected exit", p->run->exit_reason, err);
	}
}

static int run_guest(struct probe *p, struct err *err)
{
	for (unsigned int i = 0; i < EXITS_MAX; i++) {
		int r;

		if (ioctl(p->vcpu_fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			return err_set(err, -ENOEXEC, "%s: KVM_RUN: %s", accel_step_name(p->step),
				       strerror(errno));
		}
		r = handle_exit(p, err);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return wrong(p, "too many exits", EXITS_MAX, err);
}

int accel_probe_run(const char *kvm_path, volatile uint32_t *progress, struct err *err)
{
	struct probe p = {
		.kvm_fd = -EBADF, .vm_fd = -EBADF, .vcpu_fd = -EBADF, .progress = progress
	};
	int r;

	r = open_vm(&p, kvm_path, err);
	if (r >= 0)
		r = load_memory(&p, err);
	if (r >= 0)
		r = create_vcpu(&p, err);
	if (r >= 0)
		r = run_guest(&p, err);
	if (p.run)
		munmap(p.run, p.run_size);
	if (p.vcpu_fd >= 0)
		close(p.vcpu_fd);
	if (p.vm_fd >= 0)
		close(p.vm_fd);
	if (p.kvm_fd >= 0)
		close(p.kvm_fd);
	if (p.memory)
		munmap(p.memory, ACCEL_GUEST_MEMORY);
	return r < 0 ? r : 0;
}
