#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: in transfer mode the guest goes over to a process that was started before, and has exactly one owner at any
time, whoever fails at whichever step: until the commit the old program goes on, after it the new one.

CPR_TEST_UPDATES, CPR_TEST_RAM and CPR_TEST_VCPUS say how many updates are made in a row (10), how much RAM there is (64M) and how many
vCPUs check it (2); the full form is 300 and 4G. Where the vCPUs keep all CPUs busy the guardian takes its time to end, and is waited for."""
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from minivmm import (BUILD_1, BUILD_2, PATIENCE, Client, MiniVmm, Process, claim, for_everybody, get_pause, main, poll, read, started)

N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "10"))
RAM = os.environ.get("CPR_TEST_RAM", "64M")
N_VCPUS = int(os.environ.get("CPR_TEST_VCPUS", "2"))
STEPS = ["new", "ram", "fds", "devices", "load", "start"]
REFUSED = "Error: "
N_STARTED = 3


class Waiting:
    """A program that waits for the VM of another one at the socket `path`, however it was started."""

    def has_ended(self):
        return self.popen.poll() is not None

    def is_listening(self):
        """Who connects is heard, and refused."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE)
            try:
                client.connect(self.path)
                client.shutdown(socket.SHUT_WR)
                while client.recv(4096):
                    pass
                return True
            except (FileNotFoundError, ConnectionError):
                return False

    def give_up(self):
        """It doesn't get the guest: it ends with an error, or still waits for a VM and is ended."""
        poll(lambda: self.has_ended() or self.is_listening(), "for the new program to end, or to wait for another VM")
        if self.has_ended():
            claim(self.popen.returncode != 0, "the new program ended as if all were well")
            return
        self.popen.kill()
        self.popen.wait(PATIENCE)
        os.unlink(self.path)


class Successor(Waiting):
    """A minivmm that writes what it has to say into a file."""
    count = 0

    def __init__(self, vm, *options, binary=BUILD_2, uri=None, own=None, directory=None, **how):
        Successor.count += 1
        name = os.path.join(directory or vm.directory, f"successor-{Successor.count}")
        self.path, self.log = name, os.path.join(vm.directory, f"log-{Successor.count}")
        self.uri = uri or f"unix:{name}"
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen([binary, *(own or vm.options), "--incoming", self.uri, *options],
                                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, **how)
        self.pid = self.popen.pid
        started.add(self.pid)
        self.process = Process(self.pid)
        if uri is None:
            poll(lambda: os.path.exists(self.path) or self.popen.poll() is not None, "for the new program to listen")

    def said(self):
        return read(self.log).decode(errors="replace")

    def wait(self):
        return self.popen.wait(60)

    def kill(self):
        self.popen.kill()
        self.popen.wait(60)


def connect(path):
    try:
        return Client(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def send_transfer(vm, successor):
    vm.monitor.command("migrate_set_parameter mode cpr-transfer")
    vm.monitor.send(f"migrate {successor.uri}")


def transfer(vm, successor):
    """One that has to work: the old process ends, the new one is the VM. The pause in µs."""
    send_transfer(vm, successor)
    pause = get_pause(vm.monitor.receive())
    claim(vm.popen.wait(600) == 0, f"the old process ended with {vm.popen.returncode}")
    follow(vm, successor)
    return pause


def follow(vm, successor):
    vm.popen, vm.pid, vm.process = successor.popen, successor.pid, successor.process


def expect_failure(vm, successor, *words):
    """The guest goes on in the old program, which says why."""
    before = vm.guest()
    send_transfer(vm, successor)
    answer = vm.monitor.receive()
    claim(answer.startswith(REFUSED) and all(word in answer for word in words), f"it answers {answer!r}")
    claim(vm.version().pid == vm.pid, f"another process answers: {vm.version()}")
    guest = vm.wait_for_ticks(before.ticks)
    claim(guest.errors == 0, f"{guest.errors} memory errors")
    claim(vm.status() == "running", vm.status())
    claim(vm.migration().status == "failed", f"{vm.migration()}")
    return answer


# ---- It works ----

def transfers_in_a_row(accel, guest, n_vcpus, mixed):
    options = ["--ram", RAM, "--guest", guest, "--vcpus", str(n_vcpus)]
    begin = time.monotonic()
    with MiniVmm(accel, *options) as vm:
        idle = vm.connect()
        if guest == "memcheck":  # the first pass only fills
            poll(lambda: vm.guest().passes >= n_vcpus, "for the first pass", 600)
        pauses, execs, fds = [], [], None
        before = vm.wait_for_ticks()
        for number in range(1, N_UPDATES + 1):
            binary = BUILD_2 if number % 2 else BUILD_1
            if mixed and number % 3 == 0:
                vm.monitor.command("migrate_set_parameter mode cpr-exec")
                execs.append(vm.update(binary))
            else:
                pauses.append(transfer(vm, Successor(vm, binary=binary)))
            claim(vm.version() == (2 if number % 2 else 1, vm.pid, accel), f"{number}: {vm.version()}")
            before = vm.wait_for_ticks(before.ticks)
            claim(before.errors == 0, f"update {number}: {before.errors} memory errors")
            if guest == "ticker":
                vm.wait_for_interrupts(before)
            vm.settle()
            fds = fds or len(vm.process.fds())
            claim(len(vm.process.fds()) == fds, f"update {number}: {sorted(vm.process.fds().values())}, {fds} before")
        migration = vm.migration()
        claim((migration.status, migration.generation) == ("completed", N_UPDATES), f"{migration}")
        claim("minivmm build" in idle.ask("info version"), "the idle client gets no answer")
        if guest == "memcheck":
            passes = vm.guest().passes
            poll(lambda: vm.guest().passes >= passes + 2 * n_vcpus, "for another pass", 600)
        end = vm.guest()
        claim(end.errors == 0, f"at the end: {end.errors} memory errors")
        claim(end.gap_us < (time.monotonic() - begin) * 1e6, f"the guest's time has leapt: {end.gap_us} us between two ticks")
        return (f"{len(pauses)} transfers and {len(execs)} execs at {RAM}, {n_vcpus} vCPU; ticks {end.ticks}, memory "
                f"errors {end.errors}, {fds} fds; pause of a transfer, least {min(pauses)}, median "
                f"{statistics.median(pauses):.0f}, most {max(pauses)} us")


def memory_stays_right_through_transfers_and_execs(accel):
    return transfers_in_a_row(accel, "memcheck", N_VCPUS, True)


def the_ticker_ticks_on_through_transfers(accel):
    return transfers_in_a_row(accel, "ticker", 1, False)


def a_socket_that_was_inherited_does_as_well(accel):
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.set_inheritable(True)
    with MiniVmm(accel, pass_fds=[ours.fileno()]) as vm:
        successor = Successor(vm, uri=f"unix-fd:{theirs.fileno()}", pass_fds=[theirs.fileno()])
        before = vm.wait_for_ticks()
        successor.uri = f"unix-fd:{ours.fileno()}"
        transfer(vm, successor)
        vm.wait_for_ticks(before.ticks)
        for end in (ours, theirs):
            end.close()


def a_paused_guest_is_transferred_paused(accel):
    with MiniVmm(accel, "--guest", "memcheck") as vm:
        vm.wait_for_ticks()
        vm.monitor.command("stop")
        ram = vm.ram_hash()
        transfer(vm, Successor(vm))
        claim(vm.status() == "paused", vm.status())
        claim(vm.ram_hash() == ram, "its memory has changed")
        vm.monitor.command("cont")
        vm.wait_for_ticks(vm.guest().ticks)


# ---- The old program ----

def the_old_program_never_runs_the_guest_again(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        stay = os.path.join(directory, "old")
        with MiniVmm(accel, "--stay", stay) as vm:
            old, old_popen = vm.pid, vm.popen
            successor = Successor(vm)
            send_transfer(vm, successor)
            get_pause(vm.monitor.receive())
            follow(vm, successor)
            before = vm.wait_for_ticks()
            client = poll(lambda: connect(stay), "for the old program's own monitor")
            vm.clients.append(client)
            claim(f"pid {old}" in client.ask("info version"), "that isn't the old program")
            answers = [client.ask(line) for line in ("cont", "stop", "system_wakeup", "migrate", "migrate unix:/x")]
            claim(all("not permitted in a session that is handed over" in answer for answer in answers), f"{answers}")
            guest = vm.wait_for_ticks(before.ticks)
            claim(not guest.doubled, "two programs run the guest")
            client.send("quit")
            claim(old_popen.wait(60) == 0, f"the old program ended with {old_popen.returncode}")
            vm.wait_for_ticks(guest.ticks)
            return answers[0].strip()


def its_death_after_the_commit_is_nothing_to_the_guest(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory, \
         MiniVmm(accel, "--stay", os.path.join(directory, "old")) as vm:
        old = vm.popen
        successor = Successor(vm)
        send_transfer(vm, successor)
        get_pause(vm.monitor.receive())
        follow(vm, successor)
        before = vm.wait_for_ticks()
        old.kill()
        old.wait()
        vm.wait_for_ticks(before.ticks)


def its_death_before_the_offer_is_the_end(accel):
    """As any VMM's; the new program gets nothing to run and ends."""
    for step in ("ram", "devices"):
        with MiniVmm(accel) as vm:
            successor = Successor(vm, "--fail-at", step, "--fail-by", "halt")
            vm.wait_for_ticks()
            send_transfer(vm, successor)
            poll(lambda: successor.process.state() == "T", "for the new program to stop")
            vm.popen.kill()
            vm.popen.wait()
            os.kill(successor.pid, signal.SIGCONT)
            claim(successor.wait() == 1, f"the new program ended with {successor.popen.returncode}")
            claim("old program" in successor.said(), successor.said())
            vm.ended = True


def its_death_after_the_offer_leaves_the_guest_to_the_new_program(accel):
    with MiniVmm(accel) as vm:
        successor = Successor(vm, "--fail-at", "start", "--fail-by", "halt")
        before = vm.wait_for_ticks()
        send_transfer(vm, successor)
        poll(lambda: successor.process.state() == "T", "for the new program to stop")
        vm.popen.kill()
        vm.popen.wait()
        os.kill(successor.pid, signal.SIGCONT)
        get_pause(vm.monitor.receive())
        follow(vm, successor)
        vm.wait_for_ticks(before.ticks)


# ---- The new program fails ----

def fail_at_each_step(accel, how, words, *options):
    with MiniVmm(accel, "--guest", "memcheck", *options) as vm:
        vm.wait_for_ticks()
        for step in STEPS:
            successor = Successor(vm, "--fail-at", step, "--fail-by", how)
            expect_failure(vm, successor, *words)
            claim(not successor.process.is_alive(), "the new program outlives the update")
            claim(successor.wait() != 0, "the new program ended as if all were well")
        if options:
            return  # a deadline that is meant to pass may pass for a good program, too
        before = vm.wait_for_ticks()
        transfer(vm, Successor(vm))
        guest = vm.wait_for_ticks(before.ticks)
        claim(guest.errors == 0 and not guest.doubled, f"{guest}")


def an_error_leaves_the_guest_where_it_is(accel):
    fail_at_each_step(accel, "error", ["new program: ", "start-up fails at"])


def an_exit_leaves_the_guest_where_it_is(accel):
    fail_at_each_step(accel, "exit", ["new program: "])


def a_kill_leaves_the_guest_where_it_is(accel):
    fail_at_each_step(accel, "kill", ["new program: "])


def a_crash_leaves_the_guest_where_it_is(accel):
    fail_at_each_step(accel, "segv", ["new program: "])


def a_program_that_writes_ram_too_early_loses_the_guest(accel):
    """While RAM is protected, which costs a program nothing that doesn't."""
    with MiniVmm(accel, "--guest", "memcheck") as vm:
        vm.wait_for_ticks()
        for step in ("ram", "load", "start"):
            successor = Successor(vm, "--incoming-protect", "--fail-at", step, "--fail-by", "write")
            expect_failure(vm, successor, "new program: ")
            claim(successor.wait() != 0, "the new program ended as if all were well")
        before = vm.wait_for_ticks()
        transfer(vm, Successor(vm, "--incoming-protect"))
        guest = vm.wait_for_ticks(before.ticks)
        claim(guest.errors == 0 and not guest.doubled, f"{guest}")


def a_stopped_program_loses_the_guest(accel):
    fail_at_each_step(accel, "stop", ["nothing came in time"], "--deadline", "500")


def a_hanging_program_loses_the_guest(accel):
    fail_at_each_step(accel, "hang", ["nothing came in time"], "--deadline", "500")


def a_slow_program_is_too_slow_for_a_pause_budget(accel):
    with MiniVmm(accel, "--pause-budget", "1000") as vm:
        vm.wait_for_ticks()
        successor = Successor(vm, "--fail-at", "start", "--fail-by", "slow")
        expect_failure(vm, successor, "pause budget of 1000 ms")
        claim(successor.wait() == 1, "the new program goes on")


def a_transfer_can_be_cancelled(accel):
    """While the new program prepares itself, and while it loads. In between it is too quick to be met."""
    with MiniVmm(accel, "--deadline", "60000") as vm:
        for step in ("new", "devices", "load", "start"):
            before = vm.wait_for_ticks()
            successor = Successor(vm, "--fail-at", step, "--fail-by", "halt")
            send_transfer(vm, successor)
            poll(lambda: successor.process.state() == "T", "for the new program to stop")
            os.kill(vm.pid, signal.SIGUSR2)
            answer = vm.monitor.receive()
            claim(answer.startswith("Error: update: cancelled while waiting for its"), f"it answers {answer!r}")
            vm.wait_for_ticks(before.ticks)
            claim(successor.wait() == -signal.SIGKILL, f"{step}: it ended with {successor.popen.returncode}")
        before = vm.wait_for_ticks()
        os.kill(vm.pid, signal.SIGUSR2)  # is nothing to the next one
        transfer(vm, Successor(vm))
        vm.wait_for_ticks(before.ticks)


def the_death_of_the_new_owner_is_the_end(accel):
    """The old program has handed the guest over; it doesn't bring it back."""
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory, \
         MiniVmm(accel, "--stay", os.path.join(directory, "old")) as vm:
        old = vm.pid
        vm.wait_for_ticks()
        successor = Successor(vm, "--fail-at", "running", "--fail-by", "kill")
        send_transfer(vm, successor)
        claim(successor.wait() == -signal.SIGKILL, f"it ended with {successor.popen.returncode}")
        poll(lambda: os.path.exists(os.path.join(directory, "old")), "for the old program's own monitor")
        claim(Process(old).is_alive(), "the old program has ended, too")
        vm.ended = True


# ---- Refused ----

def another_vm_is_refused(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        successor = Successor(vm, "--name", "other")
        expect_failure(vm, successor, "'other'", "'minivmm'")
        poll(lambda: "a connection was refused" in successor.said(), "for the new program to say that")
        successor.kill()


def what_wouldnt_fit_is_refused_before_the_stop(accel):
    with MiniVmm(accel, "--ram", "64M") as vm:
        vm.wait_for_ticks()
        stops = vm.monitor.info("stops")["stops"]
        successor = Successor(vm, "--ram", "128M", "--vcpus", "2")
        answer = expect_failure(vm, successor, "it isn't in the state", "(and 1 more)")
        claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
        claim(successor.wait() == 1, "the new program goes on")
        return answer.strip()


def what_its_start_up_did_not_take_is_refused_before_the_stop(accel):
    """Without a declaration: what it took is compared when it is ready."""
    for words, options in ((("1' of type", "is in the state and not here"), ["--vcpus", "1"]),
                           (("2': it isn't in the state",), ["--vcpus", "3"]),
                           (("fd 'serial' 0: it is in the state, and nobody would take it",), ["--serial", "null"])):
        with tempfile.TemporaryDirectory(prefix="cpr-") as directory, \
                MiniVmm(accel, "--rehearse", "--vcpus", "2", "--serial", f"file:{directory}/serial") as vm:
            vm.wait_for_ticks()
            stops = vm.monitor.info("stops")["stops"]
            successor = Successor(vm, *options)
            answer = expect_failure(vm, successor, *words)
            claim(vm.monitor.info("stops")["stops"] == stops, "the guest was stopped")
            claim(successor.wait() == 1, "the new program goes on")
            transfer(vm, Successor(vm))
    return answer.strip()


def another_users_program_is_refused(accel):
    if os.geteuid() != 0:
        return "SKIP: not root, can't be two users"
    with for_everybody(BUILD_2) as (directory, binary, environment), MiniVmm("soft") as vm:
        vm.wait_for_ticks()
        own = ["--accel", "soft"]
        successor = Successor(vm, binary=binary, own=own, directory=directory, user=65534, group=65534, extra_groups=[],
                              env=environment, cwd="/")
        answer = expect_failure(vm, successor, "it is user 65534's, this is user 0")
        claim(successor.popen.poll() is None, "the new program has ended: " + successor.said())
        successor.kill()
        return answer.strip()


def rubbish_is_refused(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        successor = Successor(vm)
        for rubbish in (b"", b"x", b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000), b"\1\0\0\0\xff\xff\xff\xff", bytes(64)):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect(successor.path)
                try:
                    client.sendall(rubbish)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass
                except ConnectionError:
                    pass
        poll(lambda: successor.said().count("a connection was refused") == 6, "for the new program to say that")
        transfer(vm, successor)
        vm.wait_for_ticks(before.ticks)


def without_a_uri_the_old_program_starts_the_new_one(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        for _ in range(N_STARTED):
            vm.monitor.command("migrate_set_parameter mode cpr-transfer")
            pause = get_pause(vm.monitor.ask("migrate"))
            status = vm.follow()
            claim(status == 0, f"the old program ended with {status}")
            vm.wait_for_ticks(vm.guest().ticks)
        vm.monitor.command("migrate_set_parameter mode cpr-transfer")
        vm.monitor.command("migrate_set_parameter cpr-exec-command /bin/false")
        answer = vm.monitor.ask("migrate")
        claim(answer.startswith(REFUSED) and "it exited with status 1 before it asked for the guest" in answer, answer)
        vm.wait_for_ticks(vm.guest().ticks)
        return f"{N_STARTED} transfers, last pause {pause} us; then: {answer.strip()}"


def nobody_there_is_an_error(accel):
    with MiniVmm(accel) as vm:
        vm.wait_for_ticks()
        vm.monitor.command("migrate_set_parameter mode cpr-transfer")
        for uri, words in (("unix:/nowhere/at/all", "connecting: No such file"),
                           ("tcp:1.2.3.4:5", "neither unix:PATH nor unix-fd:N"), ("unix-fd:0", "neither"),
                           ("unix-fd:77", "Bad file descriptor")):
            answer = vm.monitor.ask(f"migrate {uri}")
            claim(answer.startswith(REFUSED) and words in answer, f"'{uri}': {answer!r}")
        vm.wait_for_ticks(vm.guest().ticks)


if __name__ == "__main__":
    main(memory_stays_right_through_transfers_and_execs, the_ticker_ticks_on_through_transfers,
         a_socket_that_was_inherited_does_as_well, a_paused_guest_is_transferred_paused,
         the_old_program_never_runs_the_guest_again, its_death_after_the_commit_is_nothing_to_the_guest,
         its_death_before_the_offer_is_the_end, its_death_after_the_offer_leaves_the_guest_to_the_new_program,
         an_error_leaves_the_guest_where_it_is, an_exit_leaves_the_guest_where_it_is, a_kill_leaves_the_guest_where_it_is,
         a_crash_leaves_the_guest_where_it_is, a_program_that_writes_ram_too_early_loses_the_guest,
         a_stopped_program_loses_the_guest, a_hanging_program_loses_the_guest,
         a_slow_program_is_too_slow_for_a_pause_budget, a_transfer_can_be_cancelled, the_death_of_the_new_owner_is_the_end,
         another_vm_is_refused, what_wouldnt_fit_is_refused_before_the_stop,
         what_its_start_up_did_not_take_is_refused_before_the_stop, another_users_program_is_refused,
         rubbish_is_refused, without_a_uri_the_old_program_starts_the_new_one, nobody_there_is_an_error)
