/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support.h - what of a spec the guest applies, refuses by name, or ignores with a warning
 */
#ifndef ONGGI_AGENT_SUPPORT_H
#define ONGGI_AGENT_SUPPORT_H

#include "common/err.h"
#include "common/oci.h"

#define SUPPORT_WARNINGS_MAX 64u

/*
 * A growing NULL-terminated list of texts, at most SUPPORT_WARNINGS_MAX (further ones are dropped).
 */
struct support_warnings {
	char **texts;
	unsigned int n;
};

/* Append a text. Returns 0 or -ENOMEM. */
int support_warn(struct support_warnings *warnings, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Returns 0; -EOPNOTSUPP a feature that the guest refuses; -EINVAL a value that cannot be applied;
 * -ENOMEM. @warnings is the caller's to free with json_free_strv(warnings->texts), on failure too.
 */
int support_check(const struct oci_spec *spec, struct support_warnings *warnings, struct err *err);

/* The part about one process, for execs too. The same errors. */
int support_check_process(const struct oci_process *process, struct support_warnings *warnings,
			  struct err *err);

#endif
