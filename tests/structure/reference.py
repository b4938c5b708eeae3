#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the reference that is made of the headers' comments has a manual page and a web page for every exported function, and for every
type and value of the public headers; each function that needs a session has the table of session states. No link leads nowhere, in the
web pages or in a Markdown file of the tree."""
import glob
import html.parser
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse

top = os.path.abspath(os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", "..")))
STATES = ("FRESH", "INCOMING", "LOADED", "ACTIVE", "UPDATING", "LOST", "HANDED_OVER")
faults = 0


def fault(place, message):
    global faults
    faults += 1
    print(f"{place}: {message}")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def make(folder):
    headers = sorted(glob.glob(os.path.join(top, "include", "libcpr", "*.h")))
    headers = [path for path in headers if not os.path.exists(path + ".in")] + [os.path.join(top, "include/libcpr/version.h.in")]
    try:
        import markdown  # noqa: F401
        more = ["--html", "--documents", *sorted(glob.glob(os.path.join(top, "doc", "*.md")))]
    except ImportError:
        more = []
    made = subprocess.run([sys.executable, "-B", os.path.join(top, "doc/reference/make.py"), "--version", "0", "--folder", folder,
                           "--headers", *headers, *more], capture_output=True, text=True)
    if made.returncode != 0:
        fault("doc/reference/make.py:1", f"it ended with {made.returncode}: {made.stdout}{made.stderr}")
        sys.exit(1)
    return bool(more)


def public_names():
    """name → where it is, from the map and the headers, without the reference's own reader."""
    names = {name: "libcpr.map" for name in re.findall(r"^\s+(cpr_\w+);", read(os.path.join(top, "libcpr.map")), re.M)}
    for path in glob.glob(os.path.join(top, "include", "libcpr", "*.h")):
        code = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
        found = re.findall(r"\}\s*(Cpr\w+);|typedef[^;{}]*?\(\*(Cpr\w+)\)|typedef struct _\w+ (Cpr\w+);|^\s+(CPR_\w+)(?: =[^,\n]*)?,?$", code, re.M)
        names.update({name: os.path.relpath(path, top) for match in found for name in match if name})
    return names


def check_page(folder, has_web, name, place):
    manual = os.path.join(folder, "man3", f"{name}.3")
    if not os.path.exists(manual):
        fault(place, f"{name} has no manual page")
        return
    text = read(manual)
    needs_session = name.startswith("cpr_") and "SESSION STATES" in text and "Permitted: " not in text
    if name.startswith("cpr_") and "SESSION STATES" not in text:
        fault(place, f"{name}: its manual page doesn't say in which session states it may be called")
    if needs_session and not all(re.search(rf"^{state}\t", text, re.M) for state in STATES):
        fault(place, f"{name}: its manual page has no table of all session states")
    page = os.path.join(folder, "html", f"{name}.html")
    if not has_web or text.startswith(".so "):
        return
    if not os.path.exists(page):
        fault(place, f"{name} has no web page")
    elif needs_session and 'class="states"' not in read(page):
        fault(place, f"{name}: its web page has no table of session states")


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        if "id" in of:
            self.ids.add(of["id"])
        if tag in ("a", "link"):
            self.links.append(of["href"])


def check_links(folder):
    pages = {os.path.basename(path): Page(read(path)) for path in glob.glob(os.path.join(folder, "html", "*.html"))}
    for name, page in sorted(pages.items()):
        for link in page.links:
            target, _, fragment = link.partition("#")
            target = urllib.parse.unquote(target) or name
            if re.match(r"[a-z]+:", target):
                continue
            if not os.path.exists(os.path.join(folder, "html", target)):
                fault(f"reference: {name}", f"links to {target}, which there isn't")
            elif fragment and fragment not in pages[target].ids:
                fault(f"reference: {name}", f"links to {target}#{fragment}, which there isn't")
    # Everything can be reached from the first page.
    seen, next_ones = set(), ["index.html"]
    while next_ones:
        name = next_ones.pop()
        if name not in seen and name in pages:
            seen.add(name)
            next_ones += [link.partition("#")[0] for link in pages[name].links]
    for name in sorted(pages.keys() - seen):
        fault(f"reference: {name}", "no page leads to it")
    return len(pages)


def check_markdown():
    for root, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith((".git", "build", "libcpr-", "reference"))]
        for name in names:
            path = os.path.join(root, name)
            for target in re.findall(r"\]\(([^)#\s]+)", read(path)) if name.endswith(".md") else []:
                if not re.match(r"[a-z]+:", target) and not os.path.exists(os.path.join(root, target)):
                    fault(os.path.relpath(path, top), f"links to {target}, which there isn't")


with tempfile.TemporaryDirectory() as work:
    has_web = make(work)
    names = public_names()
    for name, place in sorted(names.items()):
        check_page(work, has_web, name, place)
    n_pages = check_links(work) if has_web else 0
    if has_web and n_pages < 100:
        fault("reference", f"there are {n_pages} web pages only")
check_markdown()
print(f"{len(names)} names, {n_pages} web pages, {faults} faults")
if len(names) < 200:
    fault("libcpr.map", f"{len(names)} public names only")
if faults == 0 and not has_web:
    print("SKIP: the web pages, as Python's markdown module is missing")
    sys.exit(77)
sys.exit(faults > 0)
