#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: cpr-inspect and the independent reader accept the same states, refuse the others at the same place, and read the
same in those that they accept. The states come from the library's writer and from the independent reader's tests; they are
damaged, cut off, and changed with their checksums put right."""
import os
import random
import struct
import tempfile

from readers import Tally, claim, cpr, made, main, read, same_json, source, write_state

NAMES = ("example", "full", "other", "odd", "empty")
with tempfile.TemporaryDirectory(prefix="cpr-") as folder:
    WRITTEN = {name: read(write_state(name, folder)) for name in NAMES}
WRITTEN["golden"] = read(os.path.join(source, "tests", "golden", "v1", "everything.cpr"))
SMALL_ONES = {name: data for name, data in WRITTEN.items() if len(data) < 4096}
SMALL_ONES["small"] = made.frame(made.SMALL)[0]


def chunks_of(data):
    """(type, payload, flags) of all chunks but END."""
    return [(c.type, bytes(c.payload), c.flags) for c in cpr.read_frame(memoryview(data))[1][:-1]]


def the_library_writes_what_both_read():
    for data in WRITTEN.values():
        same_json(data)
    kinds = {(field["kind"], field["flags"]) for struct_ in cpr.parse(WRITTEN["full"])["structs"]
             for field in struct_["fields"]}
    claim({kind for kind, _ in kinds} == set(range(1, 10)), f"only the kinds {kinds} are written")
    return f"{len(WRITTEN)} states, {len(kinds)} kinds of fields with flags"


def the_readers_tests_are_read_alike():
    tally = Tally()
    for what, chunks, _ in made.BAD_CONTENTS:
        tally.add(what, made.frame(chunks)[0])
    for chunks in (made.GOOD, made.SMALL, made.with_structs(made.nested(16)), made.with_structs([]),
                   made.insert(5, (98, b"", 1))):
        tally.add("good", made.frame(chunks)[0])
    for what, chunks in (("question", made.QUESTION), ("short question", made.SHORT_QUESTION), ("answer", made.ANSWER)):
        tally.add(what, made.frame(chunks)[0])
    accepted, text = tally.compare()
    claim(len(accepted) == 5, f"{len(accepted)} are accepted")
    for data in accepted:
        same_json(data)
    return text


def headers_are_judged_alike():
    tally = Tally()
    rest = SMALL_ONES["small"][32:]
    for minor in (0, 1, 65535):
        tally.add(f"minor {minor}", made.header(minor=minor) + rest)
    for what in ({"magic": b"\x89CPR\n\n\x1a\n"}, {"major": 0}, {"major": 2}, {"order": 0x04030201}, {"flags": 1},
                 {"flags": 1 << 63}, {"major": 2, "order": 0, "flags": 1}, {"major": 2, "flags": 1}):
        tally.add(what, made.header(**what) + rest)
    return tally.compare()[1]


def flipped_bits_are_found_alike():
    tally, rng = Tally(), random.Random(3)
    for name, data in SMALL_ONES.items():
        for at in range(len(data)):
            raw = bytearray(data)
            raw[at] ^= 1 << rng.randrange(8)
            tally.add(f"{name}: byte {at}", raw)
    raw = WRITTEN["full"]
    for at in rng.sample(range(len(raw)), 40):
        tally.add(f"full: byte {at}", raw[:at] + bytes([raw[at] ^ 0x40]) + raw[at + 1:])
    accepted, text = tally.compare()
    claim(not accepted, "a flipped bit is accepted")
    return text


def cut_off_states_are_refused_alike():
    tally = Tally()
    for name, data in SMALL_ONES.items():
        for size in range(0, len(data), 1 if name == "example" else 3):
            tally.add(f"{name}: {size} bytes", data[:size])
        for more in (b"\0", bytes(24), data):
            tally.add(f"{name} and {len(more)} bytes", data + more)
    accepted, text = tally.compare()
    claim(not accepted, "what is cut off or goes on is accepted")
    return text


def broken_payloads_are_judged_alike():
    tally, rng = Tally(), random.Random(4)
    sources = {name: chunks_of(data) for name, data in SMALL_ONES.items()}
    sources["made"] = made.GOOD
    for name, chunks in sources.items():
        for _ in range(600):
            changed = list(chunks)
            at = rng.randrange(len(changed))
            changed[at] = (changed[at][0], made.broken(rng, changed[at][1])) + tuple(changed[at][2:])
            # With a piece that is another's, or of another size, the next one doesn't fit either.
            tally.add(f"{name}: chunk {at}", made.frame(changed)[0], several=changed[at][0] == cpr.BULK)
    accepted, text = tally.compare()
    claim(0 < len(accepted) < len(tally.states) / 2, f"{len(accepted)} are accepted")
    for data in rng.sample(accepted, 60):
        same_json(data)
    return text


def single_bytes_of_payloads_are_judged_alike():
    """Of the smallest states every byte of every payload, with the checksum put right."""
    tally, rng = Tally(), random.Random(5)
    for name in ("small", "example"):
        chunks = chunks_of(SMALL_ONES[name])
        for at, (kind, payload, flags) in enumerate(chunks):
            for byte in range(len(payload)):
                for new in {payload[byte] ^ 1 << rng.randrange(8), rng.choice((0, 1, 2, 0x7f, 0x80, 0xff))}:
                    raw = payload[:byte] + bytes([new]) + payload[byte + 1:]
                    changed = chunks[:at] + [(kind, raw, flags)] + chunks[at + 1:]
                    tally.add(f"{name}: chunk {at}, byte {byte} is {new}", made.frame(changed)[0])
    accepted, text = tally.compare()
    for data in rng.sample(accepted, 40):
        same_json(data)
    return text


def chunks_out_of_place_are_judged_alike():
    """Dropped, doubled, moved, of another type, with other flags; a chunk too many or too few in END."""
    tally, rng = Tally(), random.Random(6)
    types = [*range(14), 16, 17, 18, 19, 20, 99, 0xffffffff]
    for name, data in SMALL_ONES.items():
        chunks = chunks_of(data)
        for at, chunk in enumerate(chunks):
            tally.add(f"{name}: without {at}", made.frame(chunks[:at] + chunks[at + 1:])[0])
            tally.add(f"{name}: {at} twice", made.frame(chunks[:at] + [chunk] + chunks[at:])[0])
            other = rng.randrange(len(chunks))
            moved = chunks[:at] + chunks[at + 1:]
            tally.add(f"{name}: {at} to {other}", made.frame(moved[:other] + [chunk] + moved[other:])[0])
            for kind in types:
                flags = rng.choice((0, 1, 1, 2, 1 << 31))
                changed = chunks[:at] + [(kind, chunk[1], flags)] + chunks[at + 1:]
                # What isn't bulk data isn't in order either, if something follows.
                tally.add(f"{name}: {at} of type {kind}, flags {flags}", made.frame(changed)[0], several=kind in (cpr.BULK, cpr.SUMS))
        for count in (0, len(chunks) - 1, len(chunks) + 1, 1 << 63):
            tally.add(f"{name}: END counts {count}", made.frame(chunks, count=count)[0])
    accepted, text = tally.compare()
    return text


def lengths_of_chunks_are_judged_alike():
    tally = Tally()
    for name, data in SMALL_ONES.items():
        for info in cpr.parse(data)["chunks"]:
            at, length = info["offset"], info["length"]
            for other in (length - 1, length + 1, length + 8, length - 8, length + 24, 0, 64 << 20, (64 << 20) + 1,
                          1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 24):
                raw = data[:at + 8] + struct.pack("<Q", other % (1 << 64)) + data[at + 16:]
                tally.add(f"{name}: chunk at {at} of {other} bytes", raw)
    return tally.compare()[1]


def limits_are_the_same():
    tally, small = Tally(), made.SMALL
    for size in (4 << 20, (4 << 20) + 1):
        tally.add(f"{size} bytes of bulk data", made.frame(made.change(made.BULK2, made.bulk(b"dev1", 0, bytes(size))))[0])
    for size in (64 << 20, (64 << 20) + 1):
        tally.add(f"{size} bytes to skip", made.frame([(99, bytes(size), 1)] + small)[0])
        raw = made.with_device([made.field(b"b", cpr.BYTES, 1, 1, size - 12)], bytes(size - 12))
        tally.add(f"{size} bytes of fields", made.frame(raw)[0])
    for count in (64, 65):
        limits = made.program(limits=((1, 2),) * count)
        tally.add(f"{count} limits", made.frame(made.change(made.PROGRAM_AT, limits))[0])
    for depth in (16, 17):
        tally.add(f"{depth} deep", made.frame(made.with_structs(made.nested(depth)))[0])
    accepted, text = tally.compare()
    claim(len(accepted) == 5, f"{len(accepted)} are accepted")
    for data in accepted:
        if len(data) < 1 << 20:
            same_json(data)
    return text


def several_faults_are_refused_alike():
    tally, rng = Tally(), random.Random(7)
    for name, chunks in (("small", made.SMALL), ("good", made.GOOD), ("example", chunks_of(WRITTEN["example"]))):
        for _ in range(500):
            raw = bytearray(made.frame(made.shuffled(rng, made.shuffled(rng, chunks)))[0])
            if rng.randrange(4) == 0:
                raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            tally.add(name, raw, several=True)
    return tally.compare()[1]


def split_pages(pages):
    """(type, payload, flags) of the chunks of a stream of pages, without END."""
    chunks, at = [], 32
    while True:
        kind, flags, length = struct.unpack_from("<IIQ", pages, at)
        if kind == cpr.END:
            return chunks
        chunks.append((kind, pages[at + 16:at + 16 + length], flags))
        at += 16 + (length + 7) // 8 * 8 + 8


def states_of_reboot_mode_are_judged_alike():
    """STORE, SUMS and RAM, and the stream of pages: damaged, cut off, and changed with their checksums put right."""
    data = read(os.path.join(source, "tests", "golden", "v1", "reboot-pipe.cpr"))
    state, pages = data[:data.index(data[:32], 32)], data[data.index(data[:32], 32):]
    chunks, pieces, tally, rng = chunks_of(data), split_pages(pages), Tally(), random.Random(8)
    tally.add("golden", data)
    for at, (kind, payload, flags) in enumerate(chunks):
        if kind not in (cpr.STORE, cpr.RAM):
            continue
        for byte in range(len(payload)):
            raw = payload[:byte] + bytes([payload[byte] ^ 1 << rng.randrange(8)]) + payload[byte + 1:]
            tally.add(f"chunk {at}, byte {byte}", made.frame(chunks[:at] + [(kind, raw, flags)] + chunks[at + 1:])[0] + pages)
        for _ in range(100):
            raw = made.broken(rng, payload)
            tally.add(f"chunk {at}", made.frame(chunks[:at] + [(kind, raw, flags)] + chunks[at + 1:])[0] + pages)
    for sums in (b"", bytes(4), b"\1\0\0\0" + bytes(8)):
        tally.add("SUMS", made.frame(chunks + [(cpr.SUMS, sums, 0)])[0] + pages)
    for at, (kind, payload, flags) in enumerate(pieces):
        around = lambda *these, at=at: state + made.frame([*pieces[:at], *these, *pieces[at + 1:]])[0]
        for byte in range(24):
            raw = payload[:byte] + bytes([payload[byte] ^ 1 << rng.randrange(8)]) + payload[byte + 1:]
            tally.add(f"piece {at}, byte {byte}", around((kind, raw, flags)))
        for other in ((kind, payload, 1), (kind, payload, 2), (cpr.BULK, payload, 0), (99, payload, 0), (99, payload, 1),
                      (kind, payload[:16], flags), (kind, payload + b"x", flags), (kind, payload[:-1], flags)):
            tally.add(f"piece {at}: {other[0]}, {other[2]}, {len(other[1])} bytes", around(other))
        tally.add(f"without piece {at}", around())
        tally.add(f"piece {at} twice", around((kind, payload, flags), (kind, payload, flags)))
    for at in [*range(len(state), len(state) + 120), *rng.sample(range(len(state), len(data)), 100), *range(len(data) - 60, len(data))]:
        tally.add(f"byte {at}", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
        tally.add(f"{at} bytes", data[:at])
    for more in (b"\0", bytes(24), pages):
        tally.add(f"and {len(more)} bytes", data + more)
    tally.add("with a count of its own", state + made.frame(pieces, count=len(pieces) + 1)[0])
    accepted, text = tally.compare()
    claim(0 < len(accepted) < len(tally.states) / 2, f"{len(accepted)} are accepted")
    for right in rng.sample(accepted, min(len(accepted), 20)):
        same_json(right)
    return text


if __name__ == "__main__":
    main(the_library_writes_what_both_read, the_readers_tests_are_read_alike, headers_are_judged_alike,
         flipped_bits_are_found_alike, cut_off_states_are_refused_alike, broken_payloads_are_judged_alike,
         single_bytes_of_payloads_are_judged_alike, chunks_out_of_place_are_judged_alike,
         lengths_of_chunks_are_judged_alike, limits_are_the_same, several_faults_are_refused_alike,
         states_of_reboot_mode_are_judged_alike)
