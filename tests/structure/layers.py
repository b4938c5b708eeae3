#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a file under lib/<floor>/ includes headers of its own floor and of lower ones, public headers, and what configure
found out; nothing else of the tree. Examples include public headers only, and each other's within one folder."""
import os
import re
import sys

FLOORS = ["base", "stream", "registry", "vfio", "handoff", "session"]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
faults = 0


def fault(path, line, message):
    global faults
    faults += 1
    print(f"{path}:{line}: {message}")


def sources(folder):
    for root, folders, names in os.walk(os.path.join(top, folder)):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            if name.endswith((".c", ".h", ".S")):
                yield os.path.relpath(os.path.join(root, name), top)


def includes(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            match = INCLUDE.match(text)
            if match:
                yield number, match[1] == '"', match[2]


def exists(*parts):
    return os.path.exists(os.path.join(top, *parts))


def check_public(path, line, name):
    if name == "libcpr/version.h" or exists("include", name):
        return
    fault(path, line, f"there is no public header <{name}>")


def check_lib(path):
    parts = path.split(os.sep)
    if len(parts) != 3 or parts[1] not in FLOORS:
        fault(path, 1, f"not on a floor: lib/<floor>/<file>, the floors are {', '.join(FLOORS)}")
        return
    floor = FLOORS.index(parts[1])
    for line, quoted, name in includes(path):
        target = name.split("/")[0]
        if target == "libcpr":
            check_public(path, line, name)
        elif target in FLOORS and "/" in name:
            if not quoted:
                fault(path, line, f'<{name}> is the library\'s own: write "{name}"')
            elif not exists("lib", name):
                fault(path, line, f'"{name}": there is no lib/{name}')
            elif FLOORS.index(target) > floor:
                fault(path, line, f'"{name}" is on floor {FLOORS.index(target)} ({target}), '
                                  f"above this file's floor {floor} ({parts[1]})")
        elif quoted and name != "config.h":
            fault(path, line, f'"{name}": name it by its floor, as in "{parts[1]}/{name}"')


def check_example(path):
    for line, quoted, name in includes(path):
        if name.split("/")[0] == "libcpr":
            check_public(path, line, name)
        elif quoted and not exists(os.path.dirname(path), name):
            fault(path, line, f'"{name}" isn\'t beside this file; an example includes <libcpr/libcpr.h>')
        elif name.split("/")[0] in FLOORS and exists("lib", name):
            fault(path, line, f"<{name}> is inside the library; an example includes <libcpr/libcpr.h>")


library = list(sources("lib"))
for source in library:
    check_lib(source)
for source in sources("examples"):
    check_example(source)
if not library:
    fault("lib", 0, "no sources found")
print(f"{len(library)} files of the library, {faults} faults")
sys.exit(faults > 0)
