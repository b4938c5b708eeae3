#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: each message in doc/troubleshooting.md is one that the library has: its words, between the … for names and numbers, stand in this
order in one message of lib/."""
import glob
import os
import re
import sys

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
PAGE = "doc/troubleshooting.md"
LITERAL = r'"(?:[^"\\]|\\.)*"'
# Adjacent literals are one, also with a macro such as PRIu64 between them.
LITERALS = re.compile(rf"{LITERAL}(?:\s*(?:PRI\w+|[A-Z_]{{4,}})?\s*{LITERAL})*")
DIRECTIVE = re.compile(r"%[-0-9.*#+ ]*[a-z]*[diouxXscfgpm]|%$")


def messages():
    for path in glob.glob(os.path.join(top, "lib", "**", "*.c"), recursive=True):
        with open(path, encoding="utf-8") as file:
            for match in LITERALS.finditer(re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)):
                text = "".join(literal[1:-1] for literal in re.findall(LITERAL, match[0])).replace('\\"', '"')
                yield DIRECTIVE.sub("…", text)


known = sorted(set(messages()))
faults = count = 0
with open(os.path.join(top, PAGE), encoding="utf-8") as page:
    for number, line in enumerate(page, 1):
        match = re.match(r"\| `([^`]+)` \|", line)
        if not match:
            continue
        count += 1
        words = [word for word in match[1].split("…") if re.search(r"\w{2}", word)]
        pattern = re.compile(".*".join(re.escape(word) for word in words), re.S)
        if not any(pattern.search(text) for text in known):
            faults += 1
            print(f"{PAGE}:{number}: the library has no message '{match[1]}'")
print(f"{len(known)} texts in the library, {count} messages on the page, {faults} faults")
sys.exit(faults > 0 or count == 0)
