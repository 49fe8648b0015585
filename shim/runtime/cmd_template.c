/* SPDX-License-Identifier: Apache-2.0 */
/* "template": look after the saved machines that sandboxes go on from. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/json.h"
#include "hypervisor/accel.h"
#include "hypervisor/template.h"
#include "shim/config.h"
#include "shim/runtime/command.h"
#include "shim/template_make.h"

struct action {
	const char *name;
	int (*run)(const struct runtime *rt, const struct config *config, char **names,
		   struct err *err);
	bool takes_names;
};

static int make(const struct runtime *rt, const struct config *config, struct err *err)
{
	_cleanup_free_ char *cache = NULL;
	enum accel_policy policy;
	enum vm_accel accel;
	int r;

	r = config_check_guest(config, err);
	if (r < 0)
		return r;
	r = accel_policy_parse(config->accel, &policy);
	if (r < 0)
		return err_set(err, r, "field 'accel': unknown value '%s'", config->accel);
	if (asprintf(&cache, "%s/cache", rt->state_root) < 0)
		return cache = NULL, -ENOMEM;
	r = accel_choose(policy, cache, &accel, err);
	if (r < 0)
		return r;
	/* With "auto" the reason for emulation comes along; the containers' own starts warn of that. */
	*err = (struct err)ERR_INIT;
	return template_make(config, accel, config->vcpus, config->memory_mib, true, err);
}

static int create(const struct runtime *rt, const struct config *config, char **names,
		  struct err *err)
{
	return make(rt, config, err);
}

/* Every template there is; @fn may remove it. */
static int for_each(const struct config *config,
		    int (*fn)(int store, const char *name, struct err *err), struct err *err)
{
	_cleanup_close_ int store = -EBADF;
	char **names = NULL;
	int r = template_store_open(config->template_dir, false, &store, err);

	if (r == -ENOENT)
		return 0;
	if (r == 0) {
		r = template_list(store, &names);
		if (r < 0)
			err_set_errno(err, r, "folder of templates '%s'", config->template_dir);
	}
	for (char **name = names; r == 0 && name && *name; name++)
		r = fn(store, *name, err);
	json_free_strv(names);
	return r;
}

static int print_one(int store, const char *name, struct err *err)
{
	_cleanup_(template_close_p) struct template *t = NULL;
	struct err why = ERR_INIT;
	char when[32] = "";
	struct tm tm;
	time_t created;

	if (template_open_name(store, name, &t, &why) < 0) {
		printf("%-18s damaged: %s\n", name, why.text);
		return 0;
	}
	created = t->created_s;
	if (gmtime_r(&created, &tm))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("%-18s %-22s %8" PRIu64 " %8" PRIu64 " %10" PRIu64 "\n", t->name, when, t->clones,
	       t->saved.memory_bytes >> 20, t->stored_bytes >> 20);
	return 0;
}

static int list(const struct runtime *rt, const struct config *config, char **names,
		struct err *err)
{
	printf("%-18s %-22s %8s %8s %10s\n", "NAME", "CREATED", "CLONES", "MEM MiB", "STORED MiB");
	return for_each(config, print_one, err);
}

static int remove_one(int store, const char *name, struct err *err)
{
	int r = template_remove(store, name);

	return r < 0 ? err_set_errno(err, r, "remove template '%s'", name) : 0;
}

static int remove_named(const struct runtime *rt, const struct config *config, char **names,
			struct err *err)
{
	_cleanup_close_ int store = -EBADF;
	int r;

	if (!names[0])
		return for_each(config, remove_one, err);
	r = template_store_open(config->template_dir, false, &store, err);
	for (; r == 0 && *names; names++)
		r = remove_one(store, *names, err);
	return r;
}

static int refresh(const struct runtime *rt, const struct config *config, char **names,
		   struct err *err)
{
	int r = for_each(config, remove_one, err);

	return r < 0 ? r : make(rt, config, err);
}

static const struct action actions[] = {
	{ "create", create, false },
	{ "list", list, false },
	{ "remove", remove_named, true },
	{ "refresh", refresh, false },
};

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(config_free_p) struct config *config = NULL;
	int r = config_load(rt->config_path, &config, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, args[0]) != 0)
			continue;
		if (args[1] && !actions[i].takes_names)
			return err_set(err, -EINVAL, "template %s takes no argument", args[0]);
		return actions[i].run(rt, config, args + 1, err);
	}
	return err_set(err, -EINVAL,
		       "template: unknown action '%s' (want create, list, remove or refresh)",
		       args[0]);
}

const struct command cmd_template = {
	.name = "template",
	.arguments = "create|list|remove [NAME...]|refresh",
	.summary = "look after the saved machines that containers start from",
	.description = "   create   boot a machine as the configuration says, and save it\n"
		       "   list     those that are there\n"
		       "   remove   those that are named, or all\n"
		       "   refresh  remove all, and create one",
	.options = no_options,
	.args_min = 1,
	.args_max = COMMAND_ARGS_ANY,
	.failure_code = 1,
	.run = run,
};
