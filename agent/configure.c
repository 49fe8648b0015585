/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/configure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"

int configure_clock(int64_t realtime_ns, struct err *err)
{
	const struct timespec ts = {
		.tv_sec = realtime_ns / 1000000000,
		.tv_nsec = realtime_ns % 1000000000,
	};

	if (realtime_ns <= 0)
		return err_set(err, -EINVAL, "field 'realtime_ns': %lld is no time of day",
			       (long long)realtime_ns);
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		return err_set_errno(err, -errno, "set the clock");
	return 0;
}

int configure_entropy(const void *data, size_t len, struct err *err)
{
	_cleanup_close_ int fd = -EBADF;
	struct {
		struct rand_pool_info info;
		unsigned char data[CONFIGURE_ENTROPY_MAX];
	} pool = { .info = { .entropy_count = (int)len * 8, .buf_size = (int)len } };
	int rc = 0;

	if (len < CONFIGURE_ENTROPY_MIN || len > CONFIGURE_ENTROPY_MAX)
		return err_set(err, -EINVAL, "field 'entropy': %zu bytes are not %u to %u", len,
			       CONFIGURE_ENTROPY_MIN, CONFIGURE_ENTROPY_MAX);
	_Static_assert(offsetof(typeof(pool), data) == offsetof(struct rand_pool_info, buf),
		       "the bytes follow the header");
	fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, -errno, "open '/dev/urandom'");
	memcpy(pool.data, data, len);
	if (ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		rc = err_set_errno(err, -errno, "add entropy");
	explicit_bzero(&pool, sizeof(pool));
	return rc;
}

int configure_hostname(const char *name, struct err *err)
{
	size_t len = strlen(name);

	if (!len || len > CONFIGURE_HOSTNAME_MAX ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") != len)
		return err_set(err, -EINVAL, "field 'hostname': not 1 to %u bytes of [A-Za-z0-9.-]",
			       CONFIGURE_HOSTNAME_MAX);
	if (sethostname(name, len) < 0)
		return err_set_errno(err, -errno, "set host name '%s'", name);
	return 0;
}

int configure_info(struct configure_info *ret, struct err *err)
{
	struct utsname uts;
	struct sysinfo info;
	cpu_set_t cpus;

	if (uname(&uts) < 0 || sysinfo(&info) < 0 || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return err_set_errno(err, -errno, "look at the system");
	snprintf(ret->kernel_release, sizeof(ret->kernel_release), "%s", uts.release);
	ret->memory_total_bytes = (uint64_t)info.totalram * info.mem_unit;
	ret->memory_free_bytes = (uint64_t)info.freeram * info.mem_unit;
	ret->cpus = (uint32_t)CPU_COUNT(&cpus);
	return 0;
}
