/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_device.h - device rules as a BPF program of a cgroup
 *
 * Shape:    rules in order, the last that matches decides, nothing matches: refused. The program
 *           tests them from the last to the first.
 * Limits:   CGROUP_DEVICE_RULES_MAX rules.
 * Source:   the kernel's bpf_cgroup_dev_ctx; OCI config-linux.md "Allowed Device list".
 */
#ifndef ONGGI_AGENT_CGROUP_DEVICE_H
#define ONGGI_AGENT_CGROUP_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/oci.h"

#define CGROUP_DEVICE_RULES_MAX 512u

/* Laid out as struct bpf_insn; its own type so that the kernel's header stays in one file. */
struct cgroup_device_insn {
	uint8_t code, regs;
	int16_t off;
	int32_t imm;
};

struct cgroup_device_program {
	size_t n;
	bool is_standard; /* it is the one that every container without rules of its own has */
	struct cgroup_device_insn insns[];
};

/*
 * Generate the program: @rules, then the devices that every container may use (null, zero, full,
 * random, urandom, tty, console, ptmx, pseudo terminals; mknod of anything). *ret is for free(3).
 * Returns 0; -E2BIG too many rules; -EINVAL a type that is none of a, b, c; -ENOMEM.
 */
int cgroup_device_generate(const struct oci_device_rule *rules, size_t n_rules,
			   struct cgroup_device_program **ret, struct err *err);

/*
 * What the program answers, by interpreting it: for the tests. 1 allowed, 0 refused, -EPROTO a bad
 * program.
 */
int cgroup_device_run(const struct cgroup_device_program *program, uint32_t access_type, uint32_t major,
		      uint32_t minor);

/*
 * Load the program (the standard one is loaded once for all) and attach it to the cgroup
 * directory @cgroup_fd, in place of what is in *prog_fd (-1: nothing yet). Without device rules
 * in the spec every device stays allowed: don't call.
 *
 * Returns 0, or a negative errno of bpf(2).
 */
int cgroup_device_attach(int cgroup_fd, const struct cgroup_device_program *program, int *prog_fd,
			 struct err *err);

#endif
