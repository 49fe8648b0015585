/* SPDX-License-Identifier: Apache-2.0 */
/* The "process" object. Source: OCI runtime-spec 1.2, config.md "Process". */
#include <errno.h>
#include <linux/sched.h>
#include <string.h>

#include "common/oci_parse.h"

/* (uid_t)-1 means "unchanged" to the kernel; everything below is an id. */
#define ID_MAX 4294967294
#define UMASK_MAX 0777
#define ADDITIONAL_GIDS_MAX OCI_LIST_MAX

static int add_gid(struct oci_parse *p, const struct json *element, const char *path, void *base)
{
	struct oci_user *user = base;
	int64_t n;

	/* A value above INT64_MAX reads as clamped, so it is out of range too. */
	n = json_is_int(element) ? json_int(element) : -1;
	if (n < 0 || n > ID_MAX)
		return oci_refuse(p, -EINVAL, path, "expected a group id from 0 to %lld",
				  (long long)ID_MAX);
	user->additional_gids[user->n_additional_gids++] = (uint32_t)n;
	return 0;
}

static int put_additional_gids(struct oci_parse *p, const struct json *obj, const char *path,
			       const struct oci_member *m, void *base)
{
	const struct json *arr = json_get(obj, m->key);
	size_t n = json_is_array(arr) ? json_array_len(arr) : 0;
	struct oci_user *user = base;

	if (n > 0 && n <= (size_t)m->max) {
		user->additional_gids = calloc(n, sizeof(*user->additional_gids));
		if (!user->additional_gids)
			return oci_no_memory(p);
	}
	return oci_each_element(p, obj, path, m, add_gid, user);
}

static const struct oci_member user_members[] = {
	OCI_INT("uid", struct oci_user, uid, 0, ID_MAX, 0),
	OCI_INT("gid", struct oci_user, gid, 0, ID_MAX, 0),
	OCI_INT_HAS("umask", struct oci_user, umask, 0, UMASK_MAX),
	OCI_CUSTOM("additionalGids", put_additional_gids, ADDITIONAL_GIDS_MAX),
	OCI_IGNORED("username"),
	{},
};

static const struct oci_member console_members[] = {
	OCI_INT("height", struct oci_process, console_rows, 0, UINT16_MAX, 0),
	OCI_INT("width", struct oci_process, console_columns, 0, UINT16_MAX, 0),
	{},
};

static int add_capability(struct oci_parse *p, const struct json *element, const char *path,
			  void *base)
{
	const char *name = oci_element_string(p, element, path);
	uint64_t *set = base;
	int n;

	if (!name)
		return -EINVAL;
	n = oci_capability_number(name);
	if (n < 0)
		return oci_note_ignored(p, oci_path_member(path, name).text);
	*set |= UINT64_C(1) << n;
	return 0;
}

static int put_capabilities(struct oci_parse *p, const struct json *obj, const char *path,
			    const struct oci_member *m, void *base)
{
	return oci_each_element(p, obj, path, m, add_capability, (char *)base + m->offset);
}

#define CAPABILITY_SET(k, field)                                                        \
	{                                                                               \
		.key = (k), .put = put_capabilities,                                    \
		.offset = offsetof(struct oci_capabilities, field), .max = OCI_LIST_MAX \
	}

static const struct oci_member capability_members[] = {
	CAPABILITY_SET("bounding", bounding),
	CAPABILITY_SET("effective", effective),
	CAPABILITY_SET("permitted", permitted),
	CAPABILITY_SET("inheritable", inheritable),
	CAPABILITY_SET("ambient", ambient),
	{},
};

static int mark_capabilities(struct oci_parse *p, void *capabilities, const char *path)
{
	((struct oci_capabilities *)capabilities)->present = true;
	return 0;
}

static int put_rlimit_type(struct oci_parse *p, const struct json *obj, const char *path,
			   const struct oci_member *m, void *base)
{
	struct oci_rlimit *limit = base;
	const char *name;
	int r;

	r = json_member_string(obj, path, m->key, &name, p->err);
	if (r <= 0)
		return r;
	limit->resource = oci_rlimit_number(name);
	if (limit->resource < 0)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "wrong rlimit value: %s", oci_show(name).text);
	return 1;
}

static int check_rlimit(struct oci_parse *p, void *element, const char *path)
{
	const struct oci_rlimit *limit = element;

	if (limit->soft > limit->hard)
		return oci_refuse(p, -EINVAL, path, "soft limit %llu is above the hard limit %llu",
				  (unsigned long long)limit->soft, (unsigned long long)limit->hard);
	return 0;
}

static const struct oci_member rlimit_members[] = {
	{ .key = "type", .put = put_rlimit_type, .flags = OCI_M_REQUIRED },
	OCI_U64("soft", struct oci_rlimit, soft, OCI_M_REQUIRED),
	OCI_U64("hard", struct oci_rlimit, hard, OCI_M_REQUIRED),
	{},
};

/* By SCHED_* number; 4 was SCHED_ISO, which no kernel ever had. */
static const char *const policy_names[] = {
	[SCHED_NORMAL] = "SCHED_OTHER",
	[SCHED_FIFO] = "SCHED_FIFO",
	[SCHED_RR] = "SCHED_RR",
	[SCHED_BATCH] = "SCHED_BATCH",
	[4] = "SCHED_ISO",
	[SCHED_IDLE] = "SCHED_IDLE",
	[SCHED_DEADLINE] = "SCHED_DEADLINE",
	NULL,
};

/* By bit of sched_attr.sched_flags. */
static const char *const sched_flag_names[] = {
	"SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",    "SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX", NULL,
};

static int put_policy(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *m, void *base)
{
	struct oci_scheduler *scheduler = base;
	const char *name;
	int i, r;

	r = json_member_string(obj, path, m->key, &name, p->err);
	if (r <= 0)
		return r;
	i = oci_name_index(policy_names, name);
	if (i < 0 || i == 4)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "'%s' is not supported", oci_show(name).text);
	scheduler->policy = (uint32_t)i;
	return 1;
}

static int add_sched_flag(struct oci_parse *p, const struct json *element, const char *path,
			  void *base)
{
	const char *name = oci_element_string(p, element, path);
	struct oci_scheduler *scheduler = base;
	int i;

	if (!name)
		return -EINVAL;
	i = oci_name_index(sched_flag_names, name);
	if (i < 0)
		return oci_refuse(p, -EINVAL, path, "'%s' is not supported", oci_show(name).text);
	scheduler->flags |= UINT64_C(1) << i;
	return 0;
}

static int put_sched_flags(struct oci_parse *p, const struct json *obj, const char *path,
			   const struct oci_member *m, void *base)
{
	return oci_each_element(p, obj, path, m, add_sched_flag, base);
}

static const struct oci_member scheduler_members[] = {
	{ .key = "policy", .put = put_policy, .flags = OCI_M_REQUIRED },
	OCI_INT("nice", struct oci_scheduler, nice, -20, 19, 0),
	OCI_INT("priority", struct oci_scheduler, priority, 0, 99, 0),
	OCI_CUSTOM("flags", put_sched_flags, 64),
	OCI_U64("runtime", struct oci_scheduler, runtime_ns, 0),
	OCI_U64("deadline", struct oci_scheduler, deadline_ns, 0),
	OCI_U64("period", struct oci_scheduler, period_ns, 0),
	{},
};

static int check_scheduler(struct oci_parse *p, void *base, const char *path)
{
	struct oci_scheduler *s = base;

	s->present = true;
	if (s->priority != 0 && s->policy != SCHED_FIFO && s->policy != SCHED_RR)
		return oci_refuse(p, -EINVAL, path, "priority is for SCHED_FIFO and SCHED_RR only");
	if ((s->runtime_ns || s->deadline_ns || s->period_ns) && s->policy != SCHED_DEADLINE)
		return oci_refuse(p, -EINVAL, path,
				  "runtime, deadline and period are for SCHED_DEADLINE only");
	return 0;
}

/* By IOPRIO_CLASS_* number. */
static const char *const io_class_names[] = {
	"IOPRIO_CLASS_NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", NULL,
};

static int put_io_class(struct oci_parse *p, const struct json *obj, const char *path,
			const struct oci_member *m, void *base)
{
	struct oci_io_priority *io = base;
	const char *name;
	int i, r;

	r = json_member_string(obj, path, m->key, &name, p->err);
	if (r <= 0)
		return r;
	i = oci_name_index(io_class_names, name);
	if (i <= 0)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "'%s' is not supported", oci_show(name).text);
	io->class = (uint32_t)i;
	io->present = true;
	return 1;
}

static const struct oci_member io_priority_members[] = {
	{ .key = "class", .put = put_io_class, .flags = OCI_M_REQUIRED },
	OCI_INT("priority", struct oci_io_priority, priority, 0, 7, 0),
	{},
};

static int put_args(struct oci_parse *p, const struct json *obj, const char *path,
		    const struct oci_member *m, void *base)
{
	struct oci_process *process = base;
	int r;

	r = oci_put_strv(p, obj, path, m, base);
	if (r <= 0)
		return r;
	if (!process->args[0])
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "args must not be empty");
	if (!*process->args[0])
		return oci_refuse(p, -EINVAL,
				  oci_path_index(oci_path_member(path, m->key).text, 0).text,
				  "the program must not be an empty string");
	return 1;
}

static int put_env(struct oci_parse *p, const struct json *obj, const char *path,
		   const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct oci_process *process = base;
	int r;

	r = oci_put_strv(p, obj, path, m, base);
	if (r < 0)
		return r;
	if (r == 0) {
		process->env = calloc(1, sizeof(*process->env));
		return process->env ? 1 : oci_no_memory(p);
	}
	for (size_t i = 0; process->env[i]; i++)
		if (process->env[i][0] == '=' || !strchr(process->env[i], '='))
			return oci_refuse(p, -EINVAL, oci_path_index(name.text, i).text,
					  "expected NAME=value, got '%s'",
					  oci_show(process->env[i]).text);
	return 1;
}

#define PROCESS struct oci_process

const struct oci_member oci_process_members[] = {
	OCI_BOOL("terminal", PROCESS, terminal),
	OCI_OBJECT("consoleSize", 0, console_members, 0, NULL),
	OCI_OBJECT("user", offsetof(PROCESS, user), user_members, 0, NULL),
	{ .key = "args",
	  .put = put_args,
	  .offset = offsetof(PROCESS, args),
	  .max = OCI_ARGS_MAX,
	  .flags = OCI_M_REQUIRED },
	{ .key = "env", .put = put_env, .offset = offsetof(PROCESS, env), .max = OCI_ARGS_MAX },
	OCI_STRING("cwd", PROCESS, cwd, OCI_M_REQUIRED | OCI_M_ABSOLUTE),
	OCI_OBJECT("capabilities", offsetof(PROCESS, capabilities), capability_members, 0,
		   mark_capabilities),
	OCI_LIST("rlimits", PROCESS, rlimits, rlimit_members, OCI_LIST_MAX, check_rlimit),
	OCI_BOOL("noNewPrivileges", PROCESS, no_new_privileges),
	OCI_INT_HAS("oomScoreAdj", PROCESS, oom_score_adj, -1000, 1000),
	OCI_STRING("apparmorProfile", PROCESS, apparmor_profile, 0),
	OCI_STRING("selinuxLabel", PROCESS, selinux_label, 0),
	OCI_OBJECT("scheduler", offsetof(PROCESS, scheduler), scheduler_members, 0,
		   check_scheduler),
	OCI_OBJECT("ioPriority", offsetof(PROCESS, io_priority), io_priority_members, 0, NULL),
	OCI_IGNORED("commandLine"),
	{},
};

int oci_process_check(struct oci_parse *p, void *base, const char *path)
{
	const struct oci_process *process = base;
	struct oci_path name = oci_path_member(path, "rlimits");
	uint64_t seen = 0;

	for (size_t i = 0; i < process->n_rlimits; i++) {
		uint64_t bit = UINT64_C(1) << process->rlimits[i].resource;

		if (seen & bit)
			return oci_refuse(p, -EINVAL, oci_path_index(name.text, i).text,
					  "the same type was given before");
		seen |= bit;
	}
	return 0;
}

void oci_process_finish(struct oci_process *process)
{
	free(process->user.additional_gids);
	json_free_strv(process->args);
	json_free_strv(process->env);
	free(process->cwd);
	free(process->rlimits);
	free(process->apparmor_profile);
	free(process->selinux_label);
}
