/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/machine.h"

#include "shim/machine_size.h"

void machine_shape(const struct config *config, enum vm_accel accel, unsigned int vcpus,
		   uint64_t memory_mib, struct vm_config *ret)
{
	struct machine_size boot = { memory_mib, vcpus }, built;
	struct machine_bounds bounds;

	machine_bounds_of(config, &bounds);
	built = machine_size_built(&bounds, &boot);
	*ret = (struct vm_config){
		.name = "template",
		.vmm_path = config->vmm,
		.kernel = config->kernel,
		.initrd = config->initrd,
		.accel = accel,
		.vcpus = vcpus,
		.vcpus_max = built.vcpus,
		.memory_mib = memory_mib,
		.memory_max_mib = built.memory_mib,
		.debug = config->debug,
		.share_fd = -1,
		.state_dirfd = -1,
	};
}
