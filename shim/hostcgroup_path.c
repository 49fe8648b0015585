/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/hostcgroup_path.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "shim/state.h"

#define FIELD "field 'linux.cgroupsPath'"
#define DEFAULT_SLICE "system.slice"
#define DEFAULT_PREFIX "onggi"
#define SLICE_SUFFIX ".slice"

void hostcgroup_path_finish(struct hostcgroup_path *p)
{
	free(p->path);
	free(p->unit);
	free(p->slice);
	*p = (struct hostcgroup_path){ 0 };
}

/* ---- paths ---- */

/* The path that grows; it has room for all of the text. */
struct builder {
	char *out;
	size_t size, used;
	unsigned int depth;
};

static int add_component(struct builder *b, const char *name, size_t len, struct err *err)
{
	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return err_set(err, -EINVAL, FIELD ": '..' is not allowed");
	if (len > NAME_MAX || ++b->depth > HOSTCGROUP_DEPTH_MAX)
		return err_set(err, -ENAMETOOLONG,
			       FIELD ": a component is longer than %d bytes, or there are over %d",
			       NAME_MAX, HOSTCGROUP_DEPTH_MAX);
	b->used += (size_t)snprintf(b->out + b->used, b->size - b->used, "/%.*s", (int)len, name);
	return 0;
}

static int clean_path(const char *text, char **ret, struct err *err)
{
	size_t len = strlen(text);
	_cleanup_free_ char *out = calloc(1, len + 2);
	struct builder b = { .out = out, .size = len + 2 };
	int r;

	if (!out)
		return -ENOMEM;
	if (len > HOSTCGROUP_PATH_MAX)
		return err_set(err, -ENAMETOOLONG, FIELD ": longer than %d bytes",
			       HOSTCGROUP_PATH_MAX);
	for (size_t i = 0; i < len; i++) {
		if (iscntrl((unsigned char)text[i]))
			return err_set(err, -EINVAL, FIELD ": has a control character");
	}
	for (const char *p = text, *end; *p; p = *end ? end + 1 : end) {
		end = strchrnul(p, '/');
		r = add_component(&b, p, (size_t)(end - p), err);
		if (r < 0)
			return r;
	}
	if (b.depth == 0)
		return err_set(err, -EINVAL, FIELD ": '%s' is the top of the hierarchy", text);
	*ret = TAKE_PTR(out);
	return 0;
}

/*
 * Ids are unique in a state root, cgroups on the machine. Short, because engines and people read
 * it: a clash of two roots and two ids at once is refused, as the cgroup is not empty.
 */
static int default_path(const char *id, const char *state_root, char **ret)
{
	uint32_t mark = 2166136261u; /* FNV-1a */

	if (!strcmp(state_root, STATE_ROOT_DEFAULT))
		return asprintf(ret, HOSTCGROUP_DEFAULT_PARENT "/%s", id) < 0 ? -ENOMEM : 0;
	for (const char *p = state_root; *p; p++)
		mark = (mark ^ (unsigned char)*p) * 16777619u;
	return asprintf(ret, HOSTCGROUP_DEFAULT_PARENT "/%.240s@%08x", id, mark) < 0 ? -ENOMEM : 0;
}

/* ---- systemd's names ---- */

static bool unit_name_valid(const char *name)
{
	static const char others[] = ":_.-@\\";
	size_t len = strlen(name);

	if (len == 0 || len > NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && !strchr(others, name[i]))
			return false;
	}
	return true;
}

/* "a-b.slice" lies in "a.slice": "/a.slice/a-b.slice". "-.slice" is the top: "". */
static int expand_slice(const char *slice, char **ret, struct err *err)
{
	size_t len = strlen(slice), suffix = strlen(SLICE_SUFFIX), used = 0, stem, size;
	_cleanup_free_ char *out = NULL;

	if (!unit_name_valid(slice) || len <= suffix || strcmp(slice + len - suffix, SLICE_SUFFIX))
		return err_set(err, -EINVAL, FIELD ": '%.64s' is no name of a slice", slice);
	stem = len - suffix;
	/* Each dash adds a level with all that comes before it. */
	size = (len + 1) * (len + 2);
	out = calloc(1, size);
	if (!out)
		return -ENOMEM;
	if (stem == 1 && slice[0] == '-') {
		*ret = TAKE_PTR(out);
		return 0;
	}
	for (size_t i = 0; i <= stem; i++) {
		if (i < stem && slice[i] != '-')
			continue;
		if (i == 0 || slice[i - 1] == '-')
			return err_set(err, -EINVAL, FIELD ": '%.64s' is no name of a slice",
				       slice);
		used += (size_t)snprintf(out + used, size - used, "/%.*s" SLICE_SUFFIX, (int)i, slice);
	}
	*ret = TAKE_PTR(out);
	return 0;
}

/* The three parts of "slice:prefix:name"; freed by the caller as one block, *ret_slice. */
static int split(const char *text, const char *id, char **ret_slice, const char **ret_prefix,
		 const char **ret_name, struct err *err)
{
	char *slice, *prefix, *name;

	if (!text || !text[0]) {
		*ret_prefix = DEFAULT_PREFIX;
		*ret_name = id;
		*ret_slice = strdup(DEFAULT_SLICE);
		return *ret_slice ? 0 : -ENOMEM;
	}
	slice = strdup(text);
	if (!slice)
		return -ENOMEM;
	prefix = strchr(slice, ':');
	name = prefix ? strchr(prefix + 1, ':') : NULL;
	if (!name || strchr(name + 1, ':') || !name[1]) {
		free(slice);
		return err_set(err, -EINVAL,
			       "expected cgroupsPath to be of format \"slice:prefix:name\" for "
			       "systemd cgroups, got \"%.256s\" instead",
			       text);
	}
	*prefix = *name = '\0';
	*ret_prefix = prefix + 1;
	*ret_name = name + 1;
	*ret_slice = slice;
	return 0;
}

static int parse_systemd(const char *text, const char *id, struct hostcgroup_path *ret,
			 struct err *err)
{
	_cleanup_free_ char *parts = NULL, *folder = NULL, *whole = NULL;
	const char *prefix = "", *name = "";
	int r;

	r = split(text, id, &parts, &prefix, &name, err);
	if (r < 0)
		return r;
	ret->slice = strdup(parts[0] ? parts : DEFAULT_SLICE);
	if (!ret->slice)
		return -ENOMEM;
	r = expand_slice(ret->slice, &folder, err);
	if (r < 0)
		return r;
	if (asprintf(&ret->unit, "%s%s%s.scope", prefix, prefix[0] ? "-" : "", name) < 0)
		return ret->unit = NULL, -ENOMEM;
	if (!unit_name_valid(ret->unit))
		return err_set(err, -EINVAL, FIELD ": '%.64s' is no name of a unit", ret->unit);
	if (asprintf(&whole, "%s/%s", folder, ret->unit) < 0)
		return whole = NULL, -ENOMEM;
	return clean_path(whole, &ret->path, err);
}

int hostcgroup_path_parse(const char *text, bool systemd, const char *id, const char *state_root,
			  struct hostcgroup_path *ret, struct err *err)
{
	struct hostcgroup_path p = { 0 };
	_cleanup_free_ char *own = NULL;
	int r = 0;

	if (systemd) {
		r = parse_systemd(text, id, &p, err);
	} else {
		if (!text || !text[0])
			r = default_path(id, state_root, &own);
		text = own ? own : text;
		if (r == 0)
			r = clean_path(text, &p.path, err);
		p.relative = r == 0 && text[0] != '/';
	}
	if (r < 0)
		hostcgroup_path_finish(&p);
	else
		*ret = p;
	return r;
}
