/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/hypervisor.h"

#include <errno.h>
#include <string.h>

#include "hypervisor/vm.h"

const struct vm_driver *const vm_drivers[] = { &qemu_driver, NULL };

const char *vm_accel_name(enum vm_accel accel)
{
	return accel == VM_ACCEL_KVM ? "kvm" : "tcg";
}

const struct vm_driver *vm_driver_find(const char *name)
{
	for (size_t i = 0; vm_drivers[i]; i++)
		if (strcmp(vm_drivers[i]->name, name) == 0)
			return vm_drivers[i];
	return NULL;
}

int vm_create(const struct vm_driver *driver, struct loop *loop, const struct vm_config *config,
	      const struct vm_events *events, void *userdata, struct vm **ret, struct err *err)
{
	return driver->create(loop, config, events, userdata, ret, err);
}

void vm_destroy(struct vm *vm)
{
	if (vm)
		vm->driver->destroy(vm);
}

int vm_agent_fd(struct vm *vm)
{
	return vm->driver->agent_fd(vm);
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->driver->pid(vm);
}

int vm_add_device(struct vm *vm, const struct vm_device *device, vm_done_fn done, void *userdata,
		  struct err *err)
{
	return vm->driver->add_device(vm, device, done, userdata, err);
}

int vm_remove_device(struct vm *vm, const char *id, vm_done_fn done, void *userdata,
		     struct err *err)
{
	return vm->driver->remove_device(vm, id, done, userdata, err);
}

int vm_save(struct vm *vm, int state_fd, vm_done_fn done, void *userdata, struct err *err)
{
	if (!vm->driver->save)
		return err_set(err, -EOPNOTSUPP, "driver '%s' cannot save a virtual machine",
			       vm->driver->name);
	return vm->driver->save(vm, state_fd, done, userdata, err);
}

int vm_describe(const struct vm_driver *driver, const struct vm_config *config, char **ret,
		struct err *err)
{
	if (!driver->describe)
		return err_set(err, -EOPNOTSUPP, "driver '%s' cannot save a virtual machine",
			       driver->name);
	return driver->describe(config, ret, err);
}

size_t vm_console_tail(struct vm *vm, char *buf, size_t size)
{
	return vm->driver->console_tail(vm, buf, size);
}

size_t vm_memory_ranges(const struct vm_driver *driver, uint64_t memory_mib,
			struct vm_memory_range ranges[VM_MEMORY_RANGES_MAX])
{
	return driver->memory_ranges ? driver->memory_ranges(memory_mib, ranges) : 0;
}
