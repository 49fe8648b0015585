/* SPDX-License-Identifier: Apache-2.0 */
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#include "shim/runtime/command.h"
#include "shim/runtime/container.h"
#include "shim/state_json.h"

struct values {
	const char *format;
	bool quiet;
};

static const struct option_row options[] = {
	{ "format", 'f', OPTION_STRING, offsetof(struct values, format),
	  "\"table\" (default) or \"json\"" },
	{ "quiet", 'q', OPTION_FLAG, offsetof(struct values, quiet), "print ids only" },
	OPTIONS_END,
};

struct listing {
	struct container **items;
	size_t n;
	char owner[64];
};

static void listing_finish(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		container_close(l->items[i]);
	free(l->items);
}

/* Everything below a root belongs to who made it. */
static void find_owner(const char *root, struct listing *l)
{
	struct stat st = { 0 };
	const struct passwd *pw;

	if (stat(root, &st) < 0)
		return;
	pw = getpwuid(st.st_uid);
	if (pw)
		snprintf(l->owner, sizeof(l->owner), "%s", pw->pw_name);
	else
		snprintf(l->owner, sizeof(l->owner), "#%u", st.st_uid);
}

static int collect(const struct runtime *rt, struct listing *l, struct err *err)
{
	_cleanup_close_ int rootfd = -EBADF;
	char **names = NULL;
	size_t n = 0;
	int r;

	/* Listing makes no folder: no root, no containers. */
	if (access(rt->state_root, F_OK) < 0)
		return 0;
	r = state_open_root(rt->state_root, &rootfd, err);
	if (r < 0)
		return r;
	r = state_list(rootfd, "containers", &names);
	if (r < 0)
		return r == -ENOENT ? 0
				    : err_set_errno(err, r, "list '%s/containers'", rt->state_root);
	while (names[n])
		n++;
	l->items = calloc(n + 1, sizeof(*l->items));
	/* What vanishes meanwhile, or is only being created, is not listed. */
	for (size_t i = 0; l->items && i < n; i++)
		if (container_open(rt, names[i], &l->items[l->n], NULL) == 0)
			l->n++;
	state_free_names(names);
	return l->items ? 0 : err_set_errno(err, -ENOMEM, "list");
}

static pid_t pid_of(const struct container *c)
{
	return c->status == CONTAINER_STOPPED ? 0 : c->record->proxy.pid;
}

static int max_width(int width, const char *text)
{
	int len = (int)strlen(text) + 3;

	return len > width ? len : width;
}

static void print_table(const struct listing *l)
{
	int id = 12, bundle = 12, created = 12;

	for (size_t i = 0; i < l->n; i++) {
		id = max_width(id, l->items[i]->record->id);
		bundle = max_width(bundle, l->items[i]->record->bundle);
		created = max_width(created, l->items[i]->record->created);
	}
	printf("%-*s%-12s%-12s%-*s%-*sOWNER\n", id, "ID", "PID", "STATUS", bundle, "BUNDLE",
	       created, "CREATED");
	for (size_t i = 0; i < l->n; i++) {
		const struct container *c = l->items[i];

		printf("%-*s%-12d%-12s%-*s%-*s%s\n", id, c->record->id, (int)pid_of(c),
		       container_status_name(c->status), bundle, c->record->bundle, created,
		       c->record->created, l->owner);
	}
}

static int print_json(const struct listing *l, struct err *err)
{
	_cleanup_json_ struct json *array = json_new_array();
	_cleanup_free_ char *text = NULL;
	int r = array ? 0 : -ENOMEM;

	for (size_t i = 0; i < l->n && r == 0; i++)
		r = json_append(array,
				state_json(l->items[i]->record, l->items[i]->status, l->owner));
	text = r == 0 ? json_text(array, false) : NULL;
	if (!text)
		return err_set_errno(err, -ENOMEM, "list");
	/* As runc has it. */
	puts(l->n ? text : "null");
	return 0;
}

static int run(const struct runtime *rt, const void *values, char **args, struct err *err)
{
	_cleanup_(listing_finish) struct listing l = { 0 };
	const struct values *v = values;
	bool json = false;
	int r;

	r = options_parse_format(v->format, &json, err);
	if (r < 0)
		return r;
	r = collect(rt, &l, err);
	if (r < 0)
		return r;
	find_owner(rt->state_root, &l);
	if (v->quiet)
		for (size_t i = 0; i < l.n; i++)
			puts(l.items[i]->record->id);
	else if (json)
		return print_json(&l, err);
	else
		print_table(&l);
	return 0;
}

const struct command cmd_list = {
	.name = "list",
	.arguments = "",
	.summary = "list the containers below --root",
	.options = options,
	.values_size = sizeof(struct values),
	.args_min = 0,
	.args_max = 0,
	.failure_code = 1,
	.run = run,
};
