/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/module.h"
#include "agent/rootfs.h"
#include "agent/setup.h"
#include "common/cleanup.h"
#include "common/fd.h"
#include "common/io.h"
#include "common/log.h"

/* "console-level level-of-lines-without-one …"; what is below the console's level is shown. */
#define GUEST_PRINTK_FILE "/proc/sys/kernel/printk"
/* "ignore_loglevel" and "debug" stay far below. */
#define GUEST_PRINTK_MAX 1000u

/* Where the log is open. */
#define GUEST_LOG_FD 9

/* Descriptors of the agent: six for each exec, a handful for each container. */
#define GUEST_NOFILE 1048576u

struct guest_mount {
	const char *path, *type, *source, *data;
	unsigned long flags;
	bool data_optional; /* an older kernel may not know it */
};

static const struct guest_mount guest_mounts[] = {
	{ "/proc", "proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "/sys", "sysfs", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "/dev", "devtmpfs", "devtmpfs", "mode=0755", MS_NOSUID | MS_NOEXEC },
	{ "/dev/pts", "devpts", "devpts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
	{ "/dev/shm", "tmpfs", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV | MS_NOEXEC },
	{ "/run", "tmpfs", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV },
	/* A cgroup namespace ends a container's rights; memory.low counts for all below a group. */
	{ "/sys/fs/cgroup", "cgroup2", "cgroup2", "nsdelegate,memory_recursiveprot",
	  MS_NOSUID | MS_NODEV | MS_NOEXEC, .data_optional = true },
};

/*
 * What a workload must not be able to use up for the agent, and the agent needs more of than usual.
 */
static const struct {
	const char *path, *value;
} guest_settings[] = {
	/* One per container; the default of 128 would be shared with the workload's root. */
	{ "/proc/sys/fs/inotify/max_user_instances", "8192" },
};

static int guest_mount_one(const struct guest_mount *m, struct err *err)
{
	int rc;

	if (mkdir(m->path, 0755) < 0 && errno != EEXIST)
		return err_set_errno(err, -errno, "make folder '%s'", m->path);
	rc = mount(m->source, m->path, m->type, m->flags, m->data);
	if (rc < 0 && errno == EINVAL && m->data_optional)
		rc = mount(m->source, m->path, m->type, m->flags, NULL);
	/* EBUSY: the kernel has mounted it by itself. */
	if (rc < 0 && errno != EBUSY)
		return err_set_errno(err, -errno, "mount %s on '%s'", m->type, m->path);
	return 0;
}

static int guest_mount(struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(guest_mounts); i++) {
		int rc = guest_mount_one(&guest_mounts[i], err);

		if (rc < 0)
			return rc;
	}
	if (mkdir("/run/onggi", 0700) < 0 || mkdir(SETUP_SHARE_PATH, 0700) < 0)
		return err_set_errno(err, -errno, "make folder '%s'", SETUP_SHARE_PATH);
	return 0;
}

/*
 * Lift the agent's lines over the console's threshold, rather than lower that: a workload can have
 * the kernel write any number of warnings.
 */
static int guest_log_visible(struct err *err)
{
	_cleanup_free_ char *text = NULL;
	uint64_t console;
	char levels[32];
	int rc;

	rc = io_read_file(AT_FDCWD, GUEST_PRINTK_FILE, 64, &text, NULL);
	if (rc >= 0) {
		text[strcspn(text, " \t\n")] = '\0';
		rc = io_parse_u64(text, GUEST_PRINTK_MAX, &console);
	}
	if (rc < 0)
		return err_set_errno(err, rc, "read '%s'", GUEST_PRINTK_FILE);
	if (console < 2)
		return 0;
	snprintf(levels, sizeof(levels), "%u %u", (unsigned int)console, (unsigned int)console - 1);
	rc = io_write_file(AT_FDCWD, GUEST_PRINTK_FILE, levels, strlen(levels));
	return rc < 0 ? err_set_errno(err, rc, "write '%s'", GUEST_PRINTK_FILE) : 0;
}

static int guest_log(struct err *err)
{
	int fd, rc;

	/*
	 * The kernel may have started us without any descriptor: fill 0 to 2 before one of them is
	 * a log.
	 */
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return err_set_errno(err, -errno, "open '/dev/null'");
	close(fd);
	rc = fd_null_stdio();
	if (rc < 0)
		return err_set_errno(err, rc, "redirect standard streams");
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, -errno, "open '/dev/kmsg'");
	/* A fixed place, so that the level can be changed without remembering the descriptor. */
	if (dup3(fd, GUEST_LOG_FD, O_CLOEXEC) < 0)
		return err_set_errno(err, -errno, "keep '/dev/kmsg' open");
	close(fd);
	guest_log_level(LOG_LEVEL_WARNING);
	return guest_log_visible(err);
}

void guest_log_level(enum log_level level)
{
	log_setup(GUEST_LOG_FD, LOG_FORMAT_TEXT, level, "agent");
}

static void guest_tune(void)
{
	const struct rlimit nofile = { .rlim_cur = GUEST_NOFILE, .rlim_max = GUEST_NOFILE };

	if (setrlimit(RLIMIT_NOFILE, &nofile) < 0)
		log_warning("raise the limit of open files: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(guest_settings); i++) {
		const char *value = guest_settings[i].value;
		int rc = io_write_file(AT_FDCWD, guest_settings[i].path, value, strlen(value));

		if (rc < 0)
			log_warning("set '%s': %s", guest_settings[i].path, strerror(-rc));
	}
}

static int guest_loopback_up(struct err *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return err_set_errno(err, -errno, "look at interface 'lo'");
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return err_set_errno(err, -errno, "bring up interface 'lo'");
	return 0;
}

int guest_boot(struct err *err)
{
	int rc;

	umask(022);
	rc = rootfs_leave_initramfs(err);
	if (rc >= 0)
		rc = guest_mount(err);
	if (rc >= 0)
		rc = guest_log(err);
	if (rc >= 0)
		rc = module_load_folder(MODULE_FOLDER, err);
	if (rc >= 0)
		rc = rootfs_seal(err);
	if (rc < 0)
		return rc;
	/* Keeps the workload away from the agent's /proc/1 beyond what its user allows. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_set_errno(err, -errno, "make the agent undumpable");
	guest_tune();
	return guest_loopback_up(err);
}

void guest_power_off(void)
{
	sync();
	/*
	 * Without ACPI this halts, and PID 1's return from a halt is a panic: "panic=-1" ends the
	 * machine then.
	 */
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	_exit(1);
}

void guest_fatal(const char *what, const struct err *err)
{
	_cleanup_close_ int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0)
		dprintf(fd, "onggi-agent: %s: %s\n", what, err->text);
	guest_power_off();
}
