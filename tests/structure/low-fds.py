#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: no fd that the library makes lands on 0, 1 or 2: each call that makes one is an argument of cpr_fd_above_std() or
cpr_fd_from(), or makes a number above by itself, or is one of those that are listed here with the function that sees to it."""
import os
import re
import sys

MAKES = re.compile(r"cpr_sys->(open|socket|accept4|eventfd|memfd_create|pidfd_open|pidfd_getfd|pipe2|socketpair|dup3|recvmsg)\b|"
                   r"(?<![\w>])(open|openat|fopen|socket|socketpair|pipe2?|eventfd|timerfd_create|memfd_create|dup|dup2|dup3) \(")
WRAPPED = re.compile(r"cpr_fd_(above_std|from) \(\s*$")
ELSEWHERE = {  # file, call: where it is seen to
    ("lib/base/fd.c", "memfd_create"): "cpr_memfd_new() moves what it returns",
    ("lib/ask/child.c", "pipe2"): "open_pipe() moves both ends",
    ("lib/handoff/transfer/channel.c", "recvmsg"): "take_fds() moves each",
    ("lib/handoff/transfer/hello.c", "recvmsg"): "cpr_hello_is_waiting() has no room for fds",
    ("lib/handoff/transfer/start.c", "socketpair"): "cpr_start_open() moves both ends",
    ("lib/handoff/exec/give-back.c", "dup3"): "fetch_fd() puts a carried fd at its own number",
    ("lib/process/streams.c", "dup3"): "fetch() puts a standard stream at its own number",
    ("lib/session/api/fd.c", "open"): "the VMM's own callback",
}
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
faults = 0
used = set()
for root, _, names in sorted(os.walk(os.path.join(top, "lib"))):
    for name in sorted(names):
        path = os.path.relpath(os.path.join(root, name), top)
        if not name.endswith(".c") or path == "lib/base/sys.c":
            continue
        with open(os.path.join(top, path), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/|\"(?:[^\"\\\n]|\\.)*\"", lambda m: re.sub(r"[^\n]", " ", m[0]), file.read(), flags=re.S)
        for match in MAKES.finditer(text):
            call = match[1] or match[2]
            if (path, call) in ELSEWHERE:
                used.add((path, call))
            elif not WRAPPED.search(text[:match.start()]):
                faults += 1
                print(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {call}() may answer with 0, 1 or 2: cpr_fd_above_std()")
for path, call in sorted(ELSEWHERE.keys() - used):
    faults += 1
    print(f"{path}: there is no {call}() any more; take it out of the list")
sys.exit(faults > 0)
