#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whichever system call of the library a sandbox denies, no guest is lost or parked by an update. The update is refused
with the guest running, or works, or the guest is back within the deadline and a second, and the next update can be tried. The
same where only the new program's sandbox denies the call.

CPR_TEST_FAULTS=all tries every call of the library, else those that the ways back need; CPR_TEST_CALLS chooses calls by name.
See cells.py for more."""
import collections
import os
import re
import shutil
import subprocess
import sys

import cells
import minivmm
import sandbox
from cells import ALL, DEADLINE, CellVmm, try_cells, try_ends
from minivmm import BUILD_1, Closed, Failure, claim, main, poll
from transfer import Successor, follow

if not ALL:
    os.environ.setdefault("CPR_TEST_ACCEL", "soft")
START = 8  # seconds for a program that can't do without the call
WRAPPED_DEADLINE = 2 * DEADLINE  # ms; a script comes first

SOURCES = os.path.join(os.environ.get("top_srcdir", os.path.join(os.path.dirname(__file__), "..", "..")), "lib")

# Which calls a function makes, where that isn't the one of its name.
MADE_BY = {
    "clone": ["clone"], "eventfd": ["eventfd2"], "faccessat": ["faccessat2", "faccessat"],
    "fallocate64": ["fallocate"], "fcntl64": ["fcntl"], "fstat": ["newfstatat", "fstat"], "fstat64": ["newfstatat", "fstat"],
    "ftruncate64": ["ftruncate"], "futex_wait": ["futex"], "futimens": ["utimensat"], "getrlimit": ["prlimit64"],
    "getrlimit64": ["prlimit64"], "kcmp_file": ["kcmp"], "lseek64": ["lseek"], "mmap64": ["mmap"], "open": ["openat"],
    "open64": ["openat"], "posix_spawn": ["clone3", "clone", "execve"], "pread": ["pread64"], "preadv64": ["preadv"],
    "pthread_sigmask": ["rt_sigprocmask"], "pwrite": ["pwrite64"], "raise": ["tgkill"], "rename_new": ["renameat2"],
    "setrlimit": ["prlimit64"], "setrlimit64": ["prlimit64"], "sigaction": ["rt_sigaction"], "signal": ["rt_sigaction"],
    "sigpending": ["rt_sigpending"], "sigtimedwait": ["rt_sigtimedwait"], "stat": ["newfstatat"], "stat64": ["newfstatat"],
    "waitpid": ["wait4"], "_exit": ["exit_group"],
}
# Of libc, and no call of its own: by its parts, or none.
NO_CALL = re.compile(r"inet_pton|mem\w+|str\w+|pthread_(?!sigmask)\w+|qsort|environ|on_exit|syscall|sysconf|dl_iterate_phdr|sig(add|empty|fill|is)\w+|posix_spawn\w+")

# Without it no thread of any program ends: libc tries again for ever.
UNDENIABLE = {"exit"}

# What the ways back need, and how it is denied where not everything is tried.
IMPORTANT = {
    "execveat": ["EPERM", "ENOSYS"], "pidfd_send_signal": ["EPERM", "ENOSYS"], "execve": ["EPERM"], "kill": ["EPERM"],
    "waitid": ["ENOSYS"], "pidfd_open": ["ENOSYS"], "pidfd_getfd": ["EPERM"], "ppoll": ["EPERM"], "rt_sigtimedwait": ["EPERM"],
    "close_range": ["ENOSYS"], "prlimit64": ["EPERM"], "fcntl": ["EPERM"], "clock_gettime": ["EPERM"],
}
# What a filter may also kill for, and in which mode: the library tries these where it isn't the VM that dies of them.
KILLING = {"execveat": ["exec", "transfer"], "pidfd_send_signal": ["exec"]}

ENDS = ("error", "segv", "kill", "hang", "works")  # in this order: then the new program is the VM


class Cell(collections.namedtuple("Cell", "accel mode where call action ends")):
    """`where`: "both", or "new" where it is denied to the new program only."""

    def __str__(self):
        return f"{self.mode}, {self.call} denied with {self.action} to {self.where}"


# ---- Which calls there are ----

def read_text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def sources():
    for folder, _, names in os.walk(SOURCES):
        for name in names:
            if name.endswith((".c", ".h")):
                yield os.path.join(folder, name)


def numbers_in(*paths):
    """The calls that are made by their number."""
    return {call for path in paths for call in re.findall(r"\bSYS_(\w+)", read_text(path))}


def calls_of(function):
    return MADE_BY.get(function, [function])


def table():
    """Of the library's table."""
    return re.findall(r"^  \.(\w+) = ", read_text(os.path.join(SOURCES, "base", "sys.c")), re.M)


def imported():
    """The functions of libc that the library calls, or nothing where that can't be known."""
    library = os.path.join(minivmm.top, ".libs", "libcpr.so.0")
    if not shutil.which("nm") or not os.path.exists(library):
        return []
    lines = subprocess.run(["nm", "-D", "--undefined-only", library], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1].partition("@")[0] for line in lines.splitlines()}
    return sorted(name for name in names if not name.startswith(("g_", "__", "_ITM", "XXH")) and not NO_CALL.fullmatch(name))


def every_call():
    made = {call for function in [*table(), *imported()] for call in calls_of(function)}
    return sorted((made | numbers_in(*sources())) - UNDENIABLE)


def calls_in_the_rescue():
    """Where the guest stands while they are made, and there is nobody else."""
    return numbers_in(*(os.path.join(SOURCES, "handoff", "exec", name) for name in ("guardian.c", "rescue.c", "fatal.c"))) | {
        call for function in ("poll", "waitid", "pidfd_send_signal", "kill", "futex_wait") for call in calls_of(function)}


def the_list_has_every_call_of_the_library(accel):
    unknown = sorted(set(every_call()) - set(sandbox.NUMBERS))
    claim(not unknown, f"tests/integration/sandbox.py has no number of {unknown}; or MADE_BY here says which calls those make")
    unused = sorted(set(sandbox.NUMBERS) - set(every_call()))
    claim(not imported() or not unused, f"the library doesn't make these calls: {unused}")
    return f"{len(every_call())} calls: {len(table())} functions of the table, {len(numbers_in(*sources()))} numbers, " \
           f"{len(imported())} functions of libc"


# ---- One VM in a sandbox ----

class SandboxedVmm(CellVmm):
    """A minivmm that, and whose successors, a sandbox denies a call; in one whose `where` is "new" the successors only."""

    def __init__(self, cell):
        self.cell = cell
        is_wrapped = cell.mode == "exec" and cell.where == "new"
        super().__init__(cell.accel, preexec=self.enter if cell.where == "both" else None,
                         deadline=WRAPPED_DEADLINE if is_wrapped else DEADLINE)

    def enter(self):
        sandbox.execute(self.cell.call, self.cell.action, [BUILD_1, *self.options])

    def begin(self):
        """Whether it can live without the call: start, answer, run the guest, stop it and let it go."""
        try:
            self.monitor = poll(self.try_connect, "for the monitor's socket", START)
            self.monitor.socket.settimeout(START)
            self.wait_for_ticks()
            claim(f"pid {self.pid}," in self.monitor.ask("info version"), "it doesn't know who it is")
            self.monitor.command("stop")
            self.monitor.command("cont")
            self.wait_for_ticks(self.guest().ticks)
            self.monitor.socket.settimeout(minivmm.PATIENCE)
            return True
        except (Failure, Closed, OSError):
            return False

    # The two modes: each says how it ended, and has seen to it that the right process is looked at.

    def exec(self, options):
        prefix = []
        if self.cell.where == "new":
            prefix = [sys.executable, "-I", "-S", sandbox.__file__, self.cell.call, self.cell.action]
        answer = self.try_update(self.other(), options=options, prefix=prefix)
        if self.version().pid != self.pid:
            self.follow()
        return answer

    def transfer(self, options):
        binary = self.other()
        argv = [binary, *self.options, "--incoming"]
        try:
            successor = SandboxedSuccessor(self, binary, options)
        except (OSError, subprocess.SubprocessError):
            return f"Error: {argv[0]} doesn't start"
        try:
            self.monitor.command("migrate_set_parameter mode cpr-transfer")
            answer = self.monitor.ask(f"migrate {successor.uri}")
            if self.version().pid == successor.pid:
                self.popen.wait(minivmm.PATIENCE)
                follow(self, successor)
            else:
                self.see_it_end(successor)
            return answer
        except BaseException:
            print(successor.said())
            raise

    def see_it_end(self, successor):
        """One that didn't get the guest has ended or waits for another."""
        poll(lambda: successor.popen.poll() is not None or os.path.exists(successor.path), "for the successor's end")
        if successor.popen.poll() is None:
            successor.kill()
            os.unlink(successor.path)

    def try_to(self, end):
        update = self.exec if self.cell.mode == "exec" else self.transfer
        outcome = self.check_after(lambda: update([] if end == "works" else ["--fail-at", "load", "--fail-by", end]))
        claim(end == "works" or outcome != "completed", "it worked")
        return outcome


class SandboxedSuccessor(Successor):
    def __init__(self, vm, binary, options):
        call, action = vm.cell.call, vm.cell.action
        enter = lambda: sandbox.execute(call, action, [binary, *vm.options, "--incoming", self.uri, *options])
        self.uri = f"unix:{os.path.join(vm.directory, f'successor-{Successor.count + 1}')}"
        super().__init__(vm, *options, binary=binary, preexec_fn=enter)


def make(cell):
    """A VM that runs, or None."""
    try:
        vm = SandboxedVmm(cell)
    except (OSError, subprocess.SubprocessError):
        return None
    if vm.begin():
        return vm
    vm.end()
    return None


def can_run(cell):
    vm = make(cell)
    if vm:
        vm.end()
    return vm is not None


def try_cell(cell):
    """A program that has the guest and can't live without the call is no better than any VMM that ends."""
    ends = [end for end in cell.ends if end != "works" or cell.where == "both" or can_run(cell._replace(where="both"))]
    return try_ends(ends, lambda: make(cell))


# ---- All of them ----

def chosen(accel, actions):
    """The accelerator makes no call of the library's."""
    wanted, everything = os.environ.get("CPR_TEST_CALLS", "").split(), ALL and accel == "soft"
    for call in wanted or (every_call() if everything else IMPORTANT):
        for action in actions if everything or wanted else IMPORTANT[call]:
            if action in actions:
                yield call, action


def ends_for(call):
    """A program that hangs concerns those calls that are made because of it."""
    return [end for end in ENDS if end != "hang" or not ALL or call in calls_in_the_rescue()]


def try_all(accel, mode, where, actions):
    text, dead = try_cells(try_cell, [Cell(accel, mode, where, call, action, ends_for(call))
                                      for call, action in chosen(accel, actions)])
    needed = sorted({cell.call for cell in dead})
    return text + (f"; minivmm can't do without {', '.join(needed)}" if needed else "")


def no_denied_call_loses_a_guest_in_an_exec(accel):
    return try_all(accel, "exec", "both", ["EPERM", "ENOSYS"])


def no_denied_call_loses_a_guest_in_a_transfer(accel):
    return try_all(accel, "transfer", "both", ["EPERM", "ENOSYS"])


def no_call_denied_to_the_new_program_loses_a_guest_in_an_exec(accel):
    return try_all(accel, "exec", "new", ["EPERM"])


def no_call_denied_to_the_new_program_loses_a_guest_in_a_transfer(accel):
    return try_all(accel, "transfer", "new", ["EPERM"])


def no_call_that_kills_loses_a_guest(accel):
    return try_cells(try_cell, [Cell(accel, mode, where, call, "KILL", ENDS)
                                for call, modes in KILLING.items() for mode in modes for where in ("both", "new")])[0]


if __name__ == "__main__":
    if sandbox.why_not():
        print(f"SKIP: {sandbox.why_not()}")
        sys.exit(77)
    main(the_list_has_every_call_of_the_library, no_denied_call_loses_a_guest_in_an_exec,
         no_denied_call_loses_a_guest_in_a_transfer, no_call_denied_to_the_new_program_loses_a_guest_in_an_exec,
         no_call_denied_to_the_new_program_loses_a_guest_in_a_transfer, no_call_that_kills_loses_a_guest)
