/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are JSON objects. A record is written by programs of ours only, in a folder that nobody
 * else can write: a broken one is reported, not repaired.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "common/json.h"
#include "common/path.h"
#include "shim/state.h"

#define RECORD_BYTES_MAX (4u << 20)
#define RECORD_ANNOTATIONS_MAX 8192u
#define RECORD_MODE 0600

static const char *const status_names[] = {
	[CONTAINER_CREATING] = "creating", [CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",   [CONTAINER_PAUSED] = "paused",
	[CONTAINER_STOPPED] = "stopped",
};
_Static_assert(ARRAY_SIZE(status_names) == CONTAINER_STOPPED + 1, "a name for every status");

const char *container_status_name(enum container_status status)
{
	return status_names[status];
}

static int status_parse(const char *name, enum container_status *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++) {
		if (!strcmp(name, status_names[i])) {
			*ret = (enum container_status)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* ---- reading ---- */

static int load(int rootfd, const char *kind, const char *id, struct json **ret, struct err *err)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	_cleanup_json_ struct json *json = NULL;
	size_t len;
	int r;

	if (!path_id_valid(id))
		return err_set(err, -EINVAL, "'%s' is no valid id", id);
	if (asprintf(&path, "%s/%s/state.json", kind, id) < 0)
		return TAKE_PTR(path), -ENOMEM;
	r = io_read_file(rootfd, path, RECORD_BYTES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "record '%s'", path);
	r = json_parse(text, len, &json, err);
	if (r >= 0 && !json_is_object(json))
		r = err_set(err, -EBADMSG, "expected an object");
	if (r < 0) {
		err_prefix(err, "record '%s'", path);
		return r;
	}
	*ret = TAKE_PTR(json);
	return 0;
}

static int get_string(const struct json *json, const char *key, char **ret, struct err *err)
{
	const char *text = NULL;
	int r;

	r = json_member_string(json, "", key, &text, err);
	if (r <= 0)
		return r;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int get_process(const struct json *json, const char *key, struct process_id *ret,
		       struct err *err)
{
	struct json *member = NULL;
	uint64_t pid = 0;
	int r;

	r = json_member_object(json, "", key, &member, err);
	if (r <= 0)
		return r;
	r = json_member_uint(member, key, "pid", INT32_MAX, &pid, err);
	if (r < 0)
		return r;
	r = json_member_uint(member, key, "start_time", UINT64_MAX, &ret->start_time, err);
	if (r < 0)
		return r;
	ret->pid = (pid_t)pid;
	return 0;
}

static int parse_sandbox(const struct json *json, struct sandbox_record *record, struct err *err)
{
	int r;

	if ((r = get_process(json, "monitor", &record->monitor, err)) < 0 ||
	    (r = get_process(json, "vmm", &record->vmm, err)) < 0 ||
	    (r = get_process(json, "file_server", &record->file_server, err)) < 0 ||
	    (r = json_member_uint(json, "", "netns_dev", UINT64_MAX, &record->netns_dev, err)) <
		    0 ||
	    (r = json_member_uint(json, "", "netns_ino", UINT64_MAX, &record->netns_ino, err)) <
		    0 ||
	    (r = get_string(json, "netns_path", &record->netns_path, err)) < 0)
		return r;
	return get_string(json, "cri_sandbox_id", &record->cri_sandbox_id, err);
}

static int get_status(const struct json *json, enum container_status *ret, struct err *err)
{
	const char *text = NULL;
	int r;

	r = json_member_string(json, "", "status", &text, err);
	if (r < 0)
		return r;
	if (!text || status_parse(text, ret) < 0)
		return err_set(err, -EINVAL, "field 'status': unknown status '%s'",
			       text ? text : "");
	return 0;
}

static int parse_container(const struct json *json, struct container_record *record,
			   struct err *err)
{
	uint64_t exit_status = 0, hook_kinds = 0;
	int r;

	if ((r = get_string(json, "sandbox", &record->sandbox, err)) < 0 ||
	    (r = get_string(json, "bundle", &record->bundle, err)) < 0 ||
	    (r = get_string(json, "rootfs", &record->rootfs, err)) < 0 ||
	    (r = get_string(json, "ociVersion", &record->oci_version, err)) < 0 ||
	    (r = get_string(json, "created", &record->created, err)) < 0 ||
	    (r = get_status(json, &record->status, err)) < 0 ||
	    (r = get_process(json, "proxy", &record->proxy, err)) < 0 ||
	    (r = json_member_uint(json, "", "exit_status", UINT32_MAX, &exit_status, err)) < 0 ||
	    (r = json_member_uint(json, "", "hook_kinds", UINT32_MAX, &hook_kinds, err)) < 0 ||
	    (r = get_string(json, "lost_reason", &record->lost_reason, err)) < 0 ||
	    (r = json_member_strv(json, "", "annotations", RECORD_ANNOTATIONS_MAX,
				  &record->annotations, err)) < 0)
		return r;
	record->exit_status = (uint32_t)exit_status;
	record->hook_kinds = (unsigned int)hook_kinds;
	return 0;
}

/* What the loaders of both kinds do alike: @kind is the folder's name, @noun one of what is in it. */
static int load_kind(int rootfd, const char *kind, const char *noun, const char *id, struct json **ret,
		     char **ret_id, struct err *err)
{
	int r = load(rootfd, kind, id, ret, err);

	if (r == -ENOENT)
		return err_set(err, r, "%s '%s' does not exist", noun, id);
	if (r < 0)
		return r;
	*ret_id = strdup(id);
	return *ret_id ? 0 : -ENOMEM;
}

int sandbox_record_load(int rootfd, const char *id, struct sandbox_record **ret, struct err *err)
{
	_cleanup_(sandbox_record_free_p) struct sandbox_record *record = calloc(1, sizeof(*record));
	_cleanup_json_ struct json *json = NULL;
	int r;

	if (!record)
		return -ENOMEM;
	r = load_kind(rootfd, "sandboxes", "sandbox", id, &json, &record->id, err);
	if (r < 0)
		return r;
	r = parse_sandbox(json, record, err);
	if (r < 0) {
		err_prefix(err, "record of sandbox '%s'", id);
		return r;
	}
	*ret = TAKE_PTR(record);
	return 0;
}

int container_record_load(int rootfd, const char *id, struct container_record **ret,
			  struct err *err)
{
	_cleanup_(container_record_free_p) struct container_record *record =
		calloc(1, sizeof(*record));
	_cleanup_json_ struct json *json = NULL;
	int r;

	if (!record)
		return -ENOMEM;
	r = load_kind(rootfd, "containers", "container", id, &json, &record->id, err);
	if (r < 0)
		return r;
	r = parse_container(json, record, err);
	if (r < 0) {
		err_prefix(err, "record of container '%s'", id);
		return r;
	}
	*ret = TAKE_PTR(record);
	return 0;
}

/* ---- writing ---- */

static int set_string(struct json *json, const char *key, const char *value)
{
	return value ? json_set(json, key, json_new_string(value)) : 0;
}

static int set_process(struct json *json, const char *key, const struct process_id *p)
{
	struct json *member;
	int r;

	if (p->pid <= 0)
		return 0;
	member = json_new_object();
	if (!member)
		return -ENOMEM;
	r = json_set(member, "pid", json_new_uint((uint64_t)p->pid));
	if (r >= 0)
		r = json_set(member, "start_time", json_new_uint(p->start_time));
	if (r < 0) {
		json_unref(member);
		return r;
	}
	return json_set(json, key, member);
}

static int set_strings(struct json *json, const char *key, char *const *strings)
{
	struct json *array;
	int r;

	if (!strings)
		return 0;
	array = json_new_array();
	if (!array)
		return -ENOMEM;
	for (; *strings; strings++) {
		r = json_append(array, json_new_string(*strings));
		if (r < 0) {
			json_unref(array);
			return r;
		}
	}
	return json_set(json, key, array);
}

static int save(int rootfd, const char *kind, const char *id, const struct json *json,
		struct err *err)
{
	_cleanup_free_ char *text = json_text(json, true), *path = NULL;
	int r;

	if (!text)
		return -ENOMEM;
	if (asprintf(&path, "%s/%s/state.json", kind, id) < 0)
		return TAKE_PTR(path), -ENOMEM;
	/* What could not be read again must not be written. */
	r = strlen(text) > RECORD_BYTES_MAX
		    ? -EFBIG
		    : io_replace_file(rootfd, path, text, strlen(text), RECORD_MODE);
	return r < 0 ? err_set_errno(err, r, "record '%s'", path) : 0;
}

int sandbox_record_save(int rootfd, const struct sandbox_record *record, struct err *err)
{
	_cleanup_json_ struct json *json = json_new_object();
	int r;

	if (!json)
		return -ENOMEM;
	if ((r = set_process(json, "monitor", &record->monitor)) < 0 ||
	    (r = set_process(json, "vmm", &record->vmm)) < 0 ||
	    (r = set_process(json, "file_server", &record->file_server)) < 0 ||
	    (r = json_set(json, "netns_dev", json_new_uint(record->netns_dev))) < 0 ||
	    (r = json_set(json, "netns_ino", json_new_uint(record->netns_ino))) < 0 ||
	    (r = set_string(json, "netns_path", record->netns_path)) < 0 ||
	    (r = set_string(json, "cri_sandbox_id", record->cri_sandbox_id)) < 0)
		return r;
	return save(rootfd, "sandboxes", record->id, json, err);
}

int container_record_save(int rootfd, const struct container_record *record, struct err *err)
{
	_cleanup_json_ struct json *json = json_new_object();
	int r;

	if (!json)
		return -ENOMEM;
	if ((r = set_string(json, "sandbox", record->sandbox)) < 0 ||
	    (r = set_string(json, "bundle", record->bundle)) < 0 ||
	    (r = set_string(json, "rootfs", record->rootfs)) < 0 ||
	    (r = set_string(json, "ociVersion", record->oci_version)) < 0 ||
	    (r = set_string(json, "created", record->created)) < 0 ||
	    (r = set_string(json, "status", container_status_name(record->status))) < 0 ||
	    (r = set_process(json, "proxy", &record->proxy)) < 0 ||
	    (r = json_set(json, "exit_status", json_new_uint(record->exit_status))) < 0 ||
	    (r = json_set(json, "hook_kinds", json_new_uint(record->hook_kinds))) < 0 ||
	    (r = set_string(json, "lost_reason", record->lost_reason)) < 0 ||
	    (r = set_strings(json, "annotations", record->annotations)) < 0)
		return r;
	return save(rootfd, "containers", record->id, json, err);
}

void sandbox_record_free(struct sandbox_record *record)
{
	if (!record)
		return;
	free(record->id);
	free(record->netns_path);
	free(record->cri_sandbox_id);
	free(record);
}

void container_record_free(struct container_record *record)
{
	if (!record)
		return;
	free(record->id);
	free(record->sandbox);
	free(record->bundle);
	free(record->rootfs);
	free(record->oci_version);
	free(record->created);
	free(record->lost_reason);
	json_free_strv(record->annotations);
	free(record);
}
