/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - command-line options as tables: parsing and help from the same rows
 *
 * Syntax:   that of Go's flag package, which runc's callers rely on: "--name value",
 *           "--name=value", one or two dashes, "--flag" or "--flag=false" for booleans, "--" ends
 *           the options, and so does the first argument that is none. getopt_long knows neither the
 *           first two forms for every option nor the last one.
 * Values:   each row names the offset of its member in the command's own structure; strings are
 *           borrowed from argv.
 * Limits:   OPTIONS_LIST_MAX values of one repeated option.
 * Source:   pkg.go.dev/flag, "Command line flag syntax"; runc's manual pages.
 */
#ifndef ONGGI_SHIM_RUNTIME_OPTIONS_H
#define ONGGI_SHIM_RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

#define OPTIONS_LIST_MAX 4096u

/* A repeated option; zeroed before parsing. */
struct option_list {
	const char **items; /* NULL-terminated once there is one; NULL: never given */
	size_t n;
};

enum option_type {
	OPTION_FLAG,   /* bool */
	OPTION_STRING, /* const char *; the last one wins */
	OPTION_LIST,   /* struct option_list */
	OPTION_U32,    /* uint32_t, decimal */
};

struct option_row {
	const char *name; /* long name without dashes; NULL ends a table */
	char letter;      /* 0: none */
	enum option_type type;
	size_t offset;    /* of the member in the values */
	const char *help; /* NULL: accepted, not listed */
};

#define OPTIONS_END          \
	{                    \
		.name = NULL \
	}

/*
 * Parse the options at the front of @argv.
 *
 * @argv    NULL-terminated, the word after the command's name first
 * @values  structure that the rows' offsets refer to, zeroed or holding defaults
 *
 * Returns the number of words taken (a closing "--" included), or -EINVAL: an unknown option, a
 * missing or wrong value, in runc's words ("flag provided but not defined: -x", "flag needs an
 * argument: -x"); -E2BIG, -ENOMEM. Lists must be released with options_finish in each case.
 */
int options_parse(const struct option_row *rows, char *const *argv, void *values, struct err *err);
void options_finish(const struct option_row *rows, void *values);

/* A value "table" (also NULL: none was given) or "json". Returns 0, or -EINVAL in runc's words. */
int options_parse_format(const char *value, bool *ret_json, struct err *err);

/* Print one line for each row that has a help text. */
void options_print_help(const struct option_row *rows, FILE *out);

#endif
