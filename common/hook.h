/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook.h - running the programs of a specification's "hooks"
 *
 * Shape:    one program after the other, each waited for: blocks. On the host for those of the
 *           runtime's namespaces, in the guest for those of the container's.
 * Contract: state JSON on stdin; nothing but descriptors 0, 1 and 2; the environment is the hook's
 *           own or empty; what it writes ends up in the message of its failure.
 * Source:   OCI runtime-spec config.md, "POSIX-platform Hooks".
 * Not here: when they run, and what follows from a failure.
 */
#ifndef ONGGI_COMMON_HOOK_H
#define ONGGI_COMMON_HOOK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/oci.h"

/* Bytes of a failed hook's output that go into the message. */
#define HOOK_OUTPUT_MAX 512

/* All of it borrowed for the call. */
struct hook_context {
	const char *state; /* JSON text for stdin */
	const char *cwd;   /* working folder, where there is one; NULL: the caller's */
	bool go_on;        /* one that fails does not keep the rest from being run */

	/* In the child, before anything else; may be NULL. Returns 0 or a negative errno. */
	int (*enter)(void *userdata);
	void *userdata;
};

/*
 * Run @hooks in their order, each to its end.
 *
 * @kind  for the message: "error running prestart hook #0: …"
 *
 * Returns 0; of the first one that failed: -EIO it ended with another code than 0, by a signal, or
 * could not be run; -ETIMEDOUT it took longer than its timeout and was killed; a negative errno of
 * fork(2) and the like.
 */
int hook_run_all(const struct oci_hook *hooks, size_t n, const char *kind,
		 const struct hook_context *context, struct err *err);

#endif
