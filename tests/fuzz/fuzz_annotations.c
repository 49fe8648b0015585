/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tenants write into annotations, as lines of key=value, against a configuration that allows none and one that
 * allows all that can be allowed: paths and programs never change, numbers stay within their bounds.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/config.h"
#include "shim/machine_size.h"

#define ANNOTATIONS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t split(char *text, struct oci_string_pair *pairs, bool *ret_ours)
{
	size_t n = 0;

	*ret_ours = false;
	for (char *line = strtok(text, "\n"); line && n < ANNOTATIONS_MAX; line = strtok(NULL, "\n")) {
		char *equals = strchr(line, '=');

		if (!equals)
			continue;
		*equals = '\0';
		pairs[n++] = (struct oci_string_pair){ line, equals + 1 };
		*ret_ours |= !strncmp(line, CONFIG_ANNOTATION_PREFIX, strlen(CONFIG_ANNOTATION_PREFIX));
	}
	return n;
}

static void check_annotate(const struct oci_spec *spec, bool ours, bool allow)
{
	static char kernel[] = "/k", initrd[] = "/i", vmm[] = "/v", accel[] = "kvm", dir[] = "/t";
	struct config c = { .kernel = kernel, .initrd = initrd, .vmm = vmm, .accel = accel, .template_dir = dir,
			    .memory_mib = 256, .vcpus = 1, .template = strdup("on"),
			    .annotations = allow ? UINT64_MAX : 0 };
	struct err err = ERR_INIT;
	int r = config_annotate(&c, spec, &err);

	assert(r == 0 || r == -EPERM || r == -EINVAL);
	assert(r == 0 || err.text[0]);
	assert(allow || r == (ours ? -EPERM : 0));
	assert(c.kernel == kernel && c.initrd == initrd && c.vmm == vmm && c.accel == accel && c.template_dir == dir);
	assert(!c.file_server && !c.driver && !c.debug && !c.vhost_net && !c.memory_max_mib && !c.vcpus_max);
	assert(c.memory_mib >= 64 && c.memory_mib <= CONFIG_ANNOTATION_MEMORY_MIB_MAX);
	assert(c.vcpus >= 1 && c.vcpus <= 64);
	assert(!strcmp(c.template, "on") || !strcmp(c.template, "off"));
	assert(allow || (c.memory_mib == 256 && c.vcpus == 1 && !strcmp(c.template, "on")));
	free(c.template);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct machine_size base = { 256, 1 }, max = { UINT64_MAX, UINT32_MAX };
	struct oci_string_pair pairs[ANNOTATIONS_MAX];
	struct oci_spec spec = { .annotations = pairs };
	struct machine_need need;
	struct machine_size built;
	char *text = strndup((const char *)data, size);
	bool ours;

	if (!text)
		return 0;
	spec.n_annotations = split(text, pairs, &ours);
	check_annotate(&spec, ours, false);
	check_annotate(&spec, ours, true);
	need = machine_need_of_pod(&spec);
	built = machine_size_for(&base, &max, &need, 1);
	assert(built.memory_mib >= 256 && built.memory_mib <= 1u << 20 && built.vcpus >= 1 && built.vcpus <= 64);
	free(text);
	return 0;
}
