/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/exec_process.h"

#include <fcntl.h>
#include <string.h>

#include "common/io.h"
#include "common/json.h"

static int parse(char **text, char **ret_text, struct oci_process **ret, struct err *err)
{
	int r = oci_process_parse(*text, strlen(*text), ret, err);

	if (r < 0)
		return r;
	*ret_text = TAKE_PTR(*text);
	return 0;
}

int exec_process_from_file(const char *path, char **ret_text, struct oci_process **ret,
			   struct err *err)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	r = io_read_file(AT_FDCWD, path, OCI_SPEC_BYTES_MAX, &text, &len);
	if (r < 0)
		return err_set_errno(err, r, "process file '%s'", path);
	if (strlen(text) != len)
		return err_set(err, -EBADMSG, "process file '%s' holds NUL bytes", path);
	r = parse(&text, ret_text, ret, err);
	if (r < 0)
		err_prefix(err, "process file '%s'", path);
	return r;
}

/* ---- flags ---- */

static int parse_id(const char *what, const char *text, size_t len, uint64_t *ret, struct err *err)
{
	char copy[16] = "";

	if (len < sizeof(copy))
		memcpy(copy, text, len);
	if (io_parse_u64(copy, EXEC_ID_MAX, ret) < 0)
		return err_set(
			err, -EINVAL,
			"parsing '%.*s' as int for %s failed: want a decimal number up to %u",
			(int)(len < 64 ? len : 64), text, what, EXEC_ID_MAX);
	return 0;
}

/* Member @key of @obj that is an object, made when missing. Borrowed. */
static struct json *sub_object(struct json *obj, const char *key)
{
	struct json *sub = json_get(obj, key);

	if (sub)
		return json_is_object(sub) ? sub : NULL;
	sub = json_new_object();
	return sub && json_set(obj, key, sub) == 0 ? sub : NULL;
}

static struct json *sub_array(struct json *obj, const char *key)
{
	struct json *sub = json_get(obj, key);

	if (sub)
		return json_is_array(sub) ? sub : NULL;
	sub = json_new_array();
	return sub && json_set(obj, key, sub) == 0 ? sub : NULL;
}

static int apply_user(struct json *process, const struct exec_flags *flags, struct err *err)
{
	struct json *user = sub_object(process, "user");
	size_t len = flags->user ? strcspn(flags->user, ":") : 0;
	uint64_t id;
	int r;

	if (!user)
		return err_set(err, -EINVAL, "field 'process.user': expected an object");
	if (flags->user) {
		r = parse_id("uid", flags->user, len, &id, err);
		if (r == 0)
			r = json_set(user, "uid", json_new_uint(id));
		if (r == 0 && flags->user[len] == ':') {
			r = parse_id("gid", flags->user + len + 1, strlen(flags->user + len + 1),
				     &id, err);
			if (r == 0)
				r = json_set(user, "gid", json_new_uint(id));
		}
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < flags->additional_gids.n; i++) {
		const char *gid = flags->additional_gids.items[i];
		struct json *list = sub_array(user, "additionalGids");

		r = parse_id("additional gid", gid, strlen(gid), &id, err);
		if (r < 0)
			return r;
		if (!list || json_append(list, json_new_uint(id)) < 0)
			return err_set_errno(err, -ENOMEM, "additional gids");
	}
	return 0;
}

static int append_strings(struct json *obj, const char *key, const struct option_list *values,
			  struct err *err)
{
	struct json *list = values->n ? sub_array(obj, key) : NULL;

	if (values->n && !list)
		return err_set(err, -EINVAL, "field '%s': expected an array of strings", key);
	for (size_t i = 0; i < values->n; i++)
		if (json_append(list, json_new_string(values->items[i])) < 0)
			return err_set_errno(err, -ENOMEM, "%s", key);
	return 0;
}

static int apply_env(struct json *process, const struct option_list *env, struct err *err)
{
	for (size_t i = 0; i < env->n; i++)
		if (!strchr(env->items[i], '=') || env->items[i][0] == '=')
			return err_set(err, -EINVAL, "invalid environment variable: '%s'",
				       env->items[i]);
	return append_strings(process, "env", env, err);
}

/* Not the inheritable set: a program without file capabilities must not get them from it. */
static int apply_caps(struct json *process, const struct option_list *caps, struct err *err)
{
	static const char *const sets[] = { "bounding", "effective", "permitted" };
	struct json *object;

	if (caps->n == 0)
		return 0;
	for (size_t i = 0; i < caps->n; i++)
		if (oci_capability_number(caps->items[i]) < 0)
			return err_set(err, -EINVAL, "unknown capability '%s'", caps->items[i]);
	object = sub_object(process, "capabilities");
	if (!object)
		return err_set(err, -EINVAL, "field 'process.capabilities': expected an object");
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		int r = append_strings(object, sets[i], caps, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int set_string(struct json *process, const char *key, const char *value)
{
	return value ? json_set(process, key, json_new_string(value)) : 0;
}

static int apply_args(struct json *process, char *const *args)
{
	struct json *list = json_new_array();

	for (; list && *args; args++)
		if (json_append(list, json_new_string(*args)) < 0) {
			json_unref(list);
			return -ENOMEM;
		}
	return list ? json_set(process, "args", list) : -ENOMEM;
}

static int apply_flags(struct json *process, const struct exec_flags *flags, struct err *err)
{
	int r = apply_user(process, flags, err);

	if (r == 0)
		r = apply_env(process, &flags->env, err);
	if (r == 0)
		r = apply_caps(process, &flags->caps, err);
	if (r < 0)
		return r;
	r = set_string(process, "cwd", flags->cwd);
	r = r ? r : set_string(process, "selinuxLabel", flags->process_label);
	r = r ? r : set_string(process, "apparmorProfile", flags->apparmor);
	/* A terminal is never taken over from the container. */
	r = r ? r : json_set(process, "terminal", json_new_bool(flags->tty));
	if (flags->no_new_privs)
		r = r ? r : json_set(process, "noNewPrivileges", json_new_bool(true));
	r = r ? r : apply_args(process, flags->args);
	return r ? err_set_errno(err, r, "process") : 0;
}

int exec_process_from_flags(const char *config, size_t len, const struct exec_flags *flags,
			    char **ret_text, struct oci_process **ret, struct err *err)
{
	_cleanup_json_ struct json *spec = NULL;
	_cleanup_free_ char *text = NULL;
	struct json *process;
	int r;

	r = json_parse(config, len, &spec, err);
	if (r < 0)
		return r;
	process = json_is_object(spec) ? json_get(spec, "process") : NULL;
	if (!json_is_object(process))
		return err_set(err, -EINVAL, "process property must not be empty");
	r = apply_flags(process, flags, err);
	if (r < 0)
		return r;
	text = json_text(process, false);
	if (!text)
		return err_set_errno(err, -ENOMEM, "process");
	return parse(&text, ret_text, ret, err);
}
