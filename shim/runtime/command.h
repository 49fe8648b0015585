/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.h - what a subcommand of onggi-runtime is
 *
 * Shape:    files cmd_<name>.c, where commands that are alike share one: a structure of option
 *           values, a table of options, a run function, and one constant struct command that ties
 *           them together. dispatch.c parses, checks the number of arguments, calls run and
 *           reports what went wrong.
 * Source:   runc's manual pages; docs/runtime.md.
 */
#ifndef ONGGI_SHIM_RUNTIME_COMMAND_H
#define ONGGI_SHIM_RUNTIME_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "shim/runtime/options.h"

#define RUNTIME_NAME "onggi-runtime"

/* The global options, and what follows from them. */
struct runtime {
	const char *root;        /* as given; NULL: the default */
	const char *log;         /* path, NULL: stderr only */
	const char *log_format;  /* "text" (or NULL), "json" */
	const char *trace_start; /* path; NULL: no trace */
	const char *config_path; /* NULL: the usual places */
	const char *criu;        /* obsolete, accepted */
	const char *rootless;    /* "true", "false", "auto"; NULL: not given */
	const char *cgroup_manager; /* crun's: "cgroupfs", "systemd", "disabled"; NULL: not given */
	bool debug, systemd_cgroup, help, version;
	char *state_root; /* absolute; owned by command_main */
};

#define COMMAND_ARGS_ANY (-1)

struct command {
	const char *name;
	const char *arguments;   /* for the usage line, "<container-id>" */
	const char *summary;     /* one line, no full stop */
	const char *description; /* paragraphs for --help; NULL: none */
	const struct option_row *options;
	size_t values_size;     /* of the structure that the options fill; 0: none */
	int args_min, args_max; /* positional arguments; args_max may be COMMAND_ARGS_ANY */
	int failure_code;       /* exit code of an error: 1, and 255 for exec */
	bool help_fails;        /* --help ends with 1: engines probe a feature by it */
	bool raw_arguments;     /* options are not parsed: all words are arguments */

	/*
	 * @values  the option values, of values_size bytes
	 * @args    positional arguments, NULL-terminated
	 * Returns the exit code, 0 to 255, or a negative errno with the reason in @err. With an
	 * exit code a text in @err is said too.
	 */
	int (*run)(const struct runtime *rt, const void *values, char **args, struct err *err);
};

/* A table without options. */
extern const struct option_row no_options[];

extern const struct command cmd_create, cmd_start, cmd_state, cmd_kill, cmd_delete, cmd_run,
	cmd_exec, cmd_ps, cmd_list, cmd_pause, cmd_resume, cmd_spec, cmd_features, cmd_update,
	cmd_events, cmd_checkpoint, cmd_restore, cmd_template;

/* Every command, NULL-terminated, in the order of the help text. */
extern const struct command *const commands[];

/*
 * Parse the whole command line and run it: everything main does but the roles (roles.h).
 * Returns the exit code of the process.
 */
int command_main(int argc, char **argv);

#endif
