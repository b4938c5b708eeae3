#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: no C file has more than 600 lines, and no function more than 50 (its body, from the `{` to the `}` in the first column)."""
import os
import sys

LINES = 600
BODY = 50
FOLDERS = ("lib", "include", "examples", "tools", "bench", "tests")
# Files that are longer, and files with a longer function; the lists only get shorter.
LONG_FILES = []
LONG_FUNCTIONS = []
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
faults = 0


def fault(path, line, message):
    global faults
    faults += 1
    print(f"{path}:{line}: {message}")


def sources():
    for folder in FOLDERS:
        for root, folders, names in os.walk(os.path.join(top, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(root, name), top)


def find_bodies(lines):
    """(line number, lines between the braces) of each function: a struct ends with `};` or a name."""
    begin = 0
    for number, line in enumerate(lines, 1):
        if line == "{":
            begin = number
        elif line == "}" and begin > 0:
            yield begin, number - begin - 1
            begin = 0
        elif line.startswith("}"):
            begin = 0


def check(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    if (len(lines) > LINES) != (path in LONG_FILES):
        fault(path, len(lines), f"it has {len(lines)} lines, more than {LINES}" if len(lines) > LINES
              else f"it has no more than {LINES} lines; take it out of LONG_FILES")
    long = [(line, body) for line, body in find_bodies(lines) if body > BODY]
    if long and path not in LONG_FUNCTIONS:
        for line, body in long:
            fault(path, line, f"this function has {body} lines, more than {BODY}")
    elif not long and path in LONG_FUNCTIONS:
        fault(path, 1, f"it has no function of more than {BODY} lines; take it out of LONG_FUNCTIONS")


files = list(sources())
for source in files:
    check(source)
for path in LONG_FILES + LONG_FUNCTIONS:
    if path not in files:
        fault(path, 1, "there is no such file; take it out of the list")
if not files:
    fault("lib", 0, "no sources found")
print(f"{len(files)} files, {faults} faults")
sys.exit(faults > 0)
