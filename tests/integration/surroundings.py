#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whatever the command of an update does to the surroundings of the new program (limits, namespaces, root, credentials,
scheduling, fds, signals, environment), no guest is lost. Where the new program fails, the old one has the guest back and lives
in its own surroundings, and the next update, a plain one, can be tried. A command that can't work is refused before the stop.

CPR_TEST_FAULTS=all tries every command, else some; CPR_TEST_COMMANDS chooses those in which one of its parts, between commas, is.
See cells.py for more."""
import collections
import difflib
import os
import re
import shutil
import subprocess
import sys

import sandbox
from cells import ALL, CellVmm, try_cells, try_ends
from minivmm import BUILD_1, BUILD_2, claim, libc, main, read, write_script

ENDS = ("error", "segv", "kill", "hang", "works")


class Cell(collections.namedtuple("Cell", "accel command who preflight")):
    def __str__(self):
        return f"{self.command}, {self.who}" + ("" if self.preflight else ", without preflight")


# ---- What a process lives in ----

PR_CAPBSET_DROP = 24
SYS_IOPRIO_GET = {"x86_64": 252}.get(os.uname().machine, 31)
STATUS = ("Umask", "Uid", "Gid", "Groups", "NSsid", "NSpgid", "SigIgn", "SigBlk", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
          "NoNewPrivs", "Seccomp", "Seccomp_filters", "Cpus_allowed", "Mems_allowed")


def status_fields(pid):
    text = read("/proc", str(pid), "status").decode()
    return {name: found[1] for name in STATUS if (found := re.search(rf"^{name}:[ \t]*(.*)$", text, re.M))}


def schedule_of(pid, tid):
    after = read("/proc", str(pid), "task", str(tid), "stat").decode(errors="replace").rpartition(")")[2].split()
    return {"nice": after[16], "policy": after[38], "real-time priority": after[37],
            "I/O priority": libc.syscall(SYS_IOPRIO_GET, 1, tid), "affinity": sorted(os.sched_getaffinity(tid))}


def place(path):
    found = os.stat(path)
    return os.readlink(path), found.st_dev, found.st_ino


def surroundings(process):
    """Whatever of it an execve keeps, by name."""
    found = {f"namespace {name}": os.readlink(f"{process.proc}/ns/{name}") for name in sorted(os.listdir(process.proc + "/ns"))}
    for line in read(process.proc, "limits").decode().splitlines()[1:]:
        name, values = re.fullmatch(r"(Max .*?)\s{2,}(.*)", line).groups()
        found[name] = " ".join(values.split())
    found.update(status_fields(process.pid))
    found.update(schedule_of(process.pid, process.pid))
    fds = process.fds_and_flags()
    for fd in range(3):
        found[f"fd {fd}"] = fds.get(fd)
    found["fds"] = process.fd_kinds()
    found["threads"] = sorted(f"{name} {schedule_of(process.pid, tid)}" for tid, name in process.threads().items())
    found["root"], found["working directory"] = place(process.proc + "/root"), place(process.proc + "/cwd")
    for name in ("comm", "oom_score_adj", "coredump_filter", "personality"):
        found[name] = read(process.proc, name).decode().strip()
    found["environment"] = sorted(text for text in process.environment() if not text.startswith("LIBCPR_STATE="))
    found["command line"] = read(process.proc, "cmdline").decode()
    return found


def compare(before, now):
    """In words, what differs."""
    said = []
    for name in before:
        if before[name] != now[name]:
            old, new = (value if isinstance(value, list) else [str(value)] for value in (before[name], now[name]))
            said += [f"{name}: {line}" for line in difflib.ndiff(old, new) if line[0] in "-+"]
    return said


# ---- The commands ----

def shell(redirections):
    return lambda vm: ["sh", "-c", f'{redirections}; exec "$@"', "sh"]


def words(*argv):
    return lambda vm: list(argv)


def with_root(vm, text):
    """A script that sees vm.directory/root, to be a root directory."""
    root, script = os.path.join(vm.directory, "root"), os.path.join(vm.directory, "change-root")
    os.makedirs(root, exist_ok=True)
    write_script(script, text.replace("ROOT", root))
    return root, script


def another_root(vm):
    """It has all that the present one has."""
    _, script = with_root(vm, 'mount --rbind / ROOT && exec chroot ROOT "$@"')
    return ["unshare", "-m", script]


def small_root(vm):
    """A root with the program, its libraries, and no /proc."""
    root, _ = with_root(vm, "")
    needed = subprocess.run(["ldd", BUILD_2], check=True, capture_output=True, text=True).stdout
    for path in [BUILD_2, BUILD_1, *re.findall(r"(?:=> )?(/\S+) \(0x", needed)]:
        copy = root + path
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.exists(copy):
            shutil.copy(path, copy)
    return ["chroot", root]


def empty_root(vm):
    return ["chroot", with_root(vm, "")[0]]


COMMANDS = {
    **{f"prlimit --{limit}": words("prlimit", f"--{limit}") for limit in (
        "as=67108864", "as=1073741824", "nofile=8", "nofile=64", "stack=65536", "stack=1048576", "fsize=0", "fsize=4096",
        "nproc=1", "memlock=0", "core=0", "data=8388608", "cpu=1000", "sigpending=0", "msgqueue=0", "rtprio=0", "nice=0",
        "as=67108864:67108864", "nofile=64:64", "fsize=0:0", "stack=65536:65536", "as=1073741824:1073741824")},
    **{f"unshare {option}": words("unshare", *option.split()) for option in (
        "-m", "-n", "-p", "-p -f", "-i", "-u", "-C", "-U", "-U -r", "-T --monotonic 100000 --boottime 100000", "-T -f --monotonic 5")},
    "another root": another_root, "small root": small_root, "empty root": empty_root,
    **{f"setpriv {option}": words("setpriv", *option.split()) for option in (
        "--no-new-privs", "--bounding-set -all", "--bounding-set -sys_resource", "--inh-caps -all",
        "--inh-caps +net_admin --ambient-caps +net_admin", "--reuid 65534 --clear-groups", "--ruid 65534 --init-groups",
        "--regid 65534 --keep-groups", "--groups 1,2", "--pdeathsig KILL", "--securebits +noroot --bounding-set -all")},
    **{command: words(*command.split()) for command in (
        "taskset -c 0", "taskset -c 1", "chrt -i 0", "chrt -b 0", "chrt -f 1", "chrt -r 99", "nice -n 5", "nice -n -5", "ionice -c 3",
        "ionice -c 2 -n 7", "env -i", "nohup", "setsid", "setsid --fork", "choom -n 500", "choom -n -500", "setarch -R")},
    "a sandbox": words(sys.executable, "-I", "-S", sandbox.__file__, "kcmp", "EPERM"),
    "umask": shell("umask 0777"), "cd": shell("cd /dev"), "cd to what is gone": shell('d=$(mktemp -d); cd "$d"; rmdir "$d"'),
    "ignored signals": shell("trap '' TERM INT CHLD USR1 USR2 PIPE ALRM"),
    "another environment": shell("unset PATH; LD_BIND_NOW=1 GLIBC_TUNABLES=glibc.malloc.check=3 X=1; export X LD_BIND_NOW"),
    "all closed": shell("exec " + " ".join(f"{fd}<&-" for fd in range(10))),
    "0 to 2 closed": shell("exec 0<&- 1>&- 2>&-"),
    **{f"{fd} closed": shell(f"exec {fd}<&-") for fd in range(10)},
    **{f"{fd} redirected": shell(f"exec {fd}</dev/zero") for fd in range(10)},
    **{f"{fd} written to a file": shell(f"exec {fd}>/dev/full") for fd in (0, 1, 2)},
}

# A VM that lives like this answers whenever the machine has nothing else to do.
NOT_TO_LIVE_IN = ["chrt -i 0"]

# What is tried where not everything is, and with KVM.
PART = ["prlimit --as=67108864:67108864", "prlimit --nofile=64:64", "prlimit --fsize=0:0", "unshare -m", "unshare -p", "unshare -T",
        "unshare -U", "another root", "setpriv --no-new-privs", "setpriv --bounding-set -all", "setpriv --reuid", "taskset -c 0",
        "nice -n 5", "ionice -c 3", "env -i", "nohup", "setsid", "umask", "ignored signals", "all closed", "3 closed",
        "0 redirected"]
PART_KVM = ["prlimit --as=67108864:67108864", "unshare -p", "setpriv --no-new-privs", "setsid", "all closed"]


# ---- One VM ----

def lose_privileges():
    """Root by name: what a limit was lowered to can't be raised again, nor a priority."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


class SurroundedVmm(CellVmm):
    def __init__(self, cell):
        super().__init__(cell.accel, *([] if cell.preflight else ["--no-preflight"]),
                         preexec=lose_privileges if cell.who == "unprivileged" else None)
        self.prefix = COMMANDS[cell.command](self)

    def update_through(self, prefix, options=()):
        def update():
            answer = self.try_update(self.other(), options=options, prefix=prefix)
            if self.version().pid != self.pid:
                self.follow()
            return answer
        outcome = self.check_after(update)
        self.settle()
        return outcome

    def try_to(self, end):
        """And another update after it."""
        before = surroundings(self.process)
        outcome = self.update_through(self.prefix, [] if end == "works" else ["--fail-at", "load", "--fail-by", end])
        claim(end == "works" or outcome != "completed", "it worked")
        if outcome != "completed":
            differs = compare(before, surroundings(self.process))
            claim(not differs, "\n  ".join([f"{outcome}: the old program has other surroundings:", *differs]))
        return f"{outcome} then {self.update_through([])}"


def make(cell):
    vm = SurroundedVmm(cell)
    vm.__enter__()
    return vm


def try_cell(cell):
    return try_ends([end for end in ENDS if end != "works" or cell.command not in NOT_TO_LIVE_IN], lambda: make(cell))


# ---- All of them ----

def can_be_run(command):
    """Whether this machine lets it be done to a program at all; one that nothing can be executed in is tried all the same."""
    argv = COMMANDS[command](None) if command not in ("another root", "small root", "empty root") else ["unshare", "-m"]
    return shutil.which(argv[0]) is not None and \
        (subprocess.run([*argv, shutil.which("true")], capture_output=True, check=False).returncode == 0 or argv[0] == "prlimit")


def chosen(accel):
    wanted = os.environ.get("CPR_TEST_COMMANDS", "").split(",")
    commands = [command for command in COMMANDS if any(word in command for word in wanted)]
    if wanted == [""] and (accel == "kvm" or not ALL):
        commands = [command for command in COMMANDS if command.startswith(tuple(PART_KVM if accel == "kvm" else PART))]
    missing = [command for command in commands if not can_be_run(command)]
    if missing:
        print(f"SKIP: {accel}: this machine can't run: {', '.join(missing)}", flush=True)
    return [command for command in commands if command not in missing]


def try_commands(accel, who, preflight):
    return try_cells(try_cell, [Cell(accel, command, who, preflight) for command in chosen(accel)])[0]


def the_old_program_is_back_in_its_own_surroundings(accel):
    return try_commands(accel, "root", True)


def one_without_privileges_is_back_in_its_own_surroundings(accel):
    return try_commands(accel, "unprivileged", True)


def one_that_asks_nobody_first_is_back_in_its_own_surroundings(accel):
    if not ALL and "CPR_TEST_COMMANDS" not in os.environ:
        return "with CPR_TEST_FAULTS=all only"
    return try_commands(accel, "root", False)


if __name__ == "__main__":
    main(the_old_program_is_back_in_its_own_surroundings, one_without_privileges_is_back_in_its_own_surroundings,
         one_that_asks_nobody_first_is_back_in_its_own_surroundings)
