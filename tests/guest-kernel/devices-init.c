/* SPDX-License-Identifier: Apache-2.0 */
/*
 * devices-init.c - PID 1 of the device test: claims about the guest kernel, checked from within
 *
 * Prints TAP on the console and restarts the machine. devices.py is the other half: it starts QEMU
 * with a virtio-serial port, a vhost-user-fs device and two free root ports, and plugs or unplugs
 * when this program asks for it by a line "HOST <request>".
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PLUG_TIMEOUT_MS		10000
#define PORT_NAME		"org.onggi.test"
#define COLD_TAG		"cold"
#define PLUGGED_TAG		"plugged"
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))

static int tests;
static bool failed;

static void claim(bool good, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	printf("%s %d - ", good ? "ok" : "not ok", ++tests);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (good)
		printf("\n");
	else
		printf(" (errno %d: %s)\n", saved, strerror(saved));
	failed |= !good;
}

/* Read a small file; the text ends at the first newline. Returns false when it cannot be read. */
static bool read_line(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

/* A word of a line of words, as in cgroup.controllers. */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);
	const char *at;

	for (at = strstr(line, word); at; at = strstr(at + 1, word))
		if ((at == line || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

static void check_cgroup(void)
{
	static const char *const wanted[] = {"cpuset", "cpu", "io", "memory", "hugetlb",
					     "pids", "misc"};
	static const char *const files[] = {"cpu.max", "memory.max", "memory.swap.max", "pids.max",
					    "cgroup.freeze", "cgroup.kill", "cpu.pressure",
					    "memory.oom.group", "cpuset.cpus"};
	char line[256] = "", path[128];
	int fd;

	mkdir("/cg", 0755);
	claim(mount("cgroup2", "/cg", "cgroup2", 0, NULL) == 0, "cgroup2 mounts");
	read_line("/cg/cgroup.controllers", line, sizeof(line));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		claim(has_word(line, wanted[i]), "cgroup2 has controller %s", wanted[i]);
	fd = open("/cg/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
	claim(fd >= 0 && write(fd, "+cpuset +cpu +io +memory +hugetlb +pids", 39) == 39,
	      "controllers can be delegated");
	close(fd);
	mkdir("/cg/x", 0755);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "/cg/x/%s", files[i]);
		claim(access(path, F_OK) == 0, "child cgroup has %s", files[i]);
	}
}

static void check_files(void)
{
	static const char *const wanted[] = {"overlay", "erofs", "ext4", "virtiofs", "fuse", "tmpfs",
					     "mqueue", "devpts", "hugetlbfs", "binfmt_misc"};
	char text[4096] = "", name[64];
	int fd = open("/proc/filesystems", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	claim(n > 0, "/proc/filesystems can be read");
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		snprintf(name, sizeof(name), "\t%s\n", wanted[i]);
		claim(strstr(text, name) != NULL, "file system %s is there", wanted[i]);
	}
	mkdir("/t", 0755);
	mount("tmpfs", "/t", "tmpfs", 0, NULL);
	mkdir("/t/l", 0755);
	mkdir("/t/u", 0755);
	mkdir("/t/w", 0755);
	mkdir("/t/m", 0755);
	claim(mount("overlay", "/t/m", "overlay", 0,
		    "lowerdir=/t/l,upperdir=/t/u,workdir=/t/w") == 0, "overlay mounts on tmpfs");
}

static bool can_unshare(int flag)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(flag) == 0 ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void check_interfaces(void)
{
	static const struct {
		const char *name;
		int domain, type, protocol;
	} sockets[] = {
		{"IPv4", AF_INET, SOCK_STREAM, 0},
		{"IPv6", AF_INET6, SOCK_STREAM, 0},
		{"unix", AF_UNIX, SOCK_STREAM, 0},
		{"packet", AF_PACKET, SOCK_RAW, 0},
		{"vsock", AF_VSOCK, SOCK_STREAM, 0},
		{"route netlink", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
		{"netfilter netlink", AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
	};
	static const struct {
		const char *name;
		int flag;
	} spaces[] = {
		{"user", CLONE_NEWUSER}, {"mount", CLONE_NEWNS}, {"pid", CLONE_NEWPID},
		{"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
		{"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME},
	};
	char line[128] = "";

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		int fd = socket(sockets[i].domain, sockets[i].type | SOCK_CLOEXEC,
				sockets[i].protocol);

		claim(fd >= 0, "%s sockets exist", sockets[i].name);
		close(fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		claim(can_unshare(spaces[i].flag), "%s namespaces exist", spaces[i].name);
	claim(syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1,
	      "Landlock is active");
	claim(read_line("/proc/sys/kernel/seccomp/actions_avail", line, sizeof(line)) &&
	      has_word(line, "user_notif"), "seccomp filters can notify");
	claim(access("/dev/net/tun", F_OK) == 0, "/dev/net/tun exists");
}

/* Features that are off on purpose: attack surface. */
static void check_absences(void)
{
	static const char *const absent[] = {"/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore",
					     "/proc/sysrq-trigger", "/proc/modules",
					     "/sys/kernel/debug/x86", "/proc/config.gz"};

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		claim(access(absent[i], F_OK) < 0 && errno == ENOENT, "no %s", absent[i]);
	claim(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS, "no io_uring");
	claim(syscall(SYS_userfaultfd, 0) < 0 && errno == ENOSYS, "no userfaultfd");
	claim(syscall(SYS_kexec_load, 0, 0, NULL, 0) < 0 && errno == ENOSYS, "no kexec");
	claim(syscall(SYS_init_module, NULL, 0, "") < 0 && errno == ENOSYS, "no module loading");
	claim(syscall(SYS_modify_ldt, 0, NULL, 0) < 0 && errno == ENOSYS, "no modify_ldt");
	claim(syscall(SYS_iopl, 3) < 0, "no iopl");
}

/* The port named PORT_NAME as /dev/vportNpM, opened; -1 when there is none. */
static int open_port(void)
{
	char path[300], name[64];
	struct dirent *entry;
	int fd = -1;
	DIR *dir = opendir("/sys/class/virtio-ports");

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		if (!read_line(path, name, sizeof(name)) || strcmp(name, PORT_NAME))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		break;
	}
	if (dir)
		closedir(dir);
	return fd;
}

static void check_port(void)
{
	char buf[32] = "";
	int fd = open_port();
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool answered;

	claim(fd >= 0, "the virtio-serial port has a device node");
	claim(fd >= 0 && write(fd, "ping\n", 5) == 5, "the port takes bytes");
	answered = fd >= 0 && poll(&p, 1, PLUG_TIMEOUT_MS) == 1 && read(fd, buf, 5) == 5;
	claim(answered && !memcmp(buf, "pong\n", 5), "the port brings bytes");
	close(fd);
}

static void check_share(const char *tag)
{
	char path[64], line[64] = "";

	snprintf(path, sizeof(path), "/%s", tag);
	mkdir(path, 0755);
	claim(mount(tag, path, "virtiofs", 0, NULL) == 0, "the %s share mounts", tag);
	snprintf(path, sizeof(path), "/%s/file", tag);
	claim(read_line(path, line, sizeof(line)) && !strcmp(line, tag),
	      "a file of the %s share can be read", tag);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/*
 * Wait for a kernel event that starts with @prefix and holds @part somewhere (in its path or in one
 * of its NAME=value strings). Milliseconds, or -1.
 */
static long wait_event(int events, const char *prefix, const char *part)
{
	long start = now_ms(), left;
	char buf[4096];
	struct pollfd p = {.fd = events, .events = POLLIN};

	while ((left = start + PLUG_TIMEOUT_MS - now_ms()) > 0 && poll(&p, 1, (int)left) == 1) {
		ssize_t n = recv(events, buf, sizeof(buf) - 1, 0);

		if (n < 0)
			break;
		buf[n] = '\0';
		if (!strncmp(buf, prefix, strlen(prefix)) &&
		    memmem(buf, (size_t)n, part, strlen(part)))
			return now_ms() - start;
	}
	errno = ETIMEDOUT;
	return -1;
}

static void check_hotplug(void)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int events = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	long ms;

	claim(events >= 0 && bind(events, (struct sockaddr *)&addr, sizeof(addr)) == 0,
	      "kernel events can be read");
	printf("HOST plug-net\n");
	ms = wait_event(events, "add@", "/net/eth0");
	claim(ms >= 0, "a plugged network device appears");
	printf("# after %ld ms\n", ms);
	printf("HOST plug-fs\n");
	ms = wait_event(events, "bind@", "DRIVER=virtiofs");
	claim(ms >= 0, "a plugged file share appears");
	printf("# after %ld ms\n", ms);
	check_share(PLUGGED_TAG);
	printf("HOST unplug-net\n");
	ms = wait_event(events, "remove@", "/net/eth0");
	claim(ms >= 0, "an unplugged network device goes");
	printf("# after %ld ms\n", ms);
	close(events);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Load /modules/NN-name.ko in the order of their names. Returns how many files there were. */
static int load_modules(void)
{
	struct dirent **names = NULL;
	int n = scandir("/modules", &names, NULL, by_name), loaded = 0;
	char path[300];

	for (int i = 0; i < n; i++) {
		int fd;

		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		if (names[i]->d_name[0] == '.')
			continue;
		fd = open(path, O_RDONLY | O_CLOEXEC);
		/* ENODEV: a driver for a processor feature that this one lacks. */
		claim(syscall(SYS_finit_module, fd, "", 0) == 0 || errno == ENODEV,
		      "module %s loads", names[i]->d_name);
		close(fd);
		loaded++;
	}
	return loaded;
}

int main(void)
{
	int modules = load_modules();

	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/sys", 0755);
	claim(mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL) == 0, "devtmpfs mounts");
	claim(mount("proc", "/proc", "proc", 0, NULL) == 0, "proc mounts");
	claim(mount("sysfs", "/sys", "sysfs", 0, NULL) == 0, "sysfs mounts");
	check_port();
	check_share(COLD_TAG);
	check_hotplug();
	check_cgroup();
	/* The rest is about our own kernel, which has no modules. */
	if (!modules) {
		check_files();
		check_absences();
		check_interfaces();
	}
	printf("1..%d\n", tests);
	printf("GUEST-DONE %s\n", failed ? "failed" : "passed");
	tcdrain(STDOUT_FILENO);
	reboot(RB_AUTOBOOT);
	return 1;
}
