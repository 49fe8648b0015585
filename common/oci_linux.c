/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "linux" object: namespaces, ids, devices, paths, time offsets, personality.
 * Source: OCI runtime-spec 1.2, config-linux.md.
 */
#include <errno.h>
#include <string.h>
#include <sys/personality.h>

#include "common/oci_parse.h"

#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff
#define MODE_BITS 07777
#define ID_MAX 4294967294
#define UTS_NAME_MAX 64u
#define NANOSECS_MAX 999999999
/* The kernel keeps clocks in signed nanoseconds. */
#define OFFSET_SECS_MAX (INT64_MAX / 1000000000)

#define SPEC struct oci_spec

struct namespace_text {
	char *type, *path;
};

static const struct oci_member namespace_members[] = {
	OCI_STRING("type", struct namespace_text, type, OCI_M_REQUIRED),
	OCI_STRING("path", struct namespace_text, path, OCI_M_ABSOLUTE),
	{},
};

static int place_namespace(struct oci_parse *p, struct oci_spec *spec, const char *path,
			   struct namespace_text *text)
{
	struct oci_path name = oci_path_member(path, "type");

	for (int ns = 0; ns < OCI_NS_COUNT; ns++) {
		if (strcmp(text->type, oci_namespace_name((enum oci_namespace)ns)))
			continue;
		if (spec->namespaces[ns].present)
			return oci_refuse(p, -EINVAL, name.text,
					  "malformed spec file: duplicated namespace '%s'",
					  text->type);
		spec->namespaces[ns].present = true;
		spec->namespaces[ns].path = TAKE_PTR(text->path);
		return 0;
	}
	return oci_refuse(p, -EINVAL, name.text, "namespace '%s' does not exist",
			  oci_show(text->type).text);
}

static int add_namespace(struct oci_parse *p, const struct json *element, const char *path,
			 void *base)
{
	struct namespace_text text = { .type = NULL };
	int r;

	r = oci_parse_members(p, element, path, namespace_members, &text);
	if (r == 0)
		r = place_namespace(p, base, path, &text);
	free(text.type);
	free(text.path);
	return r;
}

static int put_namespaces(struct oci_parse *p, const struct json *obj, const char *path,
			  const struct oci_member *m, void *base)
{
	return oci_each_element(p, obj, path, m, add_namespace, base);
}

static const struct oci_member id_mapping_members[] = {
	OCI_INT("containerID", struct oci_id_mapping, container_id, 0, ID_MAX, OCI_M_REQUIRED),
	OCI_INT("hostID", struct oci_id_mapping, host_id, 0, ID_MAX, OCI_M_REQUIRED),
	OCI_INT("size", struct oci_id_mapping, size, 1, UINT32_MAX, OCI_M_REQUIRED),
	{},
};

static int check_id_mapping(struct oci_parse *p, void *element, const char *path)
{
	const struct oci_id_mapping *map = element;
	uint64_t first = map->container_id > map->host_id ? map->container_id : map->host_id;

	if (first + map->size - 1 > ID_MAX)
		return oci_refuse(p, -EINVAL, path, "reaches beyond id %lld", (long long)ID_MAX);
	return 0;
}

static int put_device_type(struct oci_parse *p, const struct json *obj, const char *path,
			   const struct oci_member *m, void *base)
{
	struct oci_device *device = base;
	const char *s;
	int r;

	r = json_member_string(obj, path, m->key, &s, p->err);
	if (r <= 0)
		return r;
	if (!*s || !strchr("bcpu", s[0]) || s[1])
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "invalid device type '%s'", oci_show(s).text);
	device->type = s[0];
	return 1;
}

static int put_mode(struct oci_parse *p, const struct json *obj, const char *path,
		    const struct oci_member *m, void *base)
{
	struct oci_device *device = base;
	int r;

	r = oci_put_int(p, obj, path, m, base);
	/* Writers leave the type of the file in it, be it as stat(2) or as Go has it. */
	device->file_mode &= MODE_BITS;
	return r;
}

static const struct oci_member device_members[] = {
	OCI_STRING("path", struct oci_device, path, OCI_M_REQUIRED | OCI_M_ABSOLUTE),
	{ .key = "type", .put = put_device_type, .flags = OCI_M_REQUIRED },
	OCI_INT("major", struct oci_device, major, 0, MAJOR_MAX, 0),
	OCI_INT("minor", struct oci_device, minor, 0, MINOR_MAX, 0),
	{ .key = "fileMode",
	  .put = put_mode,
	  .offset = offsetof(struct oci_device, file_mode),
	  .size = sizeof(uint32_t),
	  .max = UINT32_MAX,
	  .flags = OCI_M_HAS,
	  .has = offsetof(struct oci_device, has_mode) },
	OCI_INT("uid", struct oci_device, uid, 0, ID_MAX, 0),
	OCI_INT("gid", struct oci_device, gid, 0, ID_MAX, 0),
	{},
};

static const struct oci_member offset_members[] = {
	OCI_INT("secs", struct oci_time_offset, secs, -OFFSET_SECS_MAX, OFFSET_SECS_MAX, 0),
	OCI_INT("nanosecs", struct oci_time_offset, nanosecs, 0, NANOSECS_MAX, 0),
	{},
};

static int mark_offset(struct oci_parse *p, void *offset, const char *path)
{
	((struct oci_time_offset *)offset)->present = true;
	return 0;
}

static const struct oci_member time_offset_members[] = {
	OCI_OBJECT("monotonic", offsetof(SPEC, monotonic_offset), offset_members, 0, mark_offset),
	OCI_OBJECT("boottime", offsetof(SPEC, boottime_offset), offset_members, 0, mark_offset),
	{},
};

static int put_domain(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *m, void *base)
{
	static const char *const names[] = { "LINUX", "LINUX32", NULL };
	static const uint32_t values[] = { PER_LINUX, PER_LINUX32 };
	struct oci_spec *spec = base;
	const char *s;
	int i, r;

	r = json_member_string(obj, path, m->key, &s, p->err);
	if (r <= 0)
		return r;
	i = oci_name_index(names, s);
	if (i < 0)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "invalid personality domain '%s'", oci_show(s).text);
	spec->personality = values[i];
	spec->has_personality = true;
	return 1;
}

static const struct oci_member personality_members[] = {
	{ .key = "domain", .put = put_domain, .flags = OCI_M_REQUIRED },
	OCI_IGNORED("flags"),
	{},
};

static int put_intel_rdt(struct oci_parse *p, const struct json *obj, const char *path,
			 const struct oci_member *m, void *base)
{
	if (!json_get(obj, m->key))
		return 0;
	return oci_refuse(
		p, -EOPNOTSUPP, oci_path_member(path, m->key).text,
		"not supported: the guest has no cache allocation of the host's processor");
}

static int put_seccomp(struct oci_parse *p, const struct json *obj, const char *path,
		       const struct oci_member *m, void *base)
{
	const struct json *seccomp = json_get(obj, m->key);
	const char *action;
	int r;

	/* Without a default action and without rules it means "none", as runc reads it. */
	if (json_is_object(seccomp) && !json_array_len(json_get(seccomp, "syscalls"))) {
		action = "";
		r = json_member_string(seccomp, "linux.seccomp", "defaultAction", &action, p->err);
		if (r < 0)
			return r;
		if (!*action)
			return 0;
	}
	return oci_put_object(p, obj, path, m, base);
}

const struct oci_member oci_linux_members[] = {
	OCI_CUSTOM("namespaces", put_namespaces, OCI_LIST_MAX),
	OCI_LIST("uidMappings", SPEC, uid_mappings, id_mapping_members, OCI_ID_MAPPINGS_MAX,
		 check_id_mapping),
	OCI_LIST("gidMappings", SPEC, gid_mappings, id_mapping_members, OCI_ID_MAPPINGS_MAX,
		 check_id_mapping),
	OCI_LIST("devices", SPEC, devices, device_members, OCI_LIST_MAX, NULL),
	OCI_STRING("cgroupsPath", SPEC, cgroups_path, 0),
	OCI_OBJECT("resources", offsetof(SPEC, resources), oci_resources_members, 0,
		   oci_resources_check),
	OCI_NAME("rootfsPropagation", SPEC, rootfs_propagation, oci_propagation_names, 0),
	{ .key = "seccomp",
	  .put = put_seccomp,
	  .offset = offsetof(SPEC, seccomp),
	  .members = oci_seccomp_members,
	  .check = oci_seccomp_check,
	  .flags = OCI_M_HAS,
	  .has = offsetof(SPEC, has_seccomp) },
	OCI_PAIRS("sysctl", SPEC, sysctl),
	OCI_STRV("maskedPaths", SPEC, masked_paths, OCI_LIST_MAX, OCI_M_ABSOLUTE),
	OCI_STRV("readonlyPaths", SPEC, readonly_paths, OCI_LIST_MAX, OCI_M_ABSOLUTE),
	OCI_STRING("mountLabel", SPEC, mount_label, 0),
	OCI_OBJECT("personality", 0, personality_members, 0, NULL),
	OCI_OBJECT("timeOffsets", 0, time_offset_members, 0, NULL),
	OCI_CUSTOM("intelRdt", put_intel_rdt, 0),
	{},
};

static int check_uts(struct oci_parse *p, struct oci_spec *spec)
{
	const struct {
		const char *field, *value;
	} names[] = { { "hostname", spec->hostname }, { "domainname", spec->domainname } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!names[i].value)
			continue;
		if (!spec->namespaces[OCI_NS_UTS].present)
			return oci_refuse(p, -EINVAL, names[i].field,
					  "unable to set %s without a private UTS namespace",
					  names[i].field);
		if (strlen(names[i].value) > UTS_NAME_MAX)
			return oci_refuse(p, -EINVAL, names[i].field, "longer than %u bytes",
					  UTS_NAME_MAX);
	}
	return 0;
}

static int check_paths(struct oci_parse *p, struct oci_spec *spec)
{
	bool given = (spec->masked_paths && spec->masked_paths[0]) ||
		     (spec->readonly_paths && spec->readonly_paths[0]);

	if (given && !spec->namespaces[OCI_NS_MOUNT].present)
		return oci_refuse(p, -EINVAL, "linux.maskedPaths",
				  "unable to restrict sys entries without a private MNT namespace");
	return 0;
}

static int check_user_namespace(struct oci_parse *p, struct oci_spec *spec)
{
	const struct oci_namespace_entry *user = &spec->namespaces[OCI_NS_USER];
	bool given = spec->n_uid_mappings || spec->n_gid_mappings;

	if (given && !user->present)
		return oci_note_ignored(p, "linux.uidMappings");
	if (user->present && !user->path && !spec->n_uid_mappings)
		return oci_refuse(p, -EINVAL, "linux.uidMappings",
				  "required by the user namespace, but missing");
	if (user->present && !user->path && !spec->n_gid_mappings)
		return oci_refuse(p, -EINVAL, "linux.gidMappings",
				  "required by the user namespace, but missing");
	return 0;
}

static int check_time_namespace(struct oci_parse *p, struct oci_spec *spec)
{
	if ((spec->monotonic_offset.present || spec->boottime_offset.present) &&
	    !spec->namespaces[OCI_NS_TIME].present)
		return oci_refuse(p, -EINVAL, "linux.timeOffsets",
				  "specified, but there is no private time namespace");
	return 0;
}

int oci_linux_check(struct oci_parse *p, struct oci_spec *spec)
{
	static int (*const checks[])(struct oci_parse *, struct oci_spec *) = {
		check_uts,	  check_paths, check_user_namespace, check_time_namespace,
		oci_sysctl_check,
	};
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		r = checks[i](p, spec);
		if (r < 0)
			return r;
	}
	return 0;
}

void oci_linux_finish(struct oci_spec *spec)
{
	for (size_t i = 0; i < OCI_NS_COUNT; i++)
		free(spec->namespaces[i].path);
	free(spec->uid_mappings);
	free(spec->gid_mappings);
	for (size_t i = 0; i < spec->n_devices; i++)
		free(spec->devices[i].path);
	free(spec->devices);
	free(spec->cgroups_path);
	oci_resources_finish(&spec->resources);
	free(spec->rootfs_propagation);
	oci_seccomp_finish(&spec->seccomp);
	oci_pairs_free(spec->sysctl, spec->n_sysctl);
	json_free_strv(spec->masked_paths);
	json_free_strv(spec->readonly_paths);
	free(spec->mount_label);
}
