#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: nobody who doesn't read holds up the VM: not at its stderr, whatever that is, nor at its stdout, nor at a log of a device, nor
at the monitor. Lines of the log that can't be printed are dropped and counted, and the open files, which others share, keep their flags."""
import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import tempfile
import termios

from minivmm import BUILD_1, BUILD_2, PATIENCE, MiniVmm, Process, claim, main, orphans, poll

CLIENTS_MAX = 16


def make_pipe():
    return os.pipe2(os.O_CLOEXEC)


def make_socket():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return ours.detach(), theirs.detach()


def make_terminal():
    ours, theirs = pty.openpty()
    modes = termios.tcgetattr(theirs)
    modes[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    return ours, theirs


class Full:
    """Something that holds no more, and whose other end nobody reads. The program that it is given to may wait for that."""

    def __init__(self, make):
        self.ours, self.theirs = make()
        os.set_blocking(self.theirs, False)
        while select.select([], [self.theirs], [], 0.2)[1]:  # a terminal moves what it has about, and has room again
            for size in (4096, 1):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        os.write(self.theirs, b"." * size)
        os.set_blocking(self.theirs, True)
        os.set_blocking(self.ours, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.ours)
        os.close(self.theirs)

    def be(self, fd):
        """What makes a program's fd of it."""
        return lambda: os.dup2(self.theirs, fd)

    def read(self):
        """What it holds, but for what it was filled with."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                found += os.read(self.ours, 65536)
        return found.lstrip(b".").decode()

    def waits(self):
        return not fcntl.fcntl(self.theirs, fcntl.F_GETFL) & os.O_NONBLOCK


def is_well(vm, ticks):
    """The guest runs, the monitor answers."""
    guest = vm.wait_for_ticks(ticks)
    claim(guest.errors == 0, f"{guest}")
    return guest.ticks


def one_client_too_many(vm):
    """Makes it log a line."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(vm.socket_path)
        claim(client.recv(1) == b"", "there was a place left")


def the_log_doesnt_wait(accel):
    for make in (make_pipe, make_socket, make_terminal):
        with Full(make) as stderr, MiniVmm(accel, preexec=stderr.be(2)) as vm:
            while len(vm.clients) < CLIENTS_MAX:
                vm.connect()
            ticks = vm.wait_for_ticks().ticks
            for _ in range(3):
                one_client_too_many(vm)
                ticks = is_well(vm, ticks)
            claim(stderr.waits(), "the open file doesn't wait any more for others")
            stderr.read()
            one_client_too_many(vm)
            poll(lambda: is_well(vm, ticks), "for the guest")
            said = stderr.read()
            claim(said == "minivmm: 3 lines are missing here: nobody read this\nminivmm: monitor: too many clients\n",
                  f"{make.__name__}: {said!r}")
            one_client_too_many(vm)
            is_well(vm, ticks)
            said = stderr.read()
            claim(said == "minivmm: monitor: too many clients\n", f"{make.__name__}: {said!r}")


def a_rollback_doesnt_wait(accel):
    with Full(make_pipe) as stderr, MiniVmm(accel, preexec=stderr.be(2)) as vm:
        ticks = vm.wait_for_ticks().ticks
        for step in ("load", "start"):
            answer = vm.try_update(BUILD_2, options=["--fail-at", step])
            claim(answer.startswith("Migration status: rolled-back\nError: "), f"{answer!r}")
            ticks = is_well(vm, ticks)
        vm.update(BUILD_2)
        is_well(vm, ticks)


def the_serial_port_doesnt_hold_the_monitor(accel):
    with Full(make_pipe) as stdout, MiniVmm(accel, "--serial", "stdio", preexec=stdout.be(1)) as vm:
        poll(lambda: vm.monitor.info("serial")["holding"] == "full", "for the guest to print")
        vm.monitor.command("device_set serial flow 1")
        claim(vm.monitor.ask("in 0x3fd") == "0x00\n", "the holding register is empty")
        vm.monitor.command("out 0x3ff 7")
        vm.monitor.command("out 0x3f8 65")
        claim(vm.monitor.info("serial")["scr"] == "0x7", "the register wasn't written")
        vm.update(BUILD_2)
        vm.monitor.command("stop")
        vm.monitor.command("out 0x3f8 66")
        claim(vm.monitor.info("serial")["holding"] == "full", "the holding register is empty")
        claim(stdout.waits(), "the open file doesn't wait any more for others")
        stdout.read()
        vm.monitor.command("cont")
        printed = poll(stdout.read, "for the guest to print")
        claim(re.fullmatch(r"[0-9AB]+", printed), f"{printed!r}")
        is_well(vm, vm.guest().ticks)


def a_log_of_a_device_doesnt_hold_the_monitor(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as own:
        path = os.path.join(own, "log")
        os.mkfifo(path)

        def make():
            ours = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            return ours, os.open(path, os.O_WRONLY)
        with Full(make), MiniVmm(accel, "--device", "watchdog", binary=BUILD_2) as vm:
            vm.monitor.command(f"device_set watchdog log {path}")
            vm.monitor.command("device_set watchdog timeout 1")
            vm.monitor.command("out 0x600 1")
            poll(lambda: [key for key in vm.monitor.info("card watchdog") if key.startswith("event")], "for the watchdog to bark")
            is_well(vm, vm.guest().ticks)


def a_client_that_reads_nothing_is_dropped(accel):
    with MiniVmm(accel) as vm, socket.socket(socket.AF_UNIX) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(PATIENCE)
        deaf.connect(vm.socket_path)
        with contextlib.suppress(ConnectionError):
            while True:
                deaf.sendall(b"help\n" * 100)
        is_well(vm, vm.guest().ticks)
        claim(vm.monitor.ask("help"), "the other client isn't answered")


def whoever_holds_a_parked_guest_hears_the_signals(accel):
    with tempfile.TemporaryDirectory(prefix="cpr-") as own, Full(make_pipe) as stderr:
        binary = shutil.copy(BUILD_1, own)
        with MiniVmm(accel, "--deadline", "20000", "--no-preflight", binary=binary, preexec=stderr.be(2)) as vm:
            ticks = vm.wait_for_ticks().ticks
            os.chmod(binary, 0)
            vm.send_update(BUILD_2, options=["--fail-at", "load", "--fail-by", "kill"])
            poll(lambda: not vm.process.is_alive(), "for the new program's end")
            holder = poll(lambda: [p for p in orphans() if p.comm == "cpr-guardian"], "for the guardian")[0].pid
            os.kill(holder, signal.SIGUSR1)
            poll(lambda: signal.SIGUSR1 not in Process(holder).pending_signals(), "for the guardian to hear the signal", 10)
            os.chmod(binary, 0o755)
            os.kill(holder, signal.SIGUSR1)
            answer = vm.monitor.receive()
            claim(answer.startswith("Migration status: rescued\n"), f"{answer!r}")
            vm.follow()
            is_well(vm, ticks)


main(the_log_doesnt_wait, a_rollback_doesnt_wait, the_serial_port_doesnt_hold_the_monitor,
     a_log_of_a_device_doesnt_hold_the_monitor, a_client_that_reads_nothing_is_dropped, whoever_holds_a_parked_guest_hears_the_signals)
