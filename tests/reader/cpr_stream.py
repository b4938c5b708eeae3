#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""An independent reader of libcpr's stream format, version 1.

Written from doc/stream-format.md alone and sharing nothing with the library, so that the two can be checked against
each other.  "Section N" in the comments is a section of that page.

    cpr_stream.py json FILE      check a state and print its JSON form (section 13)
    cpr_stream.py verify FILE    check a state, print nothing

FILE may be "-" for the standard input.  Exit status: 0 the state is good, 1 it is refused, 2 it could not be read.
"""

import argparse
import json
import struct
import sys
from typing import NamedTuple

import xxhash

MAGIC = b"\x89CPR\r\n\x1a\n"
HEADER_SIZE = 32
MAJOR = 1
BYTE_ORDER = 0x01020304

END, VM, PROGRAM, FDS, RAM, SCHEMA, SECTION, BULK, SUCCESSOR, DMA, STORE, SUMS = range(12)
PAGES = 12  # in a stream of its own
QUESTION, DEVICES, ANSWER, FINDING = range(16, 20)
TYPE_NAMES = {
    END: "END", VM: "VM", PROGRAM: "PROGRAM", FDS: "FDS", RAM: "RAM", SCHEMA: "SCHEMA", SECTION: "SECTION",
    BULK: "BULK", SUCCESSOR: "SUCCESSOR", DMA: "DMA", STORE: "STORE", SUMS: "SUMS", QUESTION: "QUESTION",
    DEVICES: "DEVICES", ANSWER: "ANSWER",
    FINDING: "FINDING",
}
CHUNK_OPTIONAL = 1

# How often a type may stand at its place in the order of chunks.
ONE, MAYBE, ANY = "one", "maybe", "any"
STATE_ORDER = [(VM, ONE), (PROGRAM, ONE), (SUCCESSOR, MAYBE), (STORE, MAYBE), (FDS, ONE), (RAM, ONE), (DMA, MAYBE),
               (SCHEMA, ONE), (SECTION, ANY), (BULK, ANY), (SUMS, MAYBE), (END, ONE)]
QUESTION_ORDER = [(QUESTION, ONE), (VM, ONE), (FDS, ONE), (RAM, ONE), (DMA, MAYBE), (SCHEMA, ONE), (DEVICES, ONE),
                  (SECTION, ANY), (END, ONE)]
QUESTION_SCHEMA_ONLY_ORDER = [(QUESTION, ONE), (END, ONE)]
ANSWER_ORDER = [(ANSWER, ONE), (SCHEMA, ONE), (FINDING, ANY), (END, ONE)]

MAX_PAYLOAD = 64 << 20
MAX_BULK_DATA = 4 << 20
MAX_NAME = 255
MAX_FIELDS = 4096
MAX_DEPTH = 16
MAX_LIMITS = 64
MAX_COMM = 15
MAX_FINDINGS = 1000
MAX_INT = 0x7fffffff
BOOT_ID_SIZE = 36
OWN_FD_PREFIX = b"libcpr:"
MAX_OWN_FD_NAME = len(OWN_FD_PREFIX) + 503
RAM_FD_PREFIX = b"libcpr:ram:"
RAM_FLAGS = 0x1f
TYPE1, IOMMUFD, NO_BACKEND = range(1, 4)
MAX_CONTAINERS = 256
MAX_ASSIGNED = 4096
MAX_IRQ_INDEX = 0x7fff
MAX_IRQ_VECTOR = 0xffff
CONTAINER_FD_PREFIX = b"libcpr:vfio-container:"
ASSIGNED_FD_PREFIX = b"libcpr:vfio-device:"
GROUP_FD_NAME = b"libcpr:vfio-group"
IRQ_FD_PREFIXES = (b"libcpr:vfio-irq:", b"libcpr:vfio-unmask:")
NO_STRUCT = 0xffffffff
PIECE = 2 << 20  # of RAM in a file: what has a checksum, and what blocks are aligned to
LAYOUT_AREA, LAYOUT_STREAM = 0, 1
REGULAR_FILE = 0o100000
MAX_STORED = (1 << 62) - 1

BOOL, UINT, INT, FLOAT, BYTES, STRUCT, STRING, FD, TIME = range(1, 10)
KIND_WIDTHS = {BOOL: (1,), UINT: (1, 2, 4, 8), INT: (1, 2, 4, 8), FLOAT: (4, 8), BYTES: (1,), STRUCT: (0,),
               STRING: (1,), FD: (4,), TIME: (8,)}
# The fewest bytes one value takes, for the kinds whose width does not say it: a STRING is at least its length, an FD at
# least an empty string and an index.  (A STRUCT's is counted from its fields.)
KIND_SMALLEST = {STRING: 4, FD: 7}
KINDS_WITH_DEFAULT = (BOOL, UINT, INT, FLOAT, TIME)
ARRAY, COUNTED, OPTIONAL, IGNORABLE = 1, 2, 4, 8
FIELD_FLAGS = ARRAY | COUNTED | OPTIONAL | IGNORABLE

# The fewest bytes an element of a table takes: a number of elements that cannot be there is refused before the first.
SMALLEST_NAME = 4
SMALLEST_TEXT = 5
SMALLEST_LIMIT = 16
SMALLEST_FD = SMALLEST_NAME + 40
SMALLEST_BLOCK = SMALLEST_NAME + 16
SMALLEST_STORED = SMALLEST_NAME + 64
SMALLEST_CONTAINER = SMALLEST_NAME + 16
SMALLEST_ASSIGNED = 2 * SMALLEST_NAME + 8
SMALLEST_IRQ = 16
SMALLEST_MAPPING = 32
SMALLEST_FIELD = SMALLEST_NAME + 20
SMALLEST_STRUCT = SMALLEST_NAME + 4 + SMALLEST_FIELD
SMALLEST_TYPE = SMALLEST_NAME + 12
SMALLEST_DEVICE = SMALLEST_NAME + 8

UNSIGNED_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class StreamError(Exception):
    """The stream is refused.  `offset` is that of the chunk, or of the element of the header, at fault."""

    def __init__(self, offset, message):
        super().__init__("offset %d: %s" % (offset, message))
        self.offset = offset
        self.message = message


def checksum(data):
    return xxhash.xxh3_64_intdigest(data)


def to_text(raw):
    """The JSON form of the bytes of a string."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


# ---------------------------------------------------------------------------------------------------------------------
# Framing (section 2)


class Chunk(NamedTuple):
    type: int
    flags: int
    offset: int
    length: int
    payload: memoryview

    @property
    def skipped(self):
        # Framing has refused unknown types that are not optional, so what is unknown here is to be skipped.
        return self.type not in TYPE_NAMES

    def as_json(self):
        return {"type": self.type, "flags": self.flags, "offset": self.offset, "length": self.length}


def read_header(data):
    """Check the header, in the order that the specification gives; return the minor version."""
    if data[:8] != MAGIC:
        raise StreamError(0, "wrong magic")
    if len(data) < HEADER_SIZE:
        raise StreamError(0, "the header is cut off")
    major, minor, order, flags, check = struct.unpack_from("<HHIQQ", data, 8)
    if check != checksum(data[:24]):
        raise StreamError(24, "wrong checksum of the header")
    if order != BYTE_ORDER:
        raise StreamError(12, "wrong byte order 0x%08x" % order)
    if major != MAJOR:
        raise StreamError(8, "major version %d, only %d can be read" % (major, MAJOR))
    if flags != 0:
        raise StreamError(16, "unknown flags 0x%x in the header" % flags)
    return minor


def check_chunk_type(chunk, known):
    if known is not None:
        if chunk.type not in known or chunk.flags:
            raise StreamError(chunk.offset, "unknown chunk type %d" % chunk.type)
        return
    if chunk.flags & ~CHUNK_OPTIONAL:
        raise StreamError(chunk.offset, "unknown chunk flags 0x%x" % chunk.flags)
    if chunk.type in TYPE_NAMES:
        if chunk.flags & CHUNK_OPTIONAL:
            raise StreamError(chunk.offset, "%s must not be optional" % TYPE_NAMES[chunk.type])
    elif not chunk.flags & CHUNK_OPTIONAL:
        raise StreamError(chunk.offset, "unknown chunk type %d" % chunk.type)
    # The length of a BULK chunk is limited by that of its data, which is checked where the data is found.
    if chunk.type != BULK and chunk.length > MAX_PAYLOAD:
        raise StreamError(chunk.offset, "the payload has %d bytes, more than %d" % (chunk.length, MAX_PAYLOAD))


def read_chunk(data, offset, known=None):
    """Read and check the framing of one chunk; return it and the offset of what follows. `known`: the only types that may be."""
    if offset == len(data):
        raise StreamError(offset, "the stream has no END")
    if len(data) - offset < 16:
        raise StreamError(offset, "the chunk is cut off")
    kind, flags, length = struct.unpack_from("<IIQ", data, offset)
    payload_end = offset + 16 + length
    check_at = (payload_end + 7) & ~7
    if check_at + 8 > len(data):
        raise StreamError(offset, "the chunk is cut off")
    if struct.unpack_from("<Q", data, check_at)[0] != checksum(data[offset:check_at]):
        raise StreamError(offset, "wrong checksum of the chunk")
    if any(data[payload_end:check_at]):
        raise StreamError(offset, "the padding is not zero")
    chunk = Chunk(kind, flags, offset, length, data[offset + 16:payload_end])
    check_chunk_type(chunk, known)
    return chunk, check_at + 8


def read_frame(data):
    """Check all the framing; return the minor version, all chunks, END and the skipped ones too, and where END ends."""
    minor = read_header(data)
    chunks = []
    offset = HEADER_SIZE
    while not chunks or chunks[-1].type != END:
        chunk, offset = read_chunk(data, offset)
        chunks.append(chunk)
    read_end(chunks[-1], len(chunks) - 1)
    if offset != len(data) and not any(chunk.type == STORE for chunk in chunks):
        raise StreamError(offset, "%d bytes follow END" % (len(data) - offset))
    return minor, chunks, offset


def read_end(chunk, chunks_before):
    p = Payload(chunk)
    count = p.u64()
    p.finish()
    if count != chunks_before:
        p.fail("END counts %d chunks, there are %d" % (count, chunks_before))


def check_order(chunks, order):
    """Check that the chunks without the skipped ones are in `order`; return them by type."""
    found = {kind: [] for kind, _ in order}
    step = 0
    for chunk in chunks:
        if chunk.skipped:
            continue
        # Every order ends with one END and framing ends with the first: the walk does not go past it.
        while order[step][0] != chunk.type:
            kind, times = order[step]
            if times == ONE:
                raise StreamError(chunk.offset, "%s where %s must be" % (TYPE_NAMES[chunk.type], TYPE_NAMES[kind]))
            step += 1
        found[chunk.type].append(chunk)
        if order[step][1] != ANY:
            step += 1
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Payloads (section 1)


class Payload:
    """Takes elements from a chunk's payload, one after the other."""

    def __init__(self, chunk):
        self.chunk = chunk
        self.data = chunk.payload
        self.pos = 0

    def fail(self, message):
        name = TYPE_NAMES.get(self.chunk.type, str(self.chunk.type))
        raise StreamError(self.chunk.offset, "%s: %s" % (name, message))

    def left(self):
        return len(self.data) - self.pos

    def take(self, size):
        if size > self.left():
            self.fail("cut off: %d bytes needed at byte %d of the payload, %d left" % (size, self.pos, self.left()))
        piece = self.data[self.pos:self.pos + size]
        self.pos += size
        return piece

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return struct.unpack("<H", self.take(2))[0]

    def u32(self):
        return struct.unpack("<I", self.take(4))[0]

    def u64(self):
        return struct.unpack("<Q", self.take(8))[0]

    def need(self, count, smallest):
        """Refuse a number of elements that the rest of the payload cannot hold, before any of them is read."""
        if count * smallest > self.left():
            self.fail("%d elements cannot be in the %d bytes left" % (count, self.left()))

    def number(self, smallest):
        count = self.u32()
        self.need(count, smallest)
        return count

    def _terminated(self, size):
        raw = bytes(self.take(size + 1))
        if raw.find(0) != size:
            self.fail("a string with a zero byte in it, or without one after it")
        return raw[:-1]

    def string(self):
        return self._terminated(self.u16())

    def text(self):
        return self._terminated(self.u32())

    def name(self):
        raw = self.string()
        if not 1 <= len(raw) <= MAX_NAME:
            self.fail("a name of %d bytes" % len(raw))
        return raw

    def build_id(self):
        raw = self.string()
        if raw.strip(b"0123456789abcdefABCDEF"):
            self.fail("a build id that is not hexadecimal")
        return to_text(raw)

    def zeros_up_to_8(self):
        if any(self.take(-self.pos % 8)):
            self.fail("padding that is not zero")

    def finish(self):
        if self.left():
            self.fail("%d bytes after the last element" % self.left())


# ---------------------------------------------------------------------------------------------------------------------
# The manifest (sections 3 to 5)


def read_vm(chunk):
    p = Payload(chunk)
    name = p.name()
    boot_id = p.string()
    if len(boot_id) != BOOT_ID_SIZE:
        p.fail("a boot id of %d bytes" % len(boot_id))
    uid, pid, generation, run_state = p.u32(), p.u32(), p.u64(), p.u32()
    if run_state > 3:
        p.fail("unknown run state %d" % run_state)
    vm = {"name": to_text(name), "boot_id": to_text(boot_id), "uid": uid, "pid": pid, "generation": generation,
          "run_state": ("running", "paused", "suspended", "paused-suspended")[run_state], "saved_ns": p.u64(), "saved_real_ns": p.u64(),
          "signal_mask": p.u64()}
    p.finish()
    return vm


def read_texts(p):
    return [to_text(p.text()) for _ in range(p.number(SMALLEST_TEXT))]


def read_program(chunk):
    p = Payload(chunk)
    program = {"argv": read_texts(p), "environment": read_texts(p), "cwd": to_text(p.text())}
    if not program["argv"]:
        p.fail("an empty argv")
    comm = p.text()
    if len(comm) > MAX_COMM:
        p.fail("a process name of %d bytes" % len(comm))
    program["comm"] = to_text(comm)
    program["umask"] = p.u32()
    program["ignored_signals"] = p.u64()
    count = p.number(SMALLEST_LIMIT)
    if not 1 <= count <= MAX_LIMITS:
        p.fail("%d resource limits" % count)
    program["limits"] = [{"soft": p.u64(), "hard": p.u64()} for _ in range(count)]
    p.finish()
    return program


def read_successor(chunk):
    p = Payload(chunk)
    successor = {"device": p.u64(), "inode": p.u64(), "build_id": p.build_id()}
    p.finish()
    return successor


def read_fd_name(p):
    name = p.string()
    most = MAX_OWN_FD_NAME if name.startswith(OWN_FD_PREFIX) else MAX_NAME
    if not 1 <= len(name) <= most:
        p.fail("an fd name of %d bytes" % len(name))
    return name


def read_fds(chunk):
    """Return the JSON form and the set of (name, index)."""
    p = Payload(chunk)
    fds, keys, numbers = [], set(), set()
    for _ in range(p.number(SMALLEST_FD)):
        name, index, fd = read_fd_name(p), p.u32(), p.u32()
        if index > MAX_INT:
            p.fail("fd %r has index %d" % (name, index))
        if not 0 <= fd <= MAX_INT:
            p.fail("fd %r has number %d" % (name, fd))
        if (name, index) in keys:
            p.fail("two fds %r, %d" % (name, index))
        if fd in numbers:
            p.fail("fd number %d twice" % fd)
        keys.add((name, index))
        numbers.add(fd)
        fds.append({"name": to_text(name), "index": index, "fd": fd, "type": p.u32(), "access": p.u32(),
                    "device": p.u64(), "inode": p.u64(), "socket_domain": p.u32(), "socket_type": p.u32()})
    p.finish()
    return fds, keys


def read_ram(chunk, fd_keys, store=None):
    p = Payload(chunk)
    blocks, names = [], set()
    for _ in range(p.number(SMALLEST_BLOCK)):
        name, size, backing, flags = p.name(), p.u64(), p.u32(), p.u32()
        if not 1 <= size < 1 << 63:
            p.fail("RAM block %r has size %d" % (name, size))
        if backing > (3 if store is None else 4):
            p.fail("RAM block %r has unknown backing %d" % (name, backing))
        if flags & ~RAM_FLAGS:
            p.fail("RAM block %r has unknown flags 0x%x" % (name, flags))
        if name in names:
            p.fail("two RAM blocks %r" % name)
        if store is None and (RAM_FD_PREFIX + name, 0) not in fd_keys:
            p.fail("RAM block %r has no fd" % name)
        names.add(name)
        blocks.append({"name": to_text(name), "size": size, "backing": backing, "flags": flags})
    p.finish()
    if store is not None:
        if [(b["name"], b["size"]) for b in blocks] != [(b["name"], b["size"]) for b in store["blocks"]]:
            p.fail("the blocks are not those of STORE")
    return blocks


class Assigned:
    """Reads DMA."""

    def __init__(self, chunk, fd_keys, ram):
        self.p = Payload(chunk)
        self.fd_keys = fd_keys
        self.ram = ram
        self.names, self.devices, self.groups = set(), set(), {}

    def need_fd(self, name, index, whose):
        if (name, index) not in self.fd_keys:
            self.p.fail("%s has no fd %r, %d" % (whose, name, index))

    def irqs(self, device):
        found, last = [], None
        for _ in range(self.p.number(SMALLEST_IRQ)):
            index, vector, role, flags = (self.p.u32() for _ in range(4))
            if index > MAX_IRQ_INDEX or vector > MAX_IRQ_VECTOR or role > 1 or flags > 1:
                self.p.fail("device %r has an impossible interrupt" % device)
            if last is not None and (index, vector, role) <= last:
                self.p.fail("interrupts of device %r are out of order" % device)
            last = (index, vector, role)
            self.need_fd(IRQ_FD_PREFIXES[role] + device, vector + 65536 * index, "an interrupt of %r" % device)
            found.append({"index": index, "vector": vector, "role": role, "flags": flags})
        return found

    def device(self, container, backend):
        name, address, group = self.p.name(), self.p.name(), self.p.u32()
        if name in self.devices:
            self.p.fail("two devices %r" % name)
        if len(self.devices) == MAX_ASSIGNED:
            self.p.fail("too many devices")
        if group > MAX_INT or (group and backend != TYPE1):
            self.p.fail("device %r is in group %d" % (name, group))
        self.devices.add(name)
        if backend != NO_BACKEND:
            self.need_fd(ASSIGNED_FD_PREFIX + name, 0, "device %r" % name)
        if backend == TYPE1:
            self.need_fd(GROUP_FD_NAME, group, "device %r" % name)
            if self.groups.setdefault(group, container) != container:
                self.p.fail("group %d is in two containers" % group)
        return {"name": to_text(name), "address": to_text(address), "group": group, "irqs": self.irqs(name)}

    def mappings(self):
        found, end = [], 0
        for _ in range(self.p.number(SMALLEST_MAPPING)):
            iova, size, block, flags, offset = self.p.u64(), self.p.u64(), self.p.u32(), self.p.u32(), self.p.u64()
            if size == 0 or iova + size > 1 << 64 or not 1 <= flags <= 3:
                self.p.fail("a mapping of %d bytes at 0x%x, flags 0x%x" % (size, iova, flags))
            if block >= len(self.ram) or offset + size > self.ram[block]["size"]:
                self.p.fail("the mapping at 0x%x is beyond RAM block %d" % (iova, block))
            if iova < end:
                self.p.fail("the mapping at 0x%x is out of order" % iova)
            end = iova + size
            found.append({"iova": iova, "size": size, "block": block, "flags": flags, "offset": offset})
        return found

    def container(self):
        name, backend, ioas = self.p.name(), self.p.u32(), self.p.u32()
        if name in self.names:
            self.p.fail("two containers %r" % name)
        if len(self.names) == MAX_CONTAINERS:
            self.p.fail("too many containers")
        if not TYPE1 <= backend <= NO_BACKEND:
            self.p.fail("container %r has unknown back end %d" % (name, backend))
        if ioas and backend != IOMMUFD:
            self.p.fail("container %r has an IOAS" % name)
        self.names.add(name)
        if backend != NO_BACKEND:
            self.need_fd(CONTAINER_FD_PREFIX + name, 0, "container %r" % name)
        devices = [self.device(name, backend) for _ in range(self.p.number(SMALLEST_ASSIGNED))]
        return {"name": to_text(name), "backend": backend, "ioas": ioas, "devices": devices,
                "mappings": self.mappings()}

    def read(self):
        containers = [self.container() for _ in range(self.p.number(SMALLEST_CONTAINER))]
        self.p.finish()
        return containers


def read_dma(chunks, fd_keys, ram):
    return Assigned(chunks[0], fd_keys, ram).read() if chunks else []


# ---------------------------------------------------------------------------------------------------------------------
# RAM's contents (section 9)


def pieces(size):
    return (size + PIECE - 1) // PIECE


def read_store(chunk):
    p = Payload(chunk)
    layout, blocks, names, area = p.u32(), [], set(), 0
    if layout not in (LAYOUT_AREA, LAYOUT_STREAM):
        p.fail("unknown layout %d" % layout)
    for _ in range(p.number(SMALLEST_STORED)):
        name, size, where, kind = p.name(), p.u64(), p.u32(), p.u32()
        offset, device, inode, special, file_size, stamp = (p.u64() for _ in range(6))
        if not 1 <= size <= MAX_STORED or where > 1 or name in names or area > MAX_STORED:
            p.fail("block %r cannot be right" % name)
        copied_here = where == 0 and layout == LAYOUT_AREA
        if offset != (area if copied_here else 0):
            p.fail("block %r has its contents at %d" % (name, offset))
        if copied_here:
            area += pieces(size) * PIECE
        names.add(name)
        blocks.append({"name": to_text(name), "size": size, "in_place": where == 1, "type": kind, "offset": offset,
                       "device": device, "inode": inode, "special": special, "file_size": file_size,
                       "stamp_ns": stamp - (1 << 64) if stamp >> 63 else stamp})
    p.finish()
    return {"layout": layout, "blocks": blocks}


def has_sums(store, block):
    return block["type"] != REGULAR_FILE if block["in_place"] else store["layout"] == LAYOUT_AREA


def read_sums(chunks, store, end):
    expected = sum(pieces(block["size"]) for block in store["blocks"] if has_sums(store, block))
    if not chunks:
        if expected:
            raise StreamError(end, "there are no SUMS")
        return []
    p = Payload(chunks[0])
    sums = [p.u64() for _ in range(p.number(8))]
    p.finish()
    if len(sums) != expected or not sums:
        p.fail("%d sums, %d expected" % (len(sums), expected))
    return sums


def check_area(data, end, store, sums):
    """What follows a state whose RAM is laid out behind it."""
    copied = [block for block in store["blocks"] if not block["in_place"]]
    base = (end + PIECE - 1) // PIECE * PIECE
    if len(data) != (base + sum(pieces(block["size"]) * PIECE for block in copied) if copied else end):
        raise StreamError(end, "the area of RAM has another size")
    at = 0
    for block in store["blocks"]:
        for index in range(pieces(block["size"]) if has_sums(store, block) else 0):
            start = base + block["offset"] + index * PIECE
            piece = data[start:start + min(PIECE, block["size"] - index * PIECE)]
            if not block["in_place"] and checksum(piece) != sums[at]:
                raise StreamError(end, "block %r: wrong checksum at %d" % (block["name"], index * PIECE))
            at += 1


class Pages:
    """The contents of the copied blocks, piece after piece."""

    def __init__(self, store):
        self.blocks = [block for block in store["blocks"] if not block["in_place"]]
        self.current = self.at = 0

    def add(self, chunk):
        p = Payload(chunk)
        name, start = to_text(p.name()), p.u64()
        p.zeros_up_to_8()
        while self.current < len(self.blocks) and self.blocks[self.current]["name"] != name:
            self.current, self.at = self.current + 1, 0
        if self.current == len(self.blocks) or start < self.at or not 1 <= p.left() <= MAX_BULK_DATA:
            p.fail("block %r has no place for it" % name)
        self.at = start + p.left()
        if self.at > self.blocks[self.current]["size"]:
            p.fail("block %r ends before" % name)


def check_pages(data, end, store):
    """The stream that follows a state, where that is the layout."""
    rest, pages, count = data[end:], Pages(store), 0
    try:
        if bytes(rest[:HEADER_SIZE]) != bytes(data[:HEADER_SIZE]):
            raise StreamError(0, "it does not begin like the state")
        chunk, offset = read_chunk(rest, HEADER_SIZE, (PAGES, END))
        while chunk.type != END:
            pages.add(chunk)
            count += 1
            chunk, offset = read_chunk(rest, offset, (PAGES, END))
        read_end(chunk, count)
        if offset != len(rest):
            raise StreamError(offset, "bytes follow its END")
    except StreamError as fault:
        raise StreamError(end, "the contents of RAM, %s" % fault) from None


# ---------------------------------------------------------------------------------------------------------------------
# SCHEMA (section 6)


class Field(NamedTuple):
    name: str
    kind: int
    width: int
    flags: int
    count: int
    struct: int
    default: int

    def as_json(self):
        form = self._asdict()
        if self.kind != STRUCT:
            form["struct"] = None
        return form


class Struct(NamedTuple):
    name: str
    fields: list
    depth: int
    smallest: int

    def as_json(self):
        return {"name": self.name, "fields": [f.as_json() for f in self.fields]}


class DeviceType(NamedTuple):
    name: str
    version: int
    minimum_version: int
    struct: int

    def as_json(self):
        return self._asdict()


class Schema(NamedTuple):
    structs: list
    types: list


def flag_fault(kind, flags):
    """What is wrong with a field's flags, or None."""
    if flags & ~FIELD_FLAGS:
        return "unknown flags 0x%x" % flags
    if flags & COUNTED and not flags & ARRAY:
        return "COUNTED without ARRAY"
    if flags & IGNORABLE and not flags & OPTIONAL:
        return "IGNORABLE without OPTIONAL"
    if kind == BYTES and not flags & ARRAY:
        return "BYTES without ARRAY"
    if kind == STRING and flags & ARRAY:
        return "STRING with ARRAY"
    if kind == STRUCT and flags & OPTIONAL and flags & ARRAY and not flags & COUNTED:
        return "STRUCT with OPTIONAL and ARRAY, without COUNTED"
    return None


def default_fits(field):
    if field.default == 0:
        return True
    if not field.flags & OPTIONAL or field.kind not in KINDS_WITH_DEFAULT:
        return False
    if field.kind == BOOL:
        return field.default == 1
    bits = field.width * 8
    if field.kind == INT:
        # Sign-extended: the sign bit and all bits above it are the same.
        return field.default >> (bits - 1) in (0, (1 << (65 - bits)) - 1)
    return field.default >> bits == 0


def field_fault(field, struct_index):
    """The rule that a field of struct number `struct_index` breaks, or None."""
    if field.width not in KIND_WIDTHS.get(field.kind, ()):
        return "kind %d with width %d" % (field.kind, field.width)
    fault = flag_fault(field.kind, field.flags)
    if fault:
        return fault
    if field.count < 1 or field.count > 1 and not field.flags & ARRAY and field.kind != STRING:
        return "count %d" % field.count
    if field.kind == STRUCT:
        if field.struct >= struct_index:
            return "refers to struct %d, which is not before its own" % field.struct
    elif field.struct != NO_STRUCT:
        return "refers to struct %d and is not a STRUCT" % field.struct
    if not default_fits(field):
        return "default 0x%x" % field.default
    return None


def value_smallest(field, structs):
    """The fewest bytes one value of a field takes."""
    if field.kind == STRUCT:
        return structs[field.struct].smallest
    return KIND_SMALLEST.get(field.kind, field.width)


def field_smallest(field, structs):
    """The fewest bytes a field takes, never 0."""
    if field.flags & OPTIONAL:
        return 1
    if field.flags & COUNTED:
        return 4
    if field.kind == STRING:
        return 4
    return field.count * value_smallest(field, structs)


def read_struct_def(p, structs):
    name = p.name()
    count = p.number(SMALLEST_FIELD)
    if not 1 <= count <= MAX_FIELDS:
        p.fail("struct %r has %d fields" % (name, count))
    fields, names, depth = [], set(), 1
    for _ in range(count):
        raw = p.name()
        field = Field(to_text(raw), p.u8(), p.u8(), p.u16(), p.u32(), p.u32(), p.u64())
        fault = "its name is used twice" if raw in names else field_fault(field, len(structs))
        if fault:
            p.fail("struct %r, field %r: %s" % (name, raw, fault))
        names.add(raw)
        fields.append(field)
        if field.kind == STRUCT:
            depth = max(depth, 1 + structs[field.struct].depth)
    if depth > MAX_DEPTH:
        p.fail("struct %r is %d deep" % (name, depth))
    return Struct(to_text(name), fields, depth, sum(field_smallest(f, structs) for f in fields))


def read_types(p, structs):
    types, names = [], set()
    for _ in range(p.number(SMALLEST_TYPE)):
        raw = p.name()
        device_type = DeviceType(to_text(raw), p.u32(), p.u32(), p.u32())
        if raw in names:
            p.fail("two device types %r" % raw)
        if device_type.minimum_version > device_type.version:
            p.fail("device type %r has a minimum version above its version" % raw)
        if device_type.struct >= len(structs):
            p.fail("device type %r refers to struct %d" % (raw, device_type.struct))
        names.add(raw)
        types.append(device_type)
    return types


def read_schema(chunk):
    p = Payload(chunk)
    structs = []
    for _ in range(p.number(SMALLEST_STRUCT)):
        structs.append(read_struct_def(p, structs))
    types = read_types(p, structs)
    p.finish()
    return Schema(structs, types)


# ---------------------------------------------------------------------------------------------------------------------
# SECTION (section 7)


class SectionReader:
    """Reads the fields of a device; every value takes at least one byte, so the work is bounded by the payload."""

    def __init__(self, chunk, schema, fd_keys):
        self.p = Payload(chunk)
        self.schema = schema
        self.fd_keys = fd_keys

    def read(self):
        """Return the device's name in bytes, the index of its type and its fields."""
        name, index, zero = self.p.name(), self.p.u32(), self.p.u32()
        if index >= len(self.schema.types):
            self.p.fail("device %r has unknown type %d" % (name, index))
        if zero != 0:
            self.p.fail("device %r: %d where 0 must be" % (name, zero))
        fields = self.struct(self.schema.structs[self.schema.types[index].struct])
        self.p.finish()
        return name, index, fields

    def struct(self, definition):
        # What is cut off in the middle would be found anyway, but only after reading up to there.
        if definition.smallest > self.p.left():
            self.p.fail("cut off: struct %r cannot be in the %d bytes left" % (definition.name, self.p.left()))
        return {field.name: self.field(field) for field in definition.fields}

    def field(self, field):
        if field.flags & OPTIONAL and not self.zero_or_one(field, "presence"):
            return None
        if not field.flags & ARRAY:
            return self.value(field)
        count = field.count
        if field.flags & COUNTED:
            count = self.p.u32()
            if count > field.count:
                self.fail(field, "%d values, at most %d" % (count, field.count))
        self.p.need(count, value_smallest(field, self.schema.structs))
        return self.values(field, count)

    def values(self, field, count):
        if field.kind == BYTES:
            return self.p.take(count).hex()
        if field.kind in (STRUCT, FD):
            return [self.value(field) for _ in range(count)]
        return self.numbers(field, count)

    def value(self, field):
        if field.kind == STRUCT:
            return self.struct(self.schema.structs[field.struct])
        if field.kind == STRING:
            return self.string(field)
        if field.kind == FD:
            return self.fd(field)
        return self.numbers(field, 1)[0]

    def numbers(self, field, count):
        code = UNSIGNED_CODES[field.width]
        if field.kind in (INT, TIME):
            code = code.lower()
        values = struct.unpack("<%d%s" % (count, code), self.p.take(count * field.width))
        if field.kind == BOOL:
            if count and max(values) > 1:
                self.fail(field, "a BOOL that is neither 0 nor 1")
            return [value == 1 for value in values]
        if field.kind == FLOAT:
            return ["0x%0*x" % (field.width * 2, value) for value in values]
        return list(values)

    def zero_or_one(self, field, what):
        value = self.p.u8()
        if value > 1:
            self.fail(field, "%s is %d" % (what, value))
        return value

    def string(self, field):
        size = self.p.u32()
        if size > field.count:
            self.fail(field, "a STRING of %d bytes, at most %d" % (size, field.count))
        raw = bytes(self.p.take(size))
        if 0 in raw:
            self.fail(field, "a STRING with a zero byte in it")
        return to_text(raw)

    def fd(self, field):
        name, index = self.p.string(), self.p.u32()
        if not name and index == 0:
            return None
        if (name, index) not in self.fd_keys:
            self.fail(field, "no fd %r, %d" % (name, index))
        return {"name": to_text(name), "index": index}

    def fail(self, field, message):
        self.p.fail("field %r: %s" % (field.name, message))


def read_sections(chunks, schema, fd_keys):
    """Return the JSON form of the devices, and by name (in bytes) the chunk and the index of the type of each."""
    devices, known = [], {}
    for chunk in chunks:
        name, index, fields = SectionReader(chunk, schema, fd_keys).read()
        if name in known:
            raise StreamError(chunk.offset, "SECTION: two devices %r" % name)
        known[name] = (chunk, index)
        devices.append({"name": to_text(name), "type": schema.types[index].name, "fields": fields})
    return devices, known


# ---------------------------------------------------------------------------------------------------------------------
# BULK (section 8)


def read_bulk(chunks, known):
    """Check the pieces of all devices; return the JSON form."""
    bulk, seen, current = [], set(), None
    for chunk in chunks:
        p = Payload(chunk)
        name, offset = p.name(), p.u64()
        p.zeros_up_to_8()
        size = p.left()
        if name not in known:
            p.fail("device %r has no SECTION" % name)
        if not 1 <= size <= MAX_BULK_DATA:
            p.fail("a piece of %d bytes" % size)
        if name != current:
            if name in seen:
                p.fail("the pieces of device %r are not together" % name)
            seen.add(name)
            current = name
            bulk.append({"device": to_text(name), "size": 0})
        if offset != bulk[-1]["size"]:
            p.fail("device %r: a piece at %d, expected at %d" % (name, offset, bulk[-1]["size"]))
        bulk[-1]["size"] += size
    return bulk


# ---------------------------------------------------------------------------------------------------------------------
# A state


def frame_json(data, minor, chunks):
    return {"format": {"major": MAJOR, "minor": minor}, "size": len(data), "chunks": [c.as_json() for c in chunks]}


def schema_json(schema):
    return {"structs": [s.as_json() for s in schema.structs], "types": [t.as_json() for t in schema.types]}


def parse(data):
    """Check a state and return its JSON form; raise StreamError if it is refused."""
    data = memoryview(data)
    minor, chunks, end = read_frame(data)
    found = check_order(chunks, STATE_ORDER)
    if found[SUMS] and not found[STORE]:
        raise StreamError(found[SUMS][0].offset, "SUMS without a STORE")
    state = frame_json(data[:end], minor, chunks)
    state["vm"] = read_vm(found[VM][0])
    state["program"] = read_program(found[PROGRAM][0])
    state["successor"] = read_successor(found[SUCCESSOR][0]) if found[SUCCESSOR] else None
    store = state["store"] = read_store(found[STORE][0]) if found[STORE] else None
    state["fds"], fd_keys = read_fds(found[FDS][0])
    state["ram"] = read_ram(found[RAM][0], fd_keys, store)
    state["containers"] = read_dma(found[DMA], fd_keys, state["ram"])
    schema = read_schema(found[SCHEMA][0])
    state.update(schema_json(schema))
    state["devices"], known = read_sections(found[SECTION], schema, fd_keys)
    state["bulk"] = read_bulk(found[BULK], known)
    if store is not None:
        sums = read_sums(found[SUMS], store, chunks[-1].offset)
        if store["layout"] == LAYOUT_AREA:
            check_area(data, end, store, sums)
        else:
            check_pages(data, end, store)
    return state


# ---------------------------------------------------------------------------------------------------------------------
# Preflight (section 10)


def read_question(chunk):
    p = Payload(chunk)
    flags = p.u32()
    if flags & ~1:
        p.fail("unknown flags 0x%x" % flags)
    question = {"flags": flags, "answer_fd": p.u32(), "answer_device": p.u64(), "answer_inode": p.u64()}
    p.finish()
    return question


def read_devices(chunk, schema):
    """Return a list of (name in bytes, index of the type, flags)."""
    p = Payload(chunk)
    devices, names = [], set()
    for _ in range(p.number(SMALLEST_DEVICE)):
        name, index, flags = p.name(), p.u32(), p.u32()
        if name in names:
            p.fail("two devices %r" % name)
        if index >= len(schema.types):
            p.fail("device %r has unknown type %d" % (name, index))
        if flags & ~1:
            p.fail("device %r has unknown flags 0x%x" % (name, flags))
        names.add(name)
        devices.append((name, index, flags))
    p.finish()
    return devices


def check_trial_sections(devices_chunk, devices, known):
    """The devices that were saved for trial and the sections must be the same."""
    announced = {name: index for name, index, flags in devices if flags & 1}
    for name, (chunk, index) in known.items():
        if name not in announced:
            raise StreamError(chunk.offset, "SECTION: device %r was not announced" % name)
        if announced[name] != index:
            raise StreamError(chunk.offset, "SECTION: device %r was announced with another type" % name)
    for name in announced:
        if name not in known:
            raise StreamError(devices_chunk.offset, "DEVICES: device %r has no SECTION" % name)


def parse_question(data):
    """Check the question of a preflight and return it; one for the schema alone has just "question" and the frame."""
    data = memoryview(data)
    minor, chunks, _ = read_frame(data)
    first = next(chunk for chunk in chunks if not chunk.skipped)
    if first.type != QUESTION:
        raise StreamError(first.offset, "%s where QUESTION must be" % TYPE_NAMES[first.type])
    message = frame_json(data, minor, chunks)
    # The order of the rest depends on the flags, so this payload comes first.
    message["question"] = read_question(first)
    if message["question"]["flags"] & 1:
        check_order(chunks, QUESTION_SCHEMA_ONLY_ORDER)
        return message
    found = check_order(chunks, QUESTION_ORDER)
    message["vm"] = read_vm(found[VM][0])
    message["fds"], fd_keys = read_fds(found[FDS][0])
    message["ram"] = read_ram(found[RAM][0], fd_keys)
    message["containers"] = read_dma(found[DMA], fd_keys, message["ram"])
    schema = read_schema(found[SCHEMA][0])
    message.update(schema_json(schema))
    asked = read_devices(found[DEVICES][0], schema)
    message["asked"] = [{"name": to_text(name), "type": schema.types[index].name, "flags": flags}
                        for name, index, flags in asked]
    message["devices"], known = read_sections(found[SECTION], schema, fd_keys)
    check_trial_sections(found[DEVICES][0], asked, known)
    return message


def read_answer(chunk):
    p = Payload(chunk)
    question, verdict = p.u64(), p.u32()
    if verdict > 1:
        p.fail("unknown verdict %d" % verdict)
    answer = {"question_checksum": question, "verdict": verdict, "path": to_text(p.string()), "build_id": p.build_id(),
              "device": p.u64(), "inode": p.u64()}
    p.finish()
    return answer


def read_finding(chunk):
    p = Payload(chunk)
    severity, subject = p.u32(), p.u32()
    if severity > 1:
        p.fail("unknown severity %d" % severity)
    if not 1 <= subject <= 6:
        p.fail("unknown subject %d" % subject)
    finding = {"severity": severity, "subject": subject, "name": to_text(p.string()), "message": to_text(p.string())}
    p.finish()
    return finding


def parse_answer(data):
    """Check the answer of a preflight and return it."""
    data = memoryview(data)
    minor, chunks, _ = read_frame(data)
    found = check_order(chunks, ANSWER_ORDER)
    message = frame_json(data, minor, chunks)
    message["answer"] = read_answer(found[ANSWER][0])
    message.update(schema_json(read_schema(found[SCHEMA][0])))
    if len(found[FINDING]) > MAX_FINDINGS:
        raise StreamError(found[FINDING][MAX_FINDINGS].offset, "FINDING: more than %d" % MAX_FINDINGS)
    message["findings"] = [read_finding(chunk) for chunk in found[FINDING]]
    refused = any(finding["severity"] == 1 for finding in message["findings"])
    if (message["answer"]["verdict"] == 1) != refused:
        raise StreamError(found[ANSWER][0].offset, "ANSWER: the verdict does not agree with the findings")
    return message


# ---------------------------------------------------------------------------------------------------------------------
# Command


def read_input(path):
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check a libcpr state, or print it as JSON.")
    parser.add_argument("command", choices=("json", "verify"))
    parser.add_argument("file", metavar="FILE", help='the state; "-" is the standard input')
    options = parser.parse_args(arguments)
    try:
        data = read_input(options.file)
    except OSError as error:
        print("%s: %s" % (options.file, error.strerror), file=sys.stderr)
        return 2
    try:
        state = parse(data)
    except StreamError as error:
        print("%s: %s" % (options.file, error), file=sys.stderr)
        return 1
    if options.command == "json":
        # UTF-8 in every locale: the strings of a state may hold any character.
        sys.stdout.buffer.write(json.dumps(state, indent=1, ensure_ascii=False).encode("utf-8") + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
