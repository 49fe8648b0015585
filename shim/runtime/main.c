/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onggi-runtime: the OCI command line. The same binary is the sandbox monitor when its first argument says so.
 */
#include <string.h>

#include "shim/monitor.h"
#include "shim/runtime/command.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], MONITOR_ROLE) == 0)
		return monitor_main(argc, argv);
	return command_main(argc, argv);
}
