# SPDX-License-Identifier: LGPL-2.1-or-later
"""Starts a minivmm and talks to its monitor. For the demo and the benchmark; standard library only."""
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time

PROMPT = b"(minivmm) "
PATIENCE = 3  # seconds


class MonitorError(Exception):
    pass


class Minivmm:
    """A running minivmm and one monitor connection, which stays the same over updates. What it prints is shown where it fails."""

    def __init__(self, binary, *options, timeout=60, stderr=None):
        self.folder = tempfile.TemporaryDirectory(prefix="minivmm-")
        self.path = os.path.join(self.folder.name, "monitor")
        self.stderr = stderr or open(os.path.join(self.folder.name, "log"), "ab")
        self.options = [*options, "--monitor", self.path]
        self.process = subprocess.Popen([binary, *self.options], stdin=subprocess.DEVNULL, stderr=self.stderr)
        self.socket = self._connect(timeout)
        self.socket.settimeout(timeout)
        self._read_answer("connecting")  # the greeting

    def _connect(self, timeout):
        end = time.monotonic() + timeout
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.path)
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    raise self._failure("minivmm doesn't come up") from None
                time.sleep(0.005)

    def _failure(self, text):
        """An error, with what was printed so far."""
        path = os.path.join(self.folder.name, "log")
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as log:
                text += "\n" + log.read()
        return MonitorError(text.strip())

    def command(self, line):
        """Sends one command and returns its answer without the prompt."""
        self.socket.sendall(line.encode() + b"\n")
        return self._read_answer(line)

    def _read_answer(self, line):
        answer = b""
        while not answer.endswith(PROMPT):
            got = self.socket.recv(65536)
            if not got:
                raise self._failure(f"the connection ended after '{line}': {answer.decode()}")
            answer += got
        return answer[: -len(PROMPT)].decode()

    def info(self, what):
        """The `key: value` lines of an `info` command; numbers lose their unit."""
        facts = {}
        for line in self.command(f"info {what}").splitlines():
            key, _, value = line.partition(": ")
            number = re.fullmatch(r"(\d+)( us)?", value)
            facts[key] = int(number.group(1)) if number else value
        return facts

    def set_next(self, binary, *options):
        """What the next updates execute; with the options of this one, and more."""
        self.command("migrate_set_parameter cpr-exec-command " + shlex.join([binary, *self.options, *options]))

    def version(self):
        """The build and the PID, which a rescue changes."""
        build, pid = re.search(r"build (\d+), pid (\d+)", self.command("info version")).groups()
        return {"build": int(build), "pid": int(pid)}

    def try_update(self):
        """Updates, whatever comes of it, and returns `info migrate` once all of it is done."""
        self.command("migrate")
        return self.wait_finished()

    def update(self):
        """Updates and returns `info migrate` once all of it is done, the background work too."""
        answer = self.command("migrate")
        if "completed" not in answer:
            raise self._failure(answer.strip())
        return self.wait_finished()

    def start_successor(self, binary, *options):
        """Starts the program that transfer() will hand the VM to; with the options of this one, and more."""
        self.successor_path = os.path.join(self.folder.name, "transfer")
        self.successor = subprocess.Popen([binary, *self.options, "--incoming", f"unix:{self.successor_path}", *options],
                                          stdin=subprocess.DEVNULL, stderr=self.stderr)
        while not os.path.exists(self.successor_path):
            if self.successor.poll() is not None:
                raise self._failure("the new minivmm doesn't come up")
            time.sleep(0.005)

    def transfer(self):
        """Hands the VM to that program, and returns `info migrate`. The old one ends by itself."""
        self.command("migrate_set_parameter mode cpr-transfer")
        answer = self.command(f"migrate unix:{self.successor_path}")
        if "completed" not in answer:
            raise self._failure(answer.strip())
        self.process.wait(timeout=60)
        self.process = self.successor
        return self.wait_finished()

    def wait_finished(self):
        """Where what is left works at idle priority it may get no CPU for a minute: after a while it gets that of everybody else."""
        end = time.monotonic() + PATIENCE
        while True:
            facts = self.info("migrate")
            if facts.get("step finish", 1) > 0:
                return facts
            if time.monotonic() > end:
                self._wake_children()
            time.sleep(0.005)

    def _wake_children(self):
        pid = self.version()["pid"]
        try:
            with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
                for child in children.read().split():
                    os.sched_setscheduler(int(child), os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            pass  # it has ended, or we mayn't

    def close(self):
        try:
            self.socket.sendall(b"quit\n")
            self.process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.socket.close()
        if not isinstance(self.stderr, int):
            self.stderr.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
