#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the library calls the kernel through the table cpr_sys where the table has the call, so that a test can let it fail. Who
calls it directly is listed here, with the reason."""
import os
import re
import sys

HANDLER = "runs in the signal handler of fatal.c, too, where a test's table isn't safe; denied.py denies it by a filter"
QUIET = "runs in the signal handler of fatal.c, without errno"
DIRECT = {  # file, function: why
    ("lib/handoff/exec/fatal.c", "fds_are_there"): QUIET,
    ("lib/handoff/exec/guardian.c", "cpr_guardian_launch_quietly"): QUIET,
    ("lib/handoff/exec/guardian.c", "leave_successor"): "runs in the guardian, where libc and its errno aren't to be had",
    ("lib/process/surroundings.c", "cpr_surroundings_read"): HANDLER,
    ("lib/process/surroundings.c", "open_proc"): HANDLER,
    ("lib/process/surroundings.c", "raise_limit"): HANDLER,
    ("lib/process/surroundings.c", "raise_limits"): HANDLER,
    ("lib/process/surroundings.c", "read_control_group"): HANDLER,
    ("lib/process/surroundings.c", "read_namespaces"): HANDLER,
    ("lib/process/surroundings.c", "read_oom_score_adj"): HANDLER,
    ("lib/process/surroundings.c", "read_status"): HANDLER,
    ("lib/process/surroundings.c", "restore_oom_score_adj"): HANDLER,
    ("lib/process/surroundings.c", "restore_scheduling"): HANDLER,
    ("lib/session/api/fd.c", "open_and_add"): "open() is the VMM's callback there",
    ("lib/session/api/update.c", "cpr_session_cancel"): "a VMM's signal handler may call it, and the fd is an eventfd, which is readable "
                                                    "already where the write fails",
}
TABLE = "lib/base/sys.c"
# They do what one of the table does.
SIBLINGS = {
    "accept", "access", "creat", "dup", "dup2", "execv", "execvp", "fopen", "fork", "fstatat", "lstat", "open64", "openat", "opendir",
    "pipe", "ppoll", "pwritev", "readv", "recv", "recvfrom", "rename", "renameat", "select", "send", "sendto", "vfork", "wait", "writev",
}
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', re.S)
FUNCTION = re.compile(r"^(\w+) \(", re.M)
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
faults = 0


def read_code(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return COMMENT_OR_STRING.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), file.read())


def read_table():
    """The functions behind the table, and the numbers that it gives to syscall()."""
    code = read_code(TABLE)
    entries = set(re.findall(r"^  \.\w+ = (\w+),$", code, re.M))
    wrapped = set()
    for name in {entry for entry in entries if entry.startswith("sys_")}:
        body = re.search(rf"^{name} \([^{{]*\{{(.*?)^\}}", code, re.M | re.S)[1]
        wrapped |= set(re.findall(r"return (?:\([^)]*\) )?(?:syscall \((SYS_\w+)|(\w+) \()", body))
    numbers = {number for number, _ in wrapped if number}
    names = {name for _, name in wrapped if name} | {entry for entry in entries if not entry.startswith("sys_")}
    return names, numbers


def sources():
    for root, folders, names in os.walk(os.path.join(top, "lib")):
        folders.sort()
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(root, name), top)


names, numbers = read_table()
call = re.compile(r"(?<![\w>.])(?:(" + "|".join(sorted(names | SIBLINGS)) + r") \(|syscall \((" + "|".join(sorted(numbers)) + r")\b)")
used = set()
if "open" not in names or "SYS_pidfd_open" not in numbers:
    faults += 1
    print(f"{TABLE}:1: the table wasn't understood")
for path in sources():
    if path == TABLE:
        continue
    code = read_code(path)
    for match in call.finditer(code):
        functions = FUNCTION.findall(code, 0, match.start())
        where = (path, functions[-1] if functions else "")
        if where in DIRECT:
            used.add(where)
            continue
        faults += 1
        print(f"{path}:{code.count(chr(10), 0, match.start()) + 1}: {where[1]}() calls {match[1] or match[2]} and not cpr_sys")
for path, function in sorted(DIRECT.keys() - used):
    faults += 1
    print(f"{path}: {function}() makes no direct call; take it out of the list")
print(f"{len(names) + len(numbers)} calls, {faults} faults")
sys.exit(faults > 0)
