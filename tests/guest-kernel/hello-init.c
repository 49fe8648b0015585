/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello-init.c - PID 1 of the boot smoke test: print one marker, switch the machine off
 *
 * The marker goes to stdout, which is the kernel's console. It carries the time since boot and the
 * memory left, so the same program measures both:
 *
 *   GUEST-UP uptime_us=<µs of CLOCK_BOOTTIME> free_kib=<MemAvailable> total_kib=<MemTotal>
 */
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static long meminfo_kib(const char *name)
{
	char line[128];
	long value = -1;
	size_t len = strlen(name);
	FILE *f = fopen("/proc/meminfo", "re");

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && sscanf(line + len, ": %ld", &value) == 1)
			break;
	fclose(f);
	return value;
}

int main(void)
{
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		perror("mount /proc");
	printf("GUEST-UP uptime_us=%ld free_kib=%ld total_kib=%ld\n",
	       (long)up.tv_sec * 1000000 + up.tv_nsec / 1000,
	       meminfo_kib("MemAvailable"), meminfo_kib("MemTotal"));
	fflush(stdout);
	/* The serial driver sends in the background and a restart doesn't wait for it. */
	tcdrain(STDOUT_FILENO);
	/* QEMU runs with -no-reboot: a restart ends it. */
	reboot(RB_AUTOBOOT);
	return 1;
}
