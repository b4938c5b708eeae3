#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a VMM whose stack is limited to 64 KiB, and with it that of each thread that is started, the library's too, is updated,
gets its guest back, hands it over to another process and saves it like any other."""
import os
import resource
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, MiniVmm, Process, claim, get_pause, main, poll, started

STACK = 64 * 1024


def limit():
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))


def machine(accel, *options):
    return MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck", "--deadline", "5000", *options,
                   preexec=limit)


def updates_and_ways_back(accel):
    with machine(accel) as vm:
        before = vm.wait_for_ticks()
        vm.update(BUILD_2)
        vm.update(BUILD_1)
        answer = vm.monitor.ask("migrate_check")
        claim("Error" not in answer, answer)
        for how, status, same_pid in (("error", "rolled-back", True), ("segv", "rolled-back", True), ("exit", "rescued", False)):
            answer = vm.try_update(BUILD_2, options=["--fail-at", "load", "--fail-by", how])
            claim(answer.startswith(f"Migration status: {status}\n"), f"{how}: the monitor answers {answer!r}")
            if not same_pid:
                vm.follow()
            vm.settle()
            before = vm.wait_for_ticks(before.ticks)
            claim(before.errors == 0, f"{how}: memory errors")
            vm.update(BUILD_2)
            vm.update(BUILD_1)
            vm.settle()
        return f"{before.ticks} ticks"


def a_transfer(accel):
    with machine(accel) as vm:
        before, path = vm.wait_for_ticks(), os.path.join(vm.directory, "next")
        for _ in range(2):
            new = subprocess.Popen([BUILD_2, *vm.options, "--incoming", "unix:" + path], stdin=subprocess.DEVNULL,
                                   preexec_fn=limit)
            started.add(new.pid)
            poll(lambda: os.path.exists(path) or new.poll() is not None, "for the new program to listen")
            vm.monitor.command("migrate_set_parameter mode cpr-transfer")
            get_pause(vm.monitor.ask("migrate unix:" + path))
            claim(vm.popen.wait(60) == 0, f"the old program ended with {vm.popen.returncode}")
            vm.popen, vm.pid, vm.process = new, new.pid, Process(new.pid)
            before = vm.wait_for_ticks(before.ticks)
        return f"{before.ticks} ticks"


def a_state_in_a_file(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        for uri, incoming in (("file:{}", "file:{}"), ("exec:cat > {}", "exec:cat {}")):
            path = os.path.join(directory, "state")
            with machine(accel) as vm:
                vm.wait_for_ticks()
                vm.monitor.command("migrate_set_parameter mode cpr-reboot")
                answer = vm.monitor.ask("migrate " + uri.format(path))
                claim(answer == "", f"saving says {answer!r}")
                ticks = vm.guest().ticks
                vm.monitor.send("quit")
                claim(vm.popen.wait(60) == 0, f"it ended with {vm.popen.returncode}")
                vm.ended = True
            with machine(accel, "--incoming", incoming.format(path)) as vm:
                after = vm.wait_for_ticks(ticks)
        return f"{ticks} ticks, then {after.ticks}"


if "sanitize" in os.environ.get("INSTRUMENT_CFLAGS", ""):
    print("SKIP: a build with sanitizers has larger frames")
    raise SystemExit(77)
main(updates_and_ways_back, a_transfer, a_state_in_a_file)
