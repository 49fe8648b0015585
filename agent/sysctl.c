/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sysctl.h"

#include <ctype.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>

#include "agent/procfs.h"
#include "common/cleanup.h"

/* Settings that exist once per namespace. A name that ends in '/' stands for all below. */
static const struct {
	const char *path;
	enum oci_namespace ns;
} known[] = {
	{ "kernel/msgmax", OCI_NS_IPC },     { "kernel/msgmnb", OCI_NS_IPC },
	{ "kernel/msgmni", OCI_NS_IPC },     { "kernel/sem", OCI_NS_IPC },
	{ "kernel/shmall", OCI_NS_IPC },     { "kernel/shmmax", OCI_NS_IPC },
	{ "kernel/shmmni", OCI_NS_IPC },     { "kernel/shm_rmid_forced", OCI_NS_IPC },
	{ "fs/mqueue/", OCI_NS_IPC },        { "kernel/domainname", OCI_NS_UTS },
	{ "net/", OCI_NS_NETWORK },
};

static bool component_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-';
}

/*
 * As sysctl(8): the first separator decides. With '/', a '.' is part of a name (an interface's),
 * and the other way round.
 */
static int convert(const char *key, char path[SYSCTL_PATH_MAX])
{
	const char *first = strpbrk(key, "./");
	char separator = first ? *first : '.';
	size_t len = strlen(key);

	if (!len || len >= SYSCTL_PATH_MAX)
		return -EINVAL;
	for (size_t i = 0; i <= len; i++) {
		char c = key[i];

		if (c == separator || c == '\0') {
			/* No empty component, none that begins with a dot: so no "..", no "/etc". */
			if (i == 0 || path[i - 1] == '/')
				return -EINVAL;
			path[i] = c ? '/' : '\0';
		} else if (c == '.' || c == '/') {
			if (i == 0 || path[i - 1] == '/' || separator == c)
				return -EINVAL;
			/* The dot of "eth0.100"; a '/' in a dotted name stands for it, too. */
			path[i] = '.';
		} else if (component_char(c)) {
			path[i] = c;
		} else {
			return -EINVAL;
		}
	}
	return 0;
}

int sysctl_path(const struct oci_spec *spec, const char *key, char path[SYSCTL_PATH_MAX], struct err *err)
{
	if (convert(key, path) < 0)
		return err_set(err, -EINVAL, "linux.sysctl: '%s' is no name of a setting", key);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		size_t len = strlen(known[i].path);
		bool below = known[i].path[len - 1] == '/';

		if (below ? strncmp(path, known[i].path, len) != 0 : strcmp(path, known[i].path) != 0)
			continue;
		/* The network is the virtual machine's own in any case. */
		if (known[i].ns == OCI_NS_NETWORK || spec->namespaces[known[i].ns].present)
			return 0;
		return err_set(err, -EOPNOTSUPP,
			       "linux.sysctl: '%s' needs a %s namespace of the container's own", key,
			       oci_namespace_name(known[i].ns));
	}
	return err_set(err, -EOPNOTSUPP,
		       "linux.sysctl: '%s' is not in a separate kernel namespace and cannot be set", key);
}

static int check_value(const char *key, const char *value, struct err *err)
{
	if (strlen(value) > SYSCTL_VALUE_MAX)
		return err_set(err, -EINVAL, "linux.sysctl: value of '%s' exceeds %u bytes", key,
			       SYSCTL_VALUE_MAX);
	for (const char *c = value; *c; c++) {
		/* No setting wants these; lists of settings that are glued together do. */
		if ((iscntrl((unsigned char)*c) && *c != '\t') || *c == '+' || *c == '=')
			return err_set(err, -EINVAL, "linux.sysctl: value of '%s' holds a character "
				       "that no setting takes", key);
	}
	return 0;
}

int sysctl_check(const struct oci_spec *spec, struct err *err)
{
	for (size_t i = 0; i < spec->n_sysctl; i++) {
		char path[SYSCTL_PATH_MAX];
		int r;

		r = sysctl_path(spec, spec->sysctl[i].key, path, err);
		if (r < 0)
			return r;
		r = check_value(spec->sysctl[i].key, spec->sysctl[i].value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int sysctl_open_low_ports(int proc_fd, const struct oci_spec *spec, struct err *err)
{
	int r;

	if (!spec->namespaces[OCI_NS_USER].present ||
	    !(spec->process.capabilities.bounding & (UINT64_C(1) << CAP_NET_BIND_SERVICE)))
		return 0;
	r = procfs_write(proc_fd, "sys/net/ipv4/ip_unprivileged_port_start", "0", 1);
	return r < 0 ? err_set_errno(err, r, "let the user namespace bind low ports") : 0;
}

/* A setting of one interface, but of the loopback interface: @path is "net/ipv4/conf/eth0/…". */
static bool is_of_card(const char *path)
{
	static const char *const folders[] = { "net/ipv4/conf/", "net/ipv4/neigh/", "net/ipv6/conf/",
					       "net/ipv6/neigh/" };
	static const char *const always_there[] = { "all/", "default/", "lo/" };
	const char *name = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(folders) && !name; i++) {
		if (!strncmp(path, folders[i], strlen(folders[i])))
			name = path + strlen(folders[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(always_there) && name; i++) {
		if (!strncmp(name, always_there[i], strlen(always_there[i])))
			name = NULL;
	}
	return name;
}

static int apply(int proc_fd, const struct oci_spec *spec, bool of_cards, struct err *err)
{
	for (size_t i = 0; i < spec->n_sysctl; i++) {
		const struct oci_string_pair *s = &spec->sysctl[i];
		char path[sizeof("sys/") + SYSCTL_PATH_MAX] = "sys/";
		int r;

		r = sysctl_path(spec, s->key, path + 4, err);
		if (r < 0)
			return r;
		if (is_of_card(path + 4) != of_cards)
			continue;
		r = procfs_write(proc_fd, path, s->value, strlen(s->value));
		if (r == -ENOENT)
			return err_set(err, -ENXIO, "linux.sysctl: the guest's kernel has no setting '%s'", s->key);
		if (r < 0)
			return err_set_errno(err, r, "linux.sysctl: set '%s' to '%s'", s->key, s->value);
	}
	return 0;
}

int sysctl_apply(int proc_fd, const struct oci_spec *spec, struct err *err)
{
	return apply(proc_fd, spec, false, err);
}

int sysctl_apply_cards(const struct oci_spec *spec, struct err *err)
{
	_cleanup_close_ int proc_fd = spec->n_sysctl ? procfs_open(err) : -EBADF;

	if (!spec->n_sysctl)
		return 0;
	return proc_fd < 0 ? proc_fd : apply(proc_fd, spec, true, err);
}
