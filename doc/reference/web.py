# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the reference as web pages: a page for each name and each chapter, the documents of doc/, a table of the session states, and an
index. Needs python3-markdown."""
import html
import os
import re
import shutil

import markdown

from blocks import blocks_of, pieces_of
from comments import STATES

EXTENSIONS = ["tables", "fenced_code", "toc", "sane_lists"]
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – libcpr {version}</title>
<link rel="stylesheet" href="style.css">
</head>
<body>
<nav><a href="index.html">libcpr {version}</a> <a href="guide.html">Guide</a> <a href="index.html#chapters">Chapters</a>
<a href="states.html">Session states</a> <a href="names.html">All names</a></nav>
<main>
{body}
</main>
</body>
</html>
"""


def chapter_file(name):
    return f"chapter-{name}.html"


def anchor(name):
    return re.sub(r"[^\w-]+", "-", name.lower())


class Web:
    def __init__(self, folder, version, chapters, documents):
        self.folder, self.version, self.chapters = folder, version, chapters
        self.documents = {os.path.basename(path): path for path in documents}
        self.entries = {entry.name: entry for chapter in chapters for entry in chapter.entries}
        self.values = {value: entry for entry in self.entries.values() if entry.kind == "enum" for value, _ in entry.parameters}

    def put(self, name, title, body):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(PAGE.format(title=html.escape(title), version=self.version, body=body))

    # ---- The text of comments ----

    def link(self, name, shown):
        if name in self.entries:
            return f'<a href="{name}.html">{shown}</a>'
        if name in self.values:
            return f'<a href="{self.values[name].name}.html#{name}">{shown}</a>'
        return shown

    def inline(self, text):
        parts = []
        for kind, piece in pieces_of(text):
            plain = html.escape(piece, quote=False)
            if kind == "function":
                parts.append(self.link(piece, f"<code>{plain}()</code>"))
            elif kind in ("constant", "type"):
                parts.append(self.link(piece, f"<code>{plain}</code>"))
            elif kind == "chapter":
                chapter = next(chapter for chapter in self.chapters if chapter.name == piece)
                parts.append(f'<a href="{chapter_file(piece)}">{html.escape(chapter.title)}</a>')
            elif kind == "code":
                parts.append(f"<code>{plain}</code>")
            elif kind == "parameter":
                parts.append(f"<code class=\"parameter\">{plain}</code>")
            elif kind == "emphasis":
                parts.append(f"<em>{plain}</em>")
            else:
                parts.append(re.sub(r"\bdoc/([\w-]+)\.md\b", self.document_link, plain))
        return "".join(parts)

    def document_link(self, match):
        return f'<a href="{match[1]}.html">{match[0]}</a>' if f"{match[1]}.md" in self.documents else match[0]

    def table(self, rows):
        head, *rest = [[self.inline(cell) for cell in row] for row in rows]
        lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
        lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rest]
        return "<table>\n" + "\n".join(lines) + "\n</table>"

    def text(self, text):
        out = []
        for kind, content in blocks_of(text):
            if kind == "text":
                out.append(f"<p>{self.inline(content)}</p>")
            elif kind == "heading":
                out.append(f'<h2 id="{anchor(content)}">{html.escape(content)}</h2>')
            elif kind == "code":
                out.append(f"<pre><code>{html.escape(content, quote=False)}</code></pre>")
            elif kind == "table":
                out.append(self.table(content))
            else:
                tag = "ul" if kind == "bullets" else "ol"
                out.append(f"<{tag}>\n" + "\n".join(f"<li>{self.inline(item)}</li>" for item in content) + f"\n</{tag}>")
        return "\n".join(out)

    # ---- Pages ----

    def entry(self, entry):
        declaration = re.sub(r"\b\w+\b", lambda word: word[0] if word[0] == entry.name else self.link(word[0], word[0]),
                             html.escape(entry.declaration, quote=False))
        parts = [f'<h1>{entry.name}{"()" if entry.kind == "function" else ""}</h1>',
                 f'<p class="chapter">Chapter <a href="{chapter_file(entry.chapter.name)}">{html.escape(entry.chapter.title)}</a></p>',
                 f"<pre><code>{declaration}</code></pre>", self.text(entry.text)]
        if entry.parameters:
            rows = [f'<dt id="{html.escape(name)}"><code>{html.escape(name)}</code></dt>\n<dd>{self.inline(text)}</dd>'
                    for name, text in entry.parameters]
            parts += [f"<h2>{entry.what_parameters_are}</h2>", "<dl>", *rows, "</dl>"]
        for label in ("Returns", "Errors", "Permitted states", "Threads", "Handoff and fork", "Since"):
            if label in entry.labels:
                is_states = label == "Permitted states" and entry.permitted.states is not None
                parts += [f"<h2>{label}</h2>", self.states(entry.permitted) if is_states else self.text(entry.labels[label])]
        self.put(f"{entry.name}.html", entry.name, "\n".join(parts))

    def states(self, permitted):
        cells = [permitted.word(state) for state in STATES]
        after = f"\n<p>{self.inline(permitted.after)}</p>" if permitted.after else ""
        return ('<table class="states">\n<tr>' + "".join(f"<th>{self.state_link(state)}</th>" for state in STATES) + "</tr>\n<tr>" +
                "".join(f'<td class="{cell[:3].strip(":")}">{html.escape(cell)}</td>' for cell in cells) + "</tr>\n</table>" + after)

    def state_link(self, state):
        return self.link(f"CPR_SESSION_STATE_{state}", state)

    def all_states(self):
        rows = [f'<tr><th></th>{"".join(f"<th>{self.state_link(state)}</th>" for state in STATES)}</tr>']
        for entry in self.entries.values():
            if entry.permitted and entry.permitted.states is not None:
                cells = [entry.permitted.word(state) for state in STATES]
                rows.append(f"<tr><th>{self.link(entry.name, entry.name)}</th>" +
                            "".join(f'<td class="{cell[:3].strip(":")}">{html.escape(cell)}</td>' for cell in cells) + "</tr>")
        self.put("states.html", "Session states", "<h1>Session states</h1>\n<p>The functions that need a session, and the session states "
                 "in which each may be called.</p>\n<table class=\"states\">\n" + "\n".join(rows) + "\n</table>")

    def chapter(self, chapter):
        rows = "\n".join(f"<dt>{self.link(entry.name, f'<code>{entry.name}</code>')}</dt>\n<dd>{self.inline(entry.brief)}</dd>"
                         for entry in chapter.entries)
        self.put(chapter_file(chapter.name), chapter.title, f"<h1>{html.escape(chapter.title)}</h1>\n{self.text(chapter.text)}" +
                 (f"\n<h2 id=\"pages\">Pages</h2>\n<dl>\n{rows}\n</dl>" if rows else ""))

    def document(self, name, path):
        """Links lead to the pages here; what isn't among them, such as a source file, keeps its name without a link."""
        with open(path, encoding="utf-8") as file:
            text = file.read()
        body = markdown.markdown(re.sub(r"<!--.*?-->\n?", "", text, flags=re.S), extensions=EXTENSIONS)
        body = re.sub(r'<a href="([^"]*)">(.*?)</a>', self.moved_link, body, flags=re.S)
        title = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.S)
        self.titles[name] = re.sub(r"<[^>]*>", "", title[1])
        self.put(name.removesuffix(".md") + ".html", html.unescape(self.titles[name]), body)

    def moved_link(self, match):
        target, _, fragment = match[1].partition("#")
        name = os.path.basename(target)
        if re.match(r"[a-z]+:", target) or not target:
            return match[0]
        if name in self.documents:
            target = name.removesuffix(".md") + ".html"
        elif target.rstrip("/").endswith("include/libcpr"):
            target = "index.html"
        elif "include/libcpr/" in target and any(chapter.name == name.removesuffix(".h") for chapter in self.chapters):
            target = chapter_file(name.removesuffix(".h"))
        else:
            return match[2]
        return f'<a href="{target}{"#" + fragment if fragment else ""}">{match[2]}</a>'

    def index(self):
        documents = "\n".join(f'<li><a href="{name.removesuffix(".md")}.html">{title}</a></li>'
                              for name, title in sorted(self.titles.items(), key=lambda of: (of[0] != "guide.md", of[1].lower())))
        chapters = "\n".join(f'<dt><a href="{chapter_file(chapter.name)}">{html.escape(chapter.title)}</a></dt>\n'
                             f"<dd>{self.inline(chapter.brief)}</dd>" for chapter in self.chapters)
        self.put("index.html", "Reference", f"<h1>libcpr {self.version}</h1>\n"
                 f'<h2 id="documents">Documents</h2>\n<ul>\n{documents}\n</ul>\n<h2 id="chapters">Chapters of the reference</h2>\n'
                 f"<dl>\n{chapters}\n</dl>")
        names = sorted([*self.entries, *self.values], key=str.lower)
        self.put("names.html", "All names", "<h1>All names</h1>\n<ul class=\"names\">\n" +
                 "\n".join(f"<li>{self.link(name, f'<code>{name}</code>')}</li>" for name in names) + "\n</ul>")

    def all(self):
        os.makedirs(self.folder, exist_ok=True)
        shutil.copyfile(os.path.join(os.path.dirname(os.path.abspath(__file__)), "style.css"), os.path.join(self.folder, "style.css"))
        self.titles = {}
        for name, path in self.documents.items():
            self.document(name, path)
        for chapter in self.chapters:
            self.chapter(chapter)
        for entry in self.entries.values():
            self.entry(entry)
        self.all_states()
        self.index()
