/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of "linux.sysctl" may be set. Source: OCI runtime-spec 1.2, config-linux.md "Sysctl"; sysctl(8).
 *
 * A name is a path below /proc/sys, with '.' or with '/' between its parts. With both it could be read in
 * two ways, so it has to be one or the other; it is kept with dots.
 */
#include <errno.h>
#include <string.h>

#include "common/oci_parse.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
#define VALUE_MAX 4096u

/* The settings that belong to a namespace: a whole name, or the beginning of one when it ends in a dot. */
static const struct {
	const char *name;
	enum oci_namespace ns;
} namespaced[] = {
	{ "fs.mqueue.", OCI_NS_IPC },	 { "kernel.domainname", OCI_NS_UTS },
	{ "kernel.msgmax", OCI_NS_IPC }, { "kernel.msgmnb", OCI_NS_IPC },
	{ "kernel.msgmni", OCI_NS_IPC }, { "kernel.sem", OCI_NS_IPC },
	{ "kernel.shmall", OCI_NS_IPC }, { "kernel.shmmax", OCI_NS_IPC },
	{ "kernel.shmmni", OCI_NS_IPC }, { "kernel.shm_rmid_forced", OCI_NS_IPC },
	{ "net.", OCI_NS_NETWORK },
};

static bool row_covers(const char *row, const char *key)
{
	size_t len = strlen(row);

	return row[len - 1] == '.' ? !strncmp(row, key, len) : !strcmp(row, key);
}

static int check_form(struct oci_parse *p, const char *path, const char *key)
{
	bool dots = strchr(key, '.'), slashes = strchr(key, '/');

	if (dots && slashes)
		return oci_refuse(p, -EINVAL, path, "mixes '.' and '/' in one name");
	if (key[strspn(key, LETTERS "./")])
		return oci_refuse(p, -EINVAL, path, "has a character that no setting's name has");
	if (strstr(key, "..") || strstr(key, "//") || strchr("./", key[0]) ||
	    strchr("./", key[strlen(key) - 1]))
		return oci_refuse(p, -EINVAL, path, "has an empty part");
	return 0;
}

static int check_pair(struct oci_parse *p, const struct oci_spec *spec,
		      struct oci_string_pair *pair)
{
	struct oci_path name = oci_path_member("linux.sysctl", pair->key);
	int r;

	r = check_form(p, name.text, pair->key);
	if (r < 0)
		return r;
	if (strpbrk(pair->value, "\n\r") || strlen(pair->value) > VALUE_MAX)
		return oci_refuse(p, -EINVAL, name.text,
				  "the value must be one line of at most %u bytes", VALUE_MAX);
	for (char *c = pair->key; *c; c++)
		if (*c == '/')
			*c = '.';
	if (!strcmp(pair->key, "kernel.hostname"))
		return oci_refuse(p, -EINVAL, name.text,
				  "is not allowed as it conflicts with the field 'hostname'");
	for (size_t i = 0; i < ARRAY_SIZE(namespaced); i++) {
		if (!row_covers(namespaced[i].name, pair->key))
			continue;
		if (spec->namespaces[namespaced[i].ns].present)
			return 0;
		return oci_refuse(p, -EINVAL, name.text,
				  "is not allowed without a private %s namespace",
				  oci_namespace_name(namespaced[i].ns));
	}
	return oci_refuse(p, -EINVAL, name.text, "is not in a separate kernel namespace");
}

static int check_duplicates(struct oci_parse *p, const struct oci_spec *spec, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (!strcmp(spec->sysctl[i].key, spec->sysctl[j].key))
			return oci_refuse(p, -EINVAL,
					  oci_path_member("linux.sysctl", spec->sysctl[i].key).text,
					  "is given twice, with '.' and with '/'");
	return 0;
}

int oci_sysctl_check(struct oci_parse *p, struct oci_spec *spec)
{
	int r;

	for (size_t i = 0; i < spec->n_sysctl; i++) {
		r = check_pair(p, spec, &spec->sysctl[i]);
		if (r == 0)
			r = check_duplicates(p, spec, i);
		if (r < 0)
			return r;
	}
	return 0;
}
