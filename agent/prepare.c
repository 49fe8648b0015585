/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/prepare.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cgroup.h"

/* Those of every container. */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP)

bool prepare_wanted(void)
{
	return getenv(PREPARE_VARIABLE);
}

/* A process in namespaces of its own that ends at once: caches and tables for its like are there then. */
static int rehearse_process(struct err *err)
{
	struct clone_args args = { .flags = NAMESPACES, .exit_signal = SIGCHLD };
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return err_set_errno(err, -errno, "make a process in new namespaces");
	while (waitpid((pid_t)pid, NULL, 0) < 0) {
		if (errno != EINTR)
			return err_set_errno(err, -errno, "wait for a process");
	}
	return 0;
}

int prepare_guest(struct err *err)
{
	int rc = cgroup_prepare(CGROUP_ROOT, err);

	return rc < 0 ? rc : rehearse_process(err);
}
