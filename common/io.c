/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

#define READ_CHUNK_MIN 4096u
/* Names tried for a temporary file before giving up; a clash needs 64 random bits to repeat. */
#define TEMP_TRIES_MAX 16

int io_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t io_read_full(int fd, void *data, size_t len)
{
	size_t used = 0;
	ssize_t n;

	while (used < len) {
		n = read(fd, (char *)data + used, len - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (ssize_t)used;
}

int io_read_fd(int fd, size_t max, char **ret_data, size_t *ret_len)
{
	_cleanup_free_ char *data = NULL;
	size_t used = 0, size = 0;
	char *grown;
	ssize_t n;

	if (max >= SSIZE_MAX)
		return -EINVAL;
	for (;;) {
		/*
		 * One byte more than allowed is asked for, to tell a file of exactly @max from a
		 * longer one.
		 */
		if (used == size) {
			size = size ? size * 2 : READ_CHUNK_MIN;
			size = size > max + 1 ? max + 1 : size;
			grown = realloc(data, size + 1);
			if (!grown)
				return -ENOMEM;
			data = grown;
		}
		n = read(fd, data + used, size - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max)
			return -EFBIG;
	}
	data[used] = '\0';
	*ret_data = TAKE_PTR(data);
	if (ret_len)
		*ret_len = used;
	return 0;
}

int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return io_read_fd(fd, max, ret_data, ret_len);
}

int io_write_file(int dirfd, const char *path, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	/*
	 * The kernel's virtual files take a value by one write only; part of it would be another
	 * value.
	 */
	do
		n = write(fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

/*
 * Create "<path>.<16 hex digits>" exclusively. Returns the descriptor; @ret_name is freed by the
 * caller.
 */
static int open_temporary(int dirfd, const char *path, char **ret_name)
{
	uint64_t number;
	char *name;
	int i, fd;

	for (i = 0; i < TEMP_TRIES_MAX; i++) {
		if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
			return errno ? -errno : -EIO;
		if (asprintf(&name, "%s.%016" PRIx64, path, number) < 0)
			return -ENOMEM;
		fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
		if (fd >= 0) {
			*ret_name = name;
			return fd;
		}
		free(name);
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int io_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode)
{
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -EBADF;
	int r;

	fd = open_temporary(dirfd, path, &name);
	if (fd < 0)
		return fd;
	r = io_write_all(fd, data, len);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, name, dirfd, path) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, name, 0);
	return r;
}

int io_parse_u64(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0, digit;
	const char *p;

	if (!text || !*text)
		return -EINVAL;
	for (p = text; *p; p++)
		if (*p < '0' || *p > '9')
			return -EINVAL;
	for (p = text; *p; p++) {
		digit = (uint64_t)(*p - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	if (value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}
