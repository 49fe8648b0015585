/* SPDX-License-Identifier: Apache-2.0 */
/* The "hooks" object. Source: OCI runtime-spec 1.2, config.md "POSIX-platform Hooks". */
#include "common/oci_parse.h"

#define HOOK_ARGS_MAX OCI_LIST_MAX

static const struct oci_member hook_members[] = {
	OCI_STRING("path", struct oci_hook, path, OCI_M_REQUIRED | OCI_M_ABSOLUTE),
	OCI_STRV("args", struct oci_hook, args, HOOK_ARGS_MAX, 0),
	OCI_STRV("env", struct oci_hook, env, HOOK_ARGS_MAX, 0),
	OCI_INT("timeout", struct oci_hook, timeout_s, 1, INT32_MAX, 0),
	{},
};

#define HOOKS(k, kind)                                                                             \
	{                                                                                          \
		.key = (k), .put = oci_put_list, .offset = offsetof(struct oci_spec, hooks[kind]), \
		.size = sizeof(struct oci_hook),                                                   \
		.count = offsetof(struct oci_spec, n_hooks[kind]), .members = hook_members,        \
		.max = OCI_LIST_MAX                                                                \
	}

const struct oci_member oci_hooks_members[] = {
	HOOKS("prestart", OCI_HOOK_PRESTART),
	HOOKS("createRuntime", OCI_HOOK_CREATE_RUNTIME),
	HOOKS("createContainer", OCI_HOOK_CREATE_CONTAINER),
	HOOKS("startContainer", OCI_HOOK_START_CONTAINER),
	HOOKS("poststart", OCI_HOOK_POSTSTART),
	HOOKS("poststop", OCI_HOOK_POSTSTOP),
	{},
};
_Static_assert(sizeof(oci_hooks_members) / sizeof(oci_hooks_members[0]) == OCI_HOOK_COUNT + 1,
	       "a kind of hook that is not read");

static void finish_hook(struct oci_hook *hook)
{
	free(hook->path);
	json_free_strv(hook->args);
	json_free_strv(hook->env);
}

void oci_hooks_finish(struct oci_spec *spec)
{
	for (size_t kind = 0; kind < OCI_HOOK_COUNT; kind++) {
		for (size_t i = 0; i < spec->n_hooks[kind]; i++)
			finish_hook(&spec->hooks[kind][i]);
		free(spec->hooks[kind]);
	}
}
