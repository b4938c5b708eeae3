#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes ./configure and Makefile.in in a checkout; a release tarball has them.
set -eu
cd "$(dirname "$0")"
exec autoreconf --force --install
