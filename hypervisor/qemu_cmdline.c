/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qemu_cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ARGS_MAX 128
#define VCPUS_MAX 64
#define MEMORY_MIB_MIN 64
#define MEMORY_MIB_MAX (1u << 20)
#define LOW_MEMORY_MIB 3072
#define HIGH_MEMORY_START (UINT64_C(4) << 30)

struct args {
	char *v[ARGS_MAX + 1];
	size_t n;
	int code; /* first failure; later additions do nothing */
};

static void add(struct args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct args *args, const char *fmt, ...)
{
	va_list ap;

	if (args->code < 0)
		return;
	if (args->n == ARGS_MAX) {
		args->code = -E2BIG;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&args->v[args->n], fmt, ap) < 0) {
		args->v[args->n] = NULL;
		args->code = -ENOMEM;
	} else {
		args->n++;
	}
	va_end(ap);
}

static void args_free(struct args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->v[i]);
}

void qemu_cmdline_free(char **argv)
{
	if (!argv)
		return;
	for (size_t i = 0; argv[i]; i++)
		free(argv[i]);
	free(argv);
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

int qemu_cmdline_escape(const char *value, char **ret)
{
	char *escaped, *out;

	if (has_control(value))
		return -EINVAL;
	escaped = malloc(2 * strlen(value) + 1);
	if (!escaped)
		return -ENOMEM;
	for (out = escaped; *value; value++) {
		*out++ = *value;
		if (*value == ',')
			*out++ = ',';
	}
	*out = '\0';
	*ret = escaped;
	return 0;
}

/* @value may be handed to QEMU as it is, or within a list once escaped. */
static int check_string(const char *field, const char *value, size_t max, struct err *err)
{
	if (!value || !*value)
		return err_set(err, -EINVAL, "virtual machine: field '%s' is empty", field);
	if (strlen(value) > max)
		return err_set(err, -EINVAL, "virtual machine: field '%s' is longer than %zu bytes",
			       field, max);
	if (has_control(value))
		return err_set(err, -EINVAL,
			       "virtual machine: field '%s' has a control character in it", field);
	return 0;
}

static int check(const struct vm_config *c, const struct qemu_cmdline_fds *fds, struct err *err)
{
	const struct {
		const char *field, *value;
		size_t max;
	} strings[] = {
		{ "name", c->name, QEMU_CMDLINE_NAME_MAX },
		{ "vmm_path", c->vmm_path, 4095 },
		{ "kernel", c->kernel, 4095 },
		{ "initrd", c->initrd, 4095 },
		{ "share_tag", fds->share >= 0 ? c->share_tag : "-", QEMU_CMDLINE_TAG_MAX },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(strings) && r == 0; i++)
		r = check_string(strings[i].field, strings[i].value, strings[i].max, err);
	if (r < 0)
		return r;
	if (c->extra_cmdline && has_control(c->extra_cmdline))
		return err_set(
			err, -EINVAL,
			"virtual machine: kernel parameters with a control character in them");
	if (c->vcpus < 1 || c->vcpus > VCPUS_MAX)
		return err_set(err, -EINVAL, "virtual machine: %u vCPUs, not 1 to %d", c->vcpus,
			       VCPUS_MAX);
	if (c->vcpus_max > VCPUS_MAX || c->memory_max_mib > MEMORY_MIB_MAX)
		return err_set(err, -EINVAL,
			       "virtual machine: %u vCPUs and %llu MiB at most, not up to %d and %u",
			       c->vcpus_max, (unsigned long long)c->memory_max_mib, VCPUS_MAX,
			       MEMORY_MIB_MAX);
	if (c->memory_mib < MEMORY_MIB_MIN || c->memory_mib > MEMORY_MIB_MAX)
		return err_set(err, -EINVAL, "virtual machine: %llu MiB of memory, not %d to %u",
			       (unsigned long long)c->memory_mib, MEMORY_MIB_MIN, MEMORY_MIB_MAX);
	return 0;
}

static unsigned int machine_vcpus(const struct vm_config *c)
{
	return c->vcpus_max > c->vcpus ? c->vcpus_max : c->vcpus;
}

size_t qemu_memory_ranges(uint64_t memory_mib, struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX])
{
	uint64_t low = memory_mib < LOW_MEMORY_MIB ? memory_mib : LOW_MEMORY_MIB;

	ranges[0] = (struct vm_memory_range){ 0, low << 20 };
	if (low == memory_mib)
		return 1;
	ranges[1] = (struct vm_memory_range){ HIGH_MEMORY_START, (memory_mib - low) << 20 };
	return 2;
}

/* How much of a larger machine the guest takes into use at boot: " mem=256M maxcpus=1". */
static void size_words(const struct vm_config *c, char *out, size_t size)
{
	char memory[32] = "", cpus[32] = "";

	if (vm_config_built_mib(c) > c->memory_mib)
		snprintf(memory, sizeof(memory), " mem=%lluM", (unsigned long long)c->memory_mib);
	if (machine_vcpus(c) > c->vcpus)
		snprintf(cpus, sizeof(cpus), " maxcpus=%u", c->vcpus);
	snprintf(out, size, "%s%s", memory, cpus);
}

/*
 * What each parameter is for:
 *   pcie_ports=native  microvm's ACPI gives PCIe hot-plug to nobody; the guest takes it
 *   pci=hpiosize=0     no I/O ports for what is plugged: there are none, and the search is done twice
 *   panic, reboot      a panic ends QEMU (-no-reboot) at once, by triple fault: the shortest way
 *   tsc_early_khz      under TCG calibration against the PIT fails now and then, and the boot hangs
 *   dummy.numdummies   the interface of that name that the driver makes is nobody's
 *   no_timer_check     the check for a broken timer wire costs time and fails on a busy host
 */
static int kernel_append(const struct vm_config *c, unsigned int tsc_khz, char **ret,
			 struct err *err)
{
	char tsc[64] = "", size[64];
	char *text;

	if (c->accel == VM_ACCEL_TCG && tsc_khz > 0)
		snprintf(tsc, sizeof(tsc), " tsc_early_khz=%u", tsc_khz);
	size_words(c, size, sizeof(size));
	if (asprintf(&text,
		     "console=ttyS0 %s panic=-1 reboot=t pcie_ports=native pci=hpiosize=0 no_timer_check "
		     "random.trust_cpu=on 8250.nr_uarts=1 dummy.numdummies=0%s%s%s%s",
		     c->debug ? "ignore_loglevel" : "quiet loglevel=3", tsc, size,
		     c->extra_cmdline ? " " : "", c->extra_cmdline ? c->extra_cmdline : "") < 0)
		return err_set_errno(err, -ENOMEM, "kernel command line");
	if (strlen(text) > QEMU_CMDLINE_APPEND_MAX) {
		free(text);
		return err_set(err, -E2BIG, "kernel command line: longer than %d bytes",
			       QEMU_CMDLINE_APPEND_MAX);
	}
	*ret = text;
	return 0;
}

/*
 * Emulated page walks cost less with four levels than with five; "rep movsb" and AVX are emulated
 * piece by piece, and a guest that is told it has neither copies three times as fast.
 */
#define TCG_CPU "max,la57=off,erms=off,fsrm=off,avx=off,avx2=off"

/*
 * Machine and confinement. Under KVM the guest has a clock of KVM's and needs no PIT and no PIC;
 * under TCG it hangs without them. Pages are neither merged with other tenants' (a side channel)
 * nor dumped.
 */
static void add_machine(struct args *a, const struct vm_config *c, int memory_fd)
{
	bool kvm = c->accel == VM_ACCEL_KVM;

	add(a, "-nodefaults");
	add(a, "-no-user-config");
	add(a, "-no-reboot");
	add(a, "-display");
	add(a, "none");
	add(a, "-sandbox");
	add(a, "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add(a, "-M");
	add(a,
	    "microvm,accel=%s,pcie=on,acpi=on,usb=off,rtc=on,pic=%s,pit=%s,isa-serial=on,"
	    "auto-kernel-cmdline=off,memory-backend=mem,mem-merge=off,dump-guest-core=off",
	    vm_accel_name(c->accel), kvm ? "off" : "on", kvm ? "off" : "on");
	add(a, "-cpu");
	add(a, "%s", kvm ? "host" : TCG_CPU);
	add(a, "-smp");
	add(a, "%u", machine_vcpus(c));
	add(a, "-m");
	add(a, "%lluM", (unsigned long long)vm_config_built_mib(c));
	add(a, "-object");
	if (memory_fd > 0)
		add(a, "memory-backend-file,id=mem,size=%lluM,share=on,mem-path=/proc/self/fd/%d",
		    (unsigned long long)vm_config_built_mib(c), memory_fd);
	else
		add(a, "memory-backend-memfd,id=mem,size=%lluM,share=on",
		    (unsigned long long)vm_config_built_mib(c));
}

/*
 * What runs. A machine that goes on from a saved state needs no kernel of its own: to read one
 * would cost it 20 MiB and 12 ms.
 */
static void add_payload(struct args *a, const struct vm_config *c, const char *append)
{
	if (c->restore) {
		add(a, "-incoming");
		add(a, "defer");
		return;
	}
	/* These three are no option lists: nothing is special in them. */
	add(a, "-kernel");
	add(a, "%s", c->kernel);
	add(a, "-initrd");
	add(a, "%s", c->initrd);
	add(a, "-append");
	add(a, "%s", append);
}

static void add_devices(struct args *a, const struct qemu_cmdline_fds *fds, const char *tag)
{
	add(a, "-global");
	add(a, "virtio-mmio.force-legacy=false");
	add(a, "-chardev");
	add(a, "socket,id=qmp,fd=%d", fds->qmp);
	add(a, "-mon");
	add(a, "chardev=qmp,mode=control");
	add(a, "-chardev");
	add(a, "socket,id=console,fd=%d", fds->console);
	add(a, "-serial");
	add(a, "chardev:console");
	add(a, "-object");
	add(a, "rng-random,id=rng,filename=/dev/urandom");
	add(a, "-device");
	add(a, "virtio-rng-device,rng=rng");
	add(a, "-chardev");
	add(a, "socket,id=agent,fd=%d", fds->agent);
	add(a, "-device");
	add(a, "virtio-serial-device,max_ports=2");
	add(a, "-device");
	add(a, "virtserialport,id=agent-port,chardev=agent,nr=1,name=onggi.agent");
	add(a, "-device");
	add(a, "virtio-balloon-device,free-page-reporting=on");
	if (fds->share >= 0) {
		add(a, "-chardev");
		add(a, "socket,id=share,fd=%d", fds->share);
		add(a, "-device");
		add(a, "vhost-user-fs-pci,chardev=share,tag=%s", tag);
	}
}

/*
 * Eight ports to a device number. No I/O windows: virtio needs none, and microvm has none to give.
 */
static void add_slots(struct args *a)
{
	for (unsigned int i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		add(a, "-device");
		add(a,
		    "pcie-root-port,id=" QEMU_CMDLINE_BUS_FORMAT
		    ",chassis=1,slot=%u,addr=%x.%u,multifunction=%s,"
		    "io-reserve=0",
		    i, i + 1, 0x10 + i / 8, i % 8, i % 8 == 0 ? "on" : "off");
	}
}

int qemu_cmdline_build(const struct vm_config *config, const struct qemu_cmdline_fds *fds,
		       unsigned int tsc_khz, char ***ret, struct err *err)
{
	_cleanup_free_ char *append = NULL, *name = NULL, *tag = NULL;
	struct args a = { .n = 0 };
	char **argv = NULL;
	int r;

	r = check(config, fds, err);
	if (r == 0)
		r = kernel_append(config, tsc_khz, &append, err);
	if (r < 0)
		return r;
	r = qemu_cmdline_escape(config->name, &name);
	if (r == 0)
		r = qemu_cmdline_escape(fds->share >= 0 ? config->share_tag : "", &tag);
	if (r < 0)
		return err_set_errno(err, r, "virtual machine options");
	add(&a, "%s", config->vmm_path);
	add(&a, "-name");
	add(&a, "onggi-%s,process=onggi-vm,debug-threads=on", name);
	add_machine(&a, config, fds->memory);
	add_payload(&a, config, append);
	add_devices(&a, fds, tag);
	add_slots(&a);
	if (a.code == 0) {
		argv = calloc(a.n + 1, sizeof(*argv));
		a.code = argv ? 0 : -ENOMEM;
	}
	if (a.code < 0) {
		args_free(&a);
		return err_set_errno(err, a.code, "virtual machine options");
	}
	memcpy(argv, a.v, a.n * sizeof(*argv));
	*ret = argv;
	return 0;
}
