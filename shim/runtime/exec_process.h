/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec_process.h - the OCI process object of an exec, from a file or from the container's own and
 * flags
 *
 * Shape:    JSON in, JSON out, so that fields we know nothing of reach the agent as the engine
 *           wrote them. The result has been parsed once: what the agent would refuse is refused
 *           here, by name.
 */
#ifndef ONGGI_SHIM_RUNTIME_EXEC_PROCESS_H
#define ONGGI_SHIM_RUNTIME_EXEC_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/oci.h"
#include "shim/runtime/options.h"

struct exec_flags {
	const char *cwd, *user, *process_label, *apparmor; /* NULL: as the container's */
	struct option_list env, additional_gids, caps;
	bool tty, no_new_privs;
	char *const *args; /* NULL-terminated, at least one */
};

/*
 * The process object in the file @path.
 *
 * @ret_text  JSON, freed by the caller
 * @ret       the same, parsed
 *
 * Returns 0; errnos of open(2); -EBADMSG, -EINVAL it is no process object: the message names the
 * field.
 */
int exec_process_from_file(const char *path, char **ret_text, struct oci_process **ret,
			   struct err *err);

/*
 * The process object of the container's config.json (@config, text), changed by @flags.
 * -EINVAL also for a malformed --user: "uid[:gid]" in decimal, each at most EXEC_ID_MAX.
 */
#define EXEC_ID_MAX 2147483647u
int exec_process_from_flags(const char *config, size_t len, const struct exec_flags *flags,
			    char **ret_text, struct oci_process **ret, struct err *err);

#endif
