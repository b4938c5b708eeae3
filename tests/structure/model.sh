#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Claim: in the models of the baton never two run the guest, and it is lost only where nobody could have it.
set -eu
: "${top_srcdir:?}" "${CC:=cc}"
command -v spin >/dev/null || { echo "SKIP: spin is missing"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$top_srcdir"/doc/model/*.pml "$work"
cd "$work"
for model in *.pml; do
  # As its head says.
  sed -n 's/^ \*   \(spin -a .*\)/\1/p' "$model" >commands
  [ -s commands ] || { echo "$model: its head has no command"; exit 1; }
  while read -r command; do
    eval "${command/&& cc /"&& $CC "}" | tee out
    grep -q 'errors: 0' out || { echo "$model: a claim doesn't hold: $command"; exit 1; }
  done <commands
done
