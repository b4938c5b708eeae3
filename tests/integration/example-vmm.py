#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Claim: examples/09-vmm, which has no more than the guide says, is updated in every mode. Its guest, which has one request under way
at a time, and waits for an interrupt each time, gets all answers."""
import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import tempfile

from minivmm import PATIENCE, claim, main, poll, top, why_no_kvm

VMM = os.path.join(top, "examples", "09-vmm")
N_EXECS, N_TRANSFERS = 20, 5
COMPLETED = r"completed: the guest stood still for [0-9.]+ ms"
FAILING = {
    "/nowhere": "program '/nowhere': No such file or directory",
    "/bin/false": r"new program '/bin/false': it exited with status 1 before it asked for the guest: .*",
    os.path.join(top, "examples", "01-fd"): "new program: .*",
}


class Vm:
    def __init__(self, folder, incoming=None):
        self.socket = os.path.join(folder, "control")
        self.command = [VMM, self.socket] + ([incoming] if incoming else [])
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def wait_for_guest(self):
        poll(lambda: select.select([self.process.stdout], [], [], 0)[0], "for the guest to run")
        line = self.process.stdout.readline()
        claim(line.endswith("has the guest\n"), f"it printed {line!r}")

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self.socket)
            connection.sendall(command.encode())
            return b"".join(iter(lambda: connection.recv(4096), b"")).decode().strip()

    def check_guest(self):
        answer = self.tell("wait")
        claim(answer == "0 wrong", f"wait: {answer!r}")

    def end(self, command="quit"):
        answer = self.tell(command)
        claim(self.process.wait(PATIENCE) == 0, f"{command!r} ended with {self.process.returncode}")
        return answer


@contextlib.contextmanager
def running():
    with tempfile.TemporaryDirectory() as folder:
        vm = Vm(folder)
        vm.wait_for_guest()
        try:
            yield vm, folder
        finally:
            vm.process.kill()
            vm.process.wait()


def exec_mode(accel):
    with running() as (vm, _):
        for _ in range(N_EXECS):
            answer = vm.tell("exec /proc/self/exe")
            claim(re.fullmatch(COMPLETED, answer), answer)
            vm.check_guest()
        vm.end()
        return f"{N_EXECS} updates"


def a_refused_update_and_a_failed_one(accel):
    with running() as (vm, _):
        refused = vm.tell("exec /bin/true")
        claim(refused.startswith("failed: "), refused)
        vm.check_guest()
        failed = vm.tell(f"exec {os.path.join(top, 'examples', '01-fd')}")
        claim(failed.startswith("rolled-back: "), failed)
        vm.check_guest()
        vm.end()
        return failed


def children(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
        return file.read().split()


def transfer_mode(accel):
    """The new programs are started by the old ones, and write to the same pipe, which ends with the last of them."""
    with running() as (vm, _):
        for number in range(N_TRANSFERS):
            answer = vm.tell("transfer /proc/self/exe")
            claim(re.fullmatch(COMPLETED, answer), answer)
            vm.wait_for_guest()
            vm.check_guest()
        claim(vm.process.wait(PATIENCE) == 0, "the first program's end")
        vm.tell("quit")
        poll(lambda: select.select([vm.process.stdout], [], [], 0)[0], "for the last program's end")
        rest = vm.process.stdout.read()
        claim(rest == "", f"after the end: {rest!r}")
        return answer


def a_failed_transfer(accel):
    with running() as (vm, _):
        for program, reason in FAILING.items():
            answer = vm.tell(f"transfer {program}")
            claim(re.fullmatch(f"failed: {reason}", answer), answer)
            claim(not children(vm.process), f"{program}: it is left behind")
            vm.check_guest()
        vm.end()
        return answer


def reboot_mode(accel):
    with running() as (vm, folder):
        uri = f"file:{folder}/state"
        answer = vm.end(f"save {uri}")
        claim(answer == "completed: the guest is saved", answer)
        other = Vm(folder, uri)
        try:
            other.wait_for_guest()
            other.check_guest()
            other.end()
        finally:
            other.process.kill()
            other.process.wait()
        return answer


if os.uname().machine != "x86_64":
    print("SKIP: its guest is for x86-64")
    sys.exit(77)
if why_no_kvm():
    print(f"SKIP: {why_no_kvm()}")
    sys.exit(77)
os.environ["CPR_TEST_ACCEL"] = "kvm"  # it has no other
main(exec_mode, a_refused_update_and_a_failed_one, transfer_mode, a_failed_transfer, reboot_mode)
