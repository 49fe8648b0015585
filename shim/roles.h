/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roles.h - what onggi-runtime and the containerd shim are beside their command lines: the sandbox
 * monitor, and the maker of a template
 *
 * Order:    the first thing that main does.
 */
#ifndef ONGGI_SHIM_ROLES_H
#define ONGGI_SHIM_ROLES_H

#include <stdbool.h>

/*
 * Open /dev/null for those of stdin, stdout and stderr that are closed, and give SIGCHLD back its
 * default, which a caller may have ignored; then, when the first argument is a role's name
 * (MONITOR_ROLE, TEMPLATE_MAKER_ROLE), be that until its end.
 *
 * Returns whether there was a role; then *ret is the exit code of the process.
 */
bool roles_run(int argc, char **argv, int *ret);

#endif
