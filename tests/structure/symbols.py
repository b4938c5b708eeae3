#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the names in libcpr.map, the symbols that libcpr.so exports, the functions that the public headers declare with
CPR_API, and the functions that they document are the same; and the documentation is complete: every parameter, member and
value, `Returns:` where something is returned, `Permitted states` and `Since:`; and it mentions only what exists. No symbol
of the library has a name that QEMU uses."""
import glob
import os
import re
import shlex
import subprocess
import sys

top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
build = os.environ.get("top_builddir", os.path.join(top, "build"))
nm = shlex.split(os.environ.get("NM", "nm"))

# A VMM may link libcpr beside QEMU's own CPR code.
QEMU = re.compile(r"cpr_(save_fd|find_fd|delete_fd|open_fd|walk_fd|is_incoming|state_.*|exec_.*|transfer_.*)$")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
DOC = re.compile(r"/\*\*\n(.*?)\*/", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:.*\\\n)*.*$", re.M)
PROTOTYPE = re.compile(r"(CPR_API\s+)?(?<![\w#])((?:const\s+)?\w+[\s*]+?(?:const\s*\*)?)(cpr_\w+)\s*\(([^;{]*)\)\s*;")
ATTRIBUTE = re.compile(r"\bG_GNUC_\w+\s*\([^()]*\)")
FUNCTION_TYPE = re.compile(r"typedef\s+(\w+[\s*]+?)\(\*(\w+)\)\s*\(([^;]*)\)\s*;")
ENUM = re.compile(r"typedef\s+enum\s*\{([^}]*)\}\s*(\w+)\s*;")
STRUCT = re.compile(r"typedef\s+struct\s*\{([^}]*)\}\s*(\w+)\s*;|struct\s+_(\w+)\s*\{([^}]*)\}\s*;")
OPAQUE = re.compile(r"typedef\s+struct\s+_\w+\s+(\w+)\s*;")
MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(CPR_\w+)(?:\(([^)]*)\))?(?=\s|$)((?:.*\\\n)*.*)$", re.M)
# What stands at the end of a field.
FIELD_MODIFIERS = {"CPR_ALIASES", "CPR_OPTIONAL", "CPR_IGNORABLE", "CPR_WRITTEN_AS"}
faults = 0


def fault(path, line, message):
    global faults
    faults += 1
    print(f"{path}:{line}: {message}")


def blank(match):
    """Takes text out and keeps the line numbers."""
    return re.sub(r"[^\n]", " ", match[0])


def parameter_names(text):
    text = text.strip()
    if text in ("", "void"):
        return []
    return [re.search(r"(\w+|\.\.\.)\s*(?:\[[^]]*\])?\s*$", part)[1] for part in text.split(",")]


def macro_parameters(macros, twins):
    """name → (line, parameters). CPR_X(...), whose arguments go to CPR_X_ (…), has the names that CPR_X_ gives them in
    field-c.h and in field-cxx.h; that it hands all of them on, with an empty one at the end, is checked in the text."""
    found = {}
    for name, (line, text, body) in macros.items():
        twin = twins.get(name + "_")
        if text.strip() == "..." and twin and re.fullmatch(rf"{name}_\s*\(__VA_ARGS__,\s*\)", body):
            text = twin[1]
        found[name] = (line, [parameter.rstrip("_") for parameter in parameter_names(text)])
    return found


def member_names(text):
    text = re.sub(r"\([^()*]*\)(?=\s*;)", "", text)  # the parameters of function pointers
    names = []
    for part in text.split(";"):
        match = re.search(r"\(\*\s*(\w+)\s*\)|(\w+)\s*(?:\[[^]]*\]\s*)*$", part.strip())
        if match:
            names.append(match[1] or match[2])
    return names


def value_names(text):
    return re.findall(r"(?:^|,)\s*(\w+)", text)


class Doc:
    """One documentation comment: `name:`, then `@parameter: …` lines, then the text."""

    def __init__(self, path, line, text):
        lines = [re.sub(r"^\s*\* ?", "", row) for row in text.split("\n")]
        self.path, self.line = path, line
        self.name = lines[0].strip().rstrip(":")
        self.is_section = self.name.startswith("SECTION:")
        self.parameters = []
        for row in [] if self.is_section else lines[1:]:
            match = re.match(r"@(\w+|\.\.\.):\s*(\S?)", row)
            if match:
                self.parameters.append(match[1])
                if not match[2]:
                    fault(path, line, f"{self.name}: @{match[1]} is named but not described")
        self.text = " ".join(" ".join(lines[1:]).split())

    def has(self, words):
        return words in self.text

    def compare(self, names, what):
        for name in names:
            if name not in self.parameters:
                fault(self.path, self.line, f"{self.name}: {what} '{name}' isn't documented")
        for name in self.parameters:
            if name not in names:
                fault(self.path, self.line, f"{self.name}: '@{name}' is documented but there is no such {what}")
        if sorted(names) == sorted(self.parameters) and names != self.parameters:
            fault(self.path, self.line, f"{self.name}: the order is {', '.join(self.parameters)}; "
                                        f"it should be {', '.join(names)}")


class Header:
    """What one public header declares: name → (line, …)."""

    def __init__(self, path):
        with open(os.path.join(top, path), encoding="utf-8") as file:
            text = file.read()
        self.path = path
        self.docs = [Doc(path, text.count("\n", 0, match.start()) + 2, match[1]) for match in DOC.finditer(text)]
        bare = COMMENT.sub(blank, text)
        line_of = lambda match, group: bare.count("\n", 0, match.start(group)) + 1
        self.all_macros = {match[1]: (line_of(match, 1), match[2] or "", match[3].strip()) for match in MACRO.finditer(bare)}
        code = ATTRIBUTE.sub(blank, DIRECTIVE.sub(blank, bare))
        self.functions, self.types, self.forward = {}, {}, set()
        for match in PROTOTYPE.finditer(code):
            line = line_of(match, 3)
            if not match[1]:
                fault(path, line, f"{match[3]} is declared without CPR_API")
            self.functions[match[3]] = (line, match[2].strip() != "void", parameter_names(match[4]))
        for match in FUNCTION_TYPE.finditer(code):
            self.types[match[2]] = (line_of(match, 2), "parameter", parameter_names(match[3]))
        for match in ENUM.finditer(code):
            self.types[match[2]] = (line_of(match, 2), "value", value_names(match[1]))
        for match in OPAQUE.finditer(code):
            self.types.setdefault(match[1], (line_of(match, 1), "member", []))
            self.forward.add(match[1])
        for match in STRUCT.finditer(code):
            name, body = (match[2], match[1]) if match[2] else (match[3], match[4])
            self.types[name] = (line_of(match, 2 if match[2] else 3), "member", member_names(body))
            self.forward.discard(name)

    def find_macros(self, headers):
        twins = {name: macro for header in headers for name, macro in header.all_macros.items()}
        # Those that end in _ are for the others' use.
        self.macros = {name: of for name, of in macro_parameters(self.all_macros, twins).items() if not name.endswith("_")}


def check_function(header, doc, name):
    line, returns, parameters = header.functions[name]
    doc.compare(parameters, "parameter")
    if returns and not doc.has("Returns:"):
        fault(doc.path, doc.line, f"{name}: no 'Returns:'")
    if not returns and doc.has("Returns:"):
        fault(doc.path, doc.line, f"{name}: has a 'Returns:' but returns nothing")
    for words in ("Since:", "Permitted states:"):
        if not doc.has(words):
            fault(doc.path, doc.line, f"{name}: no '{words}'")
    if line < doc.line:
        fault(doc.path, doc.line, f"{name}: the documentation stands after the declaration")


def check_header(header, headers):
    documented = set()
    elsewhere = {name for other in headers for name in other.types.keys() - other.forward}
    for doc in header.docs:
        if doc.is_section:
            continue
        if doc.name in documented:
            fault(doc.path, doc.line, f"{doc.name} is documented twice")
        documented.add(doc.name)
        if doc.name in header.functions:
            check_function(header, doc, doc.name)
        elif doc.name in header.types:
            _, what, names = header.types[doc.name]
            doc.compare(names, what)
        elif doc.name in header.macros:
            doc.compare(header.macros[doc.name][1], "parameter")
            if (doc.name.startswith("CPR_FIELD") or doc.name in FIELD_MODIFIERS) and not doc.has("Since:"):
                fault(doc.path, doc.line, f"{doc.name}: no 'Since:'")
        else:
            fault(doc.path, doc.line, f"{doc.name} is documented but not declared in this header")
    for name, (line, *_) in sorted({**header.functions, **header.types}.items()):
        if name not in documented and not (name in header.forward and name in elsewhere):
            fault(header.path, line, f"{name} isn't documented")
    for name, (line, parameters) in sorted(header.macros.items()):
        if (name.startswith("CPR_FIELD") or name in FIELD_MODIFIERS) and name not in documented:
            fault(header.path, line, f"{name} isn't documented")
        if parameters == ["..."]:
            fault(header.path, line, f"{name} doesn't say what its arguments are: no {name}_ (__VA_ARGS__, )")


def check_mentions(headers):
    functions = {name for header in headers for name in header.functions}
    types = {name for header in headers for name in header.types}
    values = {v for header in headers for _, what, names in header.types.values() if what == "value" for v in names}
    values |= {name for header in headers for name in header.macros}
    for header in headers:
        for doc in header.docs:
            for name in re.findall(r"\b(cpr_\w+) ?\(", doc.text):
                if name not in functions:
                    fault(doc.path, doc.line, f"{doc.name}: mentions {name}(), which there isn't")
            for name in re.findall(r"#(Cpr\w+)", doc.text):
                if name not in types:
                    fault(doc.path, doc.line, f"{doc.name}: mentions {name}, which there isn't")
            for name in re.findall(r"%(CPR_\w+)", doc.text) + re.findall(r"\b(CPR_[A-Z_]*[A-Z])\(\)", doc.text):
                if name not in values:
                    fault(doc.path, doc.line, f"{doc.name}: mentions {name}, which there isn't")


def map_names():
    names, version, is_global = {}, None, False
    with open(os.path.join(top, "libcpr.map"), encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            text = text.split("#")[0].strip()
            if text.endswith("{"):
                version = text.split()[0]
            elif text in ("global:", "local:"):
                is_global = text == "global:"
            elif is_global and text.endswith(";") and not text.startswith("}"):
                name = text[:-1].strip()
                if not re.fullmatch(r"cpr_\w+", name):
                    fault("libcpr.map", line, f"'{name}' isn't the name of a function")
                if name in names:
                    fault("libcpr.map", line, f"{name} is there twice")
                names[name] = (line, version)
    return names


def symbols(path, *options):
    output = subprocess.run([*nm, *options, path], check=True, capture_output=True, text=True).stdout
    rows = [row.split() for row in output.splitlines()]
    return {row[-1]: row[-2] for row in rows if len(row) >= 2 and row[-2] not in ("A", "a")}


def check_library(names):
    path = os.path.join(build, ".libs", "libcpr.so")
    if not os.path.exists(path):
        print(f"not compared with the shared library: there is no {path}")
        return
    exported = {}
    for symbol in symbols(path, "-D", "--defined-only"):
        name, _, version = symbol.partition("@")
        exported[name] = version.lstrip("@")
    for name, (line, version) in names.items():
        if name not in exported:
            fault("libcpr.map", line, f"{name} isn't exported by the library: it is not defined or it is hidden")
        elif exported[name] != version:
            fault("libcpr.map", line, f"{name} has the version {exported[name]} in the library, {version} here")
    for name in sorted(exported.keys() - names.keys()):
        fault(path, 0, f"exports {name}, which libcpr.map doesn't name")


def declaration_in_lib(name):
    for path in sorted(glob.glob(os.path.join(top, "lib", "*", "*.h"))):
        with open(path, encoding="utf-8") as file:
            for line, text in enumerate(file, 1):
                if re.search(rf"\b{name} \(", text):
                    return os.path.relpath(path, top), line
    return "lib", 0


def check_foreign_names(headers):
    for header in headers:
        for name, (line, *_) in {**header.functions, **header.types}.items():
            if QEMU.match(name) or name in ("CprState", "CprFd"):
                fault(header.path, line, f"{name} is a name of QEMU's")
    for path in glob.glob(os.path.join(build, ".libs", "libcpr-internal.a")):
        for name in sorted(symbols(path, "--extern-only", "--defined-only")):
            if QEMU.match(name):
                fault(*declaration_in_lib(name), f"{name} is a name of QEMU's; it would clash in a static link")


paths = sorted(glob.glob(os.path.join(top, "include", "libcpr", "*.h")) +
               glob.glob(os.path.join(top, "include", "libcpr", "*.h.in")))
headers = [Header(os.path.relpath(path, top)) for path in paths if not os.path.exists(path + ".in")]
for header in headers:
    header.find_macros(headers)
for header in headers:
    check_header(header, headers)
check_mentions(headers)

names = map_names()
declared = {name: (header.path, header.functions[name][0]) for header in headers for name in header.functions}
for name in sorted(declared.keys() - names.keys()):
    fault(*declared[name], f"{name} isn't in libcpr.map")
for name in sorted(names.keys() - declared.keys()):
    fault("libcpr.map", names[name][0], f"{name} isn't declared in a public header")
check_library(names)
check_foreign_names(headers)
if not declared:
    fault("include/libcpr", 0, "no functions found")
print(f"{len(declared)} functions, {faults} faults")
sys.exit(faults > 0)
