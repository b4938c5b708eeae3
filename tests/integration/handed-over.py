#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a program that has handed its guest over, to a file or to another program, says so, and nothing that its monitor is told
lets the guest go again there or changes it."""
import os
import tempfile

from minivmm import BUILD_2, Client, MiniVmm, claim, main, poll
from reboot import folder, quit_saved, save
from transfer import Successor, send_transfer

TOUCHES = ("device_add watchdog", "device_del watchdog", "device_set serial flow 1", "in 0x3fd", "out 0x3ff 7", "gap_reset",
           "system_suspend", "system_wakeup", "stop", "cont")


def nothing_touches_it(ask):
    claim("VM status: paused (postmigrate)\n" in ask("info status"), f"{ask('info status')!r}")
    for line in TOUCHES:
        answer = ask(line)
        claim(answer.startswith("Error: ") and "not permitted in a session that is handed over" in answer,
              f"'{line}' answers {answer!r}")
    claim("VM status: paused (postmigrate)\n" in ask("info status"), f"{ask('info status')!r}")


def a_guest_that_was_saved_stays_as_it_was(accel):
    for before in ((), ("stop",), ("system_suspend",)):
        with folder() as own, MiniVmm(accel, "--ram", "16M", binary=BUILD_2) as vm:
            vm.wait_for_ticks()
            for line in before:
                vm.monitor.command(line)
            save(vm, f"file:{own}/state")
            guest, ram = vm.guest(), vm.ram_hash()
            nothing_touches_it(vm.monitor.ask)
            claim((vm.guest(), vm.ram_hash()) == (guest, ram), f"{guest} became {vm.guest()}")
            quit_saved(vm)


def a_guest_that_went_elsewhere_is_left_alone(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as own:
        path = os.path.join(own, "old")
        with MiniVmm(accel, "--stay", path) as vm:
            old, successor = vm.popen, Successor(vm)
            send_transfer(vm, successor)
            vm.monitor.receive()
            client = poll(lambda: os.path.exists(path) and Client(path), "for the old program's own monitor")
            nothing_touches_it(client.ask)
            claim("must be paused" in client.ask("info ram"), "RAM that changes has a hash")
            claim(vm.status() == "running", f"the guest is {vm.status()}")
            vm.wait_for_ticks(vm.guest().ticks)
            client.send("quit")
            claim(old.wait(60) == 0, "the old program failed")
            vm.popen, vm.pid, vm.process = successor.popen, successor.pid, successor.process


main(a_guest_that_was_saved_stays_as_it_was, a_guest_that_went_elsewhere_is_left_alone)
