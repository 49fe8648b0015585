/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI parser against arbitrary text. The first byte chooses what is read: 's' (or any other) a whole
 * specification, 'p' a process, 'r' resources. Promises that hold for whatever was accepted are checked, so
 * that a wrong acceptance is found and not only a crash.
 */
#include <assert.h>
#include <string.h>
#include <sys/resource.h>

#include "common/json.h"
#include "common/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_verdict(int r, const struct err *err, bool got)
{
	assert(r <= 0 && (r == 0) == got);
	if (r == 0)
		return;
	assert(err->code == r && err->text[0] && memchr(err->text, '\0', sizeof(err->text)));
}

static void check_process(const struct oci_process *p)
{
	uint32_t seen = 0;

	assert(p->args && p->args[0] && p->args[0][0]);
	assert(p->cwd && p->cwd[0] == '/');
	for (size_t i = 0; p->env[i]; i++)
		assert(strchr(p->env[i], '=') > p->env[i]);
	assert(p->user.uid != UINT32_MAX && p->user.gid != UINT32_MAX);
	assert(!(p->capabilities.bounding >> 41) && !(p->capabilities.ambient >> 41));
	for (size_t i = 0; i < p->n_rlimits; i++) {
		assert(p->rlimits[i].resource >= 0 && p->rlimits[i].resource < RLIM_NLIMITS);
		assert(p->rlimits[i].soft <= p->rlimits[i].hard);
		assert(!(seen & 1u << p->rlimits[i].resource));
		seen |= 1u << p->rlimits[i].resource;
	}
}

static void check_resources(const struct oci_resources *r)
{
	assert(r->memory_limit >= -1 && r->cpu_quota >= -1 && r->pids_limit >= -1);
	assert(!r->cpuset_cpus || !strpbrk(r->cpuset_cpus, "/\n "));
	for (size_t i = 0; i < r->n_devices; i++)
		assert(strchr("abc", r->devices[i].type) &&
		       (r->devices[i].read || r->devices[i].write || r->devices[i].mknod));
	for (size_t i = 0; i < r->n_hugepage_limits; i++)
		assert(!strpbrk(r->hugepage_limits[i].page_size, "/."));
	for (size_t i = 0; r->unified && r->unified[i]; i++) {
		size_t name = strcspn(r->unified[i], "=");

		assert(r->unified[i][name] == '=' && !memchr(r->unified[i], '/', name));
	}
}

static void check_spec(const struct oci_spec *spec)
{
	size_t n = 0;

	assert(!strncmp(spec->oci_version, "1.", 2) && spec->root_path && spec->root_path[0]);
	if (spec->has_process)
		check_process(&spec->process);
	check_resources(&spec->resources);
	for (size_t i = 0; i < spec->n_mounts; i++) {
		assert(spec->mounts[i].destination && spec->mounts[i].options);
		assert(spec->mounts[i].n_propagation <= OCI_PROPAGATION_MAX);
		assert(!(spec->mounts[i].flags & spec->mounts[i].cleared_flags));
	}
	for (size_t i = 0; i < spec->n_sysctl; i++)
		assert(!strpbrk(spec->sysctl[i].key, "/=+,\n") &&
		       !strstr(spec->sysctl[i].key, "..") && !strchr(spec->sysctl[i].value, '\n'));
	for (size_t i = 0; spec->masked_paths && spec->masked_paths[i]; i++)
		assert(spec->masked_paths[i][0] == '/');
	for (int kind = 0; kind < OCI_HOOK_COUNT; kind++)
		for (size_t i = 0; i < spec->n_hooks[kind]; i++)
			assert(spec->hooks[kind][i].path[0] == '/' &&
			       spec->hooks[kind][i].timeout_s >= 0);
	for (size_t i = 0; spec->has_seccomp && i < spec->seccomp.n_rules; i++)
		assert(spec->seccomp.rules[i].names[0] && spec->seccomp.rules[i].action);
	while (spec->ignored && spec->ignored[n])
		n++;
	assert(n <= OCI_IGNORED_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct oci_resources *resources = NULL;
	struct oci_process *process = NULL;
	struct oci_spec *spec = NULL;
	struct err err = ERR_INIT;
	const char *text;
	size_t len;
	int r;

	if (!size)
		return 0;
	text = (const char *)data + 1;
	len = size - 1;
	if (data[0] == 'p') {
		r = oci_process_parse(text, len, &process, &err);
		check_verdict(r, &err, process);
		if (process)
			check_process(process);
		oci_process_free(process);
	} else if (data[0] == 'r') {
		r = oci_resources_parse(text, len, &resources, &err);
		check_verdict(r, &err, resources);
		if (resources)
			check_resources(resources);
		oci_resources_free(resources);
	} else {
		r = oci_spec_parse(text, len, &spec, &err);
		check_verdict(r, &err, spec);
		if (spec)
			check_spec(spec);
		oci_spec_free(spec);
	}
	return 0;
}
