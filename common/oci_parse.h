/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_parse.h - the table-driven reader behind oci.h; private to common/oci_*.c
 *
 * Shape:    each JSON object has a table of struct oci_member; a member names its key, the function
 *           that reads it and where in the C structure the value goes. oci_parse_members walks the
 *           table, then notes the keys that no row claims.
 * Limits:   OCI_PATH_TEXT bytes of dotted name, OCI_IGNORED_MAX noted fields; lists by
 *           oci_member.max.
 * Memory:   a failed parse leaves a half-filled structure that the *_finish functions release.
 */
#ifndef ONGGI_COMMON_OCI_PARSE_H
#define ONGGI_COMMON_OCI_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/oci.h"

#define OCI_PATH_TEXT 256
#define OCI_SHOWN_TEXT 128

/* One parse under way. */
struct oci_parse {
	struct err *err;
	char **ignored; /* OCI_IGNORED_MAX + 1 places once the first is used */
	size_t n_ignored;
};

struct oci_path {
	char text[OCI_PATH_TEXT];
};

/* A value of the configuration made fit for a message: cut, control characters replaced. */
struct oci_shown {
	char text[OCI_SHOWN_TEXT];
};

enum {
	OCI_M_REQUIRED = 1 << 0, /* absent, null or an empty string is refused */
	OCI_M_ABSOLUTE = 1 << 1, /* string or each string of a vector begins with "/" */
	OCI_M_HAS = 1 << 2,	 /* set the bool at "has" when the member is there */
};

struct oci_member;

/*
 * Read member @m of @obj into the structure @base. Returns 1 when it was there, 0 when not, or a
 * negative errno with the reason in @p->err.
 */
typedef int (*oci_put_fn)(struct oci_parse *p, const struct json *obj, const char *path,
			  const struct oci_member *m, void *base);
/* A last look at a structure whose members are read. 0 or a negative errno. */
typedef int (*oci_check_fn)(struct oci_parse *p, void *base, const char *path);
/* One element of an array. 0 or a negative errno. */
typedef int (*oci_element_fn)(struct oci_parse *p, const struct json *element, const char *path,
			      void *base);

struct oci_member {
	const char *key; /* NULL ends a table */
	oci_put_fn put;
	size_t offset;	    /* of the value in the structure */
	size_t size;	    /* bytes of a number, or of one element of a list */
	size_t count;	    /* lists: offset of the size_t that counts the elements */
	size_t has;	    /* OCI_M_HAS: offset of the bool */
	unsigned int flags; /* OCI_M_* */
	int64_t min, max;   /* numbers: range; lists, vectors and maps: entries at most */
	const struct oci_member *members; /* objects and lists of objects */
	oci_check_fn check;		  /* objects and lists of objects: after each; NULL: none */
	const char *const *names;	  /* names: the allowed ones, NULL-terminated */
};

#define OCI_SIZEOF(type, field) sizeof(((type *)0)->field)

/* Rows of the tables. */
#define OCI_STRING(k, type, field, fl)                                                            \
	{                                                                                         \
		.key = (k), .put = oci_put_string, .offset = offsetof(type, field), .flags = (fl) \
	}
#define OCI_BOOL(k, type, field)                                                 \
	{                                                                        \
		.key = (k), .put = oci_put_bool, .offset = offsetof(type, field) \
	}
#define OCI_INT(k, type, field, lo, hi, fl)                                              \
	{                                                                                \
		.key = (k), .put = oci_put_int, .offset = offsetof(type, field),         \
		.size = OCI_SIZEOF(type, field), .min = (lo), .max = (hi), .flags = (fl) \
	}
#define OCI_INT_HAS(k, type, field, lo, hi)                                                    \
	{                                                                                      \
		.key = (k), .put = oci_put_int, .offset = offsetof(type, field),               \
		.size = OCI_SIZEOF(type, field), .min = (lo), .max = (hi), .flags = OCI_M_HAS, \
		.has = offsetof(type, has_##field)                                             \
	}
#define OCI_U64(k, type, field, fl)                                                            \
	{                                                                                      \
		.key = (k), .put = oci_put_u64, .offset = offsetof(type, field), .flags = (fl) \
	}
#define OCI_U64_HAS(k, type, field)                                              \
	{                                                                        \
		.key = (k), .put = oci_put_u64, .offset = offsetof(type, field), \
		.flags = OCI_M_HAS, .has = offsetof(type, has_##field)           \
	}
#define OCI_STRV(k, type, field, most, fl)                                                       \
	{                                                                                        \
		.key = (k), .put = oci_put_strv, .offset = offsetof(type, field), .max = (most), \
		.flags = (fl)                                                                    \
	}
#define OCI_NAME(k, type, field, table, fl)                                       \
	{                                                                         \
		.key = (k), .put = oci_put_name, .offset = offsetof(type, field), \
		.names = (table), .flags = (fl)                                   \
	}
#define OCI_OBJECT(k, off, table, fl, chk)                                              \
	{                                                                               \
		.key = (k), .put = oci_put_object, .offset = (off), .members = (table), \
		.flags = (fl), .check = (chk)                                           \
	}
#define OCI_LIST(k, type, field, table, most, chk)                                       \
	{                                                                                \
		.key = (k), .put = oci_put_list, .offset = offsetof(type, field),        \
		.size = sizeof(*((type *)0)->field), .count = offsetof(type, n_##field), \
		.members = (table), .max = (most), .check = (chk)                        \
	}
#define OCI_PAIRS(k, type, field)                                                  \
	{                                                                          \
		.key = (k), .put = oci_put_pairs, .offset = offsetof(type, field), \
		.count = offsetof(type, n_##field), .max = OCI_LIST_MAX            \
	}
/* Known and without effect here: noted in oci_spec.ignored. */
#define OCI_IGNORED(k)                             \
	{                                          \
		.key = (k), .put = oci_put_ignored \
	}
#define OCI_CUSTOM(k, fn, most)                        \
	{                                              \
		.key = (k), .put = (fn), .max = (most) \
	}

/*
 * Fill @base from the members of @obj.
 * @path is the dotted name of @obj, "" at the top. Returns 0; -EINVAL, -E2BIG, -ENOMEM.
 */
int oci_parse_members(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *members, void *base);

/*
 * The functions of the rows (oci_put_fn) above. Integers of any width but unsigned ones of 64 bits
 * are oci_put_int's.
 */
int oci_put_string(struct oci_parse *p, const struct json *obj, const char *path,
		   const struct oci_member *m, void *base);
int oci_put_bool(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base);
int oci_put_int(struct oci_parse *p, const struct json *obj, const char *path,
		const struct oci_member *m, void *base);
int oci_put_u64(struct oci_parse *p, const struct json *obj, const char *path,
		const struct oci_member *m, void *base);
int oci_put_strv(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base);
int oci_put_name(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base);
int oci_put_object(struct oci_parse *p, const struct json *obj, const char *path,
		   const struct oci_member *m, void *base);
int oci_put_list(struct oci_parse *p, const struct json *obj, const char *path,
		 const struct oci_member *m, void *base);
int oci_put_pairs(struct oci_parse *p, const struct json *obj, const char *path,
		  const struct oci_member *m, void *base);
int oci_put_ignored(struct oci_parse *p, const struct json *obj, const char *path,
		    const struct oci_member *m, void *base);

/*
 * Call @fn for every element of the array at @m->key, which has at most @m->max of them.
 * Returns 1, 0 when the array is absent, or a negative errno.
 */
int oci_each_element(struct oci_parse *p, const struct json *obj, const char *path,
		     const struct oci_member *m, oci_element_fn fn, void *base);

/* The string that @element is, borrowed; NULL when it is none, the reason (-EINVAL) in @p->err. */
const char *oci_element_string(struct oci_parse *p, const struct json *element, const char *path);

/* "<path>.<key>", or "<path>[<i>]". */
struct oci_path oci_path_member(const char *path, const char *key);
struct oci_path oci_path_index(const char *path, size_t i);
struct oci_shown oci_show(const char *s);

/* Record "field '<path>': <text>" and return @code. */
int oci_refuse(struct oci_parse *p, int code, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int oci_no_memory(struct oci_parse *p);
/* Add @path to the ignored fields; the first OCI_IGNORED_MAX are kept. 0 or -ENOMEM. */
int oci_note_ignored(struct oci_parse *p, const char *path);

/* Index of @name in a NULL-terminated table, or -1. */
int oci_name_index(const char *const *names, const char *name);

/* Tables of members: struct oci_process, oci_mount, oci_resources, oci_seccomp; and of "linux" and "hooks"
 * in struct oci_spec. */
extern const struct oci_member oci_process_members[];
extern const struct oci_member oci_mount_members[];
extern const struct oci_member oci_resources_members[];
extern const struct oci_member oci_seccomp_members[];
extern const struct oci_member oci_linux_members[];
extern const struct oci_member oci_hooks_members[];

/* "private", "rslave", …: the values of linux.rootfsPropagation. */
extern const char *const oci_propagation_names[];

/* Checks (oci_check_fn) of objects that more than one file has a table for. */
int oci_process_check(struct oci_parse *p, void *process, const char *path);
int oci_mount_check(struct oci_parse *p, void *mount, const char *path);
int oci_resources_check(struct oci_parse *p, void *resources, const char *path);
int oci_seccomp_check(struct oci_parse *p, void *seccomp, const char *path);
/* What holds between members of "linux" and the rest of the specification. */
int oci_linux_check(struct oci_parse *p, struct oci_spec *spec);
int oci_sysctl_check(struct oci_parse *p, struct oci_spec *spec);

/* Release what a structure holds, not the structure. */
void oci_process_finish(struct oci_process *process);
void oci_mount_finish(struct oci_mount *mount);
void oci_resources_finish(struct oci_resources *resources);
void oci_seccomp_finish(struct oci_seccomp *seccomp);
void oci_hooks_finish(struct oci_spec *spec);
void oci_linux_finish(struct oci_spec *spec);
void oci_pairs_free(struct oci_string_pair *pairs, size_t n);

#endif
