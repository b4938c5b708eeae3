#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: every source file says its licence in its first five lines: SPDX-License-Identifier: LGPL-2.1-or-later."""
import os
import sys

LINE = "SPDX-License-Identifier: LGPL-2.1-or-later"
FOLDERS = ["include", "lib", "examples", "tests", "tools", "bench", "doc", ".ci"]
TOP_FILES = ["Makefile.am", "autogen.sh", "configure.ac", "libcpr.map", "libcpr.pc.in", "quickstart"]
ENDINGS = (".c", ".cc", ".h", ".h.in", ".S", ".lds", ".sh", ".bash", ".py", ".map", ".mk", ".supp")
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))


def is_source(path):
    if path.endswith(ENDINGS):
        # Made by configure in an in-tree build.
        return not os.path.exists(path + ".in")
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def candidates():
    for name in TOP_FILES:
        yield os.path.join(top, name)
    for folder in FOLDERS:
        for root, folders, names in os.walk(os.path.join(top, folder)):
            folders[:] = [f for f in folders if f not in (".libs", ".deps", "__pycache__")]
            for name in names:
                path = os.path.join(root, name)
                if os.path.isfile(path) and not os.path.islink(path) and is_source(path):
                    yield path


faults = 0
count = 0
for path in sorted(candidates()):
    count += 1
    with open(path, encoding="utf-8", errors="replace") as file:
        head = [file.readline() for _ in range(5)]
    if not any(LINE in line for line in head):
        faults += 1
        print(f"{os.path.relpath(path, top)}:1: no line \"{LINE}\"")
print(f"{count} files, {faults} faults")
sys.exit(faults > 0 or count == 0)
