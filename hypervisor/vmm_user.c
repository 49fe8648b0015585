/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/vmm_user.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/io.h"

/* A map has 340 lines of three numbers at most (user_namespaces(7)). */
#define MAP_BYTES_MAX (340 * 36)
#define KVM_DEVICE "/dev/kvm"

bool vmm_user_is_mapped(const char *text, uint32_t id)
{
	uint32_t inside, outside, count;
	int n;

	for (; sscanf(text, "%" SCNu32 " %" SCNu32 " %" SCNu32 "%n", &inside, &outside, &count, &n) == 3; text += n)
		if (id >= inside && id - inside < count)
			return true;
	return false;
}

static bool is_mapped(const char *path, uint32_t id)
{
	_cleanup_free_ char *text = NULL;

	return io_read_file(AT_FDCWD, path, MAP_BYTES_MAX, &text, NULL) >= 0 && vmm_user_is_mapped(text, id);
}

static bool has_capabilities(void)
{
	static const unsigned int wanted = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & wanted) == wanted;
}

int vmm_user_device_group(const char *path, gid_t *ret)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	if ((st.st_mode & (S_IROTH | S_IWOTH)) == (S_IROTH | S_IWOTH))
		return 0;
	if ((st.st_mode & (S_IRGRP | S_IWGRP)) != (S_IRGRP | S_IWGRP))
		return -EACCES;
	*ret = st.st_gid;
	return 1;
}

/* 0: it stays the caller's. */
static uint32_t own_number(void)
{
	uint32_t id = VMM_USER_FIRST + (uint32_t)getpid() % VMM_USER_COUNT;

	return has_capabilities() && is_mapped("/proc/self/uid_map", id) && is_mapped("/proc/self/gid_map", id) ? id : 0;
}

int vmm_user_set(const struct vm_config *config, struct jail *jail, struct err *err)
{
	int r;

	jail->user = own_number();
	if (jail->user == 0)
		return 0;
	if (config->accel == VM_ACCEL_KVM) {
		r = vmm_user_device_group(KVM_DEVICE, &jail->group);
		if (r < 0)
			return err_set_errno(err, r, "'%s': a VMM has a user of its own, and only a group can let it in: "
					     "chgrp kvm and chmod 660", KVM_DEVICE);
		jail->with_group = r == 1;
	}
	if (config->memory_file && fchown(*config->memory_file, jail->user, (gid_t)-1) < 0)
		return err_set_errno(err, -errno, "give the memory's file to the VMM");
	return 0;
}
