#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the example in doc/stream-format.md is what the library writes, byte for byte, and both readers read it."""
import os
import re
import tempfile

from readers import claim, cpr, good, main, read, same_json, source, write_state
import annotate  # beside the independent reader, where the line above looks

PAGE = os.path.join(source, "doc", "stream-format.md")
LINE = re.compile(r"([0-9a-f]{6})  ((?:[0-9a-f]{2} ?){1,16})(?:  |$)")


def page_example():
    """The text of the block in the section "Example"."""
    with open(PAGE, encoding="utf-8") as file:
        section = re.search(r"^## \d+\. Example$.*?^```\n(.*?)^```$", file.read(), re.M | re.S)
    claim(section, "doc/stream-format.md has no example")
    return section[1]


def bytes_of(text):
    data = b""
    for line in text.splitlines():
        match = LINE.match(line)
        claim(match or not line.strip() or line.startswith("        "), f"what is the line {line!r}?")
        if match:
            claim(int(match[1], 16) == len(data), f"the line {line!r} stands at 0x{len(data):x}")
            data += bytes.fromhex(match[2])
    return data


def written():
    with tempfile.TemporaryDirectory(prefix="cpr-") as folder:
        return read(write_state("example", folder))


def the_page_shows_what_the_library_writes():
    data, text = bytes_of(page_example()), page_example()
    claim(data == written(), "doc/stream-format.md: the example isn't what the library writes; it is now:\n"
                             + annotate.annotate(written()))
    claim(text == annotate.annotate(data), "doc/stream-format.md: the words beside the example's bytes should be:\n"
                                           + annotate.annotate(data))
    return f"{len(data)} bytes"


def both_readers_read_the_page():
    data = bytes_of(page_example())
    good("verify", "-", stdin=data)
    same_json(data)
    state = cpr.parse(data)
    claim(state["devices"] == [{"name": "timer0", "type": "timer", "fields": {
        "period": 1000, "level": None, "label": "hpet", "queue": [7, -1]}}], f"the devices are {state['devices']}")
    return f"{len(state['chunks'])} chunks"


main(the_page_shows_what_the_library_writes, both_readers_read_the_page)
