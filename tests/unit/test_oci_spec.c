/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "oci_cases.h"

/* ---- what has to be refused ---- */

struct refusal_walk {
	struct json *config;
};

static int apply_set(const char *path, struct json *value, void *userdata)
{
	struct refusal_walk *w = userdata;
	struct json *changed = oci_case_with(w->config, path, value);

	json_unref(w->config);
	w->config = changed;
	return 0;
}

static int errno_of(const struct json *c)
{
	const char *name = json_get(c, "errno") ? json_string(json_get(c, "errno")) : "EINVAL";

	if (!strcmp(name, "EINVAL"))
		return -EINVAL;
	if (!strcmp(name, "E2BIG"))
		return -E2BIG;
	assert_string_equal(name, "EOPNOTSUPP");
	return -EOPNOTSUPP;
}

static void check_refusal(const struct json *base, const struct json *c, const char *file, size_t i)
{
	struct refusal_walk w = { .config = json_ref((struct json *)base) };
	const char *message = json_string(json_get(c, "message"));
	struct oci_spec *spec = NULL;
	_cleanup_free_ char *text = NULL;
	struct err err = ERR_INIT;
	int r;

	assert_non_null(message);
	assert_true(json_is_object(json_get(c, "set")));
	json_foreach(json_get(c, "set"), apply_set, &w);
	text = json_text(w.config, false);
	json_unref(w.config);
	assert_non_null(text);
	r = oci_spec_parse(text, strlen(text), &spec, &err);
	if (r != errno_of(c) || err.code != r || strcmp(err.text, message))
		fail_msg("%s case %zu:\n  wanted %d %s\n  got    %d %s", file, i, errno_of(c),
			 message, r, err.text);
	assert_null(spec);
	/* The reason is for who asks; the verdict is the same without. */
	assert_int_equal(oci_spec_parse(text, strlen(text), &spec, NULL), r);
}

static void check_refusals(const char *file)
{
	_cleanup_json_ struct json *base = oci_case_json("pass-runc-spec.json");
	_cleanup_json_ struct json *cases = oci_case_json(file);

	assert_true(json_array_len(cases) > 0);
	for (size_t i = 0; i < json_array_len(cases); i++)
		check_refusal(base, json_array_at(cases, i), file, i);
}

static void spec_refuses_what_is_wrong_at_the_top(void **state)
{
	check_refusals("fail-top.json");
}

static void spec_refuses_processes_by_field(void **state)
{
	check_refusals("fail-process.json");
}

static void spec_refuses_mounts_by_field(void **state)
{
	check_refusals("fail-mounts.json");
}

static void spec_refuses_hooks_by_field(void **state)
{
	check_refusals("fail-hooks.json");
}

static void spec_refuses_linux_settings_by_field(void **state)
{
	check_refusals("fail-linux.json");
}

static void spec_refuses_resources_by_field(void **state)
{
	check_refusals("fail-resources.json");
}

static void spec_refuses_seccomp_by_field(void **state)
{
	check_refusals("fail-seccomp.json");
}

static void check_text(const char *text, size_t len, int code, const char *message)
{
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(oci_spec_parse(text, len, &spec, &err), code);
	assert_int_equal(err.code, code);
	assert_null(spec);
	if (message)
		assert_string_equal(err.text, message);
	else
		assert_true(err.text[0]);
}

static void spec_refuses_what_is_no_json(void **state)
{
	check_text("", 0, -EBADMSG, NULL);
	check_text("{\"ociVersion\":", 14, -EBADMSG, NULL);
	check_text("{} x", 4, -EBADMSG, NULL);
}

static void spec_refuses_a_top_that_is_no_object(void **state)
{
	check_text("[]", 2, -EINVAL, "field '(top)': expected an object, got an array");
	check_text("null", 4, -EINVAL, "field '(top)': expected an object, got null");
}

static void spec_refuses_one_byte_over_the_bound(void **state)
{
	_cleanup_free_ char *base = oci_case_text("pass-runc-spec.json");
	_cleanup_free_ char *text = malloc(OCI_SPEC_BYTES_MAX + 1);
	struct oci_spec *spec = NULL;

	assert_non_null(text);
	memset(text, ' ', OCI_SPEC_BYTES_MAX + 1);
	memcpy(text, base, strlen(base));
	check_text(text, OCI_SPEC_BYTES_MAX + 1, -EFBIG,
		   "configuration of 3145729 bytes exceeds 3145728");
	assert_int_equal(oci_spec_parse(text, OCI_SPEC_BYTES_MAX, &spec, NULL), 0);
	oci_spec_free(spec);
}

/* ---- bounds of lists ---- */

/* The base with an array of @n times @element at @path; the parse has to end with @code. */
static void check_count(const char *path, const char *element, size_t n, int code)
{
	_cleanup_json_ struct json *base = oci_case_json("pass-runc-spec.json");
	_cleanup_json_ struct json *list = json_new_array();
	_cleanup_json_ struct json *config = NULL;
	_cleanup_free_ char *text = NULL;
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;
	struct json *one;
	int r;

	assert_int_equal(json_parse(element, strlen(element), &one, NULL), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(json_append(list, json_ref(one)), 0);
	json_unref(one);
	config = oci_case_with(base, path, list);
	text = json_text(config, false);
	assert_non_null(text);
	r = oci_spec_parse(text, strlen(text), &spec, &err);
	if (r != code)
		fail_msg("%s with %zu entries: wanted %d, got %d %s", path, n, code, r, err.text);
	if (r == 0)
		oci_spec_free(spec);
	else
		assert_non_null(strstr(err.text, path));
}

static void spec_takes_lists_up_to_their_bound_and_no_longer(void **state)
{
	static const struct {
		const char *path, *element;
		size_t max;
	} lists[] = {
		{ "process.args", "\"a\"", OCI_ARGS_MAX },
		{ "process.env", "\"A=\"", OCI_ARGS_MAX },
		{ "process.user.additionalGids", "7", OCI_LIST_MAX },
		{ "process.capabilities.bounding", "\"CAP_KILL\"", OCI_LIST_MAX },
		{ "mounts", "{\"destination\":\"/a\",\"type\":\"tmpfs\"}", OCI_MOUNTS_MAX },
		{ "hooks.poststop", "{\"path\":\"/a\"}", OCI_LIST_MAX },
		{ "linux.uidMappings", "{\"containerID\":0,\"hostID\":0,\"size\":1}",
		  OCI_ID_MAPPINGS_MAX },
		{ "linux.devices", "{\"path\":\"/d\",\"type\":\"p\"}", OCI_LIST_MAX },
		{ "linux.maskedPaths", "\"/a\"", OCI_LIST_MAX },
		{ "linux.resources.devices", "{\"access\":\"r\"}", OCI_LIST_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		check_count(lists[i].path, lists[i].element, lists[i].max, 0);
		check_count(lists[i].path, lists[i].element, lists[i].max + 1, -E2BIG);
	}
}

/* An object with @n members, "<prefix><i>": "1". */
static struct json *numbered_members(const char *prefix, size_t n)
{
	struct json *obj = json_new_object();
	char key[64];

	assert_non_null(obj);
	for (size_t i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "%s%zu", prefix, i);
		assert_int_equal(json_set(obj, key, json_new_string("1")), 0);
	}
	return obj;
}

static int parse_with(const char *path, struct json *value, struct oci_spec **ret, struct err *err)
{
	_cleanup_json_ struct json *base = oci_case_json("pass-runc-spec.json");
	_cleanup_json_ struct json *config = oci_case_with(base, path, value);
	_cleanup_free_ char *text = json_text(config, false);

	assert_non_null(text);
	return oci_spec_parse(text, strlen(text), ret, err);
}

static void spec_takes_maps_up_to_their_bound_and_no_longer(void **state)
{
	static const struct {
		const char *path, *prefix;
	} maps[] = { { "annotations", "k" },
		     { "linux.sysctl", "net.k" },
		     { "linux.resources.unified", "memory.k" } };

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		_cleanup_json_ struct json *most = numbered_members(maps[i].prefix, OCI_LIST_MAX);
		_cleanup_json_ struct json *over = numbered_members(maps[i].prefix,
								    OCI_LIST_MAX + 1);
		struct oci_spec *spec = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(parse_with(maps[i].path, most, &spec, &err), 0);
		oci_spec_free(spec);
		assert_int_equal(parse_with(maps[i].path, over, &spec, &err), -E2BIG);
		assert_non_null(strstr(err.text, maps[i].path));
	}
}

static void seccomp_rules_and_their_arguments_are_bounded(void **state)
{
	_cleanup_json_ struct json *seccomp = NULL;
	_cleanup_json_ struct json *rules = json_new_array(), *args = json_new_array();
	static const char rule[] = "{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\"}";
	static const char arg[] = "{\"index\":0,\"op\":\"SCMP_CMP_EQ\"}";
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;
	struct json *one;

	for (size_t i = 0; i <= OCI_SECCOMP_ARGS_MAX; i++) {
		assert_int_equal(json_parse(arg, strlen(arg), &one, NULL), 0);
		assert_int_equal(json_append(args, one), 0);
	}
	assert_int_equal(json_parse(rule, strlen(rule), &one, NULL), 0);
	assert_int_equal(json_set(one, "args", json_ref(args)), 0);
	assert_int_equal(json_append(rules, one), 0);
	seccomp = json_new_object();
	assert_int_equal(json_set(seccomp, "defaultAction", json_new_string("SCMP_ACT_ALLOW")), 0);
	assert_int_equal(json_set(seccomp, "syscalls", json_ref(rules)), 0);
	assert_int_equal(parse_with("linux.seccomp", seccomp, &spec, &err), -E2BIG);
	assert_non_null(strstr(err.text, "linux.seccomp.syscalls[0].args"));

	for (size_t i = 0; i < OCI_SYSCALLS_MAX; i++) {
		assert_int_equal(json_parse(rule, strlen(rule), &one, NULL), 0);
		assert_int_equal(json_append(rules, one), 0);
	}
	assert_int_equal(parse_with("linux.seccomp", seccomp, &spec, &err), -E2BIG);
	assert_non_null(strstr(err.text, "'linux.seccomp.syscalls'"));
}

static void values_for_files_of_the_kernel_are_bounded(void **state)
{
	static const struct {
		const char *map, *key;
		size_t max;
	} files[] = { { "linux.sysctl", "net.x", 4096 }, { "linux.resources.unified", "memory.x", 4095 } };
	char value[4098];

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		for (size_t len = files[i].max; len <= files[i].max + 1; len++) {
			_cleanup_json_ struct json *map = json_new_object();
			struct oci_spec *spec = NULL;
			struct err err = ERR_INIT;

			memset(value, '1', len);
			value[len] = '\0';
			assert_int_equal(json_set(map, files[i].key, json_new_string(value)), 0);
			assert_int_equal(parse_with(files[i].map, map, &spec, &err),
					 len > files[i].max ? -EINVAL : 0);
			assert_true(!err.code || strstr(err.text, files[i].key));
			oci_spec_free(spec);
		}
	}
}

/* ---- what engines write ---- */

static const struct oci_mount *mount_at(const struct oci_spec *spec, const char *destination)
{
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (!strcmp(spec->mounts[i].destination, destination))
			return &spec->mounts[i];
	fail_msg("no mount at %s", destination);
	return NULL;
}

static void spec_of_runc_is_read_whole(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-runc-spec.json");
	const struct oci_process *p = &spec->process;

	assert_string_equal(spec->oci_version, "1.0.2-dev");
	assert_string_equal(spec->root_path, "rootfs");
	assert_true(spec->root_readonly);
	assert_string_equal(spec->hostname, "runc");
	assert_null(spec->domainname);
	assert_true(spec->has_process && p->terminal && p->no_new_privileges);
	assert_string_equal(p->args[0], "sh");
	assert_null(p->args[1]);
	assert_string_equal(p->env[1], "TERM=xterm");
	assert_null(p->env[2]);
	assert_string_equal(p->cwd, "/");
	assert_true(p->capabilities.present);
	assert_int_equal(p->capabilities.bounding, 1 << 29 | 1 << 5 | 1 << 10);
	assert_int_equal(p->capabilities.ambient, p->capabilities.bounding);
	assert_int_equal(p->capabilities.inheritable, 0);
	assert_int_equal(p->n_rlimits, 1);
	assert_int_equal(p->rlimits[0].resource, RLIMIT_NOFILE);
	assert_int_equal(p->rlimits[0].soft, 1024);
	assert_false(p->has_oom_score_adj || p->scheduler.present || p->io_priority.present);
	assert_int_equal(spec->n_mounts, 7);
	assert_int_equal(mount_at(spec, "/sys")->flags,
			 MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY);
	assert_string_equal(mount_at(spec, "/dev")->data, "mode=755,size=65536k");
	assert_null(mount_at(spec, "/proc")->options[0]);
	for (int ns = 0; ns < OCI_NS_COUNT; ns++)
		assert_int_equal(spec->namespaces[ns].present, ns <= OCI_NS_UTS);
	assert_int_equal(spec->resources.n_devices, 1);
	assert_false(spec->resources.devices[0].allow);
	assert_int_equal(spec->resources.devices[0].type, 'a');
	assert_int_equal(spec->resources.devices[0].major, -1);
	assert_string_equal(spec->masked_paths[0], "/proc/acpi");
	assert_string_equal(spec->readonly_paths[0], "/proc/bus");
	assert_false(spec->has_seccomp);
	assert_null(spec->ignored);
	oci_spec_free(spec);
}

static void rootless_spec_of_runc_has_its_id_mappings(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-runc-spec-rootless.json");

	assert_true(spec->namespaces[OCI_NS_USER].present);
	assert_false(spec->namespaces[OCI_NS_NETWORK].present);
	assert_int_equal(spec->n_uid_mappings, 1);
	assert_int_equal(spec->gid_mappings[0].size, 1);
	/* A bind of the host's /sys means the kernel's own, and that is the guest's. */
	assert_false(mount_at(spec, "/sys")->is_bind);
	assert_string_equal(mount_at(spec, "/sys")->type, "sysfs");
	oci_spec_free(spec);
}

static void spec_of_crun_is_taken(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-crun-spec.json");

	assert_string_equal(spec->process.args[0], "sh");
	assert_null(spec->ignored);
	oci_spec_free(spec);
}

static void check_docker_seccomp(const struct oci_seccomp *s)
{
	const struct oci_seccomp_rule *clone3 = &s->rules[s->n_rules - 1], *clone = clone3 - 1;

	assert_string_equal(s->default_action, "SCMP_ACT_ERRNO");
	assert_true(s->has_default_errno_ret);
	assert_int_equal(s->default_errno_ret, 1);
	assert_string_equal(s->architectures[2], "SCMP_ARCH_X32");
	assert_null(s->architectures[3]);
	assert_null(s->flags);
	assert_string_equal(clone3->names[0], "clone3");
	assert_int_equal(clone3->errno_ret, 38);
	assert_int_equal(clone->n_args, 1);
	assert_int_equal(clone->args[0].value, 2114060288);
	assert_string_equal(clone->args[0].op, "SCMP_CMP_MASKED_EQ");
	assert_false(clone->has_errno_ret);
}

static void spec_of_docker_is_read_whole(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-docker.json");
	const struct oci_resources *r = &spec->resources;

	assert_true(spec->has_seccomp);
	check_docker_seccomp(&spec->seccomp);
	assert_int_equal(spec->process.console_rows, 50);
	assert_int_equal(spec->process.console_columns, 212);
	assert_int_equal(spec->process.user.n_additional_gids, 11);
	assert_int_equal(spec->process.user.additional_gids[10], 27);
	assert_true(spec->process.rlimits[1].hard == UINT64_MAX);
	assert_true(mount_at(spec, "/etc/hosts")->is_recursive_bind);
	assert_int_equal(mount_at(spec, "/etc/hosts")->propagation[0], MS_PRIVATE | MS_REC);
	assert_string_equal(mount_at(spec, "/dev/pts")->data,
			    "newinstance,ptmxmode=0666,mode=0620,gid=5");
	assert_int_equal(spec->n_hooks[OCI_HOOK_PRESTART], 1);
	assert_string_equal(spec->hooks[OCI_HOOK_PRESTART][0].args[0], "libnetwork-setkey");
	assert_int_equal(spec->hooks[OCI_HOOK_PRESTART][0].timeout_s, 0);
	assert_int_equal(spec->n_sysctl, 2);
	assert_int_equal(r->memory_limit, 268435456);
	assert_int_equal(r->memory_swap, 536870912);
	assert_int_equal(r->cpu_shares, 512);
	assert_int_equal(r->cpu_quota, 50000);
	assert_string_equal(r->cpuset_cpus, "0-1");
	assert_int_equal(r->pids_limit, 100);
	assert_int_equal(r->n_devices, 8);
	assert_true(r->devices[1].allow && r->devices[1].read && r->devices[1].mknod);
	assert_int_equal(r->n_io_limits[OCI_IO_READ_BPS], 1);
	assert_int_equal(r->io_limits[OCI_IO_READ_BPS][0].rate, 1048576);
	assert_string_equal(spec->ignored[0], "linux.resources.cpu.realtimeRuntime");
	assert_null(spec->ignored[2]);
	oci_spec_free(spec);
}

static void spec_of_podman_is_read_whole(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-podman.json");

	assert_int_equal(spec->process.user.uid, 1000);
	assert_true(spec->process.user.has_umask);
	assert_int_equal(spec->process.user.umask, 022);
	assert_int_equal(spec->process.capabilities.effective, 0);
	assert_string_equal(spec->namespaces[OCI_NS_NETWORK].path,
			    "/run/netns/netns-2f9a5f0e-9d1e-7c6b-3e3f-0d8a7b6c5d4e");
	assert_int_equal(spec->uid_mappings[0].host_id, 100000);
	assert_int_equal(spec->devices[0].file_mode, 0666);
	assert_string_equal(spec->rootfs_propagation, "rslave");
	assert_null(spec->mount_label);
	assert_string_equal(spec->seccomp.flags[0], "SECCOMP_FILTER_FLAG_LOG");
	assert_true(mount_at(spec, "/run/lock")->copy_up);
	assert_int_equal(mount_at(spec, "/run/lock")->cleared_flags, MS_RDONLY);
	assert_string_equal(oci_annotation(spec, "io.container.manager"), "libpod");
	assert_null(oci_annotation(spec, "io.container"));
	assert_int_equal(spec->n_hooks[OCI_HOOK_CREATE_RUNTIME], 0);
	assert_int_equal(spec->hooks[OCI_HOOK_POSTSTOP][0].timeout_s, 10);
	assert_string_equal(spec->hooks[OCI_HOOK_POSTSTOP][0].env[0], "PATH=/usr/bin");
	assert_string_equal(spec->resources.unified[0], "memory.high=100M");
	assert_string_equal(spec->resources.unified[1], "io.max=8:0 rbps=1048576");
	assert_null(spec->resources.unified[2]);
	oci_spec_free(spec);
}

static void spec_of_containerd_takes_null_for_absent(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-containerd-cri.json");

	assert_null(spec->hostname);
	assert_false(spec->has_seccomp);
	assert_int_equal(spec->n_sysctl, 0);
	assert_int_equal(spec->process.console_rows, 0);
	assert_int_equal(spec->process.oom_score_adj, 999);
	assert_string_equal(spec->namespaces[OCI_NS_IPC].path, "/proc/4242/ns/ipc");
	assert_string_equal(spec->resources.hugepage_limits[1].page_size, "1GB");
	assert_true(spec->resources.has_memory_limit);
	oci_spec_free(spec);
}

/* ---- members that no engine of the above sets ---- */

static void check_every_resource(const struct oci_resources *r)
{
	assert_int_equal(r->memory_limit, -1);
	assert_true(r->memory_reservation == INT64_MAX && r->disable_oom_killer &&
		    r->check_before_update);
	assert_true(r->cpu_shares == UINT64_MAX);
	assert_true(r->has_cpu_period && r->has_cpu_burst && r->has_cpu_idle && r->has_pids_limit);
	assert_int_equal(r->cpu_burst, 7);
	assert_int_equal(r->cpu_idle, 1);
	assert_null(r->cpuset_mems);
	assert_int_equal(r->blkio_weight, 10);
	assert_int_equal(r->io_weights[0].weight, 1000);
	assert_true(r->io_limits[OCI_IO_WRITE_BPS][0].rate == UINT64_MAX);
	assert_int_equal(r->io_limits[OCI_IO_READ_IOPS][0].rate, 600);
	assert_int_equal(r->n_io_limits[OCI_IO_WRITE_IOPS], 2);
	assert_int_equal(r->io_limits[OCI_IO_WRITE_IOPS][1].minor, 1);
	assert_null(r->unified);
}

static void check_every_process_member(const struct oci_process *p)
{
	assert_true(p->user.uid == 4294967294 && p->user.gid == 4294967294);
	assert_int_equal(p->scheduler.policy, 6);
	assert_int_equal(p->scheduler.nice, -20);
	assert_int_equal(p->scheduler.flags, 5);
	assert_int_equal(p->scheduler.deadline_ns, 2000000);
	assert_true(p->io_priority.present);
	assert_int_equal(p->io_priority.class, 3);
	assert_int_equal(p->io_priority.priority, 7);
	assert_int_equal(p->capabilities.bounding, 1 << 12);
	assert_int_equal(p->capabilities.ambient, 1 << 13);
	assert_int_equal(p->oom_score_adj, -1000);
	assert_null(p->env[0]);
}

static void every_member_reaches_its_place(void **state)
{
	struct oci_spec *spec = oci_case_load("pass-every-member.json");

	check_every_process_member(&spec->process);
	check_every_resource(&spec->resources);
	assert_true(spec->monotonic_offset.present && spec->boottime_offset.present);
	assert_int_equal(spec->monotonic_offset.secs, -172800);
	assert_int_equal(spec->monotonic_offset.nanosecs, 999999999);
	assert_int_equal(spec->personality, PER_LINUX32);
	assert_int_equal(spec->devices[0].type, 'p');
	assert_int_equal(spec->devices[0].gid, 8);
	assert_false(spec->devices[0].has_mode);
	assert_int_equal(spec->devices[1].major, 4095);
	assert_string_equal(spec->sysctl[0].key, "net.ipv4.ip_forward");
	assert_string_equal(spec->mounts[0].destination, "tmp");
	assert_null(spec->mounts[0].data);
	assert_non_null(spec->seccomp.flags);
	assert_null(spec->seccomp.flags[0]);
	assert_true(spec->seccomp.rules[0].args[0].value == UINT64_MAX);
	assert_true(spec->seccomp.rules[0].args[0].value_two == UINT64_MAX);
	assert_int_equal(spec->seccomp.rules[0].errno_ret, 65535);
	oci_spec_free(spec);
}

static bool is_ignored(const struct oci_spec *spec, const char *name)
{
	for (size_t i = 0; spec->ignored && spec->ignored[i]; i++)
		if (!strcmp(spec->ignored[i], name))
			return true;
	return false;
}

static void ignored_fields_are_named(void **state)
{
	static const char *const names[] = {
		"newTop",
		"windows",
		"vm",
		"solaris",
		"zos",
		"process.user.username",
		"process.commandLine",
		"process.capabilities.bounding[1].CAP_FROM_THE_FUTURE",
		"mounts[0].x",
		"linux.futureField",
		"linux.uidMappings",
		"linux.personality.flags",
		"linux.resources.memory.swappiness",
		"linux.resources.memory.kernel",
		"linux.resources.memory.kernelTCP",
		"linux.resources.memory.useHierarchy",
		"linux.resources.cpu.realtimePeriod",
		"linux.resources.blockIO.leafWeight",
		"linux.resources.blockIO.weightDevice[0].leafWeight",
		"linux.resources.network",
		"linux.seccomp.listenerMetadata",
	};
	struct oci_spec *spec = oci_case_load("pass-every-member.json");
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!is_ignored(spec, names[i]))
			fail_msg("%s is not in the list", names[i]);
	while (spec->ignored[n])
		n++;
	assert_int_equal(n, ARRAY_SIZE(names));
	oci_spec_free(spec);
}

static void ignored_fields_are_bounded_and_printable(void **state)
{
	_cleanup_json_ struct json *root = oci_case_json("pass-runc-spec.json");
	_cleanup_free_ char *text = NULL;
	struct oci_spec *spec;
	char key[512];
	size_t n = 0;

	memset(key, 'x', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	key[0] = '\n';
	assert_int_equal(json_set(root, key, json_new_bool(true)), 0);
	for (int i = 0; i < 80; i++) {
		snprintf(key, sizeof(key), "unknown%d", i);
		assert_int_equal(json_set(root, key, json_new_bool(true)), 0);
	}
	text = json_text(root, false);
	spec = oci_case_parse(text);
	for (; spec->ignored[n]; n++) {
		assert_true(strlen(spec->ignored[n]) < 128);
		assert_null(strchr(spec->ignored[n], '\n'));
	}
	assert_int_equal(n, OCI_IGNORED_MAX);
	oci_spec_free(spec);
}

static void seccomp_without_action_and_rules_means_none(void **state)
{
	static const char *const texts[] = { "{}", "{\"defaultAction\":\"\"}", "{\"syscalls\":[]}",
					     "{\"defaultAction\":\"\",\"syscalls\":[]}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_json_ struct json *seccomp = NULL;
		struct oci_spec *spec = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(json_parse(texts[i], strlen(texts[i]), &seccomp, NULL), 0);
		if (parse_with("linux.seccomp", seccomp, &spec, &err) < 0)
			fail_msg("%s: %s", texts[i], err.text);
		assert_false(spec->has_seccomp);
		oci_spec_free(spec);
	}
}

static void spec_without_process_says_so(void **state)
{
	struct oci_spec *spec = NULL;

	assert_int_equal(parse_with("process", NULL, &spec, NULL), 0);
	assert_false(spec->has_process);
	oci_spec_free(spec);
}

/* ---- the parts alone ---- */

static void process_alone_is_read_and_refused(void **state)
{
	static const char good[] =
		"{\"args\":[\"id\"],\"cwd\":\"/\",\"terminal\":true,\"extra\":1}";
	static const char bad[] = "{\"args\":[\"id\"],\"cwd\":\"x\"}";
	static const char twice[] =
		"{\"args\":[\"id\"],\"cwd\":\"/"
		"\",\"rlimits\":[{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1},"
		"{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1}]}";
	struct oci_process *process = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(oci_process_parse(good, strlen(good), &process, &err), 0);
	assert_true(process->terminal);
	assert_false(process->capabilities.present);
	assert_null(process->env[0]);
	oci_process_free(process);
	process = NULL;
	assert_int_equal(oci_process_parse(bad, strlen(bad), &process, &err), -EINVAL);
	assert_string_equal(err.text, "field 'process.cwd': must be an absolute path, got 'x'");
	assert_int_equal(oci_process_parse(twice, strlen(twice), &process, &err), -EINVAL);
	assert_string_equal(err.text, "field 'process.rlimits[1]': the same type was given before");
	assert_int_equal(oci_process_parse("{", 1, &process, &err), -EBADMSG);
	assert_int_equal(oci_process_parse(good, OCI_SPEC_BYTES_MAX + 1, &process, &err), -EFBIG);
	assert_null(process);
	oci_process_free(NULL);
}

static void resources_alone_are_read_and_refused(void **state)
{
	static const char good[] = "{\"memory\":{\"limit\":5,\"swap\":5},\"network\":{}}";
	static const char bad[] = "{\"memory\":{\"limit\":5,\"swap\":4}}";
	struct oci_resources *r = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(oci_resources_parse(good, strlen(good), &r, &err), 0);
	assert_true(r->has_memory_limit && r->has_memory_swap && !r->has_memory_reservation);
	assert_int_equal(r->memory_swap, 5);
	oci_resources_free(r);
	r = NULL;
	assert_int_equal(oci_resources_parse(bad, strlen(bad), &r, &err), -EINVAL);
	assert_string_equal(err.text,
			    "field 'linux.resources.memory.swap': memory+swap of 4 bytes is below "
			    "the memory limit of 5");
	assert_int_equal(oci_resources_parse("7", 1, &r, &err), -EINVAL);
	assert_int_equal(oci_resources_parse("", 0, &r, &err), -EBADMSG);
	assert_int_equal(oci_resources_parse(good, OCI_SPEC_BYTES_MAX + 1, &r, &err), -EFBIG);
	assert_null(r);
	oci_resources_free(NULL);
	oci_spec_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spec_refuses_what_is_wrong_at_the_top),
		cmocka_unit_test(spec_refuses_processes_by_field),
		cmocka_unit_test(spec_refuses_mounts_by_field),
		cmocka_unit_test(spec_refuses_hooks_by_field),
		cmocka_unit_test(spec_refuses_linux_settings_by_field),
		cmocka_unit_test(spec_refuses_resources_by_field),
		cmocka_unit_test(spec_refuses_seccomp_by_field),
		cmocka_unit_test(spec_refuses_what_is_no_json),
		cmocka_unit_test(spec_refuses_a_top_that_is_no_object),
		cmocka_unit_test(spec_refuses_one_byte_over_the_bound),
		cmocka_unit_test(spec_takes_lists_up_to_their_bound_and_no_longer),
		cmocka_unit_test(spec_takes_maps_up_to_their_bound_and_no_longer),
		cmocka_unit_test(seccomp_rules_and_their_arguments_are_bounded),
		cmocka_unit_test(values_for_files_of_the_kernel_are_bounded),
		cmocka_unit_test(spec_of_runc_is_read_whole),
		cmocka_unit_test(rootless_spec_of_runc_has_its_id_mappings),
		cmocka_unit_test(spec_of_crun_is_taken),
		cmocka_unit_test(spec_of_docker_is_read_whole),
		cmocka_unit_test(spec_of_podman_is_read_whole),
		cmocka_unit_test(spec_of_containerd_takes_null_for_absent),
		cmocka_unit_test(every_member_reaches_its_place),
		cmocka_unit_test(ignored_fields_are_named),
		cmocka_unit_test(ignored_fields_are_bounded_and_printable),
		cmocka_unit_test(seccomp_without_action_and_rules_means_none),
		cmocka_unit_test(spec_without_process_says_so),
		cmocka_unit_test(process_alone_is_read_and_refused),
		cmocka_unit_test(resources_alone_are_read_and_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
