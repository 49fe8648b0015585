/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The "linux.resources" object. Source: OCI runtime-spec 1.2, config-linux.md "Control groups".
 *
 * Members that only cgroup v1 has (swappiness, kernel memory, real-time periods, leaf weights, network
 * classes) are noted as ignored, as runc does on v2. Strings that end in a file, or in the name of one, are
 * checked letter by letter here, so that nobody behind has to.
 */
#include <errno.h>
#include <string.h>

#include "common/oci_parse.h"

#define DIGITS "0123456789"
#define UNLIMITED (-1)
/* What a block device number may be in the kernel's 32-bit encoding of dev_t. */
#define MAJOR_MAX 0xfff
#define MINOR_MAX 0xfffff
#define BLKIO_WEIGHT_MIN 10
#define BLKIO_WEIGHT_MAX 1000
#define UNIFIED_VALUE_MAX 4095u

#define RESOURCES struct oci_resources

static const struct oci_member memory_members[] = {
	OCI_INT_HAS("limit", RESOURCES, memory_limit, UNLIMITED, INT64_MAX),
	OCI_INT_HAS("reservation", RESOURCES, memory_reservation, UNLIMITED, INT64_MAX),
	OCI_INT_HAS("swap", RESOURCES, memory_swap, UNLIMITED, INT64_MAX),
	OCI_BOOL("disableOOMKiller", RESOURCES, disable_oom_killer),
	OCI_BOOL("checkBeforeUpdate", RESOURCES, check_before_update),
	OCI_IGNORED("kernel"),
	OCI_IGNORED("kernelTCP"),
	OCI_IGNORED("swappiness"),
	OCI_IGNORED("useHierarchy"),
	{},
};

static int put_cpuset(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *m, void *base)
{
	const char *s;
	int r;

	r = oci_put_string(p, obj, path, m, base);
	if (r <= 0)
		return r;
	s = *(char **)((char *)base + m->offset);
	if (s[strspn(s, DIGITS ",-")])
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "expected a list such as 0-3,6, got '%s'", oci_show(s).text);
	return 1;
}

#define CPUSET(k, field)                                                            \
	{                                                                           \
		.key = (k), .put = put_cpuset, .offset = offsetof(RESOURCES, field) \
	}

static const struct oci_member cpu_members[] = {
	OCI_U64_HAS("shares", RESOURCES, cpu_shares),
	OCI_INT_HAS("quota", RESOURCES, cpu_quota, UNLIMITED, INT64_MAX),
	OCI_U64_HAS("period", RESOURCES, cpu_period),
	OCI_U64_HAS("burst", RESOURCES, cpu_burst),
	OCI_INT_HAS("idle", RESOURCES, cpu_idle, 0, 1),
	CPUSET("cpus", cpuset_cpus),
	CPUSET("mems", cpuset_mems),
	OCI_IGNORED("realtimeRuntime"),
	OCI_IGNORED("realtimePeriod"),
	{},
};

static const struct oci_member pids_members[] = {
	OCI_INT_HAS("limit", RESOURCES, pids_limit, UNLIMITED, INT64_MAX),
	{},
};

static int put_weight(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *m, void *base)
{
	uint16_t weight;
	int r;

	r = oci_put_int(p, obj, path, m, base);
	if (r <= 0)
		return r;
	weight = *(uint16_t *)((char *)base + m->offset);
	if (weight && weight < BLKIO_WEIGHT_MIN)
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "expected 0 or %d to %d, got %u", BLKIO_WEIGHT_MIN,
				  BLKIO_WEIGHT_MAX, weight);
	return 1;
}

#define WEIGHT(type, field)                                                          \
	{                                                                            \
		.key = "weight", .put = put_weight, .offset = offsetof(type, field), \
		.size = sizeof(uint16_t), .max = BLKIO_WEIGHT_MAX                    \
	}

static const struct oci_member io_weight_members[] = {
	OCI_INT("major", struct oci_io_weight, major, 0, MAJOR_MAX, OCI_M_REQUIRED),
	OCI_INT("minor", struct oci_io_weight, minor, 0, MINOR_MAX, OCI_M_REQUIRED),
	WEIGHT(struct oci_io_weight, weight),
	OCI_IGNORED("leafWeight"),
	{},
};

static const struct oci_member io_limit_members[] = {
	OCI_INT("major", struct oci_io_limit, major, 0, MAJOR_MAX, OCI_M_REQUIRED),
	OCI_INT("minor", struct oci_io_limit, minor, 0, MINOR_MAX, OCI_M_REQUIRED),
	OCI_U64("rate", struct oci_io_limit, rate, OCI_M_REQUIRED),
	{},
};

#define THROTTLE(k, kind)                                                                        \
	{                                                                                        \
		.key = (k), .put = oci_put_list, .offset = offsetof(RESOURCES, io_limits[kind]), \
		.size = sizeof(struct oci_io_limit),                                             \
		.count = offsetof(RESOURCES, n_io_limits[kind]), .members = io_limit_members,    \
		.max = OCI_LIST_MAX                                                              \
	}

static const struct oci_member block_io_members[] = {
	WEIGHT(RESOURCES, blkio_weight),
	OCI_LIST("weightDevice", RESOURCES, io_weights, io_weight_members, OCI_LIST_MAX, NULL),
	THROTTLE("throttleReadBpsDevice", OCI_IO_READ_BPS),
	THROTTLE("throttleWriteBpsDevice", OCI_IO_WRITE_BPS),
	THROTTLE("throttleReadIOPSDevice", OCI_IO_READ_IOPS),
	THROTTLE("throttleWriteIOPSDevice", OCI_IO_WRITE_IOPS),
	OCI_IGNORED("leafWeight"),
	{},
};

static int check_hugepage(struct oci_parse *p, void *element, const char *path)
{
	const struct oci_hugepage_limit *limit = element;
	size_t digits = strspn(limit->page_size, DIGITS);
	const char *unit = limit->page_size + digits;

	if (!digits || !unit[0] || !strchr("KMG", unit[0]) || strcmp(unit + 1, "B"))
		return oci_refuse(p, -EINVAL, oci_path_member(path, "pageSize").text,
				  "expected a size such as 2MB, got '%s'",
				  oci_show(limit->page_size).text);
	return 0;
}

static const struct oci_member hugepage_members[] = {
	OCI_STRING("pageSize", struct oci_hugepage_limit, page_size, OCI_M_REQUIRED),
	OCI_U64("limit", struct oci_hugepage_limit, limit, OCI_M_REQUIRED),
	{},
};

static int put_rule_type(struct oci_parse *p, const struct json *obj, const char *path,
			 const struct oci_member *m, void *base)
{
	struct oci_device_rule *rule = base;
	const char *s = "";
	int r;

	r = json_member_string(obj, path, m->key, &s, p->err);
	if (r < 0)
		return r;
	if (!*s)
		s = "a";
	if (!strchr("abc", s[0]) || s[1])
		return oci_refuse(p, -EINVAL, oci_path_member(path, m->key).text,
				  "invalid cgroup device type '%s'", oci_show(s).text);
	rule->type = s[0];
	return 1;
}

/* -1 is every number, and so is an absent one. */
static int put_rule_number(struct oci_parse *p, const struct json *obj, const char *path,
			   const struct oci_member *m, void *base)
{
	int r;

	r = oci_put_int(p, obj, path, m, base);
	if (r == 0)
		*(int64_t *)((char *)base + m->offset) = -1;
	return r;
}

static int put_access(struct oci_parse *p, const struct json *obj, const char *path,
		      const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct oci_device_rule *rule = base;
	const char *s = "";
	int r;

	r = json_member_string(obj, path, m->key, &s, p->err);
	if (r < 0)
		return r;
	if (!*s)
		return oci_refuse(p, -EINVAL, name.text, "device access cannot be empty");
	if (s[strspn(s, "rwm")])
		return oci_refuse(p, -EINVAL, name.text, "expected letters of 'rwm', got '%s'",
				  oci_show(s).text);
	rule->read = strchr(s, 'r');
	rule->write = strchr(s, 'w');
	rule->mknod = strchr(s, 'm');
	return 1;
}

#define RULE_NUMBER(k, most)                                                                      \
	{                                                                                         \
		.key = #k, .put = put_rule_number, .offset = offsetof(struct oci_device_rule, k), \
		.size = sizeof(int64_t), .min = -1, .max = (most)                                 \
	}

static const struct oci_member rule_members[] = {
	OCI_BOOL("allow", struct oci_device_rule, allow),
	OCI_CUSTOM("type", put_rule_type, 0),
	RULE_NUMBER(major, MAJOR_MAX),
	RULE_NUMBER(minor, MINOR_MAX),
	OCI_CUSTOM("access", put_access, 0),
	{},
};

/* RDMA devices are the host's; a limit on them would promise what no guest has. */
static int put_rdma(struct oci_parse *p, const struct json *obj, const char *path,
		    const struct oci_member *m, void *base)
{
	struct oci_path name = oci_path_member(path, m->key);
	struct json *child;
	char *text;
	int r;

	r = json_member_object(obj, path, m->key, &child, p->err);
	if (r <= 0)
		return r;
	text = json_text(child, false);
	if (!text)
		return oci_no_memory(p);
	if (strcmp(text, "{}"))
		r = oci_refuse(p, -EOPNOTSUPP, name.text,
			       "not supported: the guest has no RDMA devices");
	free(text);
	return r;
}

/* Files that move or kill processes, or change what kind of group this is, are no limits. */
static const char *const unified_refused[] = {
	"cgroup.freeze",  "cgroup.kill", "cgroup.procs", "cgroup.subtree_control",
	"cgroup.threads", "cgroup.type", NULL,
};

static int check_unified(struct oci_parse *p, const char *path, const struct oci_string_pair *pair)
{
	struct oci_path name = oci_path_member(path, pair->key);
	const char *dot = strchr(pair->key, '.');

	if (strchr(pair->key, '/'))
		return oci_refuse(p, -EINVAL, name.text, "must be a file name without '/'");
	if (!dot || dot == pair->key || !dot[1] ||
	    pair->key[strspn(pair->key,
			     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS
			     "._-")] ||
	    strstr(pair->key, ".."))
		return oci_refuse(p, -EINVAL, name.text, "expected the form controller.parameter");
	if (oci_name_index(unified_refused, pair->key) >= 0)
		return oci_refuse(p, -EINVAL, name.text, "is no limit and cannot be set");
	if (strlen(pair->value) > UNIFIED_VALUE_MAX)
		return oci_refuse(p, -EINVAL, name.text, "value exceeds %u bytes",
				  UNIFIED_VALUE_MAX);
	return 0;
}

struct unified_pairs {
	struct oci_string_pair *pairs;
	size_t n_pairs;
};

static int put_unified(struct oci_parse *p, const struct json *obj, const char *path,
		       const struct oci_member *m, void *base)
{
	static const struct oci_member as_pairs = OCI_PAIRS("unified", struct unified_pairs, pairs);
	struct oci_path name = oci_path_member(path, m->key);
	struct unified_pairs map = { .pairs = NULL };
	struct oci_resources *resources = base;
	int r;

	r = oci_put_pairs(p, obj, path, &as_pairs, &map);
	if (r > 0 && map.n_pairs > 0) {
		resources->unified = calloc(map.n_pairs + 1, sizeof(*resources->unified));
		if (!resources->unified)
			r = oci_no_memory(p);
	}
	for (size_t i = 0; r > 0 && i < map.n_pairs; i++) {
		int checked = check_unified(p, name.text, &map.pairs[i]);

		if (checked < 0) {
			r = checked;
		} else if (asprintf(&resources->unified[i], "%s=%s", map.pairs[i].key,
				    map.pairs[i].value) < 0) {
			resources->unified[i] = NULL;
			r = oci_no_memory(p);
		}
	}
	oci_pairs_free(map.pairs, map.n_pairs);
	return r;
}

const struct oci_member oci_resources_members[] = {
	OCI_LIST("devices", RESOURCES, devices, rule_members, OCI_LIST_MAX, NULL),
	OCI_OBJECT("memory", 0, memory_members, 0, NULL),
	OCI_OBJECT("cpu", 0, cpu_members, 0, NULL),
	OCI_OBJECT("pids", 0, pids_members, 0, NULL),
	OCI_OBJECT("blockIO", 0, block_io_members, 0, NULL),
	OCI_LIST("hugepageLimits", RESOURCES, hugepage_limits, hugepage_members, OCI_LIST_MAX,
		 check_hugepage),
	OCI_CUSTOM("rdma", put_rdma, 0),
	OCI_CUSTOM("unified", put_unified, 0),
	OCI_IGNORED("network"),
	{},
};

int oci_resources_check(struct oci_parse *p, void *base, const char *path)
{
	const struct oci_resources *r = base;

	if (r->has_memory_swap && r->memory_swap > 0 && r->has_memory_limit &&
	    r->memory_limit > 0 && r->memory_swap < r->memory_limit)
		return oci_refuse(p, -EINVAL, oci_path_member(path, "memory.swap").text,
				  "memory+swap of %lld bytes is below the memory limit of %lld",
				  (long long)r->memory_swap, (long long)r->memory_limit);
	return 0;
}

void oci_resources_finish(struct oci_resources *r)
{
	free(r->cpuset_cpus);
	free(r->cpuset_mems);
	free(r->io_weights);
	for (size_t i = 0; i < ARRAY_SIZE(r->io_limits); i++)
		free(r->io_limits[i]);
	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		free(r->hugepage_limits[i].page_size);
	free(r->hugepage_limits);
	free(r->devices);
	json_free_strv(r->unified);
}
