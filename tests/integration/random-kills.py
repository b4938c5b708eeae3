#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: a kill at any instant of an update loses no guest and doubles none. The update is an exec or a transfer, the killed one a
program or a guardian, and the update before may not be quite over. Afterwards exactly one program has the guest, with the locks of its
disk. Only where the killed one was the guest's owner, or hadn't yet saved its state or sent it, the VM has ended, and the locks are
free. Also while signals come all the time.

The updates come in rounds of a few. Within a round each is begun as soon as the one before is answered and the guest has ticked. At the
end of a round the VM settles, and nothing may be left over.

CPR_TEST_UPDATES: how many with each accelerator in each case (30); CPR_TEST_SEED: the seed of another run, which is printed."""
import collections
import fcntl
import os
import random
import select
import signal
import struct
import sys
import tempfile
import threading
import time

from minivmm import PATIENCE, Closed, Process, claim, main, orphans
from faultvmm import BUILD_1, BUILD_2, OFFERED, OWNED, FaultVmm
from transfer import Successor, follow, send_transfer

N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "30"))
SEED = int(os.environ.get("CPR_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
ROUND_MAX = 4  # updates
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
        # The kernel shows a page of the list at a time. Where other processes lock and unlock files in between, a reading misses a
        # lock or has it twice. The next reading comes at once: a lock that was really away for a while is a fault.
        seen = self.locks()
        claim(["FLOCK", "OFDLCK"] in (seen, self.locks()), f"the disk has the locks {seen}")
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


# ---- Updates, and who may be killed in them ----

class Target:
    """A process to be killed. A pidfd never means another process."""

    def __init__(self, name, pid):
        self.name, self.pid, self.pidfd = name, pid, os.pidfd_open(pid)

    def kill(self):
        """Whether it hadn't ended by itself before."""
        try:
            ended = select.select([self.pidfd], [], [], 0)[0]
            if not ended:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            return not ended
        except ProcessLookupError:
            return False
        finally:
            os.close(self.pidfd)


class Update:
    """An update of `vm`, in which somebody is killed. One instance is one update."""

    def __init__(self, vm, chance):
        self.vm, self.chance, self.target, self.killed = vm, chance, None, None

    def send(self):
        """Begins it."""
        self.old, self.old_popen = self.vm.pid, self.vm.popen

    def find_target(self):
        """For who isn't there yet when the update begins."""
        return None

    def kill(self):
        """Who was killed."""
        target = self.target or self.find_target()
        if not target or not target.kill():
            return "nobody"
        self.killed = target.pid
        return target.name

    def holder(self, state, pid):
        """Whose death is the end of the VM, as doc/failure-model.md has it, and what that one was; None where the VM has to live on."""
        return {0: (self.old, "before there was a state"), OWNED: (pid, "as owner")}.get(state, (None, None))

    def is_ending(self):
        """The VM goes on already, and something is left of the update."""
        return bool(self.vm.process.main_children()) or "cpr-finish" in self.vm.process.threads().values()

    def end(self):
        """Everybody but the VM has ended as it should, or is ended."""

    def said(self):
        """What isn't among the messages of the VM."""
        return ""


class Exec(Update):
    """In the same process."""

    def aim(self):
        """Chooses who is killed, before the update begins: then it has to be quick. A guardian isn't there yet."""
        self.target = Target("program", self.vm.pid) if self.chance.random() < 0.7 else None

    def send(self):
        super().send()
        self.vm.monitor.command("migrate_set_parameter mode cpr-exec")
        self.vm.send_update(self.vm.other())

    def find_target(self):
        """A guardian; it may be one of the update before, too."""
        guardians = [pid for pid in self.vm.process.main_children() if Process(pid).comm() == "cpr-guardian"]
        try:
            return Target("guardian", self.chance.choice(guardians)) if guardians else None
        except ProcessLookupError:
            return None

    def follow(self, pid):
        """A guardian has rescued the VM."""
        self.vm.follow()


class Transfer(Update):
    """To another process, which has been started and waits."""

    def __init__(self, vm, chance):
        super().__init__(vm, chance)
        self.went = False
        self.successor = Successor(vm, binary=chance.choice([BUILD_1, BUILD_2]), env=vm.environment)

    def aim(self):
        self.target = Target(*self.chance.choice([("old program", self.vm.pid), ("new program", self.successor.pid)]))

    def send(self):
        super().send()
        send_transfer(self.vm, self.successor)

    def follow(self, pid):
        claim(pid == self.successor.pid, f"process {pid} answers, which is neither {self.old} nor {self.successor.pid}")
        follow(self.vm, self.successor)
        self.went = True

    def has_sent(self):
        """The old program has come out of the call that sends the state: the first one after the state was sealed."""
        calls = self.vm.page.calls("old")
        sealed = len(calls) - calls[::-1].index("F_ADD_SEALS")
        return len(calls) > sealed + 1

    def holder(self, state, pid):
        if state == OFFERED and not self.has_sent():
            return self.old, "before the state was sent"
        return super().holder(state, pid)

    def is_ending(self):
        return self.went and self.old_popen.poll() is None or super().is_ending()

    def end(self):
        if not self.went:
            self.successor.give_up()
            return
        code = self.old_popen.wait(PATIENCE)
        claim(code == 0 or self.killed == self.old and code == -signal.SIGKILL, f"the old program ended with {code}")

    def said(self):
        return self.successor.said()


class Clock:
    """How long an update of a kind takes, in s: all of it, until about the commit, and while the guest is offered."""

    def __init__(self):
        self.times = None

    def learn(self, steps, passed):
        times = (passed, 1e-6 * (steps.total_us - steps.step_us["finish"]), 1e-6 * sum(steps.step_us[step] for step in STEPS))
        self.times = [0.7 * old + 0.3 * new for old, new in zip(self.times or times, times)]

    def wait(self, chance, page):
        """Until any instant: of all the time, until about the commit, or while the new program is about to take the guest."""
        end, commit, offer = self.times
        way, part = chance.random(), chance.random()
        if way < 0.5:  # too short a time to be slept through
            patience = time.monotonic() + end  # it may be over
            while page.state()[0] == 0 and time.monotonic() < patience:
                pass
            patience = time.monotonic() + 0.7 * part * offer
            while time.monotonic() < patience:
                pass
        else:
            time.sleep(part * (1.2 * commit if way < 0.85 else end))


class Run:
    """Of updates of some kinds, each with a kill."""

    def __init__(self, accel, *kinds, storm=None):
        self.accel, self.storm = accel, storm
        self.chance, self.disk, self.vm = random.Random(SEED), Disk(), None
        self.clocks = {kind: Clock() for kind in kinds}
        self.updates = []  # of this round
        self.seen, self.n_at_once = collections.Counter(), 0

    def get_vm(self):
        if not self.vm:
            self.vm = FaultVmm(self.accel, "--disk", self.disk.path, storm=self.storm is not None).__enter__()
            self.vm.wait_for_ticks()
            self.disk.is_held()
            self.aim()
            for kind in self.clocks:
                self.measure(kind)
        return self.vm

    def aim(self):
        if self.storm:
            self.storm.aim(self.vm.pid if self.vm else None)

    def measure(self, kind):
        """One that has to work."""
        update = kind(self.vm, self.chance)
        self.updates = [update]
        begin = time.monotonic()
        update.send()
        claim(self.answer(update) == "completed", "an update without a kill should have worked")
        self.settle()
        self.clocks[kind].learn(self.vm.migration(), time.monotonic() - begin)

    def answer(self, update):
        """What the monitor says to the update; None if the VM has died."""
        try:
            self.vm.monitor.receive()
            pid = self.vm.version().pid
            if pid != self.vm.pid:
                update.follow(pid)
                self.aim()
            return self.vm.migration().status
        except (Closed, ConnectionError):
            return None

    def bury(self, update):
        """It died: may it?"""
        state, attempt, pid = self.vm.page.state()
        holder, what = update.holder(state, pid)
        claim(update.killed and update.killed == holder,
              f"LOST: process {update.killed} was killed, {self.vm.pid} was the VM, the baton is {state}, {attempt}, {pid}")
        self.storm and self.storm.aim(None)
        for other in self.updates:
            other.end()
        self.vm.is_gone()
        self.disk.is_free()
        self.vm.__exit__(None, None, None)
        self.vm = None
        return f"the end, {what}"

    def settle(self):
        """Nothing is left of a round but the VM."""
        vm = self.vm
        for update in self.updates:
            update.end()
        vm.settle()
        left = [process for process in orphans() if process.pid != vm.pid]
        claim(not left, f"besides {vm.pid} there is {left}")
        self.disk.is_held()

    def one(self, update):
        vm, before = self.vm, self.vm.guest()
        update.aim()
        vm.page.order(None, self.storm is not None, keep=True)
        update.send()
        self.clocks[type(update)].wait(self.chance, vm.page)
        victim = update.kill()
        end = self.answer(update)
        if not end:
            return f"{victim}: {self.bury(update)}"
        claim(vm.pid != update.killed, f"process {vm.pid} was killed, and answers {end}")
        claim(vm.wait_for_ticks(before.ticks).errors == 0, "memory errors")
        self.disk.is_held()
        return f"{victim}: {end}"

    def round(self, n):
        vm = self.get_vm()
        self.updates = [self.chance.choice(list(self.clocks))(vm, self.chance) for _ in range(n)]
        for number, update in enumerate(self.updates):
            self.n_at_once += any(other.is_ending() for other in self.updates[:number])
            self.seen[self.one(update)] += 1
            if not self.vm:
                return
        self.settle()

    def all(self):
        done = 0
        try:
            while done < N_UPDATES:
                self.round(min(self.chance.randint(1, ROUND_MAX), N_UPDATES - done))
                done = sum(self.seen.values())
        except Exception:
            print(f"after {sum(self.seen.values())} kills, CPR_TEST_SEED={SEED}", *[update.said() for update in self.updates], flush=True)
            raise
        finally:
            if self.vm:
                self.vm.__exit__(*sys.exc_info())
        counts = "; ".join(f"{end} {n}" for end, n in sorted(self.seen.items()))
        return f"seed {SEED}: {done} kills, {self.n_at_once} before all was over of the last update: {counts}; lost 0, doubled 0"


def kills_at_random_lose_nothing(accel):
    return Run(accel, Exec).all()


def kills_among_signals_lose_nothing(accel):
    storm = Storm()
    try:
        return f"{Run(accel, Exec, storm=storm).all()}; {storm.n_sent} signals from outside"
    finally:
        storm.end()


def kills_of_transfers_lose_nothing(accel):
    return Run(accel, Transfer).all()


def kills_of_execs_and_transfers_in_turn_lose_nothing(accel):
    return Run(accel, Exec, Transfer).all()


if __name__ == "__main__":
    main(kills_at_random_lose_nothing, kills_among_signals_lose_nothing, kills_of_transfers_lose_nothing,
         kills_of_execs_and_transfers_in_turn_lose_nothing)
