#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: memory that is plugged in while the guest runs is the guest's in the next program too, in every mode, and in the old one
after a way back, which is executed with its first arguments. A program that couldn't take so much is refused before the
stop. The guest checks all of it, page by page and pass by pass."""
from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, poll
from reboot import folder, goes_on, quit_saved, save
from transfer import Successor, expect_failure, transfer

MEMORY = ("--ram", "16M", "--ram-max", "64M", "--vcpus", "2", "--guest", "memcheck")
PAGES = 256  # in a MiB
TABLES = 2  # MiB at most that aren't for the guest to check


def grow(vm, mib):
    """The guest checks what it got."""
    vm.monitor.command(f"ram_grow {mib}M")
    has(vm, mib)


def has(vm, mib):
    """In two passes: the second finds what the first has left there. Both vCPUs' progress is counted."""
    def look():
        guest = vm.guest()
        claim(guest.errors == 0 and not guest.doubled, f"{guest}")
        return guest if guest.passes >= before.passes + 4 and guest.progress > most[0] - PAGES else None
    before, most = vm.guest(), [0]
    most[0] = (mib - TABLES) * PAGES
    poll(look, f"the guest to check {mib} MiB; it is at {vm.guest()}")
    return vm.guest()


def memory_that_grew_stays_right_in_every_mode(accel):
    with folder() as own, MiniVmm(accel, *MEMORY) as vm:
        has(vm, 16)
        grow(vm, 18)
        vm.update(BUILD_2)
        has(vm, 18)
        grow(vm, 24)
        transfer(vm, Successor(vm))
        has(vm, 24)
        grow(vm, 26)
        vm.monitor.command("migrate_set_parameter mode cpr-exec")
        vm.update(BUILD_1)
        before = has(vm, 26)
        save(vm, f"file:{own}/state")
        quit_saved(vm)
        for options in ((), ("--incoming-map",)):
            with MiniVmm(accel, *MEMORY, "--incoming", f"file:{own}/state", *options) as again:
                goes_on(again, before.ticks)
                has(again, 26 if not options else 28)
                grow(again, 28 if not options else 64)
                if not options:
                    save(again, f"file:{own}/state")
                    quit_saved(again)


def memory_in_a_file_grows_with_the_file(accel):
    with folder() as own:
        where = ("--ram-backend", f"file:{own}/ram")
        with MiniVmm(accel, *MEMORY, *where) as vm:
            grow(vm, 20)
            before = has(vm, 20)
            save(vm, f"file:{own}/state", in_place=True)
            quit_saved(vm)
        with MiniVmm(accel, *MEMORY, *where, "--incoming", f"file:{own}/state") as vm:
            goes_on(vm, before.ticks)
            has(vm, 20)
            grow(vm, 22)
            vm.update(BUILD_2)
            has(vm, 22)


def the_old_program_takes_back_all_of_it(accel):
    with MiniVmm(accel, *MEMORY) as vm:
        grow(vm, 20)
        answer = vm.try_update(BUILD_2, options=["--fail-at", "load"])
        claim(answer.startswith("Migration status: rolled-back\n"), f"{answer!r}")
        has(vm, 20)
        grow(vm, 22)
        answer = vm.try_update(BUILD_2, options=["--fail-at", "load", "--fail-by", "kill"])
        claim(answer.startswith("Migration status: rescued\n"), f"{answer!r}")
        vm.follow()
        has(vm, 22)
        grow(vm, 24)
        vm.update(BUILD_2)
        has(vm, 24)


def a_program_with_a_smaller_maximum_is_refused_before_the_stop(accel):
    with MiniVmm(accel, *MEMORY) as vm:
        grow(vm, 24)
        stops = vm.monitor.info("stops")["stops"]
        said = "RAM block 'ram': size is 25165824 in the state, at most 23068672 here"
        for binary in (BUILD_1, BUILD_2):
            answer = vm.try_update(binary, options=["--ram-max", "22M"])
            claim(said in answer, f"{answer!r}")
        expect_failure(vm, Successor(vm, "--ram-max", "22M"), said)
        claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
        has(vm, 24)


def what_cannot_be_plugged_in_is_refused(accel):
    with MiniVmm(accel, *MEMORY) as vm:
        for size in ("66M", "14M", "17M", "x", ""):
            answer = vm.monitor.ask(f"ram_grow {size}")
            claim(answer.startswith("Error: "), f"ram_grow {size}: {answer!r}")
        vm.monitor.command("ram_grow 16M")
        has(vm, 16)
    with MiniVmm(accel, "--ram", "16M") as vm:
        answer = vm.monitor.ask("ram_grow 18M")
        claim("it has no max_size" in answer, f"{answer!r}")


main(memory_that_grew_stays_right_in_every_mode, memory_in_a_file_grows_with_the_file, the_old_program_takes_back_all_of_it,
     a_program_with_a_smaller_maximum_is_refused_before_the_stop, what_cannot_be_plugged_in_is_refused)
