#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the reference from the comments in the public headers: manual pages (FOLDER/man3, FOLDER/man7) and, where --html is given,
web pages (FOLDER/html), with the documents of doc/ beside them. Python's own library does for the manual pages; the web pages need
python3-markdown. Run by the Makefile: make.py --version V --folder FOLDER [--html --documents FILE…] --headers FILE…"""
import argparse
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from comments import BadComment, read_headers  # noqa: E402
from man import Manual  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
parser.add_argument("--version", required=True)
parser.add_argument("--folder", required=True)
parser.add_argument("--html", action="store_true")
parser.add_argument("--documents", nargs="*", default=[])
parser.add_argument("--headers", nargs="+", required=True)
options = parser.parse_args()
try:
    chapters = read_headers(options.headers)
except BadComment as error:
    sys.exit(str(error))
for name in ("man3", "man7", "html"):
    shutil.rmtree(os.path.join(options.folder, name), ignore_errors=True)
Manual(options.folder, options.version, chapters).all()
if options.html:
    from web import Web
    Web(os.path.join(options.folder, "html"), options.version, chapters, options.documents).all()
