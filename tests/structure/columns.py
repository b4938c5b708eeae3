#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: no line of a comment in C, and no line of a document, has more than 100 columns, since nobody reads longer ones with ease.
Code, tables and links in documents are left out."""
import os
import re
import sys

COLUMNS = 100
FOLDERS = ("lib", "include", "examples", "tests", "tools", "bench", "doc")
COMMENT = re.compile(r" *(/\*| \*[ /])")
NOT_TEXT = re.compile(r"( {4}|\t|\||\[[^]]+\]: |<!--)")
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
files = [name for name in sorted(os.listdir(top)) if name.endswith(".md") or name == "NEWS"]
for folder in FOLDERS:
    for root, _, names in sorted(os.walk(os.path.join(top, folder))):
        files += [os.path.relpath(os.path.join(root, name), top) for name in sorted(names) if name.endswith((".c", ".h", ".md"))]
faults = 0
for path in files:
    with open(os.path.join(top, path), encoding="utf-8") as file:
        is_code = False
        for number, line in enumerate(file.read().split("\n"), 1):
            is_c = path.endswith((".c", ".h"))
            is_code ^= not is_c and line.startswith("```")
            if len(line) > COLUMNS and (COMMENT.match(line) if is_c else not is_code and not NOT_TEXT.match(line)):
                faults += 1
                print(f"{path}:{number}: {len(line)} columns")
print(f"{len(files)} files, {faults} faults")
sys.exit(faults > 0 or not files)
