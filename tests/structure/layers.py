#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a file in a room of lib includes headers of its own room and of lower ones, public headers, and what configure found
out; nothing else of the tree. No files include each other, a .c and its header being one, and none call each other, whatever header
declares it. Each .c says in its second line what it is. No folder has more than 12 .c files. Examples include public headers only,
their own, named from the example's top folder, and what minivmm lends to others."""
import collections
import os
import re
import sys

# From the lowest to the highest.
ROOMS = ["base", "gate", "stream", "registry", "registry/ram", "registry/device", "registry/vfio", "vfio", "kvm", "kvm/x86", "kvm/arm64", "kvm/api", "kvm/needs", "process",
         "state", "ask", "handoff", "handoff/exec", "handoff/transfer", "handoff/reboot", "session/parts", "session", "session/api", "chardev"]
LENT = ("examples", "minivmm")  # its folder support
LARGEST_FOLDER = 12  # in .c files
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
DEFINED = re.compile(r"^(cpr_\w+) \(", re.M)  # a function's name begins its line
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.S)
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
faults = 0
includes_of = {}  # the files that each one includes, without their suffixes


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


def second_line(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.readlines()[1]


def exists(*parts):
    return os.path.exists(os.path.join(top, *parts))


def check_public(path, line, name):
    if name == "libcpr/version.h" or exists("include", name):
        return
    fault(path, line, f"there is no public header <{name}>")


def check_lib(path):
    room = os.path.dirname(os.path.relpath(path, "lib"))
    if room not in ROOMS:
        fault(path, 1, f"not in a room of lib: {', '.join(ROOMS)}")
        return
    floor = ROOMS.index(room)
    if path.endswith(".c") and not second_line(path).startswith("/* "):
        fault(path, 2, "a comment should say here what this file is and who calls it")
    for line, quoted, name in includes(path):
        target = os.path.dirname(name)
        if target == "libcpr":
            check_public(path, line, name)
        elif target in ROOMS:
            if not quoted:
                fault(path, line, f'<{name}> is the library\'s own: write "{name}"')
            elif not exists("lib", name):
                fault(path, line, f'"{name}": there is no lib/{name}')
            elif ROOMS.index(target) > floor:
                fault(path, line, f'"{name}" is in {target}, which is above {room}')
            else:
                includes_of.setdefault(os.path.relpath(path, "lib")[:-2], set()).add(name[:-2])
        elif quoted and name != "config.h":
            fault(path, line, f'"{name}": name it by its room, as in "{room}/{name}"')


def find_calls(paths):
    """The files whose functions each .c uses."""
    texts, homes, calls = {}, {}, {}
    for path in paths:
        if path.endswith(".c"):
            with open(os.path.join(top, path), encoding="utf-8") as file:
                texts[os.path.relpath(path, "lib")[:-2]] = COMMENT_OR_STRING.sub("", file.read())
    for module, text in texts.items():
        homes.update((name, module) for name in DEFINED.findall(text))
    for module, text in texts.items():
        calls[module] = {homes[name] for name in re.findall(r"\bcpr_\w+", text) if name in homes} - {module}
    return calls


def reached_from(module, edges):
    found, todo = set(), [module]
    while todo:
        for other in edges.get(todo.pop(), set()) - found:
            found.add(other)
            todo.append(other)
    return found


def find_circles(edges):
    reached = {module: reached_from(module, edges) - {module} for module in edges}
    back = {module: {other for other in reached[module] if module in reached.get(other, ())} for module in edges}
    return sorted({tuple(sorted(others | {module})) for module, others in back.items() if others})


def check_example(path):
    for line, quoted, name in includes(path):
        if name.split("/")[0] == "libcpr":
            check_public(path, line, name)
        elif quoted and not exists(*path.split(os.sep)[:-1][:2], name) and not (name.startswith("support/") and exists(*LENT, name)):
            fault(path, line, f'"{name}" isn\'t a file of this example, named from its top folder; the library is <libcpr/libcpr.h>')
        elif os.path.dirname(name) in ROOMS and exists("lib", name):
            fault(path, line, f"<{name}> is inside the library; an example includes <libcpr/libcpr.h>")


def check_sizes(top_folder):
    folders = collections.Counter(os.path.dirname(path) for path in sources(top_folder) if path.endswith(".c"))
    for folder, n in sorted(folders.items()):
        if n > LARGEST_FOLDER:
            fault(folder, 0, f"a folder should have at most {LARGEST_FOLDER} .c files, and this one has {n}")


library = list(sources("lib"))
for source in library:
    check_lib(source)
for source in sources("examples"):
    check_example(source)
for circle in find_circles(includes_of):
    fault("lib", 0, f"these include each other: {', '.join(circle)}")
for circle in find_circles(find_calls(library)):
    fault("lib", 0, f"these call each other: {', '.join(circle)}")
for top_folder in "lib", "examples", "tools":
    check_sizes(top_folder)
if not library:
    fault("lib", 0, "no sources found")
print(f"{len(library)} files of the library, {faults} faults")
sys.exit(faults > 0)
