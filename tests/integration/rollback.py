#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: where the new program fails before the commit the guest goes on in the old one: same PID, memory and ticks,
the client that asked gets the reason on its connection, nothing is left over, and the next update works."""
import os
import tempfile

from minivmm import BUILD_1, BUILD_2, MiniVmm, claim, main, read, why_no_kvm

UNASKED = ["--no-preflight"]  # what would be found before the guest is stopped
STEPS = ("new", "ram", "fds", "devices", "load", "start")


def expect_rollback(vm, words, build=1, **update):
    """A rollback whose reason has all the words; the reason."""
    before = vm.wait_for_ticks()
    answer = vm.try_update(BUILD_2 if build == 1 else BUILD_1, **update)
    claim(answer.startswith("Migration status: rolled-back\nError: ") and all(word in answer for word in words),
          f"the reason should have {words}, the monitor answers {answer!r}")
    migration = vm.migration()
    claim(migration.status == "rolled-back" and all(word in migration.error for word in words), f"{migration}")
    version = vm.version()
    claim((version.build, version.pid) == (build, vm.pid), f"{version}, not build {build}, pid {vm.pid}")
    claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
    return migration.error


def settled(vm):
    """What has to be the same after each rollback, once nothing is left of it."""
    vm.settle()
    process = vm.process
    return {"fds": process.fd_kinds(), "threads": sorted(process.threads().values()),
            "blocked": process.blocked_signals(), "cwd": os.readlink(process.proc + "/cwd"),
            "argv": read(process.proc, "cmdline"), "name": read(process.proc, "comm"),
            "limits": read(process.proc, "limits")}


def roll_back_then_update(accel, words, *own_options, **update):
    with MiniVmm(accel, "--ram", "64M", "--vcpus", "2", "--guest", "memcheck", *own_options) as vm:
        idle, fresh = vm.connect(), settled(vm)
        reason = expect_rollback(vm, words, **update)
        claim(settled(vm) == fresh, f"at the start {fresh}, after the rollback {settled(vm)}")
        expect_rollback(vm, words, **update)
        claim(settled(vm) == fresh, f"at the start {fresh}, after the second rollback {settled(vm)}")
        vm.update(BUILD_2)
        vm.update(BUILD_1)
        migration = vm.migration()
        claim((migration.status, migration.error, migration.generation) == ("completed", None, 2), f"{migration}")
        vm.wait_for_ticks(vm.guest().ticks)
        claim("build 1" in idle.ask("info version"), "the idle client gets no answer")
        return reason


def failing_at(step):
    def test(accel):
        return roll_back_then_update(accel, [f"fails at {step}"], options=["--fail-at", step])
    test.__name__ = f"failing_at_{step}"
    return test


def exiting_at(step, way="call-exit"):
    def test(accel):
        return roll_back_then_update(accel, [f"exits at {step}"], options=["--fail-at", step, "--fail-by", way])
    test.__name__ = f"exiting_at_{step}" if way == "call-exit" else f"exiting_at_{step}_in_a_thread"
    return test


def another_name(accel):
    return roll_back_then_update(accel, ["VM 'minivmm'", "VM 'other'"], *UNASKED, options=["--name", "other"])


def another_ram_size(accel):
    return roll_back_then_update(accel, ["RAM block 'ram'", str(64 << 20), str(128 << 20)], *UNASKED,
                                 options=["--ram", "128M"])


def another_ram_backend(accel):
    return roll_back_then_update(accel, ["RAM block 'ram'", "backend"],
                                 options=["--ram-backend", "private"])


def another_accelerator(accel):
    other = "kvm" if accel == "soft" else "soft"
    words = ["/dev/kvm"] if other == "kvm" and why_no_kvm() else [f"device '{other}"]
    return roll_back_then_update(accel, words, *UNASKED, options=["--accel", other])


def fewer_vcpus(accel):
    return roll_back_then_update(accel, ["vcpu"], *UNASKED, options=["--vcpus", "1"])


def more_vcpus(accel):
    return roll_back_then_update(accel, ["vcpu"], *UNASKED, options=["--vcpus", "3"])


def an_fd_that_nobody_takes(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        serial = f"file:{directory}/serial"
        return roll_back_then_update(accel, ["fd 'serial'"], "--serial", serial, *UNASKED,
                                     options=["--serial", "null"])


def a_program_that_writes_ram_too_early(accel):
    """While RAM is protected. A program that writes nothing loses nothing by it."""
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", "--verify-ram") as vm:
        for step in ("devices", "load", "start"):
            reason = expect_rollback(vm, ["signal 11 (SIGSEGV) at address 0x"],
                                     options=["--incoming-protect", "--fail-at", step, "--fail-by", "write"])
        vm.update(BUILD_2, options=["--incoming-protect"])
        ticks = vm.guest().ticks
        claim(vm.wait_for_ticks(ticks).errors == 0, "memory errors")
        vm.update(BUILD_1)
        return reason


def an_old_program_that_writes_ram_too_early(accel):
    """It has the same fault as the new one, and takes the guest back all the same: its RAM isn't protected on a way back."""
    early = ["--incoming-protect", "--fail-at", "load", "--fail-by", "rewrite"]
    with MiniVmm(accel, "--ram", "64M", "--guest", "memcheck", *early) as vm:
        reason = expect_rollback(vm, ["signal 11 (SIGSEGV) at address 0x"], options=early)
        claim(vm.wait_for_ticks(vm.guest().ticks).errors == 0, "memory errors")
        return reason


def without_a_guardian(accel):
    return roll_back_then_update(accel, ["fails at load"], "--no-guardian", options=["--fail-at", "load"])


def many_rollbacks(accel):
    """One after the other at every step, from either build."""
    n = 24
    with MiniVmm(accel, "--ram", "64M", "--prealloc", "--vcpus", "2", "--guest", "memcheck") as vm:
        n_updates, figures = 0, {}
        for number in range(n):
            build, step = 1 + n_updates % 2, STEPS[number % len(STEPS)]
            expect_rollback(vm, [f"fails at {step}"], build, options=["--fail-at", step])
            if step == STEPS[-1]:
                seen = settled(vm)["fds"], len(vm.process.mappings())
                claim(seen == figures.setdefault(build, seen), f"build {build}: {figures[build]} became {seen}")
                vm.update(BUILD_2 if build == 1 else BUILD_1)
                n_updates += 1
        migration, guest = vm.migration(), vm.guest()
        claim(migration.generation == n_updates, f"{migration} after {n_updates} updates")
        claim(guest.errors == 0, "memory errors")
        return (f"{n} rollbacks, {n_updates} updates between them; ticks {guest.ticks}, memory errors 0, "
                f"{len(seen[0])} fds, {seen[1]} mappings")


main(*[failing_at(step) for step in STEPS], *[exiting_at(step) for step in STEPS],
     *[exiting_at(step, "thread-exit") for step in STEPS], another_name, another_ram_size, another_ram_backend,
     another_accelerator, fewer_vcpus, more_vcpus, an_fd_that_nobody_takes,
     a_program_that_writes_ram_too_early, an_old_program_that_writes_ram_too_early,
     without_a_guardian, many_rollbacks)
