#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the documents, the models, the headers, and the comments and error texts of lib/ have none of the words that
doc/glossary.md retired, and no sentence in them opens with a bare "What", "Who", "One that" or "Of". Code in documents is left
out."""
import glob
import os
import re
import sys

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
GLOSSARY = "doc/glossary.md"
TABLE = re.compile(r"## Retired\n.*", re.S)
# The pieces of a C file: comments and strings are text, the rest is blanked. A character constant may be a quote.
C = re.compile(r"(?P<comment>/\*.*?\*/)|(?P<string>\"(?:\\.|[^\"\\\n])*\")|(?P<char>'(?:\\.|[^'\\\n])')|(?P<code>[^/\"']+|.)", re.S)
MARK = "\0"  # where a text begins
OPENER = re.compile(rf"(?:{MARK}|[.!?]\s|\n\s*\n)\s*(What|Who|One that|Of)\s(?![^.!?]*\?)")


def read(path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def strip_comment(text):
    return MARK + " " + re.sub(r"(?m)^ *\*/?", lambda match: blank(match[0]), text[2:-2].replace("*", " ", 1)) + "  "


def c_text(text):
    """As long as the file, so that a place in it is a place in the file."""
    kinds = {"comment": strip_comment, "string": lambda piece: MARK + piece[1:-1] + " ", "char": blank, "code": blank}
    return C.sub(lambda match: kinds[match.lastgroup](match[0]), text)


def document_text(text):
    for code in (r"(?s)```.*?```", r"(?m)^ {4,}\S.*$", r"`[^`]*`", r"(?m)^#.*$"):
        text = re.sub(code, lambda match: blank(match[0]), text)
    return MARK + re.sub(r"(?m)^( *)[-*|]", rf"\1{MARK}", text).replace("|", MARK)[:-1]


def retired():
    """The phrases in the first column of the glossary's last table, as one expression."""
    rows = TABLE.search(read(GLOSSARY))[0].split("\n")[4:]
    phrases = [phrase.strip() for row in rows if row.startswith("|") for phrase in row.split("|")[1].split(",")]
    words = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"\b(?:{words})s?\b(?!\.[ch]\b)", re.I), len(phrases)


def faults_of(path, expression):
    text = read(path)
    if path == GLOSSARY:
        text = TABLE.sub("", text)
    text = c_text(text) if path.endswith((".c", ".h", ".pml")) else document_text(text)
    found = [(match.start(), match[0]) for match in expression.finditer(text)]
    found += [(match.start(1), f"{match[1]} …, at the start of a sentence") for match in OPENER.finditer(text)]
    return [(text.count("\n", 0, at) + 1, " ".join(what.split())) for at, what in sorted(found)]


def main():
    expression, n_phrases = retired()
    names = ("*.md", "NEWS", "doc/*.md", "doc/*.1", "doc/model/*.pml", "include/libcpr/*.h", "lib/**/*.md", "lib/**/*.[ch]")
    files = sorted({os.path.relpath(path, top) for name in names for path in glob.glob(os.path.join(top, name), recursive=True)})
    lines = [f"{path}:{line}: {what}" for path in files for line, what in faults_of(path, expression)]
    print("\n".join(lines + [f"{len(files)} files, {n_phrases} phrases, {len(lines)} faults"]))
    return bool(lines) or not files or not n_phrases


sys.exit(main())
