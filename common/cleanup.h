/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - scope-bound release of memory, file descriptors and streams
 *
 * Shape:    attributes for local variables; the function runs when the variable leaves scope.
 * Order:    declare with an initial value (NULL, -EBADF), hand over with TAKE_PTR / TAKE_FD.
 * Not here: each type's own destructor; it stands in the header of that type.
 */
#ifndef ONGGI_COMMON_CLEANUP_H
#define ONGGI_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_free_p(void *p)
{
	free(*(void **)p);
}

/* Closes *fd unless it is negative; errno is kept, so that it may stand on an error path. */
static inline void cleanup_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -EBADF;
	errno = saved;
}

static inline void cleanup_fclose_p(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void cleanup_closedir_p(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define _cleanup_free_ _cleanup_(cleanup_free_p)
#define _cleanup_close_ _cleanup_(cleanup_close_p)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose_p)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir_p)

/* Give a value away: the variable is left empty, so that its cleanup does nothing. */
#define TAKE_PTR(p)                    \
	({                             \
		__typeof__(p) _t = (p); \
		(p) = NULL;            \
		_t;                    \
	})

#define TAKE_FD(fd)            \
	({                     \
		int _t = (fd); \
		(fd) = -EBADF; \
		_t;            \
	})

/* Declares a cleanup function "fn_p" for pointers whose destructor is "fn" (which takes NULL). */
#define DEFINE_CLEANUP(type, fn)                  \
	static inline void fn##_p(type *p)        \
	{                                         \
		if (*p)                           \
			fn(*p);                   \
	}                                         \
	struct cleanup_semicolon_##fn

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
