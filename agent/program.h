/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.h - finding the program that a process is to run, in runc's words when it cannot be found
 *
 * Process:  a child whose root, working folder and user are the container's already.
 * Errors:   engines tell exit codes 126 and 127 apart by these texts.
 */
#ifndef ONGGI_AGENT_PROGRAM_H
#define ONGGI_AGENT_PROGRAM_H

#include <limits.h>

#include "common/err.h"

/*
 * Resolve @name by the PATH in @env (names without '/') or as it stands.
 *
 * @ret  what to give to execve
 *
 * Returns 0, or
 *   -ENOENT  exec: "foo": executable file not found in $PATH
 *   -ENOENT  exec: "/bin/x": stat /bin/x: no such file or directory
 *   -EACCES  exec: "/x": permission denied
 *   -EACCES  exec: "/etc": is a directory: permission denied (engines look for the last words)
 * A path over one of procfs' links to a process' files (/proc/self/exe) is denied.
 */
int program_find(const char *name, char *const env[], char ret[PATH_MAX], struct err *err);

/* 'exec /bin/x: <reason>' for a failed execve; returns -ENOENT or -EACCES or @code. */
int program_exec_error(const char *path, int code, struct err *err);

/* Value of @key in @env, or NULL. The last one counts. */
const char *program_env(char *const env[], const char *key);

/*
 * Enter @cwd in the root @root_fd; links are followed inside, never those of procfs to open files.
 * Returns 0; -ENOENT, -ENOTDIR, -EACCES, -ELOOP; -EPERM the folder lies outside of the root.
 */
int program_enter_cwd(int root_fd, const char *cwd, struct err *err);

#endif
