#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whichever system call of the library fails while a guest is saved in reboot mode, there is either a whole state, or no file
and a guest that runs on as if nothing had been; whichever fails while it is taken up, either the guest runs and the state is
spent, or the state is there and the next program takes it up.

By default one errno for each kind of call, with the software CPU; CPR_TEST_FAULTS=all: all of them, with both."""
import collections
import contextlib
import os
import shutil
import tempfile
from shlex import quote

from minivmm import PATIENCE, Closed, MiniVmm, claim, main, orphans, poll, read
from faults import faults_of
from faultvmm import ALL, BUILD_1, NO_REPORT, VERBOSE, Page

GUEST = ("--ram", "16M", "--vcpus", "2", "--guest", "memcheck", "--serial", "file:" + os.devnull)


class RebootVmm(MiniVmm):
    def __init__(self, accel, page, *options):
        super().__init__(accel, *GUEST, *options, binary=BUILD_1,
                         environment=dict(os.environ, CPR_FAULT=page.file.name, ASAN_OPTIONS=NO_REPORT))

    def comes_up(self):
        """Whether it runs the guest; else it has ended with an error."""
        def look():
            if self.popen.poll() is not None:
                return True
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError, Closed):
                self.monitor = self.connect()
            return self.monitor is not None
        poll(look, "for the program to run the guest, or to end")
        if self.monitor is None:
            claim(self.popen.returncode == 1, f"it ended with {self.popen.returncode}: {self.messages()}")
        return self.monitor is not None

    def bury(self):
        self.ended = True
        self.__exit__(None, None, None)

    def look(self, page):
        """What a save that fails must leave as it was."""
        return (sorted(self.process.fds_and_flags().values()), sorted(self.process.threads().values()), page.look().mappings,
                self.process.blocked_signals(), read(self.process.proc, "limits"), sorted(os.listdir(self.directory)))


class Bench:
    """A page, a folder for states, and what was counted."""

    def __init__(self, accel):
        self.accel, self.page, self.calls, self.vm = accel, Page(), {}, None
        self.folder = tempfile.mkdtemp(prefix="cpr-reboot-")
        self.path = os.path.join(self.folder, "state")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        if self.vm:
            self.vm.__exit__(*what)
        shutil.rmtree(self.folder)

    def order(self, fault=None):
        at = self.calls[fault.side][:fault.at].count(fault.call) if fault else 0
        self.page.order(fault and fault._replace(at=at), wanted=fault.call if fault else "", keep=True)

    def note_calls(self, *sides):
        # How many calls the threads make for RAM depends on how many pieces of it the guest has written by then: some thousands.
        self.calls = {side: self.page.calls(side, first=side == "helper") for side in sides}

    def start(self, *options):
        vm = RebootVmm(self.accel, self.page, *options)
        if vm.comes_up():
            return vm
        vm.bury()
        return None

    def left(self):
        return sorted(os.listdir(self.folder))

    # ---- Saving

    def run_guest(self):
        self.order()
        self.vm = self.start()
        self.vm.wait_for_ticks()
        self.vm.monitor.command("migrate_set_parameter mode cpr-reboot")

    def save(self, uri):
        """"completed" or "failed"."""
        before = self.vm.guest()
        self.answer = self.vm.monitor.ask("migrate " + uri)
        claim(self.answer == "" or self.answer.startswith("Error: "), self.answer)
        if self.answer:
            guest = self.vm.wait_for_ticks(before.ticks)
            claim(guest.errors == 0 and self.vm.status() == "running", f"{guest}, {self.vm.status()}")
            return "failed"
        guest = self.vm.guest()
        claim(guest.errors == 0, f"{guest}")
        self.end_saved()
        return "completed"

    def end_saved(self):
        self.vm.monitor.send("quit")
        claim(self.vm.popen.wait(PATIENCE) == 0, f"it ended with {self.vm.popen.returncode}")
        self.vm.bury()
        self.vm = None

    def can_be_taken_up(self, incoming, ticks=0):
        self.order()
        vm = self.start("--incoming", incoming)
        claim(vm, "the state can't be taken up")
        with vm:
            guest = vm.wait_for_ticks(ticks)
            claim(guest.errors == 0 and not guest.doubled, f"{guest}")
            poll(lambda: not os.path.exists(self.path + ".spent"), "for the spent state to go away")


def describe(calls, faults, seen):
    return f"{len(calls)} calls, {len(faults)} faults: " + ", ".join(f"{end} {n}" for end, n in seen.most_common())


def each(bench, side, one):
    seen, faults = collections.Counter(), list(faults_of(side, bench.calls[side], every=ALL and side != "helper"))
    for fault in faults:
        try:
            end = one(fault)
        except Exception:
            print(f"at {fault}", flush=True)
            raise
        if VERBOSE:
            print(f"{fault}: {end}", flush=True)
        seen[end] += 1
    return f"{side}: " + describe(bench.calls[side], faults, seen)


def save_each(accel, how):
    """`how`: "file", or "exec" through a command."""
    with Bench(accel) as bench:
        uri = f"file:{bench.path}" if how == "file" else f"exec:cat > {quote(bench.path)}; chmod 600 {quote(bench.path)}"
        bench.run_guest()
        bench.order()
        claim(bench.save(uri) == "completed", bench.answer)
        bench.note_calls("old", "helper")
        bench.can_be_taken_up("file:" + bench.path)
        claim(bench.left() == [], f"{bench.left()} are left")

        def one(fault):
            if bench.vm is None:
                bench.run_guest()
            before = bench.vm.look(bench.page)
            bench.order(fault)
            end = bench.save(uri)
            hit = bench.page.look().hit
            if end == "completed":
                claim("state" in bench.left(), f"there is {bench.left()}")
                bench.can_be_taken_up("file:" + bench.path)
            else:
                after = bench.vm.look(bench.page)
                claim(after == before, f"{before}\nbecame\n{after}")
                if how == "exec":
                    os.unlink(bench.path)  # the command's own
            if fault.call == "unlink":
                for name in bench.left():
                    os.unlink(os.path.join(bench.folder, name))
            claim(bench.left() == [], f"{bench.left()} are left")
            return end if hit else "without that call"

        return "; ".join(each(bench, side, one) for side in ("old", "helper"))


def no_call_of_a_save_loses_the_guest(accel):
    return save_each(accel, "file")


def no_call_of_a_save_through_a_pipe_loses_the_guest(accel):
    return save_each(accel, "exec") if ALL else "with CPR_TEST_FAULTS=all only"


def take_up_each(accel, how, *options):
    with Bench(accel) as bench:
        kept = os.path.join(bench.folder, "kept")
        bench.run_guest()
        uri = f"file:{bench.path}" if how == "file" else f"exec:cat > {quote(bench.path)}; chmod 600 {quote(bench.path)}"
        claim(bench.save(uri) == "completed", bench.answer)
        shutil.copy(bench.path, kept)
        options = ["--incoming", "file:" + bench.path, *options]
        bench.order()
        vm = bench.start(*options)
        claim(vm, "the state can't be taken up")
        with vm:
            vm.wait_for_ticks()
            vm.settle()
            bench.note_calls("new", "helper", "finish")

        def one(fault):
            shutil.copy(kept, bench.path)
            bench.order(fault)
            vm = bench.start(*options)
            if vm:
                with vm:
                    guest = vm.wait_for_ticks()
                    claim(guest.errors == 0 and not guest.doubled, f"{guest}")
                    vm.settle()
                    hit = bench.page.look().hit
                    spent = ["state.spent"] if fault.call == "unlink" else []
                    claim(bench.left() in (["kept"], ["kept", *spent]), f"{bench.left()} are left")
                end = "completed"
            else:
                hit = bench.page.look().hit
                claim(bench.left() == ["kept", "state"], f"there is {bench.left()}")
                claim(read(bench.path) == read(kept), "the state has changed")
                bench.can_be_taken_up("file:" + bench.path)
                end = "failed"
            claim(not orphans(), f"there is {orphans()}")
            for name in bench.left():
                if name != "kept":
                    os.unlink(os.path.join(bench.folder, name))
            return end if hit else "without that call"

        return "; ".join(each(bench, side, one) for side in ("new", "helper", "finish"))


def no_call_of_a_take_up_loses_the_guest(accel):
    return take_up_each(accel, "file")


def no_call_of_a_take_up_that_maps_ram_loses_the_guest(accel):
    return take_up_each(accel, "file", "--incoming-map")


def no_call_of_a_take_up_of_a_pipes_layout_loses_the_guest(accel):
    return take_up_each(accel, "exec") if ALL else "with CPR_TEST_FAULTS=all only"


main(no_call_of_a_save_loses_the_guest, no_call_of_a_save_through_a_pipe_loses_the_guest, no_call_of_a_take_up_loses_the_guest,
     no_call_of_a_take_up_that_maps_ram_loses_the_guest, no_call_of_a_take_up_of_a_pipes_layout_loses_the_guest)
