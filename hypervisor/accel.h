/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accel.h - whether this machine can really run a guest on KVM
 *
 * That /dev/kvm opens proves nothing: some hosts offer a KVM that cannot run an ordinary kernel.
 * The probe runs a few thousand instructions of its own in a VM, in a child process with a time
 * limit, and keeps the verdict for this boot of the host in a file.
 *
 * Process:  any; blocks for up to ACCEL_PROBE_LIMIT_MS when nothing is cached.
 * Not here: the code that is run (accel_guest.h), the ioctls (accel_probe.h).
 */
#ifndef ONGGI_HYPERVISOR_ACCEL_H
#define ONGGI_HYPERVISOR_ACCEL_H

#include "common/err.h"
#include "hypervisor/hypervisor.h"

/*
 * A working KVM needs some 10 ms. One that emulates each instruction needs seconds, or never ends.
 */
#define ACCEL_PROBE_LIMIT_MS 3000

/* The verdict, in the cache folder: {"bootId": "…", "works": false, "reason": "…"}. */
#define ACCEL_CACHE_FILE "kvm.json"

/* What the configuration asks for: "kvm" (default), "auto", "tcg". */
enum accel_policy { ACCEL_POLICY_KVM, ACCEL_POLICY_AUTO, ACCEL_POLICY_TCG };
/* -EINVAL on an unknown word. */
int accel_policy_parse(const char *word, enum accel_policy *ret);

/*
 * Decide.
 *
 * @cache_dir  folder for the verdict (created 0700), e.g. /run/onggi/cache; NULL: no cache
 *
 * Returns 0; -ENODEV when the policy is "kvm" and KVM does not work: the message says what was
 * found (no /dev/kvm, it opens but does not run code, no permission) and names the remedy
 * ('"accel": "auto"' in the configuration file).
 *
 * With the policy "auto" and no KVM that works, 0 is returned, *ret is VM_ACCEL_TCG, and @err holds
 * the reason nevertheless: the caller logs it loudly, for emulation is no security boundary.
 */
int accel_choose(enum accel_policy policy, const char *cache_dir, enum vm_accel *ret,
		 struct err *err);

/*
 * The probe itself, uncached. @kvm_path is /dev/kvm but for tests.
 *
 * Returns 0: works. Else, with the reason in @err: -ENOENT, -EACCES, … it does not open; -ENODEV it
 * is no KVM, or a VM cannot be made; -ENOEXEC code does not run; -ETIMEDOUT it did not end in time;
 * others of fork and pipe.
 */
int accel_probe_kvm(const char *kvm_path, struct err *err);

#endif
