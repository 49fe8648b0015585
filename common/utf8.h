/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - well-formedness of text that comes from elsewhere
 *
 * Source: RFC 3629 (no overlong forms, no surrogates, nothing above U+10FFFF).
 */
#ifndef ONGGI_COMMON_UTF8_H
#define ONGGI_COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Length (1 to 4) of the well-formed sequence at @s of at most @len bytes; 0 if it is none, or @len
 * is 0.
 */
size_t utf8_sequence(const char *s, size_t len);

/* Whether the whole NUL-terminated @s is well-formed. */
bool utf8_valid(const char *s);

/* Replace every byte of @s that belongs to no well-formed sequence by '?'. */
void utf8_scrub(char *s);

#endif
