/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags.h - the command line that containerd gives its shims
 *
 * Shape:    flags of Go's habit ("-id x", "--id=x", "-debug"), then one word: the action.
 * Source:   containerd's docs on runtime v2; CRI-O gives the same to a runtime of type "vm".
 */
#ifndef ONGGI_SHIM_CONTAINERD_FLAGS_H
#define ONGGI_SHIM_CONTAINERD_FLAGS_H

#include <stdbool.h>

#include "common/err.h"

struct shim_flags {
	const char *namespace, *address, *publish_binary, *id, *bundle, *socket;
	bool debug, version, info, help;
	const char *action; /* NULL: none */
};

/* @ret borrows from @argv. -EINVAL with the reason. */
int shim_flags_parse(int argc, char **argv, struct shim_flags *ret, struct err *err);

#endif
