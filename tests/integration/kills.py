#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: at whichever system call of the library a program is killed, crashes or hangs in an update, or its guardian is killed or
stopped: before the commit exactly one program has the guest afterwards, memory and ticks go on, nothing is left over and the next
update works. Who dies before there is a state, or as owner, is the end of the VM: nothing runs the guest then, and nothing is
left over.

By default some of the calls, with the software CPU; CPR_TEST_FAULTS=all: all of them, with both."""
import collections
import os
import signal

from minivmm import claim, main, poll, wake
from faultvmm import ALL, OFFERED, OWNED, Fault, FaultVmm, VERBOSE, choose, common

PLAIN, BACK, RESCUE = [], ["--fail-at", "load", "--fail-by", "error"], ["--fail-at", "load", "--fail-by", "kill"]


class Machines:
    """One VM as long as it lives, then the next one."""

    def __init__(self, accel, *options):
        self.accel, self.options, self.vm, self.calls = accel, options, None, None

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.vm:
            self.vm.__exit__(*what)

    def get(self):
        if not self.vm:
            self.vm = FaultVmm(self.accel, *self.options).__enter__()
            self.vm.wait_for_ticks()
        return self.vm

    def count(self, options):
        """The calls of an update with these options, and what both builds look like."""
        return self.get().begin().count(options)

    def bury(self):
        self.vm.is_gone()
        self.vm.__exit__(None, None, None)
        self.vm = None


def describe_all(seen):
    return ", ".join(f"{end} {n}" for end, n in seen.most_common())


def try_each(machines, side, options, one, step=1, tail=False):
    """Calls `one` for every call of a side; what it says is counted. `tail`: only for what these options add."""
    seen = collections.Counter()
    plain = machines.count(PLAIN)[side] if tail else []
    calls = machines.count(options)[side]
    first = common(plain, calls)
    for at, call in list(choose(calls, first))[::1 if ALL else step]:
        try:
            end = one(machines, side, at, call, options)
        except Exception:
            print(f"at {side} {at}: {call}", flush=True)
            raise
        if VERBOSE:
            print(f"{side} {at}: {call}: {end}", flush=True)
        seen[end] += 1
    return f"{side} ({len(calls) - first} calls): {describe_all(seen)}"


# ---- The program ----

def raise_at(number):
    """A signal that kills, or that a handler makes a way back of. Before the commit the guest is saved."""
    def one(machines, side, at, call, options):
        vm = machines.get()
        end = vm.go(Fault(side, at, call, "raise", number), options)
        claim(end, "there was no such call")
        state, attempt, _ = vm.page.state(at_hit=True)
        if state == OFFERED:
            claim(end == "rescued" or (end == "rolled-back" and number != signal.SIGKILL), end)
            vm.check()
            return end
        claim(state in (0, OWNED), f"the baton is {state}, {attempt}")
        machines.bury()
        return "the end, as owner" if state else "the end, before there was a state"
    return one


def hang_at(machines, side, at, call, options):
    """Who hangs before the commit is ended by the guardian; anybody else has time."""
    vm = machines.get()
    vm.page.order(Fault(side, at, call, "raise", signal.SIGSTOP))
    vm.send_update(vm.other(), options=options)
    poll(lambda: vm.page.look().hit, "for the call")
    state, _, _ = vm.page.state(at_hit=True)
    if state != OFFERED:
        poll(lambda: vm.process.state() == "T", "for the program to stop")
        os.kill(vm.pid, signal.SIGCONT)
    answer = vm.monitor.receive()
    vm.see_who_answers(answer)
    end = vm.migration().status
    claim(end == "rescued" if state == OFFERED else end in ("completed", "rolled-back"), answer)
    vm.check()
    return end if state == OFFERED else "goes on where it stopped"


# ---- The guardian ----

def guardians(vm):
    return [process for process in vm.process.children() if process.comm == "cpr-guardian" and process.state != "Z"]


def hit_guardian(number, ends):
    """While the program is at a call the guardian gets a signal. That alone is no reason to fail."""
    def one(machines, side, at, call, options):
        vm = machines.get()
        vm.page.order(Fault(side, at, call, "meet", 0))
        vm.send_update(vm.other(), options=options)
        poll(lambda: vm.page.look().hit, "for the call")
        there = guardians(vm)
        for guardian in there:
            os.kill(guardian.pid, number)
            wake(guardian.pid)  # one that is about to end does so at idle priority, and doesn't stop any more
            wanted = "TZ" if number == signal.SIGSTOP else "Z"
            poll(lambda: (state_of(vm, guardian) or "Z") in wanted, f"for {guardian} to be {wanted}")
        vm.page.go_on()
        answer = vm.monitor.receive()
        vm.see_who_answers(answer)
        end = vm.migration().status
        claim(end in ends, f"{end}: {answer}")
        if number == signal.SIGSTOP:
            vm.update(vm.other())  # which doesn't wait for it either
        vm.check()
        return f"{end} without {len(there)}"
    return one


def state_of(vm, guardian):
    return next((process.state for process in vm.process.children() if process.pid == guardian.pid), None)


# ---- The claims ----

def a_kill_at_any_call(accel):
    with Machines(accel) as machines:
        one = raise_at(signal.SIGKILL)
        return "; ".join([try_each(machines, side, PLAIN, one, step=6) for side in ("old", "new", "finish")] +
                         [try_each(machines, "new", BACK, one, step=6, tail=True),
                          try_each(machines, "back", BACK, one, step=6), try_each(machines, "back", RESCUE, one, step=8)])


def a_crash_at_any_call(accel):
    with Machines(accel) as machines:
        one = raise_at(signal.SIGSEGV)
        return "; ".join([try_each(machines, "new", PLAIN, one, step=8), try_each(machines, "back", BACK, one, step=16)])


def a_hang_at_any_call(accel):
    with Machines(accel, "--deadline", "1000") as machines:
        return "; ".join([try_each(machines, side, PLAIN, hang_at, step=60) for side in ("old", "new", "finish")] +
                         [try_each(machines, "back", BACK, hang_at, step=80)])


def a_kill_of_the_guardian_at_any_call(accel):
    with Machines(accel) as machines:
        plain, back = hit_guardian(signal.SIGKILL, ["completed"]), hit_guardian(signal.SIGKILL, ["rolled-back"])
        return "; ".join([try_each(machines, side, PLAIN, plain, step=6) for side in ("old", "new", "finish")] +
                         [try_each(machines, "new", BACK, back, step=6, tail=True),
                          try_each(machines, "back", BACK, back, step=8)])


def a_stop_of_the_guardian_at_any_call(accel):
    with Machines(accel) as machines:
        plain, back = hit_guardian(signal.SIGSTOP, ["completed"]), hit_guardian(signal.SIGSTOP, ["rolled-back"])
        return "; ".join([try_each(machines, side, PLAIN, plain, step=12) for side in ("old", "new", "finish")] +
                         [try_each(machines, "back", BACK, back, step=16)])


if __name__ == "__main__":
    main(a_kill_at_any_call, a_crash_at_any_call, a_hang_at_any_call, a_kill_of_the_guardian_at_any_call,
         a_stop_of_the_guardian_at_any_call)
