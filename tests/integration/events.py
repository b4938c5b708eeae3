#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: each program is told of the part of an update that it lived through, and the one that has the guest of the end; what
blocks updates is shown, refuses them with the guest running, and names itself."""
import os

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, write_script


def expect_events(vm, events):
    found = vm.monitor.info("migrate")["events"]
    claim(found == events, f"minivmm was told of {found}, not of {events}")


def every_program_is_told_its_part(accel):
    with MiniVmm(accel, "--ram", "64M", "--no-preflight") as vm:
        expect_events(vm, "none")
        vm.update(BUILD_2)
        expect_events(vm, "done")
        claim("/nonexistent" in vm.try_update(argv=["/nonexistent"]), "it was there")
        expect_events(vm, "setup failed")
        script = os.path.join(vm.directory, "program")
        write_script(script, "", interpreter="/nonexistent")
        claim("execve" in vm.try_update(argv=[script]), "it could be executed")
        expect_events(vm, "setup stopped saved failed")
        vm.try_update(BUILD_1, options=["--fail-at", "devices"])
        expect_events(vm, "failed")
        vm.update(BUILD_1)
        expect_events(vm, "done")
        vm.try_update(options=["--fail-at", "load", "--fail-by", "kill"])
        vm.follow()
        expect_events(vm, "failed")
        vm.update(BUILD_2)
        expect_events(vm, "done")
        return f"3 updates, 2 failures, a rollback and a rescue; {vm.wait_for_ticks().ticks} ticks"


def private_ram_is_shown_as_what_blocks(accel):
    with MiniVmm(accel, "--ram", "64M", "--ram-backend", "private") as vm:
        before = vm.wait_for_ticks()
        reason = "RAM block 'ram': private memory isn't handed over to another program"
        claim(vm.monitor.ask("info blockers") == reason + "\n", vm.monitor.ask("info blockers"))
        answer = vm.try_update()
        claim(answer == f"Error: mode exec: it is blocked: {reason}\n", f"the monitor answers {answer!r}")
        expect_events(vm, "none")
        vm.wait_for_ticks(before.ticks)
        return answer.strip()


main(every_program_is_told_its_part, private_ram_is_shown_as_what_blocks)
