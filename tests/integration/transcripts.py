#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whoever knows QEMU's monitor types the same here and sees the same: tests/transcripts has the texts. A program that waits for
its operator waits as long as that takes, and what it was handed goes back where it doesn't take it."""
import contextlib
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time

from minivmm import BUILD_1, BUILD_2, PATIENCE, PROMPT, Client, Closed, MiniVmm, claim, main, poll, started

TEXTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "transcripts")
DEFERRED = ("-incoming", "defer")
MIB = 1 << 20


@contextlib.contextmanager
def folder():
    with tempfile.TemporaryDirectory(prefix="cpr-") as path:
        yield path


def start(accel, where, *words, binary=BUILD_1, **how):
    """A minivmm in a folder, with the monitor's socket M there."""
    if "-monitor" not in words:
        words = [*words, "-monitor", "unix:M,server=on,wait=off"]
    return MiniVmm(accel, *words, binary=binary, preexec=lambda: os.chdir(where), socket_path=os.path.join(where, "M"), **how)


# ---- The texts ----

class Script:
    """One text, typed line by line. `words` stands for "…", `after` has what a test looks at once such a line was answered."""

    def __init__(self, name, accel, where, *words, program=BUILD_2, replace=("", ""), after=None):
        self.program = program
        self.accel, self.where, self.words, self.after = accel, where, list(words), after or {}
        with open(os.path.join(TEXTS, name), encoding="utf-8") as file:
            self.lines = file.read().replace(*replace).splitlines()
        claim(self.lines[0].startswith("# SPDX") and self.lines[1].startswith("# QEMU's documented"), f"{name}: {self.lines[:2]}")
        self.vm, self.n_typed, self.n_runs = None, 0, 1

    @staticmethod
    def fill(text, options):
        """The words of a command line, with those options for "…"."""
        return [part for word in text.split() for part in (options if word == "…" else [word])]

    def start(self, command):
        words = self.fill(re.sub(r" RAM in a file.*| an assigned device.*|\(build 1\)", "", command), self.words)
        self.vm = start(self.accel, self.where, *words)
        return self.vm

    def act(self, remark, exits):
        """What happens outside the monitor."""
        if remark.startswith("minivmm "):
            exits.enter_context(self.start(remark[len("minivmm "):]))
        elif remark.startswith(("echo '{\"execute\":\"guest-suspend-ram\"}'", "the guest has gone to sleep")):
            if self.vm is None:
                exits.enter_context(self.start("…"))
            self.vm.wait_for_ticks()
            self.vm.connect().command("system_suspend")
        elif remark.startswith("the new program, same PID"):
            claim(self.vm.version().build == 2 and self.vm.version().pid == self.vm.pid, f"{self.vm.version()}")
        elif remark == "and once more from the top with the same VM":
            self.n_runs += 1
        else:
            claim(remark.startswith(("optionally:", "the same with")), f"there is no action for '# {remark}'")

    def type(self, line, expected):
        line = " ".join(self.fill(line, map(shlex.quote, self.vm.options))).replace("minivmm-next", self.program)
        self.n_typed += 1
        if line == "quit":
            self.vm.monitor.command("quit")
            claim(self.vm.popen.wait(PATIENCE) == 0, f"it ended with {self.vm.popen.returncode}")
            self.vm.ended, self.vm = True, None
            return
        said = self.vm.monitor.ask(line).splitlines()
        claim(said == expected, f"'{line}' should say {expected}, and says {said}")
        if line in self.after:
            self.after[line](self.vm)

    def run_once(self, lines, exits):
        while lines:
            line = lines.pop(0)
            if line.startswith("# "):
                self.act(line[2:], exits)
                continue
            claim(line.startswith(PROMPT.decode()), f"'{line}' comes after no command")
            expected = []
            while lines and not lines[0].startswith(("# ", PROMPT.decode())):
                expected.append(lines.pop(0))
            self.type(line[len(PROMPT):], expected)

    def run(self, n_runs=1):
        """What was typed. A text that goes on "from the top" is run n_runs times, with the VM that is there."""
        with contextlib.ExitStack() as exits:
            self.run_once(self.lines[2:], exits)
            for _ in range(n_runs - 1):
                again = self.lines[2:]
                claim(again.pop(0).startswith("# minivmm "), "it doesn't begin with a start")
                self.run_once(again, exits)
            self.vm.wait_for_ticks(self.vm.guest().ticks)
            claim(self.vm.guest().errors == 0, f"{self.vm.guest()}")
        return f"{self.n_typed} commands"


def exec_txt_is_what_an_operator_sees(accel):
    with folder() as where:
        return Script("exec.txt", accel, where, "--guest", "memcheck").run()


def exec_txt_works_with_the_older_name_of_the_parameter(accel):
    with folder() as where:
        return Script("exec.txt", accel, where, replace=("cpr-exec-command", "cpr-exec-args")).run()


def exec_txt_works_by_way_of_a_program_that_execs(accel):
    with folder() as where:
        return Script("exec.txt", accel, where, program=f"sh -c 'A=1 exec \"$0\" \"$@\"' {BUILD_2}").run()


def reboot_txt_is_what_an_operator_sees_twice_in_a_row(accel):
    with folder() as where:
        return Script("reboot.txt", accel, where, "--ram", "32M", "--guest", "memcheck", "--ram-backend", "file:ram").run(2)


@contextlib.contextmanager
def hugetlbfs(n_pages):
    """A mount of it with that many pages of 2 MiB; None where there can't be one, with the reason."""
    control = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    with folder() as where:
        try:
            with open(control, encoding="ascii") as file:
                before = int(file.read())
            with open(control, "w", encoding="ascii") as file:
                file.write(str(before + n_pages))
            with open(control, encoding="ascii") as file:
                claim(int(file.read()) >= before + n_pages, "too little memory is in one piece")
            done = subprocess.run(["mount", "-t", "hugetlbfs", "none", where], capture_output=True, timeout=PATIENCE)
            claim(done.returncode == 0, done.stderr.decode().strip())
        except Exception as reason:
            yield None, f"SKIP: no hugetlbfs with {n_pages} pages of 2 MiB: {reason}"
            return
        try:
            yield where, None
        finally:
            subprocess.run(["umount", where], check=True, timeout=PATIENCE)
            with open(control, "w", encoding="ascii") as file:
                file.write(str(before))


def reboot_txt_is_what_an_operator_sees_on_hugetlbfs(accel):
    with folder() as where, hugetlbfs(16) as (mount, skip):
        return skip or Script("reboot.txt", accel, where, "--ram", "32M", "--guest", "memcheck",
                              "--ram-backend", f"file:{mount}/ram").run(2)


def reboot_suspended_txt_is_what_an_operator_sees(accel):
    with folder() as where:
        return Script("reboot-suspended.txt", accel, where, "--ram", "32M", "--guest", "memcheck", "--ram-backend", "file:ram").run()


def suspended_txt_is_what_an_operator_sees_and_each_transition_is_one(accel):
    seen = []

    def look(vm):
        guest = vm.guest()
        seen.append((int(vm.monitor.info("stops")["stops"]), guest.ticks, guest.progress))

    with folder() as where:
        after = {"stop": look, "cont": look, "system_wakeup": look}
        said = Script("suspended.txt", accel, where, "--ram", "32M", "--guest", "memcheck", after=after).run()
        claim(len(seen) == 4 and len(set(seen[:3])) == 1 and seen[3][0] == 1, f"{seen}")
        return f"{said}; one stop, and {seen[0][1]} ticks all along"


# ---- A new program that waits: the operator decides ----

def defer(vm, *options, command=None):
    """An update whose new program waits; the one that asked has its prompt again."""
    words = command or [BUILD_2, *vm.options, *DEFERRED, *options]
    vm.set_command(*words)
    vm.monitor.command("migrate -d file:vm.sav")
    claim(vm.monitor.ask("info status") == "VM status: paused (inmigrate)\n", "it doesn't wait")


def take(client):
    client.command("migrate_incoming file:vm.sav")
    claim(client.ask("info status") == "VM status: running\n", "the guest doesn't run")


def the_time_limit_does_not_count_while_the_operator_decides(accel):
    with MiniVmm(accel, "--guest", "memcheck", "--deadline", "1000") as vm:
        before = vm.wait_for_ticks()
        begin = time.monotonic()
        defer(vm)
        poll(lambda: time.monotonic() > begin + 2.5, "for time to pass")
        claim(vm.monitor.ask("info status") == "VM status: paused (inmigrate)\n", "it doesn't wait any more")
        take(vm.monitor)
        claim(vm.version().pid == vm.pid and vm.version().build == 2, f"{vm.version()}")
        claim(vm.migration().status == "completed", f"{vm.migration()}")
        guest = vm.wait_for_ticks(before.ticks)
        claim(guest.errors == 0, f"{guest}")
        vm.settle()
        defer(vm, "--deadline", "60000")  # again, from a program that was itself waited for
        take(vm.monitor)
        return f"waited {time.monotonic() - begin:.1f} s with a limit of 1 s"


def an_operator_who_quits_gives_the_guest_back(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        for line in ("quit", "migrate_cancel"):
            defer(vm)
            vm.monitor.command(line)
            answer = vm.monitor.receive()
            claim(answer == "Migration status: rolled-back\nError: the wait for migrate_incoming was ended\n", f"{answer!r}")
            claim((vm.version().build, vm.version().pid) == (1, vm.pid), f"{vm.version()}")
            before = vm.wait_for_ticks(before.ticks)
            vm.settle()
        defer(vm)
        take(vm.monitor)
        return f"{before.ticks} ticks, then {vm.wait_for_ticks(before.ticks).ticks}"


def a_waiting_program_that_is_killed_loses_nothing(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        defer(vm)
        os.kill(vm.pid, signal.SIGKILL)
        answer = vm.monitor.receive()
        vm.follow()
        claim(answer.startswith("Migration status: rescued\nError: the new program was killed by signal 9"), f"{answer!r}")
        claim(vm.version().build == 1, f"{vm.version()}")
        return f"{before.ticks} ticks, then {vm.wait_for_ticks(before.ticks).ticks}"


def fail_after_the_decision(accel, how, *words, deadline_s=30, wait_s=0.0):
    """How long that took."""
    with MiniVmm(accel, "--deadline", str(int(deadline_s * 1000))) as vm:
        before = vm.wait_for_ticks()
        defer(vm, "--fail-at", "decided", "--fail-by", how)
        begin = time.monotonic()
        poll(lambda: time.monotonic() > begin + wait_s, "for time to pass")
        begin = time.monotonic()
        vm.monitor.send("migrate_incoming file:vm.sav")
        answer = vm.monitor.receive()
        took = time.monotonic() - begin
        if answer.startswith("Migration status: rescued"):
            vm.follow()
        claim(all(word in answer for word in words), f"{how}: the monitor answers {answer!r}")
        claim(vm.version().build == 1, f"{vm.version()}")
        vm.wait_for_ticks(before.ticks)
        return took


def a_program_that_fails_after_the_decision_loses_nothing(accel):
    """And a hang there is noticed: the time limit has started again."""
    fail_after_the_decision(accel, "error", "rolled-back", "start-up fails at decided")
    fail_after_the_decision(accel, "segv", "rolled-back", "signal 11")
    fail_after_the_decision(accel, "kill", "rescued", "signal 9")
    took = fail_after_the_decision(accel, "hang", "rescued", "gave no answer in 1500 ms", deadline_s=1.5, wait_s=2)
    claim(took > 1.4, f"a hang ended after {took:.2f} s")
    return f"a hang of a program with 1.5 s ended after {took:.2f} s"


def a_waiting_program_that_is_told_to_end_takes_the_vm_along(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        defer(vm)
        os.kill(vm.pid, signal.SIGTERM)
        claim(vm.wait_for_end() == 0, f"it ended with {vm.popen.returncode}")
        claim(not os.path.exists(vm.socket_path), "its socket is still there")


def a_client_that_goes_away_leaves_the_choice_to_others(accel):
    with MiniVmm(accel) as vm:
        before, first, second = vm.wait_for_ticks(), vm.connect(), vm.connect()
        claim(vm.monitor.ask("info status") == first.ask("info status"), "two clients see two states")
        defer(vm)
        for client in (vm.monitor, first, second):  # none is left that the old program knew
            client.close()
        other = vm.connect()
        claim(other.ask("info status") == "VM status: paused (inmigrate)\n", "it doesn't wait")
        take(other)
        vm.monitor = other
        return f"{before.ticks} ticks, then {vm.wait_for_ticks(before.ticks).ticks}"


def a_client_that_came_while_it_waited_is_cut_off_by_a_way_back(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        defer(vm)
        late = vm.connect()
        claim(late.ask("info status") == "VM status: paused (inmigrate)\n", "it doesn't wait")
        vm.monitor.command("quit")
        vm.monitor.receive()
        try:
            late.receive()
            raise AssertionError("it got an answer")
        except Closed:
            pass
        return f"{before.ticks} ticks, then {vm.wait_for_ticks(before.ticks).ticks}"


def two_clients_see_the_same_wait_and_either_may_end_it(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        other = vm.connect()
        defer(vm)
        for line in ("stop", "cont", "system_wakeup", "system_suspend", "info guest", "migrate -d file:x", "gap_reset", "info fds"):
            for client in (vm.monitor, other):
                answer = client.ask(line)
                claim(answer.startswith("Error: ") and "the guest isn't here yet" in answer, f"'{line}' says {answer!r}")
        take(other)
        claim(vm.status() == "running", "the other client's connection is dead")
        answer = other.ask("migrate_incoming file:vm.sav")
        claim(answer.startswith("Error: this program doesn't wait"), f"{answer!r}")
        return f"{vm.wait_for_ticks().ticks} ticks"


def lines_that_are_sent_ahead_are_executed_once_each(accel):
    """By the program that is there when their turn comes, and by the old one where the guest went back."""
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        vm.set_command(BUILD_2, *vm.options, *DEFERRED)
        vm.monitor.send("migrate -d file:x\ninfo status\nquit\ninfo status")
        said = [vm.monitor.receive() for _ in range(5)]
        claim(said == ["", "VM status: paused (inmigrate)\n", "",
                       "Migration status: rolled-back\nError: the wait for migrate_incoming was ended\n", "VM status: running\n"], f"{said}")
        vm.settle()
        vm.monitor.send("migrate -d file:x\ninfo status\nmigrate_incoming file:x\ninfo status")
        said = [vm.monitor.receive() for _ in range(4)]
        claim(said == ["", "VM status: paused (inmigrate)\n", "", "VM status: running\n"], f"{said}")
        claim(vm.version().build == 2, f"{vm.version()}")


def a_command_is_split_as_a_shell_would(accel):
    """Quotes, spaces and backslashes; a program whose name has a space."""
    with folder() as where, MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        spaced = os.path.join(where, "mini vmm")
        os.symlink(BUILD_2, spaced)
        words = " ".join(vm.options)
        for quoted in (f"'{spaced}'", f'"{spaced}"', spaced.replace(" ", "\\ ")):
            vm.monitor.command(f"migrate_set_parameter cpr-exec-command {quoted} {words} --serial 'null'  -na\"m\"e minivmm")
            claim(vm.monitor.ask("migrate_check") == "would go through\n", f"{quoted}: {vm.monitor.ask('migrate_check')!r}")
        claim(vm.monitor.ask("migrate").startswith("Migration status: completed\n"), "the update fails")
        with open(f"/proc/{vm.pid}/cmdline", "rb") as file:
            got = file.read().decode().split("\0")
        claim(got[0] == spaced and got[-3:] == ["-name", "minivmm", ""], f"{got}")
        answer = vm.monitor.ask("migrate_set_parameter cpr-exec-command minivmm 'a b")
        claim(answer.startswith("Error: "), f"an open quote says {answer!r}")


def asking_first_does_not_wait_for_an_operator(accel):
    with MiniVmm(accel) as vm:
        vm.set_command(BUILD_2, *vm.options, *DEFERRED)
        claim(vm.monitor.ask("migrate_check") == "would go through\n", f"{vm.monitor.ask('migrate_check')!r}")


# ---- A program that was started to wait ----

def save(vm, uri):
    vm.monitor.command("migrate_set_parameter mode cpr-reboot")
    vm.monitor.command(f"migrate -d {uri}")
    claim(vm.status() == "paused (postmigrate)", f"{vm.status()}")
    vm.monitor.command("quit")
    claim(vm.popen.wait(PATIENCE) == 0, "it failed")
    vm.ended = True


def a_waiting_program_without_a_guest_ends_when_it_is_told_to(accel):
    for end in (lambda vm: vm.monitor.command("quit"), lambda vm: vm.monitor.command("migrate_cancel"),
                lambda vm: os.kill(vm.pid, signal.SIGTERM)):
        with folder() as where, start(accel, where, *DEFERRED) as vm:
            claim(vm.status() == "paused (inmigrate)", f"{vm.status()}")
            vm.connect().close()
            for line in ("stop", "info guest", "info fds", "info migrate", "migrate -d file:x", "system_wakeup", "info blockers"):
                answer = vm.connect().ask(line)
                claim("the guest isn't here yet" in answer, f"'{line}' says {answer!r}")
            end(vm)
            claim(vm.wait_for_end() == 0, f"it ended with {vm.popen.returncode}")
            claim(not os.path.exists(vm.socket_path) and vm.messages() == "", f"{vm.messages()!r}")


def a_guest_that_is_not_there_is_reported_and_can_be_taken_later(accel):
    with folder() as where:
        with start(accel, where) as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, "file:state")
        with start(accel, where, *DEFERRED) as vm:
            vm.monitor.send("migrate_incoming file:missing")
            try:
                said = vm.monitor.receive()
            except Closed as closed:
                said = str(closed)
            claim("Error: " in said and "missing" in said, f"{said!r}")
            claim(vm.wait_for_end() != 0, "it doesn't fail")
        with start(accel, where, *DEFERRED) as vm:
            other = vm.connect()
            take_up = vm.monitor
            take_up.command("migrate_incoming file:state")
            claim(other.ask("info status") == vm.monitor.ask("info status") == "VM status: running\n", "a client was lost")
            return f"{ticks} ticks, then {vm.wait_for_ticks(ticks).ticks}"


def a_program_without_a_monitor_does_not_wait_for_ever(accel):
    done = subprocess.run([BUILD_1, "-accel", accel, *DEFERRED], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
    claim(done.returncode > 0 and b"--monitor" in done.stderr, f"{done}")
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        answer = vm.try_update(argv=[BUILD_2, "-accel", accel, *DEFERRED])
        claim(answer.startswith("Error: "), f"{answer!r}")  # the socket would be lost


def a_guest_goes_to_another_process_that_waited(accel):
    """Whose operator has a monitor of its own there, up to when the guest's comes."""
    with folder() as where, MiniVmm(accel, "--guest", "memcheck") as vm:
        ticks, own, old = vm.wait_for_ticks().ticks, os.path.join(where, "own"), vm.popen
        options = [own if word == vm.socket_path else word for word in vm.options]
        popen = subprocess.Popen([BUILD_2, *options, *DEFERRED], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        started.add(popen.pid)
        operator = poll(lambda: connect(own), "for the new program's monitor")
        claim(operator.ask("info status") == "VM status: paused (inmigrate)\n", "it doesn't wait")
        operator.send(f"migrate_incoming unix:{where}/t")
        poll(lambda: os.path.exists(where + "/t"), "for it to listen")
        claim(vm.status() == "running", "the guest doesn't run meanwhile")
        vm.monitor.command("migrate_set_parameter mode cpr-transfer")
        vm.monitor.command(f"migrate -d unix:{where}/t")
        claim(operator.receive() == "", "the operator is told something")
        claim(operator.ask("info status") == vm.monitor.ask("info status") == "VM status: running\n", "the guest doesn't run")
        claim(not os.path.exists(own), "its former socket is still there")
        claim(old.wait(PATIENCE) == 0, "the old program failed")
        vm.popen, vm.pid = popen, popen.pid
        claim(vm.version().pid == popen.pid, f"{vm.version()}")
        return f"{ticks} ticks, then {vm.wait_for_ticks(ticks).ticks}"


def connect(path):
    try:
        return Client(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


# ---- Addresses and options ----

def a_guest_travels_through_commands_and_fds(accel):
    with folder() as where:
        with start(accel, where, "-m", "32", "-guest", "memcheck") as vm:
            ticks = vm.wait_for_ticks().ticks
            save(vm, "exec:cat > 'a state'")
        with start(accel, where, "-m", "32", "-guest", "memcheck", "-incoming", "exec:cat 'a state'") as vm:
            ticks = vm.wait_for_ticks(ticks).ticks
            save(vm, "exec:gzip -1 > packed")
        with start(accel, where, "-m", "32", "-guest", "memcheck", *DEFERRED) as vm:
            vm.monitor.command("migrate_incoming exec:gzip -d < packed")
            ticks = vm.wait_for_ticks(ticks).ticks
        fd = os.open(where + "/fd", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with start(accel, where, "-m", "32", "-guest", "memcheck", pass_fds=(fd,)) as vm:
                ticks = vm.wait_for_ticks().ticks
                save(vm, f"fd:{fd}")
            os.lseek(fd, 0, os.SEEK_SET)
            with start(accel, where, "-m", "32", "-guest", "memcheck", *DEFERRED, pass_fds=(fd,)) as vm:
                vm.monitor.command(f"migrate_incoming fd:{fd}")
                return f"{ticks} ticks, then {vm.wait_for_ticks(ticks).ticks}"
        finally:
            os.close(fd)


def what_is_not_capable_is_refused_at_the_start(accel):
    with folder() as where:
        done = subprocess.run([BUILD_1, "-accel", accel, "-monitor", "unix:" + where + "/M", "-ram-backend", "private", "-only-cpr-capable"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)
        said = done.stderr.decode()
        claim(done.returncode > 0 and "RAM block 'ram'" in said, f"{done}")
        claim(not os.path.exists(where + "/M"), "its socket is there")
        with start(accel, where, "-only-cpr-capable") as vm:
            vm.wait_for_ticks()
        return said.strip()


def a_guest_that_is_being_saved_is_not_saved_twice(accel):
    with folder() as where, start(accel, where, "-m", "32", "-guest", "memcheck") as vm:
        ticks, other = vm.wait_for_ticks().ticks, vm.connect()
        vm.monitor.command("migrate_set_parameter mode cpr-reboot")
        os.mkfifo(where + "/go")
        vm.monitor.send("migrate -d exec:cat go > /dev/null; sleep 1; cat > /dev/null")  # long enough for a look at the clients
        poll(vm.process.children, "for the save to begin")
        other.send("migrate -d file:twice\nmigrate_incoming file:x\ncont\nmigrate_cancel")
        with open(where + "/go", "w", encoding="ascii"):
            pass
        answer = vm.monitor.receive()
        claim(answer == "Error: it was cancelled\n", f"{answer!r}")
        said = [other.receive() for _ in range(4)]
        claim(all(one.startswith("Error: the guest is being saved") for one in said[:3]) and said[3] == "", f"{said}")
        claim(not os.path.exists(where + "/twice") and vm.status() == "running", f"{vm.status()}")
        vm.wait_for_ticks(ticks)


def nothing_is_there_to_cancel(accel):
    with MiniVmm(accel) as vm:
        vm.monitor.command("migrate_cancel")
        vm.wait_for_ticks(vm.guest().ticks)


main(exec_txt_is_what_an_operator_sees, exec_txt_works_with_the_older_name_of_the_parameter,
     exec_txt_works_by_way_of_a_program_that_execs, reboot_txt_is_what_an_operator_sees_twice_in_a_row,
     reboot_txt_is_what_an_operator_sees_on_hugetlbfs, reboot_suspended_txt_is_what_an_operator_sees,
     suspended_txt_is_what_an_operator_sees_and_each_transition_is_one,
     the_time_limit_does_not_count_while_the_operator_decides, an_operator_who_quits_gives_the_guest_back,
     a_waiting_program_that_is_killed_loses_nothing, a_program_that_fails_after_the_decision_loses_nothing,
     a_waiting_program_that_is_told_to_end_takes_the_vm_along,
     a_client_that_goes_away_leaves_the_choice_to_others, a_client_that_came_while_it_waited_is_cut_off_by_a_way_back,
     two_clients_see_the_same_wait_and_either_may_end_it, lines_that_are_sent_ahead_are_executed_once_each,
     a_command_is_split_as_a_shell_would, asking_first_does_not_wait_for_an_operator,
     a_waiting_program_without_a_guest_ends_when_it_is_told_to, a_guest_that_is_not_there_is_reported_and_can_be_taken_later,
     a_program_without_a_monitor_does_not_wait_for_ever, a_guest_goes_to_another_process_that_waited,
     a_guest_travels_through_commands_and_fds, what_is_not_capable_is_refused_at_the_start,
     a_guest_that_is_being_saved_is_not_saved_twice, nothing_is_there_to_cancel)
