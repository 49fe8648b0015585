/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * Options are applied in order, later ones win. An option of the table sets or clears bits of mount(2)
 * ("ro", "suid"), names a propagation type, sets or clears attributes of mount_setattr(2) for a whole tree
 * ("rro"), or is an extension ("tmpcopyup"). What the table has not goes to the file system as data, as with
 * runc: an unknown name there is for the kernel to refuse. The table is written once as a list of macros,
 * since both the rows and the plain names are wanted.
 *
 * Access times of mount_setattr(2) are one field with three values rather than bits, hence REC_TIME.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "common/oci_parse.h"

/* mount(2) takes one page of data, the last byte is a NUL. */
#define DATA_MAX 4096u

enum option_kind {
	SET, /* bits of mount(2) */
	CLEAR,
	PROPAGATE, /* a call of its own */
	REC_SET,   /* attributes of mount_setattr(2) */
	REC_CLEAR,
	REC_TIME, /* the field MOUNT_ATTR__ATIME gets this value */
	COPY_UP,
	NOTHING,
};

struct option {
	const char *name;
	enum option_kind kind;
	uint64_t bits;
};

/* Sorted by name in C order: it is searched by halves. */
#define OPTIONS(X)                                             \
	X("async", CLEAR, MS_SYNCHRONOUS)                      \
	X("atime", CLEAR, MS_NOATIME)                          \
	X("bind", SET, MS_BIND)                                \
	X("defaults", NOTHING, 0)                              \
	X("dev", CLEAR, MS_NODEV)                              \
	X("diratime", CLEAR, MS_NODIRATIME)                    \
	X("dirsync", SET, MS_DIRSYNC)                          \
	X("exec", CLEAR, MS_NOEXEC)                            \
	X("iversion", SET, MS_I_VERSION)                       \
	X("lazytime", SET, MS_LAZYTIME)                        \
	X("loud", CLEAR, MS_SILENT)                            \
	X("mand", SET, MS_MANDLOCK)                            \
	X("noatime", SET, MS_NOATIME)                          \
	X("nodev", SET, MS_NODEV)                              \
	X("nodiratime", SET, MS_NODIRATIME)                    \
	X("noexec", SET, MS_NOEXEC)                            \
	X("noiversion", CLEAR, MS_I_VERSION)                   \
	X("nolazytime", CLEAR, MS_LAZYTIME)                    \
	X("nomand", CLEAR, MS_MANDLOCK)                        \
	X("norelatime", CLEAR, MS_RELATIME)                    \
	X("nostrictatime", CLEAR, MS_STRICTATIME)              \
	X("nosuid", SET, MS_NOSUID)                            \
	X("nosymfollow", SET, MS_NOSYMFOLLOW)                  \
	X("private", PROPAGATE, MS_PRIVATE)                    \
	X("ratime", REC_CLEAR, MOUNT_ATTR_NOATIME)             \
	X("rbind", SET, MS_BIND | MS_REC)                      \
	X("rdev", REC_CLEAR, MOUNT_ATTR_NODEV)                 \
	X("rdiratime", REC_CLEAR, MOUNT_ATTR_NODIRATIME)       \
	X("relatime", SET, MS_RELATIME)                        \
	X("remount", SET, MS_REMOUNT)                          \
	X("rexec", REC_CLEAR, MOUNT_ATTR_NOEXEC)               \
	X("rnoatime", REC_TIME, MOUNT_ATTR_NOATIME)            \
	X("rnodev", REC_SET, MOUNT_ATTR_NODEV)                 \
	X("rnodiratime", REC_SET, MOUNT_ATTR_NODIRATIME)       \
	X("rnoexec", REC_SET, MOUNT_ATTR_NOEXEC)               \
	X("rnorelatime", NOTHING, 0)                           \
	X("rnostrictatime", REC_CLEAR, MOUNT_ATTR_STRICTATIME) \
	X("rnosuid", REC_SET, MOUNT_ATTR_NOSUID)               \
	X("rnosymfollow", REC_SET, MOUNT_ATTR_NOSYMFOLLOW)     \
	X("ro", SET, MS_RDONLY)                                \
	X("rprivate", PROPAGATE, MS_PRIVATE | MS_REC)          \
	X("rrelatime", REC_TIME, MOUNT_ATTR_RELATIME)          \
	X("rro", REC_SET, MOUNT_ATTR_RDONLY)                   \
	X("rrw", REC_CLEAR, MOUNT_ATTR_RDONLY)                 \
	X("rshared", PROPAGATE, MS_SHARED | MS_REC)            \
	X("rslave", PROPAGATE, MS_SLAVE | MS_REC)              \
	X("rstrictatime", REC_TIME, MOUNT_ATTR_STRICTATIME)    \
	X("rsuid", REC_CLEAR, MOUNT_ATTR_NOSUID)               \
	X("rsymfollow", REC_CLEAR, MOUNT_ATTR_NOSYMFOLLOW)     \
	X("runbindable", PROPAGATE, MS_UNBINDABLE | MS_REC)    \
	X("rw", CLEAR, MS_RDONLY)                              \
	X("shared", PROPAGATE, MS_SHARED)                      \
	X("silent", SET, MS_SILENT)                            \
	X("slave", PROPAGATE, MS_SLAVE)                        \
	X("strictatime", SET, MS_STRICTATIME)                  \
	X("suid", CLEAR, MS_NOSUID)                            \
	X("symfollow", CLEAR, MS_NOSYMFOLLOW)                  \
	X("sync", SET, MS_SYNCHRONOUS)                         \
	X("tmpcopyup", COPY_UP, 0)                             \
	X("unbindable", PROPAGATE, MS_UNBINDABLE)

static const struct option options[] = {
#define ROW(n, k, b) { .name = (n), .kind = (k), .bits = (uint64_t)(b) },
	OPTIONS(ROW)
#undef ROW
};

static const char *const option_names[] = {
#define ROW(n, k, b) n,
	OPTIONS(ROW)
#undef ROW
	NULL,
};

const char *const oci_propagation_names[] = {
	"private", "rprivate",	 "shared",	"rshared", "slave",
	"rslave",  "unbindable", "runbindable", NULL,
};

const char *const *oci_mount_option_names(void)
{
	return option_names;
}

static int compare_option(const void *key, const void *row)
{
	return strcmp(key, ((const struct option *)row)->name);
}

static int add_propagation(struct oci_parse *p, struct oci_mount *mount, const char *path,
			   unsigned long flags)
{
	if (mount->n_propagation == OCI_PROPAGATION_MAX)
		return oci_refuse(p, -E2BIG, path, "more than %u propagation options",
				  OCI_PROPAGATION_MAX);
	mount->propagation[mount->n_propagation++] = flags;
	return 0;
}

static void clear_recursive(struct oci_mount *mount, uint64_t bits)
{
	mount->rec_attr_set &= ~bits;
	/* The kernel refuses to clear a part of the access time field. */
	mount->rec_attr_clr |= bits & MOUNT_ATTR__ATIME ? bits | MOUNT_ATTR__ATIME : bits;
}

static int apply_option(struct oci_parse *p, struct oci_mount *mount, const char *path,
			const struct option *option)
{
	uint64_t bits = option->bits;

	switch (option->kind) {
	case SET:
		mount->flags |= bits;
		mount->cleared_flags &= ~bits;
		return 0;
	case CLEAR:
		mount->flags &= ~bits;
		mount->cleared_flags |= bits;
		return 0;
	case PROPAGATE:
		return add_propagation(p, mount, path, bits);
	case REC_SET:
		mount->rec_attr_set |= bits;
		mount->rec_attr_clr &= ~bits;
		return 0;
	case REC_CLEAR:
		clear_recursive(mount, bits);
		return 0;
	case REC_TIME:
		mount->rec_attr_set = (mount->rec_attr_set & ~(uint64_t)MOUNT_ATTR__ATIME) | bits;
		mount->rec_attr_clr |= MOUNT_ATTR__ATIME;
		return 0;
	case COPY_UP:
		mount->copy_up = true;
		return 0;
	case NOTHING:
		return 0;
	}
	return 0;
}

/* Append @text to the comma separated @mount->data. */
static int add_data(struct oci_parse *p, struct oci_mount *mount, const char *text)
{
	char *longer;

	if (!*text)
		return 0;
	if (asprintf(&longer, "%s%s%s", mount->data ? mount->data : "", mount->data ? "," : "",
		     text) < 0)
		return oci_no_memory(p);
	free(mount->data);
	mount->data = longer;
	return 0;
}

static int parse_option(struct oci_parse *p, struct oci_mount *mount, const char *path,
			const char *text)
{
	const struct option *option;
	int r;

	if (!strcmp(text, "idmap") || !strcmp(text, "ridmap"))
		return oci_refuse(p, -EOPNOTSUPP, path,
				  "'%s' is not supported: no id-mapped mounts", text);
	option = bsearch(text, options, ARRAY_SIZE(options), sizeof(*options), compare_option);
	if (option)
		return apply_option(p, mount, path, option);
	r = add_data(p, mount, text);
	if (r < 0)
		return r;
	/* Checked as it grows, so that many options cost no more than the page does. */
	if (mount->data && strlen(mount->data) >= DATA_MAX)
		return oci_refuse(p, -E2BIG, path, "data for the file system exceeds %u bytes",
				  DATA_MAX - 1);
	return 0;
}

static int parse_options(struct oci_parse *p, struct oci_mount *mount, const char *field)
{
	struct oci_path name = oci_path_member(field, "options");
	int r;

	if (mount->type && !strcmp(mount->type, "bind"))
		mount->flags |= MS_BIND;
	for (size_t i = 0; mount->options && mount->options[i]; i++) {
		r = parse_option(p, mount, oci_path_index(name.text, i).text, mount->options[i]);
		if (r < 0)
			return r;
	}
	mount->is_bind = mount->flags & MS_BIND;
	mount->is_recursive_bind = mount->is_bind && (mount->flags & MS_REC);
	return 0;
}

int oci_mount_parse_options(struct oci_mount *mount, const char *field, struct err *err)
{
	struct oci_parse p = { .err = err };

	return parse_options(&p, mount, field);
}

static int put_options(struct oci_parse *p, const struct json *obj, const char *path,
		       const struct oci_member *m, void *base)
{
	struct oci_mount *mount = base;
	int r;

	r = oci_put_strv(p, obj, path, m, base);
	if (r != 0)
		return r;
	mount->options = calloc(1, sizeof(*mount->options));
	return mount->options ? 1 : oci_no_memory(p);
}

/* Id mappings of a mount ask for an id-mapped mount; an empty list asks for nothing. */
static int put_mappings(struct oci_parse *p, const struct json *obj, const char *path,
			const struct oci_member *m, void *base)
{
	struct json *arr;
	int r;

	r = json_member_array(obj, path, m->key, SIZE_MAX, &arr, p->err);
	if (r > 0 && json_array_len(arr) > 0)
		return oci_refuse(p, -EOPNOTSUPP, oci_path_member(path, m->key).text,
				  "not supported: no id-mapped mounts");
	return r;
}

const struct oci_member oci_mount_members[] = {
	OCI_STRING("destination", struct oci_mount, destination, OCI_M_REQUIRED),
	OCI_STRING("type", struct oci_mount, type, 0),
	OCI_STRING("source", struct oci_mount, source, 0),
	{ .key = "options",
	  .put = put_options,
	  .offset = offsetof(struct oci_mount, options),
	  .max = OCI_LIST_MAX },
	OCI_CUSTOM("uidMappings", put_mappings, 0),
	OCI_CUSTOM("gidMappings", put_mappings, 0),
	{},
};

/*
 * Engines bind the host's /sys where a user namespace may not mount a sysfs of its own. What is meant
 * is the kernel's own view of itself, and that kernel is the guest's, which has no such restriction.
 */
static int replace_sysfs(struct oci_parse *p, struct oci_mount *mount)
{
	if (!mount->is_bind || !mount->source || strcmp(mount->source, "/sys") != 0 ||
	    strcmp(mount->destination, "/sys") != 0)
		return 0;
	free(mount->type);
	mount->type = strdup("sysfs");
	mount->is_bind = mount->is_recursive_bind = false;
	return mount->type ? 0 : oci_no_memory(p);
}

int oci_mount_check(struct oci_parse *p, void *base, const char *path)
{
	struct oci_mount *mount = base;
	int r;

	r = parse_options(p, mount, path);
	if (r >= 0)
		r = replace_sysfs(p, mount);
	if (r < 0)
		return r;
	if (mount->is_bind && !mount->source && !(mount->flags & MS_REMOUNT))
		return oci_refuse(p, -EINVAL, oci_path_member(path, "source").text,
				  "required for a bind mount, but missing");
	if (!mount->type && !mount->is_bind && !(mount->flags & MS_REMOUNT) &&
	    !mount->n_propagation)
		return oci_refuse(p, -EINVAL, oci_path_member(path, "type").text,
				  "required unless the options ask for a bind mount, but missing");
	return 0;
}

void oci_mount_finish(struct oci_mount *mount)
{
	free(mount->destination);
	free(mount->type);
	free(mount->source);
	json_free_strv(mount->options);
	free(mount->data);
}
