/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/module.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/log.h"

static int module_file(const struct dirent *entry)
{
	const char *name = entry->d_name;
	size_t len = strlen(name);

	return len > 6 && isdigit((unsigned char)name[0]) && isdigit((unsigned char)name[1]) &&
	       name[2] == '-' && !strcmp(name + len - 3, ".ko");
}

static int module_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int module_load(int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int module_load_folder(const char *folder, struct err *err)
{
	_cleanup_close_ int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names = NULL;
	int n, loaded = 0;

	if (dirfd < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, -errno, "open '%s'", folder);
	n = scandirat(dirfd, ".", &names, module_file, module_order);
	if (n < 0)
		return err_set_errno(err, -errno, "read folder '%s'", folder);

	for (int i = 0; i < n; i++) {
		if (i < (int)MODULE_FILES_MAX) {
			int rc = module_load(dirfd, names[i]->d_name);

			if (rc < 0)
				log_error("load module '%s': %s", names[i]->d_name, strerror(-rc));
			else
				loaded++;
			unlinkat(dirfd, names[i]->d_name, 0);
		}
		free(names[i]);
	}
	free(names);
	if (n > (int)MODULE_FILES_MAX)
		return err_set(err, -E2BIG, "folder '%s' holds %d modules, at most %u are loaded", folder, n,
			       MODULE_FILES_MAX);
	return loaded;
}
