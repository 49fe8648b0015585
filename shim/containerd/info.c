/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/json.h"
#include "common/proto/shim.pb-c.h"
#include "shim/config.h"
#include "shim/containerd/actions.h"
#include "shim/containerd/bootstrap.h"
#include "shim/runtime/features.h"
#include "shim/task_disk_plan.h"

#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

/* What containerd's mount manager, from 2.2 on, is to leave to the shim: whole types, those of task_disk_plan.c. */
static Containerd__Shim__Annotation allow_mounts = {
	.base = PROTOBUF_C_MESSAGE_INIT(&containerd__shim__annotation__descriptor),
	.key = (char *)(uintptr_t)"containerd.io/runtime-allow-mounts",
	.value = (char *)(uintptr_t)TASK_DISK_MANAGED_TYPES,
};

/* Whether the configuration wants them. People who try this at a terminal are not asked for options. */
static int wants_disks(const struct shim_flags *flags, struct err *err)
{
	_cleanup_(config_free_p) struct config *config = NULL;
	_cleanup_(bootstrap_finish) struct bootstrap options = { 0 };
	_cleanup_free_ char *data = NULL;
	size_t len = 0;
	int r = 0;

	if (!isatty(STDIN_FILENO))
		r = io_read_fd(STDIN_FILENO, BOOTSTRAP_BYTES_MAX, &data, &len);
	if (r < 0)
		return err_set_errno(err, r, "stdin");
	r = data ? bootstrap_parse(data, len, "", "", &options, err) : 0;
	if (r >= 0)
		r = config_load(options.config_path, &config, err);
	return r < 0 ? r : config->rootfs_disks;
}

int shim_info(const struct shim_flags *flags, struct err *err)
{
	Containerd__Shim__Annotation *annotations[] = { &allow_mounts };
	Containerd__Shim__RuntimeInfo info = CONTAINERD__SHIM__RUNTIME_INFO__INIT;
	Containerd__Shim__RuntimeVersion version = CONTAINERD__SHIM__RUNTIME_VERSION__INIT;
	Containerd__Task__V2__Any features = CONTAINERD__TASK__V2__ANY__INIT;
	_cleanup_json_ struct json *j = features_json();
	_cleanup_free_ char *text = j ? json_text(j, false) : NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	int r = wants_disks(flags, err);
	size_t len;

	if (r < 0)
		return r;
	info.annotations = annotations;
	info.n_annotations = (size_t)r;
	if (!text)
		return err_set_errno(err, -ENOMEM, "features");
	version.version = (char *)(uintptr_t)ONGGI_VERSION;
	features.type_url = (char *)(uintptr_t)FEATURES_TYPE;
	features.value = (ProtobufCBinaryData){ .data = (uint8_t *)text, .len = strlen(text) };
	info.name = (char *)(uintptr_t)"io.containerd.onggi.v2";
	info.version = &version;
	info.features = &features;
	len = containerd__shim__runtime_info__get_packed_size(&info);
	bytes = malloc(len + 1);
	if (!bytes)
		return err_set_errno(err, -ENOMEM, "features");
	containerd__shim__runtime_info__pack(&info, bytes);
	r = io_write_all(STDOUT_FILENO, bytes, len);
	return r < 0 ? err_set_errno(err, r, "stdout") : 0;
}
