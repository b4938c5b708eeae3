# SPDX-License-Identifier: LGPL-2.1-or-later
"""Matrices of updates: what all cells of one share. A cell is a VM that goes through some updates, each with an end of its own
(the new program works, fails, crashes, is killed, hangs); several VMs are tried at a time, each in a process of its own.

CPR_TEST_FAULTS=all tries all cells, CPR_TEST_JOBS says how many VMs there are at a time (3), CPR_TEST_DEADLINE how long a new
program may take (700 ms)."""
import collections
import concurrent.futures
import multiprocessing
import os
import shutil
import subprocess
import time
import traceback

os.environ.setdefault("CPR_TEST_PATIENCE", "20")  # nothing here is slow, and for a guest that was lost it is waited that long

import minivmm  # noqa: E402
from minivmm import BUILD_1, BUILD_2, Closed, Failure, MiniVmm, claim, libc, orphans, poll, wake  # noqa: E402

ALL = os.environ.get("CPR_TEST_FAULTS") == "all"
VERBOSE = "CPR_TEST_VERBOSE" in os.environ
JOBS = int(os.environ.get("CPR_TEST_JOBS", "3"))
DEADLINE = int(os.environ.get("CPR_TEST_DEADLINE", "700"))
PARKED = "no program could take the guest"


def longest_pause(deadline):
    """In µs: the deadline and a second, which a busy machine stretches."""
    return int(deadline * 1000 + 1e6 * max(1, os.getloadavg()[0] / os.cpu_count()))


class CellVmm(MiniVmm):
    """A small VM. Its end is no order to quit: a cell may have taken away what that needs."""

    def __init__(self, accel, *options, deadline=DEADLINE, **how):
        self.deadline = deadline
        try:
            super().__init__(accel, "--ram", "16M", "--vcpus", "1", "--guest", "memcheck", "--serial", "null", "--deadline",
                             str(deadline), *options, **how)
        except (OSError, subprocess.SubprocessError):  # it can't be executed
            os.close(self.stderr)
            shutil.rmtree(self.directory)
            raise

    def end(self):
        self.clean_up()
        os.close(self.stderr)

    def other(self):
        return BUILD_1 if self.version().build == 2 else BUILD_2

    def is_alone(self):
        left = [task.pid for task in orphans() if task.pid != self.pid]
        for pid in left:
            wake(pid)
        return not left

    def check_after(self, update):
        """Does the update, which returns what the monitor answered; whatever came of it, here in a word, the guest goes on."""
        before = self.wait_for_ticks()
        try:
            answer = update()
        except Closed:
            raise Failure(f"the VM is gone: {self.popen.poll()}") from None
        guest, migration = self.wait_for_ticks(before.ticks), self.migration()
        claim(guest.errors == 0, f"{guest.errors} memory errors")
        claim(self.status() == "running", self.status())
        claim(PARKED not in self.messages(), "it was parked")
        claim(migration.pause_us <= longest_pause(self.deadline), f"the guest stood for {migration.pause_us} us: {answer!r}")
        poll(self.is_alone, f"something is left besides {self.pid}: {orphans()}")
        if VERBOSE:
            print(f"  {answer!r}", flush=True)
        if migration.status != "failed":
            return migration.status
        return "back" if migration.step_us["stop"] else "refused"


def try_ends(ends, make):
    """What came of each end, and what was wrong. `make`: a VM that is ready for it, or None if there can't be one; after
    something wrong there is a new one."""
    seen, wrong, left = {}, {}, list(ends)
    while left:
        vm = make()
        if not vm:
            return {**seen, **dict.fromkeys(left, "doesn't run")}, wrong
        try:
            while left:
                end = left.pop(0)
                seen[end] = "WRONG"
                seen[end] = vm.try_to(end)
        except Exception:
            said = "".join(f"\n  | {line}" for line in vm.messages().splitlines())
            wrong[end] = traceback.format_exc(limit=-3) + "minivmm printed:" + said
        finally:
            vm.end()
    return seen, wrong


def become_init():
    """Of a worker: it gets the orphans of its own VMs."""
    libc.prctl(minivmm.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    minivmm.started.clear()


def try_cells(try_cell, cells):
    """`try_cell` answers as try_ends() does; the text of a cell is its name. Also which of them don't run."""
    outcomes, dead, n_wrong, begin = collections.Counter(), [], 0, time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(JOBS, multiprocessing.get_context("fork"), become_init) as pool:
        for cell, (seen, wrong) in zip(cells, pool.map(try_cell, cells)):
            outcomes.update(seen.values())
            for end, text in wrong.items():
                print(f"wrong: {cell}, {end}: {text}", flush=True)
            n_wrong += len(wrong)
            if "doesn't run" in seen.values():
                dead.append(cell)
            if VERBOSE:
                print(f"{cell}: {seen}", flush=True)
    counts = ", ".join(f"{outcome} {n}" for outcome, n in outcomes.most_common())
    text = f"{len(cells)} VMs, {sum(outcomes.values())} cells in {time.monotonic() - begin:.0f} s: {counts}"
    claim(n_wrong == 0, f"{n_wrong} wrong of {text}")
    return text, dead
