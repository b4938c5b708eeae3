#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: tests/vmm/x86-guests.S has the bytes of the guests for x86-64 as they are built now. Where the assembler is for another
architecture the software CPU of tests/vmm runs these.

    tests/structure/x86-guests.py --write        writes the file"""
import os
import platform
import re
import struct
import sys

GUESTS = ("ticker", "memcheck")
top = os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", ".."))
build = os.environ.get("top_builddir", os.path.join(top, "build"))
path = os.path.join(top, "tests", "vmm", "x86-guests.S")
program = os.path.join(build, "examples", "minivmm", "minivmm")

HEAD = """/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Written by tests/structure/x86-guests.py: the guests for x86-64 where the assembler is for another architecture. The software CPU runs
 * them anywhere. The guest \"edu\" is empty: a software CPU has no function of the host for it. */

        .section .rodata
        .globl  guest_edu_start, guest_edu_end
        .hidden guest_edu_start, guest_edu_end
guest_edu_start:
guest_edu_end:
"""
TAIL = """
        .section .note.GNU-stack, "", %progbits
"""


def read_sections(elf):
    """Of a file of 64 bits: (type, address, offset, size, link) of each section."""
    offset, = struct.unpack_from("<Q", elf, 40)
    size, number = struct.unpack_from("<HH", elf, 58)
    for i in range(number):
        _, kind, _, address, begin, length, link = struct.unpack_from("<IIQQQQI", elf, offset + i * size)
        yield kind, address, begin, length, link


def read_symbols(elf, sections):
    symtab = next(section for section in sections if section[0] == 2)
    strings = sections[symtab[4]][2]
    for offset in range(symtab[2], symtab[2] + symtab[3], 24):
        name, _, section, value, _ = struct.unpack_from("<IBxHQQ", elf, offset)
        text = elf[strings + name:elf.index(b"\0", strings + name)].decode()
        if section < len(sections):
            yield text, sections[section][2] + value - sections[section][1]


def read_guests():
    with open(program, "rb") as file:
        elf = file.read()
    places = dict(read_symbols(elf, list(read_sections(elf))))
    return {name: elf[places[f"guest_{name}_start"]:places[f"guest_{name}_end"]] for name in GUESTS}


def write_guest(name, code):
    lines = [", ".join(f"0x{byte:02x}" for byte in code[i:i + 20]) for i in range(0, len(code), 20)]
    symbols = f"guest_{name}_start, guest_{name}_end"
    text = f"\n        .globl  {symbols}\n        .hidden {symbols}\nguest_{name}_start:\n"
    return text + "".join(f"        .byte   {line}\n" for line in lines) + f"guest_{name}_end:\n"


def main():
    if platform.machine() != "x86_64":
        print(f"SKIP: this is {platform.machine()}: the guests for x86-64 aren't assembled here")
        sys.exit(77)
    text = HEAD + "".join(write_guest(name, code) for name, code in read_guests().items()) + TAIL
    if sys.argv[1:] == ["--write"]:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    with open(path, encoding="utf-8") as file:
        same = file.read() == text
    print("as it is built" if same else f"{path}: differs from what is built; --write renews it")
    print(f"{len(re.findall('0x', text))} bytes")
    sys.exit(not same)


main()
