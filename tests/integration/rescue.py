#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: where the new program dies or hangs before the commit the guest goes on in the old one. A fatal signal leads back in the
same process; where nothing can be done there, the guardian executes the old program and the PID is another. Exactly one
process has the guest, memory and ticks go on, whoever asked is told why, nothing is left over, and the next update works.
After the commit the death of the VMM is the end of the VM.

CPR_TEST_DEADLINE says how long a new program may take (1000 ms); a slow machine needs more."""
import os
import re
import shutil
import signal
import tempfile

from minivmm import BUILD_1, BUILD_2, Closed, Hold, MiniVmm, Process, claim, main, orphans, poll, write_script

DEADLINE = os.environ.get("CPR_TEST_DEADLINE", "1000")  # ms
STEPS = ("new", "ram", "fds", "devices", "load", "start")


def machine(accel, *options, **more):
    return MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck", "--deadline", DEADLINE, *options, **more)


def only_one_has_the_guest(vm):
    """Those that came of this VM: it, and a guardian for a while."""
    vm.settle()
    left = [process for process in orphans() if process.pid != vm.pid]
    claim(not left, f"besides {vm.pid} there is {left}")


def expect(vm, status, words, answer, same_pid):
    claim(answer.startswith(f"Migration status: {status}\nError: ") and all(word in answer for word in words),
          f"expected {status} and {words}, the monitor answers {answer!r}")
    if not same_pid:
        vm.follow()
    version, migration = vm.version(), vm.migration()
    claim((version.build, version.pid) == (1, vm.pid), f"{version}, not build 1, pid {vm.pid}")
    claim(migration.status == status and all(word in migration.error for word in words), f"{migration}")
    claim(not same_pid or "is back in the old program" in vm.messages(), "nothing in the log")


def go_on(vm, ticks):
    """The guest and its VMM are as before, and can be updated."""
    claim(vm.wait_for_ticks(ticks).errors == 0, "memory errors")
    only_one_has_the_guest(vm)
    fds = vm.process.fd_kinds()
    vm.update(BUILD_2)
    vm.update(BUILD_1)
    vm.settle()
    claim(vm.process.fd_kinds() == fds, f"fds {fds} became {vm.process.fd_kinds()}")
    claim(vm.wait_for_ticks(vm.guest().ticks).errors == 0, "memory errors")


def fails(accel, how, step, status, words, same_pid):
    with machine(accel) as vm:
        idle, before = vm.connect(), vm.wait_for_ticks()
        answer = vm.try_update(BUILD_2, options=["--fail-at", step, "--fail-by", how])
        expect(vm, status, words, answer, same_pid)
        pause = vm.migration().pause_us
        claim("build 1" in idle.ask("info version"), "the idle client gets no answer")
        go_on(vm, before.ticks)
        return pause


def at_every_step(accel, how, status, words, same_pid):
    pauses = [fails(accel, how, step, status, words, same_pid) for step in STEPS]
    return f"pause at {', '.join(f'{step} {pause}' for step, pause in zip(STEPS, pauses))} us"


def a_segmentation_fault_leads_back(accel):
    return at_every_step(accel, "segv", "rolled-back", ["signal 11 (SIGSEGV) at address 0x0"], True)


def an_abort_leads_back(accel):
    return at_every_step(accel, "abort", "rolled-back", ["signal 6 (SIGABRT)"], True)


def an_exit_is_rescued(accel):
    return at_every_step(accel, "exit", "rescued", ["exited with status 3"], False)


def a_kill_is_rescued(accel):
    return at_every_step(accel, "kill", "rescued", ["killed by signal 9"], False)


def a_stopped_program_is_rescued(accel):
    return at_every_step(accel, "stop", "rescued", [f"no answer in {DEADLINE} ms"], False)


def a_hanging_program_is_rescued(accel):
    return at_every_step(accel, "hang", "rescued", [f"no answer in {DEADLINE} ms"], False)


def a_child_that_crashes_concerns_nobody(accel):
    """It has the handlers too."""
    with machine(accel) as vm:
        before = vm.wait_for_ticks()
        for step in STEPS:
            vm.update(BUILD_2 if vm.version().build == 1 else BUILD_1, options=["--fail-at", step, "--fail-by", "child"])
        claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
        only_one_has_the_guest(vm)


def programs_without_libcpr_are_rescued(accel):
    """A preflight would refuse them."""
    with machine(accel, "--no-preflight") as vm:
        ticks = vm.wait_for_ticks().ticks
        script = os.path.join(vm.directory, "script")
        write_script(script, "kill -KILL $$")
        for argv, word in ((["/bin/true"], "exited with status 0"), (["/bin/sh", "-c", "exit 7"], "exited with status 7"),
                           (["/bin/sleep", "1000"], "no answer"), ([script], "killed by signal 9")):
            expect(vm, "rescued", [word], vm.try_update(argv=argv), False)
            ticks = vm.wait_for_ticks(ticks).ticks
        go_on(vm, ticks)


def what_names_the_process_in_the_environment_follows_it(accel):
    """A number of another process stays."""
    own, other = ("WATCHDOG_PID", "LISTEN_PID"), ("SYSTEMD_EXEC_PID",)
    start = "; ".join([*(f"export {name}=$$" for name in own), *(f"export {name}=1" for name in other), 'exec "$0" "$@"'])
    with machine(accel, binary="/bin/sh", prefix=["-c", start, BUILD_1]) as vm:
        ticks = vm.wait_for_ticks().ticks
        for status, how in (("rescued", "kill"), ("rolled-back", "segv"), ("rescued", "exit")):
            vm.settle()
            expect(vm, status, [], vm.try_update(options=["--fail-at", "load", "--fail-by", how]), status == "rolled-back")
            seen = {name: value for name, _, value in (text.partition("=") for text in vm.process.environment())}
            claim(all(seen[name] == str(vm.pid) for name in own) and all(seen[name] == "1" for name in other),
                  f"after {how}, process {vm.pid} has {seen}")
        ticks = vm.wait_for_ticks(ticks).ticks
        go_on(vm, ticks)


def a_kill_between_execve_and_main_is_rescued(accel):
    with machine(accel, "--deadline", "20000", "--no-preflight") as vm:
        ticks, hold = vm.wait_for_ticks().ticks, Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        os.kill(vm.pid, signal.SIGKILL)
        expect(vm, "rescued", ["killed by signal 9"], vm.monitor.receive(), False)
        go_on(vm, ticks)


def a_wrapper_that_forks_is_too_slow(accel):
    """The child isn't the one that may have the guest, and the wrapper waits for it with all signals blocked."""
    with machine(accel, "--no-preflight") as vm:
        ticks = vm.wait_for_ticks().ticks
        script = os.path.join(vm.directory, "wrapper")
        write_script(script, '"$@" &\nwait')
        expect(vm, "rescued", ["the new program"], vm.try_update(prefix=[script]), False)
        go_on(vm, ticks)


def the_death_of_the_owner_is_the_end(accel):
    """After the commit nothing runs the guest again, and nothing is left."""
    for how in ("kill", "exit", "segv"):
        with machine(accel) as vm:
            vm.wait_for_ticks()
            vm.send_update(BUILD_2, options=["--fail-at", "running", "--fail-by", how])
            try:
                vm.monitor.receive()
                claim(False, "the monitor goes on")
            except Closed:
                pass
            vm.wait_for_end()
            claim(not vm.is_listening(), "somebody still listens")


def a_paused_guest_is_rescued_paused(accel):
    with machine(accel) as vm:
        vm.wait_for_ticks()
        vm.monitor.command("stop")
        before = vm.guest()
        expect(vm, "rescued", ["killed by signal 9"], vm.try_update(options=["--fail-at", "load", "--fail-by", "kill"]), False)
        claim(vm.status() == "paused" and vm.guest().ticks == before.ticks, f"{vm.status()}, {vm.guest()} after {before}")
        vm.monitor.command("cont")
        go_on(vm, before.ticks)


def a_guest_that_no_program_can_take_is_parked(accel):
    """Neither the new program nor, for a while, the old one: it waits, and is there again, or gone, when somebody says so."""
    for number in (signal.SIGUSR1, signal.SIGTERM):
        with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
            binary = shutil.copy(BUILD_1, directory)
            with machine(accel, "--deadline", "20000", "--no-preflight", binary=binary) as vm:  # no hurry here
                ticks = vm.wait_for_ticks().ticks
                os.chmod(binary, 0)
                vm.send_update(BUILD_2, options=["--fail-at", "load", "--fail-by", "kill"])
                holder = int(poll(lambda: re.search(r"held by process (\d+)\n", vm.messages()), "for the guest to be parked")[1])
                claim(not vm.process.is_alive() and Process(holder).comm() == "cpr-guardian", f"{holder} isn't the guardian")
                for tries in range(1, 11 if number == signal.SIGUSR1 else 1):
                    os.kill(holder, number)  # the program still can't be executed
                    poll(lambda: vm.messages().count(f"held by process {holder}\n") == 1 + tries, "for the guest to be parked again")
                os.chmod(binary, 0o755)
                os.kill(holder, number)
                if number == signal.SIGTERM:
                    vm.wait_for_end()
                    claim(not vm.is_listening(), "somebody still listens")
                else:
                    expect(vm, "rescued", ["killed by signal 9"], vm.monitor.receive(), False)
                    claim(vm.pid == holder, f"the VM is process {vm.pid}")
                    vm.update(BUILD_1)  # not the copy
                    go_on(vm, ticks)


def nothing_is_left_of_a_parked_guest(accel):
    """The new program goes back and so leaves a second guardian behind. It ends with the one that holds the guest."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
            binary = shutil.copy(BUILD_1, directory)
            with machine(accel, "--deadline", "20000", "--no-preflight", binary=binary) as vm:
                vm.wait_for_ticks()
                os.chmod(binary, 0)
                vm.send_update(BUILD_2, options=["--fail-at", "load", "--fail-by", "segv"])
                holder = int(poll(lambda: re.search(r"held by process (\d+)\n", vm.messages()), "for the guest to be parked")[1])
                claim("; before that: the new program got signal 11 (SIGSEGV) at address 0x0 in step load; " in vm.messages(),
                      "the cause isn't said")
                claim(len(orphans()) == 2, f"expected two guardians, there is {orphans()}")
                os.kill(holder, number)
                vm.wait_for_end()
                claim(not vm.is_listening(), "somebody still listens")


main(a_segmentation_fault_leads_back, an_abort_leads_back, an_exit_is_rescued, a_kill_is_rescued, a_stopped_program_is_rescued,
     a_hanging_program_is_rescued, a_child_that_crashes_concerns_nobody, programs_without_libcpr_are_rescued,
     what_names_the_process_in_the_environment_follows_it,
     a_kill_between_execve_and_main_is_rescued, a_wrapper_that_forks_is_too_slow, the_death_of_the_owner_is_the_end,
     a_paused_guest_is_rescued_paused, a_guest_that_no_program_can_take_is_parked, nothing_is_left_of_a_parked_guest)
