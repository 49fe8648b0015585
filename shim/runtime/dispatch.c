/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - from the command line to a subcommand, and from an error to what engines read
 *
 * An error is reported once in the log file (engines take the line for their own message), once on
 * stderr. Without a log file stderr is the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/trace.h"
#include "common/oci.h"
#include "shim/runtime/command.h"
#include "shim/state.h"

/* What runc returns for a subcommand that does not exist. */
#define EXIT_UNKNOWN_COMMAND 3

const struct option_row no_options[] = { OPTIONS_END };

const struct command *const commands[] = {
	&cmd_checkpoint, &cmd_create, &cmd_delete, &cmd_events, &cmd_exec,    &cmd_features,
	&cmd_kill,       &cmd_list,   &cmd_pause,  &cmd_ps,     &cmd_restore, &cmd_resume,
	&cmd_run,        &cmd_spec,   &cmd_start,  &cmd_state, &cmd_template,  &cmd_update,  NULL,
};

#define GLOBAL(member) offsetof(struct runtime, member)

static const struct option_row global_options[] = {
	{ "root", 0, OPTION_STRING, GLOBAL(root),
	  "folder of the state (default: " STATE_ROOT_DEFAULT ")" },
	{ "log", 0, OPTION_STRING, GLOBAL(log), "append log lines to this file (default: stderr)" },
	{ "log-format", 0, OPTION_STRING, GLOBAL(log_format), "\"text\" (default) or \"json\"" },
	{ "debug", 0, OPTION_FLAG, GLOBAL(debug), "log more" },
	{ "config", 0, OPTION_STRING, GLOBAL(config_path),
	  "configuration file (default: /etc/onggi/config.json)" },
	{ "trace-start", 0, OPTION_STRING, GLOBAL(trace_start),
	  "append a line for each phase of a container's start to this file (absolute path)" },
	{ "systemd-cgroup", 0, OPTION_FLAG, GLOBAL(systemd_cgroup),
	  "'linux.cgroupsPath' is slice:prefix:name: have systemd make the host's cgroup" },
	{ "cgroup-manager", 0, OPTION_STRING, GLOBAL(cgroup_manager),
	  "'cgroupfs' (default), 'systemd', or 'disabled': no cgroup on the host" },
	{ "rootless", 0, OPTION_STRING, GLOBAL(rootless), "'false' or 'auto': rootless containers are not supported yet" },
	{ "criu", 0, OPTION_STRING, GLOBAL(criu), NULL },
	{ "help", 'h', OPTION_FLAG, GLOBAL(help), "show help" },
	{ "version", 'v', OPTION_FLAG, GLOBAL(version), "print the version" },
	OPTIONS_END,
};

static void print_version(void)
{
	printf(RUNTIME_NAME " version " ONGGI_VERSION "\ncommit: " ONGGI_COMMIT
			    "\nspec: " OCI_VERSION "\n");
}

static void print_help(FILE *out)
{
	fprintf(out, "NAME:\n   " RUNTIME_NAME
		     " - OCI runtime that runs each container or pod in a microVM\n\n"
		     "USAGE:\n   " RUNTIME_NAME
		     " [global options] command [command options] [arguments...]\n\n"
		     "COMMANDS:\n");
	for (const struct command *const *c = commands; *c; c++)
		fprintf(out, "   %-12s %s\n", (*c)->name, (*c)->summary);
	fprintf(out, "\nGLOBAL OPTIONS:\n");
	options_print_help(global_options, out);
}

static void print_command_help(const struct command *c, FILE *out)
{
	fprintf(out, "NAME:\n   " RUNTIME_NAME " %s - %s\n\nUSAGE:\n   " RUNTIME_NAME " %s %s%s\n",
		c->name, c->summary, c->name, c->options[0].name ? "[command options] " : "",
		c->arguments);
	if (c->description)
		fprintf(out, "\nDESCRIPTION:\n%s\n", c->description);
	if (c->options[0].name) {
		fprintf(out, "\nOPTIONS:\n");
		options_print_help(c->options, out);
	}
}

/* ---- reporting ---- */

/* Descriptor of --log, or -EBADF. */
static int open_log(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

	return fd >= 0 ? fd : err_set_errno(err, -errno, "open log file '%s'", path);
}

static enum log_format format_of(const struct runtime *rt)
{
	return rt->log_format && strcmp(rt->log_format, "json") == 0 ? LOG_FORMAT_JSON
								     : LOG_FORMAT_TEXT;
}

static void report(const struct runtime *rt, int log_fd, const char *message)
{
	enum log_level level = rt->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;

	log_error("%s", message);
	if (log_fd == STDERR_FILENO)
		return;
	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, level, "runtime");
	log_error("%s", message);
	log_setup(log_fd, format_of(rt), level, "runtime");
}

/* ---- running ---- */

static int check_arguments(const struct command *c, int n, struct err *err)
{
	if (n >= c->args_min && (c->args_max == COMMAND_ARGS_ANY || n <= c->args_max))
		return 0;
	if (c->args_min == c->args_max)
		return err_set(err, -EINVAL,
			       RUNTIME_NAME ": \"%s\" requires exactly %d argument(s)", c->name,
			       c->args_min);
	if (n < c->args_min)
		return err_set(err, -EINVAL,
			       RUNTIME_NAME ": \"%s\" requires a minimum of %d argument(s)",
			       c->name, c->args_min);
	return err_set(err, -EINVAL, RUNTIME_NAME ": \"%s\" requires a maximum of %d argument(s)",
		       c->name, c->args_max);
}

static bool wants_help(char **argv)
{
	return argv[0] && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0 ||
			   strcmp(argv[0], "-help") == 0);
}

/* Returns the exit code, or a negative errno. */
static int run_command(const struct runtime *rt, const struct command *c, char **argv,
		       struct err *err)
{
	_cleanup_free_ void *values = calloc(1, c->values_size ? c->values_size : 1);
	int n = 0, taken, r;

	if (!values)
		return err_set_errno(err, -ENOMEM, "options");
	taken = c->raw_arguments ? 0 : options_parse(c->options, argv, values, err);
	if (taken < 0) {
		fprintf(stderr, "Incorrect Usage: see '" RUNTIME_NAME " %s --help'\n", c->name);
		options_finish(c->options, values);
		return taken;
	}
	argv += taken;
	while (argv[n])
		n++;
	r = check_arguments(c, n, err);
	if (r < 0)
		fprintf(stderr, "Incorrect Usage: see '" RUNTIME_NAME " %s --help'\n", c->name);
	else
		r = c->run(rt, values, argv, err);
	options_finish(c->options, values);
	return r;
}

static int absolute_root(struct runtime *rt, struct err *err)
{
	const char *root = rt->root ? rt->root : STATE_ROOT_DEFAULT;
	_cleanup_free_ char *cwd = NULL;

	if (root[0] == '\0')
		return err_set(err, -EINVAL, "option --root: the path is empty");
	if (root[0] == '/') {
		rt->state_root = strdup(root);
		return rt->state_root ? 0 : -ENOMEM;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return err_set_errno(err, -errno, "current folder");
	return asprintf(&rt->state_root, "%s/%s", cwd, root) < 0 ? -ENOMEM : 0;
}

/* The words that runc takes. */
static int check_rootless(const struct runtime *rt, struct err *err)
{
	if (!rt->rootless || !strcmp(rt->rootless, "auto") || !strcmp(rt->rootless, "false"))
		return 0;
	if (!strcmp(rt->rootless, "true"))
		return err_set(err, -EOPNOTSUPP,
			       "option --rootless=true: rootless containers are not supported yet, run as root");
	return err_set(err, -EINVAL, "invalid --rootless '%s' (want \"true\", \"false\" or \"auto\")",
		       rt->rootless);
}

static int start_trace(const struct runtime *rt, struct err *err)
{
	int r;

	if (!rt->trace_start)
		return 0;
	/* The monitor lives in another folder. */
	if (rt->trace_start[0] != '/')
		return err_set(err, -EINVAL, "option --trace-start: '%s' is not an absolute path",
			       rt->trace_start);
	r = trace_open(rt->trace_start, 0, "command");
	return r < 0 ? err_set_errno(err, r, "open trace file '%s'", rt->trace_start) : 0;
}

static int prepare(struct runtime *rt, int *log_fd, struct err *err)
{
	enum log_level level = rt->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
	int fd;

	if (rt->log) {
		fd = open_log(rt->log, err);
		if (fd < 0)
			return fd;
		*log_fd = fd;
	}
	log_setup(*log_fd, format_of(rt), level, "runtime");
	if (rt->log_format && strcmp(rt->log_format, "text") != 0 &&
	    strcmp(rt->log_format, "json") != 0)
		return err_set(err, -EINVAL, "invalid log-format: '%s' (want \"text\" or \"json\")",
			       rt->log_format);
	fd = start_trace(rt, err);
	if (fd == 0)
		fd = check_rootless(rt, err);
	return fd < 0 ? fd : absolute_root(rt, err);
}

static const struct command *find_command(const char *name)
{
	for (const struct command *const *c = commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

static int dispatch(struct runtime *rt, char **argv, int log_fd, struct err *err)
{
	const struct command *c;
	int r;

	if (!argv[0] || rt->help || strcmp(argv[0], "help") == 0) {
		c = argv[0] && argv[1] ? find_command(argv[1]) : NULL;
		c ? print_command_help(c, stdout) : print_help(stdout);
		return 0;
	}
	c = find_command(argv[0]);
	if (!c) {
		err_set(err, -EINVAL, "unknown command '%s': see '" RUNTIME_NAME " --help'",
			argv[0]);
		report(rt, log_fd, err->text);
		return EXIT_UNKNOWN_COMMAND;
	}
	if (wants_help(argv + 1)) {
		print_command_help(c, stdout);
		return c->help_fails ? EXIT_FAILURE : 0;
	}
	r = run_command(rt, c, argv + 1, err);
	if (r < 0) {
		report(rt, log_fd, err->text[0] ? err->text : strerror(-r));
		return c->failure_code;
	}
	if (err->code < 0)
		report(rt, log_fd, err->text);
	return r;
}

int command_main(int argc, char **argv)
{
	struct runtime rt = { 0 };
	struct err err = ERR_INIT;
	int log_fd = STDERR_FILENO;
	int taken, code, unwritten;

	log_setup(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_LEVEL_INFO, "runtime");
	taken = options_parse(global_options, argv + (argc > 0), &rt, &err);
	if (taken >= 0 && rt.version) {
		print_version();
		code = 0;
	} else if (taken < 0 || prepare(&rt, &log_fd, &err) < 0) {
		report(&rt, log_fd, err.text);
		code = EXIT_FAILURE;
	} else {
		code = dispatch(&rt, argv + 1 + taken, log_fd, &err);
	}
	/* Whoever asked and gets nothing must know; a command that failed has told already. */
	unwritten = fflush(stdout) == EOF ? -errno : ferror(stdout) ? -EIO : 0;
	if (unwritten < 0 && code == 0) {
		err = (struct err)ERR_INIT;
		err_set_errno(&err, unwritten, "write to stdout");
		report(&rt, log_fd, err.text);
		code = EXIT_FAILURE;
	}
	free(rt.state_root);
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	return code;
}
