/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/rlimit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "agent/procfs.h"

static rlim_t to_rlim(uint64_t value)
{
	return value == UINT64_MAX ? RLIM_INFINITY : (rlim_t)value;
}

/* The agent has raised its own; a container gets what today's engines give, unless told otherwise. */
static const struct rlimit nofile_default = { .rlim_cur = 1024, .rlim_max = 524288 };

static int apply_default(const struct oci_process *process, struct err *err)
{
	struct rlimit now, limit = nofile_default;

	for (size_t i = 0; i < process->n_rlimits; i++) {
		if (process->rlimits[i].resource == RLIMIT_NOFILE)
			return 0;
	}
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return err_set_errno(err, -errno, "read the limit of open files");
	if (limit.rlim_max > now.rlim_max)
		limit.rlim_max = now.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return err_set_errno(err, -errno, "set the limit of open files");
	return 0;
}

int rlimit_apply(const struct oci_process *process, struct err *err)
{
	for (size_t i = 0; i < process->n_rlimits; i++) {
		const struct oci_rlimit *l = &process->rlimits[i];
		struct rlimit limit = { .rlim_cur = to_rlim(l->soft), .rlim_max = to_rlim(l->hard) };

		if (limit.rlim_cur > limit.rlim_max)
			return err_set(err, -EINVAL, "process.rlimits[%zu]: soft limit above the hard one", i);
		if (setrlimit((__rlimit_resource_t)l->resource, &limit) < 0)
			return err_set_errno(err, -errno, "process.rlimits[%zu] (resource %d)", i,
					     l->resource);
	}
	return apply_default(process, err);
}

int rlimit_apply_oom_score(int proc_fd, const struct oci_process *process, struct err *err)
{
	char text[16];
	int n, r;

	/* The agent's own is -1000, which must not be inherited. */
	n = snprintf(text, sizeof(text), "%d", process->has_oom_score_adj ? process->oom_score_adj : 0);
	r = procfs_write(proc_fd, "self/oom_score_adj", text, (size_t)n);
	if (r < 0)
		return err_set_errno(err, r, "process.oomScoreAdj %s", text);
	return 0;
}
