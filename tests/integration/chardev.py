#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: whoever is at the other end of a character device doesn't notice an update. An endless row of bytes goes both ways at each
backend, while program after program takes the guest over, fails at it, or is killed: no byte is lost, and none comes twice.

CPR_TEST_UPDATES says how many updates (40); the full form is 1000."""
import contextlib
import fcntl
import os
import pty
import select
import socket
import stat
import subprocess
import sys
import tempfile
import termios
import time

from minivmm import PATIENCE, PR_SET_CHILD_SUBREAPER, claim, end_orphans, libc, poll, run, top

PROGRAM = os.path.join(top, "tests", "chardev")
N_UPDATES = int(os.environ.get("CPR_TEST_UPDATES", "40"))
PERIOD = 65521
PIECE = 4096


def byte_at(at):
    """As in tests/chardev.c."""
    mixed = at * 2654435761 & 0xffffffff
    return (mixed ^ mixed >> 15) * 2246822519 >> 16 & 0xff


ROW = bytes(byte_at(i) for i in range(PERIOD))
ROW += ROW[:PIECE]


def keep_small(fd):
    """The kernel's buffers, so that most of what is on its way is in the VMM."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIECE)
    if stat.S_ISSOCK(os.fstat(fd).st_mode):
        with socket.socket(fileno=os.dup(fd)) as connection:
            if connection.family == socket.AF_UNIX:  # TCP only becomes slow
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)


class Peer:
    """The other end: sends the row and checks the one that comes."""

    def __init__(self, name, read_fd, write_fd):
        self.name, self.read_fd, self.write_fd = name, read_fd, write_fd
        self.sent = self.received = 0
        for fd in {read_fd, write_fd} - {-1}:
            os.set_blocking(fd, False)
            keep_small(fd)

    def write(self):
        at = self.sent % PERIOD
        with contextlib.suppress(BlockingIOError):
            self.sent += os.write(self.write_fd, ROW[at:at + PIECE])

    def read(self):
        try:
            data = os.read(self.read_fd, PIECE)
        except BlockingIOError:
            return 0
        at = self.received % PERIOD
        claim(data, f"{self.name}: the connection has ended")
        claim(data == ROW[at:at + len(data)], f"{self.name}: wrong bytes within {len(data)} from {self.received} on")
        self.received += len(data)
        return len(data)


class FilePeer(Peer):
    """What is written to a file can be read there."""

    def __init__(self, path):
        super().__init__("file", os.open(path, os.O_RDONLY | os.O_CLOEXEC), -1)

    def read(self):
        at, data = self.received % PERIOD, os.read(self.read_fd, PIECE)
        claim(data == ROW[at:at + len(data)], f"file: wrong bytes within {len(data)} from {self.received} on")
        self.received += len(data)
        return len(data)


def move(peers, seconds=0.0):
    """A while of traffic in both directions."""
    end = time.monotonic() + seconds
    while True:
        pollable = [peer for peer in peers if not isinstance(peer, FilePeer)]
        readable, writable, _ = select.select([peer.read_fd for peer in pollable],
                                              [peer.write_fd for peer in pollable if peer.write_fd >= 0], [], 0.002)
        for peer in peers:
            if peer.read_fd in readable or isinstance(peer, FilePeer):
                peer.read()
            if peer.write_fd in writable:
                peer.write()
        if time.monotonic() >= end:
            return


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def connect(family, address):
    def try_it():
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            found = socket.socket(family)
            found.connect(address)
            return found
        found.close()
        return None
    return poll(try_it, f"to connect to {address}").detach()


class Vmm:
    """The VMM with a character device of each kind, and who is at their other ends."""

    def __init__(self, directory, kinds, streams=None):
        self.directory, self.kinds, self.streams = directory, kinds, streams
        self.peers, self.servers = [], {}
        self.control_path = os.path.join(directory, "control")
        self.backends = [f"unix:{self.control_path},server=on,wait=off"]
        self.choose_backends()
        self.process = self.start()
        self.connect()

    def connect(self):
        self.controls = [socket.socket(fileno=connect(socket.AF_UNIX, self.control_path)) for _ in range(3)]
        self.turn = 0

    def choose_backends(self):
        for kind in self.kinds:
            path = os.path.join(self.directory, kind)
            if kind == "tcp":
                self.port = free_port()
                self.backends.append(f"tcp:127.0.0.1:{self.port},server=on,wait=off")
            elif kind == "unix":
                self.backends.append(f"unix:{path},server=on,wait=off")
            elif kind == "unix-client":
                self.servers[kind] = socket.socket(socket.AF_UNIX)
                self.servers[kind].bind(path)
                self.servers[kind].listen()
                self.backends.append(f"unix:{path},reconnect-ms=10")
            elif kind == "tcp-client":
                self.servers[kind] = socket.create_server(("127.0.0.1", 0))
                self.backends.append(f"tcp:127.0.0.1:{self.servers[kind].getsockname()[1]}")
            elif kind == "pipe":
                os.mkfifo(path + ".in")
                os.mkfifo(path + ".out")
                self.backends.append(f"pipe:{path}")
            elif kind == "stdio":
                self.backends.append("stdio,signal=off" if self.streams else "stdio")
                self.streams = self.streams or os.pipe() + os.pipe()
            else:
                self.backends.append({"pty": "pty", "file": f"file:{path}", "null": "null"}[kind])

    def start(self, *options):
        streams = {"stdin": self.streams[0], "stdout": self.streams[3]} if self.streams else {"stdin": subprocess.DEVNULL}
        return subprocess.Popen([PROGRAM, *options, *self.backends], **streams)

    def transfer(self, *options):
        """To a process that was started before. Says how that ended."""
        path = os.path.join(self.directory, "next")
        following = self.start("--incoming", f"unix:{path}", *options)
        poll(lambda: os.path.exists(path) or following.poll() is not None, "for the new program to listen")
        self.send(f"transfer unix:{path}")
        if not options:
            claim(self.process.wait(PATIENCE) == 0, "the old program failed")
            self.process = following
            return "completed"
        answer = self.answer(self.peers)
        claim(following.wait(PATIENCE) != 0, "the new program didn't fail")
        return answer

    def attach(self):
        """Connects somebody to each of them."""
        described = self.status()["ports"]
        for number, kind in enumerate(self.kinds):
            path = os.path.join(self.directory, kind)
            if kind == "file":
                self.peers.append(FilePeer(path))
                continue
            if kind == "null":
                continue
            if kind == "pipe":
                ends = os.open(path + ".out", os.O_RDONLY | os.O_NONBLOCK), os.open(path + ".in", os.O_WRONLY)
            elif kind == "stdio":
                ends = self.streams[2], self.streams[1]
            elif kind == "pty":
                fd = os.open(described[number][0].partition(":")[2], os.O_RDWR | os.O_NOCTTY)
                ends = fd, fd
            else:
                if kind == "tcp":
                    fd = connect(socket.AF_INET, ("127.0.0.1", self.port))
                elif kind == "unix":
                    fd = connect(socket.AF_UNIX, path)
                else:
                    self.servers[kind].settimeout(PATIENCE)
                    fd = self.servers[kind].accept()[0].detach()
                ends = fd, fd
            self.peers.append(Peer(kind, *ends))

    @property
    def control(self):
        """Each connection for commands gets its turn."""
        return self.controls[self.turn % len(self.controls)]

    def send(self, line):
        self.control.sendall(line.encode() + b"\n")

    def answer(self, peers=()):
        """The next line, while the traffic goes on."""
        text, end = b"", time.monotonic() + PATIENCE
        while not text.endswith(b"\n"):
            claim(time.monotonic() < end, "there is no answer")
            if peers:
                move(peers)
            if select.select([self.control], [], [], 0 if peers else PATIENCE)[0]:
                piece = self.control.recv(65536)
                claim(piece, "the connection for commands has ended")
                text += piece
        return text.decode().strip()

    def status(self, peers=()):
        self.send("status")
        line = self.answer(peers)
        self.turn += 1
        claim(line.startswith("pid "), f"{line!r}")
        head, *ports = line.split("; ")
        words = head.split()
        return {"pid": int(words[1]), "updates": int(words[3]), "last": words[5],
                "ports": [(what, on, *map(int, numbers)) for what, on, *numbers in (port.rsplit(" ", 5) for port in ports)]}

    def check(self):
        """All that was sent has come, in both directions, once it is no longer refilled."""
        status = self.status(self.peers)
        for what, _, _, _, wrong, _ in status["ports"]:
            claim(wrong == 0, f"{what}: {wrong} wrong bytes came to the guest")
        return status

    def finish(self):
        def drained():
            for peer in self.peers:
                while peer.read():
                    pass
            ports = [port for port, kind in zip(self.status()["ports"], self.kinds) if kind != "null"]
            return all(port[3] == peer.sent for port, peer in zip(ports, self.peers))
        poll(drained, "for the guest to get everything")
        self.check()


@contextlib.contextmanager
def vmm(*kinds, **streams):
    with tempfile.TemporaryDirectory(prefix="cpr-") as directory:
        vm = Vmm(directory, kinds, **streams)
        try:
            yield vm
            with contextlib.suppress(BrokenPipeError):  # it may have been told
                vm.send("quit")
            claim(poll(lambda: not os.path.exists(vm.control_path), "for the end"), "")
        finally:
            for fd in {fd for peer in vm.peers for fd in (peer.read_fd, peer.write_fd)} - {-1}:
                os.close(fd)
            if vm.process.poll() is None:
                vm.process.kill()
            vm.process.wait(PATIENCE)
            end_orphans()


ALL = ("unix", "tcp", "unix-client", "tcp-client", "pty", "pipe", "file", "null")


def say(vm, begin, n):
    moved = sum(peer.sent + peer.received for peer in vm.peers)
    return f"{n} updates in {time.monotonic() - begin:.1f} s, {moved / 1e6:.1f} MB moved: " + ", ".join(
        f"{peer.name} {peer.sent}/{peer.received}" for peer in vm.peers)


def no_byte_is_lost_by_execs(_accel):
    with vmm(*ALL, "stdio") as vm:
        vm.attach()
        begin, failures, pids = time.monotonic(), 0, {vm.process.pid}
        for number in range(1, N_UPDATES + 1):
            move(vm.peers, 0.002)
            how = {3: "exec load", 7: "exec kill"}.get(number % 10, "exec")
            vm.send(how)
            status = vm.check()
            claim(status["last"] == {"exec": "completed", "exec load": "rolled-back", "exec kill": "rescued"}[how],
                  f"update {number}, {how}: {status}")
            failures += how != "exec"
            pids.add(status["pid"])
        vm.finish()
        claim(all(peer.received > 1000 for peer in vm.peers), "there was no traffic")
        return say(vm, begin, N_UPDATES) + f"; {failures} failed, {len(pids)} processes"


def no_byte_is_lost_by_transfers(_accel):
    with vmm(*ALL, "stdio") as vm:
        vm.attach()
        begin, n = time.monotonic(), max(N_UPDATES // 4, 4)
        for number in range(1, n + 1):
            move(vm.peers, 0.002)
            if number % 4 == 3:
                answer = vm.transfer("--fail", ("load", "kill")[number // 4 % 2])
                claim(answer.startswith("failed: "), answer)
            else:
                vm.transfer()
            status = vm.check()
            claim(status["pid"] == vm.process.pid, f"{status}, and not {vm.process.pid}")
        vm.finish()
        return say(vm, begin, n)


def modes_in_turn(_accel):
    with vmm(*ALL) as vm:
        vm.attach()
        begin = time.monotonic()
        for how in ("exec", "transfer", "exec load", "transfer", "exec", "exec", "transfer"):
            move(vm.peers, 0.01)
            if how == "transfer":
                vm.transfer()
            else:
                vm.send(how)
            vm.check()
        vm.finish()
        return say(vm, begin, 7)


def read_to_the_end(peer):
    """What is left of a connection that the other end has closed."""
    with contextlib.suppress(ConnectionResetError):
        while select.select([peer.read_fd], [], [], PATIENCE)[0]:
            data = os.read(peer.read_fd, PIECE)
            if not data:
                return
            at = peer.received % PERIOD
            claim(data == ROW[at:at + len(data)], f"wrong bytes within {len(data)} from {peer.received} on")
            peer.received += len(data)


def output_that_waits_survives_a_reboot(_accel):
    """A client that doesn't read gets the rest by its next connection."""
    with vmm("unix", "file") as vm:
        vm.attach()
        unix, file = vm.peers
        for _ in range(8):
            unix.write()
        poll(lambda: vm.status()["ports"][0][3] == unix.sent, "for the guest to get it")
        poll(lambda: vm.status()["ports"][0][5] == 16384, "for everything to be full")
        full = vm.status()["ports"][0][2]
        state = os.path.join(vm.directory, "state")
        vm.send(f"reboot file:{state}")
        claim(vm.process.wait(PATIENCE) == 0, "the old program failed")
        read_to_the_end(unix)
        waited = full - unix.received
        claim(waited == 16384, f"{waited} bytes waited")
        os.close(unix.read_fd)
        vm.process = vm.start("--incoming", f"file:{state}")
        vm.connect()
        unix.read_fd = unix.write_fd = connect(socket.AF_UNIX, os.path.join(vm.directory, "unix"))
        os.set_blocking(unix.read_fd, False)
        move(vm.peers, 0.05)
        vm.finish()
        claim(unix.received > full and file.received > 0, "nothing comes any more")
        return f"{waited} bytes waited for the next client"


def a_client_that_goes_is_seen_and_the_next_one_is_served(_accel):
    """Whether it goes while the guest runs, or in an update; and a second one waits for its turn."""
    with vmm("unix", "pty") as vm:
        vm.attach()
        path = os.path.join(vm.directory, "unix")
        for how in ("", "exec", "exec load", "exec kill", "exec"):
            unix, terminal = vm.peers
            second = connect(socket.AF_UNIX, path)
            move([unix, terminal], 0.01)
            claim(not select.select([second], [], [], 0)[0], "two clients are served at a time")
            unix.write()
            if how:
                vm.send(how)
            os.close(unix.read_fd)
            os.close(terminal.read_fd)
            poll(lambda: select.select([second], [], [], 0)[0], "for the second one's turn")
            poll(lambda: vm.status()["ports"][1][1] == "off", "for the terminal's end to be seen")
            poll(lambda: vm.status()["ports"][0][3] == unix.sent, f"for the guest to get {unix.sent} bytes")
            status = vm.status()
            vm.peers[0] = Peer("unix", second, second)
            vm.peers[0].sent = unix.sent
            vm.peers[0].received = sync(second, unix.received)
            fd = os.open(status["ports"][1][0].partition(":")[2], os.O_RDWR | os.O_NOCTTY)
            vm.peers[1] = Peer("pty", fd, fd)
            vm.peers[1].sent = status["ports"][1][3]
            vm.peers[1].received = sync(fd, terminal.received)
            move(vm.peers, 0.05)
        vm.finish()
        return say(vm, time.monotonic(), 4)


def sync(fd, at_least):
    """Where in the row a new client comes in: what waited for the one before is gone, but for what a terminal still holds."""
    data = b""
    while len(data) < 16 * PIECE:
        claim(select.select([fd], [], [], PIECE)[0], "no byte comes")
        data += os.read(fd, PIECE)
    data = data[-256:]
    for at in range(at_least, at_least + 10_000_000):
        if ROW[at % PERIOD:at % PERIOD + len(data)] == data:
            return at + len(data)
    claim(False, "that isn't the row")


def a_lost_connection_is_made_again(_accel):
    with vmm("unix-client", "null") as vm:
        vm.attach()
        for how in ("exec", "exec load", ""):
            peer = vm.peers[0]
            move(vm.peers, 0.01)
            if how:
                vm.send(how)
            with socket.socket(fileno=os.dup(peer.read_fd)) as connection:
                connection.shutdown(socket.SHUT_WR)
            read_to_the_end(peer)
            os.close(peer.read_fd)
            fd = vm.servers["unix-client"].accept()[0].detach()
            vm.peers[0] = Peer("unix-client", fd, fd)
            vm.peers[0].sent = peer.sent
            vm.peers[0].received = sync(fd, peer.received)
        vm.finish()
        return say(vm, time.monotonic(), 2)


def a_terminal_is_set_once_and_given_back_at_the_end(_accel):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    before[1] &= ~termios.OPOST  # which stays as it is
    termios.tcsetattr(theirs, termios.TCSANOW, before)
    ends = (theirs, ours, ours, theirs)
    with vmm("stdio", streams=ends) as vm:
        vm.attach()
        raw = termios.tcgetattr(theirs)
        claim(not raw[3] & (termios.ICANON | termios.ECHO) and not raw[3] & termios.ISIG, f"{raw}")
        marked = list(raw)
        marked[3] |= termios.TOSTOP  # as a guest's user may: nobody may set the terminal anew
        termios.tcsetattr(theirs, termios.TCSANOW, marked)
        for how in ("exec", "exec load", "transfer", "exec kill", "exec"):
            vm.send(how)
            vm.status(vm.peers)
            if how == "transfer":  # to a program that has the same terminal
                vm.process.wait(PATIENCE)
            claim(termios.tcgetattr(theirs) == marked, f"{how}: {termios.tcgetattr(theirs)}, not {marked}")
        vm.send("quit")
        poll(lambda: not os.path.exists(vm.control_path), "for the end")
        claim(termios.tcgetattr(theirs) == before, f"{termios.tcgetattr(theirs)}, not {before}")


def another_backend_is_refused_before_the_guest_stops(_accel):
    with vmm("unix", "pty") as vm:
        vm.attach()
        kept = list(vm.backends)
        for backends, words in ((["pty", "pty"], "fd 'port0'"), (["null", "pty"], "fd 'port0'"), (["unix:x,server=on,wait=off"], "port1")):
            vm.backends = kept[:1] + backends
            answer = vm.transfer("--fail", "load")
            claim(words in answer, answer)
            vm.check()
        vm.backends = kept
        vm.transfer()
        vm.finish()


libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
tests = (no_byte_is_lost_by_execs, no_byte_is_lost_by_transfers, modes_in_turn, output_that_waits_survives_a_reboot,
         a_client_that_goes_is_seen_and_the_next_one_is_served, a_lost_connection_is_made_again,
         a_terminal_is_set_once_and_given_back_at_the_end, another_backend_is_refused_before_the_guest_stops)
chosen = [test for test in tests if os.environ.get("CPR_TEST_ONLY", "") in test.__name__]
sys.exit(not all([run(test, "no guest") for test in chosen]))
