/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/unit/check_leaks.h"
#include "tests/unit/vm_rig.h"

/* A VMM of our own: a shell script that does what @body says. */
static void fake_vmm(struct rig *rig, struct vm_config *config, char *path, size_t size,
		     const char *body)
{
	FILE *f;

	snprintf(path, size, "%s/vmm", rig->dir);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", body);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
	rig_make_initrd(rig);
	config->vmm_path = path;
	config->kernel = rig->initrd; /* any file */
}

static int try_create(struct rig *rig, const struct vm_config *config, struct err *err)
{
	const struct vm_events events = { .on_exit = rig_on_exit };

	return vm_create(vm_driver_find("qemu"), rig->loop, config, &events, rig, &rig->vm, err);
}

static void unknown_driver_is_not_found(void **state)
{
	assert_null(vm_driver_find("xen"));
	assert_non_null(vm_driver_find("qemu"));
	assert_string_equal(vm_accel_name(VM_ACCEL_KVM), "kvm");
	assert_string_equal(vm_accel_name(VM_ACCEL_TCG), "tcg");
}

static void missing_file_is_named(struct rig *rig, const struct vm_config *config, const char *path)
{
	struct err err = ERR_INIT;

	assert_int_equal(try_create(rig, config, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	assert_null(rig->vm);
}

static void create_names_what_is_missing(void **state)
{
	struct rig *rig = rig_setup();
	struct err err = ERR_INIT;
	struct vm_config config;

	rig_make_initrd(rig);
	config = rig_config(rig);
	config.vmm_path = "/nowhere/qemu";
	missing_file_is_named(rig, &config, "/nowhere/qemu");
	config = rig_config(rig);
	config.kernel = "/nowhere/vmlinux";
	missing_file_is_named(rig, &config, "/nowhere/vmlinux");
	config = rig_config(rig);
	config.initrd = "/nowhere/initrd";
	missing_file_is_named(rig, &config, "/nowhere/initrd");
	config.initrd = "initrd";
	assert_int_equal(try_create(rig, &config, &err), -EINVAL);
	assert_non_null(strstr(err.text, "absolute"));
	rig_teardown(rig);
}

static void vmm_that_exits_at_once_gives_its_words(void **state)
{
	struct rig *rig = rig_setup();
	struct vm_config config = rig_config(rig);
	struct err err = ERR_INIT;
	char path[100];

	fake_vmm(rig, &config, path, sizeof(path),
		 "printf 'qemu: no\\033[31m such machine\\n' >&2; exit 3");
	assert_int_equal(try_create(rig, &config, &err), 0);
	rig_wait(rig, &rig->exited);
	assert_true(WIFEXITED(rig->status) && WEXITSTATUS(rig->status) == 3);
	assert_string_equal(rig->reason, "qemu: no?[31m such machine");
	rig_teardown(rig);
}

static void vmm_that_breaks_qmp_is_killed(void **state)
{
	struct rig *rig = rig_setup();
	struct vm_config config = rig_config(rig);
	struct err err = ERR_INIT;
	char path[100];

	fake_vmm(rig, &config, path, sizeof(path), "echo 'I am no QEMU' >&3; exec sleep 1000");
	assert_int_equal(try_create(rig, &config, &err), 0);
	rig_wait(rig, &rig->exited);
	assert_true(WIFSIGNALED(rig->status) && WTERMSIG(rig->status) == SIGKILL);
	assert_non_null(strstr(rig->reason, "no JSON"));
	rig_teardown(rig);
}

static void destroy_kills_a_vmm_that_does_nothing(void **state)
{
	struct rig *rig = rig_setup();
	struct vm_config config = rig_config(rig);
	struct err err = ERR_INIT;
	char path[100];
	int pidfd;

	fake_vmm(rig, &config, path, sizeof(path), "trap '' TERM INT; exec sleep 1000");
	assert_int_equal(try_create(rig, &config, &err), 0);
	pidfd = (int)syscall(SYS_pidfd_open, vm_pid(rig->vm), 0);
	assert_true(pidfd >= 0);
	vm_destroy(rig->vm);
	rig->vm = NULL;
	assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), -1);
	assert_int_equal(errno, ESRCH);
	close(pidfd);
	rig_teardown(rig);
}

static void destroy_in_exit(struct vm *vm, int status, const char *reason, void *userdata)
{
	struct rig *rig = userdata;

	vm_destroy(vm);
	rig->vm = NULL;
	rig->exited = true;
}

static void vm_may_be_destroyed_in_its_callback(void **state)
{
	const struct vm_events events = { .on_exit = destroy_in_exit };
	struct rig *rig = rig_setup();
	struct vm_config config = rig_config(rig);
	struct err err = ERR_INIT;
	char path[100];

	fake_vmm(rig, &config, path, sizeof(path), "exit 0");
	assert_int_equal(
		vm_create(vm_driver_find("qemu"), rig->loop, &config, &events, rig, &rig->vm, &err),
		0);
	rig_wait(rig, &rig->exited);
	rig_teardown(rig);
}

/* ---- with a real guest ---- */

static int count_slots_in_use(struct rig *rig)
{
	rig_sh_ok(rig, "cat /sys/bus/pci/slots/*/adapter | grep -c 1 || true");
	return atoi(rig->out);
}

static void wait_for(struct rig *rig, const char *path)
{
	char script[256];

	snprintf(
		script, sizeof(script),
		"i=0; while ! ls %s 2>/dev/null && [ $i -lt 10000 ]; do usleep 20000; i=$((i+1)); done; ls %s",
		path, path);
	rig_sh_ok(rig, script);
}

static void try_disk(struct rig *rig)
{
	_cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vm_device disk = { .kind = VM_DEVICE_DISK,
				  .id = "a-disk-with-a-long-name",
				  .fd = fd };
	char block[512] = "hello from the host";

	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, block, sizeof(block), 0), sizeof(block));
	assert_int_equal(rig_add(rig, &disk), 0);
	assert_int_equal(rig_add(rig, &disk), -EEXIST);
	wait_for(rig, "/sys/block/vda/size");
	rig_sh_ok(rig, "cat /sys/block/vda/serial");
	assert_string_equal(rig->out, "a-disk-with-a-long-n");
	rig_sh_ok(
		rig,
		"head -c 19 /dev/vda; echo written by guest | dd of=/dev/vda bs=512 conv=sync 2>/dev/null; sync");
	assert_string_equal(rig->out, "hello from the host");
	assert_int_equal(pread(fd, block, 16, 0), 16);
	assert_memory_equal(block, "written by guest", 16);
	assert_int_equal(rig_remove(rig, disk.id), 0);
	assert_int_not_equal(rig_sh(rig, "ls /dev/vda"), 0);
	assert_int_equal(rig_remove(rig, disk.id), -ENOENT);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

/* A read-only disk cannot be written, though the descriptor we were given could. */
static void try_readonly_disk(struct rig *rig)
{
	_cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vm_device disk = { .kind = VM_DEVICE_DISK, .id = "ro", .fd = fd, .readonly = true };
	char text[160], block[16] = "";

	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(rig_add(rig, &disk), 0);
	wait_for(rig, "/sys/block/vda/ro");
	rig_sh_ok(rig, "cat /sys/block/vda/ro");
	assert_string_equal(rig->out, "1\n");
	assert_int_not_equal(
		rig_sh(rig,
		       "blockdev --setrw /dev/vda; echo x | dd of=/dev/vda bs=512 conv=sync,fsync"),
		0);
	assert_int_equal(pread(fd, block, sizeof(block), 0), sizeof(block));
	assert_int_equal(block[0], 0);
	/* no descriptor of QEMU's can write it */
	snprintf(
		text, sizeof(text),
		"cd /proc/%d/fd && for f in *; do case $(readlink $f) in *memfd:disk*) grep flags ../fdinfo/$f;; esac; done",
		(int)vm_pid(rig->vm));
	FILE *p = popen(text, "re");
	unsigned int flags, n = 0;

	while (fscanf(p, " flags: %o", &flags) == 1) {
		n++;
		assert_int_equal(flags & O_ACCMODE, O_RDONLY);
	}
	pclose(p);
	assert_true(n >= 1);
	assert_int_equal(rig_remove(rig, "ro"), 0);
}

static int make_tap(void)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC),
	    sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && sock >= 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "rigtap");
	assert_int_equal(ioctl(fd, TUNSETIFF, &request), 0);
	request.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(sock, SIOCSIFFLAGS, &request), 0);
	close(sock);
	return fd;
}

static void try_nic(struct rig *rig)
{
	_cleanup_close_ int fd = make_tap();
	struct vm_device nic = {
		.kind = VM_DEVICE_NIC, .id = "eth0", .fd = fd, .mac = "02:00:00:12:34:56"
	};

	assert_int_equal(rig_add(rig, &nic), 0);
	wait_for(rig, "/sys/class/net/eth0/address");
	rig_sh_ok(
		rig,
		"cat /sys/class/net/eth0/address; ip addr add 10.99.0.2/24 dev eth0; ip link set eth0 up");
	assert_string_equal(rig->out, "02:00:00:12:34:56\n");
	assert_int_equal(system("ip addr add 10.99.0.1/24 dev rigtap"), 0);
	rig_sh_ok(rig, "i=0; until ping -c 1 -W 5 10.99.0.1; do i=$((i+1)); [ $i -lt 40 ] || break; done; [ $i -lt 40 ]");
	assert_int_equal(rig_remove(rig, "eth0"), 0);
	assert_int_not_equal(rig_sh(rig, "ls /sys/class/net/eth0"), 0);
}

static void bad_devices_are_refused(struct rig *rig)
{
	struct vm_device bad = {
		.kind = VM_DEVICE_NIC, .id = "x,y", .fd = 0, .mac = "02:00:00:12:34:56"
	};

	assert_int_equal(rig_add(rig, &bad), -EINVAL);
	bad.id = "x";
	bad.mac = "02:00:00:12:34:5g";
	assert_int_equal(rig_add(rig, &bad), -EINVAL);
	bad.mac = "02:00:00:12:34:56";
	bad.fd = -1;
	assert_int_equal(rig_add(rig, &bad), -EINVAL);
	bad.fd = rig->dirfd; /* no tap: QEMU refuses, and what was done is undone */
	assert_int_equal(rig_add(rig, &bad), -EREMOTEIO);
	assert_int_equal(rig_remove(rig, "x"), -ENOENT);
	bad.kind = VM_DEVICE_SHARE;
	assert_int_equal(rig_add(rig, &bad), -EINVAL);
}

static void devices_come_and_go(void **state)
{
	struct rig *rig = rig_setup();

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	rig_boot(rig);
	assert_int_equal(count_slots_in_use(rig), 0);
	bad_devices_are_refused(rig);
	try_disk(rig);
	try_readonly_disk(rig);
	try_nic(rig);
	assert_int_equal(count_slots_in_use(rig), 0);
	rig_teardown(rig);
}

static void every_slot_takes_a_device_and_no_more(void **state)
{
	struct rig *rig = rig_setup();
	_cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
	char id[16], path[64];

	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	rig_boot(rig);
	rig_sh_ok(rig, "true");
	for (int i = 0; i < VM_HOTPLUG_SLOTS; i++) {
		snprintf(id, sizeof(id), "d%d", i);
		assert_int_equal(rig_add(rig, &(struct vm_device){ .kind = VM_DEVICE_DISK,
								   .id = id,
								   .fd = fd,
								   .readonly = true }),
				 0);
	}
	assert_int_equal(rig_add(rig, &(struct vm_device){ .kind = VM_DEVICE_DISK,
							   .id = "more",
							   .fd = fd,
							   .readonly = true }),
			 -ENOSPC);
	snprintf(id, sizeof(id), "vd%c", 'a' + VM_HOTPLUG_SLOTS - 1);
	snprintf(path, sizeof(path), "/sys/block/%s/serial", id);
	wait_for(rig, path);
	rig_sh_ok(rig, "for s in /sys/block/vd*/serial; do cat $s; echo; done | sort -u | wc -l");
	assert_int_equal(atoi(rig->out), VM_HOTPLUG_SLOTS);
	rig_teardown(rig);
}

/* The guest lets go by itself, without being asked to: the slot and the id are free again. */
static void ejected_device_frees_its_slot(void **state)
{
	struct rig *rig = rig_setup();
	_cleanup_close_ int fd = memfd_create("disk", MFD_CLOEXEC);
	struct vm_device disk = { .kind = VM_DEVICE_DISK, .id = "d", .fd = fd, .readonly = true };
	int r;

	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	rig_boot(rig);
	rig_sh_ok(rig, "true");
	assert_int_equal(rig_add(rig, &disk), 0);
	for (int round = 0; round < 4; round++) {
		wait_for(rig, "/sys/block/vda/size");
		rig_sh_ok(
			rig,
			"for s in /sys/bus/pci/slots/*; do [ $(cat $s/adapter) = 1 ] && echo 0 >$s/power; done; true");
		while ((r = rig_add(rig, &disk)) == -EEXIST)
			assert_true(loop_run_once(rig->loop) >= 0);
		assert_int_equal(r, 0);
	}
	rig_teardown(rig);
}

static void guest_that_powers_off_is_reported(void **state)
{
	struct rig *rig = rig_setup();
	char tail[4096];

	rig_boot(rig);
	rig_sh_ok(rig, "echo said on the console >/dev/console");
	assert_int_equal(write(rig->agent, "reboot -f\n", 10), 10);
	rig_wait(rig, &rig->exited);
	assert_true(WIFEXITED(rig->status));
	assert_int_equal(WEXITSTATUS(rig->status), 0);
	assert_non_null(strstr(rig->reason, "guest-"));
	vm_console_tail(rig->vm, tail, sizeof(tail));
	assert_non_null(strstr(tail, "said on the console"));
	assert_int_equal(rig_add(rig, &(struct vm_device){ .kind = VM_DEVICE_DISK,
							   .id = "d",
							   .fd = rig->dirfd,
							   .readonly = true }),
			 -EPIPE);
	rig_teardown(rig);
}

static void console_flood_is_bounded(void **state)
{
	struct rig *rig = rig_setup();
	struct stat st;
	char tail[200];

	rig_boot(rig);
	rig_sh_ok(
		rig,
		"yes 0123456789012345678901234567890 | head -c 1000000 >/dev/console; echo 'the end' >/dev/console");
	/* The console has a way of its own, which may be the longer one. */
	do {
		rig_sh_ok(rig, "true");
		assert_true(vm_console_tail(rig->vm, tail, sizeof(tail)) > 0);
	} while (!strstr(tail, "the end"));
	assert_int_equal(fstatat(rig->dirfd, "console.log", &st, 0), 0);
	assert_true(st.st_size > 100000 && st.st_size <= 262144);
	rig_teardown(rig);
}

static void qemu_dies_with_its_parent(void **state)
{
	struct rig *rig = rig_setup();
	struct vm_config config = rig_config(rig);
	int pipe_fds[2], pidfd;
	pid_t parent, vmm;
	struct stat st = { 0 };
	char path[64];

	rig_make_initrd(rig);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct err err = ERR_INIT;
		struct loop *loop;
		const struct vm_events events = { 0 };
		struct vm *vm;

		if (loop_create(&loop) < 0 ||
		    vm_create(vm_driver_find("qemu"), loop, &config, &events, NULL, &vm, &err) < 0)
			_exit(1);
		vmm = vm_pid(vm);
		(void)!write(pipe_fds[1], &vmm, sizeof(vmm));
		loop_run(loop);
		_exit(0);
	}
	assert_int_equal(read(pipe_fds[0], &vmm, sizeof(vmm)), sizeof(vmm));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	pidfd = (int)syscall(SYS_pidfd_open, vmm, 0);
	assert_true(pidfd >= 0);
	/* with its vCPU threads running */
	snprintf(path, sizeof(path), "/proc/%d/task", (int)vmm);
	for (int i = 0; i < RIG_LIMIT_MS / 10 && stat(path, &st) == 0 && st.st_nlink <= 4; i++)
		usleep(10000);
	assert_true(st.st_nlink > 4);
	kill(parent, SIGKILL);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(poll(&(struct pollfd){ .fd = pidfd, .events = POLLIN }, 1, RIG_LIMIT_MS), 1);
	close(pidfd);
	rig_teardown(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		leak_checked(unknown_driver_is_not_found),
		leak_checked(create_names_what_is_missing),
		leak_checked(vmm_that_exits_at_once_gives_its_words),
		leak_checked(vmm_that_breaks_qmp_is_killed),
		leak_checked(destroy_kills_a_vmm_that_does_nothing),
		leak_checked(vm_may_be_destroyed_in_its_callback),
		leak_checked(guest_that_powers_off_is_reported),
		leak_checked(console_flood_is_bounded),
		leak_checked(qemu_dies_with_its_parent),
		leak_checked(every_slot_takes_a_device_and_no_more),
		leak_checked(ejected_device_frees_its_slot),
		leak_checked(devices_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
