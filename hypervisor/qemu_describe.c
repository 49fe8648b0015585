/* SPDX-License-Identifier: Apache-2.0 */
#include "hypervisor/qemu_describe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "hypervisor/qemu_cmdline.h"

/* Raised when the agent or we do something else with a saved machine than before. */
#define FORMAT 1
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES_MAX 64

static int add_file(FILE *f, const char *what, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set_errno(err, -errno, "%s '%s'", what, path);
	fprintf(f, "%s %s %llu:%llu %lld %lld.%09ld %lld.%09ld\n", what, path,
		(unsigned long long)st.st_dev, (unsigned long long)st.st_ino, (long long)st.st_size,
		(long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
		st.st_ctim.tv_nsec);
	return 0;
}

/* A saved machine knows the host's CPU and its clock: another boot may have others. */
static int add_boot(FILE *f, struct err *err)
{
	_cleanup_free_ char *id = NULL;
	size_t len;
	int r = io_read_file(AT_FDCWD, BOOT_ID_PATH, BOOT_ID_BYTES_MAX, &id, &len);

	if (r < 0)
		return err_set_errno(err, r, "read '%s'", BOOT_ID_PATH);
	fprintf(f, "boot %s", id);
	return 0;
}

static int add_arguments(FILE *f, const struct vm_config *config, struct err *err)
{
	const struct qemu_cmdline_fds fds = {
		.qmp = 3, .console = 4, .agent = 5, .share = -1, .memory = 6
	};
	struct vm_config general = *config;
	char **argv;
	int r;

	general.name = "saved";
	general.share_fd = -1;
	general.restore = NULL;
	r = qemu_cmdline_build(&general, &fds, 0, &argv, err);
	if (r < 0)
		return r;
	for (size_t i = 0; argv[i]; i++)
		fprintf(f, "%s\n", argv[i]);
	qemu_cmdline_free(argv);
	return 0;
}

static int describe(FILE *f, const struct vm_config *config, struct err *err)
{
	const struct {
		const char *what, *path;
	} files[] = {
		{ "vmm", config->vmm_path },
		{ "kernel", config->kernel },
		{ "initrd", config->initrd },
	};
	int r = 0;

	fprintf(f, "qemu %d\n", FORMAT);
	for (size_t i = 0; i < ARRAY_SIZE(files) && r == 0; i++)
		r = add_file(f, files[i].what, files[i].path, err);
	if (r == 0)
		r = add_boot(f, err);
	return r < 0 ? r : add_arguments(f, config, err);
}

int qemu_describe(const struct vm_config *config, char **ret, struct err *err)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int r;

	if (!f)
		return err_set_errno(err, -ENOMEM, "describe the virtual machine");
	r = describe(f, config, err);
	if (fclose(f) != 0 && r == 0)
		r = err_set_errno(err, -ENOMEM, "describe the virtual machine");
	if (r < 0) {
		free(text);
		return r;
	}
	*ret = text;
	return 0;
}
