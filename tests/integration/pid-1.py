#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: as PID 1 of a namespace, where nobody can kill the new program and its death would end the guardian too, a program that
crashes or hangs leads back to the old one in the same process."""
import shutil
import subprocess
import sys
import time

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, poll


class Namespace(MiniVmm):
    """Is PID 1 inside; `unshare` waits for it outside."""

    def __init__(self, accel, *options):
        super().__init__(accel, *options, binary="unshare",
                         prefix=["--pid", "--fork", "--kill-child", "--mount-proc", BUILD_1])


def leads_back(vm, how, word):
    before = vm.guest()
    answer = vm.try_update(options=["--fail-at", "load", "--fail-by", how])
    claim("rolled-back" in answer and word in answer, answer)
    claim(vm.version().pid == 1 and vm.wait_for_ticks(before.ticks).errors == 0, f"{vm.version()}")
    return answer.splitlines()[-1]


def pid_1_leads_back_by_itself(accel):
    with Namespace(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck", "--deadline", "500") as vm:
        vm.wait_for_ticks()
        claim(vm.version().pid == 1, f"{vm.version()}")
        seen = [leads_back(vm, how, word) for how, word in (("segv", "SIGSEGV"), ("abort", "SIGABRT"),
                                                            ("hang", "no answer in 500 ms"))]
        vm.update(BUILD_2)
        claim(vm.version().pid == 1 and vm.version().build == 2, f"{vm.version()}")
        return "; ".join(seen)


def its_timer_stands_still_while_an_operator_decides(accel):
    with Namespace(accel, "--deadline", "1000") as vm:
        ticks = vm.wait_for_ticks().ticks
        vm.set_command(BUILD_2, *vm.options, "--incoming", "defer", "--fail-at", "decided", "--fail-by", "hang")
        vm.monitor.command("migrate -d")
        end = time.monotonic() + 1.5
        poll(lambda: time.monotonic() > end, "for time to pass")
        claim(vm.status() == "paused (inmigrate)", vm.status())
        vm.monitor.send("migrate_incoming file:x")
        answer = vm.monitor.receive()  # it hangs then
        claim("rolled-back" in answer and "no answer in 1000 ms" in answer, answer)
        claim(vm.version().pid == 1, f"{vm.version()}")
        vm.wait_for_ticks(ticks)


probe = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False) \
    if shutil.which("unshare") else None
if probe is None or probe.returncode:
    print("SKIP: unshare --pid:", "missing" if probe is None else probe.stderr.decode().strip())
    sys.exit(77)
main(pid_1_leads_back_by_itself, its_timer_stands_still_while_an_operator_decides)
