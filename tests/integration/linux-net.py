#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: who talks to a Linux guest over its network card doesn't notice that its VMM is replaced. A TCP connection with numbers
in both directions goes on and loses none, each ping has an answer, and the card passed on each frame once. Its random numbers
still come, too. linuxvmm.py says what it can be told."""
import os
import re
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

from linuxvmm import COMMANDS, check_kernel_log, check_ticks, read_modules, run, running
from minivmm import PATIENCE, claim, poll, read

INTERFACE = "cprtest0"
HERE, GUEST, PORT = "192.0.2.1", "192.0.2.2", 7  # those of tests/vm/linux-guest-net.c
WORDS, PAUSE = 512, 0.005
PING_EVERY = 0.01
UNANSWERED_MAX = 100  # so that the tap's queue takes all that come in a pause, however long it is
ECHO, ECHO_REPLY = 8, 0


def count(name):
    return int(read(f"/sys/class/net/{INTERFACE}/statistics/{name}"))


def set_up_interface():
    for words in (["addr", "add", f"{HERE}/24", "dev", INTERFACE], ["link", "set", INTERFACE, "up"]):
        subprocess.run(["ip", *words], check=True, timeout=PATIENCE)


class Worker(threading.Thread):
    """A thread that does step() again and again. What it raises is raised where it is stopped."""
    def __init__(self):
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.error = None

    def run(self):
        try:
            while not self.stopped.is_set() and self.step():
                pass
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def finish(self):
        self.join(PATIENCE)
        claim(not self.is_alive(), f"{type(self).__name__} doesn't end")
        claim(self.error is None, f"{type(self).__name__}: {self.error!r}")

    def stop(self):
        self.stopped.set()
        self.finish()


class Sender(Worker):
    def __init__(self, connection):
        super().__init__()
        self.connection, self.n = connection, 0

    def step(self):
        self.connection.sendall(struct.pack(f"<{WORDS}Q", *range(self.n, self.n + WORDS)))
        self.n += WORDS
        return not self.stopped.wait(PAUSE)


class Receiver(Worker):
    """Until the guest has nothing more to send."""
    def __init__(self, connection):
        super().__init__()
        self.connection, self.n, self.rest = connection, 0, b""

    def step(self):
        data = self.connection.recv(65536)
        self.rest += data
        n = len(self.rest) // 8
        claim(self.rest[:n * 8] == struct.pack(f"<{n}Q", *range(self.n, self.n + n)), f"other numbers than those from {self.n} on")
        self.n, self.rest = self.n + n, self.rest[n * 8:]
        return bool(data)


def make_ping(identifier, number):
    def header(checksum):
        return struct.pack(">BBHHH", ECHO, 0, checksum, identifier, number & 0xffff) + struct.pack(">Q", number)
    total = sum(struct.unpack(">8H", header(0)))
    total = (total & 0xffff) + (total >> 16)
    return header(~(total + (total >> 16)) & 0xffff)


class Pinger(Worker):
    def __init__(self):
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.identifier = os.getpid() & 0xffff
        self.sent, self.answered = {}, {}

    def take_answers(self, patience):
        while select.select([self.socket], [], [], patience)[0]:
            packet = self.socket.recv(2048)
            kind, _, _, identifier, _, number = struct.unpack(">BBHHHQ", packet[20:36])
            if (kind, identifier) == (ECHO_REPLY, self.identifier):
                claim(number not in self.answered, f"ping {number} has two answers")
                self.answered[number] = time.monotonic() - self.sent[number]
            patience = 0

    def step(self):
        if len(self.sent) - len(self.answered) < UNANSWERED_MAX:
            number = len(self.sent)
            self.sent[number] = time.monotonic()
            self.socket.sendto(make_ping(self.identifier, number), (GUEST, 0))
        self.take_answers(PING_EVERY)
        return not self.stopped.wait(PING_EVERY)

    def wait_for_answers(self):
        deadline = time.monotonic() + PATIENCE
        while len(self.answered) < len(self.sent) and time.monotonic() < deadline:
            self.take_answers(0.1)
        lost = sorted(set(self.sent) - set(self.answered))
        claim(not lost, f"of {len(self.sent)} pings {len(lost)} have no answer: {lost[:20]}")


def update(vm, command, counters):
    """And wait until everything goes on."""
    answer = vm.tell(command)
    pause = re.fullmatch(r"completed: the guest stood still for ([\d.]+) ms", answer)
    claim(pause, f"{command}: {answer}")
    before = [get() for get in counters]
    poll(lambda: all(get() > old for get, old in zip(counters, before)),
         f"for the network after {command}: {[(old, get()) for get, old in zip(counters, before)]}")
    return float(pause[1])


def ask_guest(vm):
    n = len(re.findall("^net received", vm.text(), re.M))
    vm.tell_guest("n")
    pattern = r"^net received (\d+) sent (\d+) errors (\d+) ended (\d)\n"
    poll(lambda: len(re.findall(pattern, vm.text(), re.M)) > n, "for the guest's counts")
    return [int(word) for word in re.findall(pattern, vm.text(), re.M)[-1]]


def check_frames(vm):
    """The host's counters and those of the card, which went through all updates."""
    def get():
        return [int(word) for word in re.search(r"net: (\d+) received, (\d+) sent", vm.tell("status")).groups()]
    poll(lambda: get() == [count("tx_packets"), count("rx_packets")], f"for frames: {get()}, the host's counters are "
         f"{[count('tx_packets'), count('rx_packets')]}")
    claim(count("tx_dropped") == 0, f"the tap dropped {count('tx_dropped')} frames")
    return get()


def a_connection_and_pings_go_on(accel):
    with running("--net", f"tap,ifname={INTERFACE}", "--rng", "/dev/urandom", modules=read_modules()) as vm:
        set_up_interface()
        vm.kernel_log()
        connection = socket.create_connection((GUEST, PORT), PATIENCE)
        sender, receiver, pinger = Sender(connection), Receiver(connection), Pinger()
        for worker in (sender, receiver, pinger):
            worker.start()
        poll(lambda: pinger.answered and receiver.n, "for the network to work")
        counters = [lambda: receiver.n, lambda: sender.n, lambda: len(pinger.answered)]
        pauses = [update(vm, command, counters) for command in COMMANDS]
        sender.stop()
        pinger.stop()
        pinger.wait_for_answers()
        connection.shutdown(socket.SHUT_WR)
        poll(lambda: ask_guest(vm)[3] == 1, "for the end of the connection in the guest")
        received, _, errors, _ = ask_guest(vm)
        claim((received, errors) == (sender.n, 0), f"the guest got {received} of {sender.n} numbers, {errors} of them wrong")
        connection.shutdown(socket.SHUT_RD)
        receiver.stop()
        frames = check_frames(vm)
        vm.tell_guest("e")
        vm.wait_for(r"^random [0-9a-f]{64}\n", "random bytes")
        check_ticks(vm)
        check_kernel_log(vm.kernel_log())
        times = sorted(pinger.answered.values())
        return (f"{len(COMMANDS)} updates, pauses of {min(pauses)} to {max(pauses)} ms; {sender.n} and {receiver.n} numbers of 8 bytes; "
                f"{len(times)} pings, median {1000 * statistics.median(times):.1f}, longest {1000 * times[-1]:.1f} ms; frames {frames}")


if not os.path.exists("/dev/net/tun") or os.geteuid() != 0:
    print("SKIP: a tap interface needs /dev/net/tun and root")
    sys.exit(77)
run(a_connection_and_pings_go_on)
