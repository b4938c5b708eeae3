#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: the network card of linuxvmm neither loses nor doubles a frame while the VMM is replaced.

The guest is tests/vm/net-guest.c, which sends each frame back with a number of its own, so both directions are counted. It isn't
Linux, and runs on every /dev/kvm. CPR_TEST_EXECS and CPR_TEST_TRANSFERS say how many updates (20 and 10)."""
import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from minivmm import PATIENCE, claim, descendants, main, poll, read, top

VMM = os.path.join(top, "examples", "linuxvmm", "linuxvmm")
GUEST = os.path.join(top, "tests", "vm", "net-guest")
INTERFACE = f"cpr{os.getpid()}"
COMMANDS = (["update /proc/self/exe"] * int(os.environ.get("CPR_TEST_EXECS", "20")) +
            [f"transfer {VMM}"] * int(os.environ.get("CPR_TEST_TRANSFERS", "10")))
TYPE = 0x88b5  # of Ethernet, for experiments
UNDER_WAY_MAX = 64  # so that none has to wait where there is no room
FRAME = struct.Struct("<12s2sHQQ")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP, PACKET_OUTGOING = 0x8913, 0x8914, 1, 4


def what_is_missing():
    if not os.path.exists(VMM):
        return "linuxvmm is for x86-64"
    if not os.path.exists(GUEST):
        return "tests/vm/net-guest wasn't built"
    if not all(os.access(path, os.R_OK | os.W_OK) for path in ("/dev/kvm", "/dev/net/tun")) or os.geteuid() != 0:
        return "a tap interface and a guest need /dev/net/tun, /dev/kvm and root"
    return None


def make_kernel(path):
    """What looks like a bzImage: a setup header, see Documentation/arch/x86/boot.rst of Linux, and the program at its 64-bit entry."""
    with open(GUEST, "rb") as file:
        program = file.read()
    sector = bytearray(1024)
    sector[0x1f1] = 1  # sectors of setup after the first one
    sector[0x202:0x208] = b"HdrS"[:4] + struct.pack("<H", 0x20c)
    sector[0x234] = 1  # relocatable
    sector[0x236:0x238] = struct.pack("<H", 1)  # a 64-bit kernel
    sector[0x238:0x23c] = struct.pack("<I", 255)  # bytes of the command line
    sector[0x260:0x264] = struct.pack("<I", 1 << 20)  # bytes that it needs
    with open(path, "wb") as file:
        file.write(bytes(sector) + bytes(0x200) + program)


def bring_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        request = struct.pack("16sH22x", INTERFACE.encode(), 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(anything, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(anything, SIOCSIFFLAGS, struct.pack("16sH22x", INTERFACE.encode(), flags | IFF_UP))


def count(name):
    return int(read(f"/sys/class/net/{INTERFACE}/statistics/{name}"))


class Cable(threading.Thread):
    """Sends frames all the time, and checks that each comes back once, in its order."""
    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TYPE))
        self.socket.bind((INTERFACE, TYPE))
        self.socket.settimeout(PATIENCE)
        self.n_sent = self.n_back = 0
        self.stopping = threading.Event()
        self.error = None

    def send(self):
        self.socket.send(FRAME.pack(bytes(range(12)), TYPE.to_bytes(2, "big"), 0, self.n_sent, 0) + bytes(self.n_sent % 1400))
        self.n_sent += 1

    def take(self):
        data, address = self.socket.recvfrom(4096)
        if address[2] == PACKET_OUTGOING:
            return
        number, echo = FRAME.unpack_from(data)[3:]
        claim((number, echo) == (self.n_back, self.n_back), f"frame {number}, which the guest counts as {echo}, comes instead of {self.n_back}")
        claim(len(data) >= FRAME.size + number % 1400, f"frame {number}: {len(data)} bytes")
        self.n_back += 1

    def run(self):
        try:
            while not self.stopping.is_set() or self.n_back < self.n_sent:
                while not self.stopping.is_set() and self.n_sent - self.n_back < UNDER_WAY_MAX:
                    self.send()
                self.take()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def check(self):
        claim(self.error is None, f"after {self.n_sent} frames, {self.n_back} of which came back: {self.error!r}")

    def stop(self):
        self.stopping.set()
        self.join(2 * PATIENCE)
        self.check()
        claim(not self.is_alive() and self.n_back == self.n_sent, f"of {self.n_sent} frames {self.n_back} came back")


class Vm:
    def __init__(self, folder):
        self.control = os.path.join(folder, "control")
        make_kernel(os.path.join(folder, "kernel"))
        self.process = subprocess.Popen([VMM, "--kernel", os.path.join(folder, "kernel"), "--memory", "64M", "--serial", "null",
                                         "--net", f"tap,ifname={INTERFACE}", "--control", self.control], stdin=subprocess.DEVNULL)
        poll(lambda: os.path.exists(f"/sys/class/net/{INTERFACE}") and "running" in self.tell("status"), "for the VMM")

    def tell(self, command):
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2 * PATIENCE)
                connection.connect(self.control)
                connection.sendall(command.encode() + b"\n")
                return b"".join(iter(lambda: connection.recv(4096), b"")).decode().strip()
        except (FileNotFoundError, ConnectionError) as error:
            claim(self.process.poll() is None, f"the VMM ended: {error}")
            return ""

    def counts(self):
        return tuple(map(int, re.search(r"net: (\d+) received, (\d+) sent", self.tell("status")).groups()))


@contextlib.contextmanager
def running():
    with tempfile.TemporaryDirectory(prefix="cpr-") as folder:
        try:
            yield Vm(folder)
        finally:
            for process in descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            poll(lambda: not os.path.exists(f"/sys/class/net/{INTERFACE}"), "for the end of the interface")


def each_frame_is_there_once(accel):
    with running() as vm:
        bring_up()
        index = read(f"/sys/class/net/{INTERFACE}/ifindex")
        cable, pauses, seen = Cable(), [], []
        cable.start()
        for number, command in enumerate(COMMANDS):
            before = cable.n_back
            poll(lambda: cable.n_back > before or cable.error, f"for frames after {number} updates")
            cable.check()
            answer = vm.tell(command)
            pause = re.fullmatch(r"completed: the guest stood still for ([\d.]+) ms", answer)
            claim(pause, f"update {number}, {command}: {answer}")
            pauses.append(float(pause[1]))
            seen.append(cable.n_back)
        cable.stop()
        claim(read(f"/sys/class/net/{INTERFACE}/ifindex") == index, "it is another interface")
        here = count("tx_packets"), count("rx_packets")
        poll(lambda: vm.counts() == here, f"for the card to count the last frame: {vm.counts()}; this machine counts {here}")
        claim(count("tx_dropped") == 0, f"{count('tx_dropped')} frames were dropped")
        return f"{len(COMMANDS)} updates, pauses of {min(pauses)} to {max(pauses)} ms, {cable.n_back} frames; at the updates {seen}"


def a_refused_update_loses_no_frame(accel):
    """Nor does a new program that ends before it answers."""
    with running() as vm:
        bring_up()
        cable = Cable()
        cable.start()
        for command in ("update /bin/true", "transfer /bin/true", "update /nonexistent"):
            before = cable.n_back
            poll(lambda: cable.n_back > before or cable.error, "for frames")
            claim(not vm.tell(command).startswith("completed"), command)
        cable.stop()
        return f"{cable.n_back} frames"


if what_is_missing():
    print(f"SKIP: {what_is_missing()}")
    sys.exit(77)
os.environ["CPR_TEST_ACCEL"] = "kvm"
main(each_frame_is_there_once, a_refused_update_loses_no_frame)
