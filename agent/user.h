/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.h - user and groups of a process, and its home folder by the container's /etc/passwd
 *
 * Peer:     /etc/passwd belongs to the image: any type of file, any size, any bytes.
 * Source:   OCI config.md "POSIX-platform User"; passwd(5).
 */
#ifndef ONGGI_AGENT_USER_H
#define ONGGI_AGENT_USER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/oci.h"

#define USER_PASSWD_MAX (1u << 20)
#define USER_HOME_MAX 4096u

/* Check ids before anything is started: -EINVAL one over INT32_MAX, named. */
int user_check(const struct oci_user *user, struct err *err);

/*
 * setgroups, setresgid, setresuid, umask (022 unless given). Capabilities are kept by
 * capability_keep. Errnos of these calls.
 */
int user_apply(const struct oci_user *user, struct err *err);

/*
 * Home folder of @uid by etc/passwd below @root_fd; "/" when there is none. Never fails: a file
 * that is no regular file or over USER_PASSWD_MAX is as good as none.
 */
void user_home(int root_fd, uint32_t uid, char home[USER_HOME_MAX]);

/* The same from the text of a passwd file. */
void user_home_parse(const char *passwd, uint32_t uid, char home[USER_HOME_MAX]);

#endif
