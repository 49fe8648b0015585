/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/scheduling.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

static int apply_scheduler(const struct oci_scheduler *s, struct err *err)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = s->policy,
		.sched_flags = s->flags,
		.sched_nice = s->nice,
		.sched_priority = (uint32_t)s->priority,
		.sched_runtime = s->runtime_ns,
		.sched_deadline = s->deadline_ns,
		.sched_period = s->period_ns,
	};

	if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
		return err_set_errno(err, -errno, "process.scheduler");
	return 0;
}

int scheduling_apply(const struct oci_process *process, struct err *err)
{
	const struct oci_io_priority *io = &process->io_priority;
	int r = process->scheduler.present ? apply_scheduler(&process->scheduler, err) : 0;

	if (r < 0 || !io->present)
		return r;
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    IOPRIO_PRIO_VALUE(io->class, io->priority)) < 0)
		return err_set_errno(err, -errno, "process.ioPriority");
	return 0;
}
