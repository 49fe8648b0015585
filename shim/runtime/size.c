/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/runtime/size.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

#define DURATION_MS_MAX (UINT64_C(100) * 365 * 24 * 3600 * 1000)

/* Digits with at most one point: the locale and strtod's other forms have no say. */
static const char *skip_number(const char *text)
{
	const char *p = text;
	bool digits = false, point = false;

	for (; isdigit((unsigned char)*p) || (*p == '.' && !point); p++) {
		digits = digits || *p != '.';
		point = point || *p == '.';
	}
	return digits ? p : NULL;
}

int size_parse(const char *text, int64_t *ret)
{
	static const char units[] = "bkmgtp";
	const char *end = skip_number(text), *unit;
	unsigned int power = 0;
	long double value;

	if (!end)
		return -EINVAL;
	value = strtold(text, NULL);
	end += *end == ' ';
	if (*end) {
		unit = strchr(units, tolower((unsigned char)*end));
		if (!unit)
			return -EINVAL;
		power = (unsigned int)(unit - units);
		end++;
		if (*end && (power == 0 || (strcasecmp(end, "b") && strcasecmp(end, "ib"))))
			return -EINVAL;
	}
	value = ldexpl(value, (int)(10 * power));
	if (value >= 0x1p63L)
		return -ERANGE;
	*ret = (int64_t)value;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		long double ms;
	} units[] = {
		/* Before "m" and "s": the longer name wins. */
		{ "ns", 1e-6L }, { "us", 1e-3L }, { "ms", 1 },
		{ "s", 1e3L },   { "m", 6e4L },   { "h", 36e5L },
	};
	long double total = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		const char *end = skip_number(text);
		size_t i = 0;

		if (!end)
			return -EINVAL;
		while (i < ARRAY_SIZE(units) && strncmp(end, units[i].unit, strlen(units[i].unit)))
			i++;
		if (i == ARRAY_SIZE(units))
			return -EINVAL;
		total += strtold(text, NULL) * units[i].ms;
		text = end + strlen(units[i].unit);
	}
	if (total > (long double)DURATION_MS_MAX)
		return -ERANGE;
	*ret = (uint64_t)ceill(total);
	return 0;
}
