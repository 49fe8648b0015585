/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "common/path.h"

#define UMASK_DEFAULT 0022

static int check_id(const char *field, uint32_t id, struct err *err)
{
	if (id > INT32_MAX)
		return err_set(err, -EINVAL, "process.user.%s %u exceeds %d", field, id, INT32_MAX);
	return 0;
}

int user_check(const struct oci_user *user, struct err *err)
{
	int r;

	r = check_id("uid", user->uid, err);
	if (r < 0)
		return r;
	r = check_id("gid", user->gid, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < user->n_additional_gids; i++) {
		r = check_id("additionalGids", user->additional_gids[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int user_apply(const struct oci_user *user, struct err *err)
{
	_Static_assert(sizeof(gid_t) == sizeof(user->additional_gids[0]), "groups are passed as they are");

	umask(user->has_umask ? (mode_t)user->umask : UMASK_DEFAULT);
	if (setgroups(user->n_additional_gids, user->additional_gids) < 0)
		return err_set_errno(err, -errno, "set %zu additional groups", user->n_additional_gids);
	if (setresgid(user->gid, user->gid, user->gid) < 0)
		return err_set_errno(err, -errno, "set group %u", user->gid);
	if (setresuid(user->uid, user->uid, user->uid) < 0)
		return err_set_errno(err, -errno, "set user %u", user->uid);
	return 0;
}

/* One line "name:password:uid:gid:gecos:home:shell"; returns whether it is @uid's and has a home. */
static bool home_of_line(char *line, uint32_t uid, char home[USER_HOME_MAX])
{
	char *fields[7] = { NULL };
	size_t n = 0;
	uint64_t id;

	while (n < ARRAY_SIZE(fields) && (fields[n] = strsep(&line, ":")))
		n++;
	if (n < 6 || io_parse_u64(fields[2], UINT32_MAX, &id) < 0 || id != uid)
		return false;
	if (fields[5][0] != '/' || strlen(fields[5]) >= USER_HOME_MAX)
		return false;
	memcpy(home, fields[5], strlen(fields[5]) + 1);
	return true;
}

void user_home_parse(const char *passwd, uint32_t uid, char home[USER_HOME_MAX])
{
	while (*passwd) {
		size_t len = strcspn(passwd, "\n");
		char line[USER_HOME_MAX + 1024];

		if (len < sizeof(line)) {
			memcpy(line, passwd, len);
			line[len] = '\0';
			if (home_of_line(line, uid, home))
				return;
		}
		passwd += len + (passwd[len] == '\n');
	}
	memcpy(home, "/", 2);
}

void user_home(int root_fd, uint32_t uid, char home[USER_HOME_MAX])
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	struct stat st;

	memcpy(home, "/", 2);
	/* Not blocking: a fifo of that name must not stop the container's start. */
	fd = path_open_in_root(root_fd, "/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (io_read_fd(fd, USER_PASSWD_MAX, &text, NULL) < 0)
		return;
	user_home_parse(text, uid, home);
}
