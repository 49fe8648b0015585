/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd writes to the shim's stdin: the first byte chooses the id that the command line has. */
#include <assert.h>
#include <stdint.h>

#include "shim/containerd/bootstrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bootstrap b = { 0 };
	struct err err = ERR_INIT;
	int r;

	if (size == 0)
		return 0;
	r = bootstrap_parse(data + 1, size - 1, data[0] == 'i' ? "id" : "", data[0] == 'i' ? "ns" : "", &b, &err);
	assert(r <= 0 && (r == 0 || (err.code == r && err.text[0] && !b.config_path)));
	assert(r < 0 || !b.config_path || b.config_path[0]);
	bootstrap_finish(&b);
	return 0;
}
