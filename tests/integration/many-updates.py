#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a guest doesn't notice updates from one build to another and back, however many: its memory is right, its
ticks never go back, the PID stays, the monitor's clients stay connected, and nothing is left over.

CPR_TEST_UPDATES and CPR_TEST_RAM say how many (30) and how much RAM (256M); the full form is 200 and 1G."""
import collections
import os
import select
import statistics
import tempfile
import time

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, get_pause, main, poll

N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "30"))
RAM = os.environ.get("CPR_TEST_RAM", "256M")

Figures = collections.namedtuple("Figures", "fds mappings threads processes")


def take_figures(vm):
    vm.settle()
    process = vm.process
    return Figures(len(process.fds()), len(process.mappings()), len(process.threads()), len(process.children()))


def update_many(accel, guest, n_vcpus, *options, finally_wait_for=None):
    options = ["--ram", RAM, "--prealloc", "--guest", guest, "--vcpus", str(n_vcpus), *options]
    begin = time.monotonic()
    with MiniVmm(accel, *options) as vm:
        idle = vm.connect()
        if guest == "memcheck":  # the first pass only fills
            poll(lambda: vm.guest().passes >= n_vcpus, "for the first pass")
        first, pauses, longest = {}, [], (0, "")
        before = vm.wait_for_ticks()
        for number in range(1, N_UPDATES + 1):
            build = 2 if number % 2 else 1
            pauses.append(vm.update(BUILD_2 if build == 2 else BUILD_1))
            longest = max(longest, (pauses[-1], " ".join(f"{k}={v}" for k, v in vm.migration().step_us.items())))
            version = vm.version()
            claim((version.build, version.pid, version.accel) == (build, vm.pid, accel), f"update {number}: {version}")
            before = vm.wait_for_ticks(before.ticks)
            claim(before.errors == 0, f"update {number}: {before.errors} memory errors")
            if guest == "ticker":
                vm.wait_for_interrupts(before)
            if build not in first:
                first[build] = take_figures(vm)
        last = take_figures(vm)
        claim(last == first[build], f"after the last update {last}, after the first {first[build]}")

        migration = vm.migration()
        claim((migration.status, migration.generation) == ("completed", N_UPDATES), f"{migration}")
        claim(f"build {build}" in idle.ask("info version"), "the idle client gets no answer")
        if guest == "memcheck":  # unless one vCPU starves, each ends the pass it is in and makes a whole one
            passes = vm.guest().passes
            poll(lambda: vm.guest().passes >= passes + 2 * n_vcpus, "for another pass")
        if finally_wait_for:
            poll(finally_wait_for, "for the guest to print")
        end = vm.guest()
        claim(end.errors == 0, f"at the end: {end.errors} memory errors")
        claim(end.gap_us < (time.monotonic() - begin) * 1e6, f"the guest's time has leapt: {end.gap_us} us between two ticks")
        return (f"{N_UPDATES} updates at {RAM}, {n_vcpus} vCPU, pid {vm.pid}; ticks {end.ticks}, passes {end.passes}, "
                f"memory errors {end.errors}; {last.fds} fds, {last.mappings} mappings, {last.threads} threads, "
                f"{last.processes} children; pause, least {min(pauses)}, median {statistics.median(pauses):.0f}, most "
                f"{max(pauses)} us ({longest[1]})")


def the_ticker_ticks_on(accel):
    """And prints on: one digit after the other, none lost and none twice."""
    with tempfile.NamedTemporaryFile(prefix="cpr-") as serial:
        def look():
            serial.seek(0)
            printed = serial.read().decode()
            return printed if len(printed) >= 3 else None
        saw = update_many(accel, "ticker", 1, "--serial", f"file:{serial.name}", finally_wait_for=look)
        printed = look()
    claim(printed == "".join(str(i % 10) for i in range(len(printed))), f"the guest printed '{printed}'")
    return f"{saw}; printed '{printed[:10]}', {len(printed)} characters"


def two_tickers_tick_on(accel):
    return update_many(accel, "ticker", 2)


def memory_stays_right(accel):
    return update_many(accel, "memcheck", 1)


def memory_stays_right_with_two_vcpus(accel):
    return update_many(accel, "memcheck", 2)


def the_host_finds_every_byte_of_ram_unchanged(accel):
    n = 4
    with MiniVmm(accel, "--ram", "128M", "--guest", "memcheck", "--vcpus", "2", "--verify-ram") as vm:
        for number in range(1, n + 1):
            before = vm.wait_for_ticks()
            vm.update(BUILD_2 if number % 2 else BUILD_1)
            guest = vm.wait_for_ticks(before.ticks)
            claim(guest.errors == 0, f"{guest.errors} memory errors")
        return f"{n} updates with a hash of 128M before the save and after the take-up; ticks {guest.ticks}"


def idlers(vm):
    """What of the VM works at idle priority: threads and children, by name."""
    found = []
    for tid, name in [*vm.process.threads().items(), *((child.pid, child.comm) for child in vm.process.children())]:
        try:
            if os.sched_getscheduler(tid) == os.SCHED_IDLE:
                found.append(name)
        except ProcessLookupError:
            pass  # it ended
    return found


def no_update_waits_for_idle_time(accel):
    """What is left of an update works at idle priority, and the next update waits for its end. Then it is idle no more,
    or with all CPUs busy the update would take as many seconds as the rest takes milliseconds."""
    n, waits = 20, []
    with MiniVmm(accel, "--ram", "256M", "--prealloc", "--vcpus", str(min(64, 2 * os.cpu_count()))) as vm:
        vm.wait_for_ticks()
        for number in range(n):
            begin = time.monotonic()
            vm.send_update(BUILD_1 if number % 2 else BUILD_2)
            if not select.select([vm.monitor.socket], [], [], 0.5)[0]:
                idle = idlers(vm)
                # What is idle may be of this update already, whose answer is on its way on a busy machine.
                claim(not idle or select.select([vm.monitor.socket], [], [], 0.5)[0],
                      f"update {number + 1} waits for half a second and more, and idle is {idle}")
            get_pause(vm.monitor.receive())
            waits.append(time.monotonic() - begin)
            vm.wait_for_ticks(vm.guest().ticks)
    return f"{n} updates, each answered after {min(waits) * 1000:.0f}..{max(waits) * 1000:.0f} ms"


main(the_ticker_ticks_on, two_tickers_tick_on, memory_stays_right, memory_stays_right_with_two_vcpus,
     the_host_finds_every_byte_of_ram_unchanged, no_update_waits_for_idle_time)
