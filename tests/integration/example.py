#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: examples/minivmm as it stands, without the tests' aids, is updated under its running guest, and has no option of theirs."""
import os
import subprocess
import sys

from minivmm import EXAMPLE, PATIENCE, MiniVmm, claim, main, why_no_kvm

GUEST = ("--ram", "64M", "--vcpus", "2", "--guest", "memcheck")


def it_updates_itself(accel):
    with MiniVmm(None, *GUEST, binary=EXAMPLE) as vm:
        for _ in range(5):
            ticks = vm.wait_for_ticks().ticks
            vm.update(EXAMPLE)
        guest = vm.wait_for_ticks(ticks)
        claim(guest.errors == 0, f"memory errors: {guest.errors}")
        return f"{vm.migration().generation} updates, {guest.ticks} ticks"


def it_takes_the_guest_back(accel):
    with MiniVmm(None, *GUEST, "--no-preflight", binary=EXAMPLE) as vm:
        ticks = vm.wait_for_ticks().ticks
        answer = vm.try_update(EXAMPLE, options=["--vcpus", "3"])
        claim("rolled-back" in answer, answer)
        claim(vm.wait_for_ticks(ticks).errors == 0, "memory errors")
        vm.update(EXAMPLE)
        return answer.splitlines()[-1]


def its_rehearsal_finds_what_is_wrong(accel):
    with MiniVmm(None, *GUEST, binary=EXAMPLE) as vm:
        ticks, stops = vm.wait_for_ticks().ticks, vm.monitor.info("stops")["stops"]
        answers = [vm.try_update(EXAMPLE, options=options) for options in (["--ram", "128M"], ["--vcpus", "3"], ["--disk", "/nowhere"])]
        for answer, words in zip(answers, ("RAM block 'ram': size is", "'kvm/vcpu2': it isn't in the state", "disk: /nowhere")):
            claim(answer.startswith("Error: new program") and words in answer, f"{answer!r}")
        claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
        claim(vm.wait_for_ticks(ticks).errors == 0, "memory errors")
        vm.update(EXAMPLE)
        return answers[-1].strip()


def it_knows_no_test_aid(accel):
    for option in ("--fail-at=load", "--verify-ram", "--device=watchdog", "--accel=soft", "--rehearse"):
        done = subprocess.run([EXAMPLE, option], capture_output=True, timeout=PATIENCE)
        claim(done.returncode == 1 and b"unknown option" in done.stderr, f"{option}: {done.returncode}, {done.stderr!r}")
    text = subprocess.run([EXAMPLE, "--help"], capture_output=True, timeout=PATIENCE, check=True).stdout
    return f"{len(text.splitlines())} lines of help"


if why_no_kvm():
    print(f"SKIP: {why_no_kvm()}")
    sys.exit(77)
os.environ["CPR_TEST_ACCEL"] = "kvm"  # it has no other
main(it_updates_itself, it_takes_the_guest_back, its_rehearsal_finds_what_is_wrong, it_knows_no_test_aid)
