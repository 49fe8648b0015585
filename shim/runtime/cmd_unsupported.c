/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that engines may try and that do not exist yet. They fail by name; the help of
 * checkpoint fails too, because podman takes its success for support.
 */
#include <errno.h>

#include "shim/runtime/command.h"

static int refuse(const char *name, struct err *err)
{
	return err_set(err, -EOPNOTSUPP, "'%s' is not supported yet", name);
}

/* Options are not even parsed: engines probe for some by the words of a parser's complaint. */
#define UNSUPPORTED(command_name, text, probed)                                       \
	static int run_##command_name(const struct runtime *rt, const void *values,    \
				      char **args, struct err *err)                    \
	{                                                                              \
		return refuse(#command_name, err);                                     \
	}                                                                              \
	const struct command cmd_##command_name = {                                    \
		.name = #command_name,                                                 \
		.arguments = "<container-id>",                                         \
		.summary = text " (not supported yet)",                                \
		.options = no_options,                                                 \
		.args_max = COMMAND_ARGS_ANY,                                          \
		.failure_code = 1,                                                     \
		.help_fails = probed,                                                  \
		.raw_arguments = true,                                                 \
		.run = run_##command_name,                                             \
	}

UNSUPPORTED(checkpoint, "save a running container", true);
UNSUPPORTED(restore, "restore a saved container", true);
