/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h - whole reads and writes, bounded files, atomic replacement
 *
 * Errors:   0 unless said otherwise, or a negative errno; -EFBIG where a bound is exceeded.
 * Signals:  EINTR is retried everywhere.
 */
#ifndef ONGGI_COMMON_IO_H
#define ONGGI_COMMON_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Write all of @len bytes to a blocking @fd. Returns 0 or a negative errno. */
int io_write_all(int fd, const void *data, size_t len);

/* Read until @len bytes or end of file from a blocking @fd. Returns the number of bytes. */
ssize_t io_read_full(int fd, void *data, size_t len);

/*
 * Read a whole file (or stream) of at most @max bytes.
 *
 * @dirfd, @path  as for openat(2); io_read_fd reads from an open descriptor instead
 * @ret_data      NUL-terminated copy, freed by the caller
 * @ret_len       bytes without the NUL; may be NULL
 */
int io_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len);
int io_read_fd(int fd, size_t max, char **ret_data, size_t *ret_len);

/*
 * Write @data to an existing file (procfs, sysfs, cgroupfs) with one write(2), no creation. -EIO:
 * only a part was taken.
 */
int io_write_file(int dirfd, const char *path, const void *data, size_t len);

/*
 * Create or replace @path whole or not at all: a temporary file beside it, then rename(2).
 * @mode is applied exactly (umask does not matter).
 */
int io_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode);

/* Parse a decimal number in [0, max] that fills @text wholly; -EINVAL or -ERANGE. */
int io_parse_u64(const char *text, uint64_t max, uint64_t *ret);

#endif
