/* SPDX-License-Identifier: Apache-2.0 */
/* onggi-runtime: the OCI command line, or a role (roles.h). */
#include "shim/roles.h"
#include "shim/runtime/command.h"

int main(int argc, char **argv)
{
	int code;

	return roles_run(argc, argv, &code) ? code : command_main(argc, argv);
}
