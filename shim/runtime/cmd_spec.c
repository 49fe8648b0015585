/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"
#include "shim/runtime/command.h"
#include "shim/runtime/spec_template.h"

struct values {
	const char *bundle;
	bool rootless;
};

static const struct option_row options[] = {
	{ "bundle", 'b', OPTION_STRING, offsetof(struct values, bundle),
	  "folder of the bundle (default: current folder)" },
	{ "rootless", 0, OPTION_FLAG, offsetof(struct values, rootless), "not supported yet" },
	OPTIONS_END,
};

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	const struct values *v = values;
	const char *bundle = v->bundle ? v->bundle : ".";
	_cleanup_close_ int dir = -EBADF, fd = -EBADF;
	int r;

	if (v->rootless)
		return err_set(err, -EOPNOTSUPP, "option --rootless is not supported yet");
	dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set_errno(err, -errno, "bundle '%s'", bundle);
	fd = openat(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_set(err, -EEXIST, "File config.json exists. Remove it first");
	if (fd < 0)
		return err_set_errno(err, -errno, "create config.json in '%s'", bundle);
	r = io_write_all(fd, spec_template, strlen(spec_template));
	if (r < 0)
		unlinkat(dir, "config.json", 0);
	return r < 0 ? err_set_errno(err, r, "write config.json in '%s'", bundle) : 0;
}

const struct command cmd_spec = {
	.name = "spec",
	.arguments = "",
	.summary = "write a config.json to start from",
	.description =
		"   The command in it is \"sh\" on a terminal; edit it. An existing file is never\n"
		       "   overwritten.",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 0,
	.args_max = 0,
	.failure_code = 1,
	.run = run,
};
