#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: each block of C in the guide, and in threads.md, is what a source has that is built and run. And each link in a document
leads to a file, and to a heading, that is there. The line before a block says where it is from, and --write copies it from there:

    <!-- from examples/07-kvm.c: vcpu_main; set_up "CprSessionConfig" to "};" -->

A name is that of a function, a type, a variable or a macro, of which the block has the whole, with the comment before it. With
two texts it is the lines from the one that has the first text to the next one that has the second."""
import glob
import os
import re
import sys
import textwrap

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
ALL_FROM_SOURCES = ("doc/guide.md", "doc/threads.md")
BLOCK = re.compile(r"(?m)^(?:<!-- from (?P<file>\S+): (?P<pieces>.*) -->\n)?```c\n(?P<code>(?s:.*?))^```$")
PIECE = re.compile(r'(?P<name>\w+)(?: "(?P<first>[^"]+)" to "(?P<last>[^"]+)")?')
LIST = re.compile(re.sub(r"\(\?P<\w+>", "(", rf"{PIECE.pattern}(?:; {PIECE.pattern})*"))
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]*))?\)")


def read(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def paragraphs(source):
    """The pieces of a C file between empty lines, where a body in braces is in one piece."""
    piece, is_body = [], False
    for line in source.split("\n") + [""]:
        if line or is_body:
            piece.append(line)
            is_body = (is_body or re.match(r"\{|\S.*\{$", line)) and not line.startswith("}")
        elif piece:
            yield piece
            piece = []


def definition(path, name):
    pattern = re.compile(rf"{name} \(|\}} {name};|#define {name}\b|(?:\w[^(=]*[ *])?{name}(?:\[\w*\])? =")
    found = [piece for piece in paragraphs(read(path)) if any(map(pattern.match, piece))]
    if len(found) != 1:
        raise LookupError(f"{path} has {len(found)} definitions of {name}")
    return found[0]


def quote(path, name, first, last):
    lines = definition(path, name)
    if first:
        begin = next((i for i, line in enumerate(lines) if first in line), None)
        end = next((i for i in range(begin or 0, len(lines)) if last in lines[i]), None)
        if begin is None or end is None:
            raise LookupError(f"{path}: {name} has no line with {(first if begin is None else last)!r}")
        lines = lines[begin : end + 1]
    return textwrap.dedent("\n".join(lines) + "\n")


def quote_all(path, pieces):
    if not LIST.fullmatch(pieces):
        raise LookupError(f"{pieces!r} isn't a list of names")
    return "\n".join(quote(path, *match.group("name", "first", "last")) for match in PIECE.finditer(pieces))


def check_blocks(path, write):
    text, faults = read(path), []

    def check(match):
        line = text.count("\n", 0, match.start()) + 1
        if not match["file"]:
            faults.extend([f"{path}:{line}: a block that isn't from a source"] if path in ALL_FROM_SOURCES else [])
            return match[0]
        try:
            code = quote_all(match["file"], match["pieces"])
        except (LookupError, OSError) as error:
            faults.append(f"{path}:{line}: {error}")
            return match[0]
        if code != match["code"] and not write:
            faults.append(f"{path}:{line}: not what {match['file']} has; run tests/structure/guide.py --write")
        return f"<!-- from {match['file']}: {match['pieces']} -->\n```c\n{code}```"

    written, n_blocks = BLOCK.sub(check, text), len(BLOCK.findall(text))
    if write and written != text:
        with open(os.path.join(top, path), "w", encoding="utf-8") as file:
            file.write(written)
    return n_blocks, faults


def headings(path):
    text = re.sub(r"(?s)```.*?```", "", read(path))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.*)$", text)}


def check_links(path):
    text, faults = read(path), []
    for match in LINK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        target = os.path.normpath(os.path.join(os.path.dirname(path), match["path"])) if match["path"] else path
        if not os.path.exists(os.path.join(top, target)):
            faults.append(f"{path}:{line}: there is no {target}")
        elif match["heading"] and match["heading"] not in headings(target):
            faults.append(f"{path}:{line}: {target} has no heading #{match['heading']}")
    return faults


def main():
    documents = sorted(os.path.relpath(path, top) for path in glob.glob(os.path.join(top, "*.md")) + glob.glob(os.path.join(top, "doc/*.md")))
    n_blocks, faults = 0, []
    for path in documents:
        n, found = check_blocks(path, "--write" in sys.argv[1:])
        n_blocks += n
        faults += found + check_links(path)
    print("\n".join(faults + [f"{len(documents)} documents, {n_blocks} blocks, {len(faults)} faults"]))
    return bool(faults) or not n_blocks


if __name__ == "__main__":
    sys.exit(main())
