# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the manual pages: one in section 3 for each function, type and macro, and one in section 7 for each chapter."""
import os
import re

from blocks import blocks_of, pieces_of
from comments import STATES

BOLD = ("constant", "function", "type")


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha")
    return text.replace("~", "\\(ti").replace("…", "...").replace("→", "\\(->")


def guard(line):
    """A line that troff would take for a request."""
    return "\\&" + line if line.startswith((".", "'", "\\(aq")) else line


def chapter_page(name):
    return "libcpr" if name == "libcpr" else f"libcpr-{name}"


def inline(text):
    parts = []
    for kind, piece in pieces_of(text):
        plain = escape(piece)
        if kind == "function":
            parts.append(f"\\fB{plain}\\fP()")
        elif kind == "chapter":
            parts.append(f"\\fB{escape(chapter_page(piece))}\\fP(7)")
        elif kind in BOLD:
            parts.append(f"\\fB{plain}\\fP")
        elif kind == "code":
            parts.append(f"\\fB{plain}\\fP")
        elif kind in ("parameter", "emphasis"):
            parts.append(f"\\fI{plain}\\fP")
        else:
            parts.append(plain)
    return "".join(parts)


def paragraph(text):
    """One sentence on each line, which troff spaces as it likes."""
    return "\n".join(guard(line) for line in re.sub(r"(?<=[\w)'`][.?]) (?=[A-Z@%#`])", "\n", " ".join(text.split())).split("\n"))


def roff_text(text):
    return "\n".join(guard(inline(line)) for line in paragraph(text).split("\n"))


def roff_table(rows):
    """Cells as wide as they need to be; they wrap where the page ends."""
    lines = [".TS", "allbox;", " ".join(["lb"] * len(rows[0])), " ".join(["lx"] * len(rows[0])) + "."]
    for row in rows:
        lines.append("\t".join(f"T{{\n{guard(inline(cell))}\nT}}" if cell else "" for cell in row))
    return "\n".join([*lines, ".TE"])


def roff_code(text):
    return "\n".join([".RS 4", ".EX", *[guard(escape(line)) for line in text.split("\n")], ".EE", ".RE"])


def roff(text):
    out = []
    for kind, content in blocks_of(text):
        if kind == "text":
            out += [".PP", roff_text(content)]
        elif kind == "heading":
            out.append(f".SS {escape(content)}")
        elif kind == "code":
            out += [".PP", roff_code(content)]
        elif kind == "table":
            out += [".PP", roff_table(content)]
        else:
            for number, item in enumerate(content, 1):
                out += [".IP \\(bu 2" if kind == "bullets" else f".IP {number}. 4", roff_text(item)]
    # A paragraph needs no request where a section begins.
    return re.sub(r"(?:^|(?<=\n))(\.SS [^\n]*\n)?\.PP\n", lambda match: match[1] or (".PP\n" if match.start() else ""), "\n".join(out))


class Manual:
    def __init__(self, folder, version, chapters):
        self.folder, self.version, self.chapters = folder, version, chapters
        self.names = {entry.name for chapter in chapters for entry in chapter.entries}
        self.values = {value: entry for chapter in chapters for entry in chapter.entries if entry.kind == "enum"
                       for value, _ in entry.parameters}

    def write(self, name, section, brief, parts):
        head = [".\\\" Made from libcpr's headers; change those.",
                f".TH {escape(name)} {section} \"\" \"libcpr {self.version}\" \"libcpr\"", ".nh", ".ad l", ".SH NAME",
                f"{escape(name)} \\- {inline(re.sub('^[A-Z](?=[a-z ])', lambda first: first[0].lower(), brief))}"]
        body = [line for title, text in parts if text for line in (f".SH {title}", text)]
        text = "\n".join([*head, *body]) + "\n"
        if "\n.TS\n" in text:
            text = "'\\\" t\n" + text
        self.put(name, section, text)

    def put(self, name, section, text):
        folder = os.path.join(self.folder, f"man{section}")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{name}.{section}"), "w", encoding="utf-8") as file:
            file.write(text)

    def references(self, text, chapter, without):
        """What stands under SEE ALSO: the chapter, and the pages that the text mentions."""
        found = {chapter_page(chapter): 7} if chapter else {}
        for kind, piece in pieces_of(text):
            if kind == "chapter":
                found[chapter_page(piece)] = 7
            elif kind == "constant" and piece in self.values:
                found[self.values[piece].name] = 3
            elif piece.split(".")[0] in self.names:
                found[piece.split(".")[0]] = 3
        found.pop(without, None)
        return ",\n".join(f".BR {escape(name)} ({section})" for name, section in sorted(found.items(), key=lambda of: (of[1], of[0])))

    def entry(self, entry):
        labels = entry.labels
        parameters = "\n".join(f".TP\n\\fI{escape(name)}\\fP\n{roff_text(text)}" for name, text in entry.parameters)
        everything = " ".join([entry.text, *[text for _, text in entry.parameters], *labels.values()])
        self.write(entry.name, 3, entry.brief, [
            ("SYNOPSIS", f".nf\n\\fB#include <libcpr/libcpr.h>\\fP\n.PP\n{escape(entry.declaration)}\n.fi"),
            (entry.what_parameters_are.upper(), parameters),
            ("DESCRIPTION", roff(entry.text)),
            ("RETURN VALUE", roff(labels.get("Returns", ""))),
            ("ERRORS", roff(labels.get("Errors", ""))),
            ("SESSION STATES", self.states(entry.permitted)),
            ("THREADS", roff(labels.get("Threads", ""))),
            ("HANDOFF AND FORK", roff(labels.get("Handoff and fork", ""))),
            ("HISTORY", f"Since libcpr {labels['Since'].rstrip('.')}." if "Since" in labels else ""),
            ("SEE ALSO", self.references(everything, entry.chapter.name, entry.name)),
        ])
        for value, _ in entry.parameters if entry.kind == "enum" else []:
            self.put(value, 3, f".so man3/{entry.name}.3\n")

    def states(self, permitted):
        if permitted is None:
            return ""
        if permitted.states is None:
            return f"Permitted: {roff_text(permitted.text)}"
        rows = [f"{escape(state)}\t{escape(permitted.word(state))}" for state in STATES]
        after = f"\n.PP\n{roff_text(permitted.after)}" if permitted.after else ""
        return "\n".join([".TS", "l l.", *rows, ".TE"]) + after

    def chapter(self, chapter):
        pages = "\n".join(f".TP\n.BR {escape(entry.name)} (3)\n{inline(entry.brief)}" for entry in chapter.entries)
        self.write(chapter_page(chapter.name), 7, chapter.brief, [
            ("SYNOPSIS", "\\fB#include <libcpr/libcpr.h>\\fP"),
            ("DESCRIPTION", roff(chapter.text)),
            ("PAGES", pages),
            ("CHAPTERS", "\n".join(f".TP\n.BR {escape(chapter_page(other.name))} (7)\n{inline(other.brief)}"
                                   for other in self.chapters if other is not chapter) if chapter.name == "libcpr" else ""),
            ("SEE ALSO", self.references(chapter.text, "libcpr", chapter_page(chapter.name))),
        ])

    def all(self):
        for chapter in self.chapters:
            self.chapter(chapter)
            for entry in chapter.entries:
                self.entry(entry)
