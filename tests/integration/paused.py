#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a paused guest is paused after an update too, with the same RAM, and runs on when it is let."""
from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main


def a_paused_guest_stays_paused(accel):
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck") as vm:
        vm.wait_for_ticks()
        vm.monitor.command("stop")
        paused, ram = vm.guest(), vm.ram_hash()
        for binary in (BUILD_2, BUILD_1, BUILD_2):
            pause = vm.update(binary)
            claim(pause == 0, f"a pause of {pause} us is reported, the guest was paused all along")
            claim(vm.status() == "paused", f"the guest is {vm.status()} after the update")
            claim(vm.guest() == paused, f"{paused} became {vm.guest()}")
            claim(vm.ram_hash() == ram, f"the hash of RAM was {ram} and is {vm.ram_hash()}")
        vm.monitor.command("cont")
        running = vm.wait_for_ticks(paused.ticks)
        claim(vm.status() == "running" and running.errors == 0, f"{vm.status()}, {running}")
        vm.update(BUILD_1)
        claim(vm.status() == "running", f"the guest is {vm.status()} after the update")
        on = vm.wait_for_ticks(running.ticks)
        return f"3 updates while paused at {paused.ticks} ticks, RAM {ram}; then {running.ticks}, {on.ticks} ticks"


def a_paused_guest_stays_paused_when_the_update_fails(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        vm.monitor.command("stop")
        paused, ram = vm.guest(), vm.ram_hash()
        answers = [vm.try_update(argv=["/nonexistent"]), vm.try_update(options=["--fail-at", "devices"])]
        claim("/nonexistent" in answers[0] and "rolled-back" in answers[1], f"the monitor answers {answers}")
        claim((vm.status(), vm.guest(), vm.ram_hash()) == ("paused", paused, ram), f"{vm.status()}, {vm.guest()}")
        vm.monitor.command("cont")
        on = vm.wait_for_ticks(paused.ticks)
        return f"failed and rolled back at {paused.ticks} ticks; then {on.ticks}"


main(a_paused_guest_stays_paused, a_paused_guest_stays_paused_when_the_update_fails)
