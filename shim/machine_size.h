/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine_size.h - how much memory and how many CPUs a sandbox's guest gets
 *
 * Rule:     memory is the configuration's "memory_mib" and the sum of the containers' limits; CPUs
 *           are as many as the containers' quotas add up to, at least "vcpus". A container without
 *           a limit adds nothing: it lives on what is there. Of a Kubernetes pod the engine tells
 *           the sum before its containers are there: the guest is at least as large from its start
 *           on.
 * Room:     the machine is built larger than the guest boots with, for updates and further
 *           containers; see struct machine_bounds. Memory comes in blocks of MACHINE_BLOCK_MIB.
 * Shape:    pure, but for machine_bounds_of, which asks how large the host is.
 * Source:   OCI config-linux.md "Memory", "CPU"; containerd's annotations
 *           io.kubernetes.cri.sandbox-*.
 */
#ifndef ONGGI_SHIM_MACHINE_SIZE_H
#define ONGGI_SHIM_MACHINE_SIZE_H

#include <stddef.h>
#include <stdint.h>

#include "common/oci.h"
#include "shim/config.h"

/* x86's memory block of guests below 64 GiB (drivers/base/memory.c, arch/x86/mm/init_64.c). */
#define MACHINE_BLOCK_MIB 128u
/* Room that is made unless the configuration says how much: each GiB costs the VMM 100 KiB. */
#define MACHINE_ROOM_MIB 8192u
#define MACHINE_ROOM_VCPUS 8u

/* What one container may use. */
struct machine_need {
	uint64_t memory_bytes; /* 0: no limit */
	uint64_t cpu_quota_us; /* 0: no limit */
	uint64_t cpu_period_us; /* 0: the default */
};

struct machine_size {
	uint64_t memory_mib;
	unsigned int vcpus;
};

struct machine_bounds {
	struct machine_size base; /* without any container's limit */
	/* What it may be at boot, for the sake of limits that are known by then. */
	struct machine_size boot_max;
	/* What the machine is built with at least. */
	struct machine_size room;
};

/*
 * From the configuration and the size of the host, whose CPUs are never exceeded, and whose memory only if the configuration
 * says so: engines write "no limit" as one of exabytes, too.
 */
void machine_bounds_of(const struct config *config, struct machine_bounds *ret);

/*
 * Take over what @resources names: of a specification, or of an update (0: unchanged, -1: no
 * limit).
 */
void machine_need_update(struct machine_need *need, const struct oci_resources *resources);

/* Of two of the same container's, the larger amount of each kind. */
struct machine_need machine_need_larger(const struct machine_need *a, const struct machine_need *b);

/*
 * What a pod as a whole may use, as CRI's annotations of its sandbox container say; all 0 for any
 * other container. Without a quota, the CPUs that its shares stand for: what it asked to have at
 * least.
 */
struct machine_need machine_need_of_pod(const struct oci_spec *spec);

/* Of two, the larger amount of each kind. */
struct machine_size machine_size_larger(const struct machine_size *a, const struct machine_size *b);

/* The size for @needs, not larger than @max. */
struct machine_size machine_size_for(const struct machine_size *base, const struct machine_size *max,
				     const struct machine_need *needs, size_t n);

/* What the machine is built with when the guest boots with @boot: that, and room. */
struct machine_size machine_size_built(const struct machine_bounds *bounds,
				       const struct machine_size *boot);

#endif
