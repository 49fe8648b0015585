/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/machine.h"

void machine_shape(const struct config *config, enum vm_accel accel, unsigned int vcpus,
		   uint64_t memory_mib, struct vm_config *ret)
{
	*ret = (struct vm_config){
		.name = "template",
		.vmm_path = config->vmm,
		.kernel = config->kernel,
		.initrd = config->initrd,
		.accel = accel,
		.vcpus = vcpus,
		.memory_mib = memory_mib,
		.debug = config->debug,
		.share_fd = -1,
		.state_dirfd = -1,
	};
}
