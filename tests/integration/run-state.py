#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a guest ends an update in the run state in which it was found, whether the update works, fails or is rolled back:
one that sleeps sleeps on and wakes on request, one that is paused as well wakes for its owner only. It stands still meanwhile."""
from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main

# The commands that lead there from running, what `info status` says then, and those that lead back.
SUSPENDED = (["system_suspend"], "paused (suspended)", ["system_wakeup"])
PAUSED_SUSPENDED = (["system_suspend", "stop"], "paused", ["cont", "system_wakeup"])
NAMES = {"paused (suspended)": "suspended", "paused": "suspended_and_paused"}
NOT_ASLEEP = "Error: Unable to wake up: guest is not in suspended state\n"


def expect(vm, status):
    claim(vm.status() == status, f"the guest is {vm.status()}, not {status}")


def bring(vm, commands):
    for command in commands:
        vm.monitor.command(command)


def stand_still(vm):
    """What doesn't change while the guest stands still."""
    return vm.status(), vm.guest(), vm.ram_hash()


def updates_in(run_state):
    there, status, back = run_state

    def test(accel):
        with MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck") as vm:
            vm.wait_for_ticks()
            bring(vm, there)
            expect(vm, status)
            before = stand_still(vm)
            for binary in (BUILD_2, BUILD_1, BUILD_2):
                pause = vm.update(binary)
                claim(pause == 0, f"a pause of {pause} us is reported, the guest slept all along")
                claim(stand_still(vm) == before, f"{before} became {stand_still(vm)}")
            bring(vm, back)
            expect(vm, "running")
            on = vm.wait_for_ticks(before[1].ticks)
            claim(on.errors == 0, f"{on}")
            vm.update(BUILD_1)
            expect(vm, "running")
            return f"3 updates while {status} at {before[1].ticks} ticks; then {vm.wait_for_ticks(on.ticks).ticks}"
    test.__name__ = f"a_guest_that_is_{NAMES[status]}_stays_so"
    return test


def failures_in(run_state):
    there, status, back = run_state

    def test(accel):
        with MiniVmm(accel, "--ram", "64M") as vm:
            vm.wait_for_ticks()
            bring(vm, there)
            before = stand_still(vm)
            for words, update in (("/nonexistent", {"argv": ["/nonexistent"]}),
                                  ("fails at devices", {"options": ["--fail-at", "devices"]}),
                                  ("fails at load", {"options": ["--fail-at", "load"]})):
                answer = vm.try_update(**update)
                claim(words in answer, f"the monitor answers {answer!r}")
                claim(stand_still(vm) == before, f"{before} became {stand_still(vm)}")
            bring(vm, back)
            expect(vm, "running")
            return f"3 failures while {status} at {before[1].ticks} ticks; then {vm.wait_for_ticks(before[1].ticks).ticks}"
    test.__name__ = f"a_guest_that_is_{NAMES[status]}_stays_so_when_the_update_fails"
    return test


def a_rescued_guest_sleeps_on(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        vm.monitor.command("system_suspend")
        before = stand_still(vm)
        answer = vm.try_update(options=["--fail-at", "load", "--fail-by", "kill"])
        vm.follow()
        claim(answer.startswith("Migration status: rescued"), f"the monitor answers {answer!r}")
        claim(stand_still(vm) == before, f"{before} became {stand_still(vm)}")
        vm.monitor.command("system_wakeup")
        return f"asleep at {before[1].ticks} ticks; then {vm.wait_for_ticks(before[1].ticks).ticks}"


def each_wish_is_kept_apart(accel):
    """The whole table, from running and back, with an update in each state."""
    asleep = "paused (suspended)"
    steps = [("stop", "paused"), ("system_wakeup", "paused"), ("system_suspend", "paused"), ("cont", asleep), ("cont", asleep),
             ("stop", "paused"), ("system_wakeup", "paused"), ("cont", asleep), ("system_wakeup", "running"), ("cont", "running"),
             ("system_wakeup", "running"), ("system_suspend", asleep), ("system_suspend", asleep), ("system_wakeup", "running")]
    with MiniVmm(accel, "--ram", "64M") as vm:
        ticks, build = vm.wait_for_ticks().ticks, 1
        for command, status in steps:
            refused = command == "system_wakeup" and vm.status() != asleep
            answer = vm.monitor.ask(command)
            claim(answer == (NOT_ASLEEP if refused else ""), f"'{command}' answers {answer!r}")
            expect(vm, status)
            build = 3 - build
            vm.update(BUILD_1 if build == 1 else BUILD_2)
            expect(vm, status)
            if status == "running":
                ticks = vm.wait_for_ticks(ticks).ticks
        return f"{len(steps)} commands, an update after each; {ticks} ticks"


main(*[make(run_state) for run_state in (SUSPENDED, PAUSED_SUSPENDED) for make in (updates_in, failures_in)],
     a_rescued_guest_sleeps_on, each_wish_is_kept_apart)
