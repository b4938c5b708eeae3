#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claims on the commands of cpr-inspect: what they print, how they end, what they read from."""
import os
import re
import subprocess
import tempfile
import threading

from readers import INSPECT, PATIENCE, claim, cpr, good, made, main, read, run, write_state


class States:
    """Paths of the states that write-states writes."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cpr-")
        for name in ("example", "full", "other", "odd", "empty"):
            setattr(self, name, write_state(name, self.folder.name))
        return self

    def __exit__(self, *args):
        self.folder.cleanup()

    def put(self, name, data):
        path = os.path.join(self.folder.name, name)
        with open(path, "wb") as file:
            file.write(data)
        return path


def lines_of(out):
    return out.decode().splitlines()


def show_prints_a_tree():
    with States() as states:
        lines = lines_of(good("show", states.full))
    for line in ("  name               full", "  run state          paused", "  blocked signals    USR1",
                 "    nofile           1024, 4096", "  tap 0: fd 7, character device, read and write, device 0:5, inode 6",
                 "  main: 1 TiB (1099511627776 bytes), hugetlb memfd, allocated in advance, locked",
                 "    cache            int of 1 byte, optional (-1), ignorable", "  device: everything",
                 "    i64                -9223372036854775808", "    real               1.5 (0x3fc00000)",
                 "    mac                525400123456", "    label              \"schön\"",
                 "    queues             [fd 'tap' 1, no fd, fd 'tap' 0]", "    level              absent (16)",
                 "    zeros              absent (all 0)", "    pointer            absent",
                 "  type1: type1, 2 mappings of 1 TiB (1099511631872 bytes)",
                 "    device nic: 0000:00:04.0, 1 interrupts, 1 enabled",
                 "    0x10000000000: 4 KiB (4096 bytes) of vga from 0x0, read and write", "    list               3 elements", "        b              -2",
                 "  device: 683.6 KiB (700005 bytes) in 4 pieces"):
        claim(line in lines, f"there is no line {line!r}")
    return f"{len(lines)} lines"


def nothing_that_a_terminal_obeys_is_printed():
    with States() as states:
        for arguments in (["show", states.odd], ["show", states.full], ["diff", states.odd, states.full]):
            out = run(*arguments)[1]
            bad = [c for c in out.decode() if c != "\n" and not c.isprintable()]
            claim(not bad, f"{arguments} prints {bad}")
        claim(b"\\x0a" in good("show", states.odd), "a line feed isn't shown")
        path = states.put("a\x1b[31m\n", b"")
        error = run("verify", path)[2]
        claim("\x1b" not in error and error.count("\n") == 1, f"verify says {error!r}")
        # A message that quotes what stands in the state.
        chunks = made.change(made.DEV2, made.section(b"dev\x1b\xff", 1, b"\1"))
        error = run("verify", "-", stdin=made.frame(chunks)[0])[2]
        claim("\\x1b\\xff" in error and "\x1b" not in error, f"verify says {error!r}")
    return "escaped"


def verify_says_where():
    with States() as states:
        data = read(states.full)
        info = next(c for c in cpr.parse(data)["chunks"] if c["type"] == cpr.BULK)
        at = info["offset"] + 1000
        path = states.put("damaged", data[:at] + b"\xff" + data[at + 1:])
        status, out, error = run("verify", states.full, path)
        claim((status, out) == (1, b"") and error ==
              f"{path}: offset {info['offset']}: the checksum of the chunk at offset {info['offset']} is wrong\n", error)
        # Shorter by a piece of data and still a chunk: what follows isn't at fault.
        shorter = data[:info["offset"] + 8] + (24).to_bytes(8, "little") + data[info["offset"] + 16:]
        error = run("verify", states.put("shorter", shorter))[2]
        claim(f": offset {info['offset']}: " in error, error)
        status, out, error = run("show", path)
        claim((status, out) == (1, b"") and error.startswith(f"cpr-inspect: {path}: offset "), f"show: {error!r}")
        claim(run("verify", states.put("none", b""))[2].endswith(": offset 0: it doesn't begin like a libcpr state\n"),
              "an empty file")
    return "the chunk at fault"


def diff_tells_what_differs():
    with States() as states:
        claim(good("diff", states.full, states.full) == b"", "a state differs from itself")
        claim(good("diff", states.odd, states.odd) == b"", "a state with odd names differs from itself")
        status, out, error = run("diff", states.full, states.other)
    claim((status, error) == (1, ""), f"diff ends with {status}: {error}")
    lines = lines_of(out)
    for line in ("VM: generation: 3 -> 4", "VFIO container 'iommufd': only in A",
                 "VFIO container 'type1': mapping at 0x0: 1099511627776 bytes of 'main' from 0, flags 3 -> 4096 bytes of 'main' from 0, flags 3",
                 "VFIO container 'type1': mapping at 0x10000000000: 4096 bytes of 'vga' from 0, flags 3 -> none", "fd 'disk' 0: only in B", "RAM block 'more': only in B",
                 "type 'everything': version: 7 -> 6", "type 'everything': field u16 (uint of 2 bytes) only in A",
                 "type 'everything': field dropped (uint of 1 byte) only in B",
                 "type 'everything': field u32: uint of 4 bytes -> uint of 2 bytes",
                 "type 'everything': field pair: struct, array of 2 -> struct, array of 3",
                 "device 'device': u8: 1 -> 2", "device 'device': queue: 3 elements -> 4",
                 "device 'device': queue[1]: 0 -> 5", "device 'device': level: 17 -> absent",
                 "device 'device': pair[1].b: -3 -> 0", "device 'timer': label: \"\" -> \"hpet\"",
                 "device 'nothing': only in A", "device 'new': only in B", "bulk data 'device': differs first at byte 0"):
        claim(line in lines, f"there is no line {line!r}")
    claim(not [line for line in lines if "'tap'" in line and line.startswith("fd ")], "an fd that is the same differs")
    return f"{len(lines)} lines"


def each_difference_is_seen():
    """One thing is changed at a time, and one line, or the few that go with it, says so."""
    at = {name: getattr(made, name) for name in ("VM_AT", "PROGRAM_AT", "SUCCESSOR_AT", "FDS_AT", "RAM_AT", "DEV2", "BULK1")}
    fds = made.FD_LIST
    changes = {
        "VM: name: 'guest' -> 'other'": made.change(at["VM_AT"], made.vm(name=b"other")),
        "VM: run state: paused -> running": made.change(at["VM_AT"], made.vm(run_state=0)),
        "program: argument 1: '' -> none": made.change(at["PROGRAM_AT"], made.program(argv=(b"/bin/vmm",))),
        "program: environment: 'A=b' only in A": made.change(at["PROGRAM_AT"], made.program(environment=())),
        "program: limit cpu: 1, 2 -> 1, 3": made.change(at["PROGRAM_AT"], made.program(limits=((1, 3),) + ((1, 2),) * 15)),
        "program: limit 16: none -> 1, 2": made.change(at["PROGRAM_AT"], made.program(limits=((1, 2),) * 17)),
        "successor: program: 9:8 '0fA9' -> none": made.drop(at["SUCCESSOR_AT"]),
        "fd 'tap' 0: number: 5 -> 15": made.change(at["FDS_AT"], made.table([made.fd(number=15)] + fds[1:])),
        "RAM block 'main': size: 4096 -> 8192": made.change(at["RAM_AT"], made.table([made.block(size=8192)])),
        "device 'dev\\xff': b: 2 -> 3": made.change(at["DEV2"], made.section(b"dev\xff", 1, b"\1\3")),
        "device 'dev\\xff': only in A": made.drop(at["DEV2"], made.BULK2),
        "bulk data 'dev0': differs first at byte 13": made.change(at["BULK1"], made.bulk(b"dev0", 13, b"x")),
        "bulk data 'dev0': size: 14 bytes -> 13 bytes": made.drop(at["BULK1"]),
    }
    with States() as states:
        base = states.put("base", made.frame(made.GOOD)[0])
        for line, chunks in changes.items():
            status, out, error = run("diff", base, states.put("changed", made.frame(chunks)[0]))
            claim((status, error) == (1, "") and line in lines_of(out) and len(lines_of(out)) <= 2,
                  f"{line!r} is wanted: {status}, {out.decode()!r}, {error!r}")
    return f"{len(changes)} changes"


def pipes_and_the_standard_input_are_read():
    with States() as states:
        want = good("show", "--json", states.full)
        claim(good("show", "--json", "-", stdin=read(states.full)) == want, "a pipe is read otherwise")
        with open(states.full, "rb") as file:
            done = subprocess.run([INSPECT, "show", "--json", "-"], stdin=file, stdout=subprocess.PIPE, check=True,
                                  timeout=PATIENCE)
            claim(done.stdout == want, "a file at the standard input is read otherwise")
        with open(states.put("later", b"before" + read(states.full)), "rb", buffering=0) as file:
            file.seek(6)
            done = subprocess.run([INSPECT, "show", "--json", "-"], stdin=file, stdout=subprocess.PIPE, check=True,
                                  timeout=PATIENCE)
            claim(done.stdout == want, "the standard input isn't read from where it is")
        status, _, error = run("verify", "/dev/zero", "/dev/null")
        claim(status == 1 and error.count("offset 0") == 2, f"devices: {error}")
        memfd = os.memfd_create("state", os.MFD_ALLOW_SEALING)
        os.write(memfd, read(states.full))
        claim(good("show", "--json", f"/proc/{os.getpid()}/fd/{memfd}") == want, "a memfd is read otherwise")
        os.close(memfd)
    return "pipe, file, file from its middle, devices, memfd"


def compat_asks_about_all_tables():
    with States() as states:
        script, asked = os.path.join(states.folder.name, "keep"), os.path.join(states.folder.name, "asked")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec cat <&3 >{asked}\n")
        os.chmod(script, 0o755)
        run("compat", states.full, script)
        question, state = cpr.parse_question(read(asked)), cpr.parse(read(states.full))
    for part in ("fds", "ram", "containers", "structs", "types"):
        claim(question[part] == state[part], f"{part}: {question[part]}, and in the state {state[part]}")
    claim([d["name"] for d in question["devices"]] == [d["name"] for d in state["devices"]], "the devices differ")
    claim(question["vm"]["pid"] != state["vm"]["pid"], "it is asked in the name of another process")
    return f"{len(state['containers'])} containers"


def trouble_is_told():
    with States() as states:
        for arguments in ([], ["frobnicate", "x"], ["show"], ["show", "a", "b"], ["verify"], ["diff", "a"], ["schema"],
                          ["compat", states.full], ["record", "x"], ["compat", "--xml", states.full, "x"],
                          ["show", "--xml", "x"], ["verify", "--json", "x"],
                          ["diff", states.full, states.full, states.full]):
            status, out, error = run(*arguments)
            claim((status, out) == (2, b"") and error.startswith("cpr-inspect: ") and "usage:" in error,
                  f"{arguments}: {status}, {error}")
        for arguments in (["show", "/nonexistent"], ["verify", "/nonexistent"], ["show", "/"],
                          ["diff", states.full, "/nonexistent"]):
            status, out, error = run(*arguments)
            claim((status, out) == (2, b"") and error.startswith("cpr-inspect: "), f"{arguments}: {status}, {error}")
        bad = states.put("bad", read(states.full)[:-1])
        claim(run("diff", states.full, bad)[0] == 2, "a comparison with what is no state")
        claim(run("verify", states.full, bad, "/nonexistent")[0] == 2, "the worst of several files")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([INSPECT, "show", states.full], stdout=full, stderr=subprocess.PIPE, check=False,
                                  timeout=PATIENCE)
            claim(done.returncode == 2 and b"No space" in done.stderr, f"to a full device: {done}")
        os.rename(states.full, os.path.join(states.folder.name, "-x"))
        good("show", "--", "-x", cwd=states.folder.name)
    claim(re.fullmatch(rb"cpr-inspect \(libcpr\) \d+\.\d+\.\d+\n", good("--version")), "--version")
    for command in ("show", "verify", "diff", "schema", "compat", "record"):
        claim(command.encode() in good("--help"), f"--help doesn't name {command}")
    return "status 2"


def files_that_change_do_no_harm():
    """A file is written and cut off by another thread all the while: it is read, refused, or can't be read."""
    with States() as states:
        data = read(states.full)
        path = states.put("changing", data)
        done = threading.Event()

        def change():
            rounds = 0
            while not done.is_set():
                with open(path, "r+b") as file:
                    file.truncate((rounds * 100003) % len(data))
                    file.seek(0)
                    file.write(data)
                    file.seek((rounds * 7919) % len(data))
                    file.write(b"\xff")
                rounds += 1

        thread = threading.Thread(target=change)
        thread.start()
        try:
            seen = [run(*arguments)[0] for _ in range(15)
                    for arguments in (["verify", path], ["show", path], ["diff", path, states.full])]
        finally:
            done.set()
            thread.join()
    return f"status 0, 1, 2: {[seen.count(status) for status in range(3)]}"


if __name__ == "__main__":
    main(show_prints_a_tree, nothing_that_a_terminal_obeys_is_printed, verify_says_where, diff_tells_what_differs,
         each_difference_is_seen, pipes_and_the_standard_input_are_read, compat_asks_about_all_tables,
         trouble_is_told, files_that_change_do_no_harm)
