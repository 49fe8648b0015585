/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/io.h"

#define NAME_MAX_BYTES 64

/* Width of the left column of the help text. */
#define HELP_COLUMN 34

static bool row_matches(const struct option_row *row, const char *name, size_t len)
{
	if (len == 1 && row->letter == name[0])
		return true;
	return strlen(row->name) == len && strncmp(row->name, name, len) == 0;
}

static const struct option_row *find_row(const struct option_row *rows, const char *name,
					 size_t len)
{
	for (; rows->name; rows++) {
		if (row_matches(rows, name, len))
			return rows;
	}
	return NULL;
}

static int list_append(struct option_list *list, const char *value, struct err *err)
{
	const char **items;

	if (list->n >= OPTIONS_LIST_MAX)
		return err_set(err, -E2BIG, "more than %u values for one option", OPTIONS_LIST_MAX);
	items = reallocarray(list->items, list->n + 2, sizeof(*items));
	if (!items)
		return err_set_errno(err, -ENOMEM, "options");
	items[list->n++] = value;
	items[list->n] = NULL;
	list->items = items;
	return 0;
}

/* The words Go's strconv.ParseBool takes. */
static int parse_bool(const char *text, bool *ret)
{
	static const struct {
		const char *text;
		bool value;
	} words[] = {
		{ "true", true }, { "1", true },    { "t", true },      { "T", true },
		{ "TRUE", true }, { "True", true }, { "false", false }, { "0", false },
		{ "f", false },   { "F", false },   { "FALSE", false }, { "False", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(text, words[i].text) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

static int store(const struct option_row *row, const char *value, void *values, struct err *err)
{
	void *member = (char *)values + row->offset;
	uint64_t number;

	switch (row->type) {
	case OPTION_FLAG:
		if (!value)
			*(bool *)member = true;
		else if (parse_bool(value, member) < 0)
			return err_set(err, -EINVAL, "invalid boolean value '%s' for -%s", value,
				       row->name);
		return 0;
	case OPTION_STRING:
		*(const char **)member = value;
		return 0;
	case OPTION_LIST:
		return list_append(member, value, err);
	case OPTION_U32:
		if (io_parse_u64(value, UINT32_MAX, &number) < 0)
			return err_set(
				err, -EINVAL,
				"invalid value '%s' for flag -%s: want a number from 0 to %u",
				value, row->name, UINT32_MAX);
		*(uint32_t *)member = (uint32_t)number;
		return 0;
	}
	return -EINVAL;
}

int options_parse(const struct option_row *rows, char *const *argv, void *values, struct err *err)
{
	int taken = 0;

	while (argv[taken] && argv[taken][0] == '-' && argv[taken][1] != '\0') {
		const char *word = argv[taken++];
		const char *name = word + (word[1] == '-' ? 2 : 1);
		size_t len = strcspn(name, "=");
		const char *value = name[len] == '=' ? name + len + 1 : NULL;
		const struct option_row *row;
		int r;

		if (strcmp(word, "--") == 0)
			break;
		row = find_row(rows, name, len);
		if (!row)
			return err_set(err, -EINVAL, "flag provided but not defined: -%.*s",
				       (int)(len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES), name);
		if (!value && row->type != OPTION_FLAG) {
			value = argv[taken];
			if (!value)
				return err_set(err, -EINVAL, "flag needs an argument: -%.*s",
					       (int)len, name);
			taken++;
		}
		r = store(row, value, values, err);
		if (r < 0)
			return r;
	}
	return taken;
}

void options_finish(const struct option_row *rows, void *values)
{
	for (; rows->name; rows++) {
		struct option_list *list = (struct option_list *)((char *)values + rows->offset);

		if (rows->type != OPTION_LIST)
			continue;
		free(list->items);
		*list = (struct option_list){ 0 };
	}
}

int options_parse_format(const char *value, bool *ret_json, struct err *err)
{
	bool json = value && strcmp(value, "json") == 0;

	if (value && !json && strcmp(value, "table") != 0)
		return err_set(err, -EINVAL, "invalid format option '%s' (want \"table\" or \"json\")", value);
	*ret_json = json;
	return 0;
}

void options_print_help(const struct option_row *rows, FILE *out)
{
	for (; rows->name; rows++) {
		const char *value = rows->type == OPTION_FLAG ? "" : " value";
		char left[HELP_COLUMN * 2];

		if (!rows->help)
			continue;
		if (rows->letter)
			snprintf(left, sizeof(left), "--%s%s, -%c%s", rows->name, value,
				 rows->letter, value);
		else
			snprintf(left, sizeof(left), "--%s%s", rows->name, value);
		fprintf(out, "   %-*s %s\n", HELP_COLUMN, left, rows->help);
	}
}
