#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints a state as an annotated hex dump, as in the last section of doc/stream-format.md.

    annotate.py FILE

Only what the example there has is known: no SUCCESSOR, and of the kinds of fields UINT, INT and STRING.
"""
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpr_stream as cpr  # noqa: E402

KINDS = {cpr.UINT: "UINT", cpr.INT: "INT", cpr.STRING: "STRING"}
FLAGS = {cpr.ARRAY: "ARRAY", cpr.COUNTED: "COUNTED", cpr.OPTIONAL: "OPTIONAL", cpr.IGNORABLE: "IGNORABLE"}


class Dump:
    """Walks through the bytes; each element becomes a line, or some, of at most 16 bytes."""

    def __init__(self, data):
        self.data = data
        self.pos = 0
        self.lines = []

    def raw(self, size, note):
        piece = self.data[self.pos:self.pos + size]
        for at in range(0, size, 16):
            text = " ".join("%02x" % byte for byte in piece[at:at + 16])
            self.lines.append(("%06x  %-47s  %s" % (self.pos + at, text, note if at == 0 else "")).rstrip())
        self.pos += size
        return piece

    def number(self, size, note, form="%d"):
        value = int.from_bytes(self.data[self.pos:self.pos + size], "little")
        self.raw(size, (note + " " + form % value).lstrip())
        return value

    def string(self, note, length_size=2):
        size = int.from_bytes(self.data[self.pos:self.pos + length_size], "little")
        text = self.data[self.pos + length_size:self.pos + length_size + size].decode()
        self.raw(length_size + size + 1, "%s '%s'" % (note, text))
        return text

    def heading(self, text):
        self.lines += ["", "        " + text]


def header(dump):
    dump.heading("header")
    dump.raw(8, "magic")
    dump.raw(4, "version %d.%d" % struct.unpack_from("<HH", dump.data, dump.pos))
    dump.raw(4, "byte order")
    dump.raw(8, "flags")
    dump.raw(8, "checksum")


def vm(dump):
    dump.string("name")
    dump.string("boot id")
    for size, note in ((4, "user id"), (4, "process id"), (8, "generation"), (4, "run state"), (8, "saved, monotonic"),
                       (8, "saved, real")):
        dump.number(size, note)
    dump.number(8, "signal mask", "0x%x")


def program(dump):
    for what in ("arguments", "variables of the environment"):
        for _ in range(dump.number(4, "", "%d " + what)):
            dump.string("", 4)
    dump.string("working directory", 4)
    dump.string("name of the process", 4)
    dump.number(4, "umask", "0%o")
    dump.number(8, "ignored signals", "0x%x")
    for i in range(dump.number(4, "", "%d resource limits, soft and hard")):
        dump.raw(16, "limit %d" % i)


def fds(dump):
    for _ in range(dump.number(4, "", "%d fds")):
        dump.string("name")
        for size, note, form in ((4, "index", "%d"), (4, "fd", "%d"), (4, "type", "0%o"), (4, "access mode", "%d"),
                                 (8, "device", "%d"), (8, "inode", "%d"), (4, "socket domain", "%d"),
                                 (4, "socket type", "%d")):
            dump.number(size, note, form)


def ram(dump):
    for _ in range(dump.number(4, "", "%d RAM blocks")):
        dump.string("name")
        for size, note in ((8, "size"), (4, "backing"), (4, "flags")):
            dump.number(size, note)


def schema(dump):
    for i in range(dump.number(4, "", "%d structs")):
        dump.string("struct %d: name" % i)
        for _ in range(dump.number(4, "", "%d fields")):
            dump.string("field")
            kind, width, flags = struct.unpack_from("<BBH", dump.data, dump.pos)
            names = [name for bit, name in FLAGS.items() if flags & bit]
            dump.raw(4, ", ".join(["%s of width %d" % (KINDS[kind], width)] + names))
            dump.number(4, "count")
            dump.raw(4, "no struct")
            dump.number(8, "default")
    for _ in range(dump.number(4, "", "%d device types")):
        dump.string("type")
        for note in ("version", "minimum version", "struct"):
            dump.number(4, note)


def value(dump, field):
    """A field of a device; `field` is its form in the JSON."""
    if field["flags"] & cpr.OPTIONAL and not dump.number(1, field["name"] + ": presence"):
        return
    count = 1
    if field["flags"] & cpr.COUNTED:
        count = dump.number(4, "%s:" % field["name"], "%d values")
    if field["kind"] == cpr.STRING:
        size = struct.unpack_from("<I", dump.data, dump.pos)[0]
        dump.raw(4 + size, "%s '%s'" % (field["name"], dump.data[dump.pos + 4:dump.pos + 4 + size].decode()))
        return
    for _ in range(count):
        number = int.from_bytes(dump.data[dump.pos:dump.pos + field["width"]], "little",
                                signed=field["kind"] == cpr.INT)
        dump.raw(field["width"], "%s %d" % (field["name"], number))


def section(dump, state):
    dump.string("device")
    kind = state["types"][dump.number(4, "type")]
    dump.raw(4, "0")
    for field in state["structs"][kind["struct"]]["fields"]:
        value(dump, field)


def bulk(dump, start, length):
    dump.string("device")
    dump.number(8, "offset")
    if (dump.pos - start) % 8:
        dump.raw(-(dump.pos - start) % 8, "up to a multiple of 8")
    dump.raw(start + length - dump.pos, "data")


def chunk(dump, state, info):
    name = cpr.TYPE_NAMES[info["type"]]
    dump.heading(name)
    dump.raw(4, "type %d" % info["type"])
    dump.raw(4, "flags")
    dump.number(8, "length")
    start = dump.pos
    if name == "SECTION":
        section(dump, state)
    elif name == "BULK":
        bulk(dump, start, info["length"])
    elif name == "END":
        dump.number(8, "chunks before:")
    else:
        {"VM": vm, "PROGRAM": program, "FDS": fds, "RAM": ram, "SCHEMA": schema}[name](dump)
    if info["length"] % 8:
        dump.raw(-info["length"] % 8, "padding")
    dump.raw(8, "checksum")


def annotate(data):
    state = cpr.parse(data)
    dump = Dump(data)
    header(dump)
    for info in state["chunks"]:
        chunk(dump, state, info)
    return "\n".join(dump.lines[1:]) + "\n"


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        sys.stdout.write(annotate(file.read()))
