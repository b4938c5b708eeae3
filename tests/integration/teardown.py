#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the next update doesn't wait until the address space before the last update is torn down: not on a machine whose CPUs
are all busy, and not in a VMM without the privilege to raise a priority. The guardians that are still at it are handed on from
program to program, are children of the VM all the time, and every one is reaped in the end, whatever becomes of it."""
import contextlib
import ctypes
import multiprocessing
import os
import resource
import signal
import time

from minivmm import BUILD_1, BUILD_2, PATIENCE, MiniVmm, claim, get_pause, libc, main, orphans, poll

RAM = "1G"
SOON = 5  # seconds: an update on a machine as busy as here takes a tenth of it; at idle priority the teardown alone took 20
PR_CAPBSET_DROP, CAP_SYS_NICE = 24, 23


def drop_priority():
    """As an ordinary user has it: no program may raise its own priority, or that of its children."""
    libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(CAP_SYS_NICE), 0, 0, 0)  # no more to lose where this fails
    resource.setrlimit(resource.RLIMIT_NICE, (0, 0))


def spin():
    while True:
        pass


@contextlib.contextmanager
def busy_cpus():
    """Two loops for each CPU."""
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(2 * os.cpu_count())]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def machine(accel, *options):
    return MiniVmm(accel, "--ram", RAM, "--prealloc", *options, preexec=drop_priority)


def guardians(vm):
    return [child for child in vm.process.children() if child.comm == "cpr-guardian"]


def is_full(vm):
    """Whether the page tables are, which is done in the background and is what makes a teardown long."""
    with open(f"/proc/{vm.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssShmem:")) >= 1000 << 10


def timed(update, *args, **kwargs):
    begin = time.monotonic()
    return update(*args, **kwargs), time.monotonic() - begin


def the_next_update_begins_at_once(accel):
    with machine(accel) as vm, busy_cpus():
        before = vm.wait_for_ticks()
        poll(lambda: is_full(vm), "for the page tables")
        get_pause(vm.try_update(BUILD_2))
        answer, took = timed(vm.try_update, BUILD_1)
        get_pause(answer)
        claim(took < SOON, f"with all CPUs busy the second update took {took:.1f} s")
        info = vm.monitor.info("migrate")
        wait_us, total_us = int(info["step wait"].split()[0]), int(info["total"].split()[0])
        claim(wait_us <= total_us, f"it waited {wait_us} us, and took {total_us} us in all")
        vm.wait_for_ticks(before.ticks)
    return f"it took {took * 1000:.0f} ms, the wait {wait_us / 1000:.1f} ms"


def a_bad_release_goes_back_at_once(accel):
    """Rolled out, found to be bad, and the next update, which goes wrong itself, goes back to it."""
    with machine(accel) as vm, busy_cpus():
        poll(lambda: is_full(vm), "for the page tables")
        vm.update(BUILD_2)
        answer, took = timed(vm.try_update, BUILD_1, options=["--fail-at", "load", "--fail-by", "error"])
        claim("rolled-back" in answer and vm.version().build == 2, answer)
        answer, again = timed(vm.try_update, BUILD_1)
        get_pause(answer)
        claim(vm.version().build == 1, "it isn't the old release")
        claim(took < SOON and again < SOON, f"it took {took:.1f} s and {again:.1f} s")
        vm.wait_for_ticks(vm.guest().ticks)
        vm.settle()
        claim(not vm.process.children(), f"there is {vm.process.children()}")
    return f"{took * 1000:.0f} and {again * 1000:.0f} ms"


def a_refused_update_leaves_the_guardians_to_be_reaped(accel):
    with machine(accel) as vm, busy_cpus():
        poll(lambda: is_full(vm), "for the page tables")
        vm.update(BUILD_2)
        answer = vm.try_update(BUILD_1, options=["--name", "another"])
        claim("Error" in answer, answer)
        poll(lambda: not vm.process.children(), "for the guardian's end, after an update that was refused")
        vm.update(BUILD_1)
    return "reaped"


def all_of_many_are_reaped(accel):
    """More than there is room for in what is handed on."""
    most = 0
    with machine(accel) as vm:
        for number in range(12):
            vm.update(BUILD_1 if number % 2 else BUILD_2)
            most = max(most, len(guardians(vm)))
        poll(lambda: not vm.process.children(), "for the end of all guardians")
        claim(most <= 9, f"{most} guardians at a time")
        vm.wait_for_ticks(vm.guest().ticks)
    return f"12 updates, up to {most} guardians at a time"


def hit_by(number):
    def hit(vm):
        for guardian in guardians(vm):
            with contextlib.suppress(ProcessLookupError):
                os.kill(guardian.pid, number)
    return hit


def signals_to_those_that_end_do_no_harm(accel):
    """Killed, stopped or told something by hand, between two updates: the next one works, and none is left."""
    seen = []
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGUSR1, signal.SIGTERM):
        with machine(accel) as vm:
            poll(lambda: is_full(vm), "for the page tables")
            vm.update(BUILD_2)
            hit_by(number)(vm)
            answer, took = timed(vm.try_update, BUILD_1)
            get_pause(answer)
            claim(took < SOON, f"{signal.Signals(number).name}: the next update took {took:.1f} s")
            hit_by(number)(vm)
            vm.update(BUILD_2)
            poll(lambda: not [child for child in vm.process.children() if child.state != "T"], "for the guardians' end")
            vm.wait_for_ticks(vm.guest().ticks)
            seen.append(f"{signal.Signals(number).name} {took * 1000:.0f} ms")
    return ", ".join(seen)


def a_rescue_works_while_an_older_guardian_ends(accel):
    with machine(accel) as vm:
        poll(lambda: is_full(vm), "for the page tables")
        before = vm.guest()
        vm.update(BUILD_2)
        answer = vm.try_update(BUILD_1, options=["--fail-at", "load", "--fail-by", "kill"])
        vm.follow()
        claim(vm.migration().status == "rescued" and vm.version().build == 2, answer)
        vm.wait_for_ticks(before.ticks)
        vm.update(BUILD_1)
        vm.settle()
        # The rescued VM is another process: what still ended then is no child of it, and nothing to it.
        poll(lambda: not [task for task in orphans() if task.pid != vm.pid], "for the older guardian's end")
    return "rescued"


def an_end_of_the_vm_leaves_none(accel):
    with machine(accel) as vm:
        poll(lambda: is_full(vm), "for the page tables")
        vm.update(BUILD_2)
        vm.update(BUILD_1)
        _, took = timed(vm.quit)
        claim(took < PATIENCE / 2, f"it took {took:.1f} s")
    return f"it ends in {took * 1000:.0f} ms"


main(the_next_update_begins_at_once, a_bad_release_goes_back_at_once, a_refused_update_leaves_the_guardians_to_be_reaped,
     all_of_many_are_reaped, signals_to_those_that_end_do_no_harm, a_rescue_works_while_an_older_guardian_ends,
     an_end_of_the_vm_leaves_none)
