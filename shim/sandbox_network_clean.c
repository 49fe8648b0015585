/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps die with the monitor and the VMM; redirects stay in a namespace that its engine keeps, and
 * swallow what arrives there. They are found by their mark.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/netlink.h"
#include "net/redirect.h"
#include "shim/sandbox_network.h"

/* A socket keeps to the namespace it was opened in, so the caller is in there for a moment only. */
static int open_in(int netns_fd, struct netlink *nl, struct err *err)
{
	_cleanup_close_ int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	if (own < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return err_set_errno(err, -errno, "enter the network namespace");
	r = netlink_open(nl, 0, err);
	if (setns(own, CLONE_NEWNET) < 0)
		abort(); /* the caller would go on in a network that is not his */
	return r;
}

int sandbox_network_clean(const struct sandbox_record *record, struct err *err)
{
	_cleanup_(netlink_close_p) struct netlink nl = NETLINK_INIT;
	_cleanup_close_ int fd = -EBADF;
	struct stat st;
	int r;

	if (!record->netns_path)
		return 0;
	fd = open(record->netns_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != record->netns_dev ||
	    st.st_ino != record->netns_ino)
		return 0;
	r = open_in(fd, &nl, err);
	if (r >= 0)
		r = net_redirect_remove_all(&nl, err);
	if (r < 0)
		err_prefix(err, "clean up network namespace '%s'", record->netns_path);
	return r;
}
