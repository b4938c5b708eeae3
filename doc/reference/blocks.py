# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the text of a documentation comment apart: paragraphs, lists, tables, headings and code."""
import re

ITEM = re.compile(r"(-|\d+\.)\s+(.*)")
ROW = re.compile(r"\|.*\|$")
# %CONSTANT, #Type, #SECTION:chapter, @parameter, function(), `code`, *emphasis*
INLINE = re.compile(r"(`[^`]+`|%[A-Z]\w+|#SECTION:[a-z-]+|#[A-Z]\w+(?:\.\w+)?|@(?:\w+|\.\.\.)|\b\w+\(\)|(?<![\w*])\*[^\s*][^*]*\*)")


def blocks_of(text):
    """A list of (kind, content): "text" and "heading" have a string, "code" its text, "bullets" and "numbers" a list of strings, "table" a
    list of rows."""
    blocks = []
    code = None
    for line in [*text.split("\n"), ""]:
        bare = line.strip()
        last = blocks[-1] if blocks else ("", None)
        if code is not None:
            if bare.endswith("]|"):
                blocks.append(("code", "\n".join(code)))
                code = None
            else:
                code.append(line)
        elif bare.startswith("|["):
            code = []
        elif not bare:
            blocks.append(("end", None))
        elif bare.startswith("## "):
            blocks.append(("heading", bare[3:]))
        elif ITEM.match(bare):
            add_item(blocks, *ITEM.match(bare).groups())
        elif ROW.match(bare):
            if last[0] != "table":
                blocks.append(("table", []))
            if not re.fullmatch(r"[|\s:-]+", bare):
                blocks[-1][1].append([cell.strip() for cell in bare.strip("|").split("|")])
        elif last[0] in ("bullets", "numbers"):
            last[1][-1] += " " + bare
        elif last[0] == "text":
            blocks[-1] = ("text", last[1] + " " + bare)
        else:
            blocks.append(("text", bare))
    if code is not None:
        raise ValueError("'|[' has no ']|'")
    return [block for block in blocks if block[0] != "end"]


def add_item(blocks, mark, text):
    kind = "bullets" if mark == "-" else "numbers"
    while len(blocks) > 1 and blocks[-1][0] == "end" and blocks[-2][0] == kind:
        blocks.pop()
    if not blocks or blocks[-1][0] != kind:
        blocks.append((kind, []))
    blocks[-1][1].append(text)


def pieces_of(text):
    """(kind, content): "code", "constant", "chapter", "type", "parameter", "function", "emphasis" or "text"."""
    for piece in INLINE.split(text):
        if not piece:
            continue
        if not INLINE.fullmatch(piece):
            yield "text", piece
        elif piece[0] == "`":
            yield "code", piece.strip("`")
        elif piece[0] == "%":
            yield "constant", piece[1:]
        elif piece.startswith("#SECTION:"):
            yield "chapter", piece.removeprefix("#SECTION:")
        elif piece[0] == "#":
            yield "type", piece[1:]
        elif piece[0] == "@":
            yield "parameter", piece[1:]
        elif piece[0] == "*":
            yield "emphasis", piece.strip("*")
        else:
            yield "function", piece.removesuffix("()")
