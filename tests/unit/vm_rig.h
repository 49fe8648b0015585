/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm_rig.h - a real VM for tests: our guest kernel, an initramfs of busybox, and a shell on the
 * agent's channel
 *
 * Order: rig_setup -> [rig.share_dir …] -> rig_boot -> rig_sh … -> rig_teardown.
 * Needs: build/guest/vmlinux (make guest-kernel), /bin/busybox (busybox-static).
 */
#ifndef ONGGI_TESTS_VM_RIG_H
#define ONGGI_TESTS_VM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/loop.h"
#include "common/path.h"
#include "hypervisor/hypervisor.h"

#define RIG_QEMU "/usr/bin/qemu-system-x86_64"
#define RIG_BUSYBOX "/bin/busybox"
#define RIG_LIMIT_MS 230000

struct rig {
	struct loop *loop;
	struct vm *vm;
	char dir[64], initrd[80];
	int dirfd, agent;
	bool exited;
	int status;
	char reason[1024];
	/* of the shell */
	char out[65536];
	size_t out_len;
	/* of an operation or a limit */
	bool done, late;
	int code;
	char message[256];
	struct loop_source *reader, *timer;
};

static const char rig_init[] =
	"#!/bin/busybox sh\n"
	"B=/bin/busybox\n"
	"$B mount -t devtmpfs dev /dev; $B mount -t proc proc /proc; $B mount -t sysfs sys /sys\n"
	"$B mkdir -p /usr/bin /usr/sbin /sbin /mnt /mnt2; $B --install -s\n"
	"echo 'rig: up' >/dev/console\n"
	"for p in /sys/class/virtio-ports/*; do\n"
	"	[ \"$(cat $p/name)\" = onggi.agent ] && exec 3<>/dev/${p##*/} && exec sh <&3 >&3 2>/dev/console\n"
	"done\n"
	"echo 'rig: no port' >/dev/console\n"
	"poweroff -f\n";

/* One member of a "newc" archive. */
static inline void rig_cpio(FILE *f, const char *name, unsigned int mode, const void *data,
			    size_t len)
{
	static unsigned int ino = 1;
	long pos;

	fprintf(f, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x%s%c", ino++, mode,
		0, 0, 1, 0, len, 0, 0, 0, 0, strlen(name) + 1, 0, name, 0);
	for (pos = ftell(f); pos % 4; pos++)
		fputc(0, f);
	if (len)
		fwrite(data, 1, len, f);
	for (pos = ftell(f); pos % 4; pos++)
		fputc(0, f);
}

static inline void rig_make_initrd(struct rig *rig)
{
	char *busybox;
	size_t len;
	FILE *f = fopen(rig->initrd, "we");

	assert_non_null(f);
	assert_int_equal(io_read_file(AT_FDCWD, RIG_BUSYBOX, 16u << 20, &busybox, &len), 0);
	for (size_t i = 0; i < 5; i++)
		rig_cpio(f, (const char *[]){ "dev", "proc", "sys", "bin", "sbin" }[i], 040755,
			 NULL, 0);
	rig_cpio(f, "bin/busybox", 0100755, busybox, len);
	rig_cpio(f, "init", 0100755, rig_init, sizeof(rig_init) - 1);
	rig_cpio(f, "TRAILER!!!", 0, NULL, 0);
	free(busybox);
	assert_int_equal(fclose(f), 0);
}

static inline struct rig *rig_setup(void)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/onggi-rig-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->initrd, sizeof(rig->initrd), "%s/initrd", rig->dir);
	rig->dirfd = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(rig->dirfd >= 0);
	rig->agent = -1;
	assert_int_equal(loop_create(&rig->loop), 0);
	return rig;
}

/* Where "make" has put the guest kernel. */
static inline const char *rig_kernel(void)
{
	static char path[4096];
	const char *kernel = getenv("ONGGI_TEST_KERNEL");

	if (!realpath(kernel ? kernel : "build/guest/vmlinux", path))
		fail_msg("no guest kernel (make guest-kernel)");
	return path;
}

static inline struct vm_config rig_config(struct rig *rig)
{
	return (struct vm_config){
		.name = "rig,=x",
		.vmm_path = RIG_QEMU,
		.kernel = rig_kernel(),
		.initrd = rig->initrd,
		.accel = VM_ACCEL_TCG,
		.vcpus = 1,
		.memory_mib = 256,
		.share_fd = -1,
		.state_dirfd = rig->dirfd,
	};
}

static inline void rig_on_exit(struct vm *vm, int status, const char *reason, void *userdata)
{
	struct rig *rig = userdata;

	rig->exited = true;
	rig->status = status;
	snprintf(rig->reason, sizeof(rig->reason), "%s", reason);
}

static inline void rig_on_limit(void *userdata)
{
	((struct rig *)userdata)->late = true;
}

/* Run the loop until *flag or the limit; fails the test then. */
static inline void rig_wait(struct rig *rig, const bool *flag)
{
	char tail[2000];

	rig->late = false;
	assert_int_equal(loop_add_timer(rig->loop, RIG_LIMIT_MS, rig_on_limit, rig, &rig->timer),
			 0);
	while (!*flag && !rig->late)
		loop_run_once(rig->loop);
	loop_source_destroy(rig->timer);
	rig->timer = NULL;
	if (rig->late) {
		if (rig->vm)
			vm_console_tail(rig->vm, tail, sizeof(tail));
		print_error("too late; console: %s\nshell: %s\n", rig->vm ? tail : "", rig->out);
		fail();
	}
}

static inline void rig_on_agent(int fd, unsigned int events, void *userdata)
{
	struct rig *rig = userdata;
	ssize_t n = read(fd, rig->out + rig->out_len, sizeof(rig->out) - 1 - rig->out_len);

	if (n <= 0) {
		loop_source_set_events(rig->reader, 0);
		rig->done = true;
		return;
	}
	rig->out_len += (size_t)n;
	rig->out[rig->out_len] = '\0';
	if (strstr(rig->out, "rc="))
		rig->done = rig->out[rig->out_len - 1] == '\n';
}

static inline void rig_boot_config(struct rig *rig, const struct vm_config *config)
{
	const struct vm_events events = { .on_exit = rig_on_exit };
	struct err err = ERR_INIT;

	rig_make_initrd(rig);
	if (vm_create(vm_driver_find("qemu"), rig->loop, config, &events, rig, &rig->vm, &err) < 0)
		fail_msg("%s", err.text);
	rig->agent = vm_agent_fd(rig->vm);
	assert_true(rig->agent >= 0);
	assert_int_equal(
		loop_add_fd(rig->loop, rig->agent, LOOP_READ, rig_on_agent, rig, &rig->reader), 0);
}

static inline void rig_boot(struct rig *rig)
{
	struct vm_config config = rig_config(rig);

	rig_boot_config(rig, &config);
}

/* Run @script in the guest's shell; returns its exit code, its output is in rig->out. */
static inline int rig_sh(struct rig *rig, const char *script)
{
	char *text = NULL, *code;
	int len = asprintf(&text, "{ %s\n} 2>&1; echo rc=$?\n", script);

	assert_true(len > 0);
	rig->out_len = 0;
	rig->out[0] = '\0';
	rig->done = false;
	assert_int_equal(write(rig->agent, text, (size_t)len), len);
	free(text);
	rig_wait(rig, &rig->done);
	code = strstr(rig->out, "rc=");
	if (!code)
		fail_msg("the shell ended: %s", rig->reason);
	*code = '\0';
	return atoi(code + 3);
}

#define rig_sh_ok(rig, script)                                                          \
	do {                                                                            \
		int rc_ = rig_sh(rig, script);                                          \
		if (rc_ != 0)                                                           \
			fail_msg("guest: '%s': %d: %s", script, rc_, (rig)->out);       \
	} while (0)

static inline void rig_on_done(int code, const char *message, void *userdata)
{
	struct rig *rig = userdata;

	rig->code = code;
	snprintf(rig->message, sizeof(rig->message), "%s", message);
	rig->done = true;
}

/* Plug a device, wait; returns the code. */
static inline int rig_add(struct rig *rig, const struct vm_device *device)
{
	struct err err = ERR_INIT;
	int r;

	rig->done = false;
	r = vm_add_device(rig->vm, device, rig_on_done, rig, &err);
	if (r < 0) {
		snprintf(rig->message, sizeof(rig->message), "%.255s", err.text);
		return r;
	}
	rig_wait(rig, &rig->done);
	return rig->code;
}

static inline int rig_remove(struct rig *rig, const char *id)
{
	struct err err = ERR_INIT;
	int r;

	rig->done = false;
	r = vm_remove_device(rig->vm, id, rig_on_done, rig, &err);
	if (r < 0)
		return r;
	rig_wait(rig, &rig->done);
	return rig->code;
}

static inline void rig_teardown(struct rig *rig)
{
	loop_source_destroy(rig->reader);
	if (rig->agent >= 0)
		close(rig->agent);
	vm_destroy(rig->vm);
	loop_destroy(rig->loop);
	close(rig->dirfd);
	path_remove_tree(AT_FDCWD, rig->dir);
	free(rig);
}

#endif
