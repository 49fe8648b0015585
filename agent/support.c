/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/support.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device.h"
#include "agent/mask.h"
#include "agent/mount.h"
#include "agent/rootfs.h"
#include "agent/sysctl.h"
#include "agent/user.h"

int support_warn(struct support_warnings *warnings, const char *fmt, ...)
{
	va_list ap;
	int r;

	if (!warnings->texts) {
		warnings->texts = calloc(SUPPORT_WARNINGS_MAX + 1, sizeof(*warnings->texts));
		if (!warnings->texts)
			return -ENOMEM;
	}
	if (!fmt || warnings->n == SUPPORT_WARNINGS_MAX)
		return 0;
	va_start(ap, fmt);
	r = vasprintf(&warnings->texts[warnings->n], fmt, ap);
	va_end(ap);
	if (r < 0) {
		warnings->texts[warnings->n] = NULL;
		return -ENOMEM;
	}
	warnings->n++;
	return 0;
}

static int check_namespaces(const struct oci_spec *spec, struct support_warnings *w, struct err *err)
{
	if (!spec->namespaces[OCI_NS_PID].present &&
	    support_warn(w, "linux.namespaces: without 'pid' the processes are those of the guest") < 0)
		return -ENOMEM;
	if (!spec->namespaces[OCI_NS_UTS].present && (spec->hostname || spec->domainname))
		return err_set(err, -EINVAL, "unable to set hostname without a private UTS namespace");
	return 0;
}

static int check_mounts(const struct oci_spec *spec, struct err *err)
{
	for (size_t i = 0; i < spec->n_mounts; i++) {
		int r = mount_kind_of(&spec->mounts[i], err);

		if (r < 0) {
			err_prefix(err, "mounts[%zu]", i);
			return r;
		}
	}
	return 0;
}

static int check_devices(const struct oci_spec *spec, struct support_warnings *w, struct err *err)
{
	size_t skipped;
	int r = device_check(spec, &skipped, err);

	if (r < 0 || !skipped)
		return r;
	return support_warn(w, "linux.devices: %zu devices of the host do not exist in the guest", skipped);
}

static int warn_ignored(const struct oci_spec *spec, struct support_warnings *w)
{
	int r = support_warn(w, NULL);

	for (char **name = spec->ignored; r >= 0 && name && *name; name++)
		r = support_warn(w, "'%s' is ignored", *name);
	if (r >= 0 && spec->mount_label && *spec->mount_label)
		r = support_warn(w, "'linux.mountLabel' is ignored: the guest has no SELinux");
	return r;
}

int support_check_process(const struct oci_process *process, struct support_warnings *w, struct err *err)
{
	if (process->apparmor_profile && *process->apparmor_profile &&
	    support_warn(w, "'process.apparmorProfile' is ignored: the guest has no AppArmor") < 0)
		return -ENOMEM;
	if (process->selinux_label && *process->selinux_label &&
	    support_warn(w, "'process.selinuxLabel' is ignored: the guest has no SELinux") < 0)
		return -ENOMEM;
	return user_check(&process->user, err);
}

int support_check(const struct oci_spec *spec, struct support_warnings *w, struct err *err)
{
	unsigned long propagation;
	int r;

	if (!spec->has_process)
		return err_set(err, -EINVAL, "field 'process': required");
	r = warn_ignored(spec, w);
	if (r < 0)
		return r;
	r = check_namespaces(spec, w, err);
	if (r < 0)
		return r;
	r = check_mounts(spec, err);
	if (r < 0)
		return r;
	r = check_devices(spec, w, err);
	if (r < 0)
		return r;
	r = sysctl_check(spec, err);
	if (r < 0)
		return r;
	r = mask_check(spec->masked_paths, "linux.maskedPaths", err);
	if (r < 0)
		return r;
	r = mask_check(spec->readonly_paths, "linux.readonlyPaths", err);
	if (r < 0)
		return r;
	r = rootfs_propagation(spec->rootfs_propagation, &propagation, err);
	if (r < 0)
		return r;
	return support_check_process(&spec->process, w, err);
}
