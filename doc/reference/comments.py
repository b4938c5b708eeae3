# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the documentation comments of the public headers: chapters (SECTION:…) and entries, which are functions, types and macros.
A comment that can't be read is an error that names the place."""
import os
import re

STATES = ("FRESH", "INCOMING", "LOADED", "ACTIVE", "UPDATING", "LOST", "HANDED_OVER")
COMMENT = re.compile(r"/\*\*\n(.*?)\*/\n?", re.S)
# They begin a part of the text of their own, wherever in a paragraph they stand after a full stop.
LABELS = ("Errors", "Handoff and fork", "Permitted states", "Returns", "Since", "Threads")
LABEL = re.compile(rf"(?:^|(?<=[.)]\s))({'|'.join(LABELS)}):\s+".replace(" ", r"\s+"))
ANNOTATIONS = re.compile(r"((?:\([a-z ]+\)\s*)+):\s+")
SPELLED_OUT = {"nullable": "May be %NULL.", "optional": "May be %NULL.", "out": "The call sets it.",
               "transfer full": "It becomes the caller's.", "transfer none": "It doesn't become the caller's."}
PARAMETER = re.compile(r"@(\w+|\.\.\.):\s+(.*)")


class BadComment(Exception):
    pass


class Chapter:
    def __init__(self, name, title, text):
        self.name, self.title, self.text = name, title, text
        self.entries = []
        self.brief = brief_of(text)


class Permitted:
    """What stands after "Permitted states:". `states` is None where no session state decides; else state → note."""

    def __init__(self, text):
        self.text = text
        self.states = None
        rule, _, self.after = text.partition(". ") if ". " in text else (text.rstrip("."), "", "")
        match = re.fullmatch(r"all(?: but (\w+))?", rule)
        if match:
            self.states = {state: "" for state in STATES if state != match[1]}
        elif not re.match(r"needs no session|in ", rule):
            self.states = {}
            for name, note in re.findall(r"([A-Z_]+)\s*(?:\(([^)]*)\))?", re.sub(r",? and (?=[A-Z])", ", ", rule)):
                if name not in STATES:
                    raise BadComment(f"'{name}' isn't a session state")
                self.add(name, note)
            if not self.states:
                raise BadComment(f"can't tell the permitted states from '{text}'")

    def word(self, state):
        """"no", "yes", or "yes: " and the note."""
        if state not in self.states:
            return "no"
        return ": ".join(["yes", *filter(None, [self.states[state]])])

    def add(self, name, note):
        others = [other for other in re.findall(r"[A-Z_]{4,}", note) if other in STATES]
        if not others:
            self.states[name] = note
            return
        # "ACTIVE (in reboot mode INCOMING and LOADED, too)"; "LOADED (of an incoming session)" has none.
        self.states[name] = ""
        for other in others:
            self.states[other] = note[:note.index(others[0])].strip()


class Entry:
    def __init__(self, chapter, name, kind, declaration):
        self.chapter, self.name, self.kind, self.declaration = chapter, name, kind, declaration
        self.parameters = []
        self.text = ""
        self.labels = {}
        self.permitted = None

    @property
    def what_parameters_are(self):
        if self.kind == "enum":
            return "Values"
        return "Members" if self.kind == "struct" else "Parameters"


def brief_of(text):
    """The first sentence, without its full stop."""
    first = re.split(r"\n\s*\n", text.strip())[0]
    return re.split(r"(?<=[\w)'`])\.(?:\s|$)", " ".join(first.split()))[0].rstrip(".:")


def spell_out(text):
    """GLib's annotations, such as (nullable), in words at the end."""
    match = ANNOTATIONS.match(text)
    if not match:
        return text
    text = text[match.end():]
    for annotation in re.findall(r"\(([^)]*)\)", match[1]):
        if annotation not in SPELLED_OUT:
            raise BadComment(f"unknown annotation ({annotation})")
        if annotation not in ("nullable", "optional") or not re.search(r"%NULL", text):
            text = f"{text.rstrip('.')}. {SPELLED_OUT[annotation]}"
    return text


def split_labels(text):
    """(text without the labelled parts, label → its text)."""
    kept, labels = [], {}
    in_code = False
    for paragraph in re.split(r"\n[ \t]*\n", text):
        in_code |= "|[" in paragraph
        parts = [paragraph] if in_code else LABEL.split(paragraph)
        in_code &= "]|" not in paragraph
        if parts[0].strip():
            kept.append(parts[0].rstrip())
        for label, part in zip(parts[1::2], parts[2::2]):
            label = " ".join(label.split())
            labels[label] = f"{labels[label]}\n\n{part.strip()}" if label in labels else part.strip()
    return "\n\n".join(kept), labels


def split_parameters(lines):
    """([(name, text)], the lines after them)."""
    parameters = []
    for number, line in enumerate(lines):
        match = PARAMETER.match(line)
        if match:
            parameters.append((match[1], match[2]))
        elif line.strip() and parameters:
            parameters[-1] = (parameters[-1][0], f"{parameters[-1][1]} {line.strip()}")
        else:
            return parameters, lines[number:]
    return parameters, []


def kind_and_declaration(name, code, parameters):
    """From the code that follows the comment."""
    code = re.sub(r"/\*.*?\*/", "", code, flags=re.S).strip()
    if code.startswith("#define"):
        arguments = ", ".join(parameter for parameter, _ in parameters)
        return "macro", f"{name} ({arguments})" if parameters else f"#define {name}"
    code = re.sub(r"^CPR_API\s+", "", code)
    if re.match(r"typedef\s+(?:enum|struct)\s*\{|struct\s+\w+\s*\{", code):
        declaration = re.match(r".*?^\}[^;]*;", code, re.S | re.M)
        kind = "enum" if code.startswith("typedef enum") else "struct"
    else:
        declaration = re.match(r"[^;{]*;", code, re.S)
        kind = "type" if code.startswith("typedef") else "function"
    if not declaration or name not in declaration[0]:
        raise BadComment(f"{name}: its declaration doesn't follow")
    declaration = declaration[0] if kind in ("enum", "struct") else wrap_function(declaration[0])
    return kind, declaration


def wrap_function(declaration):
    """One parameter on each line where the whole is too long for a manual page."""
    declaration = re.sub(r"\s*\bG_GNUC_\w+(?:\s*\([^()]*\))?", "", " ".join(declaration.split()))
    declaration = declaration.replace("( ", "(").replace("* cpr_", "*cpr_")
    if len(declaration) <= 72 or "(" not in declaration:
        return declaration
    head, _, rest = declaration.rpartition(" (") if declaration.count("(") == 1 else declaration.partition(") (")
    head, sep = (head, " (") if declaration.count("(") == 1 else (head, ") (")
    parameters = re.split(r",\s*(?![^()]*\))", rest.rstrip(";").removesuffix(")"))
    return f"{head}{sep}\n    " + ",\n    ".join(parameters) + ");"


def read_entry(chapter, lines, code):
    name = lines[0].strip().rstrip(":")
    parameters, rest = split_parameters(lines[1:])
    kind, declaration = kind_and_declaration(name, code, parameters)
    entry = Entry(chapter, name, kind, declaration)
    entry.parameters = [(parameter, spell_out(text)) for parameter, text in parameters]
    entry.text, entry.labels = split_labels("\n".join(rest).strip())
    if "Returns" in entry.labels:
        entry.labels["Returns"] = spell_out(entry.labels["Returns"])
    entry.brief = brief_of(entry.text)
    if "Permitted states" in entry.labels:
        entry.permitted = Permitted(" ".join(entry.labels["Permitted states"].split()))
    return entry


def read_header(path):
    """The chapters of one header. Entries belong to its first one."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    chapters = []
    for match in COMMENT.finditer(text):
        lines = [re.sub(r"^\s*\* ?", "", line) for line in match[1].rstrip().split("\n")]
        try:
            if lines[0].startswith("SECTION:"):
                title = re.fullmatch(r"@title:\s+(.*)", lines[1])
                chapters.append(Chapter(lines[0].removeprefix("SECTION:").strip(), title[1], "\n".join(lines[2:]).strip()))
            elif chapters:
                chapters[0].entries.append(read_entry(chapters[0], lines, text[match.end():]))
            else:
                raise BadComment("there is no SECTION before it")
        except (BadComment, TypeError, AttributeError, IndexError) as error:
            raise BadComment(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {lines[0]} {error}") from error
    return chapters


def read_headers(paths):
    """In the order in which libcpr.h includes them."""
    by_name = {os.path.basename(path).removesuffix(".in"): path for path in paths}
    with open(by_name["libcpr.h"], encoding="utf-8") as file:
        order = ["libcpr.h", *re.findall(r"#include <libcpr/([\w-]+\.h)>", file.read())]
    return [chapter for name in order if name in by_name for chapter in read_header(by_name[name])]
