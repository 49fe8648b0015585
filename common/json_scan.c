/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_scan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"

/* Digits of UINT64_MAX, a sign and a NUL. */
#define INTEGER_TEXT_MAX 24

struct scan {
	const char *text;
	size_t len;
	size_t at;
	unsigned int depth;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(const struct scan *s, size_t at)
{
	while (at < s->len && is_digit(s->text[at]))
		at++;
	return at;
}

/* Whether text[at] is one of @set. */
static bool is_one_of(const struct scan *s, size_t at, const char *set)
{
	return at < s->len && s->text[at] != '\0' && strchr(set, s->text[at]);
}

/* At an opening quote; leaves the position on the closing one. */
static const char *scan_string(struct scan *s)
{
	unsigned char c;
	size_t n;

	for (s->at++; s->at < s->len; s->at += n) {
		c = (unsigned char)s->text[s->at];
		if (c == '"')
			return NULL;
		if (c < 0x20)
			return "a control character inside of a string must be escaped";
		n = c == '\\' ? 1 : utf8_sequence(s->text + s->at, s->len - s->at);
		if (n == 0)
			return "the string is not valid UTF-8";
		/*
		 * What is escaped is json-c's to judge; an escaped quote just does not end the
		 * string.
		 */
		if (c == '\\' && is_one_of(s, s->at + 1, "\"\\"))
			n = 2;
	}
	return "the string has no end";
}

static const char *check_integer(const char *text, size_t len)
{
	char copy[INTEGER_TEXT_MAX];

	if (len >= sizeof(copy))
		return "the number does not fit in 64 bits";
	memcpy(copy, text, len);
	copy[len] = '\0';
	errno = 0;
	if (copy[0] == '-')
		strtoll(copy, NULL, 10);
	else
		strtoull(copy, NULL, 10);
	return errno == ERANGE ? "the number does not fit in 64 bits" : NULL;
}

/* At a digit or a minus; leaves the position on the last byte of the number. */
static const char *scan_number(struct scan *s)
{
	static const char malformed[] = "the number is malformed";
	size_t start = s->at, first = start + (s->text[start] == '-'), at = skip_digits(s, first),
	       part;
	bool integer = true;

	if (at == first || (s->text[first] == '0' && at > first + 1))
		return malformed;
	if (is_one_of(s, at, ".")) {
		part = at + 1;
		at = skip_digits(s, part);
		integer = false;
		if (at == part)
			return malformed;
	}
	if (is_one_of(s, at, "eE")) {
		part = at + 1 + is_one_of(s, at + 1, "+-");
		at = skip_digits(s, part);
		integer = false;
		if (at == part)
			return malformed;
	}
	s->at = at - 1;
	return integer ? check_integer(s->text + start, at - start) : NULL;
}

static const char *scan_byte(struct scan *s)
{
	char c = s->text[s->at];

	if (c == '"')
		return scan_string(s);
	if (c == '-' || is_digit(c))
		return scan_number(s);
	if (c == '[' || c == '{')
		return ++s->depth > JSON_DEPTH_MAX ? "nesting is too deep" : NULL;
	if (c == ']' || c == '}') {
		s->depth -= s->depth > 0;
		return NULL;
	}
	if ((c >= 'a' && c <= 'z') || (c != '\0' && strchr(" \t\r\n:,", c)))
		return NULL;
	return c == '\0' ? "a NUL byte is no json" : "unexpected character";
}

const char *json_scan(const char *text, size_t len, size_t *ret_offset)
{
	struct scan s = { .text = text, .len = len };
	const char *wrong;

	for (; s.at < len; s.at++) {
		wrong = scan_byte(&s);
		if (wrong) {
			*ret_offset = s.at < len ? s.at : len;
			return wrong;
		}
	}
	return NULL;
}
