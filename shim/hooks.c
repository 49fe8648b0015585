/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/hook.h"
#include "common/io.h"
#include "shim/state_json.h"

static int enter_netns(void *userdata)
{
	const struct hooks_place *place = userdata;

	if (place->netns_fd < 0)
		return 0;
	return setns(place->netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int load_spec(const char *bundle, struct oci_spec **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	if (asprintf(&path, "%s/config.json", bundle) < 0)
		return path = NULL, err_set_errno(err, -ENOMEM, "hooks");
	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "read '%s'", path);
	return oci_spec_parse(text, len, ret, err);
}

char *hooks_state(const struct container_record *record, enum container_status status)
{
	_cleanup_json_ struct json *j = state_json_for_hooks(record, status);

	return j ? json_text(j, false) : NULL;
}

int hooks_run(const struct container_record *record, enum oci_hook_kind kind,
	      enum container_status status, const struct hooks_place *place, struct err *err)
{
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	_cleanup_free_ char *state = NULL;
	struct hook_context context = {
		.cwd = place->cwd ? place->cwd : record->bundle,
		.go_on = kind == OCI_HOOK_POSTSTART || kind == OCI_HOOK_POSTSTOP,
		.enter = enter_netns,
		.userdata = (void *)(uintptr_t)place,
	};
	int r;

	/* Whoever has none may have removed the bundle. */
	if ((record->hook_kinds & RECORD_HOOKS_KNOWN) && !(record->hook_kinds & (1u << kind)))
		return 0;
	r = load_spec(record->bundle, &spec, err);
	if (r < 0 || spec->n_hooks[kind] == 0)
		return r;
	context.state = state = hooks_state(record, status);
	if (!state)
		return err_set_errno(err, -ENOMEM, "hooks");
	return hook_run_all(spec->hooks[kind], spec->n_hooks[kind], oci_hook_name(kind), &context,
			    err);
}
