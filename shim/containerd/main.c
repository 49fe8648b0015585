/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd-shim-onggi-v2: how containerd, and CRI-O's runtime type "vm", reach the sandbox monitor. The same program is
 * the monitor, or the maker of a template, when its first argument says so.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "shim/containerd/actions.h"
#include "shim/monitor.h"
#include "shim/template_make.h"

#define NAME "containerd-shim-onggi-v2"

static const struct action {
	const char *name;
	int (*run)(const struct shim_flags *flags, struct err *err);
} actions[] = {
	{ "start", shim_start },
	{ "delete", shim_delete },
};

static int run_action(const struct shim_flags *flags, struct err *err)
{
	if (!flags->namespace || !flags->namespace[0])
		return err_set(err, -EINVAL, "flag -namespace is missing");
	if (!flags->id || !flags->id[0])
		return err_set(err, -EINVAL, "flag -id is missing");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!strcmp(flags->action, actions[i].name))
			return actions[i].run(flags, err);
	}
	return err_set(err, -EINVAL, "action '%s' is not known (want start or delete)", flags->action);
}

static int run(int argc, char **argv, struct err *err)
{
	struct shim_flags flags;
	int r = shim_flags_parse(argc, argv, &flags, err);

	if (r < 0)
		return r;
	if (flags.version || flags.help) {
		printf("%s:\n  Version:  %s\n", NAME, ONGGI_VERSION);
		if (flags.help)
			printf("\nThis is a runtime shim of containerd, which runs it itself:\n"
			       "  ctr run --runtime io.containerd.onggi.v2 IMAGE ID COMMAND\n");
		return 0;
	}
	if (flags.info)
		return shim_info(&flags, err);
	if (!flags.action)
		return err_set(err, -EINVAL, "no action is given; the server is started by 'start' alone");
	return run_action(&flags, err);
}

/* With 0, 1 or 2 closed, the next file opened would become somebody's stdout. */
static void fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;

	fill_stdio();
	if (argc > 1 && strcmp(argv[1], MONITOR_ROLE) == 0)
		return monitor_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], TEMPLATE_MAKER_ROLE) == 0)
		return template_maker_main(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	/* What is a warning to people would be a part of the answer to containerd. */
	log_setup(-1, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR, NAME);
	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", NAME, err.text);
	return 1;
}
