/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_scan.h - what RFC 8259 forbids and json-c lets pass; private to json.c
 *
 * Checks NUL and other control bytes, UTF-8, quoting by apostrophes, comments, the grammar of
 * numbers, nesting deeper than JSON_DEPTH_MAX, and integers that do not fit in 64 bits (json-c cuts
 * them to the largest that does). Not here: the rest of the grammar, escapes, which json-c checks
 * itself.
 */
#ifndef ONGGI_COMMON_JSON_SCAN_H
#define ONGGI_COMMON_JSON_SCAN_H

#include <stddef.h>

/* Returns NULL, or a static text that says what is wrong at text[*ret_offset]. */
const char *json_scan(const char *text, size_t len, size_t *ret_offset);

#endif
