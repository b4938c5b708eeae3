#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claims on the states of real updates: both readers read them alike, in the sealed memfd of the process that is being
updated and in a copy; what differs between two updates is told, and whether a program would load one."""
import json
import os
import random
import shlex
import sys

from readers import Tally, claim, cpr, good, read, run, same_json
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from minivmm import BUILD_1, BUILD_2, Hold, MiniVmm, main, write_script  # noqa: E402


class Copier:
    """Keeps the state of each update, and the question of the preflight before it; `prefix` goes before the new program."""

    def __init__(self, vm):
        self.folder = vm.directory
        script = os.path.join(vm.directory, "keep")
        kind = 'case $(readlink "/proc/self/fd/$LIBCPR_STATE") in *libcpr-question*) kind=.question;; *) kind=;; esac'
        write_script(script, f'{kind}\ncat "/proc/self/fd/$LIBCPR_STATE" >"$0.$1$kind" || exit\nshift\nexec "$@"')
        self.script = script

    def prefix(self, name):
        return [self.script, name]

    def path(self, name):
        return f"{self.script}.{name}"


def states_of_updates_are_read_alike(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        copier, tally, rng = Copier(vm), Tally(), random.Random(1)
        vm.update(BUILD_2, prefix=copier.prefix("first"))
        vm.wait_for_ticks()
        vm.update(BUILD_1, prefix=copier.prefix("second"))
        vm.wait_for_ticks()
        vm.monitor.command("stop")
        vm.update(BUILD_2, prefix=copier.prefix("paused"))
        states = {name: read(copier.path(name)) for name in ("first", "second", "paused")}
        for name, data in states.items():
            good("verify", copier.path(name))
            same_json(data)
            tally.add(name, data)
            for at in rng.sample(range(len(data)), min(len(data), 500)):
                tally.add(f"{name}, byte {at}", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
            for size in rng.sample(range(len(data)), 100):
                tally.add(f"{name}, {size} bytes", data[:size])
        accepted, text = tally.compare()
        claim(len(accepted) == len(states), f"{len(accepted)} are accepted")
        question = read(copier.path("first.question"))
        claim(run("verify", "-", stdin=question)[::2] ==
              (1, "-: offset 32: it is the question of a preflight, not a state\n"), "a question is taken for a state")
        claim(run("verify", "-", stdin=question[:-1])[::2] ==
              (1, "-: offset 32: it is the question of a preflight, not a state\n"), "half a question is taken for a state")
        cpr.parse_question(question)
        first, paused = (cpr.parse(states[name]) for name in ("first", "paused"))
        claim((first["vm"]["generation"], paused["vm"]["generation"]) == (0, 2), "the generations are wrong")
        claim((first["vm"]["run_state"], paused["vm"]["run_state"]) == ("running", "paused"), "the run states are wrong")
        claim(first["vm"]["pid"] == vm.pid, "the process id is wrong")
        status, out, error = run("diff", copier.path("first"), copier.path("second"))
        claim((status, error) == (1, "") and "VM: generation: 0 -> 1\n" in out.decode(), f"diff: {status}, {error}, {out}")
        return text


def the_state_of_a_running_update_is_read(accel):
    with MiniVmm(accel, "--ram", "64M", "--no-preflight") as vm:
        vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        variable = next(text for text in vm.process.environment() if text.startswith("LIBCPR_STATE="))
        path = f"/proc/{vm.pid}/fd/{variable.partition('=')[2]}"
        good("verify", path)
        shown = json.loads(good("show", "--json", path))
        claim(shown == cpr.parse(read(path)), "the JSON differs")
        lines = good("show", path).decode().splitlines()
        claim(any("memfd" in line and "64 MiB" in line for line in lines), "the tree doesn't show the RAM block")
        hold.release()
        vm.monitor.receive()
        vm.wait_for_ticks()
        return f"{shown['size']} bytes, {len(shown['devices'])} devices"


def a_program_is_asked_whether_it_would_load_a_state(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        copier = Copier(vm)
        vm.update(BUILD_2, prefix=copier.prefix("state"))
        path = copier.path("state")
        for binary in (BUILD_1, BUILD_2):
            status, out, error = run("compat", path, binary, *vm.options)
            claim((status, out, error) == (0, b"", ""), f"compat {binary} ends with {status}: {out}, {error}")
        options = ["128M" if option == "64M" else option for option in vm.options]
        status, out, error = run("compat", path, BUILD_1, *options)
        claim((status, error) == (1, ""), f"with other options compat ends with {status}: {error}")
        lines = out.decode().splitlines()
        claim(lines == ["refusal: RAM block 'ram': size is 67108864 in the state, 134217728 here"], f"compat says {lines}")
        for binary in (BUILD_1, BUILD_2):
            tree = good("schema", binary, *vm.options).decode()
            claim("\n  serial16550: version 1, loads from 1 on, struct " in tree, f"schema says {tree}")
            claim("\n    ier              uint of 1 byte\n" in tree, f"schema says {tree}")
        for what in (["schema", "/bin/true"], ["compat", path, "/bin/true"], ["schema", "/nonexistent"],
                     ["compat", "/nonexistent", BUILD_1], ["compat", BUILD_1, BUILD_1]):
            status, out, error = run(*what)
            claim((status, out) == (3, b"") and error.startswith("cpr-inspect: ") and error.count("\n") == 1,
                  f"{what} ends with {status}: {error}")
        vm.wait_for_ticks()
        return lines[0]


def states_of_reboot_mode_are_read_alike(accel):
    with MiniVmm(accel, "--ram", "4M") as vm:
        vm.wait_for_ticks()
        path, stream = vm.directory + "/state", vm.directory + "/stream"
        vm.monitor.command("migrate_set_parameter mode cpr-reboot")
        claim(vm.monitor.ask(f"migrate exec:cat > {shlex.quote(stream)}; exit 9").startswith("Error"), "it is saved twice")
        claim(vm.monitor.ask("migrate file:" + path) == "", "it isn't saved")
        vm.monitor.send("quit")
        vm.popen.wait()
        vm.ended = True
        tally, rng = Tally(), random.Random(2)
        for name in (path, stream):
            data = read(name)
            good("verify", name)
            same_json(data)
            tally.add(name, data)
            size = cpr.parse(data)["size"]
            behind = size if name == stream else (size + cpr.PIECE - 1) // cpr.PIECE * cpr.PIECE  # what is in between means nothing
            for at in rng.sample(range(size), 60) + rng.sample(range(behind, len(data)), 5):
                tally.add(f"{name}, byte {at}", data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
            for end in rng.sample(range(size), 30) + [size, size + 1, len(data) - 1]:
                tally.add(f"{name}, {end} bytes", data[:end])
            tally.add(name + " and more", data + b"x")
        accepted, text = tally.compare()
        claim(len(accepted) == 2, f"{len(accepted)} are accepted")
        return text


main(states_of_updates_are_read_alike, states_of_reboot_mode_are_read_alike, the_state_of_a_running_update_is_read,
     a_program_is_asked_whether_it_would_load_a_state)
