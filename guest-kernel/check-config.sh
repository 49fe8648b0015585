#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check-config.sh - hold a finished kernel configuration against the fragments it was made from
#
# Usage: check-config.sh CONFIG FRAGMENT...
#
# kconfig drops an option without a word when one of its dependencies is missing, and switches one
# on when another selects it. Prints each option that did not come out as asked for, and where it
# was asked for. Exit status: 0 all as asked, 1 some not, 2 usage or a malformed fragment.

set -euo pipefail

if [ $# -lt 2 ]; then
	echo "usage: ${0##*/} CONFIG FRAGMENT..." >&2
	exit 2
fi

exec awk '
	function fail(text) { print FILENAME ":" FNR ": " text; bad = 1 }

	# The finished configuration comes first.
	FNR == NR {
		if (match($0, /^CONFIG_[A-Za-z0-9_]+=/))
			have[substr($0, 1, RLENGTH - 1)] = substr($0, RLENGTH + 1)
		next
	}
	/^# CONFIG_[A-Za-z0-9_]+ is not set$/ {
		name = $2; want = "n"
		got = (name in have) ? have[name] : "n"
	}
	/^CONFIG_[A-Za-z0-9_]+=/ {
		eq = index($0, "=")
		name = substr($0, 1, eq - 1); want = substr($0, eq + 1)
		# An option that is off is not listed; an empty string is.
		got = (name in have) ? have[name] : "n"
	}
	/^CONFIG_/ || /^# CONFIG_/ {
		if (name == "") { fail("malformed line: " $0); malformed = 1; next }
		if (name in seen) fail(name " is set twice, first at " seen[name])
		seen[name] = FILENAME ":" FNR
		if (got != want) fail(name " is " got ", asked for " want)
		asked++; name = ""; next
	}
	/^#/ || /^$/ { next }
	{ fail("malformed line: " $0); malformed = 1 }
	END {
		if (malformed) exit 2
		if (!asked) { print "no option asked for"; exit 2 }
		if (bad) exit 1
		print asked " options are as asked for"
	}' "$@"
