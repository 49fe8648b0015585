/* SPDX-License-Identifier: Apache-2.0 */
/*
 * containerd-shim-onggi-v2: how containerd, and CRI-O's runtime type "vm", reach the sandbox monitor; or a role
 * (roles.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "shim/containerd/actions.h"
#include "shim/roles.h"

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

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	int code;

	if (roles_run(argc, argv, &code))
		return code;
	signal(SIGPIPE, SIG_IGN);
	/* What is a warning to people would be a part of the answer to containerd. */
	log_setup(-1, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR, NAME);
	if (run(argc, argv, &err) == 0)
		return 0;
	fprintf(stderr, "%s: %s\n", NAME, err.text);
	return 1;
}
