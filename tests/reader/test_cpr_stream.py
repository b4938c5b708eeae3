#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tests of cpr_stream.py, with a writer of their own, so that neither needs the library."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import xxhash
except ImportError:
    print("SKIP: python3-xxhash is missing")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cpr_stream as cpr  # noqa: E402

READER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cpr_stream.py")

# ---------------------------------------------------------------------------------------------------------------------
# The writer


def u8(value):
    return struct.pack("<B", value)


def u16(value):
    return struct.pack("<H", value)


def u32(value):
    return struct.pack("<I", value)


def u64(value):
    return struct.pack("<Q", value)


def s(raw):
    return u16(len(raw)) + raw + b"\0"


def t(raw):
    return u32(len(raw)) + raw + b"\0"


def table(items):
    return u32(len(items)) + b"".join(items)


def checked(raw):
    return raw + u64(xxhash.xxh3_64_intdigest(raw))


def header(magic=b"\x89CPR\r\n\x1a\n", major=1, minor=0, order=0x01020304, flags=0):
    return checked(magic + struct.pack("<HHIQ", major, minor, order, flags))


def chunk(kind, payload, flags=0, length=None, pad=b"\0"):
    length = len(payload) if length is None else length
    return checked(struct.pack("<IIQ", kind, flags, length) + payload + pad * (-len(payload) % 8))


def frame(chunks, end=True, head=None, count=None):
    """A stream of (type, payload) or (type, payload, flags), and the offsets of the chunks, that of END last."""
    out = header() if head is None else head
    offsets = []
    for item in chunks:
        offsets.append(len(out))
        out += chunk(*item)
    offsets.append(len(out))
    if end:
        out += chunk(cpr.END, u64(len(chunks) if count is None else count))
    return out, offsets


BOOT_ID = b"01234567-89ab-cdef-0123-456789abcdef"


def vm(name=b"guest", boot_id=BOOT_ID, run_state=1):
    return (s(name) + s(boot_id) + u32(1000) + u32(42) + u64(7) + u32(run_state) + u64(111) + u64(222)
            + u64(1 << 63))


def program(argv=(b"/bin/vmm", b""), environment=(b"A=b",), cwd=b"/", comm=b"fifteen-letters", limits=((1, 2),) * 16):
    return (table([t(a) for a in argv]) + table([t(e) for e in environment]) + t(cwd) + t(comm) + u32(0o22)
            + u64(1 << 12) + table([u64(soft) + u64(hard) for soft, hard in limits]))


def fd(name=b"tap", index=0, number=5):
    return s(name) + u32(index) + u32(number) + struct.pack("<IIQQII", 0o140000, 2, 3, 4, 16, 3)


def block(name=b"main", size=4096, backing=0, flags=0x1f):
    return s(name) + u64(size) + u32(backing) + u32(flags)


def field(name=b"f", kind=cpr.UINT, width=4, flags=0, count=1, ref=0xffffffff, default=0):
    return s(name) + struct.pack("<BBHIIQ", kind, width, flags, count, ref, default)


def struct_def(name, fields):
    return s(name) + table(fields)


def device_type(name=b"nic", version=3, minimum=2, ref=0):
    return s(name) + u32(version) + u32(minimum) + u32(ref)


def schema(structs, types):
    return table(structs) + table(types)


def section(name, index, values, zero=0):
    return s(name) + u32(index) + u32(zero) + values


def bulk(name, offset, data, pad=b"\0"):
    start = s(name) + u64(offset)
    return start + pad * (-len(start) % 8) + data


FD_LIST = [fd(), fd(index=1, number=6), fd(b"libcpr:ram:main", 0, 7), fd(b"libcpr:" + b"x" * 503, 0x7fffffff, 8),
           fd(b"n" * 255, 0, 0x7fffffff)]

# ---------------------------------------------------------------------------------------------------------------------
# A good state with every kind, width and combination of flags

# By kind: (width, some values as they are stored, the same as JSON).
SAMPLES = {
    cpr.BOOL: [(1, [b"\0", b"\1"], [False, True])],
    cpr.UINT: [(1, [b"\xff", b"\0"], [255, 0]), (2, [b"\x01\xff"], [0xff01]), (4, [b"\xff" * 4], [0xffffffff]),
               (8, [b"\xff" * 8], [0xffffffffffffffff])],
    cpr.INT: [(1, [b"\xff", b"\x7f"], [-1, 127]), (2, [b"\0\x80"], [-32768]), (4, [b"\xfe\xff\xff\xff"], [-2]),
              (8, [b"\0" * 7 + b"\x80"], [-1 << 63])],
    cpr.FLOAT: [(4, [b"\0\0\x80\x3f"], ["0x3f800000"]), (8, [b"\0" * 6 + b"\xf0\x3f", b"\1" + b"\0" * 7],
                                                         ["0x3ff0000000000000", "0x0000000000000001"])],
    cpr.BYTES: [(1, [b"\xab", b"\0", b"\x01"], "ab0001")],
    cpr.STRUCT: [(0, [b"\x05\xff", b"\x06\x01"], [{"a": 5, "b": -1}, {"a": 6, "b": 1}])],
    cpr.STRING: [(1, [u32(2) + b"\xc3\xa9"], ["\u00e9"])],
    cpr.FD: [(4, [s(b"tap") + u32(1), s(b"") + u32(0)], [{"name": "tap", "index": 1}, None])],
    cpr.TIME: [(8, [b"\xff" * 8, b"\1" + b"\0" * 7], [-1, 1])],
}
INNER = struct_def(b"inner", [field(b"a", width=1), field(b"b", cpr.INT, 1)])


def allowed(kind, flags):
    if flags & cpr.COUNTED and not flags & cpr.ARRAY or flags & cpr.IGNORABLE and not flags & cpr.OPTIONAL:
        return False
    if kind == cpr.BYTES and not flags & cpr.ARRAY or kind == cpr.STRING and flags & cpr.ARRAY:
        return False
    return not (kind == cpr.STRUCT and flags & 7 == cpr.ARRAY | cpr.OPTIONAL)


def default_of(kind, width):
    if kind in (cpr.INT, cpr.TIME):
        return (1 << 64) - 2
    if kind in (cpr.UINT, cpr.FLOAT):
        return (1 << width * 8) - 1
    return 1 if kind == cpr.BOOL else 0


def every_field():
    """For each legal combination: the definition, the bytes and JSON of a present value, those of the least value."""
    for kind, samples in SAMPLES.items():
        for flags in range(16):
            for width, stored, values in samples:
                if allowed(kind, flags):
                    yield one_field(kind, width, flags, stored, values)


def one_field(kind, width, flags, stored, values):
    name = b"k%dw%df%d" % (kind, width, flags)
    is_array = flags & cpr.ARRAY
    count = len(stored) if is_array else 9 if kind == cpr.STRING else 1
    ref = 0 if kind == cpr.STRUCT else 0xffffffff
    default = default_of(kind, width) if flags & cpr.OPTIONAL else 0
    definition = field(name, kind, width, flags, count, ref, default)
    full = b"".join(stored) if is_array else stored[0]
    full_json = values if is_array else values[0]
    least, least_json = full, full_json
    if flags & cpr.COUNTED:
        full = u32(count) + full
        least, least_json = u32(0), "" if kind == cpr.BYTES else []
    if flags & cpr.OPTIONAL:
        full = u8(1) + full
        least, least_json = u8(0), None
    json_form = {"name": name.decode(), "kind": kind, "width": width, "flags": flags, "count": count,
                 "struct": 0 if kind == cpr.STRUCT else None, "default": default}
    return definition, json_form, (full, full_json), (least, least_json)


EVERY = list(every_field())
GOOD_SCHEMA = schema([INNER, struct_def(b"every", [e[0] for e in EVERY])],
                     [device_type(b"all", 1, 1, 1), device_type(b"small", 0xffffffff, 0, 0)])
FULL = b"".join(e[2][0] for e in EVERY)
LEAST = b"".join(e[3][0] for e in EVERY)

# Places in GOOD, for the variants.
VM_AT, PROGRAM_AT, SUCCESSOR_AT, FDS_AT, RAM_AT, SCHEMA_AT, DEV0, DEV1, DEV2, BULK0, BULK1, BULK2 = range(12)
END_AT = 12
GOOD = [
    (cpr.VM, vm()),
    (cpr.PROGRAM, program()),
    (cpr.SUCCESSOR, u64(9) + u64(8) + s(b"0fA9")),
    (cpr.FDS, table(FD_LIST)),
    (cpr.RAM, table([block()])),
    (cpr.SCHEMA, GOOD_SCHEMA),
    (cpr.SECTION, section(b"dev0", 0, FULL)),
    (cpr.SECTION, section(b"dev1", 0, LEAST)),
    (cpr.SECTION, section(b"dev\xff", 1, b"\x01\x02")),
    (cpr.BULK, bulk(b"dev0", 0, b"x" * 13)),
    (cpr.BULK, bulk(b"dev0", 13, b"y")),
    (cpr.BULK, bulk(b"dev\xff", 0, b"z" * 8)),
]


def change(place, payload, kind=None, flags=0):
    """GOOD with another payload at a place."""
    chunks = list(GOOD)
    chunks[place] = (GOOD[place][0] if kind is None else kind, payload, flags)
    return chunks


def insert(place, *items):
    return GOOD[:place] + list(items) + GOOD[place:]


def drop(*places):
    return [c for i, c in enumerate(GOOD) if i not in places]


def with_field(*args, **kwargs):
    """GOOD with a schema of one more struct, of one field, before the types."""
    every = [INNER, struct_def(b"every", [e[0] for e in EVERY]), struct_def(b"x", [field(*args, **kwargs)])]
    return change(SCHEMA_AT, schema(every, [device_type(b"all", 1, 1, 1), device_type(b"small", 1, 0, 0)]))


def with_device(fields, values, structs=()):
    """A small state, of one device with these fields, its section at place 5."""
    structs = list(structs) + [struct_def(b"d", fields)]
    return [GOOD[VM_AT], GOOD[PROGRAM_AT], GOOD[FDS_AT], GOOD[RAM_AT],
            (cpr.SCHEMA, schema(structs, [device_type(ref=len(structs) - 1)])), (cpr.SECTION, section(b"d", 0, values))]


# Assigned devices: the fds that the good ones need.
DMA_FDS = FD_LIST + [fd(name, index, number) for name, index, number in (
    (b"libcpr:vfio-container:c", 0, 20), (b"libcpr:vfio-device:d", 0, 21), (b"libcpr:vfio-group", 26, 22),
    (b"libcpr:vfio-irq:d", 65536, 23), (b"libcpr:vfio-unmask:d", 65537, 24), (b"libcpr:vfio-container:i", 0, 25),
    (b"libcpr:vfio-device:e", 0, 26), (b"libcpr:vfio-irq:x", 0, 27))]


def assigned(name=b"d", address=b"0000:00:04.0", group=26, irqs=((1, 0, 0, 1), (1, 1, 1, 0))):
    return s(name) + s(address) + u32(group) + table([b"".join(map(u32, irq)) for irq in irqs])


def mapping(iova=0, size=2048, block=0, flags=3, offset=0):
    return u64(iova) + u64(size) + u32(block) + u32(flags) + u64(offset)


def container(name=b"c", backend=1, ioas=0, assigned=(assigned(),), mappings=(mapping(), mapping(2048, 16, 0, 1, 4080))):
    return s(name) + u32(backend) + u32(ioas) + table(assigned) + table(mappings)


def with_dma(*containers):
    """GOOD with assigned devices; DMA is at the place of SCHEMA."""
    return with_dma_payload(table(containers))


def with_dma_payload(payload):
    chunks = change(FDS_AT, table(DMA_FDS))
    return chunks[:SCHEMA_AT] + [(cpr.DMA, payload)] + chunks[SCHEMA_AT:]


NOTHING = container(b"n", 3, 0, [assigned(b"x", b"x", 0, ())], [])
IOMMU = container(b"i", 2, 5, [assigned(b"e", b"y", 0, ())], [mapping((1 << 64) - 4096, 4096, 0, 2)])


def nested(depth):
    """Structs of which the last has this depth."""
    structs = [struct_def(b"s", [field()])]
    for i in range(1, depth):
        structs.append(struct_def(b"s", [field(kind=cpr.STRUCT, width=0, ref=i - 1)]))
    return structs


def with_structs(structs, types=()):
    return drop(DEV0, DEV1, DEV2, BULK0, BULK1, BULK2)[:5] + [(cpr.SCHEMA, schema(structs, list(types)))]


SMALL = with_device([field(b"b", cpr.BOOL, 1, 4, default=1), field(b"s", cpr.STRING, 1, count=4),
                     field(b"f", cpr.FD, 4, 3, 4), field(b"n", cpr.INT, 2, 1, 2)],
                    u8(1) + u8(0) + u32(2) + b"ab" + u32(1) + s(b"tap") + u32(0) + b"\xff\xff\0\0")
SMALL.append((cpr.BULK, bulk(b"d", 0, b"data")))
SMALL.insert(3, (99, b"unknown", 1))

UINT, INT, BOOL, FLOAT, BYTES = cpr.UINT, cpr.INT, cpr.BOOL, cpr.FLOAT, cpr.BYTES
STRUCT, STRING, FD, TIME = cpr.STRUCT, cpr.STRING, cpr.FD, cpr.TIME
DEV_AT = 5

# (what, chunks, the place of the chunk at fault)
BAD_CONTENTS = [
    # Section 2: chunks and their order
    ("unknown type", insert(3, (9, b"")), 3),
    ("unknown chunk flag", insert(3, (99, b"", 2)), 3),
    ("unknown chunk flag and optional", insert(3, (99, b"", 0x80000001)), 3),
    ("type of the table marked optional", change(DEV0, GOOD[DEV0][1], flags=1), DEV0),
    ("type of another message", insert(3, (cpr.QUESTION, b"")), 3),
    ("type of another message, marked optional", insert(3, (cpr.FINDING, b"", 1)), 3),
    ("no VM", drop(VM_AT), 0),
    ("no PROGRAM", drop(PROGRAM_AT), 1),
    ("no FDS", drop(FDS_AT), 3),
    ("no RAM", drop(RAM_AT), 4),
    ("no SCHEMA", drop(SCHEMA_AT), 5),
    ("END at once", [], 0),
    ("manifest cut short by END", GOOD[:5], 5),
    ("VM twice", insert(1, GOOD[VM_AT]), 1),
    ("SUCCESSOR twice", insert(3, GOOD[SUCCESSOR_AT]), 3),
    ("SUCCESSOR before PROGRAM", [GOOD[0], GOOD[2], GOOD[1]] + GOOD[3:], 1),
    ("SCHEMA twice", insert(6, GOOD[SCHEMA_AT]), 6),
    ("SECTION after BULK", GOOD[:8] + [GOOD[BULK0], GOOD[8]], 9),
    ("VM at the end", GOOD + [GOOD[VM_AT]], 12),
    ("payload with bytes after its last element", change(SUCCESSOR_AT, GOOD[SUCCESSOR_AT][1] + b"\0"), SUCCESSOR_AT),
    ("payload cut off", change(SUCCESSOR_AT, GOOD[SUCCESSOR_AT][1][:-1]), SUCCESSOR_AT),
    ("empty payload", change(VM_AT, b""), VM_AT),
    # Section 1: strings
    ("string without zero", change(VM_AT, vm().replace(b"guest\0", b"guest!")), VM_AT),
    ("string with zero in it", change(VM_AT, vm(name=b"gu\0st")), VM_AT),
    ("text without zero", change(PROGRAM_AT, program().replace(b"A=b\0", b"A=b!")), PROGRAM_AT),
    ("text with zero in it", change(PROGRAM_AT, program(cwd=b"/a\0b")), PROGRAM_AT),
    ("text longer than the payload", change(PROGRAM_AT, u32(1) + u32(0xffffffff) + b"x" * 10), PROGRAM_AT),
    # Section 3
    ("empty VM name", change(VM_AT, vm(name=b"")), VM_AT),
    ("VM name too long", change(VM_AT, vm(name=b"n" * 256)), VM_AT),
    ("boot id too short", change(VM_AT, vm(boot_id=BOOT_ID[:-1])), VM_AT),
    ("boot id empty", change(VM_AT, vm(boot_id=b"")), VM_AT),
    ("run state", change(VM_AT, vm(run_state=4)), VM_AT),
    # Section 4
    ("empty argv", change(PROGRAM_AT, program(argv=())), PROGRAM_AT),
    ("huge argv", change(PROGRAM_AT, u32(0xffffffff) + b"x" * 10), PROGRAM_AT),
    ("process name too long", change(PROGRAM_AT, program(comm=b"sixteen-letters-")), PROGRAM_AT),
    ("no limits", change(PROGRAM_AT, program(limits=())), PROGRAM_AT),
    ("too many limits", change(PROGRAM_AT, program(limits=((1, 2),) * 65)), PROGRAM_AT),
    ("build id not hexadecimal", change(SUCCESSOR_AT, u64(9) + u64(8) + s(b"0fxA")), SUCCESSOR_AT),
    # Section 5
    ("huge number of fds", change(FDS_AT, u32(0xffffffff) + FD_LIST[0]), FDS_AT),
    ("empty fd name", change(FDS_AT, table(FD_LIST + [fd(b"", 0, 20)])), FDS_AT),
    ("fd name too long", change(FDS_AT, table(FD_LIST + [fd(b"n" * 256, 0, 20)])), FDS_AT),
    ("own fd name too long", change(FDS_AT, table(FD_LIST + [fd(b"libcpr:" + b"n" * 504, 0, 20)])), FDS_AT),
    ("fd index", change(FDS_AT, table(FD_LIST + [fd(b"n", 1 << 31, 20)])), FDS_AT),
    ("fd 2 twice", change(FDS_AT, table(FD_LIST + [fd(b"n", 1, 2), fd(b"m", 1, 2)])), FDS_AT),
    ("fd 2^31", change(FDS_AT, table(FD_LIST + [fd(b"n", 1, 1 << 31)])), FDS_AT),
    ("fd name and index twice", change(FDS_AT, table(FD_LIST + [fd(number=20)])), FDS_AT),
    ("fd number twice", change(FDS_AT, table(FD_LIST + [fd(b"n")])), FDS_AT),
    ("huge number of blocks", change(RAM_AT, u32(0xffffffff) + block()), RAM_AT),
    ("empty block name", change(RAM_AT, table([block(b""), block()])), RAM_AT),
    ("block of size 0", change(RAM_AT, table([block(size=0)])), RAM_AT),
    ("block of size 2^63", change(RAM_AT, table([block(size=1 << 63)])), RAM_AT),
    ("backing", change(RAM_AT, table([block(backing=4)])), RAM_AT),
    ("block flags", change(RAM_AT, table([block(flags=0x20)])), RAM_AT),
    ("block twice", change(RAM_AT, table([block(), block()])), RAM_AT),
    ("block without fd", change(RAM_AT, table([block(), block(b"tap")])), RAM_AT),
    ("block with an fd of index 1", change(FDS_AT, table([fd(b"libcpr:ram:main", 1, 7)])), RAM_AT),
    ("DMA before RAM", GOOD[:RAM_AT] + [(cpr.DMA, u32(0))] + GOOD[RAM_AT:], RAM_AT),
    ("DMA twice", GOOD[:SCHEMA_AT] + [(cpr.DMA, u32(0))] * 2 + GOOD[SCHEMA_AT:], SCHEMA_AT + 1),
    ("huge number of containers", with_dma_payload(u32(0xffffffff) + container()), SCHEMA_AT),
    ("DMA cut off", with_dma_payload(table([container()])[:-1]), SCHEMA_AT),
    ("bytes after DMA", with_dma_payload(table([container()]) + b"\0"), SCHEMA_AT),
    ("empty container name", with_dma(container(b"")), SCHEMA_AT),
    ("container twice", with_dma(NOTHING, container(b"n", 3, 0, [], [])), SCHEMA_AT),
    ("back end 0", with_dma(container(backend=0)), SCHEMA_AT),
    ("back end 4", with_dma(container(backend=4)), SCHEMA_AT),
    ("IOAS of type1", with_dma(container(ioas=1)), SCHEMA_AT),
    ("container without fd", with_dma(container(b"other", 2, 0, [], [])), SCHEMA_AT),
    ("257 containers", with_dma(*[container(b"%d" % i, 3, 0, [], []) for i in range(257)]), SCHEMA_AT),
    ("huge number of devices", with_dma_payload(u32(1) + s(b"c") + u32(1) + u32(0) + u32(0xffffffff)), SCHEMA_AT),
    ("assigned device without fd", with_dma(container(assigned=[assigned(b"y", irqs=())])), SCHEMA_AT),
    ("group without fd", with_dma(container(assigned=[assigned(group=27)])), SCHEMA_AT),
    ("huge group", with_dma(container(assigned=[assigned(group=0x80000000)])), SCHEMA_AT),
    ("group without type1", with_dma(container(b"n", 3, 0, [assigned(b"x", b"x", 26, ())], [])), SCHEMA_AT),
    ("assigned device twice", with_dma(NOTHING, container(b"m", 3, 0, [assigned(b"x", b"x", 0, ())], [])), SCHEMA_AT),
    ("4097 assigned devices", with_dma(container(b"n", 3, 0, [assigned(b"%d" % i, b"x", 0, ()) for i in range(4097)], [])),
     SCHEMA_AT),
    ("interrupt without fd", with_dma(container(assigned=[assigned(irqs=[(1, 2, 0, 0)])])), SCHEMA_AT),
    ("interrupts out of order", with_dma(container(assigned=[assigned(irqs=[(1, 1, 1, 0), (1, 0, 0, 0)])])), SCHEMA_AT),
    ("interrupt twice", with_dma(container(assigned=[assigned(irqs=[(1, 0, 0, 0), (1, 0, 0, 0)])])), SCHEMA_AT),
    ("interrupt role", with_dma(container(assigned=[assigned(irqs=[(1, 0, 2, 0)])])), SCHEMA_AT),
    ("interrupt flags", with_dma(container(assigned=[assigned(irqs=[(1, 0, 0, 2)])])), SCHEMA_AT),
    ("interrupt vector", with_dma(container(assigned=[assigned(irqs=[(0, 65536, 0, 0)])])), SCHEMA_AT),
    ("interrupt index", with_dma(container(assigned=[assigned(irqs=[(32768, 0, 0, 0)])])), SCHEMA_AT),
    ("huge number of mappings", with_dma_payload(u32(1) + s(b"c") + u32(1) + u32(0) + u32(0) + u32(0xffffffff)), SCHEMA_AT),
    ("mapping of size 0", with_dma(container(mappings=[mapping(size=0)])), SCHEMA_AT),
    ("mapping past the end", with_dma(container(mappings=[mapping((1 << 64) - 1, 2)])), SCHEMA_AT),
    ("mapping past its block", with_dma(container(mappings=[mapping(0, 4096, 0, 3, 1)])), SCHEMA_AT),
    ("mapping with a huge offset", with_dma(container(mappings=[mapping(0, 1, 0, 3, (1 << 64) - 1)])), SCHEMA_AT),
    ("mapping of an unknown block", with_dma(container(mappings=[mapping(block=1)])), SCHEMA_AT),
    ("mapping without flags", with_dma(container(mappings=[mapping(flags=0)])), SCHEMA_AT),
    ("mapping flags", with_dma(container(mappings=[mapping(flags=4)])), SCHEMA_AT),
    ("mappings overlap", with_dma(container(mappings=[mapping(), mapping(2047, 1)])), SCHEMA_AT),
    ("mappings out of order", with_dma(container(mappings=[mapping(2048), mapping()])), SCHEMA_AT),
    # Section 6
    ("huge number of structs", change(SCHEMA_AT, u32(0xffffffff) + GOOD_SCHEMA[4:]), SCHEMA_AT),
    ("empty struct name", with_structs([struct_def(b"", [field()])]), 5),
    ("struct without fields", with_structs([struct_def(b"s", []), INNER]), 5),
    ("struct with 4097 fields", with_structs([struct_def(b"s", [field(b"%d" % i) for i in range(4097)])]), 5),
    ("huge number of fields", change(SCHEMA_AT, u32(1) + s(b"s") + u32(0xffffffff) + b"x" * 99), SCHEMA_AT),
    ("empty field name", with_field(b""), SCHEMA_AT),
    ("field name twice", with_structs([struct_def(b"s", [field(), field()])]), 5),
    ("kind 0", with_field(kind=0, width=1), SCHEMA_AT),
    ("kind 10", with_field(kind=10, width=1), SCHEMA_AT),
    ("width of BOOL", with_field(kind=BOOL, width=4), SCHEMA_AT),
    ("width of UINT", with_field(width=3), SCHEMA_AT),
    ("width of INT", with_field(kind=INT, width=0), SCHEMA_AT),
    ("width of FLOAT", with_field(kind=FLOAT, width=2), SCHEMA_AT),
    ("width of BYTES", with_field(kind=BYTES, width=0, flags=1), SCHEMA_AT),
    ("width of STRUCT", with_field(kind=STRUCT, width=1, ref=0), SCHEMA_AT),
    ("width of STRING", with_field(kind=STRING, width=4), SCHEMA_AT),
    ("width of FD", with_field(kind=FD, width=8), SCHEMA_AT),
    ("width of TIME", with_field(kind=TIME, width=4), SCHEMA_AT),
    ("unknown field flag", with_field(flags=16), SCHEMA_AT),
    ("COUNTED without ARRAY", with_field(flags=2), SCHEMA_AT),
    ("IGNORABLE without OPTIONAL", with_field(flags=8), SCHEMA_AT),
    ("count 0", with_field(flags=1, count=0), SCHEMA_AT),
    ("count 0 of STRING", with_field(kind=STRING, width=1, count=0), SCHEMA_AT),
    ("count 2 without ARRAY", with_field(count=2), SCHEMA_AT),
    ("BYTES without ARRAY", with_field(kind=BYTES, width=1), SCHEMA_AT),
    ("STRING with ARRAY", with_field(kind=STRING, width=1, flags=1), SCHEMA_AT),
    ("STRUCT, OPTIONAL, ARRAY", with_field(kind=STRUCT, width=0, flags=5, ref=0), SCHEMA_AT),
    ("struct of a UINT", with_field(ref=0), SCHEMA_AT),
    ("STRUCT refers to its own", with_field(kind=STRUCT, width=0, ref=2), SCHEMA_AT),
    ("STRUCT refers to none", with_field(kind=STRUCT, width=0), SCHEMA_AT),
    ("depth 17", with_structs(nested(17)), 5),
    ("default without OPTIONAL", with_field(default=1), SCHEMA_AT),
    ("default of BYTES", with_field(kind=BYTES, width=1, flags=5, default=1), SCHEMA_AT),
    ("default of STRING", with_field(kind=STRING, width=1, flags=4, default=1), SCHEMA_AT),
    ("default of STRUCT", with_field(kind=STRUCT, width=0, flags=4, ref=0, default=1), SCHEMA_AT),
    ("default of FD", with_field(kind=FD, width=4, flags=4, default=1), SCHEMA_AT),
    ("default 2 of BOOL", with_field(kind=BOOL, width=1, flags=4, default=2), SCHEMA_AT),
    ("default 256 of UINT 1", with_field(width=1, flags=4, default=256), SCHEMA_AT),
    ("default of FLOAT 4", with_field(kind=FLOAT, flags=4, default=1 << 32), SCHEMA_AT),
    ("default 128 of INT 1", with_field(kind=INT, width=1, flags=4, default=128), SCHEMA_AT),
    ("default of INT 4, not extended", with_field(kind=INT, flags=4, default=0xffffffff), SCHEMA_AT),
    ("default of INT 4, too low", with_field(kind=INT, flags=4, default=(1 << 64) - (1 << 31) - 1), SCHEMA_AT),
    ("huge number of types", with_structs([INNER])[:5] + [(cpr.SCHEMA, table([INNER]) + u32(0xffffffff))], 5),
    ("empty type name", with_structs([INNER], [device_type(b""), device_type()]), 5),
    ("type twice", with_structs([INNER], [device_type(), device_type()]), 5),
    ("minimum version", with_structs([INNER], [device_type(version=1, minimum=2)]), 5),
    ("struct of a type", with_structs([INNER], [device_type(ref=1)]), 5),
    ("type without structs", with_structs([], [device_type()]), 5),
    # Section 7
    ("empty device name", change(DEV2, section(b"", 1, b"\1\2")), DEV2),
    ("device twice", change(DEV2, section(b"dev0", 1, b"\1\2")), DEV2),
    ("unknown type of a device", change(DEV2, section(b"dev\xff", 2, b"\1\2")), DEV2),
    ("not 0 after the type", change(DEV2, section(b"dev\xff", 1, b"\1\2", zero=1)), DEV2),
    ("fields cut off", change(DEV2, section(b"dev\xff", 1, b"\1")), DEV2),
    ("bytes after the fields", change(DEV2, section(b"dev\xff", 1, b"\1\2\0")), DEV2),
    ("BOOL 2", with_device([field(kind=BOOL, width=1)], b"\2"), DEV_AT),
    ("BOOL 2 in an ARRAY", with_device([field(kind=BOOL, width=1, flags=1, count=3)], b"\1\0\2"), DEV_AT),
    ("presence 2", with_device([field(width=1, flags=4)], b"\2\0"), DEV_AT),
    ("too many values", with_device([field(width=1, flags=3, count=1)], u32(2) + b"\0\0"), DEV_AT),
    ("huge number of values", with_device([field(flags=3, count=0xffffffff)], u32(0xffffffff) + b"\0" * 6), DEV_AT),
    ("huge ARRAY", with_device([field(flags=1, count=0xffffffff)], b"\0" * 10), DEV_AT),
    ("huge BYTES", with_device([field(kind=BYTES, width=1, flags=1, count=0xffffffff)], b"\0" * 10), DEV_AT),
    ("STRING too long", with_device([field(kind=STRING, width=1, count=2)], u32(3) + b"abc"), DEV_AT),
    ("STRING cut off", with_device([field(kind=STRING, width=1, count=9)], u32(3) + b"ab"), DEV_AT),
    ("STRING with zero", with_device([field(kind=STRING, width=1, count=2)], u32(2) + b"a\0"), DEV_AT),
    ("FD not in FDS", with_device([field(kind=FD)], s(b"nix") + u32(0)), DEV_AT),
    ("FD with another index", with_device([field(kind=FD)], s(b"tap") + u32(2)), DEV_AT),
    ("FD without name, index 1", with_device([field(kind=FD)], s(b"") + u32(1)), DEV_AT),
    ("STRUCT cut off", with_device([field(kind=STRUCT, width=0, ref=0)], b"\1", [INNER]), DEV_AT),
    # Section 8
    ("BULK of an unknown device", change(BULK2, bulk(b"nix", 0, b"z")), BULK2),
    ("BULK with an empty name", change(BULK2, bulk(b"", 0, b"z")), BULK2),
    ("BULK cut off in its offset", change(BULK2, s(b"dev1") + u32(0)), BULK2),
    ("BULK cut off in its zeros", change(BULK2, (s(b"dev1") + u64(0) + b"\0" * 9)[:-9]), BULK2),
    ("BULK with zeros that are not", change(BULK2, bulk(b"dev1", 0, b"z", pad=b"\1")), BULK2),
    ("BULK without data", change(BULK2, bulk(b"dev1", 0, b"")), BULK2),
    ("BULK with too much data", change(BULK2, bulk(b"dev1", 0, b"z" * ((4 << 20) + 1))), BULK2),
    ("first piece not at 0", change(BULK2, bulk(b"dev1", 1, b"z")), BULK2),
    ("hole between pieces", change(BULK1, bulk(b"dev0", 14, b"y")), BULK1),
    ("overlap of pieces", change(BULK1, bulk(b"dev0", 12, b"y")), BULK1),
    ("pieces from 0 on again", GOOD + [(cpr.BULK, bulk(b"dev0", 0, b"y"))], 12),
    ("pieces not together", GOOD + [(cpr.BULK, bulk(b"dev0", 14, b"y"))], 12),
]


def nested_arrays(counts):
    """Structs whose size is the product of the counts."""
    structs = [struct_def(b"s", [field(width=1)])]
    for i, count in enumerate(counts):
        structs.append(struct_def(b"s", [field(b"x", STRUCT, 0, 1, count, i)]))
    return structs


class Case(unittest.TestCase):
    def refused(self, data, offset, parse=cpr.parse):
        with self.assertRaises(cpr.StreamError) as caught:
            parse(data)
        self.assertEqual(caught.exception.offset, offset, str(caught.exception))

    def only_stream_errors(self, data, parse=cpr.parse):
        """True if it is good; any exception but StreamError ends the test."""
        try:
            parse(data)
        except cpr.StreamError as error:
            self.assertTrue(0 <= error.offset <= len(data))
            return False
        return True


class GoodState(Case):
    def setUp(self):
        self.data, self.offsets = frame(GOOD)
        self.state = cpr.parse(self.data)

    def test_keys(self):
        self.assertEqual(list(self.state), ["format", "size", "chunks", "vm", "program", "successor", "store", "fds",
                                            "ram", "containers", "structs", "types", "devices", "bulk"])
        self.assertEqual(self.state["format"], {"major": 1, "minor": 0})
        self.assertEqual(self.state["size"], len(self.data))

    def test_chunks(self):
        expected = [{"type": c[0], "flags": 0, "offset": offset, "length": len(c[1])}
                    for c, offset in zip(GOOD + [(cpr.END, u64(0))], self.offsets)]
        self.assertEqual(self.state["chunks"], expected)

    def test_manifest(self):
        self.assertEqual(self.state["vm"], {
            "name": "guest", "boot_id": BOOT_ID.decode(), "uid": 1000, "pid": 42, "generation": 7,
            "run_state": "paused", "saved_ns": 111, "saved_real_ns": 222, "signal_mask": 1 << 63})
        self.assertEqual(self.state["program"], {
            "argv": ["/bin/vmm", ""], "environment": ["A=b"], "cwd": "/", "comm": "fifteen-letters", "umask": 0o22,
            "ignored_signals": 1 << 12, "limits": [{"soft": 1, "hard": 2}] * 16})
        self.assertEqual(self.state["successor"], {"device": 9, "inode": 8, "build_id": "0fA9"})
        self.assertEqual(len(self.state["fds"]), 5)
        self.assertEqual(self.state["fds"][1], {
            "name": "tap", "index": 1, "fd": 6, "type": 0o140000, "access": 2, "device": 3, "inode": 4,
            "socket_domain": 16, "socket_type": 3})
        self.assertEqual(self.state["ram"], [{"name": "main", "size": 4096, "backing": 0, "flags": 0x1f}])

    def test_schema(self):
        self.assertEqual([x["name"] for x in self.state["structs"]], ["inner", "every"])
        self.assertEqual(self.state["structs"][1]["fields"], [e[1] for e in EVERY])
        self.assertEqual(self.state["types"], [
            {"name": "all", "version": 1, "minimum_version": 1, "struct": 1},
            {"name": "small", "version": 0xffffffff, "minimum_version": 0, "struct": 0}])

    def test_devices(self):
        for number, place in ((0, 2), (1, 3)):
            device = self.state["devices"][number]
            self.assertEqual((device["name"], device["type"]), ("dev%d" % number, "all"))
            self.assertEqual(device["fields"], {e[1]["name"]: e[place][1] for e in EVERY})
        self.assertEqual(self.state["devices"][2], {"name": "dev\xff", "type": "small", "fields": {"a": 1, "b": 2}})
        self.assertEqual(self.state["bulk"], [{"device": "dev0", "size": 14}, {"device": "dev\xff", "size": 8}])


class GoodDma(Case):
    def test_containers(self):
        state = cpr.parse(frame(with_dma(container(), NOTHING, IOMMU))[0])
        self.assertEqual(state["containers"][0], {
            "name": "c", "backend": 1, "ioas": 0,
            "devices": [{"name": "d", "address": "0000:00:04.0", "group": 26,
                         "irqs": [{"index": 1, "vector": 0, "role": 0, "flags": 1},
                                  {"index": 1, "vector": 1, "role": 1, "flags": 0}]}],
            "mappings": [{"iova": 0, "size": 2048, "block": 0, "flags": 3, "offset": 0},
                         {"iova": 2048, "size": 16, "block": 0, "flags": 1, "offset": 4080}]})
        self.assertEqual([c["name"] for c in state["containers"]], ["c", "n", "i"])
        self.assertEqual(state["containers"][2]["mappings"][0]["iova"], (1 << 64) - 4096)

    def test_a_question_has_them_too(self):
        question = QUESTION[:2] + [(cpr.FDS, table(DMA_FDS)), QUESTION[3], (cpr.DMA, table([container()]))] + QUESTION[4:]
        self.assertEqual(len(cpr.parse_question(frame(question)[0])["containers"]), 1)


class GoodCorners(Case):
    def good(self, chunks, **kwargs):
        return cpr.parse(frame(chunks, **kwargs)[0])

    def test_least(self):
        state = self.good([(cpr.VM, vm(run_state=0)), (cpr.PROGRAM, program((b"",), (), b"", b"", ((0, 0),))),
                           (cpr.FDS, u32(0)), (cpr.RAM, u32(0)), (cpr.SCHEMA, schema([], []))])
        self.assertEqual(state["vm"]["run_state"], "running")
        self.assertIsNone(state["successor"])
        for key in ("fds", "ram", "containers", "structs", "types", "devices", "bulk"):
            self.assertEqual(state[key], [])

    def test_smallest_elements(self):
        # One element each and nothing else: a "cannot hold" that counts too much would refuse it.
        self.good([(cpr.VM, vm()), (cpr.PROGRAM, program((b"",), (b"",), b"", b"", ((0, 0),))),
                   (cpr.FDS, table([fd(b"n"), fd(b"m", 0, 6)])), (cpr.RAM, u32(0)),
                   (cpr.SCHEMA, schema([struct_def(b"s", [field()])] * 2, [device_type(b"t"), device_type(b"u")]))])

    def test_skipped(self):
        state = self.good([(99, b"first", 1)] + insert(5, (98, b"", 1)) + [(0xffffffff, b"last", 1)])
        self.assertEqual([c["type"] for c in state["chunks"]], [99, 1, 2, 8, 3, 4, 98, 5, 6, 6, 6, 7, 7, 7, 0xffffffff,
                                                                0])
        self.assertEqual(self.good(insert(BULK1, (99, b"", 1)))["bulk"][0]["size"], 14)

    def test_minor(self):
        self.assertEqual(self.good(GOOD, head=header(minor=7))["format"], {"major": 1, "minor": 7})

    def test_depth(self):
        self.good(with_structs(nested(16)))

    def test_fields_4096(self):
        self.good(with_structs([struct_def(b"s", [field(b"%d" % i) for i in range(4096)])]))

    def test_defaults(self):
        for kind, width, default in ((BOOL, 1, 1), (UINT, 1, 255), (UINT, 8, (1 << 64) - 1), (INT, 1, 127),
                                     (INT, 1, (1 << 64) - 128), (INT, 8, 1 << 63), (FLOAT, 4, 0xffffffff),
                                     (TIME, 8, (1 << 64) - 1)):
            state = self.good(with_field(kind=kind, width=width, flags=4, default=default))
            self.assertEqual(state["structs"][2]["fields"][0]["default"], default)

    def test_bulk_4_mib(self):
        self.good(change(BULK2, bulk(b"dev1", 0, b"z" * (4 << 20))))

    def test_strings(self):
        cases = ((b"\xc3\xa9", "\u00e9"), (b"\xc3\xa9\xff", "\u00c3\u00a9\u00ff"),
                 (b"\xed\xa0\x80", "\u00ed\u00a0\u0080"), (b"\xf0\x9f\x98\x80", "\U0001f600"),
                 (b"\x01\"", "\x01\""), (b"\xc0\x80", "\u00c0\u0080"))
        for raw, text in cases:
            self.assertEqual(self.good(change(VM_AT, vm(name=raw)))["vm"]["name"], text)

    def test_nested_struct(self):
        structs = [INNER, struct_def(b"m", [field(b"in", STRUCT, 0, 3, 3, 0), field(b"o", STRUCT, 0, 4, 1, 0)])]
        chunks = with_device([field(b"m", STRUCT, 0, 1, 2, 1)], u32(1) + b"\1\2\0" + u32(0) + b"\1\3\4", structs)
        self.assertEqual(self.good(chunks)["devices"][0]["fields"], {
            "m": [{"in": [{"a": 1, "b": 2}], "o": None}, {"in": [], "o": {"a": 3, "b": 4}}]})

    def test_other_buffers(self):
        data = frame(SMALL)[0]
        self.assertEqual(cpr.parse(bytearray(data)), cpr.parse(data))


class BadContents(Case):
    def test_number(self):
        self.assertGreaterEqual(len(BAD_CONTENTS), 60)

    def test_all(self):
        for what, chunks, place in BAD_CONTENTS:
            with self.subTest(what):
                data, offsets = frame(chunks)
                self.refused(data, offsets[place])

    def test_time(self):
        """Numbers that the rest cannot hold fail at once, also where structs multiply them."""
        values = b"\0" * 100000
        start = time.process_time()
        for counts in ([0xffffffff] * 14, [2] * 14, [4096] * 5):
            data, offsets = frame(with_device([field(b"x", STRUCT, 0, 1, 0xffffffff, len(counts))], values,
                                              nested_arrays(counts)))
            self.refused(data, offsets[DEV_AT])
        self.assertLess(time.process_time() - start, 1)

    def test_payload_limit(self):
        for kind, flags in ((99, 1), (cpr.VM, 0)):
            big = chunk(kind, bytes((64 << 20) + 1), flags)
            self.refused(header() + big, 32)
        data, _ = frame([(99, bytes(64 << 20), 1)] + SMALL)
        cpr.parse(data)


class BadFrame(Case):
    def setUp(self):
        self.data, self.offsets = frame(SMALL)

    def test_header(self):
        rest = self.data[32:]
        for head, offset in ((header(b"\x89CPR\n\n\x1a\n"), 0), (header(major=2), 8), (header(major=0), 8),
                             (header(order=0x04030201), 12), (header(flags=1), 16), (header()[:24] + u64(1), 24)):
            with self.subTest(head):
                self.refused(head + rest, offset)
        self.refused(b"", 0)
        self.refused(self.data[:7], 0)
        self.refused(self.data[:31], 0)

    def test_header_order(self):
        """Of several faults the first in the order of the specification is reported."""
        self.refused(header(major=2, order=0, flags=1), 12)
        self.refused(header(major=2, flags=1), 8)
        self.refused(header(major=2, order=0)[:24] + u64(1), 24)

    def test_no_end(self):
        self.refused(self.data[:32], 32)
        data, offsets = frame(SMALL, end=False)
        self.refused(data, offsets[-1])

    def test_after_end(self):
        for more in (b"\0", bytes(24), chunk(99, b"", 1), chunk(cpr.END, u64(len(SMALL) + 1))):
            self.refused(self.data + more, len(self.data))

    def test_end(self):
        body, offsets = frame(SMALL, end=False)
        count = len(SMALL)
        for end in (chunk(0, u64(count - 1)), chunk(0, u64(count + 1)), chunk(0, u64(count), 1), chunk(0, u32(count)),
                    chunk(0, u64(count) + b"\0"), chunk(0, b"")):
            self.refused(body + end, offsets[-1])

    def test_end_counts_skipped(self):
        data, offsets = frame(SMALL, count=len(SMALL) - 1)
        self.refused(data, offsets[-1])

    def test_chunk(self):
        start = header()
        good = chunk(cpr.VM, vm())
        self.refused(start + good[:15], 32)
        self.refused(start + good[:16], 32)
        self.refused(start + good[:-1], 32)
        self.refused(start + good[:-8] + u64(1), 32)
        self.refused(start + chunk(cpr.VM, vm(), pad=b"\1"), 32)
        for length in (1 << 63, (1 << 64) - 1, (1 << 64) - 24):
            self.refused(start + chunk(99, bytes(64), 1, length=length), 32)

    def test_framing_first(self):
        """A fault of the framing is found before one of the contents."""
        data, offsets = frame(change(VM_AT, b""))
        self.refused(data + b"\0", len(data))
        self.refused(data[:-1] + b"\0", offsets[-1])


QUESTION = [
    (cpr.QUESTION, u32(0) + u32(9) + u64(1) + u64(2)), GOOD[VM_AT], GOOD[FDS_AT], GOOD[RAM_AT], GOOD[SCHEMA_AT],
    (cpr.DEVICES, table([s(b"dev0") + u32(0) + u32(1), s(b"dev1") + u32(1) + u32(0)])), GOOD[DEV0],
]
SHORT_QUESTION = [(cpr.QUESTION, u32(1) + u32(9) + u64(1) + u64(2))]


def answer(verdict=1, build_id=b""):
    return (cpr.ANSWER, u64(77) + u32(verdict) + s(b"/bin/vmm") + s(build_id) + u64(1) + u64(2))


def finding(severity=1, subject=5, name=b"", message=b"gone"):
    return (cpr.FINDING, u32(severity) + u32(subject) + s(name) + s(message))


ANSWER = [answer(), GOOD[SCHEMA_AT], finding(0), finding()]


def replaced(chunks, place, payload):
    return chunks[:place] + [(chunks[place][0], payload)] + chunks[place + 1:]


def devices(*items):
    return table([s(name) + u32(index) + u32(flags) for name, index, flags in items])


class Preflight(Case):
    def test_question(self):
        message = cpr.parse_question(frame(QUESTION)[0])
        self.assertEqual(message["question"], {"flags": 0, "answer_fd": 9, "answer_device": 1, "answer_inode": 2})
        self.assertEqual(message["asked"], [{"name": "dev0", "type": "all", "flags": 1},
                                            {"name": "dev1", "type": "small", "flags": 0}])
        self.assertEqual(message["devices"][0]["name"], "dev0")
        self.assertEqual(cpr.parse_question(frame(SHORT_QUESTION)[0])["question"]["flags"], 1)

    def test_answer(self):
        message = cpr.parse_answer(frame(ANSWER)[0])
        self.assertEqual(message["answer"], {"question_checksum": 77, "verdict": 1, "path": "/bin/vmm", "build_id": "",
                                             "device": 1, "inode": 2})
        self.assertEqual(message["findings"][1], {"severity": 1, "subject": 5, "name": "", "message": "gone"})
        cpr.parse_answer(frame([answer(0), GOOD[SCHEMA_AT]])[0])
        cpr.parse_answer(frame([answer(0), GOOD[SCHEMA_AT]] + [finding(0)] * 1000)[0])

    def test_bad_question(self):
        short = SHORT_QUESTION
        cases = [
            ("a state", GOOD, 0), ("END at once", [], 0),
            ("unknown flags", replaced(QUESTION, 0, b"\2" + bytes(23)), 0),
            ("cut off", replaced(QUESTION, 0, bytes(23)), 0), ("schema only, but more", short + QUESTION[1:], 1),
            ("END though not schema only", QUESTION[:1], 1), ("no DEVICES", QUESTION[:5] + QUESTION[6:], 5),
            ("PROGRAM", QUESTION[:2] + [GOOD[PROGRAM_AT]] + QUESTION[2:], 2), ("BULK", QUESTION + [GOOD[BULK0]], 7),
            ("device twice", replaced(QUESTION, 5, devices((b"dev0", 0, 1), (b"dev0", 0, 0))), 5),
            ("empty name", replaced(QUESTION, 5, devices((b"dev0", 0, 1), (b"", 0, 0))), 5),
            ("unknown type", replaced(QUESTION, 5, devices((b"dev0", 2, 1))), 5),
            ("unknown device flags", replaced(QUESTION, 5, devices((b"dev0", 0, 3))), 5),
            ("huge number", replaced(QUESTION, 5, u32(0xffffffff)), 5),
            ("no SECTION", QUESTION[:6], 5),
            ("SECTION without bit", replaced(QUESTION, 5, devices((b"dev0", 0, 0))), 6),
            ("SECTION of another", replaced(QUESTION, 5, devices((b"dev1", 0, 1))), 6),
            ("SECTION of another type", replaced(QUESTION, 5, devices((b"dev0", 1, 1))), 6),
        ]
        for what, chunks, place in cases:
            with self.subTest(what):
                data, offsets = frame(chunks)
                self.refused(data, offsets[place], cpr.parse_question)

    def test_bad_answer(self):
        cases = [
            ("no SCHEMA", ANSWER[:1] + ANSWER[2:], 1), ("unknown verdict", [answer(2)] + ANSWER[1:], 0),
            ("unknown verdict, no refusal", [answer(2)] + ANSWER[1:3], 0),
            ("verdict 0 with a refusal", [answer(0)] + ANSWER[1:], 0), ("verdict 1 without one", ANSWER[:3], 0),
            ("severity", ANSWER + [finding(2)], 4), ("subject 0", ANSWER + [finding(subject=0)], 4),
            ("subject 7", ANSWER + [finding(subject=7)], 4), ("too many", ANSWER[:2] + [finding()] * 1001, 1002),
            ("rest", replaced(ANSWER, 3, finding()[1] + b"\0"), 3),
            ("build id", [answer(build_id=b"x")] + ANSWER[1:], 0),
            ("SECTION", ANSWER + [GOOD[DEV2]], 4),
        ]
        for what, chunks, place in cases:
            with self.subTest(what):
                data, offsets = frame(chunks)
                self.refused(data, offsets[place], cpr.parse_answer)


def broken(rng, payload):
    """A payload with one to three things changed: a byte, a number, something cut out, doubled or put in."""
    raw = bytearray(payload)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(raw))
        what = rng.randrange(6)
        if what == 0:
            raw[at:at + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            raw[at:at + 4] = u32(rng.choice((0, 1, 0xffffffff, 0x7fffffff, 1 << 31, rng.getrandbits(8))))
        elif what == 2:
            del raw[at:at + rng.randint(1, 9)]
        elif what == 3:
            raw[at:at] = raw[at:at + rng.randint(1, 40)]
        elif what == 4:
            raw[at:at] = bytes(rng.getrandbits(8) for _ in range(rng.randint(1, 9)))
        elif at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
    return bytes(raw)


def shuffled(rng, chunks):
    """Chunks with one broken, and sometimes one dropped, doubled or moved."""
    chunks = list(chunks)
    at = rng.randrange(len(chunks))
    chunks[at] = (chunks[at][0], broken(rng, chunks[at][1])) + chunks[at][2:]
    what, other = rng.randrange(20), rng.randrange(len(chunks))
    if what == 0:
        del chunks[other]
    elif what == 1:
        chunks.insert(other, chunks[at])
    elif what == 2:
        chunks[at], chunks[other] = chunks[other], chunks[at]
    return chunks


class Mutations(Case):
    def test_flipped_bytes(self):
        data = frame(SMALL)[0]
        cpr.parse(data)
        for at in range(len(data)):
            for bits in (1, 0x80, 0xff):
                raw = bytearray(data)
                raw[at] ^= bits
                self.assertFalse(self.only_stream_errors(bytes(raw)), "byte %d" % at)

    def test_truncated(self):
        for chunks, parse in ((SMALL, cpr.parse), (QUESTION, cpr.parse_question), (ANSWER, cpr.parse_answer)):
            data = frame(chunks)[0]
            for size in range(len(data)):
                self.assertFalse(self.only_stream_errors(data[:size], parse), "size %d" % size)

    def test_random_bytes(self):
        rng = random.Random(1)
        for _ in range(500):
            noise = bytes(rng.getrandbits(8) for _ in range(rng.randint(0, 80)))
            self.only_stream_errors(noise)
            self.only_stream_errors(header() + noise)

    def test_recomputed_checksums(self):
        rng = random.Random(2)
        start = time.process_time()
        good = 0
        for parse, chunks, rounds in ((cpr.parse, SMALL, 5000), (cpr.parse, GOOD, 1000),
                                      (cpr.parse_question, QUESTION, 500), (cpr.parse_answer, ANSWER, 500)):
            for _ in range(rounds):
                data = frame(shuffled(rng, chunks))[0]
                good += self.only_stream_errors(data, parse)
        # Neither all nor none: otherwise the mutations do not reach what they are meant for.
        self.assertTrue(0 < good < 7000, good)
        self.assertLess(time.process_time() - start, 60)


class Command(Case):
    def run_reader(self, *arguments, stdin=b""):
        done = subprocess.run([sys.executable, READER] + list(arguments), input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, env=dict(os.environ, LC_ALL="C"))
        return done.returncode, done.stdout, done.stderr.decode()

    def test_good(self):
        data = frame(GOOD)[0]
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            status, out, err = self.run_reader("json", file.name)
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(json.load(io.BytesIO(out)), cpr.parse(data))
            self.assertEqual(self.run_reader("verify", file.name), (0, b"", ""))

    def test_bad(self):
        data, offsets = frame(change(DEV0, b""))
        for command in ("json", "verify"):
            status, out, err = self.run_reader(command, "-", stdin=data)
            self.assertEqual((status, out), (1, b""))
            self.assertTrue(err.startswith("-: offset %d: SECTION" % offsets[DEV0]), err)
            self.assertEqual(err.count("\n"), 1)

    def test_no_file(self):
        self.assertEqual(self.run_reader("verify", os.path.join(os.path.dirname(READER), "none"))[0], 2)


if __name__ == "__main__":
    unittest.main()
