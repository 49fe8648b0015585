/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onggi-runtime: the OCI command line. The same binary is the sandbox monitor, or the maker of a
 * template, when its first argument says so.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shim/monitor.h"
#include "shim/runtime/command.h"
#include "shim/template_make.h"

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
	fill_stdio();
	if (argc > 1 && strcmp(argv[1], MONITOR_ROLE) == 0)
		return monitor_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], TEMPLATE_MAKER_ROLE) == 0)
		return template_maker_main(argc, argv);
	return command_main(argc, argv);
}
