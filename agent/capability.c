/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bits of a uint64_t; the kernel will not have more without a new interface. */
#define CAPABILITY_BITS 64

struct capability_sets capability_plan(const struct oci_capabilities *spec, uint64_t available)
{
	struct capability_sets sets = { 0 };

	if (!spec->present)
		return sets;
	sets.bounding = spec->bounding & available;
	sets.permitted = spec->permitted & available;
	sets.effective = spec->effective & sets.permitted;
	sets.inheritable = spec->inheritable & available;
	sets.ambient = spec->ambient & sets.permitted & sets.inheritable;
	return sets;
}

int capability_drop_bounding(uint64_t keep, struct err *err)
{
	for (int cap = 0; cap < CAPABILITY_BITS; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0)
			return 0; /* past the last one */
		if (!has || keep & (UINT64_C(1) << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return err_set_errno(err, -errno, "drop capability %d from the bounding set", cap);
	}
	return 0;
}

int capability_keep(bool on, struct err *err)
{
	if (prctl(PR_SET_KEEPCAPS, on ? 1L : 0L, 0L, 0L, 0L) < 0)
		return err_set_errno(err, -errno, "keep capabilities");
	return 0;
}

static int get_sets(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	return 0;
}

static int put_sets(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32) },
	};

	if (syscall(SYS_capset, &header, data) < 0)
		return -errno;
	return 0;
}

static int apply_ambient(uint64_t ambient, struct err *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L) < 0)
		return err_set_errno(err, -errno, "clear the ambient capabilities");
	for (int cap = 0; cap < CAPABILITY_BITS; cap++) {
		if (!(ambient & (UINT64_C(1) << cap)))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, (long)cap, 0L, 0L) < 0)
			return err_set_errno(err, -errno, "raise ambient capability %d", cap);
	}
	return 0;
}

int capability_apply(const struct capability_sets *sets, uint64_t extra, struct err *err)
{
	uint64_t permitted;
	int r;

	r = capability_permitted(&permitted);
	if (r < 0)
		return err_set_errno(err, r, "read capabilities");
	permitted &= sets->permitted | extra;
	r = put_sets(sets->effective & permitted, permitted, sets->inheritable);
	if (r < 0)
		return err_set_errno(err, r, "set capabilities");
	return apply_ambient(sets->ambient, err);
}

int capability_set_effective(uint64_t effective, struct err *err)
{
	struct __user_cap_data_struct data[2];
	uint64_t permitted, inheritable;
	int r;

	r = get_sets(data);
	if (r < 0)
		return err_set_errno(err, r, "read capabilities");
	permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable;
	r = put_sets(effective & permitted, permitted, inheritable);
	if (r < 0)
		return err_set_errno(err, r, "set the effective capabilities");
	return 0;
}

int capability_finish(const struct capability_sets *sets, struct err *err)
{
	int r = put_sets(sets->effective, sets->permitted, sets->inheritable);

	if (r < 0)
		return err_set_errno(err, r, "set capabilities");
	return 0;
}

int capability_permitted(uint64_t *ret)
{
	struct __user_cap_data_struct data[2];
	int r;

	r = get_sets(data);
	if (r < 0)
		return r;
	*ret = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	return 0;
}
