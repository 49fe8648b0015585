/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "common/io.h"
#include "common/json.h"
#include "common/proto/shim.pb-c.h"
#include "shim/containerd/actions.h"
#include "shim/runtime/features.h"

#define FEATURES_TYPE "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

int shim_info(const struct shim_flags *flags, struct err *err)
{
	Containerd__Shim__RuntimeInfo info = CONTAINERD__SHIM__RUNTIME_INFO__INIT;
	Containerd__Shim__RuntimeVersion version = CONTAINERD__SHIM__RUNTIME_VERSION__INIT;
	Containerd__Task__V2__Any features = CONTAINERD__TASK__V2__ANY__INIT;
	_cleanup_json_ struct json *j = features_json();
	_cleanup_free_ char *text = j ? json_text(j, false) : NULL;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len;
	int r;

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
