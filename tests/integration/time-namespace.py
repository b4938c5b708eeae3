#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a guest never goes on by the clocks of another time namespace. A program there is refused before the stop; where nobody asks it
first, the guest comes back to the old program, with the old clocks. Through a file it may go there: its times are converted."""
import os
import subprocess
import sys
import tempfile

from minivmm import BUILD_2, MiniVmm, claim, main
from reboot import quit_saved, save
from transfer import Successor, expect_failure, transfer

CLOCKS = ("monotonic", "boottime")
FAR = 100000  # seconds


def unshare(clock, seconds):
    return ["unshare", "-T", f"--{clock}", str(seconds)]


def namespace(pid):
    return os.readlink(f"/proc/{pid}/ns/time")


def a_transfer_there_is_refused_before_the_stop(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        stops = vm.monitor.info("stops")["stops"]
        for clock in CLOCKS:
            for seconds in (FAR, 1, -1):
                if clock == "boottime" and seconds < 0:
                    continue  # it may not be less than CLOCK_MONOTONIC's, on a machine that was never suspended
                successor = Successor(vm, binary="unshare", own=[*unshare(clock, seconds)[1:], BUILD_2, *vm.options])
                answer = expect_failure(vm, successor, "it is in another time namespace", f"CLOCK_{clock.upper()}")
                claim("ahead" in answer if seconds > 0 else "behind" in answer, answer)
                claim(successor.wait() == 1, "the new program goes on")
        claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
        before = vm.wait_for_ticks()
        transfer(vm, Successor(vm))
        vm.wait_for_ticks(before.ticks)
        return answer.strip()


def a_namespace_with_the_same_clocks_is_no_other(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        transfer(vm, Successor(vm, binary="unshare", own=["-T", BUILD_2, *vm.options]))
        guest = vm.wait_for_ticks(before.ticks)
        vm.update(BUILD_2, prefix=["unshare", "-T"])
        vm.wait_for_ticks(guest.ticks)


def an_update_there_is_refused_before_the_stop(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        stops = vm.monitor.info("stops")["stops"]
        for clock in CLOCKS:
            before = vm.wait_for_ticks()
            answer = vm.try_update(BUILD_2, prefix=unshare(clock, FAR))
            claim("it is in another time namespace" in answer, f"it answers {answer!r}")
            claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
            vm.wait_for_ticks(before.ticks)
        vm.update(BUILD_2)
        return answer.strip()


def who_goes_there_unasked_doesnt_get_the_guest(accel):
    for clock in CLOCKS:
        with MiniVmm(accel, "--no-preflight") as vm:
            before, old = vm.wait_for_ticks(), namespace(vm.pid)
            answer = vm.try_update(BUILD_2, prefix=unshare(clock, FAR))
            claim(answer.startswith("Migration status: rescued\n") and "in another time namespace" in answer,
                  f"it answers {answer!r}")
            vm.follow()
            claim(vm.version().build == 1, f"{vm.version()}")
            claim(namespace(vm.pid) == old, "the old program is in the other time namespace")
            guest = vm.wait_for_ticks(before.ticks)
            vm.settle()
            vm.update(BUILD_2)
            vm.wait_for_ticks(guest.ticks)
    return answer.strip()


def without_a_guardian_there_is_a_way_back_all_the_same(accel):
    with MiniVmm(accel, "--no-preflight", "--no-guardian") as vm:
        before = vm.wait_for_ticks()
        answer = vm.try_update(BUILD_2, prefix=unshare("monotonic", FAR))
        claim(answer.startswith("Migration status: rolled-back\n") and "in another time namespace" in answer,
              f"it answers {answer!r}")
        claim(vm.version() == (1, vm.pid, accel), f"{vm.version()}")
        vm.wait_for_ticks(before.ticks)


def a_file_takes_the_guests_times_there(accel):
    options = ["--device", "watchdog"]
    get_deadline = lambda vm: int(vm.monitor.info("card watchdog")["deadline"])
    with tempfile.TemporaryDirectory(prefix="cpr-") as folder:
        uri = f"file:{folder}/state"
        with MiniVmm(accel, *options, binary=BUILD_2) as vm:
            before = vm.wait_for_ticks()
            vm.monitor.command("out 0x600 1")
            deadline = get_deadline(vm)
            save(vm, uri)
            quit_saved(vm)
        with MiniVmm(accel, *options, "--incoming", uri, binary="unshare",
                     prefix=[*unshare("monotonic", FAR)[1:], BUILD_2]) as vm:
            vm.wait_for_ticks(before.ticks)
            moved = (get_deadline(vm) - deadline) / 1e9
            claim(abs(moved - FAR) < 60, f"the watchdog's deadline was moved by {moved} s")
        return f"the watchdog's deadline was moved by {moved} s"


def why_not():
    done = subprocess.run([*unshare("monotonic", 1), "true"], stderr=subprocess.PIPE, text=True, check=False)
    return done.stderr.strip() if done.returncode != 0 else None


if __name__ == "__main__":
    if why_not():
        print(f"SKIP: time namespaces: {why_not()}")
        sys.exit(77)
    main(a_transfer_there_is_refused_before_the_stop, a_namespace_with_the_same_clocks_is_no_other,
         an_update_there_is_refused_before_the_stop, who_goes_there_unasked_doesnt_get_the_guest,
         without_a_guardian_there_is_a_way_back_all_the_same, a_file_takes_the_guests_times_there)
