/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/state_json.h"

static struct json *annotations_json(char *const *pairs)
{
	struct json *j = json_new_object();

	for (; j && pairs && pairs[0] && pairs[1]; pairs += 2) {
		if (json_set(j, pairs[0], json_new_string(pairs[1])) < 0) {
			json_unref(j);
			return NULL;
		}
	}
	return j;
}

/* Members that the specification names, in runc's order; @shown: those beside it that runc shows. */
static struct json *make(const struct container_record *r, enum container_status status, bool shown)
{
	_cleanup_json_ struct json *j = json_new_object();
	pid_t pid = status == CONTAINER_STOPPED ? 0 : r->proxy.pid ? r->proxy.pid : r->stand_in;
	int code = 0;

	if (!j)
		return NULL;
	code |= json_set(j, "ociVersion", json_new_string(r->oci_version ? r->oci_version : ""));
	code |= json_set(j, "id", json_new_string(r->id));
	code |= json_set(j, "pid", json_new_int(pid));
	code |= json_set(j, "status", json_new_string(container_status_name(status)));
	code |= json_set(j, "bundle", json_new_string(r->bundle ? r->bundle : ""));
	if (shown) {
		code |= json_set(j, "rootfs", json_new_string(r->rootfs ? r->rootfs : ""));
		code |= json_set(j, "created", json_new_string(r->created ? r->created : ""));
	}
	if (shown && r->lost_reason)
		code |= json_set(j, "lostReason", json_new_string(r->lost_reason));
	if (r->annotations && r->annotations[0])
		code |= json_set(j, "annotations", annotations_json(r->annotations));
	return code == 0 ? TAKE_PTR(j) : NULL;
}

struct json *state_json(const struct container_record *r, enum container_status status,
			const char *owner)
{
	_cleanup_json_ struct json *j = make(r, status, true);

	return j && json_set(j, "owner", json_new_string(owner)) == 0 ? TAKE_PTR(j) : NULL;
}

struct json *state_json_for_hooks(const struct container_record *r, enum container_status status)
{
	return make(r, status, false);
}
