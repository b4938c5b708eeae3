#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whichever system call of the library fails in a transfer, with whatever errno, in the old process or in the new one,
exactly one of them has the guest afterwards, memory and ticks go on, nothing is left over, no process and no socket, and the
next update works, be it another transfer or an exec. The same where the new process is killed at a call.

By default one errno for each kind of call, with the software CPU; CPR_TEST_FAULTS=all: all of them, with both."""
import collections
import os
import shutil
import signal
import subprocess
import tempfile

from minivmm import PATIENCE, Process, claim, get_pause, main, poll, started
from faults import allowed, faults_of
from faultvmm import ALL, VERBOSE, Fault, FaultVmm, choose, common
from transfer import Waiting


class Incoming(Waiting):
    """One that waits for the VM of `vm`."""

    def __init__(self, vm, options):
        self.path = os.path.join(vm.sockets, "s")
        stderr = vm.process.copy_fd(2)  # the same open file, so that both programs look alike
        try:
            self.popen = subprocess.Popen([vm.other(), *vm.options, "--incoming", f"unix:{self.path}", *options],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                          env=vm.environment)
        finally:
            os.close(stderr)
        self.pid = self.popen.pid
        started.add(self.pid)
        poll(lambda: os.path.exists(self.path) or self.has_ended(), "for the new program to listen")


def empty(folder):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))


class TransferVmm(FaultVmm):
    """Its baselines are by how a program got the guest, too: they differ in what they keep."""

    def __init__(self, *args, **kwargs):
        self.sockets = tempfile.mkdtemp(prefix="cpr-")
        self.way, self.n_updates = "fresh", 0
        self.unlinks = False  # a socket may be left: it can't be removed
        super().__init__(*args, **kwargs)

    def clean_up(self):
        super().clean_up()
        shutil.rmtree(self.sockets)

    def transfer(self, options=()):
        """What the monitor answers, and whether the new process has the guest. `options`: of the new program."""
        incoming = Incoming(self, options)
        self.monitor.command("migrate_set_parameter mode cpr-transfer")
        answer = self.monitor.ask(f"migrate unix:{incoming.path}")
        went = self.version().pid != self.pid
        if went:
            claim(self.version().pid == incoming.pid, f"{self.version()} isn't {incoming.pid}")
            code = self.popen.wait(PATIENCE)
            claim(code == 0, f"the old program ended with {code}")
            self.popen, self.pid, self.process, self.way = incoming.popen, incoming.pid, Process(incoming.pid), "transfer"
        else:
            incoming.give_up()
        if self.page.look().hit and self.unlinks:
            empty(self.sockets)
        claim(os.listdir(self.sockets) == [], f"left are {os.listdir(self.sockets)}")
        return answer, went

    def update_on(self):
        """Now and then by exec."""
        self.n_updates += 1
        if self.n_updates % 3 == 0:
            self.monitor.command("migrate_set_parameter mode cpr-exec")
            self.update(self.other())
            self.way = "exec"
        else:
            answer, went = self.transfer()
            get_pause(answer)
            claim(went, "the guest is still in the old program")

    def go(self, fault, options=(), exact=True):
        """A transfer with a fault: "completed" or "failed"; None if there was no such call."""
        order = fault._replace(at=self.calls[fault.side][:fault.at].count(fault.call))
        if fault.call == "eventfd":  # is there after the first try
            self.update_on()
        self.page.order(order, wanted=fault.call, keep=True)
        self.unlinks = fault.call == "unlink" or fault.action == "raise"
        answer, went = self.transfer(options)
        self.unlinks = False
        status = self.migration().status
        claim(status == ("completed" if went else "failed"), f"{status}, and the monitor answers {answer!r}")
        claim(went or answer.startswith("Error: "), f"the monitor answers {answer!r}")
        if went and fault.side == "finish":  # in its own time; how many calls there are depends on who is faster
            poll(lambda: self.page.look().hit or self.migration().step_us["finish"] > 0, f"for {fault}")
        self.answer = answer
        self.hit_call = fault.call
        return status if self.page.look().hit else None

    def describe(self):
        """An update that has failed has left the eventfd for cancelling, if it came to that: so one fails before each look."""
        self.monitor.command("migrate_set_parameter mode cpr-transfer")
        answer = self.monitor.ask("migrate unix:/nowhere/at/all")
        claim("connecting: No such file" in answer, answer)
        return super().describe()

    def look_around(self):
        build = self.version().build
        own = self.baselines.setdefault((build, self.way), {})
        self.baselines.pop(build, None)
        if own:
            self.baselines[build] = own
        super().look_around()
        own.update(self.baselines[build])

    def check(self):
        self.page.order(None)
        ticks = self.guest().ticks
        claim(self.wait_for_ticks(ticks).errors == 0, "memory errors")
        self.look_around()
        self.update_on()
        self.look_around()
        guest = self.wait_for_ticks(ticks)
        claim(guest.errors == 0 and not guest.doubled, f"{guest}")

    def begin(self):
        self.wait_for_ticks()
        for _ in range(6):
            self.update_on()
            self.look_around()
        self.update_on()
        return self

    def count(self, options=()):
        """The calls of a transfer without a fault."""
        self.page.order(None, keep=True)
        self.transfer(options)
        self.settle()
        self.calls = {side: self.page.calls(side) for side in ("old", "new", "finish", "helper")}
        return self.calls


def try_all(vm, side, ends, options=(), first=0):
    """Each call of a side from the `first` on; `ends`: how the transfer may end, first of all as it does without a fault."""
    seen, faults = collections.Counter(), list(faults_of(side, vm.calls[side], first))
    for fault in faults:
        try:
            end = vm.go(fault, options)
            seen[end or "without that call"] += 1
            if end:
                claim(end in allowed(fault, fault.call, ends), f"{end}: {vm.answer}")
            vm.check()
        except Exception:
            print(f"at {fault}", flush=True)
            raise
        if VERBOSE:
            print(f"{fault}: {end}: {vm.answer!r}", flush=True)
    counts = ", ".join(f"{end} {n}" for end, n in seen.most_common())
    return f"{side}: {len(vm.calls[side]) - first} calls, {len(faults)} faults: {counts}"


def machine(accel, *options, preflight=True):
    return TransferVmm(accel, "--serial", "file:" + os.devnull, *options, preflight=preflight)


def try_sides(vm):
    vm.begin().count()
    return "; ".join(try_all(vm, side, ends) for side, ends in (
        ("old", ["completed", "failed"]), ("new", ["completed", "failed"]), ("helper", ["completed"]), ("finish", ["completed"])))


def no_call_of_a_transfer_loses_the_guest(accel):
    with machine(accel) as vm:
        return try_sides(vm)


def no_call_of_a_transfer_that_nobody_asks_about_loses_the_guest(accel):
    if not ALL:
        return "with CPR_TEST_FAULTS=all only: it is the same, without question and answer"
    with machine(accel, preflight=False) as vm:
        return try_sides(vm)


def no_call_of_a_transfer_that_fails_loses_the_guest(accel):
    """The new program can't load the state, or is killed right before it would take the guest."""
    with machine(accel) as vm:
        vm.begin().look_around()
        plain, seen = vm.count(), []
        for at, how in (("load", "error"), ("start", "kill")):
            options = ["--fail-at", at, "--fail-by", how]
            vm.look_around()
            there = vm.count(options)
            seen += [f"{how} at {at}"] + [try_all(vm, side, ["failed"], options, common(plain[side], there[side]))
                                          for side in ("old", "new")]
        return "; ".join(seen)


def a_kill_of_the_new_program_at_any_call_leaves_the_guest_where_it_is(accel):
    """Up to the commit, whose thread is the first thing that comes after it."""
    with machine(accel) as vm:
        calls = vm.begin().count()["new"]
        claim(calls[-1] == "thread", f"{calls[-1]} comes last")
        chosen = list(choose(calls[:-1]))[::1 if ALL else 6]
        for at, call in chosen:
            fault = Fault("new", at, call, "raise", signal.SIGKILL)
            end = vm.go(fault)
            claim(end in ("failed", None), f"{fault}: {end}: {vm.answer}")
            vm.check()
        return f"{len(calls)} calls, {len(chosen)} kills"


if __name__ == "__main__":
    main(no_call_of_a_transfer_loses_the_guest, no_call_of_a_transfer_that_nobody_asks_about_loses_the_guest,
         no_call_of_a_transfer_that_fails_loses_the_guest,
         a_kill_of_the_new_program_at_any_call_leaves_the_guest_where_it_is)
