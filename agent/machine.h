/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - how much of the machine's memory and CPUs the guest uses
 *
 * Theory:   the VMM is given more memory and CPUs than the kernel was told to use at boot ("mem=",
 *           "maxcpus="); what is not used costs the host nothing. Here they are taken into use and
 *           given up again: memory in blocks, by their physical addresses, which the host tells;
 *           CPUs by their number.
 * Zones:    what is added goes into the movable zone, so that it can be given up, as long as that
 *           one is not larger than MACHINE_MOVABLE_RATIO times the rest: the kernel itself cannot
 *           live there. Blocks of the rest may refuse to be given up.
 * Giving up: begins MACHINE_REPORT_DELAY_MS after the request. Free pages are reported to the host,
 *           which drops them, some two seconds after they became free; pages of a block that was
 *           taken out of use before stay with the host.
 * Blocking: the kernel may take long, so a child does it, MACHINE_TIMEOUT_MS at most.
 * Process:  the agent, loop thread only.
 * Source:   the kernel's Documentation/admin-guide/mm/memory-hotplug.rst, core-api/cpu_hotplug.rst.
 */
#ifndef ONGGI_AGENT_MACHINE_H
#define ONGGI_AGENT_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/reaper.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/loop.h"

#define MACHINE_RANGES_MAX 4u
#define MACHINE_MOVABLE_RATIO 3u
#define MACHINE_REPORT_DELAY_MS 4000u
#define MACHINE_TIMEOUT_MS 20000u
/* Where the kernel shows both. */
#define MACHINE_SYSFS "/sys/devices/system"

struct machine;

/* Memory as the VMM built it: physical addresses. */
struct machine_range {
	uint64_t start, length; /* bytes */
};

struct machine_size {
	uint64_t memory_bytes; /* whole blocks in use */
	uint32_t cpus;
};

struct machine_request {
	struct machine_size size; /* 0: leave */
	struct machine_range ranges[MACHINE_RANGES_MAX];
	size_t n_ranges;
};

/* @sysfs: MACHINE_SYSFS, or a folder of a test's; borrowed. Returns 0 or -ENOMEM. */
int machine_create(struct loop *loop, struct reaper *reaper, const char *sysfs, struct machine **ret);
/* Who waits is answered with -ECANCELED. */
void machine_destroy(struct machine *m);
DEFINE_CLEANUP(struct machine *, machine_destroy);

/* @size is what the guest uses now, also after a failure. */
typedef void (*machine_done_fn)(int code, const struct machine_size *size, const struct err *err,
				void *userdata);

/*
 * Change to @request. What cannot be given up stays, which is no failure. A later request replaces
 * one that is under way, whose @done gets 0 and what is there by then.
 *
 * Returns 0 (then @done runs once, later); -EINVAL ranges out of order.
 * @done's codes: -EOPNOTSUPP this kernel takes no memory by its address; -ENOSPC the machine does
 * not have so much; -ETIMEDOUT; an errno of the kernel's.
 */
int machine_resize(struct machine *m, const struct machine_request *request, machine_done_fn done,
		   void *userdata, struct err *err);

/* What the guest uses now. */
void machine_look(const char *sysfs, const struct machine_request *request, struct machine_size *ret);

/* What the child does. Blocks. Codes as those of @done above. */
int machine_apply(const char *sysfs, const struct machine_request *request, struct err *err);

#endif
