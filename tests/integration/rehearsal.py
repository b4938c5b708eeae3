#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a minivmm that rehearses its start-up when it is asked finds what one that declares its parts finds, and what
else its start-up fails at, before the guest is stopped. Nothing but its answer comes out of a rehearsal."""
import os
import re
import tempfile

from minivmm import BUILD_1, BUILD_2, BUILD_3, MiniVmm, claim, main, orphans, poll, trace_being_asked

REHEARSE = ["--ram", "64M", "--rehearse"]


def expect_untouched(vm, before, fds):
    migration = vm.migration()
    claim(not migration.step_us["stop"] and not migration.pause_us, f"the guest was stopped: {migration}")
    poll(lambda: all(task.pid == vm.pid for task in orphans()), "something is left")
    claim(not vm.process.children(), f"a process is left: {vm.process.children()}")
    claim(vm.process.fds_and_flags() == fds, f"fds were {fds} and are {vm.process.fds_and_flags()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")


def expect_working_updates(vm):
    for binary in (BUILD_2, BUILD_1):
        vm.update(binary)
        vm.wait_for_ticks(vm.guest().ticks)
    vm.settle()


def refused(accel, words, *own_options, options=(), binary=BUILD_2):
    """Refused by `migrate_check` and by `migrate`, with the same words and no trace; what the error says."""
    with MiniVmm(accel, *REHEARSE, *own_options) as vm:
        before, fds = vm.wait_for_ticks(), vm.process.fds_and_flags()
        vm.set_command(binary, *vm.options, *options)
        checked = vm.monitor.ask("migrate_check")
        claim("refused: " in checked and all(word in checked for word in words), f"{words}: it answers {checked!r}")
        answer = vm.try_update(binary, options=options)
        claim(answer.startswith("Error: ") and words[0] in answer, f"{words}: the monitor answers {answer!r}")
        expect_untouched(vm, before, fds)
        expect_working_updates(vm)
        return answer[len("Error: "):].strip()


# ---- What a declaration finds, too.

def another_ram_size(accel):
    return refused(accel, [f"RAM block 'ram': size is {64 << 20} in the state, {128 << 20} here"],
                   options=["--ram", "128M"])


def fewer_vcpus(accel):
    return refused(accel, ["1' of type", "is in the state and not here"], "--vcpus", "2", options=["--vcpus", "1"])


def more_vcpus(accel):
    return refused(accel, ["1': it isn't in the state"], options=["--vcpus", "2"])


def a_missing_device(accel):
    with MiniVmm(accel, *REHEARSE, "--device", "watchdog", binary=BUILD_2) as vm:
        vm.set_command(BUILD_2, *vm.options[:-2])
        checked = vm.monitor.ask("migrate_check")
        claim("refused: device 'watchdog" in checked and "is in the state and not here" in checked, f"{checked!r}")
        vm.update(BUILD_2)
        return checked.splitlines()[0]


def an_fd_that_nobody_would_take(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        return refused(accel, ["fd 'serial' 0: it is in the state, and nobody would take it"],
                       "--serial", f"file:{directory}/serial", options=["--serial", "null"])


def what_would_be_dropped_is_told(accel):
    with MiniVmm(accel, *REHEARSE, binary=BUILD_2) as vm:
        vm.set_command(BUILD_1, *vm.options)
        answer = vm.monitor.ask("migrate_check")
        claim(answer.startswith("would go through\nloss: device 'serial': field 'interrupted'"), f"{answer!r}")
        vm.update(BUILD_1)
        return answer.splitlines()[1]


# ---- What only a start-up finds.

def a_start_up_that_gives_up(accel):
    return refused(accel, ["start-up: it failed in its rehearsal: start-up fails at new, as told to"],
                   options=["--fail-at", "new"])


def a_start_up_that_exits(accel):
    return refused(accel, ["it exited with status 3 without an answer"], options=["--fail-at", "new", "--fail-by", "exit"])


def a_start_up_that_crashes(accel):
    return refused(accel, ["it was killed by signal 6 (Aborted)"], options=["--fail-at", "new", "--fail-by", "abort"])


def a_start_up_that_hangs(accel):
    return refused(accel, ["it gave no answer within 1500 ms, killed"], "--preflight-timeout", "1500",
                   options=["--fail-at", "new", "--fail-by", "hang"])


def a_disk_whose_file_is_missing(accel):
    """The fd is in the state; the lock of the program's own is on the file that the options name."""
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        with open(os.path.join(directory, "disk"), "wb") as file:
            file.truncate(1 << 20)
        return refused(accel, ["start-up: it failed in its rehearsal: disk: ", "No such file"],
                       "--disk", f"{directory}/disk", options=["--disk", f"{directory}/another"])


# ---- What works.

def a_disk_that_the_old_program_holds(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        path = os.path.join(directory, "disk")
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        with MiniVmm(accel, *REHEARSE, "--disk", path) as vm:
            vm.set_command(BUILD_2, *vm.options)
            answer = vm.monitor.ask("migrate_check")
            claim(answer == "would go through\n", f"{answer!r}")
            expect_working_updates(vm)
            return answer.strip()


def every_part_and_three_releases(accel):
    with MiniVmm(accel, *REHEARSE, "--vcpus", "2", "--ram-backend", "memfd", "--prealloc", "--verify-ram") as vm:
        for binary in (BUILD_2, BUILD_3, BUILD_2, BUILD_1):
            vm.set_command(binary, *vm.options)
            answer = vm.monitor.ask("migrate_check")
            claim(answer.startswith("would go through\n"), f"{binary}: {answer!r}")
            vm.update(binary)
            claim(vm.wait_for_ticks(vm.guest().ticks).errors == 0, "memory errors")
        vm.settle()
        return answer.strip()


FORBIDDEN = re.compile(r"\b(bind|listen|connect|unlink|unlinkat|rename|renameat2?|creat|mkdir|mkdirat|mknod|mknodat|link|linkat|"
                       r"symlink|symlinkat|truncate|fallocate|kill|mount|umount2|chmod|fchmod|chown|pwrite64|fchown)\(|"
                       r"O_CREAT|O_TRUNC|F_OFD_SETLK|F_SETLK")


def a_rehearsal_has_no_effect(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory, \
            MiniVmm(accel, *REHEARSE, "--serial", f"file:{directory}/serial") as vm:
        saw = trace_being_asked(vm, directory, FORBIDDEN)
        expect_working_updates(vm)
        return saw


main(another_ram_size, fewer_vcpus, more_vcpus, a_missing_device, an_fd_that_nobody_would_take,
     what_would_be_dropped_is_told, a_start_up_that_gives_up, a_start_up_that_exits, a_start_up_that_crashes,
     a_start_up_that_hangs, a_disk_whose_file_is_missing, a_disk_that_the_old_program_holds,
     every_part_and_three_releases, a_rehearsal_has_no_effect)
