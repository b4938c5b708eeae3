#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a program or a guardian killed at any instant of an update loses no guest and doubles none. Before the commit exactly one
program has it afterwards, with the locks of its disk; who dies before there is a state, or as owner, is the end of the VM, and
the disk's locks are free. Also while signals come all the time.

CPR_TEST_UPDATES: how many with each accelerator (30); CPR_TEST_SEED: the seed of another run, which is printed."""
import collections
import fcntl
import os
import random
import signal
import struct
import tempfile
import threading
import time

from minivmm import Closed, Process, claim, main, orphans
from faultvmm import OWNED, FaultVmm

N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "30"))
SEED = int(os.environ.get("CPR_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
STEPS = ("exec", "take-up", "claim", "load", "commit")
F_OFD_SETLK = 37
FLOCK_ALL = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


class Disk:
    """An image file, and who has its two locks."""

    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="cpr-disk-")
        self.path = os.path.realpath(self.file.name)

    def locks(self):
        """How many of each kind there are."""
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file if "->" not in line]
        inode = str(os.fstat(self.file.fileno()).st_ino)
        return sorted(fields[1] for fields in lines if fields[5].split(":")[2] == inode)

    def is_held(self):
        claim(self.locks() == ["FLOCK", "OFDLCK"], f"the disk has the locks {self.locks()}")
        claim(not self.try_lock(), "the disk can be locked by another")

    def try_lock(self):
        """Both locks of it; let go at once."""
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.fcntl(fd, F_OFD_SETLK, FLOCK_ALL)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)

    def is_free(self):
        claim(self.try_lock(), f"the disk has the locks {self.locks()}")


class Storm:
    """Signals all the time, for whoever is the VM. A pidfd never means another process."""

    def __init__(self):
        self.pidfd, self.ended, self.n_sent = None, False, 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.ended:
            with self.lock:
                for number in (signal.SIGUSR1, signal.SIGCHLD):
                    if self.pidfd is not None:
                        try:
                            signal.pidfd_send_signal(self.pidfd, number)
                            self.n_sent += 1
                        except ProcessLookupError:
                            pass
            time.sleep(0.0002)

    def aim(self, pid):
        with self.lock:
            if self.pidfd is not None:
                os.close(self.pidfd)
            self.pidfd = None if pid is None else os.pidfd_open(pid)

    def end(self):
        self.ended = True
        self.thread.join()
        self.aim(None)


class Run:
    def __init__(self, accel, storm):
        self.accel, self.storm = accel, storm
        self.random, self.disk, self.vm = random.Random(SEED), Disk(), None
        self.seen = collections.Counter()
        self.until_end, self.until_commit, self.offered = 0.05, 0.01, 0.003  # s; from the request on, and while it's offered

    def get_vm(self):
        if not self.vm:
            self.vm = FaultVmm(self.accel, "--disk", self.disk.path, storm=self.storm is not None).__enter__()
            self.vm.wait_for_ticks()
            self.disk.is_held()
            self.aim()
            self.measure()
        return self.vm

    def aim(self):
        if self.storm:
            self.storm.aim(self.vm.pid if self.vm else None)

    def measure(self):
        """How long an update takes."""
        begin = time.monotonic()
        self.vm.update(self.vm.other())
        self.vm.settle()
        steps = self.vm.migration()
        self.until_end = 0.7 * self.until_end + 0.3 * (time.monotonic() - begin)
        self.until_commit = 0.7 * self.until_commit + 0.3e-6 * (steps.total_us - steps.step_us["finish"])
        self.offered = 0.7 * self.offered + 0.3e-6 * sum(steps.step_us[step] for step in STEPS)

    def wait(self):
        """Any instant: of all the time, until about the commit, or while the new program is about to take the guest."""
        way, part = self.random.random(), self.random.random()
        if way < 0.5:
            patience = time.monotonic() + self.until_end  # it may be over
            while self.vm.page.state()[0] == 0 and time.monotonic() < patience:
                pass
            time.sleep(0.7 * part * self.offered)
        else:
            time.sleep(part * (1.2 * self.until_commit if way < 0.85 else self.until_end))

    def kill(self):
        """Kills the program, or its guardian if there is one; which of them."""
        if self.random.random() < 0.7:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            return "program"
        guardians = [pid for pid in self.vm.process.main_children() if Process(pid).comm() == "cpr-guardian"]
        for pid in guardians:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return "guardian" if guardians else "nobody"

    def answer(self):
        """What the monitor says to the update; None if the VM has died."""
        try:
            self.vm.monitor.receive()
            pid = self.vm.version().pid
            if pid != self.vm.pid:
                self.vm.follow()
                self.aim()
            return self.vm.migration().status
        except (Closed, ConnectionError):
            return None

    def bury(self):
        """It died: may it?"""
        state, attempt, pid = self.vm.page.state()
        dead = self.vm.pid
        self.storm and self.storm.aim(None)
        self.vm.is_gone()
        self.disk.is_free()
        self.vm.__exit__(None, None, None)
        self.vm = None
        if state == 0:
            return "the end, before there was a state"
        claim(state == OWNED and pid == dead, f"LOST: process {dead} is dead, the baton is {state}, {attempt}, {pid}")
        return "the end, as owner"

    def check(self, before):
        vm = self.vm
        guest = vm.wait_for_ticks(before.ticks)
        claim(guest.errors == 0, "memory errors")
        vm.settle()
        left = [process for process in orphans() if process.pid != vm.pid]
        claim(not left, f"besides {vm.pid} there is {left}")
        self.disk.is_held()

    def one(self):
        vm = self.get_vm()
        before, killed = vm.guest(), vm.pid
        self.pidfd = os.pidfd_open(vm.pid)
        try:
            vm.send_update(vm.other())
            self.wait()
            victim = self.kill()
            end = self.answer()
            claim(not end or victim != "program" or vm.pid != killed, f"process {killed} was killed, and answers {end}")
            return f"{victim}: {end or self.bury()}"
        finally:
            os.close(self.pidfd)
            if self.vm:
                self.check(before)

    def all(self):
        try:
            for i in range(N_UPDATES):
                try:
                    self.seen[self.one()] += 1
                except Exception:
                    print(f"update {i}, CPR_TEST_SEED={SEED}", flush=True)
                    raise
        finally:
            if self.vm:
                self.vm.__exit__(None, None, None)
        counts = "; ".join(f"{end} {n}" for end, n in sorted(self.seen.items()))
        return f"seed {SEED}: {N_UPDATES} kills: {counts}; lost 0, doubled 0"


def kills_at_random_lose_nothing(accel):
    return Run(accel, None).all()


def kills_among_signals_lose_nothing(accel):
    storm = Storm()
    try:
        return f"{Run(accel, storm).all()}; {storm.n_sent} signals from outside"
    finally:
        storm.end()


if __name__ == "__main__":
    main(kills_at_random_lose_nothing, kills_among_signals_lose_nothing)
