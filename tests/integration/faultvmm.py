# SPDX-License-Identifier: LGPL-2.1-or-later
"""minivmm-fault: a minivmm whose n-th system call of the library fails, or ends it, see tests/fault/fault-kernel.c; and what has
to be true of it after that, whatever it was."""
import collections
import errno
import mmap
import os
import re
import signal
import struct
import tempfile

import minivmm
from minivmm import Closed, MiniVmm, claim, orphans, poll, read, status_field

BUILD_1 = os.path.join(minivmm.top, "tests", "fault", "minivmm-fault")
BUILD_2 = BUILD_1 + "-next"
BUILDS = {1: BUILD_1, 2: BUILD_2}
SIDES = {"old": 1, "new": 2, "back": 3, "finish": 4, "asked": 5, "asked-old": 6, "helper": 7}
ACTIONS = {"fail": 1, "short": 2, "raise": 3, "meet": 4}
OWNED, OFFERED, FENCED, PARKED = 1, 2, 3, 4

VERBOSE = "CPR_TEST_VERBOSE" in os.environ
ALL = os.environ.get("CPR_TEST_FAULTS") == "all"
if not ALL:
    os.environ.setdefault("CPR_TEST_ACCEL", "soft")

# The page: as in fault-kernel.c.
CALLS_MAX, NAME_SIZE, N_SIDES = 4096, 20, 8
HEAD = struct.Struct("=IIIIIIIiQQI8III20s")
PAGE_SIZE = HEAD.size + N_SIDES * CALLS_MAX * NAME_SIZE
Head = collections.namedtuple("Head", "side at action argument hit go_on incarnation mappings word word_at_hit storm calls")


class Fault(collections.namedtuple("Fault", "side at call action argument")):
    """The at-th call of a side."""

    def __str__(self):
        names = {"fail": errno.errorcode, "raise": {s.value: s.name for s in signal.Signals}}.get(self.action, {})
        return f"{self.side} {self.at}: {self.call}: {self.action} {names.get(self.argument, '')}".rstrip()


def common(a, b):
    """How many calls are the same at the begin of both."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def choose(calls, first=0, every=ALL):
    """(number, name) of those to try. Without CPR_TEST_FAULTS=all each call after each other call once: much of it is the same
    for one fd after the other."""
    seen = set()
    for at, call in enumerate(calls[first:], first + 1):
        pair = (calls[at - 2] if at > 1 else None, call)
        if every or pair not in seen:
            yield at, call
        seen.add(pair)


# A crash that the test makes is nothing to report.
NO_REPORT = os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0"


class Page:
    """What is mapped by this test and by all programs of a VM."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="cpr-fault-")
        os.ftruncate(self.file.fileno(), PAGE_SIZE)
        self.map = mmap.mmap(self.file.fileno(), PAGE_SIZE)

    def look(self):
        fields = HEAD.unpack_from(self.map)
        return Head(*fields[:11], dict(zip(SIDES, fields[12:-3])))

    def order(self, fault=None, storm=False, wanted="", keep=False):
        """Of the fault: None for none. `wanted`: only calls of that name are counted. `keep`: from now on, not from the
        update on."""
        order = (SIDES[fault.side], fault.at, ACTIONS[fault.action], fault.argument) if fault else (0, 0, 0, 0)
        struct.pack_into("=IIIIII", self.map, 0, *order, 0, 0)
        struct.pack_into("=I", self.map, 48, storm)
        struct.pack_into("=II20s", self.map, HEAD.size - 28, 0, keep, wanted.encode())
        if keep:
            struct.pack_into(f"={N_SIDES}I", self.map, HEAD.size - 28 - 4 * N_SIDES, *[0] * N_SIDES)
            struct.pack_into("=Q", self.map, 32, 0)
            self.map[HEAD.size:PAGE_SIZE] = bytes(PAGE_SIZE - HEAD.size)

    def go_on(self):
        struct.pack_into("=I", self.map, 20, 1)
        poll(lambda: self.look().go_on == 2, "for the program to go on")

    def state(self, at_hit=False):
        """The baton's (state, attempt, pid); state 0: it was never offered."""
        head = self.look()
        word = head.word_at_hit if at_hit else head.word
        return word >> 56, word >> 48 & 0xff, word & 0xffffffff

    def calls(self, side, first=False):
        """Their names. `first`: of more than there is room for, the first ones are enough."""
        n, at = self.look().calls[side], HEAD.size + SIDES[side] * CALLS_MAX * NAME_SIZE
        claim(first or n <= CALLS_MAX, f"there is no room for {n} calls")
        return [self.map[at + i * NAME_SIZE:at + (i + 1) * NAME_SIZE].rstrip(b"\0").decode() for i in range(min(n, CALLS_MAX))]


class FaultVmm(MiniVmm):
    """To be used like MiniVmm. `go` makes an update with a fault, and `check` what comes after it."""

    def __init__(self, accel, *options, storm=False, preflight=False):
        self.page = Page()
        self.page.order(storm=storm)
        self.storm = storm
        self.baselines = {}
        self.environment = dict(os.environ, CPR_FAULT=self.page.file.name, ASAN_OPTIONS=NO_REPORT)
        if not preflight:
            options = ("--no-preflight", *options)
        super().__init__(accel, "--ram", "16M", "--prealloc", "--vcpus", "2", "--guest", "memcheck", *options, binary=BUILD_1,
                         environment=self.environment)

    def other(self):
        return BUILDS[3 - self.version().build]

    def begin(self):
        """Both builds have been through an update, and what they look like is known."""
        self.wait_for_ticks()
        for _ in range(4):
            self.update(self.other())
            self.look_around()
        return self

    def look_around(self):
        """Nothing is left of the last update: the process is like the first of this build that was looked at."""
        self.settle()
        left = [process for process in orphans() if process.pid != self.pid]
        claim(not left, f"besides {self.pid} there is {left}")
        state = self.describe()
        first = self.baselines.setdefault(self.version().build, state)
        for key, value in state.items():
            claim(value == first[key], f"{key} was\n  {first[key]}\nand is\n  {value}")

    def describe(self):
        process = self.process
        environment = sorted(re.sub(r"^LIBCPR_STATE=\d+$", "LIBCPR_STATE", text) for text in process.environment())
        if "LIBCPR_STATE" not in environment:  # a program that was there before the first update
            environment = sorted([*environment, "LIBCPR_STATE"])
        return {
            "fds": sorted((what, flags) for what, flags in process.fds_and_flags().values()),
            "mappings": self.page.look().mappings,
            "threads": sorted(process.threads().values()),
            "environment": environment,
            "blocked": process.blocked_signals(),
            "ignored": status_field(process.pid, "SigIgn"),
            "umask": status_field(process.pid, "Umask"),
            "limits": read(process.proc, "limits"),
            "cwd": os.readlink(process.proc + "/cwd"),
            "files": sorted(os.listdir(self.directory)),
        }

    def moves_to(self, directory):
        for state in self.baselines.values():
            state["cwd"] = directory

    def go(self, fault, options=(), exact=False):
        """An update to the other build, with a fault. What became of it: "completed", "failed", "rolled-back", "rescued"; or
        "died" for the VM; None if there is no such call. `exact`: the call that has as many of
        its name before it as the one that was counted."""
        order = fault._replace(at=self.calls[fault.side][:fault.at].count(fault.call)) if exact else fault
        self.page.order(order, self.storm, fault.call if exact else "")
        try:
            answer = self.try_update(self.other(), options=options)
            self.see_who_answers(answer)
            status = self.migration().status
            claim(f"status: {status}\n" in answer or status == "failed" and answer.startswith("Error: "),
                  f"{status}, and the monitor answers {answer!r}")
        except Closed:
            status = "died"
        self.answer = None if status == "died" else answer
        if fault.side == "finish":  # in its own time
            poll(lambda: self.page.look().hit or (exact and self.migration().step_us["finish"] > 0), f"for {fault}")
        hit = self.page.look().hit
        if hit:
            self.hit_call = fault.call if exact else self.page.calls(fault.side)[fault.at - 1]
        return status if hit else None

    def see_who_answers(self, answer):
        if self.version().pid != self.pid:
            self.follow()

    def check(self):
        """It goes on: exactly one has the guest, nothing is left, and the next update works."""
        self.page.order(None, self.storm)
        ticks = self.guest().ticks
        claim(self.wait_for_ticks(ticks).errors == 0, "memory errors")
        self.look_around()
        self.update(self.other())
        self.look_around()
        claim(self.wait_for_ticks(ticks).errors == 0, "memory errors")

    def count(self, options=()):
        """The calls of each side of an update without a fault, started with these options for the new program."""
        self.page.order(None, self.storm)
        answer = self.try_update(self.other(), options=options)
        self.see_who_answers(answer)
        self.settle()
        self.calls = {side: self.page.calls(side) for side in SIDES}
        return self.calls

    def is_gone(self):
        """After the end of a VM: nobody runs it, listens, or is left over."""
        self.wait_for_end()
        claim(not self.is_listening(), "somebody still listens")
