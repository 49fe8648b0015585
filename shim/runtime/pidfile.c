/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/pidfile.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/io.h"

int pidfile_write(const char *path, pid_t pid, struct err *err)
{
	char text[16];
	int len, r;

	if (!path)
		return 0;
	len = snprintf(text, sizeof(text), "%d", (int)pid);
	r = io_replace_file(AT_FDCWD, path, text, (size_t)len, 0644);
	return r < 0 ? err_set_errno(err, r, "write pid file '%s'", path) : 0;
}
