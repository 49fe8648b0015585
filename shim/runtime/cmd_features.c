/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/command.h"
#include "shim/runtime/features.h"

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_json_ struct json *j = features_json();
	_cleanup_free_ char *text = j ? json_text(j, true) : NULL;

	if (!text)
		return err_set_errno(err, -ENOMEM, "features");
	puts(text);
	return 0;
}

const struct command cmd_features = {
	.name = "features",
	.arguments = "",
	.summary = "print what this runtime supports as JSON",
	.options = no_options,
	.args_min = 0,
	.args_max = 0,
	.failure_code = 1,
	.run = run,
};
