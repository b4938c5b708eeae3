#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Compares the ABI that the public headers describe with that of the last release: `check.sh`. After a release, or where a change is
# meant, see doc/abi.md: `check.sh --record`. Needs a compiler and libabigail (Debian: abigail-tools); ends with 77 without it.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
build=${top_builddir:-$top/build}
baseline=$top/tests/abi/libcpr-0.abi.gz
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v abidw >/dev/null && command -v abidiff >/dev/null || { echo "SKIP: abidw and abidiff (libabigail) are missing"; exit 77; }

# One function for each public type and function, so that the debug information has them all, flags too, which functions take as
# numbers. That the library exports these functions is the business of tests/structure/symbols.py.
{
  echo '#include <libcpr/libcpr.h>'
  sed -nE 's/^\} (Cpr\w+);.*/\1/p; s/^typedef .*\(\*(Cpr\w+)\).*/\1/p; s/^typedef struct _\w+ (Cpr\w+);.*/\1/p' "$top"/include/libcpr/*.h |
    sort -u | sed 's/.*/void abi_& (& *type) { (void) type; }/'
  sed -nE 's/^ *(cpr_\w+);/void abi_\1 (__typeof__ (\1) *function) { (void) function; }/p' "$top/libcpr.map"
} >"$work/abi.c"
[ "$(grep -c abi_ "$work/abi.c")" -gt 150 ] || { echo "tests/abi/check.sh: finds too few names"; exit 1; }
${CC:-cc} -g -O0 -shared -fPIC -w -D_GNU_SOURCE -I"$build/include" -I"$top/include" $(pkg-config --cflags glib-2.0) -o "$work/libcpr-abi.so" "$work/abi.c"
abidw --headers-dir "$top/include" --drop-private-types --type-id-style hash --no-corpus-path --no-comp-dir-path --no-show-locs \
  --no-architecture --no-elf-needed --no-parameter-names "$work/libcpr-abi.so" >"$work/libcpr.abi"

if [ "${1-}" = --record ]; then
  gzip -9n <"$work/libcpr.abi" >"$baseline"
  exit
fi
gzip -dc "$baseline" >"$work/baseline.abi"
echo "compared with $(basename "$baseline"):"
abidiff --no-added-syms --suppressions "$top/tests/abi/permitted.ini" "$work/baseline.abi" "$work/libcpr.abi"
