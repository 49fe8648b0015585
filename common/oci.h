/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci.h - the OCI runtime configuration (config.json) as C structures
 *
 * Shape:    one tree per spec, allocated by oci_spec_parse, released whole by oci_spec_free. The
 *           host parses to validate before anything is started, the agent parses the same bytes to
 *           apply them.
 * Peer:     an engine, and through it a tenant: every count, length and number is bounded
 *           (OCI_*_MAX).
 * Unknown:  fields that the specification allows to be ignored are collected in "ignored" by dotted
 *           name; values that cannot be honoured are refused by name.
 * Source:   OCI runtime-spec 1.2, config.md and config-linux.md.
 * Not here: applying anything; state JSON.
 */
#ifndef ONGGI_COMMON_OCI_H
#define ONGGI_COMMON_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/cleanup.h"
#include "common/err.h"

#define OCI_SPEC_BYTES_MAX (3u << 20) /* must fit one ttrpc message */
#define OCI_ARGS_MAX 65536u
#define OCI_MOUNTS_MAX 1024u
#define OCI_LIST_MAX 4096u
#define OCI_SYSCALLS_MAX 8192u
#define OCI_SECCOMP_ARGS_MAX 32u
#define OCI_ID_MAPPINGS_MAX 340u /* what the kernel takes */
#define OCI_IGNORED_MAX 64u      /* further ones are dropped */
#define OCI_PROPAGATION_MAX 8u

#define OCI_VERSION "1.2.0"

enum oci_namespace {
	OCI_NS_PID,
	OCI_NS_NETWORK,
	OCI_NS_MOUNT,
	OCI_NS_IPC,
	OCI_NS_UTS,
	OCI_NS_USER,
	OCI_NS_CGROUP,
	OCI_NS_TIME,
	OCI_NS_COUNT,
};
/* "pid", "network", … as in the specification; CLONE_NEW* flag of each. */
const char *oci_namespace_name(enum oci_namespace ns);
int oci_namespace_flag(enum oci_namespace ns);

struct oci_namespace_entry {
	bool present;
	char *path; /* NULL: a new one */
};

struct oci_id_mapping {
	uint32_t container_id, host_id, size;
};

struct oci_user {
	uint32_t uid, gid;
	bool has_umask;
	uint32_t umask;
	uint32_t *additional_gids;
	size_t n_additional_gids;
};

/*
 * Bit n is capability number n. Names that are not known are noted in oci_spec.ignored and dropped,
 * as runc does.
 */
struct oci_capabilities {
	bool present; /* absent: all sets empty */
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

struct oci_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

/* sched_setattr(2); policy is SCHED_* */
struct oci_scheduler {
	bool present;
	uint32_t policy;
	int32_t nice, priority;
	uint64_t flags; /* SCHED_FLAG_* */
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* ioprio_set(2) */
struct oci_io_priority {
	bool present;
	uint32_t class;    /* 1 real time, 2 best effort, 3 idle */
	uint32_t priority; /* 0 to 7 */
};

struct oci_process {
	bool terminal;
	uint16_t console_rows, console_columns; /* 0: not given */
	struct oci_user user;
	char **args; /* NULL-terminated, at least one entry */
	char **env;  /* NULL-terminated, may be empty */
	char *cwd;   /* absolute */
	struct oci_capabilities capabilities;
	struct oci_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int oom_score_adj; /* -1000 to 1000 */
	char *apparmor_profile, *selinux_label; /* NULL: none asked for */
	struct oci_scheduler scheduler;
	struct oci_io_priority io_priority;
};

struct oci_mount {
	char *destination; /* absolute, or relative to "/" as runc allows */
	char *type;        /* NULL: by options, e.g. bind */
	char *source;      /* NULL: none */
	char **options;    /* NULL-terminated, as written; may be empty */
	/* The options understood: */
	unsigned long flags, cleared_flags;   /* MS_* to set and to clear (e.g. "rw" clears MS_RDONLY) */
	/* MS_PRIVATE, MS_SLAVE|MS_REC, … in order */
	unsigned long propagation[OCI_PROPAGATION_MAX];
	size_t n_propagation;
	uint64_t rec_attr_set, rec_attr_clr;  /* MOUNT_ATTR_* for mount_setattr(AT_RECURSIVE): "rro", "rnosuid", … */
	char *data;                           /* comma separated rest for the file system; NULL: none */
	bool is_bind, is_recursive_bind; /* a bind of /sys on /sys is a sysfs here */
	bool copy_up;                         /* "tmpcopyup" */
};

struct oci_device {
	char *path;
	char type; /* 'c', 'b', 'u' (unbuffered: a character device), 'p' */
	int64_t major, minor;
	bool has_mode;
	uint32_t file_mode; /* 0 to 07777: the bits of the type are cut, as writers may leave them in */
	uint32_t uid, gid; /* 0 unless given */
};

struct oci_device_rule {
	bool allow;
	char type; /* 'a', 'c', 'b' */
	int64_t major, minor; /* -1: all */
	bool read, write, mknod;
};

struct oci_io_weight {
	int64_t major, minor;
	uint16_t weight; /* 10 to 1000, 0: not given */
};

enum oci_io_kind {
	OCI_IO_READ_BPS, /* bytes per second */
	OCI_IO_WRITE_BPS,
	OCI_IO_READ_IOPS,
	OCI_IO_WRITE_IOPS,
	OCI_IO_COUNT,
};

struct oci_io_limit {
	int64_t major, minor;
	uint64_t rate; /* 0: none */
};

struct oci_hugepage_limit {
	char *page_size; /* "2MB", "64KB", …: validated, fit for a file name */
	uint64_t limit;  /* bytes */
};

struct oci_resources {
	/* memory; bytes; -1 is unlimited */
	bool has_memory_limit, has_memory_reservation, has_memory_swap;
	int64_t memory_limit, memory_reservation, memory_swap;
	bool disable_oom_killer; /* refused on cgroup v2 by those who apply it */
	/* cpu */
	bool has_cpu_shares, has_cpu_quota, has_cpu_period, has_cpu_burst, has_cpu_idle;
	uint64_t cpu_shares, cpu_period, cpu_burst; /* period and burst in µs */
	int64_t cpu_quota;                          /* µs, -1 unlimited */
	int64_t cpu_idle;
	char *cpuset_cpus, *cpuset_mems; /* NULL: not given */
	/* pids; -1 and 0 unlimited as engines mean it */
	bool has_pids_limit;
	int64_t pids_limit;
	bool check_before_update; /* memory: refuse a limit below what is in use */
	/* io weight 10 to 1000 in v1 terms, 0: not given */
	uint16_t blkio_weight;
	/* Device numbers of the host's as the engine sees it: who applies has to translate or refuse. */
	struct oci_io_weight *io_weights;
	size_t n_io_weights;
	struct oci_io_limit *io_limits[OCI_IO_COUNT];
	size_t n_io_limits[OCI_IO_COUNT];
	struct oci_hugepage_limit *hugepage_limits;
	size_t n_hugepage_limits;
	struct oci_device_rule *devices;
	size_t n_devices;
	/* "file=value" strings, NULL-terminated; NULL: none. No '/' nor '=' in the file's name. */
	char **unified;
};

struct oci_seccomp_arg {
	uint32_t index; /* 0 to 5 */
	uint64_t value, value_two;
	char *op; /* "SCMP_CMP_EQ", … validated */
};

struct oci_seccomp_rule {
	char **names; /* NULL-terminated; names unknown to libseccomp are skipped by who applies it */
	char *action; /* "SCMP_ACT_ERRNO", … validated */
	bool has_errno_ret;
	uint32_t errno_ret;
	struct oci_seccomp_arg *args;
	size_t n_args;
};

struct oci_seccomp {
	char *default_action;
	bool has_default_errno_ret;
	uint32_t default_errno_ret;
	char **architectures; /* NULL-terminated, "SCMP_ARCH_X86_64", …; NULL: native */
	/* "SECCOMP_FILTER_FLAG_LOG", …; NULL: not given, which runc takes as SECCOMP_FILTER_FLAG_SPEC_ALLOW */
	char **flags;
	char *listener_path;  /* NULL: none; refused by who applies it */
	struct oci_seccomp_rule *rules;
	size_t n_rules;
};

struct oci_hook {
	char *path;
	char **args, **env; /* NULL: none */
	int32_t timeout_s;  /* 0: none */
};

enum oci_hook_kind {
	OCI_HOOK_PRESTART,
	OCI_HOOK_CREATE_RUNTIME,
	OCI_HOOK_CREATE_CONTAINER,
	OCI_HOOK_START_CONTAINER,
	OCI_HOOK_POSTSTART,
	OCI_HOOK_POSTSTOP,
	OCI_HOOK_COUNT,
};
/* "prestart", … as in the specification. */
const char *oci_hook_name(enum oci_hook_kind kind);

struct oci_string_pair {
	char *key, *value;
};

struct oci_time_offset {
	bool present;
	int64_t secs;
	uint32_t nanosecs;
};

struct oci_spec {
	char *oci_version;
	char *root_path; /* as written: relative to the bundle, or absolute */
	bool root_readonly;
	bool has_process;
	struct oci_process process;
	char *hostname, *domainname;
	struct oci_mount *mounts;
	size_t n_mounts;
	struct oci_hook *hooks[OCI_HOOK_COUNT];
	size_t n_hooks[OCI_HOOK_COUNT];
	struct oci_string_pair *annotations;
	size_t n_annotations;
	/* linux */
	struct oci_namespace_entry namespaces[OCI_NS_COUNT];
	struct oci_id_mapping *uid_mappings, *gid_mappings;
	size_t n_uid_mappings, n_gid_mappings;
	struct oci_device *devices;
	size_t n_devices;
	char *cgroups_path; /* as written: a path, which may contain "..", or "slice:prefix:name" */
	struct oci_resources resources;
	bool has_personality;
	uint32_t personality;     /* PER_LINUX or PER_LINUX32 */
	struct oci_time_offset monotonic_offset, boottime_offset;
	char *rootfs_propagation; /* "rslave", …: a mount option; NULL: not given */
	bool has_seccomp;
	struct oci_seccomp seccomp;
	struct oci_string_pair *sysctl; /* keys with dots, whatever was written; only namespaced ones */
	size_t n_sysctl;
	char **masked_paths, **readonly_paths; /* NULL-terminated; NULL: none */
	char *mount_label;
	char **ignored; /* dotted names of unknown or ignored fields, NULL-terminated; NULL: none */
};

/*
 * Parse config.json.
 *
 * @text, @len  UTF-8 JSON of at most OCI_SPEC_BYTES_MAX bytes
 * @ret         released with oci_spec_free
 *
 * Returns 0; -EBADMSG no JSON; -EINVAL a wrong type, a missing required field (ociVersion,
 * root.path, process.cwd, process.args[0]), a value out of range, a duplicated namespace type;
 * -EOPNOTSUPP a value that no guest can honour (idmap, linux.intelRdt, rdma); -EFBIG too long;
 * -E2BIG too many entries; -ENOMEM. The message names the field by its dotted path.
 */
int oci_spec_parse(const char *text, size_t len, struct oci_spec **ret, struct err *err);
void oci_spec_free(struct oci_spec *spec);
DEFINE_CLEANUP(struct oci_spec *, oci_spec_free);

/*
 * The "process" object alone, as exec takes it (terminal, user, args, env, cwd, …). Errors as
 * oci_spec_parse.
 */
int oci_process_parse(const char *text, size_t len, struct oci_process **ret, struct err *err);
void oci_process_free(struct oci_process *process);
DEFINE_CLEANUP(struct oci_process *, oci_process_free);

/* The "linux.resources" object alone, as update takes it. Errors as oci_spec_parse. */
int oci_resources_parse(const char *text, size_t len, struct oci_resources **ret, struct err *err);
void oci_resources_free(struct oci_resources *resources);
DEFINE_CLEANUP(struct oci_resources *, oci_resources_free);

/* Value of an annotation, NULL when absent. */
const char *oci_annotation(const struct oci_spec *spec, const char *key);

/*
 * "CAP_NET_ADMIN" (case-insensitive, prefix optional) to its number; -1 unknown. And back, NULL
 * unknown.
 */
int oci_capability_number(const char *name);
const char *oci_capability_name(int number);
/* "RLIMIT_NOFILE" to RLIMIT_*; -1 unknown. */
int oci_rlimit_number(const char *name);
/* "SIGTERM", "term", "15", "SIGRTMIN+3", "RTMAX-1" to a number 1 to 64 ("0" gives 0); -EINVAL. */
int oci_signal_number(const char *name);

/* Every mount option name understood, NULL-terminated, sorted: for the features command. */
const char *const *oci_mount_option_names(void);
/*
 * Fill flags, propagation, data … of @mount from its options and type. Part of parsing; exported
 * for the tests.
 *
 * @field  dotted name of the mount, for messages
 *
 * Returns 0; -EOPNOTSUPP idmap or ridmap; -E2BIG more than OCI_PROPAGATION_MAX propagation options,
 * or data that no page of the kernel's holds; -ENOMEM.
 */
int oci_mount_parse_options(struct oci_mount *mount, const char *field, struct err *err);

#endif
