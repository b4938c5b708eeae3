#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: no signal that comes during an update is lost, and none ends the VM but one that is meant to."""
import os
import signal
import threading
import time

from minivmm import BUILD_1, BUILD_2, Closed, Hold, MiniVmm, claim, get_pause, main, poll

HARMLESS = (signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG)


def a_sigterm_during_the_update_ends_the_vm_in_order_afterwards(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        os.kill(vm.pid, signal.SIGTERM)
        claim(signal.SIGTERM in vm.process.pending_signals(), f"pending: {vm.process.pending_signals()}")
        hold.release()
        pause = get_pause(vm.monitor.receive())
        try:
            vm.monitor.receive()
            claim(False, "the monitor goes on")
        except Closed:
            pass
        code = vm.wait_for_end()
        claim(code == 0, f"the exit code is {code}")
        claim(not os.path.exists(vm.socket_path), "its socket is left")
        return f"pending in the update, which worked (pause {pause} us), then exit code {code}"


def a_sigterm_before_the_rollback_reaches_the_old_program(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix, options=["--fail-at", "load"])
        hold.wait()
        os.kill(vm.pid, signal.SIGTERM)
        hold.release()
        answer = vm.monitor.receive()
        claim("rolled-back" in answer, f"the monitor answers {answer!r}")
        code = vm.wait_for_end()
        claim(code == 0, f"the exit code is {code}")
        return f"rolled back, then exit code {code}"


def all_signals_are_blocked_on_the_way_and_none_afterwards(accel):
    """None but those that were before."""
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        before = vm.process.blocked_signals()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        held = vm.process.blocked_signals()
        hold.release()
        get_pause(vm.monitor.receive())
        after = vm.process.blocked_signals()
        free = set(range(1, 65)) - held - {signal.SIGKILL, signal.SIGSTOP, 32, 33}
        claim(not free, f"on the way {free} aren't blocked")
        claim(after == before, f"blocked before: {before}, after: {after}")
        return f"blocked before and after: {sorted(before)}; on the way: {len(held)}"


def an_armed_timer_does_not_end_the_new_program(accel):
    """SIGALRM ends a process by default, and a timer goes along over execve. It is armed for a time in the middle of
    the update; the one thing to wait for is that time."""
    seconds = 2.0
    with MiniVmm(accel, "--ram", "64M", preexec=lambda: signal.setitimer(signal.ITIMER_REAL, seconds)) as vm:
        vm.wait_for_ticks()
        hold = Hold(vm)
        vm.send_update(prefix=hold.prefix)
        hold.wait()
        end = time.monotonic() + seconds
        poll(lambda: time.monotonic() > end, "for the timer")
        claim(signal.SIGALRM not in vm.process.pending_signals(), "SIGALRM is pending: it would end the new program")
        hold.release()
        get_pause(vm.monitor.receive())
        return f"armed for {seconds} s, the update held until then; ticks {vm.wait_for_ticks(vm.guest().ticks).ticks}"


def a_storm_of_harmless_signals_ends_nobody(accel):
    n = 10
    with MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck") as vm:
        before, sent, stop = vm.wait_for_ticks(), [0], threading.Event()

        def storm():
            while not stop.is_set():
                for number in HARMLESS:
                    os.kill(vm.pid, number)
                    sent[0] += 1

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for number in range(n):
                vm.update(BUILD_1 if number % 2 else BUILD_2)
            claim("rolled-back" in vm.try_update(options=["--fail-at", "start"]), "not rolled back")
        finally:
            stop.set()
            thread.join()
        after = vm.wait_for_ticks(before.ticks)
        claim(after.errors == 0, "memory errors")
        return f"{sent[0]} signals in {n} updates and a rollback; ticks {before.ticks} to {after.ticks}"


main(a_sigterm_during_the_update_ends_the_vm_in_order_afterwards,
     a_sigterm_before_the_rollback_reaches_the_old_program, all_signals_are_blocked_on_the_way_and_none_afterwards,
     an_armed_timer_does_not_end_the_new_program, a_storm_of_harmless_signals_ends_nobody)
