#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whatever the program at the other end of a transfer sends, or doesn't send, it can't move the end of a wait: before the
stop that is the preflight's timeout or the deadline, after it the deadline. The guest goes on where it was, and a program that was
given fds and doesn't get the guest is ended.

The hostile program is this file, executed with arguments: it speaks the protocol up to a point and then misbehaves. By default with the
software CPU: what is tried is no matter of the accelerator."""
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from minivmm import MiniVmm, Process, claim, main, poll, started
from transfer import Successor, expect_failure, send_transfer, transfer

HELLO, FDS, QUESTION, ANSWER, BUSY, READY, STATE, DONE, FAILED, STOPPED = range(1, 11)
MAGIC = 0x31524546534e5254
BOUND_MS = 1000
# Of a busy machine, and of the grace that the hostile program has for its end.
SLACK = 8

HOWS = ("busy", "flood", "trickle", "silence", "deaf")


# ---- The hostile program ----

def message(kind, data=b""):
    return struct.pack("<II", kind, len(data)) + data


def hello(name="minivmm"):
    clocks = [time.clock_gettime_ns(clock) for clock in (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)]
    return message(HELLO, struct.pack("<QIIIH", MAGIC, 1, 1, os.getpid(), len(name)) + name.encode() + b"\0" +
                   struct.pack("<QQ", *clocks))


def receive(connection, kind):
    """Reads until a message of that kind has come. Its fds stay open for as long as this program lives."""
    buffer = b""
    while True:
        while len(buffer) >= 8:
            found, length = struct.unpack_from("<II", buffer)
            if len(buffer) < 8 + length:
                break
            buffer = buffer[8 + length:]
            if found == kind:
                return
        data, *_ = socket.recv_fds(connection, 4096, 253)
        if not data:
            time.sleep(600)
        buffer += data


def misbehave(connection, how):
    try:
        if how == "busy":
            while True:
                connection.sendall(message(BUSY))
                time.sleep(0.02)
        while how == "flood":
            connection.sendall(message(BUSY) * 1000)
        while how == "trickle":
            for byte in message(FAILED, b"x" * 1000):
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
        if how == "deaf":
            connection.shutdown(socket.SHUT_RD)
            while True:
                connection.sendall(message(BUSY) * 1000)
    except OSError:
        pass
    time.sleep(600)


def be_hostile(path, phase, how):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + "~")
        listener.listen(1)
        os.rename(path + "~", path)
        if phase == "connection":
            time.sleep(600)
        connection, _ = listener.accept()
    if phase != "greeting":
        receive(connection, HELLO)
        connection.sendall(hello())
        receive(connection, QUESTION)
    if phase == "commit":
        connection.sendall(message(READY))
        receive(connection, STATE)
    misbehave(connection, how)


class Hostile(Successor):
    def __init__(self, vm, phase, how):
        Successor.count += 1
        self.path = os.path.join(vm.directory, f"hostile-{Successor.count}")
        self.uri = f"unix:{self.path}"
        self.popen = subprocess.Popen([sys.executable, __file__, self.path, phase, how], stdin=subprocess.DEVNULL)
        self.pid = self.popen.pid
        started.add(self.pid)
        self.process = Process(self.pid)
        poll(lambda: os.path.exists(self.path), "for the hostile program to listen")


# ---- The old program ----

def options_for(phase):
    """So that the bound in question is the short one."""
    if phase in ("connection", "greeting", "answer"):
        return ["--deadline", "60000", "--preflight-timeout", str(BOUND_MS)]
    return ["--deadline", str(BOUND_MS), "--preflight-timeout", "60000", "--no-preflight"]


def misbehave_in(accel, phase, hows=HOWS):
    longest = 0
    with MiniVmm(accel, *options_for(phase)) as vm:
        vm.wait_for_ticks()
        for how in hows:
            hostile = Hostile(vm, phase, how)
            begin = time.monotonic()
            expect_failure(vm, hostile, "new program")
            took = time.monotonic() - begin
            claim(took < BOUND_MS / 1000 + SLACK, f"{how}: the answer came after {took:.1f} s")
            longest = max(longest, took)
            gap = vm.guest().gap_us
            claim(gap < (BOUND_MS / 1000 + SLACK) * 1e6, f"{how}: the guest stood still for {gap} us")
            if phase == "greeting":
                hostile.kill()  # it was given nothing, and may be anybody
            else:
                claim(hostile.wait() == -signal.SIGKILL, f"{how}: it ended with {hostile.popen.returncode}")
    return f"{len(hows)} ways, at the longest {longest:.1f} s at a bound of {BOUND_MS} ms"


def the_greeting_has_an_end(accel):
    return misbehave_in(accel, "greeting", ("trickle", "silence"))


def the_answer_has_an_end(accel):
    return misbehave_in(accel, "answer")


def the_preparations_have_an_end(accel):
    return misbehave_in(accel, "preparations")


def the_commit_has_an_end_with_the_guest_stopped(accel):
    return misbehave_in(accel, "commit")


def the_connection_has_an_end(accel):
    """Nobody accepts it, and there is no room for one more that waits for that."""
    with MiniVmm(accel, *options_for("connection")) as vm:
        vm.wait_for_ticks()
        hostile = Hostile(vm, "connection", "silence")
        waiting = []
        try:
            while True:
                client = socket.socket(socket.AF_UNIX)
                client.setblocking(False)
                waiting.append(client)
                client.connect(hostile.path)
        except BlockingIOError:
            pass
        begin = time.monotonic()
        answer = expect_failure(vm, hostile, "nobody accepted the connection in time")
        claim(time.monotonic() - begin < BOUND_MS / 1000 + SLACK, "that took too long")
        send_transfer(vm, hostile)
        os.kill(vm.pid, signal.SIGUSR2)
        vm.monitor.receive()  # cancelled, or given up: that was a race
        for client in waiting:
            client.close()
        hostile.kill()
        return answer.strip()


# ---- The new program ----

def a_stranger_keeps_the_new_program_for_a_while_only(accel):
    with MiniVmm(accel) as vm:
        before = vm.wait_for_ticks()
        successor = Successor(vm)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(successor.path)
            try:
                for byte in hello():
                    stranger.sendall(bytes([byte]))
                    time.sleep(0.5)
            except OSError:
                pass
        poll(lambda: "a connection was refused" in successor.said(), "for the new program to refuse the stranger")
        transfer(vm, successor)
        vm.wait_for_ticks(before.ticks)
        return successor.said().splitlines()[0]


if __name__ == "__main__":
    if len(sys.argv) == 4:
        be_hostile(*sys.argv[1:])
    os.environ.setdefault("CPR_TEST_ACCEL", "soft")
    main(the_connection_has_an_end, the_greeting_has_an_end, the_answer_has_an_end, the_preparations_have_an_end,
         the_commit_has_an_end_with_the_guest_stopped, a_stranger_keeps_the_new_program_for_a_while_only)
