/* SPDX-License-Identifier: Apache-2.0 */
/* The "linux.seccomp" object. Source: OCI runtime-spec 1.2, config-linux.md "Seccomp". */
#include <errno.h>
#include <string.h>

#include "common/oci_parse.h"

/* SECCOMP_RET_DATA has 16 bits. */
#define ERRNO_RET_MAX 0xffff
#define ARG_INDEX_MAX 5
#define NAMES_MAX OCI_LIST_MAX

#define ACT_ERRNO "SCMP_ACT_ERRNO"
#define ACT_NOTIFY "SCMP_ACT_NOTIFY"
#define ACT_TRACE "SCMP_ACT_TRACE"

static const char *const action_names[] = {
	"SCMP_ACT_KILL",
	"SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD",
	"SCMP_ACT_TRAP",
	ACT_ERRNO,
	ACT_TRACE,
	"SCMP_ACT_ALLOW",
	"SCMP_ACT_LOG",
	ACT_NOTIFY,
	NULL,
};

static const char *const operator_names[] = {
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",	    "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL,
};

static const char *const architecture_names[] = {
	"SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",	    "SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",	   "SCMP_ARCH_MIPS64",	    "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",	    "SCMP_ARCH_S390X",
	"SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",	    NULL,
};

/* TSYNC is no longer in the specification; libseccomp sets it anyway, and runc takes it. */
static const char *const flag_names[] = {
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	NULL,
};

/* A vector of strings, each of them in the table of the row. */
static int put_names(struct oci_parse *p, const struct json *obj, const char *path,
		     const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	char **v;
	int r;

	r = oci_put_strv(p, obj, path, m, base);
	if (r <= 0)
		return r;
	v = *(char ***)((char *)base + m->offset);
	for (size_t i = 0; v[i]; i++)
		if (oci_name_index(m->names, v[i]) < 0)
			return oci_refuse(p, -EINVAL, oci_path_index(name.text, i).text,
					  "'%s' is not supported", oci_show(v[i]).text);
	return 1;
}

#define NAMES(k, field, table)                                                               \
	{                                                                                    \
		.key = (k), .put = put_names, .offset = offsetof(struct oci_seccomp, field), \
		.max = OCI_LIST_MAX, .names = (table)                                        \
	}

static const struct oci_member arg_members[] = {
	OCI_INT("index", struct oci_seccomp_arg, index, 0, ARG_INDEX_MAX, 0),
	OCI_U64("value", struct oci_seccomp_arg, value, 0),
	OCI_U64("valueTwo", struct oci_seccomp_arg, value_two, 0),
	OCI_NAME("op", struct oci_seccomp_arg, op, operator_names, OCI_M_REQUIRED),
	{},
};

static const struct oci_member rule_members[] = {
	OCI_STRV("names", struct oci_seccomp_rule, names, NAMES_MAX, OCI_M_REQUIRED),
	OCI_NAME("action", struct oci_seccomp_rule, action, action_names, OCI_M_REQUIRED),
	OCI_INT_HAS("errnoRet", struct oci_seccomp_rule, errno_ret, 0, ERRNO_RET_MAX),
	OCI_LIST("args", struct oci_seccomp_rule, args, arg_members, OCI_SECCOMP_ARGS_MAX, NULL),
	{},
};

/* The specification wants an error when the action has no place for the number. */
static int check_errno_ret(struct oci_parse *p, const char *path, const char *key, bool given,
			   const char *action)
{
	if (given && strcmp(action, ACT_ERRNO) && strcmp(action, ACT_TRACE))
		return oci_refuse(p, -EINVAL, oci_path_member(path, key).text,
				  "%s does not take an errno", action);
	return 0;
}

static int check_rule(struct oci_parse *p, void *element, const char *path)
{
	const struct oci_seccomp_rule *rule = element;

	if (!rule->names[0])
		return oci_refuse(p, -EINVAL, oci_path_member(path, "names").text,
				  "must not be empty");
	return check_errno_ret(p, path, "errnoRet", rule->has_errno_ret, rule->action);
}

const struct oci_member oci_seccomp_members[] = {
	OCI_NAME("defaultAction", struct oci_seccomp, default_action, action_names, OCI_M_REQUIRED),
	OCI_INT_HAS("defaultErrnoRet", struct oci_seccomp, default_errno_ret, 0, ERRNO_RET_MAX),
	NAMES("architectures", architectures, architecture_names),
	NAMES("flags", flags, flag_names),
	OCI_STRING("listenerPath", struct oci_seccomp, listener_path, 0),
	{ .key = "syscalls",
	  .put = oci_put_list,
	  .offset = offsetof(struct oci_seccomp, rules),
	  .size = sizeof(struct oci_seccomp_rule),
	  .count = offsetof(struct oci_seccomp, n_rules),
	  .members = rule_members,
	  .max = OCI_SYSCALLS_MAX,
	  .check = check_rule },
	OCI_IGNORED("listenerMetadata"),
	{},
};

int oci_seccomp_check(struct oci_parse *p, void *base, const char *path)
{
	const struct oci_seccomp *seccomp = base;

	if (!strcmp(seccomp->default_action, ACT_NOTIFY))
		return oci_refuse(p, -EINVAL, oci_path_member(path, "defaultAction").text,
				  "%s cannot be the default action", ACT_NOTIFY);
	for (size_t i = 0; i < seccomp->n_rules; i++)
		if (!seccomp->listener_path && !strcmp(seccomp->rules[i].action, ACT_NOTIFY))
			return oci_refuse(p, -EINVAL, oci_path_member(path, "listenerPath").text,
					  "required by %s, but missing", ACT_NOTIFY);
	return check_errno_ret(p, path, "defaultErrnoRet", seccomp->has_default_errno_ret,
			       seccomp->default_action);
}

static void finish_rule(struct oci_seccomp_rule *rule)
{
	json_free_strv(rule->names);
	free(rule->action);
	for (size_t i = 0; i < rule->n_args; i++)
		free(rule->args[i].op);
	free(rule->args);
}

void oci_seccomp_finish(struct oci_seccomp *seccomp)
{
	free(seccomp->default_action);
	json_free_strv(seccomp->architectures);
	json_free_strv(seccomp->flags);
	free(seccomp->listener_path);
	for (size_t i = 0; i < seccomp->n_rules; i++)
		finish_rule(&seccomp->rules[i]);
	free(seccomp->rules);
}
