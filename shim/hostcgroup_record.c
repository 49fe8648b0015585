/* SPDX-License-Identifier: Apache-2.0 */
/* containers/<id>/cgroup.json: written and read by programs of ours only. */
#include <fcntl.h>
#include <string.h>

#include "common/io.h"
#include "common/json.h"
#include "common/path.h"
#include "shim/hostcgroup.h"
#include "shim/hostcgroup_path.h"

#define RECORD_BYTES_MAX (256u << 10)
#define RECORD_MODE 0600

void hostcgroup_free(struct hostcgroup *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->n; i++) {
		free(h->dirs[i].controllers);
		free(h->dirs[i].mount);
		free(h->dirs[i].path);
	}
	free(h->unit);
	free(h);
}

/* ---- writing ---- */

static struct json *dir_to_json(const struct hostcgroup_dir *d)
{
	struct json *json = json_new_object();

	if (!json)
		return NULL;
	if (json_set(json, "controllers", json_new_string(d->controllers)) < 0 ||
	    json_set(json, "mount", json_new_string(d->mount)) < 0 ||
	    json_set(json, "path", json_new_string(d->path)) < 0 ||
	    json_set(json, "made", json_new_uint(d->made)) < 0) {
		json_unref(json);
		return NULL;
	}
	return json;
}

static char *to_text(const struct hostcgroup *h)
{
	_cleanup_json_ struct json *json = json_new_object(), *dirs = json_new_array();

	if (!json || !dirs)
		return NULL;
	for (size_t i = 0; i < h->n; i++) {
		if (json_append(dirs, dir_to_json(&h->dirs[i])) < 0)
			return NULL;
	}
	if (json_set(json, "dirs", TAKE_PTR(dirs)) < 0 ||
	    json_set(json, "unified", json_new_bool(h->unified)) < 0 ||
	    (h->unit && json_set(json, "unit", json_new_string(h->unit)) < 0))
		return NULL;
	return json_text(json, true);
}

static int record_path(const char *id, char **ret)
{
	if (!path_id_valid(id))
		return -EINVAL;
	return asprintf(ret, "containers/%s/cgroup.json", id) < 0 ? -ENOMEM : 0;
}

int hostcgroup_record_save(int rootfd, const char *id, const struct hostcgroup *h, struct err *err)
{
	_cleanup_free_ char *text = to_text(h), *path = NULL;
	int r = record_path(id, &path);

	if (r < 0)
		path = NULL;
	else
		r = text ? io_replace_file(rootfd, path, text, strlen(text), RECORD_MODE) : -ENOMEM;
	return r < 0 ? err_set_errno(err, r, "cgroup record of container '%s'", id) : 0;
}

/* ---- reading ---- */

static int get_string(const struct json *json, const char *key, char **ret, struct err *err)
{
	const char *text = NULL;
	int r = json_member_string(json, "", key, &text, err);

	if (r < 0 || !text)
		return r;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int get_dir(const struct json *json, struct hostcgroup_dir *d, struct err *err)
{
	int r;

	if (!json_is_object(json))
		return err_set(err, -EBADMSG, "field 'dirs': expected objects");
	if ((r = get_string(json, "controllers", &d->controllers, err)) < 0 ||
	    (r = get_string(json, "mount", &d->mount, err)) < 0 ||
	    (r = get_string(json, "path", &d->path, err)) < 0 ||
	    (r = json_member_uint(json, "", "made", HOSTCGROUP_DEPTH_MAX, &d->made, err)) < 0)
		return r;
	if (!d->controllers || !d->mount || !d->path || d->mount[0] != '/' || d->path[0] != '/')
		return err_set(err, -EBADMSG, "field 'dirs': an entry is incomplete");
	return 0;
}

static int parse(const char *text, size_t len, struct hostcgroup *h, struct err *err)
{
	_cleanup_json_ struct json *json = NULL;
	struct json *dirs = NULL;
	int r;

	r = json_parse(text, len, &json, err);
	if (r < 0)
		return r;
	if (!json_is_object(json))
		return err_set(err, -EBADMSG, "expected an object");
	if ((r = json_member_bool(json, "", "unified", &h->unified, err)) < 0 ||
	    (r = get_string(json, "unit", &h->unit, err)) < 0 ||
	    (r = json_member_array(json, "", "dirs", HOSTCGROUP_HIERARCHIES_MAX, &dirs, err)) < 0)
		return r;
	for (size_t i = 0; dirs && i < json_array_len(dirs); i++) {
		r = get_dir(json_array_at(dirs, i), &h->dirs[h->n++], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int hostcgroup_load(int rootfd, const char *id, struct hostcgroup **ret, struct err *err)
{
	_cleanup_(hostcgroup_free_p) struct hostcgroup *h = calloc(1, sizeof(*h));
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t len;
	int r;

	if (!h)
		return -ENOMEM;
	r = record_path(id, &path);
	if (r < 0) {
		path = NULL;
		return err_set_errno(err, r, "cgroup record of container '%s'", id);
	}
	r = io_read_file(rootfd, path, RECORD_BYTES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "cgroup record of container '%s'", id);
	r = parse(text, len, h, err);
	if (r < 0) {
		err_prefix(err, "cgroup record of container '%s'", id);
		return r;
	}
	*ret = TAKE_PTR(h);
	return 0;
}
