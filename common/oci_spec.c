/* SPDX-License-Identifier: Apache-2.0 */
/* The top level of config.json, and the three entry points. Source: OCI runtime-spec 1.2, config.md. */
#include <errno.h>
#include <string.h>

#include "common/oci_parse.h"

#define DIGITS "0123456789"

#define SPEC struct oci_spec

/* "1.<minor>.<patch>", with whatever semantic versioning allows behind it. */
static bool is_version_1(const char *s)
{
	size_t n;

	if (strncmp(s, "1.", 2))
		return false;
	s += 2;
	n = strspn(s, DIGITS);
	if (!n || s[n] != '.')
		return false;
	s += n + 1;
	n = strspn(s, DIGITS);
	return n && (!s[n] || s[n] == '-' || s[n] == '+');
}

static int put_version(struct oci_parse *p, const struct json *obj, const char *path,
		       const struct oci_member *m, void *base)
{
	struct oci_spec *spec = base;
	int r;

	r = oci_put_string(p, obj, path, m, base);
	if (r > 0 && !is_version_1(spec->oci_version))
		return oci_refuse(p, -EINVAL, m->key,
				  "version '%s' is not supported, known are 1.0.0 to %s",
				  oci_show(spec->oci_version).text, OCI_VERSION);
	return r;
}

static const struct oci_member root_members[] = {
	OCI_STRING("path", SPEC, root_path, OCI_M_REQUIRED),
	OCI_BOOL("readonly", SPEC, root_readonly),
	{},
};

static const struct oci_member spec_members[] = {
	{ .key = "ociVersion",
	  .put = put_version,
	  .offset = offsetof(SPEC, oci_version),
	  .flags = OCI_M_REQUIRED },
	OCI_OBJECT("root", 0, root_members, OCI_M_REQUIRED, NULL),
	{ .key = "process",
	  .put = oci_put_object,
	  .offset = offsetof(SPEC, process),
	  .members = oci_process_members,
	  .check = oci_process_check,
	  .flags = OCI_M_HAS,
	  .has = offsetof(SPEC, has_process) },
	OCI_STRING("hostname", SPEC, hostname, 0),
	OCI_STRING("domainname", SPEC, domainname, 0),
	OCI_LIST("mounts", SPEC, mounts, oci_mount_members, OCI_MOUNTS_MAX, oci_mount_check),
	OCI_OBJECT("hooks", 0, oci_hooks_members, 0, NULL),
	OCI_PAIRS("annotations", SPEC, annotations),
	OCI_OBJECT("linux", 0, oci_linux_members, 0, NULL),
	OCI_IGNORED("solaris"),
	OCI_IGNORED("vm"),
	OCI_IGNORED("windows"),
	OCI_IGNORED("zos"),
	{},
};

/* Read @text as JSON; the bound on its length is ours to keep. */
static int parse_text(const char *text, size_t len, struct json **ret, struct err *err)
{
	if (len > OCI_SPEC_BYTES_MAX)
		return err_set(err, -EFBIG, "configuration of %zu bytes exceeds %u", len,
			       OCI_SPEC_BYTES_MAX);
	return json_parse(text, len, ret, err);
}

int oci_spec_parse(const char *text, size_t len, struct oci_spec **ret, struct err *err)
{
	struct oci_parse p = { .err = err };
	_cleanup_json_ struct json *json = NULL;
	_cleanup_(oci_spec_free_p) struct oci_spec *spec = NULL;
	int r;

	r = parse_text(text, len, &json, err);
	if (r < 0)
		return r;
	spec = calloc(1, sizeof(*spec));
	if (!spec)
		return oci_no_memory(&p);
	r = oci_parse_members(&p, json, "", spec_members, spec);
	if (r == 0)
		r = oci_linux_check(&p, spec);
	/* The list is the specification's from here on, so that one destructor releases it. */
	spec->ignored = p.ignored;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(spec);
	return 0;
}

void oci_spec_free(struct oci_spec *spec)
{
	if (!spec)
		return;
	free(spec->oci_version);
	free(spec->root_path);
	oci_process_finish(&spec->process);
	free(spec->hostname);
	free(spec->domainname);
	for (size_t i = 0; i < spec->n_mounts; i++)
		oci_mount_finish(&spec->mounts[i]);
	free(spec->mounts);
	oci_hooks_finish(spec);
	oci_pairs_free(spec->annotations, spec->n_annotations);
	oci_linux_finish(spec);
	json_free_strv(spec->ignored);
	free(spec);
}

int oci_process_parse(const char *text, size_t len, struct oci_process **ret, struct err *err)
{
	struct oci_parse p = { .err = err };
	_cleanup_json_ struct json *json = NULL;
	_cleanup_(oci_process_free_p) struct oci_process *process = NULL;
	int r;

	r = parse_text(text, len, &json, err);
	if (r < 0)
		return r;
	process = calloc(1, sizeof(*process));
	if (!process)
		return oci_no_memory(&p);
	r = oci_parse_members(&p, json, "process", oci_process_members, process);
	if (r == 0)
		r = oci_process_check(&p, process, "process");
	json_free_strv(p.ignored);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(process);
	return 0;
}

void oci_process_free(struct oci_process *process)
{
	if (!process)
		return;
	oci_process_finish(process);
	free(process);
}

int oci_resources_parse(const char *text, size_t len, struct oci_resources **ret, struct err *err)
{
	struct oci_parse p = { .err = err };
	_cleanup_json_ struct json *json = NULL;
	_cleanup_(oci_resources_free_p) struct oci_resources *resources = NULL;
	int r;

	r = parse_text(text, len, &json, err);
	if (r < 0)
		return r;
	resources = calloc(1, sizeof(*resources));
	if (!resources)
		return oci_no_memory(&p);
	r = oci_parse_members(&p, json, "linux.resources", oci_resources_members, resources);
	if (r == 0)
		r = oci_resources_check(&p, resources, "linux.resources");
	json_free_strv(p.ignored);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(resources);
	return 0;
}

void oci_resources_free(struct oci_resources *resources)
{
	if (!resources)
		return;
	oci_resources_finish(resources);
	free(resources);
}

const char *oci_annotation(const struct oci_spec *spec, const char *key)
{
	for (size_t i = 0; i < spec->n_annotations; i++)
		if (!strcmp(spec->annotations[i].key, key))
			return spec->annotations[i].value;
	return NULL;
}
