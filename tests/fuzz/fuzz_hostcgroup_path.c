/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.cgroupsPath as an engine may write it. The first byte chooses the form; what is accepted leads nowhere but
 * below the hierarchy.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/hostcgroup_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostcgroup_path p = { 0 };
	struct err err = ERR_INIT;
	char *text;

	if (size < 1 || size > 2 * HOSTCGROUP_PATH_MAX)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (!text)
		return 0;
	if (hostcgroup_path_parse(text, data[0] & 1, "id", "/run/x", &p, &err) == 0) {
		assert(p.path[0] == '/' && p.path[1] != '\0');
		assert(!strstr(p.path, "/../") && !strstr(p.path, "//") && !strstr(p.path, "/./"));
		assert(strcmp(strrchr(p.path, '/'), "/..") != 0 && !strchr(p.path, '\n'));
		assert((data[0] & 1) == (p.unit != NULL));
		hostcgroup_path_finish(&p);
	} else {
		assert(err.text[0] && !p.path && !p.unit && !p.slice);
	}
	free(text);
	return 0;
}
