/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - the reason of a failure, as a person will read it
 *
 * Shape:    a fixed-size record in the caller's memory; functions that take one accept NULL.
 * Style:    lower case, no full stop, the subject in single quotes; the text names the file, the
 *           field, the value and, where there is one, the remedy.
 * Order:    err_set where the failure is found, err_prefix once per layer on the way up.
 */
#ifndef ONGGI_COMMON_ERR_H
#define ONGGI_COMMON_ERR_H

/* Bytes of text including the terminating NUL; longer texts are cut. */
#define ERR_TEXT_MAX 2048

struct err {
	int code;                /* negative errno, 0 while nothing was set */
	char text[ERR_TEXT_MAX]; /* NUL-terminated */
};

#define ERR_INIT { .code = 0, .text = "" }

/*
 * Record a failure.
 *
 * @err   where to write, or NULL
 * @code  negative errno
 * @fmt   text without prefix; printf-style
 *
 * Returns @code, so that it can stand in a return statement.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set, with ": <strerror(-code)>" appended to the text. */
int err_set_errno(struct err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Put "<text>: " before what is recorded.
 *
 * Returns the recorded code (0 if @err is NULL, so keep the code of the callee in that case).
 */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
