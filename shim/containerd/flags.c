/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/containerd/flags.h"

#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"

static const struct flag {
	const char *name;
	bool is_bool;
	size_t offset;
} flags[] = {
	{ "namespace", false, offsetof(struct shim_flags, namespace) },
	{ "address", false, offsetof(struct shim_flags, address) },
	{ "publish-binary", false, offsetof(struct shim_flags, publish_binary) },
	{ "id", false, offsetof(struct shim_flags, id) },
	{ "bundle", false, offsetof(struct shim_flags, bundle) },
	{ "socket", false, offsetof(struct shim_flags, socket) },
	{ "debug", true, offsetof(struct shim_flags, debug) },
	{ "version", true, offsetof(struct shim_flags, version) },
	{ "v", true, offsetof(struct shim_flags, version) },
	{ "info", true, offsetof(struct shim_flags, info) },
	{ "help", true, offsetof(struct shim_flags, help) },
	{ "h", true, offsetof(struct shim_flags, help) },
};

static const struct flag *find_flag(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (strlen(flags[i].name) == len && !strncmp(flags[i].name, name, len))
			return &flags[i];
	}
	return NULL;
}

static int parse_bool(const char *text, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
			*ret = !strcmp(text, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

/* One flag at @argv[0]. Returns how many words it has taken. */
static int parse_flag(int argc, char **argv, struct shim_flags *ret, struct err *err)
{
	const char *name = argv[0] + (argv[0][1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	const struct flag *flag = find_flag(name, equals ? (size_t)(equals - name) : strlen(name));
	char *member;

	if (!flag)
		return err_set(err, -EINVAL, "flag '%s' is not known", argv[0]);
	member = (char *)ret + flag->offset;
	if (flag->is_bool) {
		*(bool *)member = true;
		if (equals && parse_bool(equals + 1, (bool *)member) < 0)
			return err_set(err, -EINVAL, "flag '%s': want true or false", argv[0]);
		return 1;
	}
	if (!equals && argc < 2)
		return err_set(err, -EINVAL, "flag '%s' needs a value", argv[0]);
	*(const char **)member = equals ? equals + 1 : argv[1];
	return equals ? 1 : 2;
}

int shim_flags_parse(int argc, char **argv, struct shim_flags *ret, struct err *err)
{
	struct shim_flags parsed = { 0 };
	int i = 1, r;

	while (i < argc && argv[i][0] == '-' && argv[i][1]) {
		r = parse_flag(argc - i, argv + i, &parsed, err);
		if (r < 0)
			return r;
		i += r;
	}
	if (argc - i > 1)
		return err_set(err, -EINVAL, "one action is wanted, not '%s' and '%s'", argv[i], argv[i + 1]);
	parsed.action = i < argc ? argv[i] : NULL;
	*ret = parsed;
	return 0;
}
