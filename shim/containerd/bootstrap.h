/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bootstrap.h - what containerd writes to the stdin of "start"
 *
 * Shape:    a google.protobuf.Any with the runtime's options, or nothing; from containerd 2.3 on
 *           BootstrapParams. Both begin with a text and bytes, so they are told apart by what the
 *           text says.
 * Source:   containerd's runtime v2 bootstrap protocol; containerd.runc.v1.Options;
 *           runtimeoptions.v1.Options.
 */
#ifndef ONGGI_SHIM_CONTAINERD_BOOTSTRAP_H
#define ONGGI_SHIM_CONTAINERD_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define BOOTSTRAP_BYTES_MAX (1u << 20)

struct bootstrap {
	char *config_path;   /* NULL: the usual one; freed by bootstrap_finish */
	bool systemd_cgroup;
};

/*
 * @id, @namespace  as the command line has them
 * Returns 0; -EBADMSG neither of the two, -ENOMEM. Options of kinds that mean nothing here are
 * passed over.
 */
int bootstrap_parse(const void *data, size_t len, const char *id, const char *namespace,
		    struct bootstrap *ret, struct err *err);
void bootstrap_finish(struct bootstrap *b);

#endif
