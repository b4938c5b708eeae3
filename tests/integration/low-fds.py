#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a VMM that is started with its standard streams closed has its own files at 0, 1 and 2, and no update, however it ends,
loses the guest over that: what is in the fd table goes along, what isn't and is close-on-exec is nobody's but the program's, so
that the disk's locks are the VM's and nobody else's; nothing is written into the disk that a stream was meant to get.

CPR_TEST_DEADLINE says how long a new program may take (1000 ms); a slow machine needs more."""
import fcntl
import os
import struct
import subprocess
import tempfile

from minivmm import BUILD_1, BUILD_2, MiniVmm, Process, claim, get_pause, main, orphans, poll, read, started

DEADLINE = os.environ.get("CPR_TEST_DEADLINE", "1000")  # ms
F_OFD_SETLK = 37
ALL = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
CONTENTS = bytes(range(256)) * 256
WAYS = (  # how the new program fails, what the monitor answers, whether the process is still the same
    ("error", "load", "rolled-back", True),
    ("segv", "load", "rolled-back", True),
    ("kill", "load", "rescued", False),
    ("kill", "new", "rescued", False),
    ("hang", "load", "rescued", False),
)


def closing(*fds):
    def close():
        for fd in fds:
            os.close(fd)
    return close


class Image:
    """A disk, and who has its two locks."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "disk")
        with open(self.path, "wb") as file:
            file.write(CONTENTS)

    def fds(self, process):
        return sorted(fd for fd, what in process.fds().items() if what == self.path)

    def is_held_by(self, vm, when):
        kinds = set()
        for fd in self.fds(vm.process):
            kinds |= {line.split()[2] for line in read(f"{vm.process.proc}/fdinfo/{fd}").decode().splitlines()
                      if line.startswith("lock:")}
        claim(kinds == {"FLOCK", "OFDLCK"}, f"{when}: the VM's locks are {kinds}")
        others = [process.pid for process in orphans() if process.pid != vm.pid and process.state != "Z"]
        claim(not others, f"{when}: there is {others} besides the VM")
        claim(read(self.path) == CONTENTS, f"{when}: somebody wrote into the disk: {read(self.path)[:80]!r}")

    def is_free(self):
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        fcntl.fcntl(fd, F_OFD_SETLK, ALL)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)


def machine(accel, image, *options, closed=()):
    return MiniVmm(accel, "--ram", "64M", "--deadline", DEADLINE, "--disk", image.path, *options, preexec=closing(*closed))


def low_files(vm):
    """What there is at 0 to 2 besides /dev/null and the test's pipe."""
    return {fd: what for fd, what in vm.process.fds().items() if fd <= 2 and what != "/dev/null" and "pipe:" not in what}


def works(vm, image, binary, when):
    before = vm.guest()
    vm.update(binary)
    vm.settle()
    claim(vm.wait_for_ticks(before.ticks).errors == 0, f"{when}: memory errors")
    image.is_held_by(vm, when)


def fails(vm, image, how, step, status, same_pid):
    before, when = vm.guest(), f"{how} at {step}"
    answer = vm.try_update(BUILD_2, options=["--fail-at", step, "--fail-by", how])
    claim(answer.startswith(f"Migration status: {status}\n"), f"{when}: the monitor answers {answer!r}")
    if not same_pid:
        vm.follow()
    vm.settle()
    claim(vm.version().build == 1, f"{when}: {vm.version()}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, f"{when}: memory errors")
    image.is_held_by(vm, when)


def all_ways(accel, *closed, least):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        image = Image(os.path.realpath(directory))
        with machine(accel, image, closed=closed) as vm:
            vm.wait_for_ticks()
            low = low_files(vm)
            claim(len(low) >= least, f"it has nothing at {closed} but {low}")
            image.is_held_by(vm, "at the start")
            works(vm, image, BUILD_2, "an update")
            works(vm, image, BUILD_1, "an update back")
            for how, step, status, same_pid in WAYS:
                fails(vm, image, how, step, status, same_pid)
                works(vm, image, BUILD_2, f"an update after {how} at {step}")
                works(vm, image, BUILD_1, f"and one back after {how} at {step}")
            claim(low_files(vm).keys() == low.keys(), f"{low} became {low_files(vm)}")
        image.is_free()
        return f"{low} through {len(WAYS)} failures and {2 + 2 * len(WAYS)} updates"


def with_stdin_closed(accel):
    return all_ways(accel, 0, least=1)


def with_stdout_closed(accel):
    return all_ways(accel, 1, least=1)


def with_stderr_closed(accel):
    return all_ways(accel, 2, least=0)  # a VMM that writes messages has something there that takes them


def with_stdin_and_stdout_closed(accel):
    return all_ways(accel, 0, 1, least=2)


def with_all_closed(accel):
    return all_ways(accel, 0, 1, 2, least=2)


def a_lock_outside_of_the_table_is_its_programs_wherever_its_number_is(accel):
    """After a transfer the disk's own lock, which each program takes anew, is one of 0 to 2."""
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        image = Image(os.path.realpath(directory))
        with machine(accel, image) as vm:
            vm.wait_for_ticks()
            path = os.path.join(directory, "next")
            new = subprocess.Popen([BUILD_1, *vm.options, "--incoming", "unix:" + path], stdout=subprocess.DEVNULL,
                                   preexec_fn=closing(0, 1, 2))
            started.add(new.pid)
            poll(lambda: os.path.exists(path) or new.poll() is not None, "for the new program to listen")
            vm.monitor.command("migrate_set_parameter mode cpr-transfer")
            get_pause(vm.monitor.ask("migrate unix:" + path))
            claim(vm.popen.wait(60) == 0, f"the old program ended with {vm.popen.returncode}")
            vm.popen, vm.pid, vm.process = new, new.pid, Process(new.pid)
            vm.monitor.command("migrate_set_parameter mode cpr-exec")
            claim(min(image.fds(vm.process)) <= 2, f"the disk is {image.fds(vm.process)} of {vm.process.fds()}")
            image.is_held_by(vm, "after the transfer")
            for how, step, status, same_pid in WAYS:
                fails(vm, image, how, step, status, same_pid)
            works(vm, image, BUILD_2, "an update")
            low = low_files(vm)
        image.is_free()
        return f"{low} through {len(WAYS)} failures and an update"


def a_state_goes_through_a_pipe_whose_end_would_be_a_stream(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        state = os.path.join(directory, "state")
        with MiniVmm(accel, "--ram", "64M", preexec=closing(0, 1)) as vm:
            vm.wait_for_ticks()
            vm.monitor.command("migrate_set_parameter mode cpr-reboot")
            answer = vm.monitor.ask(f"migrate exec:cat > {state}")
            claim(answer == "", f"saving says {answer!r}")
            ticks = vm.guest().ticks
            vm.monitor.send("quit")
            claim(vm.popen.wait(60) == 0, f"it ended with {vm.popen.returncode}")
            vm.ended = True
        with MiniVmm(accel, "--ram", "64M", "--incoming", f"exec:cat {state}", preexec=closing(0, 1)) as vm:
            return f"{ticks} ticks, then {vm.wait_for_ticks(ticks).ticks}"


main(with_stdin_closed, with_stdout_closed, with_stderr_closed, with_stdin_and_stdout_closed, with_all_closed,
     a_lock_outside_of_the_table_is_its_programs_wherever_its_number_is,
     a_state_goes_through_a_pipe_whose_end_would_be_a_stream)
