/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/roles.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "shim/monitor.h"
#include "shim/template_make.h"

static const struct role {
	const char *name;
	int (*main)(int argc, char **argv);
} roles[] = {
	{ MONITOR_ROLE, monitor_main },
	{ TEMPLATE_MAKER_ROLE, template_maker_main },
};

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

bool roles_run(int argc, char **argv, int *ret)
{
	fill_stdio();
	/* Ignored by the caller, and so by us, it would have the kernel reap our children. */
	signal(SIGCHLD, SIG_DFL);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(roles); i++) {
		if (strcmp(argv[1], roles[i].name) == 0) {
			*ret = roles[i].main(argc, argv);
			return true;
		}
	}
	return false;
}
