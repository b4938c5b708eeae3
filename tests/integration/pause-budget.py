#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: an update whose pause lasts longer than it may is undone where that is noticed before the execve and rolled back where
it is noticed in the new program; it says so, the guest goes on in the old one, and the next update within the budget works."""
import re

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main

BUDGET = 1000  # ms; `--fail-by slow` takes longer than that


def expect_over_budget(vm, budget, status, steps, **update):
    """An update that takes too long; the reason."""
    before, version = vm.wait_for_ticks(), vm.version()
    answer = vm.try_update(**update)
    migration = vm.migration()
    found = re.search(r"pause budget of (\d+) ms: (\d+) ms had passed in step ([\w-]+)", answer)
    claim(found and int(found[1]) == budget < int(found[2]), f"the monitor answers {answer!r}")
    claim(found[3] in steps, f"noticed in step {found[3]}, not {steps}")
    claim(migration.status == status and found[0] in migration.error, f"{migration}")
    claim(vm.version() == version and vm.status() == "running", f"{version} became {vm.version()}, {vm.status()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
    return found[0]


def slow_at(fail_at, step):
    def test(accel):
        with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--pause-budget", str(BUDGET)) as vm:
            reason = expect_over_budget(vm, BUDGET, "rolled-back", [step], options=["--fail-at", fail_at, "--fail-by", "slow"])
            pause = vm.update(BUILD_2)
            claim(0 < pause <= BUDGET * 1000, f"a pause of {pause} us")
            return f"{reason}; then a pause of {pause} us"
    test.__name__ = f"a_new_program_that_is_slow_at_{fail_at}"
    return test


def a_save_that_takes_too_long_is_undone(accel):
    """Nothing is quick enough for 1 ms that reads 256 MiB."""
    with MiniVmm(accel, "--ram", "256M", "--prealloc", "--verify-ram", "--pause-budget", "1") as vm:
        reasons = [expect_over_budget(vm, 1, "failed", ["stop", "save"]) for _ in range(3)]
        claim(vm.migration().generation == 0, f"{vm.migration()}")
        return reasons[0]


def a_guest_that_stands_still_has_no_pause(accel):
    with MiniVmm(accel, "--ram", "64M", "--verify-ram", "--pause-budget", "1") as vm:
        before = vm.wait_for_ticks()
        for command, status in (("stop", "paused"), ("system_suspend", "paused"), ("cont", "paused (suspended)")):
            vm.monitor.command(command)
            claim(vm.update(BUILD_2 if command == "system_suspend" else BUILD_1) == 0, "a pause is reported")
            claim(vm.status() == status, f"the guest is {vm.status()}, not {status}")
        vm.monitor.command("system_wakeup")
        return f"3 updates with --verify-ram and 1 ms; then {vm.wait_for_ticks(before.ticks).ticks} ticks"


def a_rescue_is_never_too_late(accel):
    """The deadline ends what hangs; the old program takes the guest back though the budget is long used up."""
    with MiniVmm(accel, "--ram", "64M", "--pause-budget", "1000", "--deadline", "3000") as vm:
        before = vm.wait_for_ticks()
        answer = vm.try_update(options=["--fail-at", "devices", "--fail-by", "hang"])
        vm.follow()
        claim(answer.startswith("Migration status: rescued"), f"the monitor answers {answer!r}")
        return f"{answer.splitlines()[1]}; then {vm.wait_for_ticks(before.ticks).ticks} ticks"


main(slow_at("devices", "claim"), slow_at("load", "load"), slow_at("start", "commit"),
     a_save_that_takes_too_long_is_undone, a_guest_that_stands_still_has_no_pause, a_rescue_is_never_too_late)
