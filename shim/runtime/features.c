/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/features.h"

#include <linux/capability.h>

#include "common/oci.h"
#include "shim/config.h"

#define OCI_VERSION_MIN "1.0.0"

/* The agent's seccomp module; a notification would need a listener on the host. */
static const char *const seccomp_actions[] = {
	"SCMP_ACT_ALLOW",        "SCMP_ACT_ERRNO",       "SCMP_ACT_KILL",
	"SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG",
	"SCMP_ACT_TRACE",        "SCMP_ACT_TRAP",        NULL,
};
static const char *const seccomp_operators[] = {
	"SCMP_CMP_EQ", "SCMP_CMP_GE",        "SCMP_CMP_GT", "SCMP_CMP_LE",
	"SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE", NULL,
};
/* What an x86-64 guest can run. */
static const char *const seccomp_archs[] = { "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64",
					     NULL };
static const char *const seccomp_flags[] = {
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_TSYNC",
	NULL,
};
static const char *const namespaces[] = { "cgroup", "ipc",  "mount", "network", "pid",
					  "time",   "user", "uts",   NULL };

static struct json *strings(const char *const *list)
{
	struct json *array = json_new_array();

	for (; array && *list; list++) {
		if (json_append(array, json_new_string(*list)) < 0) {
			json_unref(array);
			return NULL;
		}
	}
	return array;
}

static struct json *capabilities(void)
{
	struct json *array = json_new_array();

	for (int i = 0; array && i <= CAP_LAST_CAP; i++) {
		const char *name = oci_capability_name(i);

		if (name && json_append(array, json_new_string(name)) < 0) {
			json_unref(array);
			return NULL;
		}
	}
	return array;
}

static struct json *flag_object(const char *const *true_names, const char *const *false_names)
{
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? 0 : -ENOMEM;

	for (; r == 0 && *true_names; true_names++)
		r = json_set(j, *true_names, json_new_bool(true));
	for (; r == 0 && *false_names; false_names++)
		r = json_set(j, *false_names, json_new_bool(false));
	return r == 0 ? TAKE_PTR(j) : NULL;
}

static struct json *seccomp(void)
{
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? json_set(j, "enabled", json_new_bool(true)) : -ENOMEM;

	r = r ? r : json_set(j, "actions", strings(seccomp_actions));
	r = r ? r : json_set(j, "operators", strings(seccomp_operators));
	r = r ? r : json_set(j, "archs", strings(seccomp_archs));
	r = r ? r : json_set(j, "knownFlags", strings(seccomp_flags));
	r = r ? r : json_set(j, "supportedFlags", strings(seccomp_flags));
	return r == 0 ? TAKE_PTR(j) : NULL;
}

static struct json *mount_extensions(void)
{
	static const char *const none[] = { NULL }, *const enabled[] = { "enabled", NULL };
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? json_set(j, "idmap", flag_object(none, enabled)) : -ENOMEM;

	return r == 0 ? TAKE_PTR(j) : NULL;
}

static struct json *linux_features(void)
{
	static const char *const none[] = { NULL }, *const enabled[] = { "enabled", NULL };
	static const char *const cgroup_true[] = { "v1", "v2", "systemd", NULL };
	static const char *const cgroup_false[] = { "systemdUser", "rdma", NULL };
	static const char *const disabled[] = { "apparmor", "selinux", "intelRdt", "netDevices",
						NULL };
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? json_set(j, "namespaces", strings(namespaces)) : -ENOMEM;

	r = r ? r : json_set(j, "capabilities", capabilities());
	r = r ? r : json_set(j, "cgroup", flag_object(cgroup_true, cgroup_false));
	r = r ? r : json_set(j, "seccomp", seccomp());
	for (size_t i = 0; r == 0 && disabled[i]; i++)
		r = json_set(j, disabled[i], flag_object(none, enabled));
	r = r ? r : json_set(j, "mountExtensions", mount_extensions());
	return r == 0 ? TAKE_PTR(j) : NULL;
}

static struct json *annotations(void)
{
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? json_set(j, "onggi.version", json_new_string(ONGGI_VERSION)) : -ENOMEM;

	r = r ? r : json_set(j, "onggi.commit", json_new_string(ONGGI_COMMIT));
	return r == 0 ? TAKE_PTR(j) : NULL;
}

static struct json *hooks(void)
{
	struct json *array = json_new_array();

	for (int i = 0; array && i < OCI_HOOK_COUNT; i++) {
		if (json_append(array, json_new_string(oci_hook_name(i))) < 0) {
			json_unref(array);
			return NULL;
		}
	}
	return array;
}

struct json *features_json(void)
{
	static const char *const unsafe[] = { CONFIG_ANNOTATION_PREFIX, NULL };
	_cleanup_json_ struct json *j = json_new_object();
	int r = j ? json_set(j, "ociVersionMin", json_new_string(OCI_VERSION_MIN)) : -ENOMEM;

	r = r ? r : json_set(j, "ociVersionMax", json_new_string(OCI_VERSION));
	r = r ? r : json_set(j, "hooks", hooks());
	r = r ? r : json_set(j, "mountOptions", strings(oci_mount_option_names()));
	r = r ? r : json_set(j, "linux", linux_features());
	r = r ? r : json_set(j, "annotations", annotations());
	/* As far as the configuration lets them change anything, by default nothing: config_annotate. */
	r = r ? r : json_set(j, "potentiallyUnsafeConfigAnnotations", strings(unsafe));
	return r == 0 ? TAKE_PTR(j) : NULL;
}
